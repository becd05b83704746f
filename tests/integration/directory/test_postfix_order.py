"""`resolve` against a real Postfix: the same recipients for random graphs of aliases.

All graphs live in one Postfix at once, each in domains of its own. Every message is put on hold,
so the queue shows what cleanup(8) made of its recipient.
"""

from __future__ import annotations

import random
import smtplib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from iems.directory.resolve import UnreasonableAlias, resolve
from iems.directory.toml import TomlDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from tests.integration.directory import tree
from tests.integration.stack import deployed
from tests.integration.stack.ground import Ground
from tests.integration.stack.postfix import Listener, Postfix

GRAPHS = 40
SEED = 20_250
_MAP = "proxy:ldap:$config_directory/ldap"
EXTENSIONS = ("", "+x", "+x+y", "+")


@dataclass
class Graph:
    """A domain with users and aliases, and the addresses whose way is compared.

    `forwards` are those of the users, `others` what further domains are other names of.
    """

    domain: str
    users: list[str] = field(default_factory=list)
    forwards: dict[str, list[str]] = field(default_factory=dict)
    others: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    starts: list[str] = field(default_factory=list)

    def address(self, local: str) -> str:
        """An address of the domain."""
        return f"{local}@{self.domain}"

    def directory(self) -> str:
        """The graph as a TOML directory."""
        lines = [f'[domains."{name}"]' for name in self.domains]
        for user in self.users:
            lines.append(f'[users."{user}"]')
            lines += [f"forward = {self.forwards[user]}"] if user in self.forwards else []
        lines.append("[aliases]")
        lines += [f'"{name}" = {list(targets)}' for name, targets in self.aliases.items()]
        lines += [f'"@{name}" = ["@{other}"]' for name, other in self.others.items()]
        return "\n".join(lines)

    @property
    def domains(self) -> list[str]:
        """All of ours."""
        return [self.domain, *self.others]

    def map(self) -> dict[str, str]:
        """What Postfix's map of aliases answers."""
        names = dict.fromkeys([*self.aliases, *self.forwards])
        rows = {name: [*self.aliases.get(name, ()), *self.forwards.get(name, ())] for name in names}
        joined = {name: ", ".join(dict.fromkeys(targets)) for name, targets in rows.items()}
        return joined | {f"@{name}": f"@{other}" for name, other in self.others.items()}


def random_graph(number: int) -> Graph:
    """Few names and many edges, so that circles and addresses on both sides are common."""
    draw = random.Random(SEED + number)
    graph = Graph(f"g{number}.graph.test")
    users = [f"u{index}" for index in range(3)]
    names = [f"a{index}" for index in range(draw.randint(1, 6))]
    graph.users = [graph.address(user) for user in users]
    ends = [graph.address(name) for name in (*users, "unknown")] + ["far@example.net", "f@b.test"]
    density = draw.choice((0.1, 0.3, 0.6))

    def target() -> str:
        one = draw.choice(ends)
        if draw.random() < density:
            one = graph.address(draw.choice(names))
        local, _at, domain = one.partition("@")
        if domain == graph.domain and graph.others and draw.random() < 0.3:
            domain = draw.choice(list(graph.others))
        return f"{local}{draw.choice(EXTENSIONS) if draw.random() < 0.2 else ''}@{domain}"

    if draw.random() < 0.6:
        graph.others[f"o.{graph.domain}"] = graph.domain
    if graph.others and draw.random() < 0.5:
        graph.others[f"p.{graph.domain}"] = draw.choice((f"o.{graph.domain}", f"q.{graph.domain}"))
        graph.others[f"q.{graph.domain}"] = draw.choice((graph.domain, f"p.{graph.domain}"))
    left = [graph.address(name) for name in names]
    left += [f"{name}@{other}" for name in names for other in graph.others if draw.random() < 0.1]
    left += [graph.address(f"{name}+x") for name in names if draw.random() < 0.2]
    left += [user for user in graph.users if draw.random() < 0.3]
    left += [f"@{graph.domain}"] if draw.random() < 0.4 else []
    for name in left:
        targets = [target() for _ in range(draw.randint(1, 3))]
        if draw.random() < 0.3 and not name.startswith("@"):
            targets.insert(draw.randint(0, len(targets)), name)
        graph.aliases[name] = list(dict.fromkeys(targets))
    for user in graph.users:
        if draw.random() < 0.3:
            forward = [target() for _ in range(draw.randint(1, 2))]
            graph.forwards[user] = list(dict.fromkeys([*forward, *([user] * draw.randint(0, 1))]))
    locals_ = [*names, *users, "unknown", names[0].upper()]
    graph.starts = [graph.address(name + draw.choice(EXTENSIONS)) for name in locals_]
    graph.starts += [graph.address(name) for name in locals_]
    for other in graph.others:
        graph.starts += [f"{name}{draw.choice(EXTENSIONS)}@{other}" for name in locals_]
    return graph


def chain(length: int) -> Graph:
    """A chain of so many aliases with a user at its end."""
    graph = Graph(f"chain{length}.graph.test")
    names = [graph.address(f"c{index}") for index in range(length)]
    graph.users = [graph.address("end")]
    graph.aliases = {name: [to] for name, to in zip(names, [*names[1:], *graph.users], strict=True)}
    graph.starts = names[:1]
    return graph


def wide(count: int) -> Graph:
    """An alias for so many others elsewhere."""
    graph = Graph(f"wide{count}.graph.test")
    graph.aliases = {graph.address("all"): [f"to{number}@example.net" for number in range(count)]}
    graph.starts = list(graph.aliases)
    return graph


@pytest.fixture(scope="module")
def graphs() -> list[Graph]:
    """Random ones, and those at the limits."""
    chains = [chain(length) for length in (8, 9, 10, 11)]
    return [*map(random_graph, range(GRAPHS)), *chains, wide(1000), wide(1001)]


@pytest.fixture(scope="module")
def postfix(ground: Ground, graphs: list[Graph]) -> Iterator[Postfix]:
    """A Postfix that knows all graphs as it is deployed, only that its maps are files."""
    folder = ground.place("graphs")
    domains = {name: name for graph in graphs for name in graph.domains}
    users = {user: user for graph in graphs for user in graph.users}
    aliases = {name: to for graph in graphs for name, to in graph.map().items()}
    real = deployed.values("postfix/main.cf")
    main = {name: real[name] for name in tree.settings()}
    for name, rows in (("domains", domains), ("users", users), ("aliases", aliases)):
        _table(folder / name, rows)
        main = {
            key: value.replace(f"{_MAP}/{name}.cf", f"texthash:{folder}/{name}")
            for key, value in main.items()
        }
    main["smtpd_sender_login_maps"] = main["smtpd_sender_restrictions"] = ""
    main["smtpd_client_restrictions"] = "check_client_access static:HOLD"
    server = Postfix(ground, main=main, listeners=[Listener("internet", ground.port(), {})])
    server.start()
    yield server
    server.empty()
    server.stop()


def _table(path: Path, rows: Mapping[str, str]) -> None:
    path.write_text("".join(f"{key}\t{value}\n" for key, value in rows.items()))


def test_same_recipients(postfix: Postfix, graphs: list[Graph]) -> None:
    """Nobody more, nobody less, and deferred together."""
    asked = [(graph, start) for graph in graphs for start in graph.starts]
    theirs = _posted(postfix, [start for _graph, start in asked])
    directories = {graph.domain: TomlDirectory.parse(graph.directory()) for graph in graphs}
    differences = []
    seen = set()
    for graph, start in asked:
        ours = _ours(directories[graph.domain], start)
        real = _real(graph, theirs[start])
        seen.add(real if isinstance(real, str) else min(len(real), 3))
        if ours != real:
            differences.append(
                f"{start}: ours {_short(ours)}, Postfix {_short(real)}\n{graph.directory()[:3000]}"
            )
    if differences:
        pytest.fail("\n\n".join([f"{len(differences)} differences", *differences[:5]]))
    assert seen >= {"deferred", 0, 1, 2, 3}, "the graphs do not show every kind of outcome"


def _short(outcome: frozenset[str] | str) -> str:
    return outcome if isinstance(outcome, str) else str(sorted(outcome)[:20])


def _ours(directory: TomlDirectory, start: str) -> frozenset[str] | str:
    try:
        found = resolve(directory, Address.parse(start), Deadline.after(5))
    except UnreasonableAlias:
        return "deferred"
    return frozenset(f"{one.address.key} {one.channel}" for one in found if not one.nobody)


def _real(graph: Graph, recipients: frozenset[str] | str) -> frozenset[str] | str:
    """What Postfix will do with these: a user's mailbox, elsewhere; unknown ones are left out."""
    if isinstance(recipients, str):
        return recipients
    known = set()
    for one in recipients:
        local, _at, domain = one.lower().rpartition("@")
        if domain not in graph.domains:
            known.add(f"{one.lower()} internet")
        elif {one.lower(), f"{local.partition('+')[0]}@{domain}"} & set(graph.users):
            known.add(f"{one.lower()} local")
    return frozenset(known)


def _posted(postfix: Postfix, starts: list[str]) -> dict[str, frozenset[str] | str]:
    """What Postfix makes of mail for each address: recipients in the queue, none, or deferred."""
    outcome: dict[str, frozenset[str] | str] = {}
    queue_ids: dict[str, str] = {}
    with smtplib.SMTP("127.0.0.1", postfix.port(), timeout=30) as smtp:
        smtp.ehlo("client.example.net")
        for start in starts:
            smtp.mail("sender@example.net")
            code, text = smtp.rcpt(start)
            if code != 250:
                assert code == 550, (start, code, text)
                outcome[start] = frozenset()
                smtp.rset()
                continue
            code, text = smtp.data(b"Subject: way\r\n\r\nway\r\n")
            if code == 250:
                queue_ids[text.decode().rpartition(" as ")[2]] = start
            else:
                assert code == 451, (start, code, text)
                outcome[start] = "deferred"
    entries = {entry.queue_id: entry for entry in postfix.entries()}
    for queue_id, start in queue_ids.items():
        outcome[start] = frozenset(entries[queue_id].recipients)
    return outcome
