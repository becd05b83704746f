"""`header/<rule>`: does a header field of the message pass a test that the site has named?

The rule itself is `iems.codec.rule`. `matched` and `clear` are its two words; `temperror` says that
there is more of the field than is read. It asks nobody anything: all is done when the result is
collected, and what bounds it is the size of what is read, for by then the body may have taken
longer than any deadline.
"""

from __future__ import annotations

from dataclasses import dataclass

from iems.codec.headers import finding
from iems.codec.rule import HeaderRule, Operator, RuleError
from iems.model.envelope import INTERNET
from iems.model.finding import Finding
from iems.model.message import HeaderBlock
from iems.serve.deadline import Deadline
from iems.settings import read
from iems.settings.read import SettingsError, Table, Where, join, setting, somewhere
from milters.checks.protocol import Check, Known, Pending, Stage, Tools, View


@dataclass(frozen=True, kw_only=True)
class Settings:
    """`[checks.header.RULE]` beside mode, default and allow."""

    field: str = setting(read.text, "name of the header field", example='"Subject"')
    test: str = setting(
        read.one_of(*[one.value for one in Operator]), "what it is to pass", example='"matches"'
    )
    value: str = setting(
        read.text,
        "what the field's value is held against, `matches` by RE2; none for `present` and `absent`",
        "",
        example="'\\b(casino|lottery)\\b'",
    )
    decoded: bool = setting(
        read.flag, "whether encoded words (RFC 2047) are decoded first", default=True
    )
    case: bool = setting(read.flag, "whether upper and lower case are told apart", default=False)
    channels: tuple[str, ...] = setting(
        read.texts, "source channels whose messages are looked at", (INTERNET,)
    )

    def rule(self) -> HeaderRule:
        """The rule; RuleError where there is none."""
        test = Operator(self.test)
        return HeaderRule.of(self.field, test, self.value, decoded=self.decoded, case=self.case)


def parse(options: Table, key: str, where: Where = somewhere) -> Settings:
    """The options of `[checks.header.RULE]`; SettingsError names file, key, value, expected."""
    settings = read.read_table(Settings, options, key, where)
    try:
        settings.rule()
    except RuleError as error:
        path = join(key, error.part)
        given = f"is {options[error.part]!r}" if error.part in options else "is missing"
        raise SettingsError([f"{where(path)}: {path} {given}; {error}"]) from None
    return settings


def make(name: str, settings: Settings, _tools: Tools) -> tuple[Check, ...]:
    """The check of one rule."""
    return (Header(name, settings.rule(), settings.channels),)


@dataclass(frozen=True, slots=True)
class Header:
    """One rule."""

    label: str
    rule: HeaderRule
    channels: tuple[str, ...]
    stage: Stage = Stage.HEADERS

    @property
    def name(self) -> str:
        """`header/RULE`."""
        return f"header/{self.label}"

    def applies(self, view: View) -> bool:
        """Whether messages of this channel are looked at."""
        return view.channel in self.channels

    def start(self, view: View, deadline: Deadline) -> Pending:  # noqa: ARG002 - the protocol's
        """Keep the header for later."""
        if view.header is None or not self.applies(view):
            return Known()
        return Reading(self, view.header)


class Reading:
    """One header, and one rule to hold against it; collected by one thread at a time."""

    def __init__(self, check: Header, block: HeaderBlock) -> None:
        self._check = check
        self._block = block
        self._findings: tuple[Finding, ...] | None = None

    def result(self) -> tuple[Finding, ...]:
        """The finding; what it was at first it stays."""
        if self._findings is None:
            check = self._check
            self._findings = (finding(check.name, check.label, check.rule, self._block),)
        return self._findings
