"""`iems replay --maildir` finds each seeded change and no other, and no bytes end it."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iems.model.policy import WHOLE, Action
from tests.unit.cli.bench import ALICE, BOB, Bench, message


@pytest.fixture
def bench(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Bench:
    return Bench(tmp_path, capsys)


BANDS = {"dnsbl/soft": "listed", "header/offer": "matched"}
LYING = {"junk": ".Junk", "tag": "", "deliver": ""}


def verdict(found: Iterable[str], policy: dict[str, str]) -> str:
    """Said anew here: the strongest of what the user chose about what was found."""
    return max(
        (Action.parse(policy.get(one, "deliver")) for one in found), default=Action.DELIVER
    ).word


def test_every_seeded_change_is_found_and_no_other(bench: Bench) -> None:
    """Of messages without records, that lie where the policy of then has put them."""
    drawn = random.Random(7)
    mild, strong = list(LYING), [one.word for one in sorted(WHOLE)]
    for _round in range(4):
        then = {user: {check: drawn.choice(mild) for check in BANDS} for user in (ALICE, BOB)}
        expected: dict[str, tuple[str, str]] = {}
        user, check, action = (
            drawn.choice((ALICE, BOB)),
            drawn.choice(list(BANDS)),
            drawn.choice(strong),
        )
        changed = {**then, user: {**then[user], check: action}}
        for number in range(30):
            whom, listed, offer = (
                drawn.choice((ALICE, BOB)),
                drawn.random() < 0.5,
                drawn.random() < 0.5,
            )
            found = [one for one, there in zip(BANDS, (listed, offer), strict=True) if there]
            was, now = (verdict(found, policy[whom]) for policy in (then, changed))
            content = message(
                to=whom,
                client="192.0.2.66" if listed else "192.0.2.1",
                subject="an offer" if offer else "hello",
                above="X-IEMS-Verdict: tag; ref=R\n" if was == "tag" else "",
            )
            bench.put(content, f"{number}", LYING[was])
            if was != now:
                expected[f"{number}"] = was, now
        bench.directory(
            {
                user: ", ".join(
                    f'"{one}" = {{ {BANDS[one]} = "{two}" }}' for one, two in policy.items()
                )
                for user, policy in then.items()
            }
        )
        assert bench.json()["differences"] == []
        told = bench.json("--set", user, check, action)
        assert told["judged"] == {"checks": 30}
        assert {
            Path(one["file"]).name: (one["was"], one["now"]) for one in told["differences"]
        } == expected
        for file in (bench.folder / "m").rglob("cur/*"):
            file.unlink()


@settings(max_examples=25)
@given(
    st.one_of(
        st.binary(max_size=400), st.tuples(st.integers(0, len(message())), st.binary(max_size=60))
    )
)
def test_no_bytes_end_the_run(content: bytes | tuple[int, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        if isinstance(content, tuple):
            at, put_in = content
            content = message()[:at] + put_in + message()[at:]
        bench.put(content)
        bench.put(message(client="192.0.2.1"), "2")
        assert bench.run() in {0, 1}
