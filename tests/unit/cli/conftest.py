"""A site whose settings `iems check` has nothing to say of, and a Postfix beside it."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.main import main
from iems.store.keys import create

LISTENER = "smtp inet n - y - - smtpd -o milter_macro_daemon_name=internet\n"
TRANSPORT = "iems-lmtp unix - - y - - lmtp -o lmtp_send_xforward_command=yes\n"


@dataclass
class Site:
    """Settings that are right, and a Postfix as the playbook sets it up."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def settings(self, text: str) -> None:
        """More settings."""
        (self.folder / "conf.d" / "more.toml").write_text(text)

    def postfix(self, *changes: str, master: str = LISTENER + TRANSPORT) -> None:
        """Postfix's configuration; a change is `name = value`."""
        wanted = {
            "queue_directory": "/var/spool/postfix",
            "smtpd_milters": "unix:iems/milter.sock",
            "virtual_transport": "iems-lmtp:unix:iems/lmtp.sock",
            "enable_long_queue_ids": "yes",
            "internal_mail_filter_classes": "bounce",
            "message_size_limit": "104857600",
            "smtpd_relay_restrictions": "reject_unauth_destination",
        }
        for change in changes:
            name, _equals, value = change.partition("=")
            wanted[name.strip()] = value.strip()
        lines = [f"{name} = {value}\n" for name, value in wanted.items()]
        main = self.folder / "postfix" / "main.cf"
        main.write_text("".join(lines))
        # Postfix waits until nobody can still be writing to it.
        os.utime(main, (1, 1))
        (self.folder / "postfix" / "master.cf").write_text(master)

    def check(self, *options: str) -> int:
        """The exit code; what was said is kept."""
        code = main(["--settings", str(self.folder / "iems.toml"), "check", "--json", *options])
        told = json.loads(self.capsys.readouterr().out)
        self.faults: list[str] = told["faults"]
        self.warnings: list[str] = told["warnings"]
        return code


@pytest.fixture
def site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Site:
    monkeypatch.setenv("MAIL_CONFIG", str(tmp_path / "postfix"))
    for name in ("conf.d", "postfix"):
        (tmp_path / name).mkdir()
    create(tmp_path / "findings.toml", "k1")
    (tmp_path / "directory.toml").write_text('[domains."example.test"]\n')
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@example.test"\n'
        f'[directory]\nkind = "toml"\nfile = "{tmp_path}/directory.toml"\n'
        f'[keys]\nfindings = "{tmp_path}/findings.toml"\n'
    )
    made = Site(tmp_path, capsys)
    made.postfix()
    return made
