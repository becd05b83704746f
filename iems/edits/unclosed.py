"""What HTML has left open at a place: the end tags that bring a browser back to the page itself.

Without them a text that is put there would be struck through by an `<s>` that nobody closed, or
hidden by a `<div style="display:none">`. It follows the stack of open elements and the list of
formatting elements of the HTML standard (WHATWG, sections 13.2.4.2 and 13.2.4.3) as far as it takes
to name no fewer than there are: an end tag too many means nothing to a browser. Not named are
elements that end where a block begins or where a table does.

Up to the place each comment and tag has its end. The work is linear in the size.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator

RAW = "iframe|noembed|noframes|script|style|template|textarea|title|xmp"
"""What stands between these tags is no markup or not shown, and ends no body."""

_FLAGS = re.IGNORECASE | re.ASCII | re.VERBOSE | re.DOTALL
_SOME = r"""[^>=]*+
    (?: = \s*+ (?: "[^"]*+" | '[^']*+' | [^\s>"'][^\s>]*+ | (?=>) ) [^>=]*+ ){0,50}"""
"""Some attributes, not all: regular expressions keep in mind where each one was."""

_ATTRIBUTES = re.compile(_SOME, _FLAGS)
_TAG = re.compile(
    rf"<(?: (/?[a-z][^\s/>]*+) {_SOME} (>?) | !--(?: -?> | .*?(?:--!?>|\Z) ) | [!?/][^>]*+ )",
    _FLAGS,
)
"""A tag, its name and whether all of it is there; or a comment."""

_RAW_ENDS = {name: re.compile(rf"</{name}(?=[\s/>])", _FLAGS) for name in RAW.split("|")}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FORMATTING = sorted(_words("a b big code em font i nobr s small strike strong tt u"))
"""A browser goes on with these behind the end of what they stand in."""

_SCOPES = _words("applet button marquee object select table")
"""No end tag within these ends what is around them."""

_OPEN_ENDED = _words("button select")
"""Behind the end of these the formatting elements that began in them go on."""

_ITEMS = _words("dd dt li p")
"""One directly in another of its kind ends that."""

_BLOCKS = _words(
    "address article aside blockquote center details dialog dir div dl fieldset figcaption"
    " figure footer h1 h2 h3 h4 h5 h6 header hgroup hr listing main menu nav ol pre search"
    " section summary ul"
)
_PARAGRAPHS = _BLOCKS | _words("dd dt form li")
"""A paragraph ends where one of these begins."""

_WHOLE = _BLOCKS | {"p"}
"""Their end tags end all that is in them."""

_FOREIGN = _words("annotation-xml desc foreignobject mi mn mo ms mtext")
_BARRIERS = _WHOLE | _PARAGRAPHS | _FOREIGN | {"noscript"}
"""Those of all others do not reach beyond one of these."""

_UNNAMED = _words(
    "area base basefont bgsound body br caption col colgroup embed frame frameset head hr html img"
    " input keygen link meta param source tbody td tfoot th thead tr track wbr"
)
_SKIPPED = _UNNAMED | {f"/{name}" for name in _UNNAMED}
_APART = _words("dd dt form li")
"""One of these within another of its kind is none, or ends it."""

_DEEPEST = 512
"""Elements in each other; what is further in stands beside the last one (Blink's limit)."""


class _Scope:
    """What was opened and not closed: within one of `_SCOPES`, or within the page."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._stack: list[str] = []
        self._counts: Counter[str] = Counter()

    def begin(self, name: str) -> None:
        """Another one is open."""
        if name in _PARAGRAPHS:
            self.end("p")
        full = len(self._stack) == _DEEPEST or self._counts[name] == _DEEPEST
        same = name in _ITEMS and self._stack[-1:] == [name]
        if full or same or (name == "form" and self._counts[name]):
            return
        self._counts[name] += 1
        if name not in _FORMATTING:
            self._stack.append(name)

    def goes_on(self, inner: _Scope) -> None:
        """Formatting elements of another one are of this one now."""
        for name in _FORMATTING:
            self._counts[name] = min(self._counts[name] + inner._counts[name], _DEEPEST)

    def end(self, name: str) -> None:
        """The last one of this name ends, with all that is in it but formatting elements."""
        if not self._counts[name] or self._beyond(name):
            return
        while name not in _FORMATTING and (last := self._stack.pop()) != name:
            self._counts[last] -= 1
        self._counts[name] -= 1

    def _beyond(self, name: str) -> bool:
        """Whether its end tag means nothing, for another element is in it."""
        if name in _WHOLE or name in _FORMATTING:
            return False
        return next(o for o in reversed(self._stack) if o == name or o in _BARRIERS) != name

    @property
    def names(self) -> list[str]:
        """What has to end so that nothing of it goes on, the innermost first."""
        formatting = [name for name in _FORMATTING for _ in range(self._counts[name])]
        if self.name == "table":
            return [self.name, *formatting]
        first = not self.name and self._stack[:1] == ["p"]  # which ends where a block begins
        return [*reversed(self._stack[first:]), *filter(None, [self.name]), *formatting]


def end_tags(text: str) -> str:
    """For all that is open at the end of the text, the innermost first."""
    scopes = [_Scope()]
    for name in _unpaired(_names(text)):
        if name.startswith("/"):
            _end(scopes, name[1:])
        elif name in _SCOPES and len(scopes) < _DEEPEST:
            scopes.append(_Scope(name))
        elif name not in _UNNAMED:
            scopes[-1].begin(name)
    return "".join(f"</{name}>" for scope in reversed(scopes) for name in scope.names)


def _unpaired(names: Iterable[str]) -> list[str]:
    """Without those that end where they began and end nothing else: of most pages all of them."""
    left: list[str] = []
    paragraphs = 0  # what may be open, which blocks and other paragraphs end
    for name in names:
        last = left[-1] if left else ""
        ends = name == f"/{last}" and last not in _APART
        if ends and (last not in _WHOLE or paragraphs == (last == "p")):
            del left[-1]
            paragraphs -= last == "p"
        else:
            left.append(name)
            paragraphs += name == "p"
    return left


def _names(text: str) -> Iterator[str]:
    """Of the tags, in lower case, but those of raw elements."""
    at: int | None = 0
    while at is not None:
        start, at = at, None
        for tag in _TAG.finditer(text, start):
            if (name := tag[1]) is None:
                continue
            word = name.lower() if name.isascii() else name
            if word in _SKIPPED and tag[2]:
                continue
            end = tag.end() if tag[2] else _past(text, tag.end())
            if word in _RAW_ENDS:
                last = _RAW_ENDS[word].search(text, end)
                at = last.start() + 1 if last else None
                break
            yield word
            if not tag[2]:
                at = end
                break


def _past(text: str, at: int) -> int:
    """Behind the rest of the attributes."""
    while (more := _ATTRIBUTES.match(text, at)) is not None and more.end() > at:
        at = more.end()
    return at


def _end(scopes: list[_Scope], name: str) -> None:
    if name not in _SCOPES:
        scopes[-1].end(name)
        return
    at = next((at for at in range(len(scopes) - 1, 0, -1) if scopes[at].name == name), 0)
    if at > 0 and (name == "table" or at == len(scopes) - 1):
        if name in _OPEN_ENDED:
            scopes[at - 1].goes_on(scopes[at])
        del scopes[at:]
