"""The tree of a message's parts (RFC 2045, RFC 2046), by offsets into its bytes.

It takes apart what mail in the wild is like, and never raises: what is broken is told as a defect
of the part. Where readers are known to take the same bytes for different things, the part holds the
other readings, too: whoever looks for something looks into all of them (`Part.walk`).

A delimiter of a multipart ends all that is open inside of it. So the bytes of a part are known
before it is looked into, and each level is one search through its bytes. What would take more than
`_PASSES` searches through the whole message, has more than `_PARTS` parts or is deeper than
`_DEPTH` is left as it is, with a defect that says so: the work is linear in the size.

It does not undo transfer encodings, so what is inside of one is no part here.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from iems.codec.header import unfold
from iems.mime.defect import Defect, Found
from iems.mime.doubt import different, encodings, odd_boundary
from iems.mime.part import Part
from iems.mime.value import LIMIT, Value, parse_value

_DEPTH, _PARTS = 50, 10_000
"""Levels and parts, other readings included: honest mail has ten and a few hundred."""

_PASSES = 30
"""How often the bytes of the message may be searched, on average."""

_LOOKS = 5
"""How often a header is searched for this and that."""

_READINGS = 8
"""Readings of one part. Two of something doubtful give four, and mail by accident has no more."""

_MOST = _READINGS + 1
"""One more, which shows that there are too many."""

_HEADER = 1 << 20
"""Bytes of a header: what the milter lets in for the one of the message (552 above it)."""

_END = re.compile(rb"\n\r?\n")
_FIRST = re.compile(rb"[!-9;-~]+[ \t]*:|>?From |\Z")
_NO_FIELD = re.compile(rb"\n(?![!-9;-~]+[ \t]*:|[ \t]++\S|\r?\n|\Z)")
_NAME = re.compile(rb"content-(type|transfer-encoding|disposition)[ \t]*:")
_VALUE = re.compile(rb"[^\n]*(?:\n[ \t][^\n]*)*")
_LONE_CR = re.compile(rb"\r(?!\n)")
_DELIMITER_END = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
_GUESS = re.compile(rb"^--([!-~]{1,202}+)[ \t]*+\r?$", re.MULTILINE)
_TYPE = re.compile(rb"[!#-'*+.0-9^-~-]+/[!#-'*+.0-9^-~-]+[ \t]*(?:;|\Z)")
_OUTSIDE = re.compile(
    rb"^(?:content-(?:type|transfer-encoding|disposition)[ \t]*:"
    rb"|begin(?:-base64)? [0-7]{3,4} |=ybegin )",
    re.MULTILINE | re.IGNORECASE,
)
_MESSAGES = frozenset({"message/rfc822", "message/global", "message/news"})
_REPORTS = re.compile(
    r"message/(?:global-)?(?:delivery-status|disposition-notification|feedback-report)"
)
_ENCODED = frozenset({"base64", "quoted-printable"})
_CR, _LF = 0x0D, 0x0A
_NO_VALUE = Value("", ())


def parse(data: bytes) -> Part:
    """The message as a tree."""
    root = _Parser(data).part(0, len(data), 0, "text/plain")
    if not any(found.defect is Defect.LONE_CR for part in root.walk() for found in part.defects):
        return root
    cut = _LONE_CR.sub(b"\n", data)  # as long as before, so that offsets stay
    other = _Parser(cut).part(0, len(cut), 0, "text/plain")
    return replace(root, others=(*root.others, other))


class _Head(NamedTuple):
    """How one reader may take the header of a part."""

    body: int
    content_type: Value
    encoding: str


class _Structure(NamedTuple):
    """How one reader may take the body of a part."""

    parts: tuple[Part, ...] = ()
    delimiters: tuple[tuple[int, int], ...] = ()
    defects: tuple[Found, ...] = ()


class _Delimiter(NamedTuple):
    """A delimiter with the line end before it, which belongs to it, and its own."""

    start: int
    end: int
    closing: bool


class _Split(NamedTuple):
    """The delimiters of a multipart."""

    delimiters: tuple[_Delimiter, ...] = ()
    defects: tuple[Found, ...] = ()

    def spans(self, end: int) -> Iterator[tuple[int, int]]:
        """What is between them, up to the end of the multipart."""
        ends = (*(one.start for one in self.delimiters[1:]), end)
        for delimiter, stop in zip(self.delimiters, ends, strict=False):
            if not delimiter.closing:
                yield delimiter.end, stop


class _Parser:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._parts = _PARTS
        self._bytes = _PASSES * max(len(data), 64 << 10)

    def part(self, start: int, end: int, depth: int, default: str) -> Part:
        """The bytes as a part; `default` is its type where it names none."""
        body, defects = self._body(start, end)
        self._bytes -= _LOOKS * (body - start)
        fields = self._fields(start, body)
        disposition = _disposition(fields.get(b"disposition", [])[:_READINGS])
        heads, doubts = self._heads(start, body, fields, default, defects)
        main, *others = (
            Part(
                start,
                head.body,
                end,
                head.content_type,
                disposition,
                head.encoding,
                structure.parts,
                structure.delimiters,
                structure.defects,
            )
            for head in heads
            for structure in self._structures(head, end, depth)
        )
        if not (defects or doubts or others):
            return main
        return replace(main, defects=(*defects, *doubts, *main.defects), others=tuple(others))

    def _body(self, start: int, end: int) -> tuple[int, list[Found]]:
        """Where the body begins, and what is wrong with the header."""
        data, defects = self._data, []
        if data.startswith((b"\n", b"\r\n"), start, end):
            return data.index(b"\n", start) + 1, []
        until = min(end, start + _HEADER)
        found = _END.search(data, start, until)
        body = until if found is None else found.end()
        if found is None and until < end:
            defects.append(Found(Defect.LONG_HEADER, until))
        elif found is None and until > start and data[until - 1] != _LF:
            defects.append(Found(Defect.NO_BODY, until))
        line = start - 1 if _FIRST.match(data, start, body) is None else None
        if line is None and (odd := _NO_FIELD.search(data, start, body)) is not None:
            line = odd.start()
        if line is not None:
            defects.append(Found(Defect.LINE_IN_HEADER, line + 1))
        if data.count(b"\r", start, body) != data.count(b"\r\n", start, body):
            at = _LONE_CR.search(data, start, body)
            defects.append(Found(Defect.LONE_CR, start if at is None else at.start()))
        if (at_nul := data.find(b"\0", start, body)) >= 0:
            defects.append(Found(Defect.NUL, at_nul))
        return body, defects

    def _fields(self, start: int, body: int) -> dict[bytes, list[tuple[int, bytes]]]:
        """Offsets and unfolded values of the fields that decide what the part is, by name."""
        header = b"\n" + self._data[start:body]
        names = header.lower()
        found: dict[bytes, list[tuple[int, bytes]]] = {}
        at = names.find(b"\ncontent-")
        while at >= 0:
            if (name := _NAME.match(names, at + 1)) is not None:
                value = _VALUE.match(header, name.end())
                unfolded = unfold(value[0]) if value else b""
                found.setdefault(name[1], []).append((start + at, unfolded))
            at = names.find(b"\ncontent-", at + 1)
        return found

    def _heads(
        self,
        start: int,
        body: int,
        fields: dict[bytes, list[tuple[int, bytes]]],
        default: str,
        defects: list[Found],
    ) -> tuple[list[_Head], list[Found]]:
        """What readers may take the header for, the first one most of them; why they differ."""
        doubts: list[Found] = []
        types = different(fields.get(b"type", []), doubts)
        said = different(fields.get(b"transfer-encoding", []), doubts)
        words = dict.fromkeys(word for field in said[:_MOST] for word in encodings(*field, doubts))
        pairs = itertools.product(types[:_MOST] or (None,), words or ("7bit",))
        heads = [
            self._head(body, kind, word, default, doubts)
            for kind, word in itertools.islice(pairs, _MOST)
        ]
        doubts += [
            Found(Defect.LONG_HEADER, at)
            for at, value in itertools.chain(*fields.values())
            if len(value) > LIMIT
        ]
        for found in defects:
            if found.defect is Defect.LINE_IN_HEADER:
                kind, encoding = (
                    next((field for field in fields.get(name, []) if field[0] < found.at), None)
                    for name in (b"type", b"transfer-encoding")
                )
                word = "7bit" if encoding is None else next(encodings(*encoding, []))
                heads.append(self._head(found.at, kind, word, default, []))
        if len(heads) > _READINGS or len(fields.get(b"disposition", [])) > _READINGS:
            doubts.append(Found(Defect.TOO_MANY_PARTS, start))
        return heads[:_READINGS], list(dict.fromkeys(doubts))

    def _head(
        self,
        body: int,
        kind: tuple[int, bytes] | None,
        encoding: str,
        default: str,
        doubts: list[Found],
    ) -> _Head:
        content_type = Value(default, ()) if kind is None else parse_value(kind[1])
        if kind is not None and not _TYPE.match(kind[1].lower()):
            doubts.append(Found(Defect.ODD_TYPE, kind[0]))
        if kind is not None and odd_boundary(content_type, kind[1]):
            doubts.append(Found(Defect.ODD_BOUNDARY, kind[0]))
        return _Head(body, content_type, encoding)

    def _structures(self, head: _Head, end: int, depth: int) -> Iterator[_Structure]:
        """What readers may take the body for, most of them the first."""
        word, encoded = head.content_type.word, head.encoding in _ENCODED
        multipart = word.startswith("multipart")
        message = word in _MESSAGES
        other = word.startswith("message/") and not message and not _REPORTS.fullmatch(word)
        if other or not (multipart or message):
            yield _Structure()
        bounded = bool(head.content_type.all("boundary"))
        if not (multipart or message or other or bounded):
            return
        if depth >= _DEPTH or self._parts <= 0 or self._bytes < 0:
            yield _Structure(defects=(Found(Defect.TOO_MANY_PARTS, head.body),))
            return
        doubt = (Found(Defect.ENCODED_PARTS, head.body),) if encoded else ()
        if message or other:
            if encoded:
                yield _Structure(defects=doubt)
            self._parts -= 1
            inner = self.part(head.body, end, depth + 1, "text/plain")
            yield _Structure(parts=(inner,))
            return
        for structure in self._multipart(head, end, depth):
            if multipart or structure.delimiters:
                yield structure._replace(defects=doubt + structure.defects) if doubt else structure
        if multipart and (encoded or not _TYPE.match(word.encode("latin-1"))):
            yield _Structure()

    def _multipart(self, head: _Head, end: int, depth: int) -> Iterator[_Structure]:
        default = "message/rfc822" if head.content_type.word == "multipart/digest" else "text/plain"
        named = dict.fromkeys(one.rstrip() for one in head.content_type.all("boundary"))
        doubts: tuple[Found, ...] = ()
        if len(named) > 1:
            doubts += (Found(Defect.REPEATED_PARAMETER, head.body),)
        if len(named) > _READINGS:
            doubts += (Found(Defect.TOO_MANY_PARTS, head.body),)
        tried = list(named)[:_READINGS]
        splits = [split for one in tried for split in self._splits(one, head.body, end)]
        if not any(split.delimiters for split in splits):
            doubts += tuple(dict.fromkeys(found for split in splits for found in split.defects))
            doubts += (Found(Defect.NO_BOUNDARY, head.body),)
            self._bytes -= end - head.body
            guess = _GUESS.search(self._data, head.body, end)
            one = guess[1].removesuffix(b"--") or guess[1] if guess else b""
            splits = [_Split(), *(self._splits(one, head.body, end) if one else ())]
        for split in splits:
            if self._bytes < 0 and split is not splits[0]:
                yield _Structure(defects=(Found(Defect.TOO_MANY_PARTS, head.body),))
                return
            parts = tuple(self.part(*span, depth + 1, default) for span in split.spans(end))
            delimiters = tuple((one.start, one.end) for one in split.delimiters)
            outside = tuple(self._outside(split, head.body, end))
            defects = tuple(Found(Defect.PARTS_OUTSIDE, at) for at, _end in outside)
            yield _Structure(parts, delimiters, doubts + split.defects + defects)
            self._parts -= len(outside)
            for span in outside:
                yield _Structure((self.part(*span, depth + 1, "text/plain"),))
            doubts = ()

    def _outside(self, split: _Split, body: int, end: int) -> Iterator[tuple[int, int]]:
        """What looks like a part before the first delimiter, or behind the last one."""
        found = split.delimiters
        if not found:
            return
        last = (found[-1].end, end) if found[-1].closing else (end, end)
        for start, stop in ((body, found[0].start), last):
            self._bytes -= stop - start
            if (sign := _OUTSIDE.search(self._data, start, stop)) is not None:
                yield sign.start(), stop

    def _splits(self, boundary: bytes, body: int, end: int) -> Iterator[_Split]:
        """Where the delimiters are; then where they are for readers who look less closely."""
        strict = self._split(boundary, body, end)
        yield strict
        kinds = {found.defect for found in strict.defects}
        if Defect.LIKE_DELIMITER in kinds:
            yield self._split(boundary, body, end, whole=False)
        if Defect.PARTS_AFTER_END in kinds:
            yield self._split(boundary, body, end, last=False)

    def _split(
        self, boundary: bytes, body: int, end: int, *, whole: bool = True, last: bool = True
    ) -> _Split:
        """`whole`: nothing may follow in the line; `last`: the last delimiter is the last one."""
        data, needle, defects = self._data, b"\n--" + boundary, []
        self._bytes -= end - body
        found: list[_Delimiter] = []
        at, like = data.find(needle, body - 1, end), -1
        while at >= 0:
            rest = _DELIMITER_END.match(data, at + len(needle), end)
            if rest is None and whole:
                like = at if like < 0 else like
                at = data.find(needle, at + 1, end)
                continue
            if len(found) >= self._parts:
                defects.append(Found(Defect.TOO_MANY_PARTS, at + 1))
                break
            start = max(at - (data[at - 1] == _CR), found[-1].end if found else body)
            stop = data.find(b"\n", at + 1, end) + 1 or end if rest is None else rest.end()
            closing = data.startswith(b"--", at + len(needle), end)
            found.append(_Delimiter(start, stop, closing))
            at = data.find(needle, stop - 1, end)
            if closing and last:
                break
        self._parts -= len(found)
        for defect, sign in ((Defect.LONE_CR, b"\r" + needle[1:]), (Defect.NUL, b"\0")):
            if (seen := data.find(sign, body, end)) >= 0:
                defects.append(Found(defect, seen))
        if like >= 0:
            defects.append(Found(Defect.LIKE_DELIMITER, like + 1))
        if found and not found[-1].closing:
            defects.append(Found(Defect.NO_END, found[-1].start))
        elif at >= 0 and last:
            defects.append(Found(Defect.PARTS_AFTER_END, at + 1))
        return _Split(tuple(found), tuple(defects))


def _disposition(values: list[tuple[int, bytes]]) -> Value:
    """The word of the first, and the parameters of all."""
    if not values:
        return _NO_VALUE
    parsed = [parse_value(value) for _at, value in values]
    return Value(parsed[0].word, tuple(pair for one in parsed for pair in one.pairs))
