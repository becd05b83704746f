"""An LDAP server as a `Store` (RFC 4511): the only module that knows python-ldap.

Connections are kept (`iems.directory.pool`), at most `size` of them; what only reads is asked again
where a kept one was dead. The server has until the deadline for everything: a free connection, the
connect, the bind and the answer. Beyond it, and for every answer that is none,
`DirectoryUnavailable`.

python-ldap's own reconnecting class is not used: it tries again after a time-out, too, so that a
call takes twice the time that its caller has, and it grows by an entry with every option set.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import ldap
import ldap.dn
import ldap.filter
from ldap.controls.libldap import SimplePagedResultsControl
from ldap.ldapobject import SimpleLDAPObject

from iems.codec.printable import printable
from iems.directory.pool import Pool, Way
from iems.directory.reader import DirectoryUnavailable
from iems.directory.store import (
    Attributes,
    Changes,
    EntryExistsError,
    Name,
    NoEntryError,
    Row,
    Write,
    WriteRefusedError,
    WrongPasswordError,
)
from iems.directory.tree import PASSWORD
from iems.serve.deadline import Deadline

T = TypeVar("T")

_HASHED = re.compile(rb"\{[A-Z0-9]+\}")
_PASSWORD_POLICY = b"1.3.6.1.4.1.42.2.27.8.5.1"
"""The control of slapo-ppolicy, which `docs/directory.md` has hash what comes in clear."""

_PAGE = 1000
"""Entries of one answer where there may be any number. 100,000 users at once took 3 of the 5 s that
a question has, and of the 10 s that slapd gives it (olcTimeLimit)."""

_REFUSALS = (
    ldap.INSUFFICIENT_ACCESS,
    ldap.CONSTRAINT_VIOLATION,
    ldap.OBJECT_CLASS_VIOLATION,
    ldap.UNDEFINED_TYPE,
    ldap.INVALID_SYNTAX,
    ldap.INVALID_DN_SYNTAX,
    ldap.NAMING_VIOLATION,
    ldap.NOT_ALLOWED_ON_NONLEAF,
    ldap.TYPE_OR_VALUE_EXISTS,
    ldap.NO_SUCH_ATTRIBUTE,
    ldap.UNWILLING_TO_PERFORM,
)

_SAID_NO = (ldap.ALREADY_EXISTS, ldap.NO_SUCH_OBJECT, *_REFUSALS)


@dataclass(frozen=True, slots=True)
class Account:
    """Which server, the top of its tree, and as whom."""

    uri: str
    base: str
    dn: str
    password: str = field(repr=False)


class LdapStore:
    """See `iems.directory.store.Store`; thread-safe."""

    def __init__(self, account: Account, size: int) -> None:
        self._account = account
        self._pool = Pool(Way(account.uri, self._open, _end, ldap.SERVER_DOWN), size)

    def search(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Sequence[Row]:
        """See `Reader`."""
        text, top = _filter(any_of), self._dn(base)

        def ask(connection: SimpleLDAPObject) -> Sequence[Row]:
            number = connection.search_ext(top, ldap.SCOPE_SUBTREE, text, list(attributes))
            return self._rows(_answer(connection, number, deadline))

        return self._asked(ask, deadline)

    def exists(self, base: Name, pair: tuple[str, str], deadline: Deadline) -> bool:
        """Whether at or below `base` an entry has this value of an attribute.

        It has not where there is no such base. The server is asked for one entry and no attribute.
        """
        text, top = _filter([pair]), self._dn(base)

        def ask(connection: SimpleLDAPObject) -> bool:
            wanted = ["1.1"]
            number = connection.search_ext(top, ldap.SCOPE_SUBTREE, text, wanted, sizelimit=1)
            try:
                return bool(self._rows(_answer(connection, number, deadline)))
            except ldap.SIZELIMIT_EXCEEDED:
                return True
            except ldap.NO_SUCH_OBJECT:
                return False

        return self._asked(ask, deadline)

    def search_all(
        self,
        base: Name,
        any_of: Iterable[tuple[str, str]],
        attributes: Sequence[str],
        timeout: float,
    ) -> Sequence[Row]:
        """See `Store`; each page has the whole time-out."""
        text, top = _filter(any_of), self._dn(base)

        def ask(connection: SimpleLDAPObject) -> Sequence[Row]:
            pages = self._pages(connection, top, text, attributes, lambda: timeout)
            return [row for page in pages for row in self._rows(page)]

        return self._asked(ask, Deadline.after(timeout))

    def _asked(self, ask: Callable[[SimpleLDAPObject], T], deadline: Deadline) -> T:
        try:
            return self._pool.do(ask, deadline, again=True)
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None

    def scan(
        self,
        base: Name,
        template: str,
        values: Sequence[str],
        attributes: Sequence[str],
        deadline: Deadline,
    ) -> Iterator[Row]:
        """Every entry below `base` that fits the filter, as slapd gives them.

        The filter is `template` with `%s` for each of the values. Where there is no such base,
        nothing is found.
        """
        text = ldap.filter.filter_format(template, values)
        connection: SimpleLDAPObject | None = None
        try:
            connection = self._open(deadline)
            top = self._dn(base)
            wait = functools.partial(_seconds, deadline)
            for page in self._pages(connection, top, text, attributes, wait):
                yield from self._rows(page)
        except ldap.NO_SUCH_OBJECT:
            return
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None
        finally:
            if connection is not None:
                _end(connection)

    def _pages(
        self,
        connection: SimpleLDAPObject,
        top: str,
        text: str,
        attributes: Sequence[str],
        wait: Callable[[], float],
    ) -> Iterator[Sequence[tuple[str | None, object]]]:
        """The pages of a search (RFC 2696); `wait` says how long for one."""
        page = SimplePagedResultsControl(True, _PAGE, "")
        while True:
            number = connection.search_ext(
                top, ldap.SCOPE_SUBTREE, text, list(attributes), serverctrls=[page]
            )
            _kind, data, _number, controls = connection.result3(number, timeout=wait())
            yield data or ()
            page.cookie = _cookie(controls)
            if not page.cookie:
                return

    def add(self, name: Name, attributes: Attributes, deadline: Deadline) -> None:
        """See `Store`."""
        self._hashes([attributes], deadline)
        self._write(lambda connection: self._send(connection, Write(name, attributes)), deadline)

    def write(self, writes: Sequence[Write], deadline: Deadline) -> Sequence[Exception | None]:
        """See `Store`."""
        self._hashes([one.attributes for one in writes if one.attributes], deadline)

        def ask(connection: SimpleLDAPObject) -> Sequence[Exception | None]:
            numbers = [self._send(connection, one) for one in writes]
            return [_refusal(connection, number, deadline) for number in numbers]

        try:
            return self._pool.do(ask, deadline, again=False)
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None

    def delete(self, name: Name, deadline: Deadline) -> None:
        """See `Store`."""
        self._write(lambda connection: connection.delete_ext(self._dn(name)), deadline)

    def delete_tree(self, name: Name, timeout: float) -> None:
        """See `Store`; names that others gave are taken as they are."""
        top = self._dn(name)

        def ask(connection: SimpleLDAPObject) -> None:
            try:
                pages = self._pages(connection, top, "(objectClass=*)", ("1.1",), lambda: timeout)
                found = [dn for page in pages for dn, _attributes in page if dn is not None]
            except ldap.NO_SUCH_OBJECT:
                return
            for dn in sorted(found, key=lambda one: -len(ldap.dn.str2dn(one))):
                with contextlib.suppress(ldap.NO_SUCH_OBJECT):
                    _answer(connection, connection.delete_ext(dn), Deadline.after(timeout))

        self._writing(ask, Deadline.after(timeout))

    def change(self, name: Name, changes: Changes, deadline: Deadline) -> None:
        """See `Store`."""
        one = Write(name, None, changes)
        self._write(lambda connection: self._send(connection, one), deadline)

    def _send(self, connection: SimpleLDAPObject, write: Write) -> int:
        if write.attributes is not None:
            values = [(attribute, list(given)) for attribute, given in write.attributes.items()]
            return connection.add_ext(self._dn(write.name), values)
        steps = [
            (kind, attribute, list(values))
            for attribute, (remove, add) in write.changes.items()
            for kind, values in ((ldap.MOD_DELETE, remove), (ldap.MOD_ADD, add))
            if values
        ]
        return connection.modify_ext(self._dn(write.name), steps)

    def set_password(self, name: Name, password: str, deadline: Deadline) -> None:
        """See `Store`."""
        self._write(lambda connection: connection.passwd(self._dn(name), None, password), deadline)

    def change_password(self, name: Name, old: str, new: str, deadline: Deadline) -> None:
        """See `Store`."""
        dn = self._dn(name)
        if not old:
            raise WrongPasswordError  # a bind without a password would be none
        try:
            connection = self._open(deadline, dn, old)
            try:
                _answer(connection, connection.passwd(dn, old, new), deadline)
            finally:
                _end(connection)
        except ldap.INVALID_CREDENTIALS:
            raise WrongPasswordError from None
        except _REFUSALS as error:
            raise WriteRefusedError(_reason(error)) from None
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None

    def _hashes(self, entries: Iterable[Attributes], deadline: Deadline) -> None:
        """WriteRefusedError where one has a password in clear and the server would leave it so."""
        passwords = (one for entry in entries for one in entry.get(PASSWORD, ()))
        if all(_HASHED.match(one) for one in passwords):
            return

        def ask(connection: SimpleLDAPObject) -> Sequence[tuple[str | None, object]]:
            wanted = ["supportedControl"]
            number = connection.search_ext("", ldap.SCOPE_BASE, "(objectClass=*)", wanted)
            return _answer(connection, number, deadline)

        try:
            [(_dn, attributes), *_rest] = self._pool.do(ask, deadline, again=True)
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None
        controls = attributes.get("supportedControl", ()) if isinstance(attributes, dict) else ()
        if _PASSWORD_POLICY not in controls:
            raise WriteRefusedError("the server would keep the password in clear: no ppolicy")

    def _write(self, send: Callable[[SimpleLDAPObject], int], deadline: Deadline) -> None:
        self._writing(lambda one: _answer(one, send(one), deadline), deadline)

    def _writing(self, ask: Callable[[SimpleLDAPObject], object], deadline: Deadline) -> None:
        try:
            self._pool.do(ask, deadline, again=False)
        except _SAID_NO as error:
            raise _told(error) from None
        except (ldap.LDAPError, ValueError) as error:
            raise self._unavailable(error) from None

    def _open(self, deadline: Deadline, dn: str = "", password: str = "") -> SimpleLDAPObject:
        """A connection, bound as this entry, else as the account."""
        connection = ldap.initialize(self._account.uri)
        try:
            connection.set_option(ldap.OPT_REFERRALS, 0)
            connection.set_option(ldap.OPT_RESTART, ldap.OPT_ON)
            connection.set_option(ldap.OPT_NETWORK_TIMEOUT, _seconds(deadline))
            connection.set_option(ldap.OPT_TIMEOUT, _seconds(deadline))
            account = self._account
            number = connection.simple_bind(dn or account.dn, password if dn else account.password)
            _answer(connection, number, deadline)
        except BaseException:
            _end(connection)
            raise
        return connection

    def _dn(self, name: Name) -> str:
        relative = ldap.dn.dn2str([[(attribute, value, 1)] for attribute, value in name])
        return f"{relative},{self._account.base}"

    def to_value(self, name: Name) -> bytes:
        """See `Reader`."""
        return self._dn(name).encode()

    def from_value(self, value: bytes) -> Name:
        """See `Reader`."""
        try:
            return self._name(value.decode())
        except ldap.DECODING_ERROR:
            raise ValueError(f"{value[:200]!r} is no distinguished name") from None

    def _name(self, dn: str) -> Name:
        depth = len(ldap.dn.str2dn(self._account.base))
        return tuple((rdn[0][0], rdn[0][1]) for rdn in ldap.dn.str2dn(dn)[:-depth])

    def _rows(self, answer: Iterable[tuple[str | None, object]]) -> Sequence[Row]:
        # A referral has no name; this directory follows none.
        return [
            Row(self._name(dn), attributes)
            for dn, attributes in answer
            if dn is not None and isinstance(attributes, dict)
        ]

    def _unavailable(self, error: Exception) -> DirectoryUnavailable:
        return DirectoryUnavailable(f"{self._account.uri}: {_reason(error)}")


def _told(error: Exception) -> Exception:
    if isinstance(error, ldap.ALREADY_EXISTS):
        return EntryExistsError()
    return (
        NoEntryError()
        if isinstance(error, ldap.NO_SUCH_OBJECT)
        else WriteRefusedError(_reason(error))
    )


def _refusal(connection: SimpleLDAPObject, number: int, deadline: Deadline) -> Exception | None:
    try:
        _answer(connection, number, deadline)
    except _SAID_NO as error:
        return _told(error)
    return None


def _answer(
    connection: SimpleLDAPObject, number: int, deadline: Deadline
) -> Sequence[tuple[str | None, object]]:
    _kind, data, _number, _controls = connection.result3(number, timeout=_seconds(deadline))
    return data or ()


def _cookie(controls: Iterable[object]) -> str | bytes:
    """Where the next page begins; empty after the last one."""
    pages = (one for one in controls if isinstance(one, SimplePagedResultsControl))
    return next((one.cookie for one in pages), b"")


def _seconds(deadline: Deadline) -> float:
    """What is left, for libldap: there 0 would be a look without waiting, or no bound at all."""
    return max(0.001, deadline.remaining())


def _filter(any_of: Iterable[tuple[str, str]]) -> str:
    escape = ldap.filter.escape_filter_chars
    return "(|" + "".join(f"({attribute}={escape(value)})" for attribute, value in any_of) + ")"


def _end(connection: SimpleLDAPObject) -> None:
    with contextlib.suppress(ldap.LDAPError):
        connection.unbind_ext_s()


def _reason(error: Exception) -> str:
    told = error.args[0] if error.args else ""
    if isinstance(told, dict):
        told = ": ".join(str(told[key]) for key in ("desc", "info") if told.get(key))
    return printable(f"{type(error).__name__}: {told}")
