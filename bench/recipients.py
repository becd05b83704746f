"""One message to many recipients, each with a policy of his own or one of 40, through everything.

Postfix as deployed, milter, agent, Dovecot and slapd, which writes down every search. Nobody has
been asked for before, so no cache helps; the client is on the delegated blacklist, so that every
policy decides something: deliver, tag or junk, and the copies in Junk are counted. Each message has
recipients of its own, and Dovecot makes the mailbox of each.
"""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass

from bench.deployed import deployed
from bench.smtp import MESSAGE
from tests.integration.directory import tree
from tests.integration.stack.mailsystem import DELEGATED, MailSystem
from tests.integration.stack.smtp import Client
from tests.waiting import eventually

CASES = ((1, 1), (10, 10), (100, 100), (100, 40), (1000, 1000))
"""Recipients, and policies among them."""

SERVICES = ("postfix", "milter", "agent", "dovecot")
_CLIENT = "198.18.9.9"
_WORDS = ("deliver", "tag", "junk", "quarantine", "defer", "discard", "reject")
_LISTED = _WORDS[:3]
"""What a recipient may have done with mail from a listed client here: all of it is delivered."""

_BANDS = ("iprev mismatch", "iprev temperror", "dnsbl/delegated temperror")


@dataclass(frozen=True, slots=True)
class Measured:
    """One message: seconds until the reply to DATA and until the last copy, searches by service."""

    accepted: float
    delivered: float
    searches: dict[str, int]


def measure(rounds: int, _messages: int) -> str:
    """Run everything; the table."""
    kept: dict[tuple[int, int], list[Measured]] = {case: [] for case in CASES}
    with deployed() as (system, lists, _ground):
        lists.list(DELEGATED, _CLIENT)
        _send(system, "warm.test", (20, 20))  # not counted: every process has been used once
        for number, case in itertools.product(range(rounds), CASES):
            one = _send(system, f"r{number}n{case[0]}of{case[1]}.test", case)
            kept[case].append(one)
            print(f"round {number + 1}: {case}: {one}", flush=True)
    head = " | ".join(f"searches, {name}" for name in SERVICES)
    return "\n".join(
        [
            "## One message to many recipients",
            "",
            f"| recipients | policies | accepted, s | delivered, s | {head} |",
            "| --- " * (4 + len(SERVICES)) + "|",
            *(_row(*case, each) for case, each in kept.items()),
            "",
        ]
    )


def _send(system: MailSystem, domain: str, case: tuple[int, int]) -> Measured:
    count, policies = case
    recipients = _recipients(system, domain, count, policies)
    with Client(system.port(), client=(_CLIENT, "mx.sender.test")) as client:
        began = time.perf_counter()
        sent = client.send("sender@world.test", recipients, MESSAGE)
        accepted = time.perf_counter() - began
    assert len(sent.accepted) == count, sent.data
    mail = system.dovecot.folder / "mail" / domain
    eventually(lambda: len(list(mail.glob("*/Maildir/**/new/*"))) == count, 120, "all copies")
    delivered = time.perf_counter() - began
    filed = sum(
        number % policies % len(_LISTED) == _LISTED.index("junk") for number in range(count)
    )
    assert len(list(mail.glob("*/Maildir/.Junk/new/*"))) == filed
    system.postfix.wait_empty()
    asked = system.slapd.searches(domain)
    searches = {name: asked[tree.service_dn(name)] for name in SERVICES}
    return Measured(accepted, delivered, searches)


def _recipients(system: MailSystem, domain: str, count: int, policies: int) -> list[str]:
    """New users, who have so many policies in turns."""
    choices = itertools.product(*(_WORDS for _band in _BANDS), _LISTED)
    turns = itertools.cycle(list(itertools.islice(choices, policies)))
    entries, addresses = [tree.domain(domain)], []
    for number, (*words, listed) in enumerate(itertools.islice(turns, count)):
        address = f"n{number}@{domain}"
        rules = [*zip(_BANDS, words, strict=True), ("dnsbl/delegated listed", listed)]
        policy = (f"iemsPolicy: {band} choice {word}" for band, word in rules)
        entries.append(tree.user(address, *policy))
        addresses.append(address)
    system.slapd.add("".join(entries))
    return addresses


def _row(count: int, policies: int, each: list[Measured]) -> str:
    accepted = statistics.median(one.accepted for one in each)
    delivered = statistics.median(one.delivered for one in each)
    searches = [statistics.median(one.searches[name] for one in each) for name in SERVICES]
    told = " | ".join(f"{one:.0f}" for one in searches)
    return f"| {count} | {policies} | {accepted:.3f} | {delivered:.2f} | {told} |"
