"""A private Dovecot 2.3: LMTP on a unix socket, IMAP without TLS, Maildir, Sieve, quota.

Users are passwd-files, so that a test adds its own; what else a test needs (another user
database, listeners) it gives as `extra`, which stands at the end and so wins.
"""

from __future__ import annotations

from pathlib import Path

from tests.integration.stack.ground import GROUP, Ground, accepts, accepts_unix
from tests.integration.stack.imap import PASSWORD, Mailbox
from tests.integration.stack.process import Server, command
from tests.integration.stack.programs import need, run
from tests.waiting import eventually

_OWNER = "mail"
"""The user whose files the mailboxes are: a system user that every Debian has."""

JUNK_SCRIPT = """\
require ["fileinto", "mailbox"];
if header :matches "X-IEMS-Verdict" "junk;*" { fileinto :create "Junk"; }
"""

_CONFIG = """\
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/log
protocols = imap lmtp sieve
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
# The suite may be the only thing on the machine that runs Dovecot: no vsz limits, few processes.
default_vsz_limit = 512M
first_valid_uid = 1
mail_uid = {owner}
mail_gid = {owner}
mail_home = {folder}/mail/%d/%n
mail_location = maildir:~/Maildir
mail_plugins = quota
mail_fsync = always
mailbox_list_index = yes
quota_full_tempfail = no
recipient_delimiter = +
lmtp_save_to_detail_mailbox = no
postmaster_address = postmaster@example.test
hostname = mail.example.test

passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/users/%u
}}
userdb {{
  driver = passwd-file
  args = {folder}/users/%u
}}
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = subscribe
    special_use = \\Junk
  }}
}}
plugin {{
  quota = maildir:User quota
  quota_grace = 0%%
  sieve = file:~/sieve;active=~/.dovecot.sieve
  sieve_before = {folder}/sieve/junk.sieve
}}
protocol lmtp {{
  mail_plugins = $mail_plugins sieve
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service managesieve-login {{
  inet_listener sieve {{
    port = {sieve}
  }}
}}
service lmtp {{
  unix_listener lmtp {{
    mode = 0660
    group = {group}
  }}
  inet_listener lmtp {{
    port = {lmtp}
  }}
}}
service anvil {{
  # No delay after a wrong password.
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""


class Dovecot:
    """One instance; `lmtp` is the path of its LMTP socket, `imap` its IMAP port.

    It accepts LMTP on `lmtp_port` too, for a Postfix whose chroot the socket is not in.
    """

    def __init__(self, ground: Ground, *, extra: str = "", junk: str = JUNK_SCRIPT) -> None:
        need(
            *("dovecot", "/usr/lib/dovecot/imap", "/usr/lib/dovecot/lmtp"),
            *("/usr/lib/dovecot/managesieve", "/usr/lib/dovecot/modules/lib90_sieve_plugin.so"),
        )
        self._ground = ground
        self.folder = ground.place("dovecot")
        self.imap, self.sieve, self.lmtp_port = ground.port(), ground.port(), ground.port()
        self.lmtp = self.folder / "run/lmtp"
        self._users, self.config = self.folder / "users", self.folder / "dovecot.conf"
        for name in ("mail", "sieve", "state", "users"):
            (self.folder / name).mkdir()
        (self.folder / "mail").chmod(0o777)
        ports = {"imap": self.imap, "sieve": self.sieve, "lmtp": self.lmtp_port}
        config = _CONFIG.format(folder=self.folder, owner=_OWNER, group=GROUP, **ports)
        self.config.write_text(config + extra)
        _compile(self.folder / "sieve/junk.sieve", junk, self.config)
        arguments = ["dovecot", "-F", "-c", str(self.config)]
        self._server = Server("dovecot", arguments, self.folder / "output")

    def start(self) -> None:
        """Check the configuration, start, and wait until IMAP and LMTP accept."""
        run("doveconf", "-n", "-c", self.config)
        self._ground.started(self._server)
        try:
            eventually(self._accepts, 20, lambda: f"Dovecot does not listen\n{self.log()}")
        except AssertionError:
            self._server.kill()
            raise

    def stop(self) -> None:
        """Stop it, and as systemd does whatever is left: auth waits for Postfix's idle smtpd."""
        self._server.stop()
        self._server.kill()

    def kill(self) -> None:
        """Kill every process of it at once; the mail stays."""
        self._server.kill()

    def pause(self) -> None:
        """Let it hang."""
        self._server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._server.resume()

    def add_user(
        self, address: str, *, password: str = PASSWORD, quota: str = "", **more: str
    ) -> Mailbox:
        """A user with this address; `quota` is a rule such as `*:bytes=1000`.

        `more` are settings that he has otherwise: by `submission_host` goes what his scripts send.
        """
        extra = f"userdb_quota_rule={quota}" if quota else ""
        extra += "".join(f" userdb_{name}={value}" for name, value in more.items())
        # A file a user, for Dovecot looks at most once a second whether a file has changed.
        line = f"{address.lower()}:{{PLAIN}}{password}::::::{extra}\n"
        (self._users / address.lower()).write_text(line)
        return self.mailbox(address, password)

    def mailbox(self, address: str, password: str = PASSWORD) -> Mailbox:
        """A user's mailboxes, to read."""
        return Mailbox(self.imap, address.lower(), password)

    def script(self, address: str, text: str) -> None:
        """Give a user this active Sieve script."""
        local, _at, domain = address.lower().partition("@")
        home = self.folder / "mail" / domain / local
        run("install", "-d", "-o", _OWNER, "-g", _OWNER, home.parent, home)
        run("install", "-o", _OWNER, "-g", _OWNER, "/dev/stdin", home / ".dovecot.sieve", text=text)

    def processes(self, service: str) -> tuple[int, ...]:
        """The processes of a service, such as `lmtp`."""
        named = f"dovecot/{service}"
        return tuple(pid for pid in self._server.members() if command(pid).startswith(named))

    def log(self, text: str = "") -> str:
        """The log, or only its lines that hold `text`."""
        path = self.folder / "log"
        lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        return "\n".join(line for line in lines if text in line)

    def _accepts(self) -> bool:
        self._server.wants_running()
        return accepts(self.imap) and accepts_unix(self.lmtp)


def _compile(path: Path, text: str, config: Path) -> None:
    path.write_text(text)
    run("sievec", "-c", config, path)
