"""A private Prometheus that scrapes one text every second."""

from __future__ import annotations

import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.integration.stack.ground import Ground
from tests.integration.stack.process import Server
from tests.integration.stack.programs import program
from tests.waiting import eventually

_CONFIG = """\
global: {{ scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s }}
rule_files: ["{rules}"]
scrape_configs:
  - job_name: iems
    static_configs: [{{ targets: ["127.0.0.1:{port}"] }}]
"""

_RENEWED = 0.3
"""Seconds between two texts."""


class Prometheus:
    """The server, and the page that it scrapes: what `text` gave last, which is asked on and on.

    A program that gives it may take longer to start than a scrape has time on a busy machine.
    """

    def __init__(self, ground: Ground, text: Callable[[], bytes], rules: Path) -> None:
        self._ground = ground
        self._text, self._shown = text, b""
        page = _handler(lambda: self._shown)
        self._page = ThreadingHTTPServer(("127.0.0.1", ground.port()), page)
        self._thread = threading.Thread(target=self._page.serve_forever, daemon=True)
        self._over = threading.Event()
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._port = ground.port()
        folder = ground.place("prometheus")
        config = folder / "prometheus.yml"
        config.write_text(_CONFIG.format(rules=rules, port=self._page.server_address[1]))
        arguments = [
            program("prometheus"),
            f"--config.file={config}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{self._port}",
        ]
        self._server = Server("prometheus", arguments, folder / "output")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self._shown = self._text()
        self._thread.start()
        self._renewer.start()
        self._ground.started(self._server)
        eventually(self._ready, 20, self._server.tail)

    def stop(self) -> None:
        """Stop it, and the page."""
        self._server.stop()
        self._server.gone()
        self._over.set()
        self._renewer.join(timeout=50)
        self._page.shutdown()
        self._page.server_close()
        self._thread.join(timeout=10)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The instant vector of an expression; RuntimeError where it is none."""
        result: list[dict[str, Any]] = self._asked("query", query=expression)["result"]
        return result

    def rules(self) -> list[dict[str, Any]]:
        """The alerting rules as they were read."""
        return [rule for group in self._asked("rules")["groups"] for rule in group["rules"]]

    def _renew(self) -> None:
        while not self._over.wait(_RENEWED):
            self._shown = self._text()

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def _asked(self, what: str, **values: str) -> dict[str, Any]:
        words = urllib.parse.urlencode(values)
        url = f"http://127.0.0.1:{self._port}/api/v1/{what}?{words}"
        with urllib.request.urlopen(url, timeout=10) as answer:
            told = json.load(answer)
        if told["status"] != "success":
            raise RuntimeError(told["error"])
        found: dict[str, Any] = told["data"]
        return found


def _handler(text: Callable[[], bytes]) -> type[BaseHTTPRequestHandler]:
    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = text()
            self.send_response(200)
            self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Nothing is logged."""

    return Page
