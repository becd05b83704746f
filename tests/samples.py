"""Messages that carry a virus that harms nobody, in all the ways in which scanners are misled.

Most of them hold what the industry has agreed on to be found; `SYNTHETIC` is known to the clamd of
the tests by its digest.
"""

from __future__ import annotations

import base64
import binascii
import io
import re
import struct
import tarfile
import zipfile
from collections.abc import Mapping

from milters.engines.scanner import EICAR

SYNTHETIC = b"a sample of the tests\n" * 10
HEADER = b"From: a@sender.example\r\nTo: bob@example.test\r\nSubject: s\r\nMIME-Version: 1.0\r\n"
TEXT = b"Content-Type: text/plain\r\n\r\nhello\r\n"


def zipped(content: bytes, name: str = "a.com") -> bytes:
    """An archive."""
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return into.getvalue()


def encrypted(content: bytes) -> bytes:
    """An archive that says of itself that it is encrypted."""
    whole = bytearray(zipped(content))
    whole[6] |= 1  # the general purpose flags of the file, and those in the directory
    whole[whole.index(b"PK\1\2") + 8] |= 1
    return bytes(whole)


def tarred(content: bytes, name: str) -> bytes:
    """An archive."""
    into = io.BytesIO()
    with tarfile.open(fileobj=into, mode="w") as archive:
        about = tarfile.TarInfo(name)
        about.size = len(content)
        archive.addfile(about, io.BytesIO(content))
    return into.getvalue()


def uuencoded(content: bytes, name: str) -> bytes:
    """A file as it stands in a text."""
    at = range(0, len(content), 45)
    lines = b"".join(binascii.b2a_uu(content[one : one + 45]) for one in at)
    return (f"begin 644 {name}\n".encode() + lines + b"`\nend\n").replace(b"\n", b"\r\n")


def tnef(content: bytes, name: str) -> bytes:
    """Outlook's winmail.dat with one attachment."""

    def attribute(level: int, kind: int, value: bytes) -> bytes:
        head = struct.pack("<BLL", level, kind, len(value))
        return head + value + struct.pack("<H", sum(value) & 0xFFFF)

    return b"".join(
        (
            struct.pack("<LH", 0x223E9F78, 1),
            attribute(1, 0x00089006, struct.pack("<L", 0x10000)),
            attribute(2, 0x00069002, struct.pack("<HLHHL", 1, 0xFFFFFFFF, 0, 0, 0)),
            attribute(2, 0x00018010, name.encode() + b"\0"),
            attribute(2, 0x0006800F, content),
        )
    )


def yenc(content: bytes, name: str) -> bytes:
    """A file as it stands in a text of Usenet."""
    shifted = bytes((byte + 42) % 256 for byte in content)
    plain = re.sub(rb"[\0\r\n=]", lambda found: b"=%c" % ((found[0][0] + 64) % 256), shifted)
    head = f"=ybegin line=128 size={len(content)} name={name}\r\n".encode()
    return head + plain + b"\r\n=yend size=%d\r\n" % len(content)


def lines(content: bytes) -> bytes:
    """In base64."""
    return base64.encodebytes(content).replace(b"\n", b"\r\n")


def part(content: bytes, kind: str = "application/octet-stream", name: str = "a.zip") -> bytes:
    """An attachment in base64."""
    head = f'Content-Type: {kind}; name="{name}"\r\nContent-Transfer-Encoding: base64\r\n'
    return f'{head}Content-Disposition: attachment; filename="{name}"\r\n\r\n'.encode() + lines(
        content
    )


def mixed(*parts: bytes, boundary: str = "XX", named: str = "", header: bytes = HEADER) -> bytes:
    """A message of parts; `named` is the boundary that its header names, if another one."""
    kind = f'Content-Type: multipart/mixed; boundary="{named or boundary}"\r\n\r\npreamble\r\n'
    inner = b"".join(f"--{boundary}\r\n".encode() + one + b"\r\n" for one in parts)
    return header + kind.encode() + inner + f"--{boundary}--\r\n".encode()


ARCHIVE = zipped(EICAR)
ATTACHED = mixed(TEXT, part(ARCHIVE))
_MESSAGE = b"Content-Type: message/rfc822\r\n"
_BASE64 = b"Content-Transfer-Encoding: base64\r\n"

PLAIN: Mapping[str, bytes] = {
    "plain": HEADER + b"\r\n" + EICAR + b"\r\n",
    "base64": mixed(TEXT, part(EICAR)),
    "by its digest": mixed(TEXT, part(SYNTHETIC)),
    "zip in tar in a message": mixed(
        TEXT,
        _MESSAGE + b"\r\n" + mixed(TEXT, part(tarred(ARCHIVE, "a.zip"), "application/x-tar")),
        boundary="YY",
    ),
    "uuencoded": HEADER + b"\r\nhello\r\n\r\n" + uuencoded(ARCHIVE, "a.zip"),
    "TNEF": mixed(TEXT, part(tnef(ARCHIVE, "a.zip"), "application/ms-tnef", "winmail.dat")),
    "wrong type": mixed(TEXT, part(ARCHIVE, "image/png", "a.png")),
    "wrong boundary": mixed(TEXT, part(ARCHIVE), named="WRONG"),
    "behind an encrypted archive": mixed(TEXT, part(encrypted(b"x" * 100)), part(ARCHIVE)),
}
"""What the issue of virus scanners asks for; clamd finds each by itself."""

DOUBTFUL: Mapping[str, bytes] = {
    "a line that begins as a delimiter": ATTACHED.replace(
        b"--XX\r\nContent-Type: application", b"--XXmore\r\nContent-Type: application"
    ),
    "padding within base64": mixed(
        TEXT,
        b"Content-Type: application/zip; name=a.zip\r\n"
        + _BASE64
        + b"\r\n"
        + b"".join(lines(ARCHIVE[at : at + 10]) for at in range(0, len(ARCHIVE), 10)),
    ),
    "lines that end in CR": HEADER + ATTACHED.removeprefix(HEADER).replace(b"\r\n", b"\r"),
    "a multipart in base64": HEADER
    + b"Content-Type: multipart/mixed; boundary=XX\r\n"
    + _BASE64
    + b"\r\n"
    + lines(mixed(TEXT, part(ARCHIVE), header=b"").partition(b"\r\n\r\n")[2]),
    "uuencoded within base64": mixed(
        b"Content-Type: text/plain\r\n"
        + _BASE64
        + b"\r\n"
        + lines(b"hello\r\n" + uuencoded(ARCHIVE, "a.zip"))
    ),
    "uuencoded with another mode": HEADER
    + b"\r\n"
    + uuencoded(ARCHIVE, "a.zip").replace(b"begin 644", b"begin 0644"),
    "yEnc": HEADER + b"\r\n" + yenc(EICAR, "a.com"),
}
"""What clamd does not find, for it reads such a message in another way than some mail programs."""

HIDDEN = b"X-Odd: 1\r\n" * 400 + mixed(TEXT, part(ARCHIVE), header=b"")
"""What clamd does not take for a message."""
