"""What every test gets: the packages of the repository, importable by their own names."""

from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from hypothesis.internal.conjecture import providers

# How long an example takes is for the benchmarks to say: here it depends on who else runs. The
# examples are the same in every run, so that a change meets only what it broke itself; `make
# explore` looks for new ones.
hypothesis.settings.register_profile("iems", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=1000)
hypothesis.settings.load_profile("iems")

ROOT = Path(__file__).resolve().parents[1]

_ALONE = {
    f"tests/integration/test_{name}.py"
    for name in ("browser", "checked", "content", "init_scripts", "readers", "serve")
}
"""Those that share no server with others."""

# The environment of a developer need not have the suite installed; the tests mean this tree.
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))


def pytest_configure(config: pytest.Config) -> None:
    """Nothing is drawn by the constants of modules: which are loaded hangs on the tests before."""
    if not config.getoption("--hypothesis-profile"):
        pytest.MonkeyPatch().setattr(providers, "is_local_module_file", lambda _path: False)


@pytest.hookimpl(optionalhook=True, wrapper=True)
def pytest_xdist_make_scheduler(config: pytest.Config) -> Generator[None, Any, Any]:
    """`--dist loadscope`: one process has all tests that share servers, another one the rest."""
    scheduler = yield
    if config.getoption("dist") == "loadscope":
        scheduler._split_scope = _scope
    return scheduler


def _scope(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    shares = file.startswith("tests/integration/test_") and file not in _ALONE
    return "servers" if shares else file


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes that are no text have the argument's name: some are made anew, and hold the time."""
    text = isinstance(val, bytes) and all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in val)
    return argname if isinstance(val, bytes) and not text else None


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--record`: the golden cases write down what happens instead of comparing it."""
    parser.addoption("--record", action="store_true", help="record the golden cases anew")
