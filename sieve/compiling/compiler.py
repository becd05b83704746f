"""Rules of Mailsort compiled to one Sieve script.

Sieve keeps no account of what it has done, and Pigeonhole gives a whole script up where two of its
actions conflict (0.5.19, seen): a second vacation, or reject beside anything that files, sends on
or answers. So where an earlier rule may have done what a later one must know of, a variable
remembers it; where none can have, there is none. docs/adr/0040-mailsort-is-compiled.md says why.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from sieve.compiling.answer import notification, reply, vacation
from sieve.compiling.condition import CannotBeCompiledError, allof, compiled, date, verdict
from sieve.compiling.limits import Meeting, beyond
from sieve.compiling.rcpt import Blocked, blocked_of
from sieve.compiling.senders import Met, Senders, senders_of
from sieve.compiling.site import AfterQueue, Site
from sieve.compiling.steps import Steps, folder_name, steps_of
from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort.rule import DateTest, Discard, Mailsort, Reject, Rule, Vacation
from sieve.script.profile import Profile
from sieve.script.tree import Command, Script, Tag, Test, Text, Texts, command, negated, test

HANDLED = "handled"
"""The variable of what was filed, sent on or answered, and so is not rejected."""
ANSWERED = "answered"
"""The variable of what was answered."""

_Target: TypeAlias = tuple[str, str]
"""`fileinto` and a folder, or `redirect` and an address."""


@dataclass(frozen=True, slots=True)
class Compiled:
    """A script, what is to be known about it, and what is to be refused at RCPT beside it.

    With a remark that is an error it is not for use: a rule is not in it, or no server runs it.
    """

    script: Script
    remarks: tuple[Diagnostic, ...]
    blocked: tuple[Blocked, ...]


@dataclass(slots=True)
class _Part:
    """One rule on its way: its test, its steps, and what it must ask or take back.

    `asks` are variables that stop it from doing a thing twice; `cancels` are folders and addresses
    for which INBOX is to be left by `discard`, since Pigeonhole drops their second action with all
    that it says about INBOX.
    """

    rule: Rule
    test: Test | None
    senders: Senders | None
    steps: Steps
    asks: set[str] = field(default_factory=set)
    cancels: set[_Target] = field(default_factory=set)
    remembers: set[str] = field(default_factory=set)


def compile_rules(mailsort: Mailsort, profile: Profile, site: Site = Site()) -> Compiled:  # noqa: B008
    """The script that does for each message what the rules mean, in this profile's Sieve."""
    return _Compiler(profile, site).compiled(mailsort)


class _Compiler:
    """Of one list of rules."""

    def __init__(self, profile: Profile, site: Site) -> None:
        self.profile = profile
        self.site = site
        self.remarks: list[Diagnostic] = []
        self.own: tuple[str, ...] = ()
        self.variables: dict[str, str] = {}
        self.spelled: dict[str, str] = {}
        self.junk = verdict(site, "junk")

    def compiled(self, mailsort: Mailsort) -> Compiled:
        rules = tuple(rule for rule in mailsort.rules if rule.enabled)
        away = mailsort.vacation
        self.own = tuple(
            dict.fromkeys((*self.site.addresses, *(away.addresses if away is not None else ())))
        )
        blocked = blocked_of(rules) if self.site.rcpt else {}
        parts = self.parts(rule for place, rule in enumerate(rules) if place not in blocked)
        when = self.answered(away, parts) if away is not None and away.enabled else None
        parts = self.reached(parts)
        self.variables = _guard(parts, answered=when is not None)
        commands = [one for part in parts for one in self.commands(part)]
        if away is not None and when is not None:
            answer: tuple[Command, ...] = (vacation(away, self.own),)
            if any(ANSWERED in part.asks for part in parts):
                answer = (*answer, _remember(ANSWERED))
            commands.insert(0, replace(_where(when, answer), comment=("Vacation",)))
        script = Script(tuple(commands))
        acts = [self.acts(part) for part in parts]
        if when is not None:
            acts.insert(0, Meeting("Vacation", None, frozenset({("vacation", "")}), last=False))
        self.remarks += beyond(acts, self.profile.actions, self.profile.redirects)
        self.remarks += self.profile.lacks(script)
        return Compiled(
            script,
            tuple(self.remarks),
            tuple(one for each in blocked.values() for one in each),
        )

    def say(self, severity: Severity, message: str, rule: str = "") -> None:
        self.remarks.append(Diagnostic(severity, message, rule))

    def parts(self, rules: Iterable[Rule]) -> list[_Part]:
        """Those that can be compiled."""
        parts = []
        for rule in rules:
            try:
                condition = None if rule.condition is None else compiled(rule.condition, self.site)
                steps = steps_of(rule, self.site, self.spelled)
            except CannotBeCompiledError as error:
                self.say(Severity.ERROR, str(error), rule.name)
            else:
                parts.append(_Part(rule, condition, senders_of(rule.condition), steps))
        return parts

    def reached(self, parts: list[_Part]) -> list[_Part]:
        """Those up to the first that ends for every message."""
        for place, part in enumerate(parts, 1):
            if part.test is None and part.steps.end is not None and parts[place:]:
                self.say(Severity.NOTE, "no later rule is ever met", part.rule.name)
                return parts[:place]
        return parts

    def answered(self, away: Vacation, parts: list[_Part]) -> Test | None:
        """For what the vacation is sent, before all rules: not what one of them would refuse."""
        refused = [
            part for part in parts if any(isinstance(one, Reject) for one in part.rule.actions)
        ]
        if any(part.test is None for part in refused):
            self.say(Severity.WARNING, "no vacation is sent: a rule refuses every message")
            return None
        tests = [negated(self.junk), *(negated(part.test) for part in refused if part.test)]
        if away.since is not None or away.until is not None:
            tests.insert(0, date(DateTest(away.since, away.until)))
        return allof(tuple(tests))

    def acts(self, part: _Part) -> Meeting:
        """What its commands may come to."""
        steps = part.steps
        acts = {target for target, _ in _targets(steps)}
        acts |= {("notify", to) for to in steps.notices}
        if steps.reply is not None:
            acts.add(("vacation", ""))
        if part.cancels or isinstance(steps.end, Discard):
            acts.add(("discard", ""))
        if isinstance(steps.end, Reject):
            acts.add(("reject", ""))
        return Meeting(part.rule.name, part.senders, frozenset(acts), steps.end is not None)

    def commands(self, part: _Part) -> tuple[Command, ...]:
        """Of one rule, with its name on top."""
        commands = tuple(self.does(part))
        if not commands:
            return ()
        if part.test is not None:
            return (replace(_where(part.test, commands), comment=(part.rule.name,)),)
        return (replace(commands[0], comment=(part.rule.name,)), *commands[1:])

    def does(self, part: _Part) -> Iterable[Command]:
        steps = part.steps
        if steps.flags:
            yield command("addflag", Texts.of(*steps.flags))
        for folder, leaves in steps.folders.items():
            yield from self.files(part, folder, leaves=leaves)
        if steps.folders and HANDLED in part.remembers:
            yield _remember(HANDLED)
        for notice in steps.notices.values():
            yield notification(notice)
        sent = tuple(self.sends(part))
        if sent:
            yield _where(negated(self.junk), sent)
        yield from self.ends(part)

    def files(self, part: _Part, folder: str, *, leaves: bool) -> Iterable[Command]:
        variable = self.variables.get(folder, "")
        filing: tuple[Command, ...] = (self.fileinto(folder, copy=not leaves),)
        if variable in part.remembers:
            filing = (*filing, _remember(variable))
        if variable in part.asks:
            yield _where(_forgotten(variable), filing)
        else:
            yield from filing
        if ("fileinto", folder) in part.cancels:
            yield command("discard")

    def fileinto(self, folder: str, *, copy: bool = False) -> Command:
        tags = [Tag("copy")] if copy else []
        if "mailbox" in self.profile.extensions:
            tags.append(Tag("create"))
        else:
            message = f"the server makes no folder: {folder!r} has to be there"
            if not any(one.message == message for one in self.remarks):
                self.say(Severity.WARNING, message)
        return command("fileinto", *tags, Text(folder))

    def sends(self, part: _Part) -> Iterable[Command]:
        """What is not done with junk."""
        steps = part.steps
        for address, leaves in steps.addresses.items():
            yield command("redirect", *(() if leaves else (Tag("copy"),)), Text(address))
            if ("redirect", address) in part.cancels:
                yield command("discard")
        if steps.reply is not None:
            answer: tuple[Command, ...] = (reply(part.rule.name, steps.reply, self.own),)
            if ANSWERED in part.remembers:
                answer = (*answer, _remember(ANSWERED))
            if ANSWERED in part.asks:
                yield _where(_forgotten(ANSWERED), answer)
            else:
                yield from answer
        if (steps.addresses or steps.reply) and not steps.folders and HANDLED in part.remembers:
            yield _remember(HANDLED)

    def ends(self, part: _Part) -> Iterable[Command]:
        match part.steps.end:
            case Reject(text):
                refused = self.refuses(part.rule, text)
                if HANDLED in part.asks:
                    yield _where(_forgotten(HANDLED), (refused,))
                    yield Command("else", (), None, (command("discard"),))
                else:
                    yield refused
            case Discard():
                yield command("discard")
            case None:
                return
        yield command("stop")

    def refuses(self, rule: Rule, text: str) -> Command:
        if self.site.reject_after_queue is AfterQueue.BOUNCE:
            known = self.profile.extensions
            word = "ereject" if "ereject" in known and "reject" not in known else "reject"
            return command(word, Text(text))
        self.say(
            Severity.WARNING,
            f"what it would refuse goes to {self.site.junk!r}: it is accepted already when this "
            "rule is met, and the site sends no bounces",
            rule.name,
        )
        return self.fileinto(folder_name(self.site.junk, self.site))


class _Traces:
    """What the rules so far may have left that a later one must know of."""

    def __init__(self) -> None:
        self.handled = Met()
        self.answered = Met()
        self.flagged = -1
        self.first: dict[str, int] = {}
        self.filed: dict[str, Met] = defaultdict(Met)
        self.kept: dict[_Target, Met] = defaultdict(Met)


def _guard(parts: list[_Part], *, answered: bool) -> dict[str, str]:
    """Says of each part what it has to ask, to cancel and to remember; the variable of a folder."""
    traces, variables = _Traces(), dict[str, str]()
    if answered:
        traces.answered.add(None)
    for place, part in enumerate(parts):
        _ask(place, part, traces, variables)
        if part.steps.end is None:
            _leave(place, part, traces)
    asked: set[str] = set()
    for part in reversed(parts):
        # An end asks whether its own rule has sent on or answered.
        part.remembers = part.asks & {HANDLED} if part.steps.end else set(asked)
        asked |= part.asks
    return variables


def _ask(place: int, part: _Part, traces: _Traces, variables: dict[str, str]) -> None:
    steps, senders = part.steps, part.senders
    if steps.flags:
        traces.flagged = place
    for folder in steps.folders:
        # Pigeonhole gives what is filed twice the flags of the second time.
        if traces.first.get(folder, place) < traces.flagged and traces.filed[folder].may_include(
            senders
        ):
            part.asks.add(variables.setdefault(folder, f"filed_{len(variables) + 1}"))
    part.cancels |= {
        target
        for target, leaves in _targets(steps)
        if leaves and traces.kept[target].may_include(senders)
    }
    if steps.reply is not None and traces.answered.may_include(senders):
        part.asks.add(ANSWERED)
    if isinstance(steps.end, Reject) and (steps.handles or traces.handled.may_include(senders)):
        part.asks.add(HANDLED)


def _leave(place: int, part: _Part, traces: _Traces) -> None:
    steps, senders = part.steps, part.senders
    for folder in steps.folders:
        traces.first.setdefault(folder, place)
        traces.filed[folder].add(senders)
    for target, leaves in _targets(steps):
        if not leaves:
            traces.kept[target].add(senders)
    if steps.reply is not None:
        traces.answered.add(senders)
    if steps.handles:
        traces.handled.add(senders)


def _targets(steps: Steps) -> Iterable[tuple[_Target, bool]]:
    for folder, leaves in steps.folders.items():
        yield ("fileinto", folder), leaves
    for address, leaves in steps.addresses.items():
        yield ("redirect", address), leaves


def _where(one: Test, block: tuple[Command, ...]) -> Command:
    """`if`; where another one is all that stands in it, that too is its test."""
    if len(block) == 1 and block[0].name == "if" and block[0].test is not None:
        return Command("if", (), allof((one, block[0].test)), block[0].block)
    return Command("if", (), one, block)


def _remember(variable: str) -> Command:
    return command("set", Text(variable), Text("yes"))


def _forgotten(variable: str) -> Test:
    return test("string", Tag("is"), Texts((Text(f"${{{variable}}}", expand=True),)), Texts.of(""))
