"""Settings of the filter that learns from each user: where it keeps what, and how much."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from iems.model.address import Address
from iems.settings import read
from iems.settings.places import ETC, RUN, STATE
from iems.settings.read import RESTART, setting
from iems.settings.shared import SharedSettings

CLASSIFIERS = ("combination", "fisher", "regression")
"""The names of those in `lmtp.bayes`, the default first."""

ON, SHADOW, OFF = "on", "shadow", "off"


@dataclass(frozen=True, kw_only=True)
class BayesSettings(SharedSettings):
    """The filter, which works where there is a check `bayes`, and iems-bayes, which trains it."""

    store: Path = setting(
        read.path,
        "a folder: what users have trained, where no `server` keeps that, and what is remembered "
        "of messages",
        STATE / "bayes",
    )
    password_file: Path = setting(
        read.path, "where `user` is given: its password", ETC / "keys/bayes"
    )
    classifier: str = setting(
        read.one_of(*CLASSIFIERS),
        "what judges for users who begin to train; all others keep theirs until a reset",
        CLASSIFIERS[0],
    )
    default: str = setting(
        read.one_of(ON, SHADOW, OFF), "whether it judges for users who have not said", ON
    )
    least: int = setting(
        read.integer(1, 1000),
        "so many ham, and so many spam, must have been trained before it says anything",
        10,
    )
    journal: int = setting(
        read.integer(1, 3650),
        "how long the training of a message can be taken back, and is known when it comes again",
        30,
        "days",
    )
    memory: int = setting(
        read.integer(1, 3650), "how long is remembered what a message was judged by", 30, "days"
    )
    max_message: int = setting(
        read.integer(16 << 10, 256 << 10),
        "so much of a message is looked at below its header, from its beginning",
        256 << 10,
        "bytes",
    )
    socket: Path = setting(
        read.path,
        "where Dovecot, the agent and `iems` ask iems-bayes to train",
        RUN / "train/iems-bayes",
        effect=RESTART,
    )
    socket_group: str = setting(read.text, "group that may connect", "iems-train", effect=RESTART)
    status: Path = setting(
        read.path, "what `iems status` reads; on no disk", RUN / "bayes/status.json"
    )
    max_memory: int = setting(
        read.integer(64 << 20, 1 << 40),
        "a process of iems-bayes that holds more is drained and replaced; killed if it then holds "
        "twice as much",
        512 << 20,
        "bytes",
    )
    forwards: bool = setting(
        read.flag,
        "what users who have logged in forward as attachment to spam@ and ham@ of a domain trains "
        "their filters (docs/training.md#forwards)",
        True,
    )
    replies: bool = setting(
        read.flag, "a message that its user answers is ham, unless he has said what it is", False
    )
    sweep: int = setting(
        read.integer(0, 86400),
        "so often is looked what users have put into Train/Spam and Train/Ham; 0: never",
        300,
        "s",
    )
    canary: Address | None = setting(
        read.address_if_any,
        "a mailbox that nobody uses: daily a message is moved into its Junk, to see whether that "
        "trains; empty: none",
        None,
        example='"iems-canary@example.org"',
    )
    imap: str = setting(
        read.host_and_port,
        "`HOST:PORT` of the IMAP server for both, without TLS",
        "127.0.0.1:143",
    )
    master: str = setting(
        read.text, "the master user of Dovecot who logs in for both", "iems-bayes@localhost"
    )
    master_password_file: Path = setting(read.path, "his password", ETC / "keys/dovecot-master")

    @property
    def workers(self) -> int:
        """Processes: requests are carried out in their order."""
        return 1

    @property
    def queue(self) -> Path:
        """Requests that are still to be carried out."""
        return self.store / "queue"
