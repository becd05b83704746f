"""Whose address is looked up."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.model.envelope import INTERNET, LOCAL, SUBMISSION, parse_ip
from milters.checks.clients import Clients, ClientSettings, clients, stages
from milters.checks.protocol import Stage
from tests.unit.checks.world import OWN, RELAY, site, view

CLIENT = "192.0.2.1"
RULE = clients(site(), ClientSettings(channels=(INTERNET,), exempt_authenticated=True))


def looked_up(
    ip: str | None, stage: Stage = Stage.CONNECT, rule: Clients = RULE, **facts: str
) -> str:
    """The address as text, empty for none."""
    header = facts.pop("header", None)
    known = view(ip, header=None if header is None else header.encode("latin-1"), **facts)
    return str(rule.address(known, stage) or "")


def behind(header: str, ip: str = RELAY) -> str:
    """Whom the header of a message from a trusted relay leads to."""
    return looked_up(ip, Stage.HEADERS, header=header)


def test_a_client_of_the_internet_is_looked_up_when_it_connects() -> None:
    assert looked_up(CLIENT) == CLIENT
    assert looked_up("2001:db8::1") == "2001:db8::1"
    assert looked_up("::ffff:192.0.2.1") == CLIENT
    assert looked_up("fe80::1%eth0") == "fe80::1"
    assert looked_up(CLIENT, Stage.HEADERS, header="Received: x\n") == ""


@pytest.mark.parametrize("ip", [OWN, "127.0.0.1", "::1", "::ffff:127.0.0.1", None, "", "unix"])
def test_own_networks_and_what_has_no_address_are_exempt(ip: str | None) -> None:
    assert looked_up(ip) == ""
    assert looked_up(ip, Stage.HEADERS, header="Received: from a (b [192.0.2.1])\n") == ""


def test_other_channels_and_authenticated_clients_are_exempt_as_set() -> None:
    assert looked_up(CLIENT, channel=SUBMISSION) == ""
    assert looked_up(CLIENT, channel=LOCAL) == ""
    assert looked_up(CLIENT, authenticated="alice") == ""
    assert not RULE.applies(view(CLIENT, authenticated="alice"))
    assert RULE.applies(view(CLIENT))
    everybody = clients(
        site(),
        ClientSettings(
            channels=(
                INTERNET,
                SUBMISSION,
            ),
            exempt_authenticated=False,
        ),
    )
    assert looked_up(CLIENT, rule=everybody, channel=SUBMISSION, authenticated="alice") == CLIENT


def test_behind_a_trusted_relay_the_first_untrusted_hop_counts() -> None:
    assert looked_up(RELAY) == ""
    assert behind("Received: from helo (name.test [192.0.2.5])\n by relay\n") == "192.0.2.5"
    assert behind("Received: from h (unknown [IPv6:2001:db8::5])\n by relay\n") == "2001:db8::5"
    assert behind("Received: from h (n [192.0.2.5]:40000)\n by relay\n") == "192.0.2.5"
    assert behind("received:\tFrom h (n [192.0.2.5])\n") == "192.0.2.5"
    passed = (
        "Received: from localhost (localhost [127.0.0.1])\n\tby relay (Postfix)\n"
        "Received: from backup (backup [IPv6:2001:db8:77::1])\n\tby relay (Postfix)\n"
        "Received: from spammer (x [192.0.2.6])\n\tby backup (Postfix)\n"
        "Received: from forged (x [192.0.2.7])\n\tby nobody\n"
    )
    assert behind(passed) == "192.0.2.6"


@pytest.mark.parametrize(
    "header",
    [
        "Subject: no hop at all\n",
        "Received: by relay (Postfix, from userid 0)\n\tid 1; date\n",
        "Received: from h (n [192.0.2.300])\n",
        "Received: from h (n [300::1::2])\n",
        "Received: from localhost (localhost [127.0.0.1])\n\tby relay\n",
        "Received: by relay (Postfix, from userid 0)\nReceived: from h (n [192.0.2.5])\n",
    ],
)
def test_where_no_hop_can_be_read_nothing_is_looked_up(header: str) -> None:
    assert behind(header) == ""


def test_a_helo_name_cannot_pass_for_the_address() -> None:
    # As Postfix writes `HELO a (b [9.9.9.9])`: what could end the name is replaced.
    assert behind("Received: from a??b?[9.9.9.9]? (n [192.0.2.5])\n") == "192.0.2.5"
    assert behind("Received: from [9.9.9.9] (n [192.0.2.5])\n") == "192.0.2.5"


@given(st.binary(max_size=200))
def test_any_received_field_is_a_hop_or_none(value: bytes) -> None:
    behind(("Received: " + value.decode("latin-1")).replace("\r", " ").replace("\n", " ") + "\n")


@given(st.text(max_size=50))
def test_any_text_is_an_address_or_none(text: str) -> None:
    parse_ip(text)


def test_the_second_stage_is_there_only_where_there_are_trusted_relays() -> None:
    assert stages(site()) == (Stage.CONNECT, Stage.HEADERS)
    assert stages(site(trusted_relays=[])) == (Stage.CONNECT,)


def test_the_helo_is_the_one_that_the_hop_said() -> None:
    header = b"Received: from a\xff.test (b.test [192.0.2.5])\n by relay\n"
    hop = RULE.hop(view(RELAY, header=header), Stage.HEADERS)
    assert hop is not None
    assert hop.helo == "a?.test"
    direct = RULE.hop(view(CLIENT), Stage.MAIL)
    assert direct is not None
    assert (str(direct.address), direct.helo) == (CLIENT, "helo.test")
