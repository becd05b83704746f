"""Tricks that hide that the name of a file ends in `exe`."""

from __future__ import annotations

from collections.abc import Mapping

from tests.tricks.making import FILE, OCTETS, Trick, named

NAMES: Mapping[str, Trick] = {
    "in Content-Type alone": named(b'Content-Type: application/octet-stream; name="evil.exe"\r\n'),
    "another one in Content-Type": named(b'Content-Type: image/png; name="a.png"\r\n', FILE),
    "two names": named(
        OCTETS, b"Content-Disposition: attachment; filename=a.png; filename=evil.exe\r\n"
    ),
    "two dispositions": named(OCTETS, b"Content-Disposition: inline\r\n", FILE),
    "without quotes": named(OCTETS, b"Content-Disposition: attachment; filename=evil.exe\r\n"),
    "without quotes, with blanks": named(
        OCTETS, b"Content-Disposition: attachment; filename=my evil.exe\r\n"
    ),
    "quotes that do not end": named(
        OCTETS, b'Content-Disposition: attachment; filename="evil.exe\r\n'
    ),
    "escaped": named(OCTETS, b'Content-Disposition: attachment; filename="ev\\il.e\\xe"\r\n'),
    "RFC 2231": named(OCTETS, b"Content-Disposition: attachment; filename*=utf-8''%65vil.exe\r\n"),
    "RFC 2231 without a charset": named(
        OCTETS, b"Content-Disposition: attachment; filename*=evil%2Eexe\r\n"
    ),
    "RFC 2231 with a charset of nobody": named(
        OCTETS, b"Content-Disposition: attachment; filename*=x-none''evil%2Eexe\r\n"
    ),
    "sections": named(
        OCTETS,
        b"Content-Disposition: attachment; filename*0=evil; filename*1=.e; filename*2=xe\r\n",
    ),
    "sections out of order": named(
        OCTETS, b"Content-Disposition: attachment; filename*1=.exe; filename*0=evil\r\n"
    ),
    "sections of both forms": named(
        OCTETS, b"Content-Disposition: attachment; filename*0*=utf-8''evil; filename*1=.exe\r\n"
    ),
    "sections with a gap": named(
        OCTETS, b"Content-Disposition: attachment; filename*0=evil.exe; filename*2=.png\r\n"
    ),
    "encoded words": named(
        OCTETS, b'Content-Disposition: attachment; filename="=?utf-8?b?ZXZpbC5leGU=?="\r\n'
    ),
    "encoded words in two": named(
        OCTETS,
        b'Content-Disposition: attachment; filename="=?utf-8?q?evil?= =?utf-8?q?=2Eexe?="\r\n',
    ),
    "encoded words without quotes": named(
        OCTETS, b"Content-Disposition: attachment; filename==?utf-8?q?evil=2Eexe?=\r\n"
    ),
    "both forms that differ": named(
        OCTETS, b"Content-Disposition: attachment; filename=a.png; filename*=utf-8''evil.exe\r\n"
    ),
    "a comment": named(OCTETS, b"Content-Disposition: attachment; filename=(x)evil.exe\r\n"),
    "a fold within": named(
        OCTETS, b'Content-Disposition: attachment; filename="evil\r\n .exe"\r\n'
    ),
    "dots behind it": named(OCTETS, b'Content-Disposition: attachment; filename="evil.exe..."\r\n'),
    "blanks behind it": named(
        OCTETS, b'Content-Disposition: attachment; filename="evil.exe   "\r\n'
    ),
    "a stream of NTFS": named(
        OCTETS, b'Content-Disposition: attachment; filename="evil.exe::$DATA"\r\n'
    ),
    "a zero byte and another end": named(
        OCTETS, b'Content-Disposition: attachment; filename="evil.exe\0.png"\r\n'
    ),
    "an encoded zero byte": named(
        OCTETS, b"Content-Disposition: attachment; filename*=utf-8''evil.exe%00.png\r\n"
    ),
    "from right to left": named(
        OCTETS, 'Content-Disposition: attachment; filename="evil\u202egnp.exe"\r\n'.encode()
    ),
    "letters that nobody sees": named(
        OCTETS, 'Content-Disposition: attachment; filename="evil.e\u200bxe"\r\n'.encode()
    ),
    "letters of full width": named(
        OCTETS,
        'Content-Disposition: attachment; filename="evil\uff0e\uff45\uff58\uff45"\r\n'.encode(),
    ),
    "letters of another script": named(
        OCTETS, 'Content-Disposition: attachment; filename="evil.\u0435x\u0435"\r\n'.encode()
    ),
    "a path": named(
        OCTETS, b'Content-Disposition: attachment; filename="..\\\\a.png\\\\evil.exe"\r\n'
    ),
    "no disposition's word": named(OCTETS, b"Content-Disposition: ; filename=evil.exe\r\n"),
    "another disposition": named(OCTETS, b"Content-Disposition: inline; filename=evil.exe\r\n"),
    "a blank before the colon": named(
        OCTETS, b"Content-Disposition : attachment; filename=evil.exe\r\n"
    ),
    "capitals": named(OCTETS, b"CONTENT-DISPOSITION: ATTACHMENT; FILENAME=EVIL.EXE\r\n"),
}
