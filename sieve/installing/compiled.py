"""What the stored rules of one user come to: a script, and whom the milter is to refuse for him."""

from __future__ import annotations

from collections.abc import Iterable
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

    `body` is None where there is nothing to run. `refused` are patterns as in a list of senders;
    `facts` is whether it asks what the agent has to tell it.
    """

    body: str | None
    refused: frozenset[str]
    remarks: tuple[Diagnostic, ...]
    facts: bool = False

    @property
    def usable(self) -> bool:
        """Whether it may be installed."""
        return all(one.severity is not Severity.ERROR for one in self.remarks)


NOTHING = Ready(None, frozenset(), ())


def ready(mailsort: Mailsort, profile: Profile, site: Site, most: int) -> Ready:
    """Compile these rules; at most so many patterns count at RCPT.

    Where a list of senders cannot say what they refuse, the script does it.
    """
    if mailsort == Mailsort():
        return NOTHING
    compiled = compile_rules(mailsort, profile, site)
    try:
        refused = patterns(compiled.blocked, most)
    except ValueError as error:
        told = Diagnostic(Severity.WARNING, f"nobody is refused at RCPT: {error}")
        compiled = compile_rules(mailsort, profile, replace(site, rcpt=False))
        compiled = replace(compiled, remarks=(told, *compiled.remarks))
        refused = frozenset()
    return Ready(to_text(compiled.script), refused, compiled.remarks, asks_facts(mailsort))


def patterns(blocked: Iterable[Blocked], most: int) -> frozenset[str]:
    """The same as patterns of a list of senders.

    ValueError where one has no such form, or they are more than `most`.
    """
    found = set()
    for one in blocked:
        for value in one.values:
            found.add(parse_pattern(value))
            if one.operator is Operator.IN_DOMAIN:
                found.add(parse_pattern(f".{value}"))
    if len(found) > most:
        raise ValueError(f"the rules refuse {len(found)} senders; at most {most} can be")
    return frozenset(found)
