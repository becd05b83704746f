"""`iems edit`: one edit of one message, from standard input to standard output.

It needs no settings, and no server but one that it is told of, so that an edit can be tried, or be
a filter in a pipe. A message that is left as it is comes out as it came in, and standard error says
why. Exit 0 if a message was printed, 1 if it is to be rejected, which prints none, and 75 where a
server that an edit asks cannot answer now.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from cli import verbs

VERBS: Mapping[str, str] = {
    "scan": "let a message pass in which clamd finds no virus",
    "sign": "sign a message by DKIM",
    "strip": "take attachments out of a message",
    "text": "put a text into a message",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One verb for each edit."""
    verbs.add(parser, "edit", VERBS)


run = verbs.run
