"""Laws of Sieve that others wrote."""

from __future__ import annotations

from sieve.script.parser import SieveError, parse
from sieve.script.printer import to_text


def sieve(data: bytes) -> None:
    """Bytes are a script or a SieveError; what can be printed is printed the same when read."""
    try:
        script = parse(data)
    except SieveError:
        return
    try:
        printed = to_text(script)
    except ValueError:
        return
    assert to_text(parse(printed.encode())) == printed
