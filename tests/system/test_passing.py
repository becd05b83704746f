"""The main job: one finding, three recipients, three outcomes, on a mail server that was just made.

A client on the delegated blacklist writes to people of whom one refuses it, one wants it in Junk
and one ignores it; nobody can talk the machine into something else with a header of his own.
"""

from __future__ import annotations

import smtplib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.system import mail
from tests.system.mail import marker, message, parsed
from tests.system.server import DOMAIN, SENDER, Server, message_id, reference
from tests.system.world import CLEAN, ON_BOTH, ON_DELEGATED, ON_ENFORCED
from tests.waiting import eventually

ALICE, BOB, CAROL = "alice", "bob", "carol"
EVERYONE = (ALICE, BOB, CAROL)
INTERNAL = ("X-IEMS-Findings", "X-IEMS-Verdict")


def test_one_transaction_has_three_outcomes(server: Server) -> None:
    word = marker()
    data = message(word, sender=SENDER, to=f"list@{DOMAIN}")
    outcome = server.send(ON_DELEGATED, EVERYONE, data)

    refusal = outcome.recipients[f"{ALICE}@{DOMAIN}"]
    assert refusal.code == 550
    assert refusal.text.startswith("5.7.1 ")
    assert "delegated" in refusal.text
    assert "delegated.dnsbl" not in refusal.text, "a zone can hold a key"
    assert outcome.recipients[f"{BOB}@{DOMAIN}"].code == 250
    assert outcome.recipients[f"{CAROL}@{DOMAIN}"].code == 250
    assert outcome.data is not None
    assert outcome.data.code == 250

    assert server.account(BOB).wait_for(word)[0] == "Junk"
    assert server.account(CAROL).wait_for(word)[0] == "INBOX"
    server.wait_for_empty_queue()
    assert server.account(ALICE).find(word) == []
    explained_for_all_three(server, word, reference(refusal.text))


def explained_for_all_three(server: Server, word: str, refused: str) -> None:
    """`iems why` tells each outcome and whose choice it was."""
    [alice] = server.why(refused, ALICE)
    assert (alice["stage"], alice["action"]) == ("rcpt", "reject")
    assert chosen(alice) == ("dnsbl/delegated", "reject", f"user {ALICE}@{DOMAIN}")
    bob = server.verdict(word, BOB)
    assert (bob["stage"], bob["action"]) == ("delivery", "junk")
    assert chosen(bob) == ("dnsbl/delegated", "junk", f"user {BOB}@{DOMAIN}")
    carol = server.verdict(word, CAROL)
    assert (carol["stage"], carol["action"]) == ("delivery", "deliver")
    assert chosen(carol) == ("dnsbl/delegated", "deliver", f"user {CAROL}@{DOMAIN}")
    assert {one["reference"] for one in (alice, bob, carol)} == {refused}
    for_people = server.iems("why", refused)
    assert f"{ALICE}@{DOMAIN}" in for_people
    assert "dnsbl/delegated listed: reject" in for_people
    assert server.why(bob["queue_id"], BOB) == [bob]


def chosen(record: dict[str, object]) -> tuple[object, ...]:
    """Check, action and layer of the one reason there is for this list."""
    details = record["details"]
    assert isinstance(details, dict)
    [reason] = [one for one in details["reasons"] if one["check"] == "dnsbl/delegated"]
    return reason["check"], reason["action"], reason["layer"]


def test_nothing_bounces(server: Server) -> None:
    before = bounces(server)
    server.send(ON_DELEGATED, EVERYONE, message(marker(), sender=SENDER, to=f"list@{DOMAIN}"))
    server.send(ON_ENFORCED, EVERYONE, message(marker(), sender=SENDER, to=f"list@{DOMAIN}"))
    server.deliver(ON_DELEGATED, ["both"])
    server.wait_for_empty_queue()
    assert bounces(server) == before


def bounces(server: Server) -> tuple[int, int]:
    """How many Postfix has told of, and how many messages without a sender have come outside."""
    told = server.maillog(r"sender non-delivery notification|status=bounced")
    return len(told), sum(not one.sender for one in server.world.sink.received)


def test_alias_accepts_and_each_has_his_own_outcome(server: Server) -> None:
    word = server.deliver(ON_DELEGATED, ["both"])
    # What alice would have refused is in the queue by now, and junk by reject_after_queue.
    assert server.account(ALICE).wait_for(word)[0] == "Junk"
    assert server.account(BOB).wait_for(word)[0] == "Junk"
    alice, bob = server.verdict(word, ALICE), server.verdict(word, BOB)
    assert chosen(alice) == ("dnsbl/delegated", "reject", f"user {ALICE}@{DOMAIN}")
    assert chosen(bob) == ("dnsbl/delegated", "junk", f"user {BOB}@{DOMAIN}")


def test_alias_whose_targets_differ_in_place(server: Server) -> None:
    server.iems("alias", "add", f"pair@{DOMAIN}", f"{BOB}@{DOMAIN}", f"{CAROL}@{DOMAIN}")
    eventually(lambda: server.send(CLEAN, ["pair"], b"Subject: x\r\n\r\n").data, 90, "alias")
    word = server.deliver(ON_DELEGATED, ["pair"])
    assert server.account(BOB).wait_for(word)[0] == "Junk"
    assert server.account(CAROL).wait_for(word)[0] == "INBOX"


@pytest.mark.parametrize("client", [ON_ENFORCED, ON_BOTH])
def test_enforced_list_refuses_for_all(server: Server, client: int) -> None:
    people = [*EVERYONE, "both"]
    outcome = server.send(client, people, message(marker(), sender=SENDER, to="x@example.test"))
    assert [told.code for told in outcome.recipients.values()] == [550] * len(people)
    assert outcome.data is None
    refusal = outcome.recipients[f"{CAROL}@{DOMAIN}"].text
    assert "enforced" in refusal
    assert "https://enforced.test/help" in refusal
    [record] = server.why(reference(refusal), CAROL)
    assert record["action"] == "reject"
    refusing = [one for one in record["details"]["reasons"] if one["action"] == "reject"]
    assert [(one["check"], one["enforced"]) for one in refusing] == [("dnsbl/enforced", True)]


def test_unlisted_client_reaches_all_inboxes(server: Server) -> None:
    word = server.deliver(CLEAN, EVERYONE)
    for who in EVERYONE:
        folder, data = server.account(who).wait_for(word)
        assert folder == "INBOX"
        assert not any(parsed(data).get_all(name) for name in INTERNAL)


def test_forged_findings_change_nothing(server: Server) -> None:
    """Neither do they help a listed client, nor do they harm an unlisted one."""
    forged = [
        "X-IEMS-Findings: v=1; k=none; f=W10=; h=AAAA",
        "x-iems-FINDINGS:",
        " v=1;",
        "\tnothing was found",
        "X-IEMS-Verdict: junk; ref=forged",
        "X-Iems-Verdict : deliver; ref=forged",
    ]
    word = server.deliver(ON_DELEGATED, [BOB, CAROL], extra=forged)
    assert server.account(BOB).wait_for(word)[0] == "Junk"
    assert server.account(CAROL).wait_for(word)[0] == "INBOX"
    word = server.deliver(CLEAN, EVERYONE, extra=forged)
    for who in EVERYONE:
        folder, data = server.account(who).wait_for(word)
        assert folder == "INBOX"
        assert b"forged" not in data
        assert b"nothing was found" not in data


def test_genuine_findings_of_another_message_change_nothing(server: Server) -> None:
    innocent, guilty = genuine(server, CLEAN), genuine(server, ON_DELEGATED)
    word = server.deliver(ON_DELEGATED, [BOB], extra=[innocent])
    assert server.account(BOB).wait_for(word)[0] == "Junk"
    word = server.deliver(CLEAN, [BOB], extra=[guilty])
    assert server.account(BOB).wait_for(word)[0] == "INBOX"
    # Past the milter, straight to the agent's socket: the queue id does not fit.
    word = straight_to_the_agent(server, BOB, guilty)
    assert server.account(BOB).wait_for(word)[0] == "INBOX"
    assert findings(server, word) == {"temperror"}


def test_message_without_findings_straight_to_the_agent(server: Server) -> None:
    """It is never taken for "nothing found"."""
    word = straight_to_the_agent(server, CAROL)
    folder, data = server.account(CAROL).wait_for(word)
    assert folder == "INBOX"
    assert not any(parsed(data).get_all(name) for name in INTERNAL)
    assert findings(server, word, CAROL) == {"temperror"}


def test_sendmail_brings_no_findings_in(server: Server) -> None:
    guilty = genuine(server, ON_DELEGATED)
    word = marker()
    forged = [guilty, "X-IEMS-Verdict: junk; ref=forged"]
    data = message(word, sender=SENDER, to=f"list@{DOMAIN}", extra=forged)
    text = data.decode().replace("\r\n", "\n")
    server.machine.run("sendmail", f"{BOB}@{DOMAIN}", f"{CAROL}@{DOMAIN}", stdin=text)
    for who in (BOB, CAROL):
        folder, data = server.account(who).wait_for(word)
        assert folder == "INBOX"
        assert b"forged" not in data
        assert not any(parsed(data).get_all(name) for name in INTERNAL)
        assert server.verdict(word, who)["channel"] == "local", "the milter's own findings count"


def genuine(server: Server, client: int) -> str:
    """The header line with the findings of a message that waits in the queue for the agent."""
    with agent_stopped(server):
        word = server.deliver(client, [BOB])
        [record] = server.why(message_id(word))
        text = server.machine.run("postcat", "-hq", record["queue_id"]).stdout
    server.machine.run("postqueue", "-f")
    server.account(BOB).wait_for(word)
    lines = text.splitlines()
    start = next(n for n, line in enumerate(lines) if line.startswith("X-IEMS-Findings:"))
    end = next(n for n in range(start + 1, len(lines)) if not lines[n].startswith((" ", "\t")))
    return "\r\n".join(lines[start:end])


@contextmanager
def agent_stopped(server: Server) -> Iterator[None]:
    """No agent meanwhile; mail waits."""
    server.machine.run("systemctl", "stop", "iems-lmtp.socket", "iems-lmtp.service")
    try:
        yield
    finally:
        server.machine.run("systemctl", "start", "iems-lmtp.socket", "iems-lmtp.service")


def straight_to_the_agent(server: Server, recipient: str, *extra: str) -> str:
    """Hand a message to the agent's socket past Postfix, as one who can reach the socket could."""
    word = marker()
    data = message(word, sender=SENDER, to=f"{recipient}@{DOMAIN}", extra=extra)
    path = server.machine.path("/var/spool/postfix/iems/lmtp.sock")
    with smtplib.LMTP(str(path), local_hostname="mail.example.test") as session:
        session.ehlo()
        session.docmd("XFORWARD", "IDENT=4abcdefghijklmn SOURCE=REMOTE")
        outcome = mail.transact(session, SENDER, [f"{recipient}@{DOMAIN}"], data)
    assert outcome.data is not None
    assert outcome.data.code == 250
    return word


OTHERS = {"dnsbl/enforced", "bayes"}
"""What is not delegated, and what the agent finds by itself."""


def findings(server: Server, word: str, who: str = BOB) -> set[str]:
    """The outcomes of the milter's delegated checks, as the record of the delivery has them."""
    record = server.verdict(word, who)
    seen = {one["check"]: one["outcome"] for one in record["details"]["findings"]}
    assert "dnsbl/delegated" in seen, record
    return {outcome for check, outcome in seen.items() if check not in OTHERS}
