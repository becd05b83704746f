"""Man pages: man(1) renders them without a warning, and nothing that can be said is missing."""

from __future__ import annotations

import argparse
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

import sieve.main
from cli import arguments, manual, reference
from cli.main import COMMANDS, EXIT_CODES, build_parser

PAGES = (
    "man1/iems.1",
    "man1/iems-sieve.1",
    "man5/iems.toml.5",
    "man8/iems-bayes.8",
    "man8/iems-lmtp.8",
    "man8/iems-milter.8",
)


@pytest.fixture(scope="module")
def share(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as a release has them."""
    folder = tmp_path_factory.mktemp("share")
    for name, text in manual.files("9.8").items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def man(*words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Call man(1)."""
    return subprocess.run(
        ["man", *map(str, words)],
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "80", **environment},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def rendered(page: Path) -> str:
    """The page as plain text on one line."""
    done = man("--nh", "--nj", "-E", "ascii", "-l", page, MANROFFSEQ="")
    return " ".join(re.sub(r".\x08", "", done.stdout).split())


@pytest.mark.parametrize("page", PAGES)
def test_a_page_renders_without_a_warning(share: Path, page: str) -> None:
    file = share / "man" / page
    done = man("--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", file, MANROFFSEQ="")
    assert (done.returncode, done.stderr) == (0, "")
    named = subprocess.run(["lexgrog", file], capture_output=True, text=True, check=False)
    assert named.returncode == 0, "whatis(1) would not know it"


@pytest.mark.parametrize(
    ("parser", "least", "codes"),
    [
        (build_parser([*COMMANDS]), 2 * len(COMMANDS), EXIT_CODES),
        (sieve.main.build_parser(), len(sieve.main.COMMANDS), sieve.main.EXIT_CODES),
    ],
    ids=lambda one: getattr(one, "prog", ""),
)
def test_every_command_and_option_stands_in_the_page_of_its_program(
    share: Path, parser: argparse.ArgumentParser, least: int, codes: str
) -> None:
    text = rendered(share / f"man/man1/{parser.prog}.1")
    commands = list(arguments.read(parser).walk())
    assert len(commands) > least > 2
    for command in commands:
        if command.commands:
            assert " ".join(command.words) in text
            continue
        # From the line that shows how it is called to where the next one begins.
        _before, called, after = text.partition(command.usage)
        assert called, command.usage
        own = after.partition("[-h]")[0]
        for argument in command.arguments:
            if argument.help and "--help" not in argument.flags:
                line = f"{', '.join(argument.flags)} {argument.value}".split()
                told = " ".join([*line, *argument.help.replace("`", "").split()])
                assert told in own, told
    assert "EXIT STATUS" in text
    assert " ".join(codes.split()) in text


def test_every_setting_stands_in_the_page_of_settings(share: Path) -> None:
    source = (share / "man/man5/iems.toml.5").read_text()
    for section in reference.sections():
        body = source.partition(f".SH {manual.escaped(section.title)}\n")[2].partition("\n.SH ")[0]
        for key in section.keys:
            assert f"\\fB{key.name}\\fR\n" in body, key.name
            assert f"takes effect: {key.effect}" in body


@pytest.mark.parametrize("daemon", ["iems-milter", "iems-lmtp", "iems-bayes"])
def test_the_pages_of_the_daemons_tell_options_and_signals(share: Path, daemon: str) -> None:
    text = rendered(share / f"man/man8/{daemon}.8")
    for word in ("--settings FILE", "--foreground-log", "--pid-file FILE", "HUP", "USR2", "TERM"):
        assert word in text


def test_man_finds_them_through_the_links_of_an_installation(share: Path, tmp_path: Path) -> None:
    for page in PAGES:
        link = tmp_path / "man" / page
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(share / "man" / page)
    for page in PAGES:
        name, section = Path(page).stem, page[-1]
        found = man("-w", section, name, MANPATH=str(tmp_path / "man"))
        assert found.stdout.strip().endswith(page), found.stderr


def test_what_looks_like_an_order_of_roff_is_text(tmp_path: Path) -> None:
    lines = [".so /etc/passwd", "'tis", r"a \fBbackslash\fR", 'with "quotes" and --dashes', "`x-y`"]
    page = tmp_path / "x.1"
    body = "\n.br\n".join(map(manual.escaped, lines))
    page.write_text(f'.TH X 1 "" ""\n.SH NAME\nx \\- y\n.SH TEXT\n{body}\n')
    done = man("--warnings", "-E", "ascii", "-l", page, MANROFFSEQ="")
    assert done.stderr == ""
    for line in lines[:-1]:
        assert line in done.stdout
    assert "x-y" in re.sub(r".\x08", "", done.stdout)


def test_written_into_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.manual.version", lambda name: f"{name} 9.8")
    manual.main(tmp_path)
    wanted: Mapping[str, str] = manual.files("iems 9.8")
    written = {str(one.relative_to(tmp_path)) for one in tmp_path.rglob("*") if one.is_file()}
    assert written == set(wanted)
    assert all((tmp_path / name).read_text() == text for name, text in wanted.items())
