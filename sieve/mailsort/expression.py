"""Regular expressions that rules may have: POSIX extended, such as every Sieve server takes.

The server compiles them by its C library, which may refuse, or understand otherwise, what others
take: what is taken here means there what POSIX says. There are no back-references, which could
stall the server, and what repeats what repeats is bounded as `iems.codec.pattern` bounds it. There
a character is an octet, so that of letters beyond ASCII no set is made and none is repeated.
"""

from __future__ import annotations

import functools
import re

from iems.codec.pattern import Pattern, PatternError

_ESCAPED = r"\\[^\w\s<>'`]"
_SET = r"\[\^?\]?(?:\[:[a-z]+:\]|[^\\\]\[\x7f-\U0010ffff])*\]"
_REPEATED = r"[*+?]|\{[0-9]+(?:,[0-9]*)?\}"
_PLAIN = r"[^\\\[{()*+?|^$\x80-\U0010ffff]"
_PART = re.compile(rf"(?:{_ESCAPED}|{_SET}|{_PLAIN}|\))(?:{_REPEATED})*|[(|^$]|[\x80-\U0010ffff]")

EXPECTED = "a POSIX extended regular expression"


@functools.lru_cache(1000)
def expression(source: str) -> str:
    """The expression as it is; ValueError if it is none that is taken.

    Imported rules have those of the blocks around them, so that one is asked for again and again.
    """
    at = 0
    while at < len(source):
        part = _PART.match(source, at)
        if part is None:
            raise ValueError(f"{EXPECTED}, and {source[at : at + 20]!r} begins nothing of it")
        at = part.end()
    try:
        Pattern.compile(source, case=False)
    except PatternError as error:
        raise ValueError(f"{EXPECTED}: {error}") from None
    return source
