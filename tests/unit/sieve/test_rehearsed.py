"""What Pigeonhole would do is told to whoever asks: root or not, with whatever environment."""

from __future__ import annotations

import os
import pwd

import pytest

from sieve.commands.pigeonhole import Filed, outcome
from sieve.script.profile import PIGEONHOLE
from sieve.script.tree import Script, Text, command

SCRIPT = Script((command("fileinto", Text("Offers")),))


def filed() -> tuple[Filed, ...]:
    """Where the message would be."""
    return outcome(SCRIPT, b"Subject: x\n\nx\n", PIGEONHOLE).filed


@pytest.mark.parametrize("user", ["root", "ann", ""])
def test_whoever_the_environment_says_that_he_is(
    monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("USER", user)
    assert filed() == (Filed("Offers"),)


@pytest.mark.parametrize("uid", [pwd.getpwnam("nobody").pw_uid, 101])
def test_who_is_not_root_needs_no_rights(uid: int) -> None:
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            os._exit(0 if filed() == (Filed("Offers"),) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
