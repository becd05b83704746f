"""Other milters that do like work, on the same Postfix, lists and resolver.

rspamd asks the same four blacklists and adds a header (`bench/rspamd.conf`; nothing else in it is
on). opendkim, written in C on the same libmilter as ours, verifies messages that carry no signature
and adds a header: about the least that any milter costs.
"""

from __future__ import annotations

from pathlib import Path
from string import Template

from bench.names import ZONES
from tests.integration.stack.ground import Ground, accepts_unix
from tests.integration.stack.process import Server
from tests.waiting import eventually

RSPAMD_HEADER, OPENDKIM_HEADER = b"\nX-Spamd-Result:", b"\nDKIM-Filter:"
LISTED = b"LISTED_"
"""In rspamd's header where a list lists the client."""

_START = 60.0
"""Seconds; rspamd compiles its list of public suffixes at each start."""


def rspamd(ground: Ground, sockets: Path, dns_port: int, settings: str) -> Server:
    """rspamd's proxy worker as a milter, two processes that scan themselves; started.

    `settings` is the file of this folder that says what it does.
    """
    folder = ground.place("rspamd")
    folder.chmod(0o777)
    sockets.chmod(0o2777)
    lists = "\n".join(
        f'    {zone.partition(".")[0]} {{ rbl = "{zone}"; checks = ["from"]; ipv6 = false; '
        "exclude_local = false; exclude_private_ips = false; exclude_users = false; "
        f'symbol = "LISTED_{zone.partition(".")[0].upper()}"; }}'
        for zone in ZONES
    )
    text = Template((Path(__file__).parent / settings).read_text())
    values = {"folder": folder, "socket": sockets / "rspamd.sock", "dns": dns_port, "lists": lists}
    (folder / "rspamd.conf").write_text(text.substitute({k: str(v) for k, v in values.items()}))
    arguments: list[str | Path] = [
        "-f",
        "-u",
        "_rspamd",
        "-g",
        "_rspamd",
        "-c",
        folder / "rspamd.conf",
    ]
    server = Server("rspamd", ["rspamd", *arguments], folder / "output")
    return _started(ground, server, sockets / "rspamd.sock")


def opendkim(ground: Ground, sockets: Path) -> Server:
    """opendkim as a verifier; started."""
    folder = ground.place("opendkim")
    settings = folder / "opendkim.conf"
    settings.write_text(
        f"Mode v\nSocket local:{sockets}/opendkim.sock\nUMask 000\nSyslog no\n"
        "SoftwareHeader yes\nAlwaysAddARHeader yes\n"
    )
    server = Server("opendkim", ["opendkim", "-f", "-x", settings], folder / "output")
    return _started(ground, server, sockets / "opendkim.sock")


def _started(ground: Ground, server: Server, socket: Path) -> Server:
    ground.started(server)
    eventually(lambda: accepts_unix(socket), _START, server.tail)
    return server
