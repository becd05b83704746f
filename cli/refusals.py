"""What Postfix refuses by itself, whoever the mail is for: one row for each rule of each listener.

It is read from what Postfix has (`cli.postfix`), and nothing is known of what a table or a policy
server would say. The argument of a restriction is not shown: the zone of a blacklist may be secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from cli.postfix import Postfix

RELAY, LOOP, REVERSE = "relay", "loop", "reverse-dns"
LOGIN, SENDER = "authentication", "sender-verification"
_OFFERED = (RELAY, REVERSE, LOGIN, SENDER)
"""What is told to be off where no rule is for it; the count of hops always counts."""

_STAGES = ("client", "helo", "sender", "relay", "recipient", "data")
"""Those of smtpd_STAGE_restrictions, in the order in which Postfix goes through them."""

_LOGGED_IN = "permit_sasl_authenticated"
_REFUSES = re.compile(r"(reject|defer|check)(_[a-z_]+)?")
"""A restriction that refuses or may refuse; the zone or table after it is written otherwise."""

_KNOWN: Mapping[str, tuple[str, str, str]] = {
    "reject_unauth_destination": (RELAY, "relay_domains_reject_code", "Relay access denied"),
    "defer_unauth_destination": (RELAY, "450", "Relay access denied"),
    "reject_unknown_reverse_client_hostname": (
        REVERSE,
        "unknown_client_reject_code",
        "cannot find your reverse hostname",
    ),
    "reject_unknown_client_hostname": (
        REVERSE,
        "unknown_client_reject_code",
        "cannot find your hostname",
    ),
    "reject_authenticated_sender_login_mismatch": (LOGIN, "553", "not owned by user"),
    "reject_sender_login_mismatch": (LOGIN, "553", "not owned by user"),
    "check_sasl_access": (LOGIN, "", ""),
    "reject_unverified_sender": (
        SENDER,
        "unverified_sender_reject_code",
        "Sender address rejected",
    ),
    "reject_unlisted_recipient": (
        "recipient",
        "unknown_virtual_mailbox_reject_code",
        "User unknown",
    ),
    "reject_non_fqdn_sender": (
        "sender",
        "non_fqdn_reject_code",
        "need fully-qualified address",
    ),
    "reject_non_fqdn_recipient": (
        "recipient",
        "non_fqdn_reject_code",
        "need fully-qualified address",
    ),
    "reject_unauth_pipelining": ("pipelining", "503", "Improper use of SMTP command pipelining"),
    "reject": ("everything", "reject_code", "Access denied"),
}
"""Restriction: what it is about, the reply code or the parameter that sets it, words of the reply.

The words are those of Postfix 3.7; what is not here is shown without a reply.
"""


@dataclass(frozen=True)
class Refusal:
    """One rule on one listener; off where `rule` is None.

    `but_for` are the permits that come before it in its list. `reply` is None where a table, or a
    server, has its own.
    """

    about: str
    channel: str
    service: str
    rule: str | None = None
    but_for: tuple[str, ...] = ()
    reply: str | None = None


def refusals(postfix: Postfix) -> Iterator[Refusal]:
    """All rules, listener by listener."""
    for service in postfix.listeners:
        channel = postfix.value("milter_macro_daemon_name", service)
        found = [*_restrictions(postfix, service, channel), *_sessions(postfix, service, channel)]
        yield from found
        for about in _OFFERED:
            if not any(one.about == about for one in found):
                yield Refusal(about, channel, service)


def _restrictions(postfix: Postfix, service: str, channel: str) -> Iterator[Refusal]:
    """What refuses, or asks a table, in the lists of this listener."""
    lists = {one: _words(postfix.value(f"smtpd_{one}_restrictions", service)) for one in _STAGES}
    # Where one list lets nobody pass but who has logged in, the others meet nobody else.
    closed = any(_LOGGED_IN in words and words[-1] == "reject" for words in lists.values())
    for stage, words in lists.items():
        permits: list[str] = []
        for before, word in zip(["", *words], words, strict=False):
            if word.startswith("permit_"):
                permits.append(word)
            unmet = closed and _LOGGED_IN in permits and word != "reject"
            if before != "warn_if_reject" and not unmet and _REFUSES.fullmatch(word):
                about, code, text = _KNOWN.get(word, ("other", "", ""))
                if word == "reject":
                    about = RELAY if stage == "relay" else LOGIN if closed else about
                code = code if code.isdecimal() else postfix.value(code, service)
                reply = f"{code} {text}" if text else None
                yield Refusal(about, channel, service, word, tuple(permits), reply)


def _sessions(postfix: Postfix, service: str, channel: str) -> Iterator[Refusal]:
    """What is no restriction: logins, TLS before them, and the count of hops."""
    if not postfix.yes("smtpd_sasl_auth_enable", service):
        rule, reply = "smtpd_sasl_auth_enable = no", "503 authentication not enabled"
        yield Refusal(LOGIN, channel, service, rule, reply=reply)
    elif postfix.value("smtpd_tls_security_level", service) == "encrypt":
        rule, reply = "smtpd_tls_security_level = encrypt", "530 Must issue a STARTTLS command"
        yield Refusal(LOGIN, channel, service, rule, reply=reply)
    rule = f"hopcount_limit = {postfix.value('hopcount_limit', service)}"
    yield Refusal(LOOP, channel, service, rule, reply="554 too many hops")


def _words(value: str) -> list[str]:
    return [word for word in re.split(r"[,\s]+", value) if word]
