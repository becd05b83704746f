"""Who tells users by mail that their rules could not be installed."""

from __future__ import annotations

import functools
from contextlib import ExitStack, closing

from cli import entries
from cli.mailsort.desk import Result
from iems.directory.admin import Admin
from iems.directory.reader import DirectoryUnavailable, user_of
from iems.model.address import Address
from iems.notices.postmaster import NoticeError, NoticeRefusedError, Postmaster
from iems.notices.rules import RuleNotices
from iems.serve.deadline import Deadline
from iems.settings.schema import Settings
from iems.store.causes import Causes, CausesError

_MOST = 1000
"""Notices of one run: the next one tells the others."""

_SECONDS = 10.0
"""For one question to the directory."""


class Teller:
    """The notices of one run; what goes wrong with them is a warning, and the end of them."""

    def __init__(self, admin: Admin, settings: Settings) -> None:
        self._settings = settings
        self._directory = admin.directory(entries.warn)
        self._opened = ExitStack()
        self._left = _MOST
        self._known = True

    def tell(self, user: Address, result: Result) -> None:
        """Tell him, if there is something to be told."""
        if not self._known:
            return
        try:
            if result.good:
                self._notices.well(user.key)
            elif result.reasons and self._left > 0:
                self._written(user, result)
        except NoticeRefusedError as error:
            entries.warn(f"{user} is not told by mail: {error}")
        except NoticeError as error:
            self._left = 0
            entries.warn(f"nobody is told by mail: {error}")
        except (CausesError, DirectoryUnavailable, OSError) as error:
            self._known = False
            entries.warn(f"nobody is told by mail: {error}")

    def close(self) -> None:
        """Nobody is told any more."""
        self._opened.close()

    @functools.cached_property
    def _notices(self) -> RuleNotices:
        folder = self._settings.agent.state.parent / "mailsort"
        # Whose rules are not taken is nobody else's business.
        folder.mkdir(mode=0o700, exist_ok=True)
        host = self._settings.hostname
        return RuleNotices(
            self._opened.enter_context(closing(Causes(folder / "told.sqlite"))),
            host,
            self._settings.digest.language,
            Postmaster(self._settings.postmaster, host, self._settings.notices.smtp),
        )

    def _written(self, user: Address, result: Result) -> None:
        found = self._directory.find([user], Deadline.after(_SECONDS))
        person = user_of(found.get(user.key))
        if person is not None:
            self._left -= self._notices.tell(person, result.reasons)
