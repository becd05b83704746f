"""Laws of what is read out of a body: its texts, and the hosts that its links lead to."""

from __future__ import annotations

from iems.codec.header import split_message
from iems.codec.links import MOST, Kind, links, read_host
from iems.codec.texts import Text, texts


def messages(data: bytes) -> None:
    """A message has texts of no more letters than its bytes; a host is a name or an address."""
    head, body = split_message(data)
    found = list(texts(head, body))
    assert sum(len(one.text) for one in found) <= 2 * len(body)
    text = data.decode("utf-8", "replace")
    for one in (found, [Text(text, html=True)], [Text(text, html=False)]):
        seen = links(one)
        assert len(seen) <= MOST * len(Kind)
        for link in seen:
            if isinstance(link.host, str):
                assert link.host.isascii()
                assert "." in link.host
                assert read_host(link.host) == link.host
