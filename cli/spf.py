"""`iems spf`: the check `spf` without a server: who may send mail of this domain?

With `--dns` the DNS is a file and no question leaves. Without it the servers of the settings are
asked, or where there are no settings those of resolv.conf(5).
Exit 0 if the client may send or nobody says anything, 1 at `fail` and `permerror`, 75 at
`temperror`.
"""

from __future__ import annotations

import argparse
import ipaddress
import json
from pathlib import Path

from iems.dns.resolver import Resolver
from iems.dns.servers import servers
from iems.dns.spf import Evaluation, Identity, Records
from iems.dns.stub import StubResolver
from iems.dns.zonefile import ZoneResolver
from iems.serve.deadline import Deadline
from iems.settings.load import load
from iems.settings.read import SettingsError
from milters.checks.spf import finding

_TIMEOUT = 5.0
_CODES = {"fail": 1, "permerror": 1, "temperror": 75}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Who sends, and what the DNS says."""
    parser.add_argument(
        "--ip", type=_address, required=True, metavar="ADDRESS", help="the client's IP address"
    )
    parser.add_argument(
        "--mail-from", required=True, metavar="SENDER", help="the sender; '' or '<>' for none"
    )
    parser.add_argument("--helo", required=True, metavar="NAME", help="what the client said")
    parser.add_argument(
        "--dns",
        type=_zone,
        metavar="FILE",
        help="lines of `NAME TYPE VALUE` (A, AAAA, MX, PTR, TXT); what is not in it does not exist",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Check and print."""
    resolver, seconds, hostname = _resolver(arguments)
    sender = arguments.mail_from.removeprefix("<").removesuffix(">")
    identity = Identity.of(arguments.ip, sender, arguments.helo, hostname)
    evaluation = Evaluation(resolver, identity, Records())
    found = finding(identity, sender, evaluation.result(Deadline.after(seconds)))
    if arguments.json:
        answer = {"outcome": found.outcome, "band": found.band, "reason": found.reason}
        print(json.dumps({**answer, "evidence": dict(found.evidence)}, indent=2))
    else:
        rows = (*((("reason", found.reason),) if found.reason else ()), *found.evidence)
        print("\n".join([found.outcome, *(f"{name:<14}{text}" for name, text in rows)]))
    return _CODES.get(found.outcome, 0)


def _resolver(arguments: argparse.Namespace) -> tuple[Resolver, float, str]:
    """Who answers, in how many seconds, and our own name."""
    if arguments.dns is not None:
        return arguments.dns, _TIMEOUT, "unknown"
    if not arguments.settings.exists():
        return StubResolver(servers(()), _TIMEOUT), _TIMEOUT, "unknown"
    settings = load(arguments.settings)
    try:
        asked = servers(settings.dns.servers)
    except ValueError as error:
        raise SettingsError([f"dns.servers: {error}"]) from None
    return StubResolver(asked, settings.dns.timeout), settings.dns.timeout, settings.hostname


def _zone(text: str) -> ZoneResolver:
    try:
        return ZoneResolver(Path(text).read_text(), whole=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error.strerror}") from None
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: {error}") from None


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from None
