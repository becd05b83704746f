"""The pass-through stage with 100,000 users in the directory against the same with 20.

Benches with a slapd of their own, which Postfix and the milter ask as on a server; the checks are
those of `bench.passthrough` on messages of about 4 KiB. A quarter of the users has two policies of
his own. Of the many every message goes to another one, whom nobody has asked for before (`new`), or
to one of a set who come again in every round (`known`). The milter remembers the few, or, where it
is `few, asked`, nobody: what that costs is a search's price, whatever the number of users. The runs
of a round take turns. Searches are counted in slapd's own log, and what `iems` takes for one user
is timed.
"""

from __future__ import annotations

import itertools
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench import corpus, figures, load, names, passthrough, suite
from bench.smtp import BOXES, Bench, Work, started
from iems.serve.status import resident
from tests.integration.directory import tree
from tests.integration.stack import deployed
from tests.integration.stack.ground import GROUP, Ground, owned, users
from tests.integration.stack.programs import program, run
from tests.integration.stack.slapd import Slapd

FEW, MANY = 20, 100_000
_POLICY = ("dnsbl/one listed choice junk", "iprev mismatch choice tag")
_EVERY = 4
"""One user in so many has policies of his own."""

_QUESTIONS = 5
"""Times that `iems` is asked for each user's account and policy."""

_SETTINGS = """
[directory]
kind = "ldap"
uri = "{uri}"
ttl = {ttl}
[milter]
ldap_password_file = "{folder}/ldap-milter"
[admin]
ldap_password_file = "{folder}/ldap-admin"
"""

LIFE = 3600
"""Seconds: known users stay known for longer than a run."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run: messages a second, searches by the milter, milliseconds of processor a message."""

    rate: float
    searches: int
    slapd: float
    milter: float


class _Side:
    """A directory of so many users, and the bench that remembers its answers for `ttl` seconds."""

    def __init__(self, ground: Ground, stack: ExitStack, count: int, ttl: int = LIFE) -> None:
        self.count = count
        self.slapd = tree.start(ground)
        stack.callback(lambda: self.slapd.stop())
        self.filled = _fill(self.slapd, ground.place("ldif") / "users.ldif", count)
        folder = ground.place("secrets")
        for name in ("milter", "admin"):
            tree.write(folder / f"ldap-{name}", tree.password(name) + "\n")
            owned(folder / f"ldap-{name}", "root", GROUP, 0o640)
        settings = _SETTINGS.format(uri=self.slapd.ldapi, folder=folder, ttl=ttl)
        records = tuple(one for sender in corpus.senders() for one in sender.records)
        self.bench: Bench = started(
            ground,
            stack,
            Work(
                settings + passthrough.CHECKS,
                records,
                first=names.OUTSIDE,
                main=_maps(ground.place("maps"), self.slapd),
            ),
        )

    def hold(self, talks: Sequence[load.Conversation]) -> Ran:
        """One run, in which the milter looked at every message."""
        searches, *before = self._searches(), *self._cpu()
        ran = self.bench.hold("warm", talks)
        assert ran.headers == len(talks), (ran.headers, len(talks))
        slapd, milter = (
            1000 * (now - then) / len(talks) for now, then in zip(self._cpu(), before, strict=True)
        )
        return Ran(ran.rate, self._searches() - searches, slapd, milter)

    def _searches(self) -> int:
        """How many the milter has sent so far."""
        return self.slapd.searches(suite.DOMAIN)[tree.service_dn("milter")]

    def _cpu(self) -> tuple[float, float]:
        """Seconds of processor that slapd and the milter have taken until now."""
        return suite.cpu([self.slapd.pid]), self.bench.cpu("warm")

    def answers(self, verb: str) -> float:
        """Seconds that `iems VERB show` takes for a user, the interpreter's start included."""
        call = "import sys; from cli.main import main; sys.exit(main())"
        words = [sys.executable, "-c", call, "--settings", str(self.bench.settings), verb, "show"]
        draw, taken = random.Random(names.SEED), []
        for _question in range(_QUESTIONS):
            began = time.perf_counter()
            told = subprocess.run(
                [*words, _user(draw.randrange(self.count))],
                env={**os.environ, "PYTHONPATH": str(suite.REPOSITORY)},
                capture_output=True,
                check=True,
            )
            taken.append(time.perf_counter() - began)
            assert told.stdout
        return statistics.median(taken)


def measure(rounds: int, messages: int) -> str:
    """Run everything; the table."""
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        few, many = (_Side(ground, stack, count) for count in (FEW, MANY))
        sides = {
            "few": few,
            "few, asked": _Side(ground, stack, FEW, ttl=0),
            "known": many,
            "new": many,
        }
        return _table(few, many, _rounds(sides, rounds, messages), messages)


def _rounds(sides: dict[str, _Side], rounds: int, messages: int) -> dict[str, list[Ran]]:
    """Every run, by its name."""
    pool = corpus.messages(passthrough.SIZES)[passthrough.SIZES[0]]
    sent = passthrough.signed(pool, messages)
    # Nobody is drawn twice, not in another round either.
    order = random.Random(names.SEED).sample(range(MANY), messages * (rounds + 1))
    drawn = [order[at : at + messages] for at in range(0, len(order), messages)]

    def talks(side: _Side, numbers: Iterable[int]) -> list[load.Conversation]:
        return passthrough.talks_for(side.bench, sent, map(_user, numbers))

    fixed = {
        name: talks(sides[name], itertools.cycle(range(FEW))) for name in ("few", "few, asked")
    } | {"known": talks(sides["known"], drawn.pop())}
    for _time, (name, each) in itertools.product(range(2), fixed.items()):
        sides[name].hold(each)  # not counted: both workers know clients, and most of these users
    kept: dict[str, list[Ran]] = {name: [] for name in sides}
    for number, new in enumerate(drawn):
        now = {**fixed, "new": talks(sides["new"], new)}
        for name in kept if number % 2 == 0 else reversed(kept):
            kept[name].append(sides[name].hold(now[name]))
            print(f"round {number + 1} {name}: {kept[name][-1]}", flush=True)
    assert min(one.searches for one in kept["new"]) >= messages
    return kept


def _table(few: _Side, many: _Side, kept: dict[str, list[Ran]], messages: int) -> str:
    rates = {name: [one.rate for one in each] for name, each in kept.items()}
    rows = [
        figures.row(f"{FEW} users", rates["few"]),
        figures.row(f"{FEW} users, none remembered", rates["few, asked"], rates["few"]),
        figures.row(f"{MANY:,} users, known", rates["known"], rates["few"]),
        figures.row(f"{MANY:,} users, new", rates["new"], rates["few"]),
    ]
    facts: dict[str, object] = {
        "messages a run": messages,
        "searches by the milter in a run (median)": _told(kept, "searches", ".0f"),
        "processor time of slapd a message, ms (median)": _told(kept, "slapd", ".2f"),
        "processor time of the milter a message, ms (median)": _told(kept, "milter", ".2f"),
        f"`slapadd -q` of {MANY:,} users": f"{many.filled:.1f} s",
        "slapd holds": f"{_mebibytes(few)} and {_mebibytes(many)}, the mapped file included",
        **{
            f"`iems {verb} show` of one user, ms (median)": (
                f"{1000 * few.answers(verb):.0f} and {1000 * many.answers(verb):.0f}"
            )
            for verb in ("user", "policy")
        },
    }
    return figures.table(f"The pass-through stage with {MANY:,} users", rows, facts)


def _told(kept: dict[str, list[Ran]], what: str, form: str) -> str:
    middles = {
        name: statistics.median(getattr(one, what) for one in each) for name, each in kept.items()
    }
    return "; ".join(f"{name} {value:{form}}" for name, value in middles.items())


def _fill(server: Slapd, ldif: Path, count: int) -> float:
    """Write the users into the stopped slapd's files; seconds that it took."""
    with ldif.open("w") as out:
        out.write(tree.domain(suite.DOMAIN))
        for number in range(count):
            policy = _POLICY if number % _EVERY == 0 else ()
            out.write(tree.user(_user(number), *(f"iemsPolicy: {one}" for one in policy)))
    server.stop()
    began = time.perf_counter()
    run(program("slapadd"), "-q", "-n1", "-F", server.folder / "slapd.d", "-l", ldif)
    seconds = time.perf_counter() - began
    run("chown", "-R", "openldap:openldap", server.folder / "data")
    server.start()
    return seconds


def _maps(folder: Path, server: Slapd) -> dict[str, str]:
    """Postfix asks the directory for users and aliases as on a server; one mailbox takes all.

    virtual(8) itself asks no proxy, so it delivers for a relay domain.
    """
    for name in ("users.cf", "aliases.cf"):
        text = tree.on(server, deployed.text(f"postfix/ldap/{name}"), "postfix")
        owned(tree.write(folder / name, text), "root", "postfix", 0o640)
    asked, aliases = (f"proxy:ldap:{folder}/{name}" for name in ("users.cf", "aliases.cf"))
    return {
        "virtual_mailbox_domains": "",
        "relay_domains": suite.DOMAIN,
        "relay_recipient_maps": asked,
        "relay_transport": "virtual",
        "virtual_mailbox_maps": f"static:{BOXES[0].partition('@')[0]}/",
        "virtual_alias_maps": f"{aliases}, {asked}",
        "proxy_read_maps": f"{aliases}, {asked}",
    }


def _user(number: int) -> str:
    return f"user{number}@{suite.DOMAIN}"


def _mebibytes(side: _Side) -> str:
    return f"{resident(side.slapd.pid) / (1 << 20):.0f} MiB"
