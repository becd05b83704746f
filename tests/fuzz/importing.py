"""Laws of rules of other programs: their importers take any bytes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sieve.diagnostic import Severity
from sieve.importing import forward, gmail, maildrop, procmail, thunderbird
from sieve.importing.imported import Imported
from sieve.mailsort.read import check
from sieve.mailsort.rule import AddressTest, BodyTest, HeaderTest, Operator, tests

READERS: Mapping[bytes, Callable[[bytes], Imported]] = {
    b"p": procmail.read,
    b"m": maildrop.read,
    b"f": forward.read,
    b"g": gmail.read,
    b"t": thunderbird.read,
}


def rules(data: bytes) -> None:
    """The first letter says whose they are; what comes of them can be written down and compiled.

    There are not more rules than lines and a few, remarks are of lines that there are, and what
    cannot be said is said to be so.
    """
    read = READERS.get(data[:1])
    if read is None:
        return
    imported = read(data[1:])
    lines = data.count(b"\n") + 1
    words = data.count(b" ") + data.count(b"\t") + data.count(b"<") + data.count(b";")
    assert len(imported.mailsort.rules) <= lines + words + 1
    assert all(0 <= one.line <= lines for one in imported.remarks)
    assert all(one.message for one in imported.remarks if one.severity is Severity.ERROR)
    check(imported.mailsort)
    for rule in imported.mailsort.rules:
        assert rule.name.isprintable()
        assert rule.actions
        for test in tests(rule.condition):
            if isinstance(test, HeaderTest | AddressTest | BodyTest):
                assert bool(test.values) == (test.operator is not Operator.EXISTS)
                assert not [one for one in test.values if _odd(one)]


def _odd(value: str) -> bool:
    return any(ord(one) < 32 and one != "\t" for one in value) or "\ue000" in value
