"""What every module has to keep, and what no test may do."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.conftest import ROOT
from tests.qa.source import PACKAGES, modules, name, tracked, tree

OURS = modules(*PACKAGES)
ALL = (*OURS, *modules("tests", "bench", "scripts"))

_LINES = 400
"""The longest a module may be; most have 50 to 300 lines."""

_NOT_IN_TESTS = {
    "pytest.skip": "a test that cannot run has not passed",
    "pytest.xfail": "a test that is expected to fail says nothing",
    "pytest.importorskip": "what is missing is an error",
    "pytest.mark.skip": "a test that does not run has not passed",
    "pytest.mark.skipif": "a test that does not run has not passed",
    "pytest.mark.xfail": "a test that is expected to fail says nothing",
    "pytest.mark.flaky": "a flake is a defect",
    "time.sleep": "wait with tests.waiting.eventually",
    "unittest.skip": "a test that does not run has not passed",
}

_TIME_OF_DAY = {
    "cli.alike": "compared with the time at which a message came",
    "cli.bayes.status": "compared with the times of a journal",
    "cli.edit.sign": "told in a signature",
    "cli.postfix": "compared with the time of a file",
    "cli.quarantine": "told in a token",
    "cli.rehearsal": "told in records and findings",
    "cli.witness": "told in findings",
    "iems.backup.archive": "told in the manifest",
    "iems.dns.spf": "told in an explanation, by the macro t",
    "iems.notices.digest": "compared with the times of records, and told",
    "iems.notices.outages": "at most one notice of a server a day, over restarts",
    "iems.notices.passwords": "compared with the end of a password",
    "iems.notices.shadow": "outlives the process: one notice a day",
    "iems.notices.viruses": "outlives the process: one notice a person an hour",
    "iems.serve.children": "told in the status",
    "iems.serve.meter": "told of an error",
    "iems.serve.status": "compared with what was told",
    "iems.serve.supervisor": "told in the status",
    "iems.store.counterfile": "outlives the process: compared with the times of counts",
    "iems.store.expiry": "compared with the times of files and records",
    "iems.store.records": "told in a record",
    "lmtp.agent": "told in a record",
    "lmtp.bayes.redisstore": "told of a damaged state",
    "lmtp.bayes.sqlitestore": "told of a damaged state, which goes by it",
    "lmtp.learning.expiry": "compared with the times of what is kept",
    "lmtp.learning.learner": "told in a journal",
    "lmtp.learning.queue": "compared with the times of files",
    "lmtp.learning.server": "told in a request that is kept, which goes by it",
    "milters.checks.arc": "compared with the end of a seal",
    "milters.checks.dkim": "compared with the end of a signature",
    "milters.checks.health": "outlives the process: one notice a day",
    "milters.engines.age": "compared with the time of signatures",
    "milters.main": "told in records and findings",
}
"""Who looks at the clock that may be set, and why; whatever waits goes by time.monotonic."""


def test_every_module_says_what_it_is_for() -> None:
    """Each opens with a docstring; only an empty `__init__.py` of the tests has nothing to say."""
    mute = [name(path) for path in ALL if path.read_text().strip() and not _docstring(path)]
    mute += [name(path) for path in OURS if not _docstring(path)]
    assert not mute


def test_no_module_is_too_long() -> None:
    """What is longer is more than one thing."""
    lengths = {name(path): len(path.read_text().splitlines()) for path in ALL}
    assert not {one: lines for one, lines in lengths.items() if lines > _LINES}


def test_no_bare_except() -> None:
    """An error that nobody named is not swallowed."""
    bare = [
        f"{name(path)}:{node.lineno}"
        for path in ALL
        for node in ast.walk(tree(path))
        if isinstance(node, ast.ExceptHandler) and node.type is None
    ]
    assert not bare


def test_tests_neither_skip_nor_sleep() -> None:
    """Nothing that lets a test pass without having looked, and no wait for a fixed time."""
    found = [
        f"{name(path)}:{node.lineno}: {word}: {_NOT_IN_TESTS[word]}"
        for path in modules("tests")
        if not _is_program(path)
        for node, word in _words(tree(path))
        if word in _NOT_IN_TESTS
    ]
    assert not found


def test_what_waits_does_not_look_at_the_time_of_day() -> None:
    """A clock that is set ends no deadline and keeps nobody waiting."""
    lookers = {
        name(path).removesuffix(".py").replace("/", ".")
        for path in OURS
        if any(word in {"time.time", "time.time_ns"} for _node, word in _words(tree(path)))
    }
    assert lookers == set(_TIME_OF_DAY)


def test_no_state_and_no_work_at_import() -> None:
    """A module of ours holds definitions and constants: no loop, call or branch runs on import."""
    allowed = (
        ast.Import,
        ast.ImportFrom,
        ast.FunctionDef,
        ast.ClassDef,
        ast.Assign,
        ast.AnnAssign,
        ast.Expr,
        ast.If,
    )
    found = [
        f"{name(path)}:{node.lineno}"
        for path in OURS
        for node in tree(path).body
        if not isinstance(node, allowed)
        or (isinstance(node, ast.If) and not _is_guard(node))
        or (isinstance(node, ast.Expr) and not isinstance(node.value, ast.Constant))
    ]
    assert not found


def test_nothing_is_left_to_do() -> None:
    """What is not done is not written down in the code."""
    marks = ["TO" + "DO", "FIX" + "ME", "XX" + "X"]
    assert not [
        f"{name(path)}: {mark}"
        for path in ALL
        for mark in marks
        if f"{mark}" in path.read_text().split("import", 1)[-1] and path.name != "test_code.py"
    ]


def test_the_project_speaks_of_itself_alone() -> None:
    """No file names a place of a developer's own machine."""
    places = ["/".join(["", *parts, ""]) for parts in (["work"], ["home"], ["tmp", "iems"])]
    assert not [
        f"{name(path)}: {place}"
        for path in tracked()
        for place in places
        if place.encode() in path.read_bytes()
    ]


def test_tools_have_one_place_for_their_settings() -> None:
    """All of them stand in pyproject.toml."""
    others = (
        "pytest.ini",
        "setup.cfg",
        "tox.ini",
        ".coveragerc",
        "mypy.ini",
        "ruff.toml",
        ".flake8",
    )
    assert not [other for other in others if (ROOT / other).exists()]


def _docstring(path: Path) -> str | None:
    return ast.get_docstring(tree(path))


def _is_program(path: Path) -> bool:
    """Whether tests start it as a process of its own, which may well have to hang."""
    return any(isinstance(one, ast.If) and _is_guard(one) for one in tree(path).body)


def _words(module: ast.Module) -> Iterator[tuple[ast.expr, str]]:
    """Every dotted name of a module, and what was imported by its full name."""
    imported = {
        alias.asname or alias.name: f"{node.module}.{alias.name}"
        for node in ast.walk(module)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(module):
        if isinstance(node, ast.Attribute | ast.Name):
            dotted = ast.unparse(node)
            head, dot, rest = dotted.partition(".")
            yield node, imported.get(head, head) + dot + rest


def _is_guard(node: ast.If) -> bool:
    return ast.unparse(node.test) in {"__name__ == '__main__'", "TYPE_CHECKING"}
