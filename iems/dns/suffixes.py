"""The adapter for publicsuffixlist: below which names do people register domains of their own?

The list is the one inside the package, and no network is asked. It is read when the object is made
(0.04 s, 2 MB); asking it costs 0.03 ms. Of the list both parts count, that of registries and that
of hosters.
"""

from __future__ import annotations

import functools

import publicsuffixlist


class Suffixes:
    """May be asked by several threads."""

    def __init__(self) -> None:
        self._list = publicsuffixlist.PublicSuffixList()

    def registered(self, domain: str) -> str:
        """The domain that somebody registered, of an A-label in lower case; empty if there is none.

        It is the public suffix and one label more; where the top label is unknown, two labels.
        """
        return self._list.privatesuffix(domain) or ""

    def known(self, domain: str) -> bool:
        """Whether the list says anything of the top label: such a name may well be one."""
        top = domain.rpartition(".")[2]
        return bool(self._list.publicsuffix(top, accept_unknown=False))


@functools.cache
def shared() -> Suffixes:
    """The one of this process, made at the first call."""
    return Suffixes()
