"""A private c-icap under its own user, whose service `avscan` asks a clamd."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from tests.integration.stack.clamd import Clamd
from tests.integration.stack.ground import Ground, accepts
from tests.integration.stack.process import Server
from tests.integration.stack.programs import need, program
from tests.waiting import eventually

USER = "c-icap"
_MODULES = Path("/usr/lib") / str(sysconfig.get_config_var("MULTIARCH")) / "c_icap"
_SETTINGS = """
PidFile {folder}/pid
CommandsSocket {folder}/control
StartServers 1
MaxServers 1
MinSpareThreads 1
MaxSpareThreads 8
ThreadsPerChild 8
Port 127.0.0.1:{port}
TmpDir {folder}
ModulesDir {modules}
ServicesDir {modules}
TemplateDir /usr/share/c_icap/templates/
LoadMagicFile /etc/c-icap/c-icap.magic
ServerLog {folder}/server.log
AccessLog {folder}/access.log
Service antivirus_module virus_scan.so
ServiceAlias avscan virus_scan?allow204=on&sizelimit=off&mode=simple
virus_scan.ScanFileTypes TEXT DATA EXECUTABLE ARCHIVE GRAPHICS STREAM DOCUMENT
virus_scan.DefaultEngine clamd
Module common clamd_mod.so
clamd_mod.ClamdHost 127.0.0.1
clamd_mod.ClamdPort {clamd}
"""


class Icap:
    """One c-icap; clamd must run before it, or it scans nothing and says that all is well."""

    def __init__(self, ground: Ground, clamd: Clamd) -> None:
        need("/usr/share/c_icap/templates/virus_scan/en/VIRUS_FOUND")
        self._ground = ground
        self.folder = ground.place("icap")
        self.folder.chmod(0o777)
        self.port = ground.port()
        self.address = f"inet:127.0.0.1:{self.port}"
        settings = _SETTINGS.format(
            folder=self.folder, port=self.port, modules=_MODULES, clamd=clamd.port
        )
        (self.folder / "c-icap.conf").write_text(settings)
        self.server = Server(
            "c-icap",
            [program("c-icap"), "-N", "-D", "-f", f"{self.folder}/c-icap.conf"],
            self.folder / "output",
            user=USER,
        )

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._ground.started(self.server)
        eventually(self._accepts, 30, lambda: f"c-icap is silent\n{self.server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()
        self.server.gone()

    def _accepts(self) -> bool:
        self.server.wants_running()
        return accepts(self.port)
