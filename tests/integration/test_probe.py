"""`iems probe` against the whole system, IMAP behind TLS; and what it says when a part fails."""

from __future__ import annotations

import json
import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from cli.main import main
from tests.integration.conftest import Fresh
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.mailsystem import MailSystem
from tests.integration.stack.programs import run


class TlsFront:
    """Takes TLS and passes what is inside on to a port; the private Dovecot has none of its own."""

    def __init__(self, folder: Path, target: int) -> None:
        key, certificate = folder / "key.pem", folder / "cert.pem"
        run(
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-days", "2", "-subj", "/CN=elsewhere.example"),
            *("-keyout", key, "-out", certificate),
        )
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = listener.getsockname()[1]
        self._target = target
        self._listener = context.wrap_socket(listener, server_side=True)
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def close(self) -> None:
        """Stop taking connections and see the open ones off."""
        self._listener.shutdown(socket.SHUT_RDWR)
        while self._threads:
            self._threads.pop().join(20)
        self._listener.close()

    def _run(self, what: object, *arguments: object) -> threading.Thread:
        thread = threading.Thread(target=what, args=arguments)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()
        return thread

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                self._run(self._session, client)

    def _session(self, client: ssl.SSLSocket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._target)) as server:
            back = self._run(self._pass, server, client)
            self._pass(client, server)
            back.join(20)

    def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tls(mailsystem: MailSystem, tmp_path: Path) -> Iterator[TlsFront]:
    front = TlsFront(tmp_path, mailsystem.dovecot.imap)
    yield front
    front.close()


@pytest.fixture
def box(mailsystem: MailSystem, fresh: Fresh) -> Mailbox:
    mailsystem.add_domain(fresh.domain)
    return mailsystem.add_user(fresh.address("alice"))


def passwords(folder: Path, *lines: str) -> Path:
    file = folder / "passwords"
    file.write_text("\n" + "".join(f"{line}\n" for line in lines))
    return file


def probe(settings: Path, *words: str) -> int:
    return main(["--settings", str(settings), "probe", *words])


def test_a_message_goes_through_and_is_explained_and_deleted(
    mailsystem: MailSystem,
    tls: TlsFront,
    box: Mailbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    accounts = passwords(tmp_path, f"{box.user} {mailsystem.password(box.user)}", "x@y.test no")
    servers = ("--smtp", f"127.0.0.1:{mailsystem.port()}", "--imap", f"127.0.0.1:{tls.port}")
    words = ("--passwords", str(accounts), *servers)
    assert probe(mailsystem.site.settings, *words, "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["recipient"], told["folder"]) == (box.user, "INBOX")
    assert told["junk_script"] == "works"
    assert told["way"] == [
        {"stage": "end-of-message", "action": "accept"},
        {"stage": "delivery", "action": "deliver"},
    ]
    assert probe(mailsystem.site.settings, *words, "--to", box.user) == 0
    said = capsys.readouterr().out
    first = f"probe: 127.0.0.1:{mailsystem.port()} -> {box.user}, found in INBOX; the junk script"
    assert said.startswith(first)
    assert f"delivery for {box.user}: deliver" in said
    assert mailsystem.password(box.user) not in said
    assert not box.messages()
    assert not box.messages("Junk")
    mailsystem.postfix.wait_empty()


def test_a_refusal_is_no_silence(
    mailsystem: MailSystem,
    tls: TlsFront,
    box: Mailbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    accounts = passwords(tmp_path, f"{box.user} {mailsystem.password(box.user)}")
    settings = mailsystem.site.settings
    imap = ("--passwords", str(accounts), "--imap", f"127.0.0.1:{tls.port}", "--smtp")
    assert probe(settings, *imap, f"127.0.0.1:{mailsystem.port('submission')}") == 1
    assert "SMTPSenderRefused: (530," in capsys.readouterr().err
    with unused() as port:
        assert probe(settings, *imap, f"127.0.0.1:{port}") == 75
    assert "ConnectionRefusedError" in capsys.readouterr().err
    wrong = passwords(tmp_path, f"{box.user} wrong")
    assert probe(settings, "--passwords", str(wrong), "--imap", f"127.0.0.1:{tls.port}") == 75
    said = capsys.readouterr().err
    assert "authentication failed" in said.lower()
    assert not box.messages()


def test_a_junk_script_that_does_nothing_is_noticed(
    mailsystem: MailSystem,
    tls: TlsFront,
    box: Mailbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    # The agent takes the forged verdict out, as a script would overlook it: INBOX, not Junk.
    shutil.copytree(mailsystem.site.etc, tmp_path / "etc")
    more = tmp_path / "etc/conf.d/zz.toml"
    more.write_text(f'[agent.upstreams]\nlocal = "unix:{mailsystem.agent.socket}"\n')
    accounts = passwords(tmp_path, f"{box.user} {mailsystem.password(box.user)}")
    servers = ("--smtp", f"127.0.0.1:{mailsystem.port()}", "--imap", f"127.0.0.1:{tls.port}")
    words = ("--passwords", str(accounts), *servers, "--wait", "3")
    assert probe(tmp_path / "etc/iems.toml", *words) == 1
    assert "did not arrive in Junk" in capsys.readouterr().err
    assert len(box.messages()) == 1
    mailsystem.postfix.wait_empty()


@contextmanager
def unused() -> Iterator[int]:
    """A port on which nobody listens, as long as the context lasts."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]
