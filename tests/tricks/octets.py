"""Tricks that hide the octets of a file, or that the message has parts."""

from __future__ import annotations

import quopri
from collections.abc import Mapping

from tests.tricks.making import (
    BASE64,
    FILE,
    HEAD,
    MIXED,
    OCTETS,
    TEXT,
    Trick,
    alone,
    below,
    bent,
    deep,
    encoded,
    in_quoted,
    in_text,
    inside,
    lines,
    message,
    nested,
    part,
    pieces,
    quoted,
    replaced,
    soft,
    typed,
    uuencoded,
    written,
)

TRICKS: Mapping[str, Trick] = {
    # fields that stand there twice, or are none
    "two encodings, the first is base64": encoded(b" base64", b" 7bit"),
    "two encodings, the last is base64": encoded(b" 7bit", b" base64"),
    "two encodings, quoted-printable and base64": encoded(b" quoted-printable", b" base64"),
    "two types, the first has the boundary": typed(
        b' multipart/mixed; boundary="XX"\r\nContent-Type: text/plain'
    ),
    "two types, the last has the boundary": typed(
        b' text/plain\r\nContent-Type: multipart/mixed; boundary="XX"'
    ),
    "two types with two boundaries": typed(
        b' multipart/mixed; boundary="AA"\r\nContent-Type: multipart/mixed; boundary="XX"'
    ),
    "two boundaries, the first counts": typed(b' multipart/mixed; boundary="XX"; boundary="AA"'),
    "two boundaries, the last counts": typed(b' multipart/mixed; boundary="AA"; boundary="XX"'),
    "a field without a colon before the others": below(b"X-Broken\r\n"),
    "a field that begins with a blank": below(b" X: y\r\n"),
    "a name with 8-bit bytes": below(b"X-\xc3\xa4: y\r\n"),
    "a line of blanks in the header": below(b"X: y\r\n \t\r\n"),
    "a zero byte in the header": below(b"X: \0\r\n"),
    "a blank before the colon": replaced(
        b"Content-Transfer-Encoding:", b"Content-Transfer-Encoding :"
    ),
    "a tab before the colon": replaced(
        b"Content-Type: application", b"Content-Type\t: application"
    ),
    "names in other letters": replaced(b"Content-Transfer-Encoding", b"cONTENT-tRANSFER-eNCODING"),
    "an encoding on the next line": encoded(b"\r\n base64"),
    "an encoding after an empty fold": encoded(b"\r\n \r\n base64"),
    "an mbox line before the header": bent(
        lambda data: b"From x Thu Nov 26 00:00:00 2026\r\n" + data
    ),
    "a mark of UTF-8 before the header": bent(lambda data: b"\xef\xbb\xbf" + data),
    "no MIME-Version": replaced(b"MIME-Version: 1.0\r\n", b""),
    "MIME-Version of the future": replaced(b"MIME-Version: 1.0", b"MIME-Version: 2.0"),
    "a very long header": bent(lambda data: b"X: y\r\n" * 2000 + data),
    # line ends
    "lines that end in LF": replaced(b"\r\n", b"\n"),
    "lines that end in CR": bent(
        lambda data: data[: len(HEAD)] + data[len(HEAD) :].replace(b"\r\n", b"\r")
    ),
    "lines that end in CR CR LF": bent(
        lambda data: data[: len(HEAD)] + data[len(HEAD) :].replace(b"\r\n", b"\r\r\n")
    ),
    "parts with other line ends": bent(
        lambda data: data.replace(b"\r\n--XX\r\nContent-Type: app", b"\n--XX\nContent-Type: app")
    ),
    "a CR before the delimiter": bent(
        lambda data: data.replace(b"hello\r\n\r\n--XX", b"hello\r--XX")
    ),
    # encodings
    "base64 in capitals": encoded(b" BASE64"),
    "base64 in quotes": encoded(b' "base64"'),
    "base64 with a comment": encoded(b" base64 (so it is)"),
    "base64 behind a comment": encoded(b" (7bit) base64"),
    "base64 with a parameter": encoded(b" base64; x=y"),
    "base64 with a semicolon": encoded(b" base64;"),
    "base64 with a comma": encoded(b" base64,7bit"),
    "base64 behind 7bit": encoded(b" 7bit base64"),
    "base64 with a zero byte": encoded(b" base64\0"),
    "base64 with a blank in it": encoded(b" base 64"),
    "base64 in an encoded word": encoded(b" =?us-ascii?q?base64?="),
    "x-base64": encoded(b" x-base64"),
    "base64 with junk between": written(lambda text: text.replace(b"A", b"A!.*", 3)),
    "base64 with 8-bit junk": written(lambda text: text.replace(b"A", b"\xe4A", 3)),
    "base64 with padding within": lambda octets: message(
        TEXT, OCTETS + BASE64 + FILE + b"\r\n" + pieces(octets)
    ),
    "base64 with padding at its beginning": written(lambda text: b"=" + text),
    "base64 with a line of equals signs": written(lambda text: text[:20] + b"====\r\n" + text[20:]),
    "base64 without padding": written(lambda text: text.replace(b"=", b"")),
    "base64 in one line": written(lambda text: text.replace(b"\r\n", b"") + b"\r\n"),
    "base64 in lines of one letter": written(
        lambda text: b"\r\n".join(b"%c" % one for one in text.replace(b"\r\n", b""))
    ),
    "base64 with blanks": written(lambda text: b" ".join(b"%c" % one for one in text)),
    "base64 with empty lines": written(lambda text: text.replace(b"\r\n", b"\r\n\r\n")),
    "base64 behind a text": written(lambda text: b"\r\n\r\n" + text),
    "quoted-printable": in_quoted(lambda octets: soft(octets, b"=\r\n")),
    "quoted-printable in small letters": in_quoted(lambda octets: soft(octets, b"=\r\n").lower()),
    "quoted-printable with blanks behind": in_quoted(lambda octets: soft(octets, b"= \t\r\n")),
    "quoted-printable with breaks of LF": in_quoted(lambda octets: soft(octets, b"=\n")),
    "quoted-printable in one line": in_quoted(lambda octets: quoted(octets) + b"\r\n"),
    # boundaries
    "a boundary in quotes that do not end": typed(b' multipart/mixed; boundary="XX'),
    "a boundary with a comment": typed(b" multipart/mixed; boundary=XX(comment)"),
    "a boundary behind a comment": typed(b" multipart/mixed; boundary=(comment)XX"),
    "a comment before the boundary's name": typed(b" multipart/mixed; (x) boundary=XX"),
    "a boundary with an escaped letter": typed(b' multipart/mixed; boundary="X\\X"'),
    "a boundary of RFC 2231": typed(b" multipart/mixed; boundary*=us-ascii''XX"),
    "a boundary of RFC 2231, percent-encoded": typed(b" multipart/mixed; boundary*=us-ascii''%58X"),
    "a boundary in sections": typed(b" multipart/mixed; boundary*0=X; boundary*1=X"),
    "a boundary in sections out of order": typed(b" multipart/mixed; boundary*1=X; boundary*0=X"),
    "a boundary in an encoded word": typed(b' multipart/mixed; boundary="=?us-ascii?q?XX?="'),
    "a boundary with blanks around the equals sign": typed(b" multipart/mixed; boundary = XX"),
    "a boundary on the next line": typed(b" multipart/mixed;\r\n boundary=\r\n XX"),
    "a boundary in capitals": typed(b" MULTIPART/MIXED; BOUNDARY=XX"),
    "a boundary without a semicolon before it": typed(b" multipart/mixed boundary=XX"),
    "a boundary behind a comma": typed(b" multipart/mixed, boundary=XX"),
    "a boundary behind two semicolons": typed(b" multipart/mixed;; boundary=XX"),
    "a boundary in simple quotes": typed(b" multipart/mixed; boundary='XX'"),
    "a boundary with a blank behind it": typed(b' multipart/mixed; boundary="XX "'),
    "a boundary with a semicolon": typed(b' multipart/mixed; boundary="X;X"', b"--X;X"),
    "a boundary with a blank": typed(b' multipart/mixed; boundary="X X"', b"--X X"),
    "a boundary of 100 letters": typed(
        b" multipart/mixed; boundary=" + b"X" * 100, b"--" + b"X" * 100
    ),
    "an empty boundary": typed(b' multipart/mixed; boundary=""', b"--"),
    "no boundary": typed(b" multipart/mixed"),
    "another boundary": typed(b" multipart/mixed; boundary=AA"),
    "a boundary that another parameter hides": typed(
        b' multipart/mixed; x="\\"; boundary=AA; y="; boundary=XX'
    ),
    "a boundary behind 9,000 bytes": typed(
        b" multipart/mixed; x=" + b"x" * 9000 + b"; boundary=XX"
    ),
    # types
    "a multipart of nobody": typed(b" multipart/x-none; boundary=XX"),
    "a multipart without a subtype": typed(b" multipart; boundary=XX"),
    "a multipart with an empty subtype": typed(b" multipart/; boundary=XX"),
    "a multipart with blanks around the slash": typed(b" multipart / mixed; boundary=XX"),
    "a multipart behind a comment": typed(b" (x) multipart/mixed; boundary=XX"),
    "a multipart of two words": typed(b" text/plain multipart/mixed; boundary=XX"),
    "an alternative": typed(b" multipart/alternative; boundary=XX"),
    "a related": typed(b" multipart/related; boundary=XX"),
    "a report": typed(b" multipart/report; report-type=x; boundary=XX"),
    "signed": typed(b" multipart/signed; protocol=x/y; boundary=XX"),
    "encrypted": typed(b" multipart/encrypted; protocol=x/y; boundary=XX"),
    "parallel": typed(b" multipart/parallel; boundary=XX"),
    "a digest": typed(b" multipart/digest; boundary=XX"),
    "form data": typed(b" multipart/form-data; boundary=XX"),
    "a fax": typed(b" multipart/fax-message; boundary=XX"),
    "a voice message": typed(b" multipart/voice-message; boundary=XX"),
    "byte ranges": typed(b" multipart/byteranges; boundary=XX"),
    "a set of headers": typed(b" multipart/header-set; boundary=XX"),
    "mixed that replaces": typed(b" multipart/x-mixed-replace; boundary=XX"),
    "appledouble": typed(b" multipart/appledouble; boundary=XX"),
    "a multipart in base64": lambda octets: (
        HEAD
        + MIXED
        + BASE64
        + b"\r\n"
        + lines(message(TEXT, part(octets)).partition(b"\r\n\r\n")[2])
    ),
    "a multipart in quoted-printable": lambda octets: (
        HEAD
        + MIXED
        + b"Content-Transfer-Encoding: quoted-printable\r\n\r\n"
        + quopri.encodestring(
            message(TEXT, part(octets)).partition(b"\r\n\r\n")[2].replace(b"\r\n", b"\n")
        ).replace(b"\n", b"\r\n")
    ),
    # delimiters
    "no last delimiter": lambda octets: message(TEXT, part(octets), end="\r\n"),
    "a last delimiter before the file": lambda octets: message(TEXT + b"--XX--", part(octets)),
    "a last delimiter with more behind it": lambda octets: message(TEXT + b"--XX--x", part(octets)),
    "in the preamble": lambda octets: (
        HEAD + MIXED + b"\r\n" + part(octets) + b"\r\n--XX\r\n" + TEXT + b"--XX--\r\n"
    ),
    "in the preamble, uuencoded": lambda octets: (
        HEAD + MIXED + b"\r\n" + uuencoded(octets) + b"\r\n--XX\r\n" + TEXT + b"--XX--\r\n"
    ),
    "in the epilogue": lambda octets: message(TEXT) + part(octets),
    "in the epilogue, uuencoded": lambda octets: message(TEXT) + uuencoded(octets),
    "in the epilogue behind a delimiter": lambda octets: message(TEXT) + b"--XX\r\n" + part(octets),
    "a delimiter with blanks behind": replaced(b"--XX\r\n", b"--XX \t \r\n"),
    "a delimiter with more behind it": replaced(
        b"--XX\r\nContent-Type: app", b"--XXmore\r\nContent-Type: app"
    ),
    "a delimiter with a zero byte": replaced(
        b"--XX\r\nContent-Type: app", b"--XX\0\r\nContent-Type: app"
    ),
    "two delimiters at once": replaced(
        b"--XX\r\nContent-Type: app", b"--XX\r\n--XX\r\nContent-Type: app"
    ),
    "the inner boundary is that of the outer": nested(b"XX", b"XX"),
    "the inner boundary begins as the outer": nested(b"XX", b"XXY"),
    "the outer boundary begins as the inner": nested(b"XXY", b"XX"),
    "60 multiparts in each other": deep(60),
    "40 multiparts in each other": deep(40),
    # messages
    "in a message": inside(b"message/rfc822"),
    "in a message in base64": inside(b"message/rfc822", BASE64),
    "in a message of nobody": inside(b"message/x-none"),
    "in a global message": inside(b"message/global", BASE64),
    "the whole message": alone(OCTETS, BASE64, FILE),
    "the whole message, as a text": alone(b'Content-Type: text/plain; name="evil.exe"\r\n', BASE64),
    "the whole message, without a type": alone(BASE64, FILE),
    # texts
    "uuencoded": in_text(uuencoded),
    "uuencoded with no end": in_text(lambda octets: uuencoded(octets, end=b"")),
    "uuencoded with another mode": in_text(
        lambda octets: uuencoded(octets, b"begin 0644 evil.exe")
    ),
    "uuencoded with a path": in_text(lambda octets: uuencoded(octets, b"begin 644 ../evil.exe")),
    "uuencoded with blanks": in_text(lambda octets: uuencoded(octets, b"begin  644  evil.exe")),
    "uuencoded in HTML": in_text(uuencoded, b"Content-Type: text/html\r\n"),
    "uuencoded in base64": lambda octets: message(
        b"Content-Type: text/plain\r\n" + BASE64 + b"\r\n" + lines(b"hello\r\n" + uuencoded(octets))
    ),
    "base64 as uuencode has it": in_text(
        lambda octets: b"begin-base64 644 evil.exe\r\n" + lines(octets) + b"====\r\n"
    ),
    "an encoding that is uuencode": lambda octets: message(
        TEXT,
        OCTETS + b"Content-Transfer-Encoding: x-uuencode\r\n" + FILE + b"\r\n" + uuencoded(octets),
    ),
    "an encoding that is uue": lambda octets: message(
        TEXT, OCTETS + b"Content-Transfer-Encoding: uue\r\n" + FILE + b"\r\n" + uuencoded(octets)
    ),
}
