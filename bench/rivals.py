"""Other filters that do like work, on the same Postfix, lists and resolver.

rspamd asks the same four blacklists and adds a header (`bench/rspamd.conf`; nothing else in it is
on), or does what the pass-through stage does (`bench/passthrough.conf`). opendkim, written in C on
the same libmilter as ours, verifies messages that carry no signature and adds a header: about the
least that any milter costs. amavisd-new (`bench/amavisd.conf`) stands before the queue as a proxy,
spamass-milter hands each message to a spamd of its own; both have SpamAssassin of the same settings
(`bench/spamassassin.cf`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bench.names import ZONES
from tests.integration.stack.ground import Ground, accepts, accepts_unix, owned
from tests.integration.stack.process import Server
from tests.waiting import eventually

HEADERS = {
    "rspamd": b"\nX-Spamd-Result:",
    "opendkim": b"\nDKIM-Filter:",
    "amavisd-new": b"\nX-Spam-Status:",
    "spamass-milter": b"\nX-Spam-Status:",
}
"""By name, the field by which delivered mail shows that it was taken."""

LISTED = b"LISTED_"
"""In rspamd's header where a list lists the client."""

PROCESSES = 4
"""Messages that SpamAssassin scans at once: two a core, for it waits for answers."""

_START = 60.0
"""Seconds; rspamd compiles its list of public suffixes at each start."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Ports of a filter before the queue: of itself, and where it gives the message back."""

    port: int
    back: int


@dataclass(frozen=True, slots=True)
class Place:
    """What they stand on: `sockets` is where Postfix reaches them, `rspamd` its settings file.

    `amavisd` are further lines of amavisd-new's settings.
    """

    ground: Ground
    sockets: Path
    dns: int
    rspamd: str
    proxy: Proxy
    amavisd: str = ""


def listens(name: str, proxy: Proxy) -> Mapping[str, str]:
    """How a listener of Postfix asks it."""
    if name == "amavisd-new":
        return {
            "smtpd_proxy_filter": f"127.0.0.1:{proxy.port}",
            "smtpd_proxy_options": "speed_adjust",
        }
    return {"smtpd_milters": f"unix:iems/{name}.sock"}


def started(name: str, place: Place) -> Sequence[Server]:
    """Its servers, each of which answers; the last is to be stopped first."""
    kinds = {
        "rspamd": _rspamd,
        "opendkim": _opendkim,
        "amavisd-new": _amavisd,
        "spamass-milter": _spamass_milter,
    }
    place.sockets.chmod(0o2777)
    return kinds[name](place)


def _rspamd(place: Place) -> Sequence[Server]:
    """Its proxy worker as a milter, two processes that scan themselves."""
    folder = _folder(place, "rspamd")
    lists = "\n".join(
        f'    {label} {{ rbl = "{zone}"; checks = ["from"]; ipv6 = false; '
        "exclude_local = false; exclude_private_ips = false; exclude_users = false; "
        f'symbol = "LISTED_{label.upper()}"; }}'
        for label, zone in _labels().items()
    )
    socket = place.sockets / "rspamd.sock"
    values = {"folder": folder, "socket": socket, "dns": place.dns, "lists": lists}
    settings = _filled(place.rspamd, folder / "rspamd.conf", **values)
    arguments: list[str | Path] = ["-f", "-u", "_rspamd", "-g", "_rspamd", "-c", settings]
    return (_server(place, ["rspamd", *arguments], folder, socket),)


def _opendkim(place: Place) -> Sequence[Server]:
    """A verifier."""
    folder, socket = _folder(place, "opendkim"), place.sockets / "opendkim.sock"
    settings = folder / "opendkim.conf"
    settings.write_text(
        f"Mode v\nSocket local:{socket}\nUMask 000\nSyslog no\n"
        "SoftwareHeader yes\nAlwaysAddARHeader yes\n"
    )
    return (_server(place, ["opendkim", "-f", "-x", settings], folder, socket),)


def _amavisd(place: Place) -> Sequence[Server]:
    """A proxy of four processes, each with SpamAssassin in it."""
    folder = _folder(place, "amavisd")
    # What holds its settings must not be its own.
    home = folder / "home"
    for own in (home, home / "tmp", home / "db"):
        own.mkdir()
        owned(own, "amavis", "amavis", 0o750)
    folder.chmod(0o755)
    values = {
        "home": home,
        "spamassassin": _spamassassin(place, folder, "Return-Path"),
        "port": place.proxy.port,
        "back": place.proxy.back,
        "more": place.amavisd,
    }
    settings = owned(
        _filled("amavisd.conf", folder / "amavisd.conf", **values), "root", "root", 0o644
    )
    command: list[str | Path] = ["amavisd", "-c", settings, "foreground"]
    return (_server(place, command, folder, place.proxy.port),)


def _spamass_milter(place: Place) -> Sequence[Server]:
    """A spamd of four processes, and the milter that starts spamc for each message."""
    folder, port = _folder(place, "spamass"), place.ground.port()
    settings = _spamassassin(place, folder, "X-Envelope-From")
    spamd: list[str | Path] = [
        *("spamd", f"--listen=127.0.0.1:{port}", "--allowed-ips=127.0.0.1", "--nouser-config"),
        *("--syslog=stderr", f"--max-children={PROCESSES}", f"--min-children={PROCESSES}"),
        *(f"--configpath={settings}", f"--siteconfigpath={settings}"),
        f"--helper-home-dir={folder}",
    ]
    scanner = _server(place, spamd, folder, port, user="debian-spamd")
    socket = place.sockets / "spamass-milter.sock"
    milter: list[str | Path] = ["spamass-milter", "-p", socket, "-m", "--", "-d", "127.0.0.1"]
    server = _server(
        place,
        [*milter, "-p", str(port)],
        _folder(place, "spamass-milter"),
        socket,
        "spamass-milter",
    )
    socket.chmod(0o666)
    return scanner, server


def _spamassassin(place: Place, folder: Path, envelope: str) -> Path:
    """Its settings, in a folder of their own, as it wants it; `envelope` is a field."""
    rules = "\n".join(
        f"header LISTED_{label.upper()} eval:check_rbl('{label}-lastexternal', '{zone}.')\n"
        f"tflags LISTED_{label.upper()} net\nscore LISTED_{label.upper()} 0.01"
        for label, zone in _labels().items()
    )
    inside = folder / "spamassassin"
    inside.mkdir()
    _filled("spamassassin.cf", inside / "bench.cf", dns=place.dns, lists=rules, envelope=envelope)
    return inside


def _labels() -> dict[str, str]:
    return {zone.partition(".")[0]: zone for zone in ZONES}


def _folder(place: Place, name: str) -> Path:
    folder = place.ground.place(name)
    folder.chmod(0o777)
    return folder


def _filled(name: str, to: Path, **values: object) -> Path:
    text = Template((Path(__file__).parent / name).read_text())
    to.write_text(text.substitute({key: str(value) for key, value in values.items()}))
    return to


def _server(
    place: Place, command: Sequence[str | Path], folder: Path, where: Path | int, user: str = ""
) -> Server:
    """Started; it listens on a socket or a port."""
    server = Server(str(command[0]), command, folder / "output", user=user)
    place.ground.started(server)

    def listens() -> bool:
        server.wants_running()
        return accepts_unix(where) if isinstance(where, Path) else accepts(where)

    eventually(listens, _START, server.tail)
    return server
