"""Checks of others, as settings know them: by their entry points, and nothing of theirs runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from iems.model.policy import Action
from iems.settings.load import from_table
from iems.settings.plugins import CHECKS, PluginError, installed, plugin
from iems.settings.policy import Mode
from iems.settings.read import SettingsError
from iems.settings.schema import Settings

RAISES = "raise RuntimeError('it runs')\n"
GOOD = f'BANDS = {{"loud": "junk", "temperror": "deliver"}}\n{RAISES}'


class Folder:
    """A folder that Python looks for packages in."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, name: str, source: str, module: str = "", distribution: str = "theirs") -> None:
        """One more distribution with one check."""
        module = module or name
        about = self.path / f"{distribution}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1\n"
        )
        (about / "entry_points.txt").write_text(f"[iems.checks]\n{name} = {module}\n")
        file = self.path.joinpath(*module.split(":")[0].split(".")).with_suffix(".py")
        file.parent.mkdir(exist_ok=True)
        file.write_text(source)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    monkeypatch.syspath_prepend(str(tmp_path))
    return Folder(tmp_path)


def site(checks: object, channels: object = None) -> Settings:
    table = {"version": 1, "hostname": "mail.example.test", "postmaster": "p@example.test"}
    return from_table({**table, "checks": checks, "channels": channels or {}})


def test_bands_are_known_and_nothing_runs(folder: Folder) -> None:
    folder.add("shouting", GOOD)
    found = plugin("shouting")
    assert found is not None
    assert (found.module, found.distribution, found.many) == ("shouting", "theirs 1", False)
    assert found.bands == {"loud": Action.JUNK, "temperror": Action.DELIVER}
    assert plugin("nobody") is None
    assert ("shouting", "theirs 1") in list(installed(CHECKS))


def test_a_module_in_a_package_is_found_without_running_the_package(folder: Folder) -> None:
    folder.add("inner", f"MANY: bool = True\n{GOOD}", "theirs_package.inner")
    (folder.path / "theirs_package/__init__.py").write_text(RAISES)
    found = plugin("inner")
    assert found is not None
    assert found.many


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("", "its BANDS is no literal table"),
        ("BANDS = dict(loud='junk')", "its BANDS is no literal table"),
        ("BANDS = {}", "its BANDS is no literal table"),
        ("BANDS = {'loud': 'junk'}", "its BANDS lacks temperror"),
        ("BANDS = {'Loud': 'junk'}", "its BANDS has 'Loud'; expected a name"),
        ("BANDS = {'loud': 'shred'}", "its BANDS has 'shred' for loud; 'shred' is no action"),
        ("BANDS = {'loud': 1}", "its BANDS has 1 for loud; expected a string"),
        ("BANDS = {'loud': 'remove'}", "its BANDS has 'remove' for loud; expected one of"),
        ("BANDS = {'temperror': 'tag'}\nMANY = 1", "its MANY is neither True nor False"),
        ("BANDS = (", "the source of worse cannot be read"),
        ("\0", "the source of worse cannot be read"),
    ],
)
def test_what_cannot_be_a_family(folder: Folder, source: str, told: str) -> None:
    folder.add("worse", source)
    with pytest.raises(PluginError, match="is the plug-in of theirs 1: ") as caught:
        plugin("worse")
    assert told in str(caught.value)


@pytest.mark.parametrize("name", ["exact", "senders", "A", "a_b", "1a", "a/b"])
def test_names_that_no_check_may_have(folder: Folder, name: str) -> None:
    folder.add(name, GOOD, "module")
    with pytest.raises(PluginError, match="expected a name"):
        plugin(name)


def test_what_is_not_there_or_no_module(folder: Folder) -> None:
    folder.add("gone", GOOD)
    (folder.path / "gone.py").unlink()
    with pytest.raises(PluginError, match="there is no module gone"):
        plugin("gone")
    folder.add("part", GOOD, "part:Family", "other")
    with pytest.raises(PluginError, match="there is no module part:Family"):
        plugin("part")


def test_two_of_one_name(folder: Folder) -> None:
    folder.add("shouting", GOOD)
    folder.add("shouting", GOOD, distribution="another")
    with pytest.raises(PluginError, match="is given by another 1 and theirs 1; expected one"):
        plugin("shouting")


def test_settings_policy_and_channels_know_it(folder: Folder) -> None:
    folder.add("shouting", f"MANY = True\n{GOOD}")
    table = {"en": {"mode": "delegate", "most": 3, "default": {"loud": "tag"}}}
    channels = {"office": {"policy": {"shouting/en": {"default": {"loud": "deliver"}}}}}
    settings = site({"shouting": table}, channels)
    [check] = settings.checks
    assert (check.name, check.mode, dict(check.options)) == (
        "shouting/en",
        Mode.DELEGATE,
        {"most": 3},
    )
    assert {band: one.choice for band, one in check.rules.items()} == {
        "loud": Action.TAG,
        "temperror": Action.DELIVER,
    }


def test_what_is_wrong_is_told_with_its_key(folder: Folder) -> None:
    folder.add("shouting", "BANDS = 1")
    with pytest.raises(SettingsError) as caught:
        site(
            {"shouting": {"mode": "delegate"}, "whisper": {"mode": "delegate"}},
            {"office": {"policy": {"shouting": {}, "whisper": {}}}},
        )
    faults = caught.value.faults
    assert [one.partition(";")[0] for one in faults] == [
        "settings: checks.shouting is the plug-in of theirs 1: its BANDS is no literal table of at "
        "most 20 bands",
        "settings: checks.whisper is no check",
        "settings: channels.office.policy.shouting is the plug-in of theirs 1: its BANDS is no "
        "literal table of at most 20 bands",
        "settings: channels.office.policy.whisper is no check",
    ]


def test_a_name_of_ours_is_ours(folder: Folder) -> None:
    folder.add("iprev", GOOD)
    [check] = site({"iprev": {"mode": "delegate"}}).checks
    assert "loud" not in check.rules
