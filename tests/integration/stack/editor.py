"""A milter that does what the message tells it, to compare our fake MTA with a real Postfix.

Each header field `X-Do: WORD ARGUMENTS` is one action at the end of the message:
`insert INDEX NAME: VALUE`, `add NAME: VALUE`, `change OCCURRENCE NAME: VALUE`,
`delete OCCURRENCE NAME`, `rcpt ADDRESS`, `norcpt ADDRESS`, `sender ADDRESS`, `body TEXT`, and
`reply CODE ENHANCED TEXT`. `told` adds a field for each event with the macros that came with it.
A recipient that begins with `refuse` is refused. Run: `python -m ... SOCKET`.
"""

from __future__ import annotations

import sys

import Milter  # type: ignore[import-untyped]

CONTINUE: int = Milter.CONTINUE
REJECT: int = Milter.REJECT
TEMPFAIL: int = Milter.TEMPFAIL
ACTIONS = 0x1FF
"""All of SMFIF_ADDHDRS to SMFIF_SETSYMLIST."""

_MACROS = {
    "connect": (*("{daemon_name}", "_", "{client_resolve}", "{client_name}", "{client_ptr}"),),
    "mail": ("i", "{auth_authen}", "{mail_addr}", "{mail_host}", "{mail_mailer}"),
    "rcpt": ("i", "{rcpt_addr}", "{rcpt_host}", "{rcpt_mailer}"),
    "data": ("i",),
    "eoh": ("i",),
    "eom": ("i",),
}


class Editor(Milter.Base):  # type: ignore[misc]
    """One connection."""

    def __init__(self) -> None:
        self._told: list[str] = []
        self._do: list[str] = []

    def negotiate(self, options: list[int]) -> int:
        """Take all actions that there are, and ask for macros that Postfix does not send itself."""
        # Milter.Base.setsymlist of pymilter 1.0.5 gives bytes to a function that wants text.
        self._ctx.setsymlist(Milter.M_CONNECT, " ".join(_MACROS["connect"]))
        return int(super().negotiate(options))

    def connect(self, name: str, _family: int, address: object) -> int:
        """Remember who came."""
        host = address[0] if isinstance(address, tuple) else address
        self._tell("connect", name, host)
        return CONTINUE

    def hello(self, name: str) -> int:
        """Remember the name."""
        self._tell("helo", name)
        return CONTINUE

    def envfrom(self, sender: str, *_options: str) -> int:
        """A new message; what was told of the connection stays."""
        self._told = [one for one in self._told if one.split()[0] in {"connect", "helo"}]
        self._do = []
        self._tell("mail", sender)
        return CONTINUE

    def envrcpt(self, recipient: str, *_options: str) -> int:
        """Refuse those who are to be refused."""
        self._tell("rcpt", recipient)
        if recipient.startswith("<refuse"):
            self.setreply("550", "5.7.1", "refused as told")
            return REJECT
        return CONTINUE

    def data(self) -> int:
        """Remember it."""
        self._tell("data")
        return CONTINUE

    def header(self, name: str, value: str) -> int:
        """Keep what is to be done."""
        if name == "X-Do":
            self._do.append(value.strip())
        return CONTINUE

    def eoh(self) -> int:
        """Remember it."""
        self._tell("eoh")
        return CONTINUE

    def eom(self) -> int:
        """Do it."""
        self._tell("eom")
        for action in self._do:
            word, _blank, rest = action.partition(" ")
            if word == "reply":
                code, enhanced, text = rest.split(" ", 2)
                self.setreply(code, enhanced, text)
                return REJECT if code.startswith("5") else TEMPFAIL
            self._edit(word, rest)
        return CONTINUE

    def _edit(self, word: str, rest: str) -> None:
        number, _blank, field = rest.partition(" ")
        name, _colon, value = (part.strip() for part in field.partition(":"))
        match word:
            case "insert":
                self.addheader(name, value, int(number))
            case "add":
                name, _colon, value = (part.strip() for part in rest.partition(":"))
                self.addheader(name, value)
            case "change":
                self.chgheader(name, int(number), value)
            case "delete":
                self.chgheader(name, int(number), "")
            case "rcpt":
                self.addrcpt(rest)
            case "norcpt":
                self.delrcpt(rest)
            case "sender":
                self.chgfrom(rest)
            case "body":
                self.replacebody(rest + "\r\n")
            case "told":
                for one in self._told:
                    self.addheader("X-Told", one)

    def _tell(self, event: str, *words: object) -> None:
        known = [(name, self.getsymval(name)) for name in _MACROS.get(event, ())]
        # A queue id is another one each time: that there is one is what counts.
        pairs = [f"{name}={'told' if name == 'i' else value}" for name, value in known if value]
        self._told.append(" ".join([event, *map(str, words), *pairs]))


def main() -> None:
    """Serve on the socket until told to stop."""
    Milter.factory = Editor
    Milter.set_flags(ACTIONS)
    Milter.runmilter("editor", sys.argv[1], timeout=60)


if __name__ == "__main__":
    main()
