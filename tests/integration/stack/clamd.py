"""A private clamd under its own user, which knows the samples of the tests and nothing else."""

from __future__ import annotations

import hashlib

from iems.model.server import Server as Address
from iems.serve.deadline import Deadline
from milters.engines.clamd import Clamd as Client
from milters.engines.scanner import EICAR
from tests.integration.stack.ground import Ground
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.samples import SYNTHETIC
from tests.waiting import eventually

USER = "clamav"
STREAM = 4 << 20
"""Bytes of StreamMaxLength."""

_SETTINGS = """
Foreground yes
DatabaseDirectory {folder}/signatures
{listen}
StreamMaxLength {stream}
MaxThreads 4
AlertEncrypted yes
AlertExceedsMax yes
"""


class Clamd:
    """One clamd, behind a port of 127.0.0.1 or a unix socket; `folder` holds its signatures."""

    def __init__(self, ground: Ground, *, unix: bool = True) -> None:
        self._ground = ground
        self.folder = ground.place("clamd")
        self.folder.chmod(0o777)
        self.port = 0 if unix else ground.port()
        self.address = f"unix:{self.folder}/socket" if unix else f"inet:127.0.0.1:{self.port}"
        listen = (
            f"LocalSocket {self.folder}/socket\nLocalSocketMode 666"
            if unix
            else f"TCPSocket {self.port}\nTCPAddr 127.0.0.1"
        )
        settings = _SETTINGS.format(folder=self.folder, listen=listen, stream=STREAM)
        (self.folder / "clamd.conf").write_text(settings)
        signatures = self.folder / "signatures"
        signatures.mkdir()
        (signatures / "test.ndb").write_text(f"Test.Eicar:0:*:{EICAR.hex()}\n")
        digest = hashlib.md5(SYNTHETIC, usedforsecurity=False).hexdigest()
        (signatures / "test.hdb").write_text(f"{digest}:{len(SYNTHETIC)}:Test.Synthetic\n")
        self.server = Server(
            "clamd",
            [program("clamd"), f"--config-file={self.folder}/clamd.conf"],
            self.folder / "output",
            user=USER,
        )

    def start(self) -> None:
        """Start it and wait until it has read its signatures and answers."""
        self._ground.started(self.server)
        eventually(self._answers, 30, lambda: f"clamd is silent\n{self.server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()
        self.server.gone()

    def _answers(self) -> bool:
        self.server.wants_running()
        return Client(Address.parse(self.address)).ping(Deadline.after(5)) == ""
