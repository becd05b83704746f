"""To whom a message has been delivered, by its header."""

from __future__ import annotations

from iems.codec.delivered import delivered_to


def test_addresses_are_read_however_they_are_written() -> None:
    header = [
        (b"Delivered-To", b" <A@B.test>"),
        (b"delivered-to ", b"\r\n c@b.test"),
        (b"Delivered-To", b" nobody"),
        (b"Delivered-To", b" \xff@b.test"),
        (b"X-Delivered-To", b" d@b.test"),
    ]
    assert delivered_to(header) == {"a@b.test", "c@b.test"}
