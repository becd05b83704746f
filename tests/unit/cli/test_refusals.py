"""What is read of Postfix's own rules, from configurations that are hardly like ours."""

from __future__ import annotations

from cli.postfix import Postfix
from cli.refusals import Refusal, refusals

MAIN = {
    "milter_macro_daemon_name": "internet",
    "hopcount_limit": "20",
    "smtpd_sasl_auth_enable": "yes",
    "relay_domains_reject_code": "554",
    "reject_code": "554",
}


def read(**main: str) -> list[Refusal]:
    """The rules of one listener."""
    return list(refusals(Postfix({**MAIN, **main}, {"smtp/inet": "smtpd"}, {})))


def rules(about: str, **main: str) -> list[tuple[str | None, tuple[str, ...], str | None]]:
    """Those about one thing."""
    return [(one.rule, one.but_for, one.reply) for one in read(**main) if one.about == about]


def test_what_no_rule_is_for_is_off() -> None:
    off = {one.about for one in read() if one.rule is None}
    assert off == {"relay", "reverse-dns", "authentication", "sender-verification"}
    assert rules("loop") == [("hopcount_limit = 20", (), "554 too many hops")]


def test_the_zone_of_a_list_is_not_shown() -> None:
    """It may hold a secret; what is not known is shown without a reply."""
    given = "reject_rbl_client reject.bl.test, check_client_access cdb:/etc/clients"
    assert rules("other", smtpd_client_restrictions=given) == [
        ("reject_rbl_client", (), None),
        ("check_client_access", (), None),
    ]


def test_a_rule_that_only_warns_refuses_nothing() -> None:
    given = "warn_if_reject reject_unauth_destination"
    assert rules("relay", smtpd_relay_restrictions=given) == [(None, (), None)]


def test_the_permits_before_a_rule_are_told() -> None:
    given = "permit_mynetworks, reject_unauth_destination"
    expected = [("reject_unauth_destination", ("permit_mynetworks",), "554 Relay access denied")]
    assert rules("relay", smtpd_relay_restrictions=given) == expected


def test_what_nobody_can_meet_is_not_told() -> None:
    """Strangers are turned away before; who has logged in, is permitted before."""
    logged_in = "permit_sasl_authenticated"
    given = {
        "smtpd_client_restrictions": f"{logged_in}, reject",
        "smtpd_recipient_restrictions": f"{logged_in}, reject_unverified_sender",
    }
    assert rules("sender-verification", **given) == [(None, (), None)]
    assert rules("authentication", **given) == [("reject", (logged_in,), "554 Access denied")]


def test_a_listener_s_own_value_counts() -> None:
    postfix = Postfix(
        MAIN,
        {"smtp/inet": "smtpd", "25/inet": "smtpd", "smtp/unix": "smtp"},
        {("25/inet", "smtpd_relay_restrictions"): "reject_unauth_destination"},
    )
    relay = {one.service: one.rule for one in refusals(postfix) if one.about == "relay"}
    assert relay == {"smtp/inet": None, "25/inet": "reject_unauth_destination"}
