"""The edits of mail that does not come from outside: by whom, to whom, and what came of them.

Which are due is `iems.editing`; here the facts of a message in the milter are found, and the edits
follow each other on its draft. One that is not made is told with the reason. Mail from outside is
the agent's: a signature of its sender would break for those to whom Postfix sends it on. What was
sent on, or comes of a Sieve script, has another author than who might be edited here.

DirectoryUnavailable, EditUnavailable and OSError are for the caller: the mail waits, and does not
leave unedited.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace

from iems.directory.ownership import owns
from iems.directory.person import NOBODY, Person
from iems.directory.reader import Directory, user_of
from iems.directory.resolve import with_bases
from iems.editing.assembly import Due, Plan
from iems.editing.choice import Facts, answers, author, members
from iems.edits.edit import Edit, EditError
from iems.model.address import Address, AddressError
from iems.model.envelope import INTERNET, LOCAL
from iems.serve.deadline import Deadline
from milters.draft import Draft
from milters.state import Message


@dataclass(frozen=True, slots=True)
class Edited:
    """A message as it is now, and what is told of it; `rejected` says by which edit, and why."""

    draft: Draft
    notes: tuple[str, ...] = ()
    rejected: tuple[str, str] | None = None


class Editing:
    """Of one worker; `timeout` in seconds bounds what the directory is asked of one message."""

    def __init__(self, plan: Plan, directory: Directory, timeout: float) -> None:
        self._plan = plan
        self._directory = directory
        self._timeout = timeout

    @property
    def on(self) -> bool:
        """Whether any mail is ever edited."""
        return any(set(one.which.channels) - {INTERNET} for one in self._plan.edits)

    def wants(self, message: Message) -> bool:
        """Whether the message may be edited, by its channel: keep its body."""
        return message.channel != INTERNET and bool(self._plan.of(message.channel).edits)

    def edited(self, message: Message, draft: Draft) -> Edited:
        """The draft with all edits that are for it."""
        if not self.wants(message) or message.sent_on:
            return Edited(draft)
        deadline = Deadline.after(self._timeout)
        found = functools.partial(members, self._directory, deadline=deadline)
        facts = _facts(message, draft)
        if self._resent(draft, facts, deadline):
            return Edited(draft)
        due = self._plan.of(message.channel).due(facts, functools.cache(found))
        if not due:
            return Edited(draft)
        person = self._person(facts, deadline)
        edited = Edited(draft)
        for one in due:
            edited = _one(edited, one.of(person), refuses=message.channel != LOCAL)
            if edited.rejected:
                break
        return edited

    def _resent(self, draft: Draft, facts: Facts, deadline: Deadline) -> bool:
        """Whether who has logged in passes on what another wrote (RFC 5322 section 3.6.6)."""
        if facts.login is None or not draft.header.named(b"resent-from"):
            return False
        author = facts.author
        return author is None or not owns(self._directory, facts.login, author, deadline)

    def _person(self, facts: Facts, deadline: Deadline) -> Person:
        """What is known of who sent the message."""
        sender = facts.login or facts.author
        if sender is None:
            return NOBODY
        names = with_bases([sender])
        found = self._directory.find(names, deadline)
        user = user_of(next((found[one.key] for one in names if one.key in found), None))
        return user.person if user else NOBODY


def _one(before: Edited, due: Due, *, refuses: bool) -> Edited:
    """After one more edit, which may say that the message is to be refused where it can be."""
    draft = before.draft
    try:
        excess = due.excess(draft.size)
        edit = Edit(reason=excess) if excess else due.prepared.edit(draft.data)
        draft = draft.edited(edit)
    except EditError as error:
        edit = Edit(reason=str(error))
    if edit.rejected and refuses:
        return replace(before, rejected=(due.name, edit.reason))
    return Edited(draft, (*before.notes, due.told(edit)))


def _facts(message: Message, draft: Draft) -> Facts:
    try:
        login = Address.parse(message.authenticated) if message.authenticated else None
    except AddressError:
        login = None
    return Facts(
        channel=message.channel,
        outside=message.leaves,
        author=author(draft.header),
        login=login,
        recipients=tuple(address for address, _found in message.accepted),
        answers=answers(draft.header),
    )
