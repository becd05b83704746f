"""The filter can be taken out of the repository with what it says that it needs."""

from __future__ import annotations

import ast
import sys

from tests.qa.source import modules, name, tree

_OURS = (
    "iems.codec",
    "iems.mime",
    "iems.model",
    "iems.serve.deadline",
    "iems.store.resp",
    "iems.store.script",
    "iems.store.sharedfile",
    "lmtp.bayes",
)


def test_it_imports_nothing_of_the_agent() -> None:
    """Only the standard library, itself, pure packages, and what opens a store."""
    found = [
        f"{name(path)}: {word}"
        for path in modules("lmtp/bayes")
        for node in ast.walk(tree(path))
        for word in _imported(node)
        if word.split(".")[0] not in sys.stdlib_module_names
        and not any(word == ours or word.startswith(f"{ours}.") for ours in _OURS)
    ]
    assert not found


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.module is not None:
        if node.module in {"iems", "lmtp"}:
            return [f"{node.module}.{alias.name}" for alias in node.names]
        return [node.module]
    return []
