"""`iems quarantine` of what its recipients have got without parts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.cli.test_quarantine import TEXT, Store
from tests.unit.store.test_held import REASON, ROW


def test_what_was_delivered_without_parts_is_told_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "iems.toml").write_text(
        'version = 1\nhostname = "mail.example.test"\npostmaster = "postmaster@b.test"\n'
        f'[agent]\nstate = "{tmp_path}"\n'
    )
    store = Store(tmp_path)
    removed = {**REASON, "check": "attachment/a", "band": "matched", "action": "remove"}
    name = store.put({**ROW, "reasons": [removed]}, original=True)
    store.put(at=20)
    assert store.run("list") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(" attachment/a:matched delivered without parts")
    assert second.endswith(" dnsbl/one:listed")
    assert store.run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["original"] for row in rows] == [True, False]
    assert store.run("show", name) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"{name}, {len(TEXT)} bytes, delivered without parts\n")
    assert " kept for Alice+x@b.test (user alice@b.test): remove\n" in shown
