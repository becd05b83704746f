"""What one rule does, brought into the order and the few kinds that its commands have."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sieve.compiling.condition import CannotBeCompiledError
from sieve.compiling.site import Site
from sieve.mailsort.rule import (
    Copy,
    Delete,
    Discard,
    Flag,
    Forward,
    MarkRead,
    Move,
    Notify,
    Reject,
    Reply,
    Rule,
    Stop,
)

_ADDRESS = re.compile(
    r'[^\s@<>()\[\]\\,;:"\0-\x1f\x7f-\U0010ffff]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*'
)
"""What `redirect` and `notify` of Pigeonhole compile: ASCII alone, and no quoted local part."""

LONGEST_NAME = 250
"""Octets in UTF-7, as a Maildir folder is named; a file's name has 255."""

_NO_LEVELS = frozenset({"", ".", ".."})
_CONTROL = re.compile(r"[\0-\x1f\x7f]")


@dataclass(slots=True)
class Steps:
    """Of one rule: folders and addresses with whether it leaves INBOX for them, and its end."""

    flags: dict[str, None]
    folders: dict[str, bool]
    addresses: dict[str, bool]
    notices: dict[str, Notify]
    reply: Reply | None = None
    end: Discard | Reject | Stop | None = None

    @property
    def handles(self) -> bool:
        """Whether a message for which it does this can be rejected no more."""
        return bool(self.folders or self.addresses or self.reply)


def steps_of(rule: Rule, site: Site, spelled: dict[str, str]) -> Steps:
    """The steps; CannotBeCompiledError for an address or a folder that no server takes.

    `spelled` has each address as it was written first, whatever the case of its letters:
    Pigeonhole heeds that of the local part, and would send to both.
    """
    steps = Steps({}, {}, {}, {})
    for action in rule.actions:
        match action:
            case MarkRead():
                steps.flags["\\Seen"] = None
            case Flag(flags):
                steps.flags.update(dict.fromkeys(flags))
            case Stop() if steps.end is None:
                steps.end = action
    for action in rule.actions:
        match action:
            case Move(folder):
                _file(steps, folder_name(folder, site), leaves=True)
            case Copy(folder):
                _file(steps, folder_name(folder, site), leaves=False)
            case Delete():
                _file(steps, folder_name(site.trash, site), leaves=True)
            case Forward(to, keep):
                for one in map(_checked, to):
                    address = spelled.setdefault(one.lower(), one)
                    steps.addresses[address] = steps.addresses.get(address, False) or not keep
            case Notify(to):
                steps.notices.setdefault(_checked(to), action)
            case Reply():
                steps.reply = steps.reply or action
            case Discard() | Reject():
                steps.end = action
                break
    if isinstance(steps.end, Reject) and steps.folders:
        steps.end = Discard()
    return steps


def folder_name(name: str, site: Site) -> str:
    """As the server has it, with INBOX in capitals (RFC 3501 section 5.1).

    CannotBeCompiledError for one that Dovecot refuses when it is filed into.
    """
    levels = name.split("/")
    if name.startswith("~") or len(name.encode("utf-7", "replace")) > LONGEST_NAME:
        raise CannotBeCompiledError(f"{name!r} is no name of a folder")
    for level in levels:
        if level in _NO_LEVELS or _CONTROL.search(level):
            raise CannotBeCompiledError(f"{name!r} is no name of a folder")
        if site.separator in level and site.separator != "/":
            raise CannotBeCompiledError(
                f"{name!r} has a {site.separator!r}, which the server has between levels"
            )
    if levels[0].upper() == "INBOX":
        levels[0] = "INBOX"
    return site.separator.join(levels)


def _file(steps: Steps, folder: str, *, leaves: bool) -> None:
    steps.folders[folder] = steps.folders.get(folder, False) or leaves


def _checked(address: str) -> str:
    if not _ADDRESS.fullmatch(address):
        raise CannotBeCompiledError(f"{address!r} is no address that mail can be sent on to")
    return address
