"""A browser without a screen that shows pages as mail programs do, without scripts, and is asked.

One process for all pages. It is spoken to by the Chrome DevTools Protocol through its two pipes,
JSON with a zero byte at the end of each message, so that it listens on no port.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any

from tests.integration.stack.picture import Picture
from tests.integration.stack.programs import program

WIDTH, HEIGHT = 320, 240
_DEADLINE = 60.0
"""Seconds for one answer; each takes some 20 ms on a machine that does nothing else."""

_MOST = 1 << 16


class Browser:
    """Chromium; `folder` is for its profile."""

    def __init__(self, folder: Path) -> None:
        self._numbers = itertools.count(1)
        self._session, self._rest = "", b""
        # It reads descriptor 3 and writes 4. As root it does not start with its sandbox.
        words = [program("chromium-headless-shell"), "--remote-debugging-pipe", "--no-sandbox"]
        words += ["--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        words += [f"--user-data-dir={folder}"]
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", 'exec "$@" 3<&0 4>&1 <&- >&2', "sh", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        attached = self._ask("Target.attachToTarget", targetId=target, flatten=True)
        self._session = str(attached["sessionId"])
        self._ask("Page.enable")
        self._ask("Page.setLifecycleEventsEnabled", enabled=True)
        self._ask("Emulation.setScriptExecutionDisabled", value=True)
        size = {"width": WIDTH, "height": HEIGHT, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def close(self) -> None:
        """End it."""
        self._session = ""
        self._ask("Browser.close")
        self._process.communicate(timeout=_DEADLINE)

    def show(self, page: bytes, charset: str) -> None:
        """Load HTML in this charset."""
        encoded = base64.b64encode(page).decode()
        url = f"data:text/html;charset={charset};base64,{encoded}"
        loader = self._ask("Page.navigate", url=url)["loaderId"]
        while not _loaded(self._next(), loader):
            pass

    def prefer(self, scheme: str, *, forced: bool = False) -> None:
        """The colours that the user likes, `light` or `dark`; forced, whatever the page says."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self._ask("Emulation.setEmulatedMedia", features=[feature])
        self._ask("Emulation.setAutoDarkModeOverride", enabled=forced)

    def value(self, expression: str) -> Any:  # noqa: ANN401 - it is what the expression says
        """What a JavaScript expression about the page comes to."""
        answer = self._ask("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"]["value"]

    def picture(
        self, left: float = 0, top: float = 0, right: float = WIDTH, bottom: float = HEIGHT
    ) -> Picture:
        """What is seen of the page, or of a rectangle in it."""
        clip = {"x": left, "y": top, "width": right - left, "height": bottom - top, "scale": 1}
        taken = self._ask("Page.captureScreenshot", clip=clip)
        return Picture.of_png(base64.b64decode(taken["data"]))

    def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(message).encode() + b"\0")
        self._process.stdin.flush()
        while (answer := self._next()).get("id") != number:
            pass
        assert "error" not in answer, answer
        found: dict[str, Any] = answer["result"]
        return found

    def _next(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        pipe, end = self._process.stdout.fileno(), time.monotonic() + _DEADLINE
        while b"\0" not in self._rest:
            ready, _, _ = select.select([pipe], [], [], max(0.0, end - time.monotonic()))
            more = os.read(pipe, _MOST) if ready else b""
            assert more, f"the browser says nothing\n{self._log.read_text(errors='replace')}"
            self._rest += more
        message, _end, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


def _loaded(event: dict[str, Any], loader: str) -> bool:
    """Whether it tells that this page is there, and not one before it."""
    about = event.get("params", {})
    return (about.get("name"), about.get("loaderId")) == ("load", loader)
