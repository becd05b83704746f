"""Policy classes: recipients for whom whatever may be found at the end of DATA is answered alike.

What the sender is never told (deliver, tag, junk, quarantine) is one for a class: there the reply
is 250, and the agent does what each recipient wants. With a list of senders in the layers the class
is theirs alone who have the same one, since what it does hangs on a From that nobody knows yet. So
is that of who is written to through a mailing list with a policy of its own.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from iems.model.finding import MATCHED, Finding
from iems.model.policy import BLOCKED, SITE, Action, Layer, MailingList, Ruling, decide
from iems.model.senders import SenderEntry

PolicyClass: TypeAlias = tuple[object, ...]
"""Equal for recipients of one class; made for one message and compared with no other's."""

_ALLOWED = Ruling(SenderEntry("", allows=True), SITE)


def policy_class(
    found: Iterable[Finding],
    to_come: Iterable[tuple[str, str]],
    layers: Iterable[Layer],
    *,
    role: bool = False,
    leaves: bool = False,
    lists: Iterable[MailingList] = (),
) -> PolicyClass:
    """The class of a recipient beneath `layers`, and behind mailing `lists`.

    `found` is known by now, `to_come` are the bands (check, band) that may be found yet. Where
    nothing is to come, and no list or rule of theirs may still speak, nobody will be answered
    otherwise.
    """
    ordered, bands = tuple(layers), sorted(set(to_come))
    senders = tuple(frozenset(one.senders.values()) for one in ordered if one.senders)
    own = [Finding(check, "", MATCHED) for one in ordered for check in one.headers]
    through = [
        one
        for one in lists
        if one.layer.senders or one.layer.headers or (bands and one.layer.rules)
    ]
    if not (bands or senders or through or _told(own, ordered, role, leaves)):
        return ()
    due = [*found, *(Finding(check, "", band) for check, band in bands), *own]
    told = [_told(due, ordered, role, leaves)]
    if senders:
        told += [_told([BLOCKED], ordered, role, leaves)]
        told += [_told(due, ordered, role, leaves, _ALLOWED)]
    return (*told, senders, frozenset(one.address for one in through))


def _told(
    due: Iterable[Finding],
    layers: tuple[Layer, ...],
    role: bool,
    leaves: bool,
    ruling: Ruling | None = None,
) -> tuple[tuple[str, str, Action], ...]:
    """What the sender is told of; the rest is left out, for `flow` may find it of one alone."""
    decisions = (
        (one, decide([one], layers, role=role, leaves=leaves, ruling=ruling)) for one in due
    )
    return tuple(
        (one.check, one.band, decision.action)
        for one, decision in decisions
        if decision.action > Action.QUARANTINE
    )
