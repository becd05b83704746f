"""Notices to users whose rules about incoming mail could not be installed, with the reasons.

Who installs them for others tells: once of a cause, however often he tries; of the same cause again
only after rules were installed meanwhile. A mail server that does not answer ends the notices of a
run, and the next one tells; a notice that it refuses for good is dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import EmailMessage

from iems.directory.reader import User
from iems.notices.digest import Sender
from iems.notices.letter import filled, language_of, shown, texts
from iems.notices.postmaster import NoticeError, NoticeRefusedError
from iems.store.causes import Causes

NOTICE = "rules"

_MOST = 20
"""Reasons of one notice."""


@dataclass(frozen=True, slots=True)
class RuleNotices:
    """Who tells; `language` is for who prefers none that we have, `host` our own name."""

    causes: Causes
    host: str
    language: str
    sender: Sender

    def tell(self, user: User, reasons: Sequence[str]) -> bool:
        """Whether he is told now; NoticeError where he cannot be, CausesError."""
        whom = user.address.key
        if user.refusal or not self.causes.claim(whom, "\n".join(reasons)):
            return False
        try:
            self.sender.send(user.address, self._message(user, reasons))
        except NoticeError as error:
            if not isinstance(error, NoticeRefusedError):
                self.causes.forget(whom)
            raise
        return True

    def well(self, whom: str) -> None:
        """What he was told of is over; CausesError."""
        self.causes.forget(whom)

    def _message(self, user: User, reasons: Sequence[str]) -> EmailMessage:
        language = language_of(user.language, self.language)
        words = texts(language, NOTICE)
        lines = [f"* {shown(one)}" for one in reasons[:_MOST]]
        if len(reasons) > _MOST:
            lines.append(filled(words["more"], count=str(len(reasons) - _MOST)))
        intro = filled(words["intro"], address=str(user.address), host=self.host)
        message = EmailMessage()
        message["Subject"] = words["subject"]
        message.set_content("\n".join((intro, "", *lines, "", words["end"])) + "\n")
        message["Content-Language"] = language
        return message
