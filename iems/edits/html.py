"""Where in HTML a text goes: where a browser shows it, whatever stands around it.

It reads tags, comments and what is no markup (scripts, styles) as the HTML standard does (WHATWG,
section 13.2.5) and builds no tree. What never ends, as a comment without its end, hides all that is
behind it; so a text goes before it. The work is linear in the size.

What was put in stands between two comments, by which a later run knows it. At the bottom it stands
behind the end tags of all that is still open (`iems.edits.unclosed`), and below what floats.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import NamedTuple

from iems.edits.place import Change, Place
from iems.edits.unclosed import RAW, end_tags

_FLAGS = re.IGNORECASE | re.ASCII | re.VERBOSE | re.DOTALL

_OPEN = re.compile(r"<(?=[a-z!/?])", _FLAGS)
_NAME = re.compile(r"</?[a-z][^\s/>]*+", _FLAGS)
_SOME = r"""(?:
      [\s/]++
    | [^\s/>][^\s/>=]*+ (?: \s*+=\s*+ (?:"[^"]*+" | '[^']*+' | [^\s>"'][^\s>]*+ | (?=>))
                          | (?!\s*+=) )
    ){0,50}"""
"""Some attributes, not all: regular expressions keep in mind where each one was."""

_ATTRIBUTES = re.compile(_SOME, _FLAGS)
_DECIDES = {
    quote: rf"""(?=[bhinpstx{"d" * quote}])
        (?:{RAW}|plaintext|body|html{"|blockquote|div|hr" * quote}) [\s/>]"""
    for quote in (False, True)
}
"""Names of tags that decide where a text goes, or where a quote begins, too."""

_PASSED = {
    quote: re.compile(
        rf"""(?: [^<]*+ (?: <(?![a-z!/?]) | </?(?!{names})[a-z][^\s/>]*+ {_SOME} > ) ){{0,100}}""",
        _FLAGS,
    )
    for quote, names in _DECIDES.items()
}
"""Text and tags that decide nothing."""

_GOES_ON = re.compile(r"""=\s*+(?:"[^">]*+>|'[^'>]*+>)""", _FLAGS)
"""A `>` within a value. Where there is none each tag ends at the next `>`, whatever is in it."""

_NEXT = {
    quote: re.compile(rf"<(?: [!?] | /(?![a-z]) | /?{names} )", _FLAGS)
    for quote, names in _DECIDES.items()
}
"""What is not passed over, if it is no part of a tag."""

_COMMENT = re.compile(r"<!--(?:-?>|.*?--!?>) | <(?:!(?!--)|\?|/(?![a-z]))[^>]*+>", _FLAGS)
_RAW_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", _FLAGS) for name in RAW.split("|")}
_BLANK = re.compile(r"[\s\0]*+", re.ASCII)
_HEAD = re.compile(r"|html|/?head|base|link|meta|/?noscript|script|style|title")
"""What browsers put into the head where no tag of the body stands before it."""

_QUOTE = re.compile(
    r"""type\s*+=\s*+["']?cite
      | class\s*+=\s*+(?:"[^"]*?|'[^']*?|)
        (?:gmail_quote|moz-cite-prefix|yahoo_quoted|protonmail_quote)
      | id\s*+=\s*+(?:"[^"]*?|'[^']*?|)(?:appendonsend|divRplyFwdMsg|stopSpelling)
      | border-top\s*+:\s*+solid\s+\#(?:E1E1E1|B5C4DF)\s+1\.0pt""",
    _FLAGS,
)
"""How Thunderbird, Apple Mail, Gmail, Yahoo, Proton and Outlook mark what is answered."""

_QUOTING = frozenset({"blockquote", "div", "hr"})
_OURS = "<!-- iems-text "
_OPENING = '<div style="clear:both">'
_UNENDED = "<"
_STRUCTURE = re.compile(r"</?(?:html|head|body|frameset)(?=[\s/>])", _FLAGS)


class _Mark(NamedTuple):
    """A tag, with all up to its end where that is no markup; a comment has no name."""

    name: str
    start: int
    end: int
    attributes: str = ""


def escaped(plain: str) -> str:
    """Plain text as HTML that shows its lines and blanks."""
    lines = (re.sub(r" (?= )|\A ", "&nbsp;", html.escape(line)) for line in plain.split("\n"))
    return "<br>\n".join(lines)


def fault(fragment: str) -> str:
    """Why HTML cannot be put into other HTML; empty if it can."""
    if (found := _STRUCTURE.search(fragment)) is not None:
        return f"{found[0]}> is of a whole page: expected what stands inside of its body"
    for mark in _marks(fragment + "\n", quote=False):
        if mark.name == _UNENDED:
            return f"{fragment[mark.start : mark.start + 20]!r} has no end and would hide the rest"
    return ""


def quotes(text: str) -> bool:
    """Whether something in it is marked as what is answered."""
    return any(map(_quotes, _marks(text, quote=True)))


def changes(
    text: str, fragment: str, place: Place, marker: str, end: str, *, renew: bool
) -> list[Change]:
    """What puts the fragment there; nothing where it is. `renew` takes other copies away."""
    first, last = f"{_OURS}{marker} -->", f"<!-- /iems-text {marker} -->"
    block = f"{first}{_OPENING}{fragment}</div>{last}{end}"
    if place is Place.TOP:
        at = start = _top(text)
    else:
        at, block = _bottom(text, quote=place is Place.QUOTE), end + block
        start = at - len(block)
    present = start >= 0 and text.startswith(block, start)
    copies = list(_copies(text, first, last)) if renew else []
    if present:
        inside = range(start, start + len(block))
        return [Change(*span, "") for span in copies if span[0] not in inside]
    at = next((span[0] for span in copies if span[0] < at < span[1]), at)
    ends = "" if place is Place.TOP or _begins_quote(text, at) else end_tags(text[:at])
    return sorted([*(Change(*span, "") for span in copies), Change(at, at, ends + block)])


def _copies(text: str, first: str, last: str) -> Iterator[tuple[int, int]]:
    """What earlier runs put in: comments with no other such comment between them."""
    at = 0
    while (end := text.find(last, at)) >= 0:
        if (start := text.rfind(first, at, end)) >= 0:
            yield start, end + len(last)
        at = end + len(last)


def _top(text: str) -> int:
    """Behind the tag of the body, or behind what a browser takes for the head."""
    at = 0
    while True:
        blank = _BLANK.match(text, at)
        at = at if blank is None else blank.end()
        mark = _mark(text, at)
        if mark is None or text.startswith(_OURS, at):
            return at
        if mark.name == "body":
            return mark.end
        if not _HEAD.fullmatch(mark.name):
            return at
        at = mark.end


def _bottom(text: str, *, quote: bool) -> int:
    """Behind the last that is shown: before the end of the body if nothing follows it.

    With `quote` it is before what is answered, if that is marked.
    """
    place, at = None, 0
    for mark in _marks(text, quote=quote):
        if place is not None and _shows(text, at, mark.start):
            place = None
        at = mark.end
        if mark.name == _UNENDED or (quote and _quotes(mark)):
            return mark.start if place is None else place
        if mark.name in {"/body", "/html"}:
            place = mark.start if place is None else place
        elif mark.name:
            place = None
    return len(text) if place is None or _shows(text, at, len(text)) else place


def _begins_quote(text: str, at: int) -> bool:
    mark = _mark(text, at)
    return mark is not None and _quotes(mark)


def _quotes(mark: _Mark) -> bool:
    """Whether what is answered begins with this tag."""
    return mark.name in _QUOTING and _QUOTE.search(mark.attributes) is not None


def _shows(text: str, start: int, end: int) -> bool:
    """Whether there is more than blanks."""
    blank = _BLANK.match(text, start, end)
    return blank is None or blank.end() < end


def _marks(text: str, *, quote: bool) -> Iterator[_Mark]:
    """Comments, tags that decide and what has no end, in the order in which they stand."""
    at = 0
    while (start := _next(text, at, quote=quote)) is not None:
        mark = _mark(text, start)
        if mark is None:
            yield _Mark(_UNENDED, start, len(text))
            return
        yield mark
        at = mark.end


def _next(text: str, at: int, *, quote: bool) -> int | None:
    """Where the next of them is, or what has no end before it."""
    found = _NEXT[quote].search(text, at)
    end = len(text) if found is None else found.start()
    if _GOES_ON.search(text, at, end) is None:
        at = max(at, text.rfind(">", at, end) + 1)
        if text.find("<", at, end) >= 0:
            found = _OPEN.search(text, at, end) or found
    else:
        while (some := _PASSED[quote].match(text, at)) is not None and some.end() > at:
            at = some.end()
        found = _OPEN.search(text, at)
    return None if found is None else found.start()


def _mark(text: str, at: int) -> _Mark | None:
    """The comment or tag that begins here; None if there is none that ends."""
    if (comment := _COMMENT.match(text, at)) is not None:
        return _Mark("", at, comment.end())
    tag = _tag(text, at)
    if tag is None or tag.name == "plaintext":
        return None
    if (ending := _RAW_ENDS.get(tag.name)) is None:
        return tag
    found = ending.search(text, tag.end)
    last = _tag(text, found.start()) if found else None
    return None if last is None else tag._replace(end=last.end)


def _tag(text: str, at: int) -> _Mark | None:
    if (name := _NAME.match(text, at)) is None:
        return None
    end = name.end()
    while (some := _ATTRIBUTES.match(text, end)) is not None and some.end() > end:
        end = some.end()
    if not text.startswith(">", end):
        return None
    return _Mark(name[0][1:].lower(), at, end + 1, text[name.end() : end])
