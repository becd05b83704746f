"""How this host reaches the package registries, carried over to the machines that are booted on it.

Read from the host's own client configuration: apt's Debian sources, the bundle of certificates,
pip's configuration with the local folders that it names, and the variables of both. Nothing else
of the host goes into a machine, and no address of a registry stands in this code.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
VARIABLES = re.compile(r"PIP_\w+|SSL_CERT_FILE|SSL_CERT_DIR|https?_proxy|no_proxy", re.IGNORECASE)


class HostError(Exception):
    """The host's configuration does not say how Debian's packages are reached."""


@dataclass(frozen=True, slots=True)
class DebianSources:
    """Where this host has Debian's packages from: the archive's URI and the one of security."""

    suite: str
    mirror: str
    security: str

    def text(self) -> str:
        """The machine's `/etc/apt/sources.list`."""
        lines = [
            f"deb {self.mirror} {self.suite} main",
            f"deb {self.mirror} {self.suite}-updates main",
        ]
        if self.security:
            lines.append(f"deb {self.security} {self.suite}-security main")
        return "\n".join(lines) + "\n"


def debian_sources(suite: str, apt: Path = Path("/etc/apt")) -> DebianSources:
    """The host's Debian sources turned to `suite`; HostError if it has none."""
    own = _codename()
    mirror = security = ""
    for uri, name in _sources(apt):
        if name == own:
            mirror = mirror or uri
        elif name == f"{own}-security":
            security = security or uri
    if not mirror:
        raise HostError(f"{apt}/sources.list and {apt}/sources.list.d name no source of {own}")
    return DebianSources(suite, mirror, security)


def variables(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables of the host's environment by which its clients reach the registries."""
    return {name: value for name, value in environ.items() if VARIABLES.fullmatch(name)}


def client_files() -> tuple[Path, ...]:
    """The files of the host that its clients read and that a machine gets a copy of."""
    files = [CERTIFICATES, *_pip_files(), *Path("/etc/apt/apt.conf.d").glob("*proxy*")]
    files += [path for path in map(Path, _pip_values()) if path.is_file()]
    return tuple(dict.fromkeys(path for path in files if path.is_file()))


def client_folders() -> tuple[Path, ...]:
    """The folders with packages that pip's configuration names; bound into a machine, read-only."""
    folders = []
    for value in _pip_values():
        index = value.startswith("file://")
        path = Path(value.removeprefix("file://"))
        if path.is_dir():
            # The pages of a local index point to files beside it ("../../files/").
            folders.append(path.parent if index else path)
    return tuple(dict.fromkeys(folders))


def carry_over(tree: Path, sources: DebianSources) -> None:
    """Write the client configuration into the machine whose root is `tree`."""
    (tree / "etc/apt/sources.list").write_text(sources.text())
    for path in client_files():
        target = tree / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def _codename() -> str:
    release = Path("/etc/os-release").read_text()
    found = re.search(r"^VERSION_CODENAME=(\S+)$", release, re.MULTILINE)
    if not found:
        raise HostError("/etc/os-release names no VERSION_CODENAME: is this host a Debian?")
    return found[1].strip('"')


def _sources(apt: Path) -> Iterator[tuple[str, str]]:
    """Pairs of URI and suite, from both formats of apt (sources.list(5))."""
    for path in sorted([apt / "sources.list", *apt.glob("sources.list.d/*.list")]):
        if path.is_file():
            for line in path.read_text().splitlines():
                found = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", line)
                if found:
                    yield found[1], found[2]
    for path in sorted(apt.glob("sources.list.d/*.sources")):
        for paragraph in re.split(r"\n\s*\n", path.read_text()):
            fields = dict(re.findall(r"^([\w-]+):[ \t]*(.*)$", paragraph, re.MULTILINE))
            for uri in fields.get("URIs", "").split():
                for suite in fields.get("Suites", "").split():
                    yield uri, suite


def _pip_files() -> Iterator[Path]:
    """Where pip looks (pip's "Configuration Files", Unix), in its order."""
    yield from map(Path, ("/etc/xdg/pip/pip.conf", "/etc/pip.conf"))
    yield Path.home() / ".pip/pip.conf"
    yield Path.home() / ".config/pip/pip.conf"
    if named := os.environ.get("PIP_CONFIG_FILE"):
        yield Path(named)


def _pip_values() -> Iterator[str]:
    """Every value of pip's configuration that begins like a path of this host."""
    values = [value for name, value in variables().items() if name.startswith("PIP_")]
    for path in _pip_files():
        parser = configparser.RawConfigParser()
        parser.read(path)
        values += [value for section in parser.sections() for _key, value in parser.items(section)]
    for value in values:
        yield from (word for word in value.split() if word.startswith(("/", "file:///")))
