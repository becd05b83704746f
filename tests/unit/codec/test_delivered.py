"""To whom a message has been delivered, by its header."""

from __future__ import annotations

from iems.codec.delivered import delivered_to
from iems.codec.header import parse_header


def test_addresses_are_read_however_they_are_written() -> None:
    header = parse_header(
        b"Delivered-To: <A@B.test>\r\n"
        b"delivered-to :\r\n c@b.test\r\n"
        b"Delivered-To: nobody\r\n"
        b"Delivered-To: \xff@b.test\r\n"
        b"X-Delivered-To: d@b.test\r\n"
    )
    assert delivered_to(header) == {"a@b.test", "c@b.test"}
