"""Who is deleted leaves no filter behind, which the next one of his address would have.

The training daemon forgets him. Where it cannot be asked, a warning says how it is done later.
"""

from __future__ import annotations

from collections.abc import Iterable

from cli import entries
from iems.serve.deadline import Deadline
from iems.settings.bayes import BayesSettings
from lmtp.bayes.sqlitestore import FILE
from lmtp.learning.protocol import Answer, PeerError, Request, ask

_SECONDS = 30.0
"""For one answer: the daemon says within 20 s what became of a request."""


def forget(users: Iterable[str], settings: BayesSettings) -> None:
    """Let the filters of these users be forgotten, by their addresses in lower case."""
    gone = ""
    for user in users if _any(settings) else ():
        why = gone
        try:
            # Who was silent once would be waited for as often as there are users.
            answer = None if gone else _asked(user, settings)
            why = answer.text if answer and not answer.done else gone
        except PeerError as error:
            why = gone = str(error)
        if why:
            told = entries.shown(why)
            entries.warn(f"the filter of {user} is kept: {told}; later: iems bayes reset {user}")


def _asked(user: str, settings: BayesSettings) -> Answer:
    return ask(settings.socket, Request("reset", user), b"", Deadline.after(_SECONDS))


def _any(settings: BayesSettings) -> bool:
    """Whether anybody may have trained here."""
    try:
        return settings.shared or (settings.store / FILE).exists()
    except PermissionError:
        return True
