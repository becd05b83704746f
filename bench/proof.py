"""Every message of the corpus edited and signed, and asked of two readers and a verifier.

Python's `email` and GMime are to see a text in each alternative, a notice for each part that goes
and all else as it was; dkimpy verifies the signature (`tests/proofs.py`). altermime puts in the
same text and is judged by the same readers. It needs no server.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench import corpus
from bench.edits import Altermime
from tests.inserted import faults
from tests.proofs import BLOCK, STEPS, WORDS, Proof, proof
from tests.readers import GMime, Reader, by_email


def measure(_rounds: int, _messages: int) -> str:
    """The table, and the first failures of ours by their file."""
    gmime = GMime()
    try:
        return "\n".join(_tables({"email": by_email, "GMime": gmime}))
    finally:
        gmime.close()


def _tables(readers: Mapping[str, Reader]) -> Iterator[str]:
    pool = [(file, as_sent(data)) for file, data in corpus.files()]
    found = [(file, proof(data, readers)) for file, data in pool]
    yield from ("## Edits of the corpus, judged by email, GMime and dkimpy", "")
    yield "| step | messages | failures | left as they are |"
    yield "| --- | --- | --- | --- |"
    for step in STEPS:
        yield _row(step, found)
    for ascii_only in (False, True):
        yield _other(pool, readers, ascii_only=ascii_only)
    agreed = sum(one.agreed for _file, one in found)
    yield from ("", f"- trees without a defect, compared with both readers: {agreed}", "")
    wrong = [(file, *one) for file, each in found for one in each.wrong.items() if one[1]]
    yield from [f"- {file}, {step}: {', '.join(told)}" for file, step, told in wrong[:20]]


def _row(step: str, found: list[tuple[str, Proof]]) -> str:
    wrong = sum(bool(one.wrong[step]) for _file, one in found)
    left = Counter(one.left[step] for _file, one in found if step in one.left)
    why = ", ".join(f"{count} {reason}" for reason, count in left.most_common())
    return f"| {step} | {len(found)} | {wrong} | {left.total()}: {why or 'none'} |"


def _other(
    pool: list[tuple[str, bytes]], readers: Mapping[str, Reader], *, ascii_only: bool
) -> str:
    words = "Example Ltd." if ascii_only else WORDS
    block = type(BLOCK)(words, f"<p>{words}</p>")
    with tempfile.TemporaryDirectory() as folder:
        other = Altermime(block, Path(folder))
        pairs = [(data, other.of(data)) for _file, data in pool]
    changed = [(data, after) for data, after in pairs if after != data]
    wrong = sum(any(faults(*pair, words, read) for read in readers.values()) for pair in changed)
    name = f"insertion by altermime{', ASCII' if ascii_only else ''}"
    return f"| {name} | {len(pairs)} | {wrong} | {len(pairs) - len(changed)} |"


def as_sent(data: bytes) -> bytes:
    """With CRLF, and without the line that a mailbox puts before a message."""
    bare = data.partition(b"\n")[2] if data.startswith(b"From ") else data
    return bare.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
