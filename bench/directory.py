"""A directory of many users: how long a bulk load takes, what it holds, how fast it answers.

slapd as deployed, every write synced to the disk. All users stand in one domain, which is the
harder case: a domain is what `iems` lists and exports in one search. Each has a name, a ready hash
and two policies. `slapadd -q` of the same tree, with slapd stopped, is the floor.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from bench import names
from bench.suite import REPOSITORY
from iems.directory.cache import CachedDirectory
from iems.directory.reader import Directory
from iems.directory.resolve import resolve
from iems.directory.table import csv_row
from iems.directory.tree import TreeDirectory
from iems.model.address import Address
from iems.serve.deadline import Deadline
from iems.serve.status import resident
from tests.integration.directory import tree
from tests.integration.stack.ground import Ground
from tests.integration.stack.programs import program
from tests.integration.stack.slapd import Slapd

USERS = 100_000
DOMAIN = "many.test"
THREADS = 4
_LOOKUPS = 5000
_POLICY = ("dnsbl/open listed choice junk", "iprev mismatch choice tag")
_HASH = "{SSHA}vn5Z9lt0RUDzQd0XCmr2gu0nBPNzYWx0"

_SETTINGS = """\
version = 1
hostname = "mail.example.test"
postmaster = "postmaster@example.test"
[directory]
uri = "{uri}"
[admin]
ldap_password_file = "{password}"
[checks.iprev]
mode = "delegate"
[checks.dnsbl.open]
zone = "open.bl.test"
mode = "delegate"
"""


@dataclass(frozen=True, slots=True)
class Ran:
    """One run of a program: seconds, and the most memory that it held, in bytes."""

    seconds: float
    memory: int

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s, {_mebibytes(self.memory)}"


def measure(_rounds: int, _messages: int) -> str:
    """Run everything; the table."""
    ground = Ground()
    server = tree.start(ground, log="none")
    try:
        lines = _measured(ground, server)
    finally:
        server.stop()
        ground.close()
    return "\n".join(
        [f"## A directory of {USERS:,} users", "", "| | |", "| --- | --- |", *lines, ""]
    )


def _measured(ground: Ground, server: Slapd) -> list[str]:
    server.configure(
        "dn: olcDatabase={1}mdb,cn=config\nchangetype: modify\n"
        "replace: olcDbNoSync\nolcDbNoSync: FALSE\n"
    )
    folder = ground.place("table")
    table = _table(folder / "users.csv")
    password = tree.write(folder / "ldap-admin", tree.password("admin") + "\n")
    settings = tree.write(
        folder / "iems.toml", _SETTINGS.format(uri=server.ldapi, password=password)
    )
    server.add(tree.domain(DOMAIN))
    empty = resident(server.pid)
    told: dict[str, object] = {}
    told["`iems user import`"] = _iems(settings, "import", table)
    told["the same file again"] = _iems(settings, "import", table)
    told["slapd afterwards (empty before)"] = (
        f"{_mebibytes(resident(server.pid))} ({_mebibytes(empty)}), the mapped file included"
    )
    data = server.folder / "data/data.mdb"
    told["its file"] = _mebibytes(data.stat().st_blocks * 512)
    told["`iems user export`"] = _iems(settings, "export", DOMAIN, into=folder / "out.csv")
    assert len((folder / "out.csv").read_bytes().splitlines()) == 2 * USERS + 1
    told.update(_asked(server))
    server.stop()
    told["`slapadd -q` of the same"] = _slapadd(server, folder / "all.ldif")
    server.start()
    return [f"| {name} | {value} |" for name, value in told.items()]


def _table(path: Path) -> Path:
    columns = ("address", "name", "password_hash", "policy")
    with path.open("wb") as file:
        file.write(csv_row([one] for one in columns))
        for number in range(USERS):
            cells = ([_user(number)], [f"Nützer {number}"], [_HASH], _POLICY)
            file.write(csv_row(cells))
    return path


def _user(number: int) -> str:
    return f"user{number}@{DOMAIN}"


def _iems(settings: Path, verb: str, what: Path | str, into: Path = Path(os.devnull)) -> Ran:
    call = "import sys; from cli.main import main; sys.exit(main())"
    words: list[str | Path] = ["--settings", settings, "user", verb, what]
    with into.open("wb") as out:
        return _ran([sys.executable, "-c", call, *words], out.fileno())


def _slapadd(server: Slapd, ldif: Path) -> Ran:
    """All of the tree out with slapcat(8), and in again."""
    config = server.folder / "slapd.d"
    with ldif.open("wb") as out:
        _ran([program("slapcat"), "-n1", "-F", config], out.fileno())
    for path in (server.folder / "data").iterdir():
        path.unlink()
    ran = _ran([program("slapadd"), "-q", "-n1", "-F", config, "-l", ldif])
    subprocess.run(["chown", "-R", "openldap:openldap", server.folder / "data"], check=True)
    return ran


def _ran(command: list[str | Path], out: int = subprocess.DEVNULL) -> Ran:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=out, env=environment)
    _pid, status, used = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    ran = Ran(seconds, used.ru_maxrss << 10)
    print(f"{' '.join(str(word) for word in command[-3:])}: {ran}", flush=True)
    return ran


def _asked(server: Slapd) -> dict[str, str]:
    """How many addresses a second `resolve` finds the users of."""
    directory = TreeDirectory(tree.store(server, "milter", THREADS), 30.0, lambda _note: None)
    draw = random.Random(names.SEED)
    wanted = [Address.parse(_user(draw.randrange(USERS))) for _lookup in range(_LOOKUPS)]
    cached = CachedDirectory(directory, 3600.0)
    _rate(cached, wanted, 1)
    batches = [wanted[at : at + 50] for at in range(0, _LOOKUPS, 50)]
    began = time.perf_counter()
    for batch in batches:
        assert directory.find(batch, Deadline.after(30))
    together = _LOOKUPS / (time.perf_counter() - began)
    return {
        "look-ups, one after another": f"{_rate(directory, wanted, 1):,.0f}/s",
        f"look-ups, {THREADS} threads": f"{_rate(directory, wanted, THREADS):,.0f}/s",
        "look-ups, 50 at once": f"{together:,.0f}/s",
        "look-ups, remembered": f"{_rate(cached, wanted, 1):,.0f}/s",
    }


def _rate(directory: Directory, wanted: list[Address], threads: int) -> float:
    def one(address: Address) -> None:
        [found] = resolve(directory, address, Deadline.after(30))
        assert found.user

    with ThreadPoolExecutor(threads) as pool:
        began = time.perf_counter()
        list(pool.map(one, wanted))
        return len(wanted) / (time.perf_counter() - began)


def _mebibytes(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"
