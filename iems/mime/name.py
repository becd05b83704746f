"""File names as rules compare them: what looks alike is alike, what is not shown is not there.

A name that shows `invoice.pdf` may be a program for the system that opens it, and a name that no
rule knows may look to people like one that it does. So names are folded: compatible forms (NFKD:
full width, ligatures, one-dot leaders), letters of other scripts that look like Latin ones, accent,
case, all that is invisible (zero width, bidirectional controls, fillers), and the blanks and dots
at the end that Windows drops. What stands before a slash or backslash is a folder. Patterns are
folded before they are compared, too. It is for comparison alone: no name is ever shown so.
"""

from __future__ import annotations

import re
import unicodedata

_MOST = 1024
"""Characters of a name that are looked at, from its end: no file system takes more than 255."""

DECOYS = frozenset(
    (
        *("pdf", "doc", "docx", "odt", "rtf", "txt", "xls", "xlsx", "ods", "csv", "ppt", "pptx"),
        *("odp", "htm", "html", "jpg", "jpeg", "png", "gif", "bmp", "tif", "tiff", "heic", "webp"),
        *("svg", "mp3", "wav", "ogg", "mp4", "avi", "mov", "mkv", "eml", "msg", "zip"),
    )
)
"""Extensions of what people open without a thought."""

_ALIKE = {
    # Cyrillic, then Greek, then Armenian, phonetic letters and signs.
    "a": "\u0430\u0410\u03b1\u0391\u0251\u237a",
    "b": "\u0432\u0412\u044c\u042c\u0392\u0185\u0184",
    "c": "\u0441\u0421\u03f2\u03f9\u1d04",
    "d": "\u0501\u0500",
    "e": "\u0435\u0415\u04bd\u0395\u03b5\u212e",
    "f": "\u03dd\u0192",
    "g": "\u050d\u0581\u0261",
    "h": "\u04bb\u04ba\u043d\u041d\u0397\u0570",
    "i": "\u0456\u0406\u04c0\u03b9\u0399\u0131\u0269",
    "j": "\u0458\u0408\u03f3\u037f",
    "k": "\u043a\u041a\u03ba\u039a",
    "l": "\u04cf\u01c0",
    "m": "\u043c\u041c\u039c",
    "n": "\u03b7\u039d\u0578",
    "o": "\u043e\u041e\u03bf\u039f\u03c3\u0585\u0555",
    "p": "\u0440\u0420\u03c1\u03a1",
    "q": "\u051b\u051a\u0563",
    "r": "\u0433\u1d26",
    "s": "\u0455\u0405\ua731",
    "t": "\u0442\u0422\u03c4\u03a4\u1d1b",
    "u": "\u03c5\u057d\u028b\u1d1c",
    "v": "\u0475\u0474\u03bd\u1d20",
    "w": "\u051d\u051c\u0461\u1d21",
    "x": "\u0445\u0425\u03c7\u03a7\u00d7",
    "y": "\u0443\u0423\u04af\u04ae\u03b3\u03a5\u028f",
    "z": "\u0396\u1d22",
    "1": "\u0661\u06f1",
    "3": "\u0437\u0417",
    ".": "\u3002\u06d4\u0701\u0702\u0660\u06f0\ua4f8\ua60e\u2027\u00b7\u22c5",
    "/": "\\\u2044\u2215\u29f8\u29f5\u2216",
    " ": "\u2800\u3164\u1160\u115f",
}
_FOLDS = {ord(form): letter for letter, forms in _ALIKE.items() for form in forms}
_INVISIBLE = frozenset({"Cc", "Cf", "Mn", "Me"})
_DROPPED = re.compile(r"(?:[. ]|::\$data)++\Z")
"""At the end of a name; `::$DATA` is the stream of a file on NTFS that is the file itself."""


def alike(text: str) -> str:
    """The text with all that looks alike made equal, and without what is not seen."""
    forms = unicodedata.normalize("NFKD", text).translate(_FOLDS)
    return "".join(
        letter
        for letter in unicodedata.normalize("NFKD", forms.casefold())
        if letter in "\t\r\n" or unicodedata.category(letter) not in _INVISIBLE
    )


def folded(name: str) -> str:
    """The name as rules compare it: without folders and without what is dropped at its end."""
    last = " ".join(alike(name[-_MOST:]).split()).rpartition("/")[2]
    return _DROPPED.sub("", last).strip()


def extensions(name: str) -> tuple[str, ...]:
    """What stands behind the dots of the name, folded; the last one is what a system goes by."""
    return tuple(one.strip() for one in folded(name).split(".")[1:])


def is_double(name: str) -> bool:
    """Whether an extension of something harmless stands before the last one."""
    *before, last = extensions(name) or ("",)
    return bool(before) and before[-1] in DECOYS and last not in DECOYS
