"""`X-IEMS-Findings`: the findings of a message on their way from the milter to the agent.

One field of at most 8 KiB: parameters, the findings as JSON in base64, and an HMAC-SHA256 over
length-prefixed parts, so that nobody between can add, change or move findings to another message.
The parts are version, key id, time, reference, queue id, channel, envelope sender, in version 2 the
login, and findings; never header or body text, which Postfix may rewrite. It names no recipient.
Only what somebody sends who has logged in is version 2: all else is read by releases before it.
Whatever is wrong with a field is one error, `FindingsError`: a reader never sees half of it.
"""

from __future__ import annotations

import base64
import bisect
import hmac
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from iems.codec.mac import mac
from iems.model.finding import TEMPERROR, VIRUS, Finding

NAME = b"X-IEMS-Findings"
VERSION, WITH_LOGIN = "1", "2"
LIMIT = 8192
"""Bytes of the field's value. Where not all fits, findings keep outcome and band and drop their
evidence; where that is still too much, some are left out, see `_rank`. There is room for some 90
bands with long names: no number of findings keeps a message from the agent."""

_WIDTH = 72
_PARAMETERS = {
    VERSION: ("v", "k", "t", "r", "q", "c", "s", "f", "h"),
    WITH_LOGIN: ("v", "k", "t", "r", "q", "c", "s", "a", "f", "h"),
}


class FindingsError(ValueError):
    """The field is none that this site wrote; the message says why, for the log."""


@dataclass(frozen=True, slots=True)
class Passed:
    """What travels: `time` in seconds of the epoch, `sender` the envelope sender ("" for `<>`).

    `login` is who has logged in to send it, empty where nobody has.
    """

    reference: str
    queue_id: str
    channel: str
    sender: str
    time: int
    findings: tuple[Finding, ...]
    login: str = ""


def encode(passed: Passed, key_id: str, secret: bytes) -> bytes:
    """The folded value of the field, with line ends of CRLF and a leading blank on each line."""
    value = _encode(passed, key_id, secret)
    if len(value) > LIMIT:
        bare = [replace(finding, reason="", evidence=()) for finding in passed.findings]
        value = _fitting(passed, sorted(bare, key=_rank), key_id, secret)
    if len(value) > LIMIT:
        raise FindingsError(f"the envelope does not fit into {LIMIT} bytes")
    return value


def decode(value: bytes, secret_of: Callable[[str], bytes | None]) -> Passed:
    """The findings of a field whose HMAC is right under the key that it names."""
    if len(value) > 2 * LIMIT:
        raise FindingsError("field is too long")
    given = _parameters(value)
    secret = secret_of(given["k"])
    if secret is None:
        raise FindingsError("unknown key")
    expected = mac(secret, [given[name] for name in _PARAMETERS[given["v"]][:-1]])
    if not hmac.compare_digest(expected, given["h"]):
        raise FindingsError("wrong HMAC")
    try:
        rows = json.loads(base64.b64decode(given["f"], validate=True))
        sender, login = (_plain(given.get(name, "")) for name in ("s", "a"))
        told = given["r"], given["q"], given["c"], sender, int(given["t"])
        return Passed(*told, of_rows(rows), login)
    except (ValueError, TypeError, RecursionError) as error:
        raise FindingsError(f"damaged field: {type(error).__name__}") from None


def _fitting(passed: Passed, ranked: list[Finding], key_id: str, secret: bytes) -> bytes:
    """The value with as many of these findings as fit, from the first on."""

    def value(count: int) -> bytes:
        return _encode(replace(passed, findings=tuple(ranked[:count])), key_id, secret)

    sizes = range(len(ranked) + 1)
    fit = bisect.bisect_right(sizes, LIMIT, key=lambda count: len(value(count)))
    return value(max(fit - 1, 0))


def _rank(finding: Finding) -> tuple[bool, bool, bool, bool]:
    """The least is kept first: viruses, then what decides, before it what nobody has a hundred of.

    A finding without a band decides nothing, and `temperror` says nothing of the message.
    """
    late = finding.check != VIRUS
    return not finding.band, late, finding.band == TEMPERROR, "/" in finding.check


def _encode(passed: Passed, key_id: str, secret: bytes) -> bytes:
    text = json.dumps(rows_of(passed.findings), separators=(",", ":"))
    version = WITH_LOGIN if passed.login else VERSION
    parts = [
        version,
        key_id,
        str(passed.time),
        passed.reference,
        passed.queue_id,
        passed.channel,
        _letters(passed.sender),
        *([_letters(passed.login)] if passed.login else []),
        _letters(text),
    ]
    parts.append(mac(secret, parts))
    words = [f"{name}={part};" for name, part in zip(_PARAMETERS[version], parts, strict=True)]
    return _fold(words).encode()


def _fold(words: list[str]) -> str:
    lines = [""]
    for word in words:
        if len(word) > _WIDTH:
            lines += [word[at : at + _WIDTH] for at in range(0, len(word), _WIDTH)]
        elif len(lines[-1]) + len(word) < _WIDTH:
            lines[-1] = f"{lines[-1]} {word}".strip()
        else:
            lines.append(word)
    return "\r\n\t".join(lines)


def _parameters(value: bytes) -> dict[str, str]:
    try:
        text = b"".join(value.split()).decode("ascii")
    except UnicodeDecodeError:
        raise FindingsError("field is not ASCII") from None
    pairs = [part.partition("=")[::2] for part in text.split(";") if part]
    given = dict(pairs)
    if given.get("v") not in _PARAMETERS:
        raise FindingsError("unknown version")
    if tuple(name for name, _value in pairs) != _PARAMETERS[given["v"]]:
        raise FindingsError("field has not the parameters of this version")
    return given


def _letters(text: str) -> str:
    return base64.b64encode(text.encode("utf-8", "surrogateescape")).decode()


def _plain(letters: str) -> str:
    return base64.b64decode(letters, validate=True).decode("utf-8", "surrogateescape")


def rows_of(findings: Iterable[Finding]) -> list[list[object]]:
    """Findings as JSON has them."""
    return [
        [
            one.check,
            one.outcome,
            one.band,
            one.reason,
            one.score,
            [list(pair) for pair in one.evidence],
        ]
        for one in findings
    ]


def of_rows(rows: Any) -> tuple[Finding, ...]:  # noqa: ANN401 - whatever JSON can hold
    """The findings of `rows_of`; ValueError or TypeError where it is anything else."""
    return tuple(_finding(row) for row in rows)


def _finding(row: Any) -> Finding:  # noqa: ANN401 - whatever JSON can hold
    check, outcome, band, reason, score, evidence = row
    texts = (check, outcome, band, reason)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text of a finding is none")
    if score is not None and not isinstance(score, (int, float)):
        raise TypeError("a score is a number")
    pairs = tuple((str(name), str(value)) for name, value in evidence)
    return Finding(check, outcome, band, reason, score, pairs)
