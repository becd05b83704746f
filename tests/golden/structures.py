"""Messages of every structure that an edit may meet, by name; lines end in CRLF unless said."""

from __future__ import annotations

import base64
import quopri
from collections.abc import Mapping

_HEAD = "From: a@sender.example\nSubject: s\nMIME-Version: 1.0\n"
PNG = base64.encodebytes(b"\x89PNG\r\n\x1a\n" + bytes(60)).decode()
ZIP = "Content-Type: application/zip; name=a.zip\nContent-Transfer-Encoding: base64\n\nUEsDBA==\n"
IMAGE = (
    "Content-Type: image/png\nContent-ID: <i@x>\nContent-Transfer-Encoding: base64\n"
    f"Content-Disposition: inline\n\n{PNG}"
)
PLAIN = "Content-Type: text/plain; charset=us-ascii\n\nHello Bob,\n\nsee you.\n"
HTML = (
    "Content-Type: text/html; charset=us-ascii\n\n"
    '<html><body><p>See <a href="x">you</a>.</p></body></html>\n'
)
SIGNATURE = (
    "Content-Type: application/pkcs7-signature; name=smime.p7s\n"
    "Content-Transfer-Encoding: base64\n\nMIIB\n"
)
SIGNED = 'multipart/signed; protocol="application/pkcs7-signature"; micalg=sha-256'


def crlf(text: str, charset: str = "latin-1") -> bytes:
    """The text as it is sent."""
    return text.replace("\n", "\r\n").encode(charset)


def message(text: str) -> bytes:
    """The MIME fields and the body of a part as a message."""
    return crlf(_HEAD + text)


def multipart(kind: str, *parts: str, boundary: str = "b") -> str:
    """A multipart of these parts, as a part."""
    inside = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f"Content-Type: multipart/{kind}; boundary={boundary}\n\n{inside}--{boundary}--\n"


def leaf(kind: str, octets: bytes, encoding: str) -> bytes:
    """A text in its charset and transfer encoding as a message."""
    if encoding == "base64":
        body = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        body = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    else:
        body = octets
    return message(f"Content-Type: text/{kind}\nContent-Transfer-Encoding: {encoding}\n\n") + body


def plain(charset: str, text: str, encoding: str = "8bit", codec: str = "") -> bytes:
    """A plain text as a message."""
    return leaf(f"plain; charset={charset}", crlf(text, codec or charset), encoding)


def html(text: str, charset: str = "us-ascii", encoding: str = "7bit", codec: str = "") -> bytes:
    """HTML as a message."""
    return leaf(f"html; charset={charset}", crlf(text, codec or charset), encoding)


def flowed(text: str, parameters: str = "format=flowed", encoding: str = "7bit") -> bytes:
    """A plain text in format=flowed as a message."""
    return leaf(f"plain; charset=us-ascii; {parameters}", crlf(text), encoding)


_REPLY = "Yes.\n\nOn Fri, 27 Nov 2026, Bob wrote:\n> May I?\n>\n> -- \n> Example Ltd.\n"

PLAIN_TEXTS: Mapping[str, bytes] = {
    "plain": message(PLAIN),
    "plain-without-mime": crlf("Subject: s\n\nHello.\n"),
    "plain-empty": message("\n"),
    "plain-of-blanks": message("\n \n"),
    "plain-of-a-blank": message("\n "),
    "header-alone": crlf("Subject: s\n"),
    "header-of-a-line-begun": crlf("Subject: s"),
    "plain-without-last-line-end": message("\nHello."),
    "plain-with-empty-lines-last": message("\nHello.\n\n\n"),
    "plain-lf-of-a-cr": message("\n").replace(b"\r", b"") + b"\r",
    "plain-lf": message(PLAIN).replace(b"\r", b""),
    "plain-with-signature": message("\nHello.\n-- \nBob\n"),
    "plain-long-line": message("\n" + "x" * 1200 + "\n"),
    "plain-attached-name": message('Content-Type: text/plain; name="a.txt"\n\nHello.\n'),
    "ascii-with-utf-8-undeclared": crlf("Subject: s\n\nGrüße\n", "utf-8"),
    "ascii-with-latin-1-undeclared": crlf("Subject: s\n\nGrüße\n"),
    "utf-8-8bit": plain("utf-8", "Grüße\n"),
    "utf-8-broken": leaf("plain; charset=utf-8", b"Gr\xfc\xdfe\r\n", "8bit"),
    "utf-8-quoted": plain("UTF-8", "Grüße und ein = Zeichen \n", "quoted-printable"),
    "utf-8-base64": plain("utf-8", "Grüße\n", "base64"),
    "utf-8-with-mark": plain("utf-8", "Grüße\n", "base64", "utf-8-sig"),
    "utf-8-base64-lf": leaf("plain; charset=utf-8", "Grüße\nLF\n".encode(), "base64"),
    "base64-broken": leaf("plain; charset=utf-8", b"", "base64")
    + b"R3LDvMOfZQo=\r\nlist footer\r\n",
    "latin-1-8bit": plain("iso-8859-1", "Grüße\n"),
    "latin-1-quoted": plain("iso-8859-1", "Grüße\n", "quoted-printable"),
    "latin-1-binary": plain("iso-8859-1", "Grüße\n", "binary"),
    "latin-1-bytes-of-none": leaf("plain; charset=iso-8859-1", b"\x81 Gr\xfc\xdfe\r\n", "8bit"),
    "windows-1252": plain("windows-1252", "10 €\n"),
    "koi8-r": plain("koi8-r", "Привет\n"),
    "iso-2022-jp": plain("iso-2022-jp", "こんにちは\n", "7bit"),
    "iso-2022-jp-base64": plain("iso-2022-jp", "こんにちは", "base64"),
    "shift_jis": plain("shift_jis", "表示ソ\n"),
    "euc-kr": plain("euc-kr", "안녕\n"),
    "big5": plain("big5", "功能\n"),
    "gb2312": plain("gb2312", "你好\n"),
    "gb18030-base64": plain("gb18030", "你好 𠀀\n", "base64"),
    "utf-16-base64": plain("utf-16", "Grüße\n", "base64"),
    "utf-16-big-endian-base64": leaf(
        "plain; charset=utf-16", b"\xfe\xff" + crlf("Grüße\n", "utf-16-be"), "base64"
    ),
    "utf-16-without-mark": plain("utf-16", "Grüße\n", "base64", "utf-16-le"),
    "utf-16le-base64": plain("utf-16le", "Grüße\n", "base64"),
    "utf-7": plain("utf-7", "Grüße & +\n", "7bit"),
    "charset-unknown": leaf("plain; charset=x-nobody-knows", b"Gr\xfc\xdfe\r\n", "8bit"),
    "charset-unknown-ascii": leaf("plain; charset=x-nobody-knows", b"Hello.\r\n", "7bit"),
    "charset-twice": leaf("plain; charset=utf-8; charset=koi8-r", b"Hello.\r\n", "7bit"),
    "charset-in-sections": leaf("plain; charset*0=us-; charset*1=ascii", b"Hello.\r\n", "7bit"),
    "charset-folded": leaf('plain;\n\tformat=fixed;\n\tCharset = "US-ASCII"', b"Hi.\r\n", "7bit"),
    "flowed": flowed("Hello, \nthis is one paragraph.\n"),
    "flowed-soft-at-the-end": flowed("Hello, \nthis goes on \n"),
    "flowed-delsp": flowed("Hel \nlo.\n", "format=flowed; delsp=yes"),
    "flowed-quoted": flowed("Hello, \nworld.\n", "format=Flowed", "quoted-printable"),
    "reply": message("\n" + _REPLY),
    "reply-below": message("\nOn Fri Bob wrote:\n> May I?\n\nYes.\n"),
    "reply-wrapped-attribution": message(
        "\nYes.\n\nOn Fri, 27 Nov 2026 Bob\n<b@x> wrote:\n\n> May I?"
    ),
    "reply-outlook": message(
        "\nYes.\n\n-----Original Message-----\nFrom: Bob\nSent: Friday\n\nMay I?\n"
        "-- \nExample Ltd.\n"
    ),
    "reply-underscores": message(
        f"\nYes.\n\n{'_' * 32}\nVon: Bob\nGesendet: Freitag\n\nDarf ich?\n"
    ),
    "reply-of-quotes-alone": message("\n> May I?\n"),
    "reply-copies-rewrapped": message(
        "\nYes.\n\n> May I?\n> -- Example\n> Ltd.\n>\n> > Hi.\n> > -- \n> > Example Ltd.\n"
    ),
}

_COPY = "<!-- iems-text text --><div>old</div><!-- /iems-text text -->"
HTML_TEXTS: Mapping[str, bytes] = {
    "html": message(HTML),
    "html-fragment": html("<p>Hello"),
    "html-empty": html(""),
    "html-upper-case": html("<HTML><BODY BGCOLOR=white>Hello.</BODY\n></HTML>\n"),
    "html-end-in-comment": html("<body>Hello.<!-- </body> -->\n</body><!-- </html>"),
    "html-end-in-script": html("<body>Hello.<script>'</body>'</script><style></body></style>"),
    "html-end-in-attribute": html("<body>Hello.<a title='</body>' alt=\"</html>\">x</a></body>"),
    "html-end-in-title": html("<title></body></title><p>Hello.</p>\n</body>\n</html>\n"),
    "html-text-behind": html("<html><body>Hello.</body></html>\n<p>List footer</p>\n"),
    "html-ends-twice": html("<body>Hello.</body></html></body>\n<!-- x -->\n</html>\n"),
    "html-comment-unended": html("<body>Hello.<!-- and so on </body></html>"),
    "html-tag-unended": html('<body>Hello.<a href="x></body></html>'),
    "html-conditional": html(
        "<!DOCTYPE html><html><head><!--[if mso]><body></body><![endif]--><style>p{}</style>\n"
        "</head>\n"
        "<body class='x'>\n<![if !mso]><p>Hello.</p><![endif]></body></html>"
    ),
    "html-without-body": html("<!DOCTYPE html>\n<meta charset=x><title>t</title>\n<p>Hello."),
    "html-utf-8": html("<body><p>Grüße</p></body>", "utf-8", "8bit"),
    "html-quoted": html("<body>Grüße</body>", "iso-8859-1", "quoted-printable"),
    "html-base64": html("<body>Grüße</body>", "utf-8", "base64"),
    "html-lines-of-cr": leaf("html", b"<body>Hello.\r</body>\r", "quoted-printable").replace(
        b"\r\n", b"\n"
    ),
    "html-reply-of-a-comment-of-ours": html("<p>x<!-- iems-text text --><p>y"),
    "html-iso-2022-jp": html("<body>こんにちは<", "iso-2022-jp"),
    "html-utf-16": html("<body>Grüße</body>", "utf-16", "base64"),
    "html-long-line": html(f"<body>{'x' * 1200}</body>"),
    "html-reply-gmail": html(
        '<div>Yes.</div><div class="gmail_quote"><div>On Fri, Bob wrote:</div>'
        f"<blockquote>May I?{_COPY}</blockquote></div>"
    ),
    "html-reply-thunderbird": html(
        "<html><body><p>Yes.</p>\n<div class='moz-cite-prefix'>Bob wrote:<br></div>\n"
        '<blockquote type="cite" cite="mid:x">May I?</blockquote></body></html>'
    ),
    "html-reply-outlook": html(
        "<body><p>Yes.</p><div style='border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt'>"
        f"<p>From: Bob</p></div><p>May I?</p>{_COPY}{_COPY}</body>"
    ),
}

_ALTERNATIVE = multipart("alternative", PLAIN, HTML, boundary="a")
_INVITATION = "Content-Type: text/calendar; method=REQUEST\n\nBEGIN:VCALENDAR\nEND:VCALENDAR\n"
MULTIPARTS: Mapping[str, bytes] = {
    "alternative": message(_ALTERNATIVE),
    "alternative-without-text": message(multipart("alternative", ZIP)),
    "alternative-of-two-charsets": message(
        multipart(
            "alternative",
            "Content-Type: text/plain; charset=iso-8859-1\n"
            "Content-Transfer-Encoding: quoted-printable\n\nGr=FC=DFe\n",
            "Content-Type: text/html; charset=utf-8\n"
            "Content-Transfer-Encoding: base64\n\nPGI+R3LDvMOfZTwvYj4=\n",
        )
    ),
    "alternative-of-which-one-is-broken": message(
        multipart("alternative", PLAIN, "Content-Type: text/html; charset=utf-16\n\n<b>x</b>\n")
    ),
    "related": message(multipart("related", HTML, IMAGE)),
    "related-start": message(
        multipart('related; start="<h@x>"', IMAGE, f"Content-ID: <h@x>\n{HTML}")
    ),
    "related-with-alternative": message(multipart("related", _ALTERNATIVE, IMAGE)),
    "alternative-with-related": message(
        multipart("alternative", PLAIN, multipart("related", HTML, IMAGE, boundary="r"))
    ),
    "alternative-with-mixed": message(
        multipart("alternative", PLAIN, multipart("mixed", HTML, ZIP, HTML, boundary="m"))
    ),
    "mixed": message(multipart("mixed", PLAIN, ZIP)),
    "mixed-lf": message(multipart("mixed", PLAIN, ZIP)).replace(b"\r", b""),
    "mixed-alternative": message(multipart("mixed", _ALTERNATIVE, ZIP)),
    "mixed-two-texts": message(multipart("mixed", PLAIN, IMAGE, PLAIN)),
    "mixed-list-footer": message(multipart("mixed", _ALTERNATIVE, "\n____\nlist@example.com\n")),
    "mixed-without-text": message(multipart("mixed", ZIP, IMAGE)),
    "mixed-of-a-mixed": message(multipart("mixed", multipart("mixed", PLAIN, ZIP, boundary="m"))),
    "mixed-with-attached-text": message(
        multipart("mixed", PLAIN, PLAIN.replace("\n\n", "\nContent-Disposition: attachment\n\n", 1))
    ),
    "mixed-with-message": message(
        multipart("mixed", PLAIN, f"Content-Type: message/rfc822\n\nSubject: t\n{HTML}")
    ),
    "mixed-with-preamble": message(
        multipart("mixed", PLAIN, ZIP).replace("\n\n--b", "\n\npre\n--b", 1) + "epilogue\n"
    ),
    "mixed-without-end": message(multipart("mixed", PLAIN, ZIP).removesuffix("--b--\n")),
    "mixed-part-without-header": message(multipart("mixed", "\nHello.")),
    "mixed-part-without-anything": message(multipart("mixed", "")),
    "mixed-empty-text": message(multipart("mixed", "Content-Type: text/plain\n\n", ZIP)),
    "attachment-alone": message(ZIP),
    "attachment-of-a-header-alone": crlf("Content-Type: a/b\n"),
    "attachment-8bit": message("Content-Type: a/b\nContent-Transfer-Encoding: 8bit\n\n\xfc\n"),
    "text-attached-alone": message("Content-Disposition: attachment; filename=a.txt\n" + PLAIN),
    "message-alone": message("Content-Type: message/rfc822\n\nSubject: t\n\nHello.\n"),
    "message-partial": message("Content-Type: message/partial; id=x; number=1\n\nSubject: t\n\n"),
    "calendar-alone": message(_INVITATION),
    "calendar-alternative": message(multipart("alternative", PLAIN, HTML, _INVITATION)),
    "calendar-attached": message(
        multipart("mixed", PLAIN, "Content-Type: text/calendar; name=a.ics\n\nBEGIN:VCALENDAR\n")
    ),
    "report-delivery": message(
        multipart(
            "report; report-type=delivery-status",
            PLAIN,
            "Content-Type: message/delivery-status\n\nReporting-MTA: dns; x\n",
        )
    ),
    "report-disposition": message(
        multipart(
            "report; report-type=disposition-notification",
            PLAIN,
            "Content-Type: message/disposition-notification\n\nFinal-Recipient: rfc822; a@x\n",
        )
    ),
}

_ARMOUR = "-----BEGIN PGP {}-----\nHash: SHA256\n\nHello.\n-----BEGIN PGP SIGNATURE-----\n\nx\n"
SEALED: Mapping[str, bytes] = {
    "smime-signed": message(multipart(SIGNED.removeprefix("multipart/"), _ALTERNATIVE, SIGNATURE)),
    "smime-signed-lf": message(
        multipart(SIGNED.removeprefix("multipart/"), PLAIN, SIGNATURE)
    ).replace(b"\r", b""),
    "smime-signed-by-way-of-a-list": message(
        multipart(
            "mixed",
            multipart(SIGNED.removeprefix("multipart/"), PLAIN, SIGNATURE, boundary="s"),
            "\n____\nlist@example.com\n",
        )
    ),
    "smime-opaque": message(
        "Content-Type: application/pkcs7-mime; smime-type=signed-data; name=smime.p7m\n"
        "Content-Disposition: attachment; filename=smime.p7m\n"
        "Content-Transfer-Encoding: base64\n\nMIIB\n"
    ),
    "smime-encrypted": message(
        "Content-Type: application/x-pkcs7-mime; smime-type=enveloped-data\n"
        "Content-Transfer-Encoding: base64\n\nMIIB\n"
    ),
    "pgp-encrypted": message(
        multipart(
            'encrypted; protocol="application/pgp-encrypted"',
            "Content-Type: application/pgp-encrypted\n\nVersion: 1\n",
            "Content-Type: application/octet-stream\n\n-----BEGIN PGP MESSAGE-----\n",
        )
    ),
    "pgp-inline-signed": message("\n" + _ARMOUR.format("SIGNED MESSAGE")),
    "pgp-inline-encrypted": message("\n" + _ARMOUR.format("MESSAGE")),
}

DOUBTFUL: Mapping[str, bytes] = {
    "two-types": message(HTML.replace("\n\n", "\nContent-Type: text/plain\n\n", 1)),
    "two-encodings": message(
        "Content-Transfer-Encoding: base64\nContent-Transfer-Encoding: 7bit\n\nSGVsbG8K\n"
    ),
    "line-in-header": crlf("Subject: s\nno field\nX: y\n\nHello.\n"),
    "lone-cr-in-header": b"Subject: s\rX: y\r\n\r\nHello.\r\n",
    "lone-cr-in-an-attachment": message(multipart("mixed", PLAIN, "Content-Type: a/b\rX: y\n\nx")),
    "odd-type": message("Content-Type: text\n\nHello.\n"),
    "odd-boundary": message(multipart("mixed", PLAIN, boundary='"=?utf-8?q?b?="')),
    "encoding-unknown": message("Content-Transfer-Encoding: rot13\n\nUryyb.\n"),
    "delimiter-like": message(multipart("mixed", PLAIN.replace("see", "--bx"))),
    "parts-behind-the-end": message(multipart("mixed", PLAIN) + "--b\n\nmore\n"),
    "doubt-elsewhere": message(
        multipart("mixed", PLAIN, "Content-Type: a/b\nContent-Type: c/d; name=x\n\nx\n")
    ),
}

STRUCTURES: Mapping[str, bytes] = {
    **PLAIN_TEXTS,
    **HTML_TEXTS,
    **MULTIPARTS,
    **SEALED,
    **DOUBTFUL,
}
