"""What the stored rules of one user come to: a script, and whom the milter is to refuse for him."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from iems.model.senders import parse_pattern
from sieve.compiling.compiler import compile_rules
from sieve.compiling.rcpt import Blocked
from sieve.compiling.site import Site
from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort.rule import Mailsort, Operator, asks_facts
from sieve.script.printer import to_text
from sieve.script.profile import Profile


@dataclass(frozen=True, slots=True)
class Ready:
    """What is installed; with a remark that is an error it is not for use.

    `body` is None where there is nothing to run. `refused` are patterns as in a list of senders,
    each with what the sender is told, empty for what the site says;
    `facts` is whether it asks what the agent has to tell it.
    """

    body: str | None
    refused: Mapping[str, str]
    remarks: tuple[Diagnostic, ...]
    facts: bool = False

    @property
    def usable(self) -> bool:
        """Whether it may be installed."""
        return all(one.severity is not Severity.ERROR for one in self.remarks)


NOTHING = Ready(None, {}, ())


def ready(mailsort: Mailsort, profile: Profile, site: Site, most: int) -> Ready:
    """Compile these rules; at most so many patterns count at RCPT.

    Where a list of senders cannot say what they refuse, the script does it.
    """
    if mailsort == Mailsort():
        return NOTHING
    compiled = compile_rules(mailsort, profile, site)
    try:
        refused = patterns(compiled.blocked, most)
        remarks = (*compiled.remarks, *_doubts(compiled.blocked))
    except ValueError as error:
        told = Diagnostic(Severity.WARNING, f"nobody is refused at RCPT: {error}")
        compiled = compile_rules(mailsort, profile, replace(site, rcpt=False))
        refused, remarks = {}, (told, *compiled.remarks)
    return Ready(to_text(compiled.script), refused, remarks, asks_facts(mailsort))


def patterns(blocked: Iterable[Blocked], most: int) -> Mapping[str, str]:
    """The same as patterns of a list of senders, each with what the sender is told.

    The most exact pattern counts there, and here the first rule: so one that lies within that of an
    earlier rule has the text of the earlier.
    ValueError where one has no such form, or they are more than `most`.
    """
    found: dict[str, str] = {}
    for one in blocked:
        for value in one.values:
            below = [f".{value}"] if one.operator is Operator.IN_DOMAIN else []
            for pattern in map(parse_pattern, [value, *below]):
                earlier = (found[wider] for wider in _wider(pattern) if wider in found)
                found[pattern] = next(earlier, one.told)
    if len(found) > most:
        raise ValueError(f"the rules refuse {len(found)} senders; at most {most} can be")
    return found


def _wider(pattern: str) -> Iterator[str]:
    """The pattern, and those that fit whatever it fits, from the narrowest on."""
    yield pattern
    domain = pattern.rpartition("@")[2]
    if domain != pattern:
        yield domain
    rest = domain.removeprefix(".")
    while rest := rest.partition(".")[2]:
        yield f".{rest}"


def _doubts(blocked: Iterable[Blocked]) -> Iterator[Diagnostic]:
    """Which rules do not have all of their text told, each once."""
    doubts = {one.rule: one.doubt for one in blocked}
    return (Diagnostic(Severity.WARNING, text, rule) for rule, text in doubts.items() if text)
