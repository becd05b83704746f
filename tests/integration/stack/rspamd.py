"""A private rspamd: one normal worker, and no rules but those written here."""

from __future__ import annotations

from tests.integration.stack.ground import Ground, accepts, accepts_unix
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

USER = "_rspamd"
_CONFIG = """
options {{
  filters = [];
  dns {{ nameserver = ["127.0.0.1:{dns}"]; }}
  tempdir = "{folder}";
  pidfile = "{folder}/rspamd.pid";
  local_addrs = [];
  history_file = "{folder}/history";
}}
logging {{ type = "console"; level = "warning"; }}
lua = "{folder}/rules.lua";
actions {{ add_header = 6; reject = 15; }}
worker "normal" {{ bind_socket = "{listen}"; count = 1; }}
"""
_RULES = """
local function word(name, score, text)
  rspamd_config:register_symbol({
    name = name, score = score,
    callback = function(task)
      return tostring(task:get_rawbody()):lower():find(text) ~= nil
    end
  })
end
word('WORD_CASINO', 3.5, 'casino')
word('WORD_LOTTERY', 3.0, 'lottery')
word('WORD_PILLS', 4.0, 'pills')
rspamd_config:register_symbol({
  name = 'SAW_CLIENT', score = 0.1,
  callback = function(task)
    return tostring(task:get_from_ip()) == '198.18.254.1'
      and task:get_helo() == 'helo.sender.example' and task:get_hostname() == 'mx.sender.example'
  end
})
rspamd_config:register_symbol({
  name = 'SAW_SENDER', score = 0.1,
  callback = function(task)
    local from = task:get_from('smtp')
    return from ~= nil and from[1].addr == 'alice@sender.example'
  end
})
"""


class Rspamd:
    """One rspamd, behind a port of 127.0.0.1 or a unix socket."""

    def __init__(self, ground: Ground, *, unix: bool = False) -> None:
        self._ground = ground
        self.folder = ground.place("rspamd")
        self.folder.chmod(0o777)
        self.port = 0 if unix else ground.port()
        self.path = self.folder / "socket"
        self.address = f"unix:{self.path}" if unix else f"inet:127.0.0.1:{self.port}"
        (self.folder / "rules.lua").write_text(_RULES)
        config = self.folder / "rspamd.conf"
        listen = f"{self.path} mode=0666" if unix else f"127.0.0.1:{self.port}"
        # Nothing is asked of the DNS: no rule does.
        config.write_text(_CONFIG.format(folder=self.folder, listen=listen, dns=ground.port()))
        arguments = [program("rspamd"), "-f", "-u", USER, "-g", USER, "-c", str(config)]
        self.server = Server("rspamd", arguments, self.folder / "output")

    def start(self) -> None:
        """Start it and wait until it listens; it compiles its list of public suffixes first."""
        self._ground.started(self.server)
        eventually(self._accepts, 50, lambda: f"rspamd is silent\n{self.server.tail()}")

    def stop(self) -> None:
        """Stop it."""
        self.server.stop()
        self.server.gone()

    def _accepts(self) -> bool:
        self.server.wants_running()
        return accepts(self.port) if self.port else accepts_unix(self.path)
