"""GMime's view of messages, for `tests/readers.py`; Debian's Python has its bindings.

Each message comes on standard input behind its size, four bytes; a line of JSON is the answer.
"""

from __future__ import annotations

import base64
import itertools
import json
import sys
from collections.abc import Iterator
from typing import Any

import gi  # type: ignore[import-not-found]

gi.require_version("GMime", "3.0")
from gi.repository import GMime  # type: ignore[import-not-found] # noqa: E402

_Object = Any
"""One of GMime's, which tell no types."""


def main() -> None:
    GMime.init()
    while len(size := sys.stdin.buffer.read(4)) == 4:
        data = sys.stdin.buffer.read(int.from_bytes(size, "big"))
        parser = GMime.Parser.new_with_stream(GMime.StreamMem.new_with_buffer(data))
        message = parser.construct_message(None)
        root = None if message is None else message.get_mime_part()
        found: list[dict[str, Any]] = []
        _leaves(root, [], itertools.count(), found)
        print(json.dumps(found), flush=True)


def _leaves(
    part: _Object, within: list[_Object], numbers: Iterator[int], found: list[dict[str, Any]]
) -> None:
    if isinstance(part, GMime.Multipart):
        kind = part.get_content_type().get_mime_type().lower()
        number = next(numbers) if kind == "multipart/alternative" else None
        for at in range(part.get_count()):
            inside = within if number is None else [*within, (number, at)]
            _leaves(part.get_part(at), inside, numbers, found)
    elif isinstance(part, GMime.MessagePart):
        message = part.get_message()
        _leaves(None if message is None else message.get_mime_part(), within, numbers, found)
    elif part is not None and not part.get_content_type().is_type("message", "*"):
        found.append(_leaf(part, within))


def _leaf(part: _Object, within: list[_Object]) -> dict[str, Any]:
    fields = part.get_header_list()
    content, kind = part.get_content(), part.get_content_type()
    raw, octets, decoded = None, GMime.StreamMem.new(), GMime.StreamMem.new()
    if content is not None:
        raw = content.get_stream()
        raw.reset()
        raw.write_to_stream(octets)
        content.write_to_stream(decoded)
    named = (fields.get_header_at(at) for at in range(fields.get_count()))
    return {
        "kind": kind.get_mime_type().lower(),
        "attached": (part.get_disposition() or "").lower() == "attachment",
        "charset": (kind.get_parameter("charset") or "").lower(),
        "fields": [
            (one.get_name().lower(), one.get_raw_value() or "")
            for one in named
            if one.get_name().lower().startswith("content-")
        ],
        "octets": base64.b64encode(bytes(octets.get_byte_array() or b"")).decode(),
        "content": base64.b64encode(bytes(decoded.get_byte_array() or b"")).decode(),
        "within": within,
    }


if __name__ == "__main__":
    main()
