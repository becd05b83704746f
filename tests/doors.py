"""Who may do what at the doors of a mail server: a table, and swaks(1) that tries it.

It goes up to RCPT and no further, so that nothing is sent. The server is anywhere: integration
tests and booted machines use the same table. In the domain there must be the users alice and bob,
`both`, an alias of the two, and `team`, an alias of bob alone.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

OUTSIDE = "elsewhere.example"
_SECONDS = 3
"""How long a server may say nothing; one that waits for TLS never speaks first."""

_PENALTY = 20
"""Seconds for the answer to a wrong password: Dovecot takes longer each time, up to 15 (anvil)."""

_COMMAND = re.compile(r"^ [-~]> (.*)$")
_REPLY = re.compile(r"^<[-~*][-~* ] *(\d{3})(?: .*)?$")

RECIPIENTS: Mapping[str, tuple[int, int]] = {
    "alice@DOMAIN": (250, 250),
    "both@DOMAIN": (250, 250),
    "ALICE@DOMAIN.": (250, 250),
    "alice+more@DOMAIN": (250, 250),
    '"alice"@DOMAIN': (250, 250),
    "@OUTSIDE:alice@DOMAIN": (250, 250),
    "nobody@DOMAIN": (550, 550),
    "älice@DOMAIN": (550, 550),
    "someone@OUTSIDE": (554, 250),
    "someone@OUTSIDE.": (554, 250),
    '"someone"@OUTSIDE': (554, 250),
    "@DOMAIN:someone@OUTSIDE": (554, 250),
    "alice@DOMAIN@OUTSIDE": (554, 250),
    "someone@[192.0.2.1]": (554, 250),
    "someone%OUTSIDE@DOMAIN": (554, 550),
    "someone@OUTSIDE@DOMAIN": (554, 550),
    '"someone@OUTSIDE"@DOMAIN': (554, 550),
    "OUTSIDE!someone@DOMAIN": (554, 550),
    "OUTSIDE!someone": (554, 504),
    "someone@OUTSIDE%DOMAIN": (501, 501),
    "someone@ä.OUTSIDE": (501, 501),
    "postmaster": (250, 250),
}
"""Each form with the answers to a stranger and to a user who sends as himself. Percent hack, bang
path and the like reach nobody else; Postfix takes mail for the bare `postmaster` from everyone."""

OWN = (
    "alice@DOMAIN",
    "ALICE@DOMAIN.",
    "alice+more@DOMAIN",
    '"alice"@DOMAIN',
    "both@DOMAIN",
    "",
)
"""As whom alice may send: her addresses, an alias that she is in, the null sender."""

FOREIGN = (
    "bob@DOMAIN",
    "team@DOMAIN",
    "nobody@DOMAIN",
    "postmaster@DOMAIN",
    "someone@OUTSIDE",
    "alice%DOMAIN@OUTSIDE",
    "alice@DOMAIN@OUTSIDE",
    "bob%DOMAIN@DOMAIN",
    "@DOMAIN:someone@OUTSIDE",
    "alice",
    "alice@[127.0.0.1]",
    "älice@DOMAIN",
)


@dataclass(frozen=True)
class Door:
    """A port, with TLS or without, and alice's login: none, a wrong or the right password."""

    port: int
    tls: bool
    login: str = "none"

    def __str__(self) -> str:
        return f"{self.port} {'TLS' if self.tls else 'plain'}, {self.login} login"


STRANGERS = (Door(25, tls=False), Door(25, tls=True))
USERS = (Door(587, tls=True, login="right"), Door(465, tls=True, login="right"))
CLOSED = {
    Door(25, tls=False, login="right"): "no login offered",
    Door(25, tls=True, login="right"): "no login offered",
    Door(587, tls=False): "530",
    Door(587, tls=False, login="right"): "no login offered",
    Door(587, tls=True, login="wrong"): "535",
    Door(465, tls=True, login="wrong"): "535",
    Door(465, tls=False): "silence",
    Door(465, tls=False, login="right"): "silence",
}
"""The doors at which nobody comes as far as RCPT, and what stops him."""

UNKNOWN = (Door(587, tls=True), Door(465, tls=True))
"""TLS but no login: every recipient is refused."""


@dataclass(frozen=True)
class Target:
    """A server: its ports by the numbers that they stand for, and more words for swaks.

    `batch` recipients go into one session: Postfix ends one with 20 errors.
    """

    host: str
    domain: str
    password: str
    ports: Mapping[int, int]
    words: Sequence[str] = ()
    batch: int = len(RECIPIENTS)

    def attempt(self, door: Door, sender: str) -> str | dict[str, int]:
        """The answer to each form of recipient, or what stopped us before."""
        forms = list(RECIPIENTS)
        codes: dict[str, int] = {}
        for at in range(0, len(forms), self.batch):
            answers = self._session(door, sender, forms[at : at + self.batch])
            if isinstance(answers, str):
                return answers
            codes |= answers
        return codes

    def _session(self, door: Door, sender: str, forms: Sequence[str]) -> str | dict[str, int]:
        words = ["--server", self.host, "--port", str(self.ports[door.port]), *self.words]
        patience = _PENALTY if door.login == "wrong" else _SECONDS
        words += ["--timeout", str(patience), "--helo", "client.example", "--quit-after", "RCPT"]
        words += ["--from", self._address(sender) or "<>"]
        words += ["--to", ",".join(self._address(form) for form in forms)]
        if door.tls:
            words.append("--tls-on-connect" if door.port == 465 else "--tls")
        if door.login != "none":
            password = self.password if door.login == "right" else f"not {self.password}"
            user = self._address("alice@DOMAIN")
            words += ["--auth", "PLAIN", "--auth-user", user, "--auth-password", password]
        done = subprocess.run(
            ["swaks", *words], capture_output=True, text=True, timeout=110, check=False
        )
        return _understood(done.stdout + done.stderr, forms)

    def _address(self, form: str) -> str:
        return form.replace("DOMAIN", self.domain).replace("OUTSIDE", OUTSIDE)


def expected(door: Door, sender: str) -> dict[str, int]:
    """What the table says of each recipient."""
    column = int(door in USERS)
    codes = {form: answers[column] for form, answers in RECIPIENTS.items()}
    refusal = 0
    if door in UNKNOWN:
        refusal = 554
    elif sender == "alice":
        refusal = 504
    elif door in USERS and sender not in OWN:
        refusal = 553
    if not refusal:
        return codes
    kept = {"postmaster": 250}
    return {form: kept.get(form, 501 if code == 501 else refusal) for form, code in codes.items()}


def _understood(said: str, forms: Sequence[str]) -> str | dict[str, int]:
    """The codes after RCPT, or the last one before, where no RCPT was said."""
    command, codes, stopped = "", [], "silence"
    for line in said.splitlines():
        if found := _COMMAND.match(line):
            command = found.group(1)
        elif found := _REPLY.match(line):
            code = found.group(1)
            if command.startswith("RCPT TO:"):
                codes.append(int(code))
            elif not command.startswith("QUIT"):
                stopped = code
    if "did not advertise authentication" in said:
        return "no login offered"
    if not codes:
        return stopped
    assert len(codes) == len(forms), said
    return dict(zip(forms, codes, strict=True))
