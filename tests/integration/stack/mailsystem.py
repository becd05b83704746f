"""The whole mail system, wired as on a server: Postfix, milter, agent, Dovecot, directory, lists.

Domains, users and aliases stand in slapd, with our schema, rights and accounts; Postfix and Dovecot
ask it what `docs/directory.md` says. One blacklist is enforced, one delegated; both are rbldnsd's,
behind unbound. What is sent to the internet is caught by a sink.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from iems.store.quarantine import Quarantine
from tests.conftest import ROOT
from tests.integration.directory import tree
from tests.integration.stack import daemons
from tests.integration.stack.daemons import Daemon, Site
from tests.integration.stack.dovecot import Dovecot
from tests.integration.stack.ground import Ground, owned, running
from tests.integration.stack.imap import Mailbox
from tests.integration.stack.postfix import Listener, Postfix
from tests.integration.stack.programs import need, run
from tests.integration.stack.rbldnsd import Rbldnsd
from tests.integration.stack.sink import Sink
from tests.integration.stack.slapd import Slapd
from tests.integration.stack.unbound import Unbound
from tests.waiting import eventually

HOSTNAME = "mail.example.test"
CONTACT = "https://mail.example.test/refused"
ENFORCED, DELEGATED = "enforced.bl.test", "delegated.bl.test"

_SETTINGS = f"""\
version = 1
hostname = "{HOSTNAME}"
postmaster = "postmaster@{HOSTNAME}"
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

_DOVECOT = """
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

_MAPS = ("domains.cf", "users.cf", "aliases.cf", "sender-logins.cf")
_LIMITS = {
    "iems-lmtp_destination_concurrency_failed_cohort_limit": "0",
    "iems-lmtp_destination_concurrency_limit": "20",
    "iems-lmtp_initial_destination_concurrency": "20",
    "iems-lmtp_destination_recipient_limit": "50",
}


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

    def port(self, channel: str = "internet") -> int:
        """Where Postfix listens for this source channel."""
        return self.postfix.port(channel)

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
        call = "import sys; from cli.main import main; sys.exit(main())"
        arguments = ("-c", call, "--settings", str(self.site.settings), *words)
        environment = {"PYTHONPATH": str(ROOT), "MAIL_CONFIG": str(self.postfix.config)}
        return run(sys.executable, *arguments, environment=environment)

    def quarantined_for(self, recipient: str) -> list[bytes]:
        """The messages in quarantine that name this recipient in their description."""
        store = Quarantine(self.site.agent_state / "quarantine")
        return [
            store.message(one).read_bytes()
            for one in store.ids()
            if recipient in json.dumps(store.describe(one))
        ]


@contextmanager
def started(ground: Ground, lists: Rbldnsd, resolver: Unbound) -> Iterator[MailSystem]:
    """The running system; at its end the queue must be empty, and the agent's spool."""
    need("/usr/lib/postfix/postfix-ldap.so", "/usr/lib/dovecot/modules/auth/libauthdb_ldap.so")
    with ExitStack() as stack:
        outside = stack.enter_context(Sink())
        slapd = tree.start(ground)
        stack.callback(slapd.stop)
        postfix = _postfix(ground, slapd, outside)
        dovecot = stack.enter_context(running(_dovecot(ground, slapd, postfix)))
        site = _site(ground, postfix, slapd, dovecot, resolver)
        milter = stack.enter_context(running(daemons.milter(site)))
        agent = stack.enter_context(running(daemons.agent(site)))
        stack.enter_context(running(postfix))
        yield MailSystem(site, postfix, dovecot, slapd, milter, agent, lists, resolver, outside)
        left = postfix.entries()
        spooled = list((site.agent_state / "spool").glob("*"))
        postfix.empty()
    assert not left, f"a test left mail in the queue: {left}"
    assert not spooled, f"the agent left files in its spool: {spooled}"


def _postfix(ground: Ground, slapd: Slapd, outside: Sink) -> Postfix:
    folder = ground.place("maps")
    common = tree.block("every map").replace("SECRET", tree.password("postfix"))
    common = common.replace("ldapi:///", slapd.ldapi)
    for name in _MAPS:
        owned(tree.write(folder / name, common + tree.block(name)), "root", "postfix", 0o640)
    headers = ROOT / "templates/postfix/smtp_header_checks"
    directory = {
        name.strip(): value.strip().replace("proxy:ldap:", f"proxy:ldap:{folder}/")
        for name, _equals, value in (
            line.partition("=") for line in tree.block("main.cf").splitlines() if "=" in line
        )
    }
    own = {
        "myhostname": HOSTNAME,
        "virtual_transport": "iems-lmtp:unix:iems/lmtp.sock",
        "default_transport": f"smtp:[127.0.0.1]:{outside.port}",
        "smtp_header_checks": f"regexp:{headers}",
        "smtpd_milters": "unix:iems/milter.sock",
        "non_smtpd_milters": "unix:iems/milter.sock",
        "internal_mail_filter_classes": "bounce",
        "milter_macro_daemon_name": "local",
        "smtpd_sasl_type": "dovecot",
        "smtpd_sasl_path": "iems/auth",
        "smtpd_recipient_restrictions": "reject_unlisted_recipient",
        "message_size_limit": "104857600",
    }
    certificate = _certificate(ground.place("tls"))
    login = {
        "smtpd_tls_cert_file": str(certificate),
        "smtpd_tls_key_file": str(certificate),
        "smtpd_tls_security_level": "encrypt",
        "smtpd_sasl_auth_enable": "yes",
        "smtpd_client_restrictions": "permit_sasl_authenticated, reject",
        "smtpd_sender_restrictions": "reject_sender_login_mismatch",
        "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
    }
    return Postfix(
        ground,
        main={**directory, **_LIMITS, **own},
        listeners=[
            Listener("internet", ground.port(), {"smtpd_discard_ehlo_keywords": "dsn"}),
            Listener("submission", ground.port(), login),
        ],
        services=[
            "iems-lmtp unix - - y - - lmtp",
            "  -o { lmtp_send_xforward_command = yes }",
            "  -o { lmtp_line_length_limit = 0 }",
        ],
    )


def _dovecot(ground: Ground, slapd: Slapd, postfix: Postfix) -> Dovecot:
    file = ground.place("dovecot-ldap") / "dovecot-ldap.conf.ext"
    extra = tree.block("dovecot.conf") + _DOVECOT.format(ldap=file, sockets=postfix.sockets)
    junk = (ROOT / "templates/dovecot/sieve/junk.sieve").read_text()
    server = Dovecot(ground, extra=extra, junk=junk)
    text = tree.block("dovecot-ldap.conf.ext").replace("SECRET", tree.password("dovecot"))
    text = text.replace("ldapi:///", slapd.ldapi).replace("/var/vmail", f"{server.folder}/mail")
    tree.write(file, text)
    return server


def _site(
    ground: Ground, postfix: Postfix, slapd: Slapd, dovecot: Dovecot, resolver: Unbound
) -> Site:
    site = Site(ground, postfix.sockets, _SETTINGS)
    for name in ("milter", "agent", "admin"):
        site.write(f"keys/ldap-{name}", tree.password(name) + "\n")
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
[agent]
ldap_password_file = "{keys}/ldap-agent"
[agent.upstreams]
local = "unix:{dovecot.lmtp}"
[admin]
ldap_password_file = "{keys}/ldap-admin"
[notices]
smtp = "127.0.0.1:{postfix.port()}"
""",
    )
    return site


def _certificate(folder: Path) -> Path:
    """A self-signed certificate and its key in one file."""
    key, certificate = folder / "key.pem", folder / "cert.pem"
    run(
        *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
        *("-nodes", "-days", "2", "-subj", f"/CN={HOSTNAME}", "-keyout", key, "-out", certificate),
    )
    both = folder / "both.pem"
    both.write_text(key.read_text() + certificate.read_text())
    return owned(both, "root", "root", 0o600)
