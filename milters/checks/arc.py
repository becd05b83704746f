"""`arc`: does the chain of those who forwarded the message hold (RFC 8617 section 5.2)?

One finding: `none` without a chain, `pass`, or `fail`, also where the last of them says himself
that it is broken; `temperror` where a key cannot be looked up now. A chain that holds proves who
wrote it and nothing more: whether one believes a sealer is for others to say. For them the evidence
names the sealers and what each says to have seen of SPF, DKIM and DMARC.

All keys are asked for at once, of 50 sets at most.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from iems.codec.arc import ArcSet, ChainError, seal_digests, sets
from iems.codec.authres import results
from iems.codec.signedheader import SignedHeader
from iems.dns.resolver import Resolver
from iems.model.finding import TEMPERROR, Finding
from iems.model.message import Body, HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import Table, Where, somewhere
from milters.checks.clients import Clients, ClientSettings, clients
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View
from milters.signatures.fields import (
    Seal,
    Signature,
    Signer,
    UnverifiedError,
    read_message_signature,
    read_seal,
    read_tags,
)
from milters.signatures.verify import (
    Form,
    Key,
    acceptable,
    body_digests,
    read_key,
    verify_body,
    verify_digest,
    verify_header,
)

NAME = "arc"
FAIL = "fail"
_TOLD = ("arc", "spf", "dkim", "dmarc")
_SHOWN = 10
"""Sets that the evidence tells of, the newest: X-IEMS-Findings has no room for fifty."""


@dataclass(frozen=True, kw_only=True)
class Settings(ClientSettings):
    """`[checks.arc]` beside mode, default and allow."""


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.arc]`; SettingsError names file, key, value, expected."""
    return read.read_table(Settings, options, key, where)


def make(_name: str, settings: Settings, tools: Tools) -> tuple[Check, ...]:
    """The check."""
    rule = clients(tools.site, settings)
    return (Arc(rule, tools.resolver),)


@dataclass(frozen=True, slots=True)
class Arc:
    """The check; `clock` gives seconds of the epoch."""

    clients: Clients
    resolver: Resolver
    clock: Callable[[], float] = time.time

    @property
    def name(self) -> str:
        """`arc`."""
        return NAME

    @property
    def stage(self) -> Stage:
        """The whole message is signed."""
        return Stage.BODY

    def applies(self, view: View) -> bool:
        """Whether this client's mail is verified."""
        return self.clients.outside(view)

    def start(self, view: View, deadline: Deadline) -> Pending:
        """Read the chain and ask for its keys."""
        if view.header is None or view.message is None or not self.applies(view):
            return Known()
        block, body = view.header, view.message.body
        try:
            chain = read_chain(block)
            return Validation(self, chain, block, body, deadline) if chain else _NONE
        except UnverifiedError as error:
            return Known((_failed(error),))


@dataclass(frozen=True, slots=True)
class Link:
    """A set as it is read; `told` is what its sealer says to have seen, method to result."""

    fields: ArcSet
    told: Mapping[str, str]
    message: Signature
    seal: Seal


def read_chain(block: HeaderBlock) -> tuple[Link, ...]:
    """The sets from the first on, none where there is no chain; UnverifiedError where it is broken.

    That is steps 1 to 3 of section 5.2.
    """
    try:
        chain = tuple(_link(one) for one in sets(block))
    except ChainError as error:
        raise UnverifiedError(FAIL, str(error)) from None
    if chain and chain[-1].seal.status == FAIL:
        raise UnverifiedError(FAIL, f"{chain[-1].seal.signer.domain} says that it is broken")
    words = ["none", *["pass"] * len(chain)]
    if any(one.seal.status != word for one, word in zip(chain, words, strict=False)):
        raise UnverifiedError(FAIL, "a seal says of the sets before it what cannot be")
    return chain


class Validation:
    """The chain of one message; collected by one thread at a time."""

    def __init__(
        self,
        check: Arc,
        chain: tuple[Link, ...],
        block: HeaderBlock,
        body: Body,
        deadline: Deadline,
    ) -> None:
        self._check = check
        self._chain = chain
        self._header = SignedHeader(block)
        self._body = body
        self._deadline = deadline
        self._findings: tuple[Finding, ...] | None = None
        names = {signer.key_name for one in chain for signer in _signers(one)}
        try:
            self._questions = {name: check.resolver.ask(name, "TXT") for name in sorted(names)}
        except ValueError:
            raise UnverifiedError(FAIL, "d= and s= make no domain name") from None

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            try:
                oldest = self._validated()
                self._findings = (Finding(NAME, "pass", "", "", None, self._evidence(oldest)),)
            except UnverifiedError as error:
                self._findings = (_failed(error),)
        return self._findings

    def _validated(self) -> int:
        """Steps 4 to 6 of section 5.2; the oldest set from which on the message is unchanged."""
        signatures = [one.message for one in reversed(self._chain)]
        newest, older = signatures[0], signatures[1:]
        with _named(newest.signer):
            standing = [(newest, self._header_verified(newest))]
        digests = seal_digests(one.fields for one in self._chain)
        for one, digest in zip(self._chain, digests, strict=True):
            with _named(one.seal.signer):
                verify_digest(one.seal.signer, self._key(one.seal.signer), digest)
        for signature in older:
            try:
                standing.append((signature, self._header_verified(signature)))
            except UnverifiedError:
                break
        forms = {_form(signature) for signature, _key in standing}
        bodies = body_digests(self._body, forms, self._deadline)
        for at, (signature, key) in enumerate(standing):
            try:
                with _named(signature.signer):
                    verify_body(signature, bodies[_form(signature)], key, partial=False)
            except UnverifiedError:
                if at == 0:
                    raise
                standing = standing[:at]
                break
        oldest = len(self._chain) - len(standing) + 1
        return 0 if oldest == 1 else oldest

    def _header_verified(self, signature: Signature) -> Key:
        key = self._key(signature.signer)
        verify_header(signature, key, self._header, self._check.clock())
        return key

    def _key(self, signer: Signer) -> Key:
        return read_key(self._questions[signer.key_name].result(self._deadline), signer)

    def _evidence(self, oldest: int) -> tuple[tuple[str, str], ...]:
        shown = list(enumerate(self._chain, 1))[: -_SHOWN - 1 : -1]
        domains = ":".join(one.seal.signer.domain for _number, one in shown)
        told = (
            (f"set-{number}", " ".join([one.seal.signer.domain, *_words(one)]))
            for number, one in shown
        )
        return (("header.oldest-pass", str(oldest)), ("arc.chain", domains), *told)


def _form(signature: Signature) -> Form:
    """Of the whole body: only a whole one passes, and fifty lengths (`l=`) are fifty digests."""
    return signature.relaxed_body, None


def _words(one: Link) -> list[str]:
    return [f"{method}={one.told[method]}" for method in _TOLD if method in one.told]


_NONE = Known((Finding(NAME, "none"),))


def _failed(error: UnverifiedError) -> Finding:
    word = TEMPERROR if error.outcome == TEMPERROR else FAIL
    return Finding(NAME, word, word, f"chain of forwarders: {error.reason}")


@contextmanager
def _named(signer: Signer) -> Iterator[None]:
    """What goes wrong inside is said of this signer."""
    try:
        yield
    except UnverifiedError as error:
        reason = f"signature of {signer.domain}: {error.reason}"
        raise UnverifiedError(error.outcome, reason) from None


def _signers(one: Link) -> tuple[Signer, Signer]:
    return one.message.signer, one.seal.signer


def _link(fields: ArcSet) -> Link:
    message, seal = fields.signature, fields.seal
    one = Link(
        fields,
        _told(fields.told),
        read_message_signature(message, read_tags(message)),
        read_seal(seal, read_tags(seal)),
    )
    for signer in _signers(one):
        acceptable(signer)
    return one


def _told(value: bytes) -> Mapping[str, str]:
    """One result a method; of several the one that passes, as for signatures."""
    told: dict[str, str] = {}
    for method, result in results(value):
        if method not in told or result == "pass":
            told[method] = result
    return told
