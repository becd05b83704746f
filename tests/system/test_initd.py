"""Where init scripts start the daemons and policy-rc.d forbids the starts: no systemd as process 1.

The tests are steps of one story, in this order.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.machine import POLICY_RC_D, machine
from tests.system.provision import changes, first_run, met_ours, provision, recap, self_signed
from tests.system.removal import is_taken_away
from tests.system.server import Server, peopled
from tests.system.test_upgrade import Load, current, newer_clone, rollback, runs
from tests.system.world import CLEAN, World

HOOKS = "/etc/letsencrypt/renewal-hooks/deploy"
"""What certbot runs after a renewal."""


@pytest.fixture(scope="module")
def plain(outside: World, logs: Path) -> Iterator[Server]:
    """A mail server of the same command."""
    name = "plain.example.test"
    with machine(outside.bridge, logs / "plain", number=11, hostname=name, systemd=False) as made:
        made.shell(f"mkdir -p {HOOKS}")
        assert "found in INBOX" in first_run(made)
        yield peopled(made, outside)


def test_nothing_listens_before_it_is_configured(plain: Server) -> None:
    met_ours(plain.machine)
    assert plain.machine.path("/usr/sbin/policy-rc.d").read_text() == POLICY_RC_D


def test_both_postfixes_run(plain: Server) -> None:
    plain.machine.run("postfix", "-c", "/etc/postfix-bounces", "status")
    told = plain.machine.run("service", "postfix", "status").stdout
    assert "some" not in told, "one runs"


def test_the_second_run_changes_nothing(plain: Server) -> None:
    second = provision(plain.machine, log="second")
    assert recap(second) == (0, 0), changes(second)


def test_init_scripts_restart_the_daemons(plain: Server) -> None:
    for daemon in ("iems-lmtp", "iems-milter", "iems-bayes"):
        plain.machine.run("service", daemon, "restart", timeout=120)
        plain.machine.run("service", daemon, "status")
    word = plain.deliver(CLEAN, ["bob"])
    assert plain.account("bob").wait_for(word)[0] == "INBOX"


def test_the_way_back_loses_nothing_of_the_queue(plain: Server) -> None:
    """An upgrade with the agent running, the way back with mail that waits for it."""
    made, load = plain.machine, Load(plain)
    old = current(made)
    with newer_clone(made), load.going_on():
        provision(made, log="upgrade")
        new = current(made)
        assert new != old
        runs(made, new)
    load.arrived()

    made.run("service", "iems-lmtp", "stop", timeout=120)
    for _message in range(5):
        load.once()
    assert len(plain.queue()) >= 10
    with load.going_on():
        assert f"{old} runs now, {new} ran before" in rollback(made)
    runs(made, old)
    load.arrived()


def test_certbots_hook_has_the_renewed_certificate_served(plain: Server) -> None:
    """By Postfix and Dovecot, whose processes have served the old one."""
    old = self_signed(plain.machine)
    assert served(plain) == {465: old, 993: old}
    plain.machine.shell(
        "cd /etc/iems/tls; openssl req -x509 -newkey rsa:2048 -nodes -days 3 -subj /CN=renewed "
        "-keyout $(readlink key.pem) -out $(readlink cert.pem)"
    )
    new = self_signed(plain.machine)
    assert new != old
    plain.machine.shell(f"for hook in {HOOKS}/*; do $hook; done")
    assert served(plain) == {465: new, 993: new}


def test_it_is_taken_away(plain: Server) -> None:
    is_taken_away(plain)


def served(server: Server) -> dict[int, bytes]:
    """The certificate at a port of Postfix and at one of Dovecot."""
    found = {port: ssl.get_server_certificate((server.host, port)) for port in (465, 993)}
    return {port: ssl.PEM_cert_to_DER_cert(pem) for port, pem in found.items()}
