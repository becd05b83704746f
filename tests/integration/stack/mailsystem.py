"""The whole mail system, wired as on a server: Postfix, milter, agent, Dovecot, directory, lists.

Domains, users and aliases stand in slapd, with our schema, rights and accounts. Postfix, and what
it and Dovecot ask slapd, are as the playbook deploys them. One blacklist is enforced, one
delegated; both are rbldnsd's, behind unbound. What is sent to the internet is caught by a sink.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from iems.store.quarantine import Quarantine
from tests.conftest import ROOT
from tests.integration.directory import tree
from tests.integration.stack import daemons, deployed, master, rules
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, owned, running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import need, run
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.integration.stack.sink import Caught, Sink
from tests.integration.stack.slapd import Slapd
from tests.integration.stack.unbound import Unbound
from tests.waiting import eventually

HOSTNAME = "mail.example.test"
POSTMASTER = f"postmaster@{HOSTNAME}"
CONTACT = "https://mail.example.test/refused"
ENFORCED, DELEGATED = "enforced.bl.test", "delegated.bl.test"
UNREACHABLE = "unreachable.example"
CLOSED = 9
"""A port on which nothing listens here (discard)."""

_SETTINGS = f"""\
version = 1
hostname = "{HOSTNAME}"
postmaster = "{POSTMASTER}"
contact = "{CONTACT}"

[checks.iprev]
mode = "delegate"

[checks.dnsbl.enforced]
mode = "enforce"
zone = "{ENFORCED}"
default = {{ listed = "reject" }}

[checks.dnsbl.delegated]
mode = "delegate"
zone = "{DELEGATED}"
default = {{ listed = "deliver" }}
"""

_LOCAL = {
    "milter_macro_daemon_name": "local",
    "smtpd_relay_restrictions": "permit_mynetworks,reject",
    "smtpd_sender_restrictions": "",
}
"""What takes mail of this host: in the place of sendmail(1), which knows no private Postfix."""

_DOVECOT = """
submission_host = 127.0.0.1:{port}
passdb {{
  driver = ldap
  args = {ldap}
}}
userdb {{
  driver = ldap
  args = {ldap}
}}
service auth {{
  unix_listener {sockets}/auth {{
    mode = 0660
    user = postfix
    group = postfix
  }}
}}
"""


@dataclass
class MailSystem:
    """All servers of the system; who stops one starts it again."""

    site: Site
    postfix: Postfix
    dovecot: Dovecot
    slapd: Slapd
    milter: Daemon
    agent: Daemon
    lists: Rbldnsd
    resolver: Unbound
    outside: Sink
    bounces: Postfix

    def port(self, channel: str = "internet") -> int:
        """Where Postfix listens for this source channel."""
        return self.postfix.port(channel)

    def sent_out(self) -> list[Caught]:
        """What went to the internet, but for notices of postmaster, who lives there.

        A notice of a server that an earlier test stopped may come late.
        """
        return [one for one in self.outside.caught() if one.recipients != (POSTMASTER,)]

    def add_domain(self, name: str) -> None:
        """A domain with postmaster and abuse, who are nobody's mailbox but the first user's."""
        self.slapd.add(
            tree.domain(name)
            + tree.alias(f"postmaster@{name}", f"first@{name}")
            + tree.alias(f"abuse@{name}", f"first@{name}")
        )

    def add_user(self, address: str, *policy: str) -> Mailbox:
        """A user; each policy is a value of iemsPolicy, `dnsbl/delegated listed choice junk`."""
        self.slapd.add(tree.user(address, *(f"iemsPolicy: {rule}" for rule in policy)))
        return Mailbox(self.dovecot.imap, address, self.password(address))

    def add_alias(self, address: str, *targets: str) -> str:
        """An alias."""
        self.slapd.add(tree.alias(address, *targets))
        return address

    def password(self, address: str) -> str:
        """A user's password."""
        return tree.password(address.partition("@")[0])

    def why(self, word: str, rows: int = 1) -> list[dict[str, object]]:
        """What `iems why` says of a reference, queue id or Message-ID.

        What binds nobody is written a moment later, so this waits until there are `rows` records.
        """
        found: list[dict[str, object]] = []

        def told() -> bool:
            try:
                found[:] = json.loads(self.iems("why", "--json", word))
            except RuntimeError:
                return False
            return len(found) >= rows

        eventually(told, 15, lambda: f"{len(found)} records of {rows} about {word}")
        return found

    def iems(self, *words: str) -> bytes:
        """Run `iems` as root; RuntimeError with its output where it ends with an error."""
        done = self.iems_ends(*words)
        if done.returncode:
            told = (done.stdout + done.stderr).decode(errors="replace")
            raise RuntimeError(f"iems {' '.join(words)} ended with {done.returncode}:\n{told}")
        return done.stdout

    def iems_ends(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        """Run `iems` as root, however it ends."""
        with self.iems_begins(*words) as program:
            out, err = program.communicate(timeout=100)
            return subprocess.CompletedProcess(words, program.returncode, out, err)

    @contextmanager
    def iems_begins(self, *words: str) -> Iterator[subprocess.Popen[bytes]]:
        """`iems` as root, running; killed where it has not ended by the end of the block."""
        call = "import sys; from cli.main import main; sys.exit(main())"
        with subprocess.Popen(
            [sys.executable, "-c", call, "--settings", str(self.site.settings), *words],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as program:
            try:
                yield program
            finally:
                program.kill()

    @property
    def _environment(self) -> dict[str, str]:
        """Our code, and where the private servers' configuration is."""
        return {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": self.site.path,
            "MAIL_CONFIG": str(self.postfix.config),
            "CONFIG_FILE": str(self.dovecot.config),
        }

    @contextmanager
    def settings(self, name: str, text: str) -> Iterator[None]:
        """Both daemons run with one more file of settings, until the end of the block."""
        file = self.site.write(f"conf.d/{name}.toml", text)
        self.reload()
        try:
            yield
        finally:
            file.unlink()
            self.reload()

    def reload(self) -> None:
        """Both daemons read the settings anew, and nobody serves by the old ones any more."""
        # By their processes: of the end of one the status tells with the next beat, 5 s later.
        daemons = (self.milter, self.agent)
        before = [daemon.workers() for daemon in daemons]
        for daemon in daemons:
            daemon.reload()

        def renewed(daemon: Daemon, old: tuple[int, ...]) -> bool:
            now = daemon.workers()
            return bool(now) and not set(now) & set(old)

        eventually(lambda: all(map(renewed, daemons, before)), 40)

    def quarantined_for(self, recipient: str) -> list[bytes]:
        """The messages in quarantine that name this recipient in their description."""
        store = Quarantine(self.site.agent_state / "quarantine")
        found = []
        for one in store.ids():
            with suppress(FileNotFoundError):  # it was released meanwhile
                if recipient in json.dumps(store.describe(one)):
                    found.append(store.message(one).read_bytes())
        return found


@contextmanager
def started(ground: Ground, lists: Rbldnsd, resolver: Unbound) -> Iterator[MailSystem]:
    """The running system; at its end the queue must be empty, and the agent's spool."""
    need("/usr/lib/postfix/postfix-ldap.so", "/usr/lib/dovecot/modules/auth/libauthdb_ldap.so")
    with ExitStack() as stack:
        outside = stack.enter_context(Sink())
        slapd = tree.start(ground)
        stack.callback(slapd.stop)
        bounces = _bounces(ground, outside)
        postfix = _postfix(ground, slapd, outside, bounces)
        dovecot = stack.enter_context(running(_dovecot(ground, slapd, postfix)))
        site = _site(ground, postfix, slapd, dovecot, resolver)
        milter = stack.enter_context(running(daemons.milter(site)))
        agent = stack.enter_context(running(daemons.agent(site)))
        stack.enter_context(running(bounces))
        stack.enter_context(running(postfix))
        yield MailSystem(
            *(site, postfix, dovecot, slapd, milter, agent, lists, resolver, outside, bounces)
        )
        left = postfix.entries() + bounces.entries()
        spooled = list((site.agent_state / "spool").glob("*"))
        for one in (postfix, bounces):
            one.empty()
    assert not left, f"a test left mail in the queue: {left}"
    assert not spooled, f"the agent left files in its spool: {spooled}"


def _bounces(ground: Ground, outside: Sink) -> Postfix:
    """The deployed Postfix for bounces of spam, which delivers to the same place."""
    deployed_main = dict(deployed.values("postfix-bounces/main.cf"))
    for folder in ("queue_directory", "data_directory"):
        del deployed_main[folder]
    own = {"inet_interfaces": "127.0.0.1", **_routes(outside)}
    listener = deployed.service("127.0.0.1:10027", "inet", "postfix-bounces")
    return Postfix(
        ground,
        main={**deployed_main, **own},
        listeners=[Listener("bounces", ground.port(), listener.options)],
    )


def _routes(outside: Sink) -> dict[str, str]:
    """To the sink, but for one domain whose server takes no connection."""
    unreachable = f"smtp:[127.0.0.1]:{CLOSED}"
    return {
        "default_transport": f"smtp:[127.0.0.1]:{outside.port}",
        "transport_maps": f"inline:{{{UNREACHABLE}={unreachable}}}",
    }


def _postfix(ground: Ground, slapd: Slapd, outside: Sink, bounces: Postfix) -> Postfix:
    """The deployed configuration, with this run's certificate, ports and neighbours."""
    pair = certificate(ground.place("tls"))
    own = {
        "inet_interfaces": "127.0.0.1",
        "mydestination": "",
        "alias_maps": "",
        "alias_database": "",
        "local_recipient_maps": "",
        **_routes(outside),
        "multi_instance_directories": str(bounces.config),
        "smtpd_sasl_path": "iems/auth",
        "smtpd_tls_cert_file": str(pair),
        "smtpd_tls_key_file": str(pair),
    }
    services = {"internet": "smtp", "submission": "submission", "submissions": "submissions"}
    server = Postfix(
        ground,
        main={**deployed.values("postfix/main.cf"), **own},
        listeners=[
            Listener(channel, ground.port(), deployed.service(name, "inet").options)
            for channel, name in services.items()
        ]
        + [Listener("local", ground.port(), _LOCAL)],
        services=[
            deployed.service(name).line() for name in ("iems-lmtp", "verify-smtp", "bounces")
        ],
    )
    (server.config / "ldap").mkdir()
    for name in deployed.maps():
        text = tree.on(slapd, deployed.text(f"postfix/ldap/{name}"), "postfix")
        owned(tree.write(server.config / "ldap" / name, text), "root", "postfix", 0o640)
    for name in ("smtp_header_checks", "milter_header_checks"):
        text = deployed.text(f"postfix/{name}").replace(":10027", f":{bounces.port('bounces')}")
        tree.write(server.config / name, text)
    return server


def _dovecot(ground: Ground, slapd: Slapd, postfix: Postfix) -> Dovecot:
    file = ground.place("dovecot-ldap") / "dovecot-ldap.conf.ext"
    users = file.with_name("master-users")
    master.write(users)
    extra = tree.logins() + _DOVECOT.format(ldap=file, sockets=postfix.sockets, port=postfix.port())
    extra += master.settings(users)
    junk = (ROOT / "templates/dovecot/sieve/junk.sieve").read_text()
    server = Dovecot(ground, extra=extra, junk=junk)
    rules.deploy(server)
    text = tree.on(slapd, deployed.text("dovecot/dovecot-ldap.conf.ext"), "dovecot")
    tree.write(file, text.replace("/var/vmail", f"{server.folder}/mail"))
    return server


def _site(
    ground: Ground, postfix: Postfix, slapd: Slapd, dovecot: Dovecot, resolver: Unbound
) -> Site:
    site = Site(ground, postfix.sockets, _SETTINGS)
    for name in ("milter", "agent", "admin"):
        site.write(f"keys/ldap-{name}", tree.password(name) + "\n")
    site.write("keys/dovecot-sieve", rules.SECRET + "\n")
    keys = site.etc / "keys"
    site.write(
        "conf.d/servers.toml",
        f"""
[directory]
uri = "{slapd.ldapi}"
[dns]
servers = ["127.0.0.1:{resolver.port}"]
[milter]
ldap_password_file = "{keys}/ldap-milter"
tag_spam_bounces = true
[agent]
ldap_password_file = "{keys}/ldap-agent"
[agent.upstreams]
local = "unix:{dovecot.lmtp}"
[admin]
ldap_password_file = "{keys}/ldap-admin"
[mailsort]
managesieve = "127.0.0.1:{dovecot.sieve}"
master_password_file = "{keys}/dovecot-sieve"
rules = "{site.etc}/mailsort"
scripts = "{dovecot.folder}/sieve/mailsort"
[notices]
smtp = "127.0.0.1:{postfix.port()}"
""",
    )
    return site


def certificate(folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    key, public = folder / "key.pem", folder / "cert.pem"
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", f"/CN={HOSTNAME}", "-keyout", key, "-out", public),
    )
    both = folder / "both.pem"
    both.write_text(key.read_text() + public.read_text())
    return owned(both, "root", "root", 0o600)
