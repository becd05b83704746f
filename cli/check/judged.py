"""Postfix's configuration held against what the suite needs of it, one row for each demand.

`iems check` warns of the rows that are not met, `iems check --live` shows all of them. What the
playbook sets meets every one (ansible/roles/postfix/defaults/main.yml says why).
"""

from __future__ import annotations

import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from cli.check.networks import parsed, wide
from cli.check.row import Row, row
from cli.postfix import Milter, Postfix, milters
from iems.settings.schema import Settings

_ENDS = frozenset({"reject_unauth_destination", "defer_unauth_destination", "reject", "defer"})
"""Restrictions after which no mail for other hosts is taken."""

_RESTRICTIONS = tuple(
    f"smtpd_{stage}_restrictions" for stage in ("client", "helo", "sender", "relay", "recipient")
)
_KEYS = (
    "smtpd_tls_key_file",
    "smtpd_tls_eckey_file",
    "smtpd_tls_dkey_file",
    "smtpd_tls_chain_files",
)


def rows(settings: Settings, postfix: Postfix) -> Iterator[Row]:
    """What is asked of every Postfix, and of one that uses the suite as much as it does use."""
    for service in postfix.listeners:
        yield _relay(service, postfix)
    yield from _keys(postfix)
    asked = {one: _ours(settings, postfix, one) for one in postfix.listeners}
    for service, milter in asked.items():
        if milter is not None:
            yield _action(service, milter, postfix)
    if any(asked.values()):
        yield _long_ids(postfix)
        yield _bounces(postfix)
        if settings.milter.tag_spam_bounces:
            yield _tags(postfix)
    transports = postfix.transports(settings.agent.socket)
    for service in transports:
        yield _identity(service, postfix)
    if transports:
        yield _size(settings, postfix)


def connected(settings: Settings, postfix: Postfix) -> Iterator[Row]:
    """Whether all mail comes to the milter, and mail for the directory's users to the agent."""
    socket = settings.milter.socket
    for service in postfix.listeners:
        yield row(
            f"postfix {service}",
            _ours(settings, postfix, service) is not None,
            f"{service} asks iems-milter",
            f"{service} does not ask iems-milter, so its mail is unchecked; expected {socket} in "
            "smtpd_milters",
        )
    yield row(
        "postfix non_smtpd_milters",
        any(_is_ours(settings, postfix, one) for one in _list(postfix, "non_smtpd_milters")),
        "mail of sendmail(1) and bounces come to iems-milter",
        "non_smtpd_milters does not name iems-milter, so forged headers in mail of sendmail(1) "
        f"stay; expected {socket}",
    )
    transports = ", ".join(postfix.transports(settings.agent.socket))
    yield row(
        "postfix transport",
        bool(transports),
        f"{transports} delivers to iems-lmtp",
        "no transport of main.cf leads to iems-lmtp (transport_maps is not read), so nobody's "
        f"choice is heeded; expected virtual_transport to name {settings.agent.socket}",
    )


def _ours(settings: Settings, postfix: Postfix, service: str) -> Milter | None:
    """Our milter as this listener asks it."""
    listed = _list(postfix, "smtpd_milters", service)
    return next((one for one in listed if _is_ours(settings, postfix, one)), None)


def _list(postfix: Postfix, parameter: str, service: str = "") -> Iterable[Milter]:
    return milters(postfix.value(parameter, service))


def _is_ours(settings: Settings, postfix: Postfix, milter: Milter) -> bool:
    return postfix.leads_to(milter.address, settings.milter.socket)


def _action(service: str, milter: Milter, postfix: Postfix) -> Row:
    general = postfix.value("milter_default_action", service)
    action = milter.options.get("default_action", general)
    return row(
        f"postfix {service} milter_default_action",
        action == "tempfail",
        f"without iems-milter {service} lets mail wait",
        f"milter_default_action is {action} for {service}, what it does without iems-milter; "
        "expected tempfail, which costs a delay and no mail",
    )


def _long_ids(postfix: Postfix) -> Row:
    return row(
        "postfix enable_long_queue_ids",
        postfix.yes("enable_long_queue_ids"),
        "queue ids never come again",
        "enable_long_queue_ids is no: a short queue id comes again, and findings of one message "
        "would fit another; expected yes",
    )


def _bounces(postfix: Postfix) -> Row:
    return row(
        "postfix internal_mail_filter_classes",
        "bounce" in _words(postfix.value("internal_mail_filter_classes")),
        "Postfix's own bounces come to iems-milter",
        "internal_mail_filter_classes lacks bounce: each check counts as not made for Postfix's "
        "own bounces; expected bounce",
    )


def _tags(postfix: Postfix) -> Row:
    return row(
        "postfix milter_header_checks",
        bool(_words(postfix.value("milter_header_checks"))),
        "Postfix looks at the field that tells bounces of spam",
        "milter.tag_spam_bounces is on and milter_header_checks is empty: bounces of spam are "
        "marked and go the way of all others; expected a table as in docs/queue.md",
    )


def _identity(service: str, postfix: Postfix) -> Row:
    return row(
        f"postfix {service} lmtp_send_xforward_command",
        postfix.yes("lmtp_send_xforward_command", service),
        f"{service} tells the queue id",
        f"lmtp_send_xforward_command is no for {service}: iems-lmtp has to read the queue id from "
        "a header field; expected yes in master.cf",
    )


def _size(settings: Settings, postfix: Postfix) -> Row:
    text, most = postfix.value("message_size_limit"), settings.agent.max_message
    return row(
        "postfix message_size_limit",
        text.isdecimal() and 0 < int(text) <= most,
        f"iems-lmtp takes what Postfix takes, {text} bytes",
        f"message_size_limit is {text}: what is larger than agent.max_message would bounce, being "
        f"queued already; expected at most {most}",
    )


def _relay(service: str, postfix: Postfix) -> Row:
    """Mail for other hosts is refused where one list of restrictions ends it before a permit."""
    name = f"postfix {service} relay"
    lists = (_words(postfix.value(one, service)) for one in _RESTRICTIONS)
    before = [words for words in map(_before_end, lists) if words is not None]
    if not before:
        return Row(
            name,
            ok=False,
            text=f"{service} is an open relay: no restriction refuses mail for other hosts before "
            "a permit; expected reject_unauth_destination in smtpd_relay_restrictions",
        )
    networks = wide(parsed(_words(postfix.value("mynetworks", service))))
    return row(
        name,
        not networks or any("permit_mynetworks" not in words for words in before),
        f"{service} refuses mail for other hosts",
        f"{service} relays for mynetworks, and these hold {', '.join(map(str, networks))}; "
        "expected the networks of your own clients",
    )


def _before_end(words: list[str]) -> list[str] | None:
    """What stands before the end for strangers; None where there is no end, or a permit before."""
    for at, word in enumerate(words):
        if word in _ENDS:
            return words[:at]
        if word == "permit":
            return None
    return None


def _keys(postfix: Postfix) -> Iterator[Row]:
    places = [(one, service) for one in _KEYS for service in ("", *postfix.listeners)]
    files = {file for place in places for file in _words(postfix.value(*place))}
    for file in sorted(file for file in files if file.startswith("/")):
        try:
            mode = stat.S_IMODE(Path(file).stat().st_mode)
        except OSError:
            continue  # Postfix tells of it itself
        yield row(
            f"postfix {file}",
            not mode & 0o007,
            f"{file} is for its owner and group",
            f"{file}: the mode of this TLS key is {mode:04o}; expected 0640 or less: "
            f"chmod 0640 {file}",
        )


def _words(value: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", value) if word]
