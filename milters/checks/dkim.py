"""`dkim`: do the message's DKIM signatures hold (RFC 6376, 8301, 8463)?

One finding a signature, from the top, of at most eight; one finding `none` where there is none. The
words are those of RFC 8601 section 2.7.1. A message that any signature holds for has no band; else
the first one that may yet hold (`temperror`), or the first of all, has one. A key whose owner only
tries (`t=y`) makes no band: such mail is not treated worse than unsigned mail (RFC 6376 section
3.6.1).

The keys are asked for at once, all together. The body is read only where fields and key are right,
once for each canonical form that is wanted, whatever its size.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from iems.codec.printable import printable
from iems.codec.signedheader import SignedHeader
from iems.dns.resolver import Question, Resolver
from iems.model.finding import TEMPERROR, Finding
from iems.model.message import Body, Field, HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, setting, somewhere
from milters.checks.clients import Clients, ClientSettings, clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.signatures.fields import Signature, Tags, UnverifiedError, read_dkim, read_tags
from milters.signatures.verify import (
    Key,
    acceptable,
    body_digests,
    form,
    read_key,
    verify_body,
    verify_header,
)

NAME = "dkim"
FIELD = b"DKIM-Signature"
FAIL, PERMERROR = "fail", "permerror"
MOST = 8
"""Signatures that are looked at: honest mail has one or two, and four at a list of lists."""

_SHOWN = 253


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.dkim]` beside mode, default and allow."""

    partial_body: bool = setting(
        read.flag,
        "whether a signature passes that covers only the start of the body (`l=`): what follows it "
        "can be anybody's",
        default=False,
    )


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.dkim]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check."""
    rule = clients(tools.site, settings)
    return (Dkim(rule, tools.resolver, settings.partial_body),)


@dataclass(frozen=True, slots=True)
class Dkim:
    """The check; `clock` gives seconds of the epoch."""

    clients: Clients
    resolver: Resolver
    partial: bool
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """`dkim`."""
        return NAME

    @property
    def stage(self) -> Stage:
        """The whole message is signed."""
        return Stage.BODY

    def applies(self, view: View) -> bool:
        """Whether this client's mail is verified."""
        return self.clients.outside(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Read the signatures and ask for their keys."""
        if view.header is None or view.message is None or not self.applies(view):
            return Known()
        return Verification(self, view.header, view.message.body, deadline)


@dataclass(slots=True)
class _Attempt:
    """One signature on its way: what is known of it, and why it does not pass, if so."""

    tags: Tags
    signature: Signature | None = None
    question: Question | None = None
    key: Key | None = None
    failure: UnverifiedError | None = None


class Verification:
    """The signatures of one message; collected by one thread at a time."""

    def __init__(self, check: Dkim, block: HeaderBlock, body: Body, deadline: Deadline) -> None:
        self._check = check
        self._body = body
        self._deadline = deadline
        self._header = SignedHeader(block)
        self._attempts = [self._attempt(field) for field in block.named(FIELD)[:MOST]]
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The findings; what they were at first they stay."""
        if self._findings is None:
            for attempt in self._attempts:
                self._verify_header(attempt)
            self._verify_bodies()
            self._findings = _findings(self._attempts)
        return self._findings

    def _attempt(self, field: Field) -> _Attempt:
        attempt = _Attempt({})
        try:
            attempt.tags = read_tags(field)
            attempt.signature = read_dkim(field, attempt.tags)
            acceptable(attempt.signature.signer)
            attempt.question = self._check.resolver.ask(attempt.signature.signer.key_name, "TXT")
        except UnverifiedError as error:
            attempt.failure = error
        except ValueError:
            attempt.failure = UnverifiedError("neutral", "d= and s= make no domain name")
        return attempt

    def _verify_header(self, attempt: _Attempt) -> None:
        if attempt.signature is None or attempt.question is None:
            return
        try:
            answer = attempt.question.result(self._deadline)
            attempt.key = read_key(answer, attempt.signature.signer)
            verify_header(attempt.signature, attempt.key, self._header, self._check.clock())
        except UnverifiedError as error:
            attempt.failure = error

    def _verify_bodies(self) -> None:
        """The body is read once for all signatures that stand so far."""
        standing = [
            (attempt, attempt.signature, attempt.key)
            for attempt in self._attempts
            if attempt.failure is None and attempt.signature and attempt.key
        ]
        forms = {form(signature) for _attempt, signature, _key in standing}
        try:
            digests = body_digests(self._body, forms, self._deadline)
        except UnverifiedError as error:
            for attempt, _signature, _key in standing:
                attempt.failure = error
            return
        for attempt, signature, key in standing:
            try:
                verify_body(signature, digests[form(signature)], key, partial=self._check.partial)
            except UnverifiedError as error:
                attempt.failure = error


def _findings(attempts: list[_Attempt]) -> tuple[Finding, ...]:
    if not attempts:
        return (Finding(NAME, "none"),)
    found = [_finding(attempt) for attempt in attempts]
    failures = [attempt.failure for attempt in attempts]
    if None not in failures:
        counted = [at for at, error in enumerate(failures) if error and not error.testing]
        counted.sort(key=lambda at: found[at].outcome != TEMPERROR)
        for at in counted[:1]:
            word = found[at].outcome
            band = word if word in {FAIL, TEMPERROR} else PERMERROR
            found[at] = replace(found[at], band=band)
    return tuple(found)


def _finding(attempt: _Attempt) -> Finding:
    signer = attempt.signature.signer if attempt.signature else None
    told = {
        "d": signer.domain if signer else _told(attempt.tags, b"d"),
        "s": signer.selector if signer else _told(attempt.tags, b"s"),
        "a": _told(attempt.tags, b"a"),
        "b": _told(attempt.tags, b"b")[:8],
    }
    evidence = [(f"header.{name}", value) for name, value in told.items() if value]
    if attempt.key is not None:
        evidence.append(("bits", str(attempt.key.public.bits)))
    failure = attempt.failure
    if (failure and failure.testing) or (attempt.key and attempt.key.testing):
        evidence.append(("testing", "yes"))
    if failure is None:
        return Finding(NAME, "pass", "", "", None, tuple(evidence))
    reason = f"signature of {told['d'] or 'nobody'}: {failure.reason}"
    return Finding(NAME, failure.outcome, "", reason, None, tuple(evidence))


def _told(tags: Tags, name: bytes) -> str:
    """A tag's value as it stands there, white space deleted."""
    return printable(b"".join(tags.get(name, b"").split()), _SHOWN)
