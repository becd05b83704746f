"""A private slapd: configured in cn=config from LDIF, on a loopback port and an ldapi socket.

The configuration is loaded offline (`slapadd -n0`), as the playbook checks it, and so is the data.
The administrator of the whole tree is `cn=root,BASE` with the password below. Its log has a line
for every operation unless told otherwise, so that who asked how often can be counted.
"""

from __future__ import annotations

import re
import urllib.parse
from collections import Counter
from pathlib import Path

from tests.integration.stack.ground import Ground, accepts, owned
from tests.integration.stack.process import Server
from tests.integration.stack.programs import need, program, run
from tests.waiting import eventually

BASE = "o=iems"
ROOT_DN = f"cn=root,{BASE}"
ROOT_PASSWORD = "root of the test tree"

SCHEMAS = tuple(f"/etc/ldap/schema/{name}.ldif" for name in ("core", "cosine", "inetorgperson"))

_OPERATION = re.compile(r"conn=(\d+) op=\d+ ")
"""What the account of an operation begins with; a line that is cut off loses its end."""

_CONFIG = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid
olcLogLevel: stats

dn: cn=module{{0}},cn=config
objectClass: olcModuleList
cn: module{{0}}
olcModulePath: /usr/lib/ldap
{modules}

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

{schemas}

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend

dn: olcDatabase={{0}}config,cn=config
objectClass: olcDatabaseConfig
olcDatabase: {{0}}config
olcAccess: {{0}}to * by dn.exact=gidNumber=0+uidNumber=0,cn=peercred,cn=external,cn=auth manage

dn: olcDatabase={{1}}mdb,cn=config
objectClass: olcDatabaseConfig
objectClass: olcMdbConfig
olcDatabase: {{1}}mdb
olcSuffix: {base}
olcRootDN: {root}
olcRootPW: {password}
olcDbDirectory: {folder}/data
olcDbMaxSize: 1073741824
olcDbNoSync: TRUE
{database}
"""

_TOP = f"""\
dn: {BASE}
objectClass: organization
o: iems
"""


class Slapd:
    """One instance; `uri` is its loopback address, `ldapi` the one of its unix socket.

    `schemas` are LDIF files of cn=schema, `modules` names such as `argon2`, `database` further
    lines of the database's entry (access, indices), `data` the tree, `log` a level of its log.
    """

    def __init__(
        self,
        ground: Ground,
        *,
        schemas: tuple[str | Path, ...] = (),
        modules: tuple[str, ...] = (),
        database: str = "",
        data: str = _TOP,
        log: str = "stats",
    ) -> None:
        need("slapd", "slapadd")
        self._ground = ground
        self.folder = ground.place("slapd")
        self._port = ground.port()
        self.socket = self.folder / "ldapi"
        self.uri = f"ldap://127.0.0.1:{self._port}"
        self.ldapi = f"ldapi://{urllib.parse.quote(str(self.socket), safe='')}"
        self._config = self.folder / "slapd.d"
        self._write(schemas, modules, database, data)
        run("chown", "-R", "openldap:openldap", self.folder)
        self._server = Server("slapd", self._arguments(log), self.folder / "output")

    def start(self) -> None:
        """Start it, also again after `stop`, and wait until it accepts."""
        self._ground.started(self._server)
        eventually(self._accepts, 15, lambda: f"slapd does not listen\n{self._server.tail()}")

    def stop(self) -> None:
        """Stop it; the tree stays."""
        self._server.stop()
        self._server.gone()

    def kill(self) -> None:
        """Kill every process of it at once; the tree stays."""
        self._server.kill()

    def pause(self) -> None:
        """Let it hang."""
        self._server.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._server.resume()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._server.pid

    def configure(self, ldif: str) -> None:
        """Apply changes to cn=config."""
        run("ldapmodify", "-Q", "-Y", "EXTERNAL", "-H", self.ldapi, text=ldif)

    def add(self, ldif: str) -> None:
        """Add entries as the administrator of the tree."""
        self._as_root("ldapadd", ldif)

    def modify(self, ldif: str) -> None:
        """Apply changes as the administrator of the tree."""
        self._as_root("ldapmodify", ldif)

    def delete(self, dn: str) -> None:
        """Delete an entry and everything beneath it."""
        self._as_root("ldapdelete", "", "-r", dn)

    def log(self) -> str:
        """The end of its log."""
        return self._server.tail()

    def searches(self, about: str = "") -> Counter[str]:
        """How many searches each has sent so far, by the name that he bound as.

        `about` is a text that the filter begins with, or nearly so: slapd cuts long ones off.
        """
        bound: dict[str, str] = {}
        found: Counter[str] = Counter()
        _head, *pieces = _OPERATION.split(self._server.log.read_text(errors="replace"))
        for number, told in zip(pieces[::2], pieces[1::2], strict=True):
            if told.startswith('BIND dn="') and " method=" in told:
                bound[number] = told.split('"')[1]
            elif told.startswith("SRCH base=") and about in told:
                found[bound.get(number, "")] += 1
        return found

    def _as_root(self, name: str, text: str, *options: str) -> None:
        run(
            *(name, "-x", "-H", self.uri, "-D", ROOT_DN, "-w", ROOT_PASSWORD),
            *options,
            text=text,
        )

    def _arguments(self, log: str) -> list[str]:
        return [
            *(program("slapd"), "-F", str(self._config), "-h", f"{self.uri}/ {self.ldapi}"),
            *("-u", "openldap", "-g", "openldap", "-d", log),
        ]

    def _write(
        self, schemas: tuple[str | Path, ...], modules: tuple[str, ...], database: str, data: str
    ) -> None:
        for folder in (self._config, self.folder / "data"):
            folder.mkdir()
            owned(folder, "openldap", "openldap", 0o750)
        files = (*SCHEMAS, *(str(schema) for schema in schemas))
        loads = ("back_mdb", *modules)
        config = _CONFIG.format(
            folder=self.folder,
            base=BASE,
            root=ROOT_DN,
            password=ROOT_PASSWORD,
            modules="\n".join(f"olcModuleLoad: {name}" for name in loads),
            schemas="\n\n".join(Path(file).read_text().strip() for file in files),
            database=database.strip(),
        )
        run("slapadd", "-n0", "-F", self._config, text=config)
        run("slapadd", "-n1", "-F", self._config, text=data)

    def _accepts(self) -> bool:
        self._server.wants_running()
        return accepts(self._port)
