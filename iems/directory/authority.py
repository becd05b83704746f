"""Who may change what in the directory, and what the audit is told of it.

Pure. `authorise` is asked before the server is; slapd's own access rights
(`templates/openldap/rights.toml`) say the same for whoever binds there himself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from iems.model.policy import SITE, Kind, Subject


class NotAuthorisedError(Exception):
    """The actor may not do this; the message says who what to what."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: `login` types, and the rights of `subject` count, who administers `domains`."""

    subject: Subject = SITE
    domains: frozenset[str] = frozenset()
    login: str = ""

    def __str__(self) -> str:
        return str(self.subject)


@dataclass(frozen=True, slots=True)
class Thing:
    """What is acted upon and whose.

    The kinds are domain, admin, user, address-book, alias, policy, sender, header, mailsort,
    password, quarantine, and bayes, which is what a user has trained.
    """

    kind: str
    name: str

    @property
    def domain(self) -> str:
        """The domain that it belongs to."""
        return self.name.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


Audit = Callable[[Actor, str, Thing, str], None]
"""Told of every change: by whom, the verb, of what, and what became of it."""

_OWN = frozenset(
    {
        *(("show", "policy"), ("set", "policy"), ("show", "sender"), ("set", "sender")),
        *(("show", "quarantine"), ("release", "quarantine"), ("delete", "quarantine")),
        *(("show", "bayes"), ("set", "bayes"), ("delete", "bayes")),
        *(("show", "mailsort"), ("set", "mailsort")),
        ("change", "password"),
    }
)
_IN_DOMAIN = frozenset(
    {"user", "alias", "policy", "sender", "header", "mailsort", "password", "quarantine", "bayes"}
)


def authorise(actor: Actor, verb: str, thing: Thing) -> None:
    """NotAuthorisedError unless `actor` may do `verb` to `thing`.

    The verbs are add, delete, set, change, show and release. The site's administrator may do
    everything, that of a domain everything with what is in it, a user see and set his own policy,
    list of senders and rules, see, release and delete his own messages in quarantine, see, train
    and delete his own filter, and change his password by the old one.
    """
    if actor.subject.kind is Kind.SITE:
        return
    if actor.subject == Subject(Kind.USER, thing.name) and (verb, thing.kind) in _OWN:
        return
    if thing.domain in actor.domains and thing.kind in _IN_DOMAIN:
        return
    raise NotAuthorisedError(f"{actor} may not {verb} {thing}")
