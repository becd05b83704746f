"""What an independent reader sees of a message before and after an edit.

Each function tells what is wrong, in words; nothing where all is right.
"""

from __future__ import annotations

import email
import html
import re
from collections import Counter
from collections.abc import Callable

from tests.readers import Leaf, Reader, by_email

_NO_TEXT = re.compile(r"<!--.*?-->|<[a-zA-Z/!][^>]*>", re.DOTALL)
_AS_BROWSERS_DO = {"iso-8859-1": ("cp1252", "latin-1")}
_TEXTS = frozenset({"text/plain", "text/html"})


def faults(before: bytes, after: bytes, words: str, read: Reader = by_email) -> list[str]:
    """Of an insertion: words that an alternative does not show, parts that are not the same."""
    found = [] if _header(before) == _header(after) else ["a field of the header changed"]
    olds, news = read(before), read(after)
    if len(news) == len(olds) + 1:
        added, kept = (news[0], news[1:]) if _same(olds, news[1:]) else (news[-1], news[:-1])
        found += [] if _same(olds, kept) else ["a part beside the new one changed"]
        right = _shown(added) == _squeezed(words)
        return [*found, *([] if right else ["the new part has another text"])]
    if len(olds) != len(news):
        return [*found, f"{len(news)} parts instead of {len(olds)}"]
    pairs = [one for one in zip(olds, news, strict=True) if not _same(*([leaf] for leaf in one))]
    found += [] if pairs else ["nothing changed"]
    found += [fault for one, other in pairs for fault in _text_faults(one, other, words)]
    return [*found, *_alternatives(news, [other for _one, other in pairs])]


def removal_faults(
    before: bytes, after: bytes, goes: Callable[[str], bool], notice: str, read: Reader = by_email
) -> list[str]:
    """Of a removal of all parts whose type `goes`: one is left, or anything else changed."""
    found = [] if _header(before) == _header(after) else ["a field of the header changed"]
    olds, news = read(before), read(after)
    stay = Counter(_bare(one) for one in olds if not goes(one.kind))
    there = Counter(_bare(one) for one in news)
    made = [one for one in news if not stay[_bare(one)]]
    found += ["a part that matches is left"] if any(goes(one.kind) for one in news) else []
    found += ["a part that does not match changed"] if stay - there else []
    found += ["there is not a notice for each"] if len(olds) != len(news) else []
    found += ["a notice is none"] if any(_squeezed(notice) not in _shown(o) for o in made) else []
    return found


def recoding_faults(before: bytes, after: bytes, read: Reader = by_email) -> list[str]:
    """Of another transfer encoding: parts that hold something else than before."""
    olds, news = ([(one.kind, _lines(one)) for one in read(data)] for data in (before, after))
    return [] if olds == news else ["a part holds something else"]


def _alternatives(news: list[Leaf], changed: list[Leaf]) -> list[str]:
    """Whether each alternative of which one has the words has them."""
    texts = {place for one in news if _is_text(one) for place in one.within}
    having = {place for one in changed for place in one.within}
    numbers = {number for number, _at in having}
    missing = {place for place in texts - having if place[0] in numbers}
    return ["an alternative does not have the words"] if missing else []


def _text_faults(old: Leaf, new: Leaf, words: str) -> list[str]:
    if old.kind != new.kind or not _is_text(new):
        return ["something other than a text changed"]
    before, after, put = _shown(old), _shown(new), _squeezed(words)
    if put not in after:
        return ["a text does not show the words"]
    if (
        after.replace(put, "", 1) != before
        and after[::-1].replace(put[::-1], "", 1)[::-1] != before
    ):
        return ["a text says something else than before"]
    return []


def _same(olds: list[Leaf], news: list[Leaf]) -> bool:
    return [_bare(one) for one in olds] == [_bare(one) for one in news]


def _bare(leaf: Leaf) -> tuple[object, ...]:
    """Type, fields and octets, wherever it stands."""
    return leaf.kind, leaf.fields, leaf.octets


def _header(data: bytes) -> list[tuple[str, str]]:
    """The fields of the message that say nothing of its body."""
    return [
        (name, str(value))
        for name, value in email.message_from_bytes(data).items()
        if not name.lower().startswith(("content-", "mime-version"))
    ]


def _is_text(leaf: Leaf) -> bool:
    return leaf.kind in _TEXTS and not leaf.attached


def _lines(leaf: Leaf) -> bytes:
    """What it holds; a text with one kind of line end."""
    text = leaf.kind.startswith("text/")
    return leaf.content.replace(b"\r\n", b"\n") if text else leaf.content


def _shown(leaf: Leaf) -> str:
    """The letters that a reader shows, without blanks."""
    charset = leaf.charset or "utf-8"
    charsets = _AS_BROWSERS_DO.get(charset, (charset,))
    text = next(filter(None, (_read(leaf.content, one) for one in charsets)), "")
    text = text or leaf.content.decode("utf-8", "replace")
    if leaf.kind == "text/html":
        text = html.unescape(_NO_TEXT.sub("", text))
    return _squeezed(text)


def _read(octets: bytes, charset: str) -> str:
    try:
        return octets.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return ""


def _squeezed(text: str) -> str:
    return "".join(text.replace("\xa0", " ").split())
