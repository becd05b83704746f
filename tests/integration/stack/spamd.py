"""A private spamd under its own user: local tests only, and no rules but those of the folder."""

from __future__ import annotations

from pathlib import Path

from tests.integration.stack.ground import Ground, accepts, accepts_unix
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

USER = "debian-spamd"
_PLUGINS = "loadplugin Mail::SpamAssassin::Plugin::Check\n"
_RULES = """
util_rb_tld test example
body WORD_CASINO /casino/i
describe WORD_CASINO the word casino
score WORD_CASINO 3.5
body WORD_LOTTERY /lottery/i
describe WORD_LOTTERY the word lottery
score WORD_LOTTERY 3
body WORD_PILLS /pills/i
describe WORD_PILLS pills
score WORD_PILLS 4
header SAW_CLIENT X-Spam-Relays-External =~ /^\\[ ip=198\\.18\\.254\\.1 rdns=mx\\.\\S+ helo=helo\\./
describe SAW_CLIENT the client that Postfix told
score SAW_CLIENT 0.1
header SAW_SENDER EnvelopeFrom =~ /^alice\\@sender\\.example$/
describe SAW_SENDER the sender of the envelope
score SAW_SENDER 0.1
"""


class Spamd:
    """One spamd with two children, behind a port of 127.0.0.1 or a unix socket."""

    def __init__(self, ground: Ground, *, unix: bool = False) -> None:
        self._ground = ground
        self.folder = ground.place("spamd")
        self.folder.chmod(0o777)
        self.port = 0 if unix else ground.port()
        self.path = self.folder / "socket"
        self.address = f"unix:{self.path}" if unix else f"inet:127.0.0.1:{self.port}"
        for name, text in (("rules/10_test.cf", _RULES), ("site/init.pre", _PLUGINS)):
            (self.folder / name).parent.mkdir()
            (self.folder / name).write_text(text)
        listen: list[str | Path] = (
            [f"--socketpath={self.path}", "--socketmode=0666"]
            if unix
            else [f"--listen=127.0.0.1:{self.port}", "--allowed-ips=127.0.0.1"]
        )
        arguments = [
            *(program("spamd"), "--local", "--nouser-config", "--syslog=stderr"),
            *("--max-children=2", "--min-children=2"),
            *(f"--configpath={self.folder}/rules", f"--siteconfigpath={self.folder}/site"),
            f"--helper-home-dir={self.folder}",
            *listen,
        ]
        self.server = Server("spamd", arguments, self.folder / "output", user=USER)

    def start(self) -> None:
        """Start it and wait until it listens."""
        self._ground.started(self.server)
        eventually(self._accepts, 30, lambda: f"spamd is silent\n{self.server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()
        self.server.gone()

    def _accepts(self) -> bool:
        self.server.wants_running()
        return accepts(self.port) if self.port else accepts_unix(self.path)
