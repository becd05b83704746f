"""What a Sieve script sends on leaves with a chain that holds where it arrives, says dkimpy.

Here Dovecot sends it over 127.0.0.1; what it makes of a message is handed in by sendmail(1), too.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator

import pytest

from iems.dns.resolver import Answer, Rtype, Status
from iems.store.signingkeys import DomainKeys, load_one, make_folder
from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import HOSTNAME, MailSystem
from tests.integration.stack.sink import Sink
from tests.integration.stack.smtp import send
from tests.signing import key, second_opinion, second_opinion_of_chain
from tests.waiting import eventually

DOMAIN, EDITED = "sealing.box.test", "edited.box.test"
FAR = "someone@elsewhere.example"
OWN = "example.test"
AUTHOR, FORWARDER = (key(1024, domain=f"{name}.sealing.example") for name in ("author", "list"))
ODD = (
    b"Cc: undisclosed-recipients:;\r\nTo: <b@sealing.box.test> (Bob), b@sealing.box.test ,\r\n"
    b"\tteam: a@b.example, B@C.example;\r\nSubJECT:\r\n =?utf-8?q?gr=C3=BC=C3=9Fe?=  two  \r\n"
    b"X-8-Bit: gr\xc3\xbc\xc3\x9fe \xff\r\nX-Empty:\r\nX-Long: " + b"word " * 700 + b"\r\n"
    b"References:" + b"\r\n <one@two.example>" * 200 + b"\r\nStatus: RO\r\nErrors-To: a@b.example"
)
PLAIN = (
    b"To: b@b.example\r\nSubject: s\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Transfer-Encoding: 8bit"
)
MIXED = b'Subject: s\r\nContent-Type: multipart/mixed; boundary="b"'
PARTS = (
    b'--b\r\n\r\ntext\r\n--b\r\nContent-Type: text/x-log; name="a.log"\r\n\r\na line\r\n--b--\r\n'
)
BODY = "Grüße\r\n.\r\n".encode()
BODIES = {
    "none": b"",
    "no end": b"From here\r\n.\r\n \t\r\n\0\x1a\xff\r..\r\nend",
    "large": b"a line of text\r\n" * 30_000 + b"\r\n\r\n",
}
CHECKS = "".join(
    f"""
[checks.{name}]
mode = "delegate"
default = {{ fail = "deliver" }}
"""
    for name in ("arc", "dkim")
)
EDITS = f"""
[checks.attachment.logs]
mode = "enforce"
extension = ["log"]
[edits.text.warning]
plain = "{{folder}}/warning.txt"
channels = ["internet"]
recipients = ["{EDITED}"]
"""


@pytest.fixture(scope="module")
def system(mailsystem: MailSystem) -> Iterator[MailSystem]:
    """Keys of the host's domain, and of two outside in the DNS."""
    folder = mailsystem.site.etc / "keys/dkim"
    make_folder(folder)
    now = datetime.datetime.now(datetime.UTC)
    file = DomainKeys(OWN).prepared("rsa", "", now).activated(now).write(folder)
    for domain in (DOMAIN, EDITED):
        mailsystem.add_domain(domain)
    texts = mailsystem.site.etc / "texts"
    texts.mkdir(mode=0o755, exist_ok=True)
    mailsystem.site.write("texts/warning.txt", "This came from outside")
    for one in (AUTHOR, FORWARDER):
        mailsystem.resolver.add(f'{one.name}. TXT "{one.record}"')
    with mailsystem.settings("sealing", CHECKS + EDITS.format(folder=texts)):
        yield mailsystem
        file.unlink()
    for one in (AUTHOR, FORWARDER):
        mailsystem.resolver.remove(f"{one.name}.")


def answers(system: MailSystem) -> dict[tuple[str, Rtype], Answer]:
    """What the DNS would say of all keys."""
    [ours] = load_one(system.site.etc / "keys/dkim", OWN).keys
    name = f"{ours.selector}._domainkey.{OWN}"
    known = AUTHOR.answers | FORWARDER.answers
    return known | {(name, "TXT"): Answer(Status.FOUND, (ours.record,), 60)}


def user(system: MailSystem, fresh: Fresh, domain: str, scripts: Sink) -> Mailbox:
    """Somebody whose mail is sent on, by way of a sink."""
    box = system.add_user(f"{fresh.domain}@{domain}")
    address = f"127.0.0.1:{scripts.port}"
    system.dovecot.add_user(box.user, password=system.password(box.user), submission_host=address)
    system.dovecot.script(box.user, f'redirect "{FAR}";')
    return box


def message(fresh: Fresh, body: bytes = BODY, more: bytes = PLAIN) -> bytes:
    """One from outside that its author has signed."""
    own = (
        f"From: Alice <alice@{AUTHOR.domain}>\r\nDate: Fri, 27 Nov 2026 09:00:00 +0000\r\n"
        f"Message-ID: <{fresh.domain}@sealing>\r\nMIME-Version: 1.0\r\n"
    )
    return AUTHOR.sign(own.encode() + more + b"\r\n\r\n" + body)


def came(system: MailSystem, fresh: Fresh, whom: str, text: bytes) -> None:
    """The message comes from outside."""
    client = (fresh.ip, f"mx.{AUTHOR.domain}")
    assert send(system.port(), f"a@{AUTHOR.domain}", [whom], text, client=client).accepted


def redirected(system: MailSystem, fresh: Fresh, text: bytes, domain: str = DOMAIN) -> bytes:
    """What Pigeonhole makes of a message that it sends on."""
    with Sink() as scripts:
        came(system, fresh, user(system, fresh, domain, scripts).user, text)
        [caught] = eventually(scripts.caught, 40, lambda: system.dovecot.log()[-2000:])
    assert (caught.sender, caught.recipients) == (f"a@{AUTHOR.domain}", (FAR,))
    assert b"X-Sieve: " in caught.message
    return caught.message


def handed_in(system: MailSystem, text: bytes, word: str) -> bytes:
    """The same by sendmail(1), as it arrives outside: found by a word on top, as others add one."""
    lines = f"X-Word: {word}\n".encode() + text.replace(b"\r\n", b"\n")
    system.postfix.sendmail("-i", "-f", f"a@{AUTHOR.domain}", FAR, message=lines)
    return left(system, f"X-Word: {word}")


def left(system: MailSystem, word: str) -> bytes:
    """The message as it arrives outside."""
    return eventually(
        lambda: [one.message for one in system.outside.caught() if word.encode() in one.message],
        40,
        lambda: system.postfix.log()[-2000:],
    )[0]


def told(text: bytes) -> str:
    """Its header on one line."""
    return re.sub(r"\s+", " ", text.partition(b"\r\n\r\n")[0].decode())


def notes(system: MailSystem, fresh: Fresh) -> list[str]:
    """What the log says of each message with this Message-ID."""
    lines = system.milter.log(f"<{fresh.domain}@sealing>").splitlines()
    return [line.partition(' note="')[2] for line in lines]


def test_what_a_script_sends_on_is_sealed_with_the_results_of_its_arrival(
    system: MailSystem, fresh: Fresh
) -> None:
    text = handed_in(system, redirected(system, fresh, message(fresh)), fresh.domain)
    assert second_opinion_of_chain(text, answers(system)) == "pass"
    assert f"ARC-Seal: i=1; a=rsa-sha256; cv=none; d={OWN};" in told(text)
    assert f"ARC-Authentication-Results: i=1; {HOSTNAME}; iprev=" in told(text)
    assert f"; arc=none; dkim=pass header.d={AUTHOR.domain} " in told(text)
    assert text.count(b"DKIM-Signature: ") == 1
    assert second_opinion(text, AUTHOR.record)
    assert b"X-IEMS-" not in text
    assert [one.partition(":")[0] for one in notes(system, fresh)] == ["", "sealed"]
    changed = text.replace(b"dkim=pass", b"dkim=fail")
    assert changed != text
    assert second_opinion_of_chain(changed, answers(system)) == "fail"


@pytest.mark.parametrize("name", BODIES)
def test_whatever_it_looks_like(system: MailSystem, fresh: Fresh, name: str) -> None:
    """Neither Dovecot, Pigeonhole nor Postfix changes what the mark is over."""
    text = handed_in(
        system, redirected(system, fresh, message(fresh, BODIES[name], ODD)), fresh.domain
    )
    assert second_opinion_of_chain(text, answers(system)) == "pass", notes(system, fresh)


@pytest.mark.parametrize(
    ("domain", "body", "more", "changed"),
    [
        (EDITED, BODY, PLAIN, lambda text: b"This came from outside" in text),
        (DOMAIN, PARTS, MIXED, lambda text: b"a line" not in text),
    ],
    ids=["a text put in", "a part taken out"],
)
def test_a_copy_that_was_changed_here_is_sealed_as_it_was_delivered(
    system: MailSystem,
    fresh: Fresh,
    domain: str,
    body: bytes,
    more: bytes,
    changed: Callable[[bytes], bool],
) -> None:
    """Its author's signature is broken by that, and had passed."""
    original = message(fresh, body, more)
    assert second_opinion(original, AUTHOR.record)
    assert not changed(original)
    text = handed_in(system, redirected(system, fresh, original, domain), fresh.domain)
    assert changed(text)
    assert not second_opinion(text, AUTHOR.record)
    assert second_opinion_of_chain(text, answers(system)) == "pass"
    assert "; arc=none; dkim=pass " in told(text)


def test_over_127_0_0_1_as_well(system: MailSystem, fresh: Fresh) -> None:
    """That goes to addresses of ours alone; this one leads outside."""
    whom = system.add_user(f"{fresh.domain}@{DOMAIN}")
    away = system.add_alias(f"away-{fresh.domain}@{DOMAIN}", FAR)
    system.dovecot.script(whom.user, f'redirect "{away}";')
    came(system, fresh, whom.user, message(fresh))
    text = left(system, f"<{fresh.domain}@sealing>")
    assert second_opinion_of_chain(text, answers(system)) == "pass"
    assert f"; cv=none; d={OWN};" in told(text)


@pytest.mark.parametrize("whole", [True, False])
def test_the_chain_of_a_forwarder_goes_on_or_is_ended(
    system: MailSystem, fresh: Fresh, whole: bool
) -> None:
    sealed = FORWARDER.seal(message(fresh), 1)
    if not whole:
        sealed = sealed.replace(b"Subject: s", b"Subject: another")
    text = handed_in(system, redirected(system, fresh, sealed), fresh.domain)
    assert f"ARC-Seal: i=2; a=rsa-sha256; cv={'pass' if whole else 'fail'};" in told(text)
    assert second_opinion_of_chain(text, answers(system)) == ("pass" if whole else "fail")


def test_nobody_on_this_machine_has_his_own_words_sealed(system: MailSystem, fresh: Fresh) -> None:
    """Neither what he makes up, with all that a script's mail has, nor by the mark of a message."""
    results = f"Authentication-Results: {HOSTNAME}; dmarc=pass header.from={AUTHOR.domain}\r\n"
    plain = b"X-Sieve: Pigeonhole Sieve 0.5.19\r\n" + results.encode() + message(fresh)
    true = redirected(system, fresh, message(fresh))
    tries = {
        "made up": plain,
        "mark": true[: true.index(b"Authentication-Results")] + plain,
        "body": true.replace("Grüße".encode(), b"Send money"),
        "author": true.replace(b"From: Alice", b"From: Boss"),
        "results": true.replace(b"dkim=pass", b"spf=pass"),
        "above": b"From: eve@evil.example\r\n" + true,
        "below": true.replace(b"\r\n\r\n", b"\r\nReply-To: eve@evil.example\r\n\r\n", 1),
    }
    assert true not in tries.values()
    for name, text in tries.items():
        arrived = handed_in(system, text, f"{name.replace(' ', '-')}-{fresh.domain}")
        assert b"\nARC-" not in b"\n" + arrived, name
    told = [one.partition(":")[0] for one in notes(system, fresh)]
    assert told == ["", "", *["not sealed"] * (len(tries) - 1)]
    again = handed_in(system, true, f"true-{fresh.domain}")
    assert second_opinion_of_chain(again, answers(system)) == "pass"
