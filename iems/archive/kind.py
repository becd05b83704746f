"""What octets are by their content, whatever they are called: a word, and a family.

It knows what matters to who refuses attachments: what runs, what holds other files, and what people
commonly send. Each is told by the signs that those who open it look for, where they look for them.
Documents of Office are told from those with macros in VBA and those that need a password; macros of
Excel 4 are not seen. Where octets are two things at once, as a program that is a zip, what runs
counts.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from iems.archive.tar import is_tar


@dataclass(frozen=True, slots=True)
class Kind:
    """The word is one of docs/mime.md, the family one of a handful."""

    word: str
    family: str


UNKNOWN = Kind("unknown", "unknown")
EMPTY = Kind("empty", "unknown")
OLE = Kind("ole", "document")
ZIP = Kind("zip", "archive")
OFFICE = Kind("ooxml", "document")
OPEN_DOCUMENT = Kind("odf", "document")
MACROS = Kind("office-macros", "macros")
LOCKED_OFFICE = Kind("office-encrypted", "document")
TAR = Kind("tar", "archive")

_SIGNS: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"\x7fELF", Kind("elf", "executable")),
    (0, b"\xfe\xed\xfa\xce", Kind("mach-o", "executable")),
    (0, b"\xfe\xed\xfa\xcf", Kind("mach-o", "executable")),
    (0, b"\xce\xfa\xed\xfe", Kind("mach-o", "executable")),
    (0, b"\xcf\xfa\xed\xfe", Kind("mach-o", "executable")),
    (0, b"dex\n", Kind("dex", "executable")),
    (0, b"\0asm", Kind("wasm", "executable")),
    (0, b"L\0\0\0\1\x14\2\0", Kind("lnk", "executable")),
    (0, b"ITSF", Kind("chm", "executable")),
    (0, b"REGEDIT4", Kind("reg", "script")),
    (0, b"Windows Registry Editor", Kind("reg", "script")),
    (0, b"\xff\xfeW\0i\0n\0d\0o\0w\0s\0 \0R\0e\0g\0", Kind("reg", "script")),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", OLE),
    (0, b"\xe4\x52\x5c\x7b\x8c\xd8\xa7\x4d", Kind("onenote", "document")),
    (0, b"%PDF-", Kind("pdf", "document")),
    (0, b"{\\rt", Kind("rtf", "document")),
    (0, b"PK\3\4", ZIP),
    (0, b"PK\5\6", ZIP),
    (0, b"7z\xbc\xaf\x27\x1c", Kind("7z", "archive")),
    (0, b"Rar!\x1a\7\0", Kind("rar", "archive")),
    (0, b"Rar!\x1a\7\1\0", Kind("rar5", "archive")),
    (0, b"\x1f\x8b", Kind("gzip", "archive")),
    (0, b"BZh", Kind("bzip2", "archive")),
    (0, b"\xfd7zXZ\0", Kind("xz", "archive")),
    (0, b"\x5d\0\0", Kind("lzma", "archive")),
    (0, b"\x28\xb5\x2f\xfd", Kind("zstd", "archive")),
    (0, b"\x1f\x9d", Kind("compress", "archive")),
    (0, b"MSCF", Kind("cab", "archive")),
    (0, b"\x60\xea", Kind("arj", "archive")),
    (7, b"**ACE**", Kind("ace", "archive")),
    (2, b"-lh", Kind("lha", "archive")),
    (0, b"xar!", Kind("xar", "archive")),
    (0, b"!<arch>\n", Kind("ar", "archive")),
    (0, b"\x78\x9f\x3e\x22", Kind("tnef", "archive")),
    (0x8001, b"CD001", Kind("iso", "archive")),
    (0x8801, b"CD001", Kind("iso", "archive")),
    (0, b"conectix", Kind("vhd", "archive")),
    (0, b"vhdxfile", Kind("vhd", "archive")),
    (0, b"\x89PNG\r\n", Kind("png", "image")),
    (0, b"\xff\xd8\xff", Kind("jpeg", "image")),
    (0, b"GIF8", Kind("gif", "image")),
    (0, b"II*\0", Kind("tiff", "image")),
    (0, b"MM\0*", Kind("tiff", "image")),
    (0, b"BM", Kind("bmp", "image")),
    (0, b"\0\0\1\0", Kind("ico", "image")),
    (8, b"WEBP", Kind("webp", "image")),
    (4, b"ftyphei", Kind("heic", "image")),
    (4, b"ftyp", Kind("mp4", "media")),
    (0, b"ID3", Kind("mp3", "media")),
    (0, b"\xff\xfb", Kind("mp3", "media")),
    (0, b"OggS", Kind("ogg", "media")),
    (8, b"WAVE", Kind("wav", "media")),
    (8, b"AVI ", Kind("avi", "media")),
)
_HEAD = 4096
"""Octets at the beginning in which text is told from anything else."""

_PE = Kind("pe", "executable")
_DOS = Kind("dos", "executable")
_JAVA, _FAT = Kind("java-class", "executable"), Kind("mach-o", "executable")
_JAR, _APK = Kind("jar", "executable"), Kind("apk", "executable")
_SCRIPT = Kind("script", "script")
_HTML, _SVG, _XML, _TEXT = (
    *(Kind("html", "text"), Kind("svg", "image")),
    *(Kind("xml", "text"), Kind("text", "text")),
)
_PDF = Kind("pdf", "document")
_OTHERS = (
    *(UNKNOWN, EMPTY, OFFICE, OPEN_DOCUMENT, MACROS, LOCKED_OFFICE, TAR, _PE, _DOS, _JAVA, _FAT),
    *(_JAR, _APK, _SCRIPT, _HTML, _SVG, _XML, _TEXT),
)
WORDS = frozenset(
    word
    for kind in (*_OTHERS, *(kind for _at, _sign, kind in _SIGNS))
    for word in (kind.word, kind.family)
)
"""All words and all families."""

_BOM = b"\xef\xbb\xbf"
_MARKUP = re.compile(
    rb"\s*+(?:<\?xml[^>]{0,500}+>\s*+)?(?:<!--.{0,2000}?-->\s*+)*+<(?:"
    rb"((?:hta:application|job|scriptlet)(?=[\s>]))|((?:!doctype )?svg(?=[\s>]))|"
    rb"(!doctype html|(?:html|head|body|iframe|title|meta|table|div|p|a|b|i|u|br|img|span|font|"
    rb"center|style|base|form|object|embed|script|h[1-6])(?=[\s>/]))|\w)",
    re.IGNORECASE | re.DOTALL,
)
_COMMAND = re.compile(rb"\s*+(?:@echo |@?rem |::)", re.IGNORECASE)
_VBA = "_VBA_PROJECT".encode("utf-16-le")
_PACKAGE = "EncryptedPackage".encode("utf-16-le")
_CONTROLS = bytes(set(range(32)) - {7, 8, 9, 10, 12, 13, 26, 27})


def kind_of(octets: bytes) -> Kind:
    """The kind, by the octets alone: for a zip this is before anybody looked into it."""
    if not octets:
        return EMPTY
    if octets.startswith(b"MZ"):
        return _program(octets)
    if octets.startswith(b"\xca\xfe\xba\xbe"):
        return _FAT if int.from_bytes(octets[4:8], "big") < 40 else _JAVA
    for at, sign, kind in _SIGNS:
        if octets.startswith(sign, at):
            return _ole(octets) if kind is OLE else kind
    if is_tar(octets):
        return TAR
    if b"%PDF-" in octets[:1024]:
        return _PDF  # readers look for it there
    return _text(octets[:_HEAD])


def kind_of_zip(names: tuple[str, ...], types: bytes) -> Kind:
    """What a zip is by the names of its files, and by the list of types that Office has in it."""
    folded = [name.replace("\\", "/").lower().lstrip("/") for name in names]
    if any(name.endswith("vbaproject.bin") for name in folded) or b"vbaproject" in types.lower():
        return MACROS
    if "[content_types].xml" in folded:
        return OFFICE
    if "meta-inf/manifest.mf" in folded:
        return _JAR
    if "androidmanifest.xml" in folded:
        return _APK
    if "meta-inf/manifest.xml" in folded:
        basic = any(name.startswith(("basic/", "scripts/")) for name in folded)
        return MACROS if basic else OPEN_DOCUMENT
    return ZIP


def _ole(octets: bytes) -> Kind:
    """By the names of streams, which stand in the directory of the file as they are."""
    if _VBA in octets:
        return MACROS
    return LOCKED_OFFICE if _PACKAGE in octets else OLE


def _program(octets: bytes) -> Kind:
    at = int.from_bytes(octets[60:64], "little")
    return _PE if octets[at : at + 2] in {b"PE", b"NE", b"LE", b"LX"} else _DOS


def _text(head: bytes) -> Kind:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        head = head.decode("utf-16", "replace").encode()
    head = head.removeprefix(_BOM)
    if head.startswith(b"#!") or _COMMAND.match(head):
        return _SCRIPT
    if head.translate(None, _CONTROLS) != head:
        return UNKNOWN
    found = _MARKUP.match(head)
    if found is None:
        return _TEXT
    for group, kind in enumerate((_SCRIPT, _SVG, _HTML), 1):
        if found[group] is not None:
            return kind
    return _XML if b"<?xml" in found[0].lower() else _TEXT
