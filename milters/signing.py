"""Which mail is signed by DKIM, by whose keys, and the field that it gets (docs/dkim.md).

Signed is what was sent here by who may send with the address in From: at submission whose login
owns the address, from a list manager what its list sends, of this machine its own mail and its
bounces. What merely comes through it is foreign, whatever it says: mail from outside, from the
loopback without a login, and what Sieve sends on or answers by sendmail(1).

What was delivered here and is sent on is sealed instead (`milters.sealing`).

Before a signature the message is brought into a form that no hop changes
(`iems.edits.seven_bit`). A large one that needs it stays as it is, since all of it would be in
memory.

DirectoryUnavailable and OSError are for the caller: the mail waits, and does not leave unsigned.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from iems.directory.ownership import owns
from iems.directory.reader import Alias, Directory
from iems.editing.choice import author
from iems.edits.dkim_sign import NAME, Signer, UnsignableError, body_digest, signature
from iems.edits.edit import EditError
from iems.edits.seven_bit import LONGEST, Survey, seven_bit, survey
from iems.model.address import Address, AddressError
from iems.model.envelope import LIST, LOCAL, SUBMISSION
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings
from iems.store.keys import ACTIVE
from iems.store.signingkeys import DomainKeys, at_or_above
from milters.draft import Draft
from milters.reply import Edit, InsertHeader
from milters.sealing import Sealing
from milters.state import Message

_DAY = 24 * 60 * 60


class UnsignedError(Exception):
    """Why a message is not signed."""


@dataclass(frozen=True, slots=True)
class Signed:
    """A message as it is signed, the fields that it gets, and what is told of them."""

    draft: Draft
    edits: tuple[Edit, ...] = ()
    note: str = ""


class Signing:
    """Of one worker; `keys` are those of each domain, `secret_of` knows those of the site."""

    def __init__(
        self,
        settings: Settings,
        keys: Mapping[str, DomainKeys],
        directory: Directory,
        secret_of: Callable[[str], bytes | None],
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._signers = _signers(keys, settings.signing.valid * _DAY)
        self._sealing = Sealing(settings.hostname, self._of(settings.hostname), secret_of)

    @property
    def on(self) -> bool:
        """Whether anything is ever signed."""
        return bool(self._signers)

    def wants(self, message: Message) -> bool:
        """Whether it may get a signature or a seal, by its header and channel: keep its body."""
        return self._seals(message) or bool(self._candidates(message, message.block)[1])

    def sign(self, message: Message, draft: Draft, now: int) -> Signed:
        """The draft of a message that is whole, in the form that is signed, and the signatures."""
        if self._seals(message):
            return Signed(draft, *self._sealing.seal(message, draft, now))
        whose, signers = self._candidates(message, draft.header)
        if whose is None or not signers:
            return Signed(draft)
        if draft.body is None:
            return Signed(draft, note=f"not signed: {draft.fault}")
        try:
            self._allow(message, whose)
            sealed, note = _sealed(draft)
            digest = body_digest(sealed.content())
            values = [signature(one, sealed.header, digest, now) for one in signers]
        except (UnsignedError, UnsignableError) as error:
            return Signed(draft, note=f"not signed: {error}")
        names = ", ".join(f"{one.selector}._domainkey.{one.domain}" for one in signers)
        fields = tuple(InsertHeader(0, NAME, value) for value in values)
        return Signed(sealed, fields, f"signed: {names}{note}")

    def _candidates(
        self, message: Message, header: HeaderBlock
    ) -> tuple[Address | None, tuple[Signer, ...]]:
        """Whom From names, and who may sign for his domain or one above it."""
        if not self._signers or message.channel not in {SUBMISSION, LOCAL, LIST}:
            return None, ()
        found = author(header)
        return found, self._of(found.domain) if found else ()

    def _of(self, domain: str) -> tuple[Signer, ...]:
        """Who signs for a domain."""
        found = (self._signers[one] for one in at_or_above(domain) if one in self._signers)
        return next(found, ())

    def _seals(self, message: Message) -> bool:
        return self.on and self._sealing.wants(message)

    def _allow(self, message: Message, author: Address) -> None:
        """UnsignedError unless who sent the message may send with this address."""
        if message.channel == LOCAL:
            return self._allow_machine(message, author)
        deadline = Deadline.after(self._settings.directory.timeout)
        if message.channel == LIST:
            entry = self._directory.find([author], deadline).get(author.key)
            if not isinstance(entry, Alias) or entry.mailing_list is None:
                raise UnsignedError(f"{author} is no list")
            return None
        try:
            login = Address.parse(message.authenticated)
        except AddressError:
            raise UnsignedError("the login is no address") from None
        if not owns(self._directory, login, author, deadline):
            raise UnsignedError(f"{author} is not an address of {login}")
        return None

    def _allow_machine(self, message: Message, author: Address) -> None:
        """Its accounts own ACCOUNT@HOSTNAME; nobody has logged in as a user of the directory."""
        if message.sent_on:
            raise UnsignedError("it was sent on, or by a Sieve script")
        sender = message.sender_address
        own = author.domain == self._settings.hostname
        if not own or (message.sender and (sender is None or sender.key != author.key)):
            raise UnsignedError("nobody has logged in, and From is not its sender at this machine")


def _sealed(draft: Draft) -> tuple[Draft, str]:
    """The message as it is signed, and what is to be told of that.

    UnsignedError where a line would be broken on the way, and so the signature.
    """
    found = _survey(draft)
    why = "they stand outside of its parts"
    if not found.clean:
        try:
            edit = seven_bit(draft.data)
            draft, why = draft.edited(edit), edit.reason or why
            found = _survey(draft)
        except EditError as error:
            why = str(error)
    if found.long_line:
        raise UnsignedError(f"a line has more than {LONGEST} bytes: {why}")
    return draft, f"; its 8-bit bytes stay as they are: {why}" if found.eight_bit else ""


def _survey(draft: Draft) -> Survey:
    return survey(draft.header.raw, draft.content())


def _signers(keys: Mapping[str, DomainKeys], lifetime: int) -> Mapping[str, tuple[Signer, ...]]:
    """Who signs, by domain."""
    found = {
        domain: tuple(Signer(domain, key.selector, key.private, lifetime) for key in one.of(ACTIVE))
        for domain, one in keys.items()
    }
    return {domain: signers for domain, signers in found.items() if signers}
