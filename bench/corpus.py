"""Messages to measure with: real ones where the corpus is there, signed by domains of a run.

The corpus is a tar file beside the repository; without it messages are made of words. What a
message said of its transport and authors is replaced, so that each is of one of twenty domains with
SPF, DKIM and DMARC in the DNS of the run. One of these is forged throughout: its record names no
client, its messages are changed after they were signed, and its HELO does not exist.
"""

from __future__ import annotations

import random
import re
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import dkim

from bench.names import SEED
from bench.suite import REPOSITORY
from tests import signing

FILE = REPOSITORY.parent / "shared" / "corpus" / "spamassassin.tar.zst"
SENDERS = 20
POOL = 40
"""Different messages of one size."""

_GONE = re.compile(
    rb"(from|sender|resent-.*|return-path|delivered-to|bcc|content-length|dkim-.*|domainkey-.*"
    rb"|x-spam.*)",
    re.IGNORECASE,
)
"""What the sender says anew, and what Postfix drops."""

_FIELD = re.compile(rb"([!-9;-~]+):[^\n]*\n(?:[ \t][^\n]*\n)*")
_CONTROL = re.compile(rb"[^\t\n\x1b\x20-\xff]|\x7f")
"""Bytes that Postfix mends, or of which verifiers take different digests; not the escape of
ISO-2022."""

_SIGNED = (b"from", b"to", b"subject", b"date", b"message-id", b"mime-version", b"content-type")


@dataclass(frozen=True, slots=True)
class Sender:
    """One domain of those that send; the first is forged."""

    number: int

    @property
    def forged(self) -> bool:
        """Whether nothing of it is true."""
        return self.number == 0

    @property
    def domain(self) -> str:
        """Its name."""
        return f"sender{self.number}.test"

    @property
    def address(self) -> str:
        """In MAIL FROM and From."""
        return f"user@{self.domain}"

    @property
    def helo(self) -> str:
        """What its server says."""
        return f"mail.{self.domain}"

    @property
    def records(self) -> tuple[str, ...]:
        """What the DNS says of it, as lines of a zone file."""
        key = signing.key(domain=self.domain)
        known = () if self.forged else (f"{self.helo}. 3600 IN A 198.18.0.1",)
        spf = "v=spf1 -all" if self.forged else "v=spf1 ip4:198.18.0.0/15 -all"
        return (
            *known,
            _text(self.domain, spf),
            _text(f"_dmarc.{self.domain}", "v=DMARC1; p=reject"),
            _text(key.name, key.record),
        )

    def sign(self, message: bytes) -> bytes:
        """The message as this domain sends it."""
        key = signing.key(domain=self.domain)
        message = b"From: A Sender <%s>\r\n" % self.address.encode() + message
        field = dkim.DKIM(message).sign(
            key.selector.encode(),
            self.domain.encode(),
            key.pem(),
            canonicalize=(b"relaxed", b"relaxed"),
            include_headers=_SIGNED,
        )
        changed = b"One line more.\r\n" if self.forged else b""
        return field + message + changed


def senders() -> list[Sender]:
    """All of them."""
    return [Sender(number) for number in range(SENDERS)]


def messages(sizes: tuple[int, ...]) -> dict[int, list[bytes]]:
    """`POOL` messages of about each size, with line ends of CRLF and without a From."""
    if not FILE.exists():
        draw = random.Random(SEED)
        return {size: [_made(draw, size) for _number in range(POOL)] for size in sizes}
    with unpacked() as folder:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        by_size = {path: path.stat().st_size for path in files}
        return {
            size: _sound(sorted(files, key=lambda path: abs(by_size[path] - size)))
            for size in sizes
        }


def files() -> Iterator[tuple[str, bytes]]:
    """All messages as they are, by the names of their files."""
    with unpacked() as folder:
        for file in sorted(folder.rglob("*")):
            if file.is_file() and not file.name.startswith("index"):
                yield str(file.relative_to(folder)), file.read_bytes()


@contextmanager
def unpacked() -> Iterator[Path]:
    """The folder with all files of the corpus, for as long as the block runs."""
    if not FILE.exists():
        raise SystemExit(f"{FILE}: expected the corpus there")
    with tempfile.TemporaryDirectory(prefix="iems-bench-") as folder:
        subprocess.run(["tar", "--zstd", "-xf", FILE, "-C", folder], check=True)
        yield Path(folder)


def _sound(files: list[Path]) -> list[bytes]:
    found: list[bytes] = []
    for path in files:
        message = _cleaned(path.read_bytes())
        found += [message] if message else []
        if len(found) == POOL:
            return found
    raise ValueError("the corpus has too few messages")


def _cleaned(data: bytes) -> bytes:
    """The message; nothing where a server on its way would mend what was signed."""
    if data.startswith(b"From "):
        data = data.partition(b"\n")[2]
    head, empty, body = data.replace(b"\r\n", b"\n").partition(b"\n\n")
    fields = [(one.group(), one.group(1)) for one in _FIELD.finditer(head + b"\n")]
    if not empty or b"".join(raw for raw, _name in fields) != head + b"\n":
        return b""
    kept = b"".join(raw for raw, name in fields if not _GONE.fullmatch(name))
    whole = kept + b"\n" + body.rstrip(b"\n") + b"\n"
    return b"" if _CONTROL.search(whole) else whole.replace(b"\n", b"\r\n")


def _made(draw: random.Random, size: int) -> bytes:
    words = [
        bytes(draw.choices(b"abcdefghijklmnopqrstuvwxyz", k=length)) for length in range(2, 12)
    ]
    head = (
        b"To: <user@example.test>\r\nSubject: %s\r\nDate: Sun, 01 Jun 2025 12:00:00 +0000\r\n"
        b"Message-ID: <%d@made.test>\r\n\r\n"
        % (b" ".join(draw.choices(words, k=6)), draw.getrandbits(60))
    )
    lines = (b" ".join(draw.choices(words, k=10)) + b"\r\n" for _line in range(size // 78))
    return head + b"".join(lines)


def _text(name: str, value: str) -> str:
    pieces = [value[at : at + 255] for at in range(0, len(value), 255)]
    return f"{name}. 3600 IN TXT " + " ".join(f'"{piece}"' for piece in pieces)
