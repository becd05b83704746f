"""All daemons have one command line."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import lmtp.learning.main
import lmtp.main
import milters.main


@pytest.mark.parametrize("daemon", [milters.main, lmtp.main, lmtp.learning.main])
def test_wrong_settings_end_each_daemon_with_78_and_its_name(
    daemon: object,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    main: Callable[[list[str]], int] = vars(daemon)["main"]
    name: str = vars(daemon)["NAME"]
    assert main(["--settings", str(tmp_path / "none.toml"), "--foreground-log"]) == 78
    assert f"{name}: " in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["--help"])
    assert {"--settings", "--foreground-log", "--pid-file"} <= set(capsys.readouterr().out.split())
