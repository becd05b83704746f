"""What an independent reader, Python's `email`, sees of a message before and after an insertion."""

from __future__ import annotations

import email
import html
import re
from email.message import Message

_NO_TEXT = re.compile(r"<!--.*?-->|<[a-zA-Z/!][^>]*>", re.DOTALL)
_AS_BROWSERS_DO = {"iso-8859-1": ("cp1252", "latin-1")}
_TEXTS = frozenset({"text/plain", "text/html"})


def faults(before: bytes, after: bytes, words: str) -> list[str]:
    """What is wrong: words that an alternative does not show, parts that are not the same."""
    old, new = email.message_from_bytes(before), email.message_from_bytes(after)
    found = [] if _other_fields(old) == _other_fields(new) else ["a field of the header changed"]
    olds, news = _leaves(old), _leaves(new)
    if len(news) == len(olds) + 1:
        kept = news[1:] if _same(olds, news[1:]) else news[:-1]
        found += [] if _same(olds, kept) else ["a part beside the new one changed"]
        (added,) = [
            one for one in (news[0], news[-1]) if one is not kept[0] and one is not kept[-1]
        ]
        return [
            *found,
            *([] if _shown(added) == _squeezed(words) else ["the new part has another text"]),
        ]
    if len(olds) != len(news):
        return [*found, f"{len(news)} parts instead of {len(olds)}"]
    pairs = [
        (one, other) for one, other in zip(olds, news, strict=True) if not _same([one], [other])
    ]
    found += [] if pairs else ["nothing changed"]
    found += [fault for one, other in pairs for fault in _text_faults(one, other, words)]
    changed = [other for _one, other in pairs]
    return [*found, *_alternatives(new, changed)]


def _alternatives(message: Message, changed: list[Message]) -> list[str]:
    """Whether each alternative of which one has the words has them."""
    found = []
    for part in message.walk():
        if part.get_content_type() != "multipart/alternative":
            continue
        children = [one for one in _children(part) if any(map(_is_text, _leaves(one)))]
        having = [one for one in children if any(leaf in changed for leaf in _leaves(one))]
        if having and len(having) < len(children):
            found.append("an alternative does not have the words")
    return found


def _text_faults(old: Message, new: Message, words: str) -> list[str]:
    if old.get_content_type() != new.get_content_type() or not _is_text(new):
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


def _same(olds: list[Message], news: list[Message]) -> bool:
    return [(one.items(), one.get_payload()) for one in olds] == [
        (one.items(), one.get_payload()) for one in news
    ] or [_bare(one) for one in olds] == [_bare(one) for one in news]


def _bare(part: Message) -> tuple[object, ...]:
    """A part without the fields that are of the message around it."""
    fields = [(name, value) for name, value in part.items() if name.lower().startswith("content-")]
    return fields, part.get_payload()


def _other_fields(message: Message) -> list[tuple[str, str]]:
    return [
        (name, str(value))
        for name, value in message.items()
        if not name.lower().startswith(("content-", "mime-version"))
    ]


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [one for one in payload if isinstance(one, Message)] if isinstance(payload, list) else []


def _leaves(message: Message) -> list[Message]:
    return [part for part in message.walk() if not part.is_multipart()]


def _is_text(part: Message) -> bool:
    return part.get_content_type() in _TEXTS and part.get_content_disposition() != "attachment"


def _shown(part: Message) -> str:
    """The letters that a reader shows, without blanks."""
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    charset = part.get_content_charset() or "utf-8"
    text = next(
        filter(None, (_read(octets, one) for one in _AS_BROWSERS_DO.get(charset, (charset,)))), ""
    )
    text = text or octets.decode("utf-8", "replace")
    if part.get_content_type() == "text/html":
        text = html.unescape(_NO_TEXT.sub("", text))
    return _squeezed(text)


def _read(octets: bytes, charset: str) -> str:
    try:
        return octets.decode(charset)
    except (LookupError, UnicodeDecodeError):
        return ""


def _squeezed(text: str) -> str:
    return "".join(text.replace("\xa0", " ").split())
