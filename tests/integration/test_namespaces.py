"""What users do trains whatever their folders are called: with a prefix, by another separator."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from iems.model.address import Address
from iems.serve.deadline import Deadline
from lmtp.learning.protocol import ask
from lmtp.learning.sweep import Sweep
from tests.integration.imapusers import HAM, SPAM, User, World, message, world_on
from tests.integration.stack import master
from tests.integration.stack.ground import Ground
from tests.unit.lmtp.parts import Heard

NAMESPACE = "namespace inbox {{\n  prefix = {}\n  separator = {}\n}}\n"


@dataclass
class Place:
    """A world in which the names of folders begin with `prefix`, with `separator` in them."""

    world: World
    prefix: str
    separator: str

    def folder(self, *parts: str) -> str:
        """The name of one."""
        return self.prefix + self.separator.join(parts)


@pytest.fixture(scope="module", params=[("INBOX.", "."), ("", "/")], ids=["prefix", "separator"])
def place(ground: Ground, request: pytest.FixtureRequest) -> Iterator[Place]:
    """All of it, with a master user."""
    masters = ground.place("master") / "master-users"
    master.write(masters)
    more = master.settings(masters) + NAMESPACE.format(*request.param)
    with world_on(ground, more, request.param[1]) as world:
        yield Place(world, *request.param)


@pytest.fixture
def user(place: Place) -> Iterator[User]:
    """One user."""
    with place.world.user() as one:
        yield one


def test_a_folder_below_junk_is_for_the_same(place: Place, user: User) -> None:
    junk, below = place.folder("Unwanted"), place.folder("Unwanted", "2026")
    user.imap.create(below)
    user.deliver(message())
    user.move(junk)
    user.open(junk)
    user.move(below)
    user.deliver(message())
    user.move(below)
    user.learns(("move", SPAM), ("move", SPAM))
    user.open(below)
    user.move("INBOX")
    user.learns(("move", SPAM), ("move", HAM))


def test_what_is_put_there_is_trained_and_swept(place: Place, user: User, tmp_path: Path) -> None:
    spam, ham = place.folder("Train", "Spam"), place.folder("Train", "Ham")
    user.append(spam, message())
    user.append(ham, message())
    user.learns(("append", SPAM), ("append", HAM))
    asked = functools.partial(ask, place.world.site.bayes_socket)
    everybody = [Address.parse(user.address)]
    heard = Heard()
    told = master.master(place.world.dovecot)
    sweep = Sweep(told, lambda _deadline: everybody, asked, tmp_path / "sweep.json", heard)
    sweep.run(Deadline.after(60))
    box = place.world.dovecot.mailbox(user.address)
    junks = [box.messages(place.folder(name)) for name in ("Unwanted", "Junk")]
    assert not box.messages(spam) + box.messages(ham)
    assert (sum(map(len, junks)), len(box.messages())) == (1, 1), heard.lines
