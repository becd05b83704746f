"""Certificates: given by path, found where an ACME client keeps them, renewed while people work.

They are made with openssl by a CA of the test, whom the clients trust and nobody else. After all of
them the server has its self-signed certificate again.
"""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from tests.system import mail
from tests.system.machine import Machine
from tests.system.mail import marker, message
from tests.system.provision import changes, provision, recap
from tests.system.server import DOMAIN, SENDER, Server
from tests.system.world import CLEAN
from tests.waiting import eventually

HOST = f"mail.{DOMAIN}"
REAL = f"mx.{DOMAIN}"
FOLDER = "/root/certificates"
"""On the machine, for root alone, with the keys in it."""

SOON = 10.0
"""Seconds from a renewal to the new certificate at every port; 4 on two idle cores. Without a
reload a process of Postfix has it after a hundred connections, which takes a test 14 s."""

IDLE = 10.0
"""Seconds; a Dovecot that ends its sessions at a reload does so after 6."""

PORTS = (25, 465, 993, 4190)


@dataclass(frozen=True, slots=True)
class Authority:
    """A CA; what it issues is in `FOLDER`, as NAME.crt and NAME.key."""

    machine: Machine
    trust: ssl.SSLContext

    def issue(self, name: str, host: str, *, key_of: str = "") -> None:
        """A certificate for `host`, with a key that root alone can read: its own or another's."""
        self.machine.shell(
            f"cd {FOLDER}; umask 077; openssl genrsa -out {name}.key 2048; "
            + (f"cp {key_of}.key {name}.key; " if key_of else "")
            + f"openssl req -new -key {name}.key -subj /CN={host} "
            f"-addext subjectAltName=DNS:{host} -out request.pem && "
            f"openssl x509 -req -in request.pem -CA ca.crt -CAkey ca.key -CAcreateserial "
            f"-copy_extensions copy -days 30 -out {name}.crt"
        )

    def serial(self, name: str) -> str:
        """The serial number of what was issued under this name."""
        script = f"openssl x509 -in {FOLDER}/{name}.crt -noout -serial"
        return self.machine.shell(script).strip().rpartition("=")[2].lstrip("0")


@pytest.fixture(scope="module")
def authority(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Authority]:
    """The CA, and two certificates of the host."""
    machine = server.machine
    machine.shell(
        f"mkdir -m 700 {FOLDER}; cd {FOLDER}; openssl req -x509 -newkey rsa:2048 -nodes -days 30 "
        "-subj /CN=CA -keyout ca.key -out ca.crt"
    )
    known = tmp_path_factory.mktemp("ca") / "ca.crt"
    known.write_text(machine.path(f"{FOLDER}/ca.crt").read_text())
    made = Authority(machine, ssl.create_default_context(cafile=str(known)))
    for name in ("first", "second"):
        made.issue(name, HOST)
    made.issue("real", REAL)
    yield made
    machine.shell("systemctl stop iems-tls.path; rm -rf /etc/letsencrypt /var/lib/dehydrated")
    provision(machine, log="self-signed")
    with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
        served(server, 993, made.trust, HOST)


def test_a_key_of_another_certificate_is_refused(server: Server, authority: Authority) -> None:
    """The run ends before anything was changed."""
    links = server.machine.shell("readlink /etc/iems/tls/*.pem")
    given = (f"TLS_CERT={FOLDER}/first.crt", f"TLS_KEY={FOLDER}/second.key")
    told = provision(server.machine, *given, log="another", check=False)
    assert f"{FOLDER}/second.key is not the key of {FOLDER}/first.crt" in told
    assert server.machine.shell("readlink /etc/iems/tls/*.pem") == links
    assert authority.serial("first") != authority.serial("second")


def test_dehydrateds_certificate_is_found(server: Server, authority: Authority) -> None:
    folder = f"/var/lib/dehydrated/certs/{HOST}"
    script = (
        f"mkdir -p {folder}; cd {folder}; cp {FOLDER}/first.crt fullchain-1.pem; "
        f"cp {FOLDER}/first.key privkey-1.pem; chmod 600 *; "
        "for n in fullchain privkey; do ln -s $n-1.pem $n.pem; done"
    )
    server.machine.shell(script)
    provision(server.machine, log="dehydrated")
    everywhere(server, authority, "first")


def test_certbots_certificate_is_found_and_its_renewal_disturbs_nobody(
    server: Server, authority: Authority
) -> None:
    """As certbot lays it out: links in live/, renewed by leading them elsewhere in archive/."""
    machine = server.machine
    archived(machine, "first", 1)
    linked(machine, 1)
    told = provision(machine, log="certbot")
    assert f"certificate /etc/letsencrypt/live/{HOST}/fullchain.pem" in told
    with people_at_work(server):
        everywhere(server, authority, "first")
        archived(machine, "second", 2)
        linked(machine, 2)
        everywhere(server, authority, "second")


def test_a_renewed_file_is_taken(server: Server, authority: Authority) -> None:
    """Files given by path: the key first and the certificate later, then that alone."""
    machine = server.machine
    machine.shell(f"cd {FOLDER}; cp first.crt given.crt; cp first.key given.key")
    given = (f"TLS_CERT={FOLDER}/given.crt", f"TLS_KEY={FOLDER}/given.key")
    provision(machine, *given, log="given")
    assert machine.shell(f"stat -c '%a %U' {FOLDER}/given.key") == "600 root\n"
    with people_at_work(server):
        everywhere(server, authority, "first")
        machine.shell(f"cd {FOLDER}; cp second.key given.key")
        eventually(lambda: state(machine) == "start", 10, "it waits for the certificate")
        assert {state(machine) for _look in range(30)} == {"start"}
        assert served(server, 993, authority.trust, HOST) == authority.serial("first")
        machine.shell(f"cd {FOLDER}; cp second.crt new; mv new given.crt")
        everywhere(server, authority, "second")
        eventually(lambda: state(machine) == "dead", 10, lambda: state(machine))
        authority.issue("third", HOST, key_of="second")
        machine.shell(f"cd {FOLDER}; cp third.crt given.crt")
        everywhere(server, authority, "third")


def test_make_mailserver_takes_a_real_name_and_certificate(
    server: Server, authority: Authority
) -> None:
    """They take the place of what was there; the second run changes nothing."""
    given = (f"HOSTNAME={REAL}", f"TLS_CERT={FOLDER}/real.crt", f"TLS_KEY={FOLDER}/real.key")
    told = provision(server.machine, *given, log="real")
    assert f"certificate {FOLDER}/real.crt" in told
    for port in PORTS:
        assert served(server, port, authority.trust, REAL) == authority.serial("real"), port
    with mail.connect(server.host) as session:
        assert session.ehlo_resp is not None
        assert session.ehlo_resp.split()[0].decode() == REAL
    word = server.deliver(CLEAN, ["bob"])
    assert server.account("bob").wait_for(word)[0] == "INBOX"
    told = provision(server.machine, *given, log="real-again")
    assert recap(told) == (0, 0), changes(told)


@contextmanager
def people_at_work(server: Server) -> Iterator[None]:
    """What happens meanwhile ends neither an IMAP session nor an SMTP transaction."""
    bob, word = server.account("bob"), marker()
    with (
        bob.imap() as mailbox,
        mail.connect(server.host, source=server.world.client(CLEAN)) as session,
    ):
        mailbox.select("INBOX")
        session.starttls(context=mail.tls())
        session.ehlo()
        session.mail(SENDER)
        assert session.rcpt(bob.address)[0] == 250
        yield
        assert not select.select([mailbox.sock], [], [], IDLE)[0], "no BYE"
        assert session.data(message(word, sender=SENDER, to=bob.address))[0] == 250

        def arrived() -> bytes:
            mailbox.noop()
            found: bytes = mailbox.search(None, "SUBJECT", word)[1][0]
            return found

        eventually(arrived, mail.ARRIVAL, "the message in the same session")


def everywhere(server: Server, authority: Authority, name: str) -> None:
    """Until every port serves this certificate."""
    wanted = authority.serial(name)

    def current(port: int) -> bool:
        try:
            return served(server, port, authority.trust, HOST, patience=4.0) == wanted
        except TimeoutError:
            return False  # who connects at the moment of a reload may wait in vain, and comes again

    def others() -> list[int]:
        return [port for port in PORTS if not current(port)]

    eventually(lambda: not others(), SOON, lambda: f"ports with another one: {others()}")


def served(
    server: Server, port: int, trust: ssl.SSLContext, name: str, patience: float = 30.0
) -> str:
    """The serial number of the certificate that this port serves to a client who checks it."""
    with socket.create_connection((server.host, port), timeout=patience) as plain:
        if port in {25, 4190}:
            started(plain, port)
        with trust.wrap_socket(plain, server_hostname=name) as secure:
            seen = secure.getpeercert()
    assert seen is not None
    return str(seen["serialNumber"]).lstrip("0")


def started(client: socket.socket, port: int) -> None:
    """STARTTLS, as SMTP (RFC 3207) and ManageSieve (RFC 5804) have it."""
    with client.makefile("rwb") as lines:
        ends = (b"220 ", b"250 ", b"220 ") if port == 25 else (b"OK", b"OK")
        words = (b"EHLO client.test", b"STARTTLS") if port == 25 else (b"STARTTLS",)
        for end, word in zip(ends, (*words, b""), strict=True):
            while not (line := lines.readline()).startswith(end):
                assert line, f"port {port} hung up"
            if word:
                lines.write(word + b"\r\n")
                lines.flush()


def archived(machine: Machine, name: str, number: int) -> None:
    """The files of one issue, as certbot numbers them; key and folder are for root alone."""
    archive = f"/etc/letsencrypt/archive/{HOST}"
    machine.shell(
        f"umask 077; mkdir -p {archive} /etc/letsencrypt/live/{HOST}; cd {archive}; "
        f"cp {FOLDER}/{name}.key privkey{number}.pem; cp {FOLDER}/{name}.crt cert{number}.pem; "
        f"cp {FOLDER}/ca.crt chain{number}.pem; "
        f"cat cert{number}.pem chain{number}.pem > fullchain{number}.pem"
    )


def linked(machine: Machine, number: int) -> None:
    """The links in live/, one after the other, each away before it is there again."""
    machine.shell(
        f"cd /etc/letsencrypt/live/{HOST}; for n in cert privkey chain fullchain; do "
        f"rm -f $n.pem; ln -s ../../archive/{HOST}/${{n}}{number}.pem $n.pem; done"
    )


def state(machine: Machine) -> str:
    """What the service that reloads does."""
    return machine.shell("systemctl show -P SubState iems-tls.service").strip()
