"""What an rcfile of procmail is made of: lines, words as sh(1) reads them, variables, files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from sieve.importing.imported import UntranslatedError, folder

HOME, USER = "\ue000", "\ue001"
"""Stand for what only the user's machine knows, in the values of variables."""

_ROOTS = (f"{HOME}/Maildir", f"{HOME}/Mail", f"{HOME}/mail", HOME)
"""Where folders of mail lie; the longest that a path begins with is no part of a folder's name."""

_KEPT = 2048
"""Characters of a value or condition, as procmail's own LINEBUF."""

_VARIABLE = re.compile(r"\\?[A-Za-z_][A-Za-z0-9_]*|\{[A-Za-z_][A-Za-z0-9_]*\}")


def logical(physical: list[str]) -> Iterator[tuple[int, str]]:
    """Lines with their numbers; those that end in a backslash go on."""
    number, whole = 0, ""
    for at, line in enumerate(physical, 1):
        number = number or at
        whole += line.lstrip() if whole else line
        if whole.endswith("\\") and not whole.lstrip().startswith("#"):
            whole = whole[:-1]
            continue
        yield number, whole.strip()
        number, whole = 0, ""
    if whole:
        yield number, whole.strip()


@dataclass(slots=True)
class Variables:
    """What is known of variables: a text, or None where only a message or a machine would tell."""

    known: dict[str, str | None] = field(
        default_factory=lambda: {
            "HOME": HOME,
            "LOGNAME": USER,
            "MAILDIR": HOME,
            "DEFAULT": f"/var/mail/{USER}",
            "ORGMAIL": f"/var/mail/{USER}",
        }
    )

    def word(self, text: str) -> tuple[str | None, str]:
        """A word as sh(1) reads it, None where its value is not known, and what is behind it."""
        value: str | None = ""
        quote, at = "", 0
        while at < len(text):
            char = text[at]
            at += 1
            if char == quote:
                quote = ""
            elif quote == "'":
                value = _added(value, char)
            elif char in "\"'" and not quote:
                quote = char
            elif char == "`":
                end = text.find("`", at)
                value, at = None, end + 1 if end >= 0 else len(text)
            elif char == "\\" and at < len(text):
                kept = "\\" if quote and text[at] not in '"\\$`' else ""
                value, at = _added(value, kept + text[at]), at + 1
            elif char == "$":
                more, at = self._variable(text, at)
                value = _added(value, more)
            elif char in " \t" and not quote:
                break
            else:
                value = _added(value, char)
        return value, text[at:].lstrip()

    def _variable(self, text: str, at: int, *, quoted: bool = False) -> tuple[str | None, int]:
        """The value of the variable whose name begins there, and where it ends."""
        found = _VARIABLE.match(text, at)
        if found is None:
            return None, at + 1
        name = found[0].strip("{}").removeprefix("\\")
        value = self.known.get(name, None if name == "MATCH" else "")
        if found[0].startswith("\\") and value is not None:
            value = re.sub(r"([][().*+?^$|\\])", r"\\\1", value) if quoted else value
        return value, found.end()

    def words(self, text: str) -> tuple[str, ...]:
        """All words up to a comment; UntranslatedError where one is not known."""
        found = []
        while text and not text.startswith("#"):
            value, text = self.word(text)
            if value is None:
                raise UntranslatedError("it uses a variable or a program whose output is not known")
            found.append(value)
        return tuple(found)

    def listed(self, text: str) -> tuple[str, ...]:
        """All words, where commas part them, too."""
        return tuple(part for one in self.words(text) for part in one.split(",") if part)

    def substituted(self, text: str) -> str:
        """A condition with its variables filled in."""
        found, at = "", 0
        while at < len(text):
            char = text[at]
            at += 1
            if char == "$" and _VARIABLE.match(text, at):
                value, at = self._variable(text, at, quoted=True)
                if value is None or HOME in value or USER in value:
                    raise UntranslatedError("it uses a variable whose value is not known")
                found += value
                if len(found) > _KEPT:
                    raise UntranslatedError("it is too long once its variables are filled in")
            elif char == "`":
                raise UntranslatedError("it asks a program")
            elif char == "\\" and text[at : at + 1] in {"$", "`", '"', "\\"}:
                found += text[at]
                at += 1
            else:
                found += char
        return found

    def plain(self, word: str) -> str:
        """The word, if all of it is known."""
        if HOME in word or USER in word:
            raise UntranslatedError("it uses HOME or LOGNAME, which are not known here")
        return word

    def files(self, words: str) -> tuple[str, ...]:
        """The files and directories of an action line."""
        found = self.words(words)
        if not found or not all(found):
            raise UntranslatedError("its folder has no name")
        if len(found) > 1 and not all(one.endswith(("/", "/.")) for one in found):
            raise UntranslatedError("it names several files, of which procmail takes the first")
        return found

    def file(self, word: str) -> str:
        """The folder that a file or directory stands for."""
        if word == "/dev/null":
            return word
        path = self.absolute(word)
        if path is None:
            raise UntranslatedError("MAILDIR is not known here")
        root, default = self.known["MAILDIR"], self.known["DEFAULT"]
        if path in {default, self.known["ORGMAIL"], f"{HOME}/Maildir"}:
            return "INBOX"
        if path == root and word.endswith("/"):
            return "INBOX"
        for base in sorted({*_ROOTS, root or HOME, default or HOME}, key=len, reverse=True):
            if path.startswith(f"{base}/"):
                name = path[len(base) + 1 :]
                if name.startswith(".") and "/" not in name:
                    name = name[1:].replace(".", "/")
                return folder(self.plain(name))
        raise UntranslatedError("its file is in no folder of mail")

    def absolute(self, word: str) -> str | None:
        """A path from the root or from HOME; None where MAILDIR is not known."""
        root = self.known["MAILDIR"]
        if word.startswith(("/", HOME)):
            return _trimmed(word)
        return None if root is None else _trimmed(f"{root}/{word.removeprefix('./')}")


def _trimmed(path: str) -> str:
    return path.removesuffix("/.").rstrip("/")


def _added(value: str | None, more: str | None) -> str | None:
    """Both together, unless one is not known or it is more than procmail keeps."""
    if value is None or more is None or len(value) + len(more) > _KEPT:
        return None
    return value + more
