"""LMTP command lines as values (RFC 5321 section 4.1, RFC 3461, RFC 6531, XFORWARD of Postfix).

Pure. A line that cannot be understood is a `CommandError` that carries the reply to it. Addresses
stay as they were written, without the angle brackets: they go on to the next hop unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lmtp.reply import Reply, reply

FORWARD_NAMES = ("NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE")
"""The attributes of XFORWARD that we announce."""

_PATH = re.compile(r'<((?:"(?:[^"\\]|\\.)*"|[^<>"])*)>')
_PARAMETER = re.compile(r"([A-Za-z0-9][A-Za-z0-9-]*)(?:=([!-<>-~\u0080-\U0010ffff]+))?")
_XTEXT = re.compile(r"\+([0-9A-F]{2})")
_UNICODE = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
_NOTIFY = frozenset({"NEVER", "SUCCESS", "FAILURE", "DELAY"})
_UNKNOWN = frozenset({"[UNAVAILABLE]", "[TEMPUNAVAIL]"})

_SYNTAX = reply(501, "5.5.4", "Syntax error in parameters")
_PARAMETERS = reply(555, "5.5.4", "Parameter not recognised")
_NOT_ANNOUNCED = reply(553, "5.6.7", "Address needs SMTPUTF8")


class CommandError(Exception):
    """The command cannot be carried out as it was written."""

    def __init__(self, answer: Reply) -> None:
        super().__init__(str(answer))
        self.answer = answer


@dataclass(frozen=True, slots=True)
class Mail:
    """`MAIL FROM`; `sender` is empty for `<>`, `size` 0 where it was not said."""

    sender: str
    size: int = 0
    eight_bit: bool = False
    utf8: bool = False
    ret: str = ""
    envid: str = ""


@dataclass(frozen=True, slots=True)
class Recipient:
    """`RCPT TO`; `orcpt` is the parameter as it came, `original` the address in it."""

    address: str
    orcpt: str = ""
    original: str = ""
    notify: frozenset[str] = field(default_factory=frozenset)


def parse_mail(argument: str) -> Mail:
    """`FROM:<path> parameters`."""
    sender, parameters = _path(argument, "FROM:")
    values = dict(_parameters(parameters))
    unknown = values.keys() - {"SIZE", "BODY", "SMTPUTF8", "RET", "ENVID"}
    if unknown or values.get("SMTPUTF8"):
        raise CommandError(_PARAMETERS)
    size, body, ret = values.get("SIZE", "0"), values.get("BODY", "7BIT"), values.get("RET", "HDRS")
    if (
        not re.fullmatch(r"[0-9]{1,20}", size)
        or body.upper() not in {"7BIT", "8BITMIME"}
        or ret.upper() not in {"FULL", "HDRS"}
        or len(values.get("ENVID", "")) > 100
    ):
        raise CommandError(_SYNTAX)
    utf8 = "SMTPUTF8" in values
    if not utf8 and not argument.isascii():
        raise CommandError(_NOT_ANNOUNCED)
    return Mail(
        sender,
        int(size),
        body.upper() == "8BITMIME",
        utf8,
        values.get("RET", "").upper(),
        values.get("ENVID", ""),
    )


def parse_rcpt(argument: str, *, utf8: bool) -> Recipient:
    """`TO:<path> parameters`; `utf8` says whether MAIL asked for SMTPUTF8."""
    address, parameters = _path(argument, "TO:")
    if not address:
        raise CommandError(_SYNTAX)
    if not utf8 and not argument.isascii():
        raise CommandError(_NOT_ANNOUNCED)
    values = dict(_parameters(parameters))
    if values.keys() - {"ORCPT", "NOTIFY"}:
        raise CommandError(_PARAMETERS)
    notify = frozenset(values["NOTIFY"].upper().split(",")) if "NOTIFY" in values else frozenset()
    if notify - _NOTIFY or ("NEVER" in notify and len(notify) > 1):
        raise CommandError(_SYNTAX)
    orcpt = values.get("ORCPT", "")
    kind, found, encoded = orcpt.partition(";")
    if len(orcpt) > 500 or (orcpt and not (kind and found and encoded)):
        raise CommandError(_SYNTAX)
    return Recipient(address, orcpt, _original(kind.lower(), encoded), notify)


def parse_xforward(argument: str) -> Mapping[str, str]:
    """Attributes by name; one that Postfix does not know (`[UNAVAILABLE]`) is empty."""
    values: dict[str, str] = {}
    for name, value in _parameters(argument):
        if name not in FORWARD_NAMES:
            raise CommandError(_SYNTAX)
        values[name] = "" if value.upper() in _UNKNOWN else xtext(value)
    if not values:
        raise CommandError(_SYNTAX)
    return values


def _path(argument: str, keyword: str) -> tuple[str, str]:
    if argument[: len(keyword)].upper() != keyword:
        raise CommandError(_SYNTAX)
    rest = argument[len(keyword) :].lstrip(" ")
    match = _PATH.match(rest)
    if match is None or any(letter < " " or letter == "\x7f" for letter in rest):
        raise CommandError(_SYNTAX)
    parameters = rest[match.end() :]
    if parameters and not parameters.startswith(" "):
        raise CommandError(_SYNTAX)
    return match.group(1), parameters


def _parameters(text: str) -> list[tuple[str, str]]:
    pairs = []
    for word in text.split():
        match = _PARAMETER.fullmatch(word)
        if match is None:
            raise CommandError(_SYNTAX)
        pairs.append((match.group(1).upper(), match.group(2) or ""))
    if len({name for name, _value in pairs}) < len(pairs):
        raise CommandError(_SYNTAX)
    return pairs


def _original(kind: str, encoded: str) -> str:
    if kind == "rfc822":
        return xtext(encoded)
    if kind == "utf-8":
        return _UNICODE.sub(lambda match: _letter(match.group(1)), xtext(encoded))
    return ""


def _letter(digits: str) -> str:
    code = int(digits, 16)
    return chr(code) if code < 0x110000 and not 0xD800 <= code < 0xE000 else "\ufffd"


def xtext(text: str) -> str:
    """What xtext stands for (RFC 3461 section 4); what is no UTF-8 is replaced."""
    octets = _XTEXT.sub(lambda match: chr(int(match.group(1), 16)), text)
    if octets.isascii() or not text.isascii():
        return octets
    return octets.encode("latin-1").decode("utf-8", "replace")
