"""Texts that are put into messages: templates of Jinja2 with what the directory says of a person.

`iems.edits.text` knows where a text goes and what is left alone. A template is compiled once, when
the settings are read, in a sandbox that has no files and no functions but Jinja2's own. Whatever
would go wrong with it then is a fault of the settings: one that does not compile, that names what
is not known, or of which nothing comes that could be put into a message. What the directory does
not say is empty, so that `{% if title %}` leaves a line out.

Failure: a template that fails with the values of one person leaves his message as it is, with why.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from iems.codec.printable import printable
from iems.directory.person import NOBODY, Person
from iems.edits.edit import Edit
from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert
from iems.model.envelope import INTERNET
from iems.settings import read
from iems.settings.edits import EditSettings, EditTable
from iems.settings.read import SettingsError, read_table, setting

KEEP, RENEW, SKIP = "keep", "renew", "skip"
PRESENT = "it stands there already"

_LARGEST = 64 << 10
"""Bytes of a template, and letters of what comes of one: a screen of text has two thousand."""

_TAG_ALONE = re.compile(r"^[ \t]*(\{%(?:(?!%\}).)*%\})[ \t]*\r?\n", re.MULTILINE)
"""A line of one tag, which leaves no empty line. Jinja2's own `trim_blocks` also takes the end of a
line that has a text before its tag."""

_FAILURES = (
    *(TemplateError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError),
    RecursionError,
)
"""What a template can raise."""

_SAMPLE: Person = {name: f"{name} of somebody" for name in NOBODY}


@dataclass(frozen=True, kw_only=True)
class Settings(EditTable):
    """What `[edits.text.LABEL]` may hold."""

    plain: Path = setting(
        read.path, "the template of the text in UTF-8", example='"/etc/iems/texts/footer.txt"'
    )
    html: Path | None = setting(
        read.path_if_any,
        "the template of what stands in the body of a page; empty: the text is shown there",
        None,
        example='"/etc/iems/texts/footer.html"',
    )
    place: str = setting(
        read.one_of(*[one.value for one in Place]),
        "where it goes; `above-quote`: above the message that is answered, at the bottom where "
        "there is none",
        Place.BOTTOM.value,
    )
    earlier: str = setting(
        read.one_of(KEEP, RENEW, SKIP),
        "what becomes of the same text further down, as in what is answered: `keep` it there, "
        "`renew`: take it away there, `skip`: put no other in",
        RENEW,
    )
    signed: str = setting(
        read.one_of(*[one.value for one in Sealed]),
        "mail that its sender has signed (S/MIME, PGP): `skip`, `wrap`: the text becomes a part "
        "beside it, `reject`: refuse it while the sender waits",
        Sealed.SKIP.value,
    )
    encrypted: str = setting(
        read.one_of(*[one.value for one in Sealed]),
        "the same of mail that he has encrypted",
        Sealed.SKIP.value,
    )


@dataclass(frozen=True, slots=True)
class Insertion:
    """One block that is put in, `once` for all that is answered; none for a `fault`."""

    block: Block | None
    once: bool = False
    fault: str = ""
    done: str = "put in"

    def edit(self, data: bytes) -> Edit:
        """The message with it."""
        if self.block is None:
            return Edit(reason=self.fault)
        found = insert(data, self.block)
        if not self.once or not found.splices:
            return found
        # Only a copy elsewhere makes a difference between the two.
        renewed = insert(data, dataclasses.replace(self.block, renew=True))
        return Edit(reason=PRESENT) if renewed != found else found


@dataclass(frozen=True, slots=True)
class Text:
    """One text, ready for use."""

    plain: Template
    html: Template | None
    settings: Settings
    marker: str

    def of(self, person: Person) -> Insertion:
        """What is done for this person."""
        try:
            return Insertion(self.block(person), self.settings.earlier == SKIP)
        except _FAILURES as error:
            told = f"its template fails with what the directory says: {error}"
            return Insertion(None, fault=printable(told))

    def block(self, person: Person) -> Block:
        """What is put in for this person: what jinja2 raises, or ValueError."""
        plain, html = self.plain.render(person), self.html.render(person) if self.html else ""
        if max(len(plain), len(html)) > _LARGEST:
            raise ValueError(f"it makes more than {_LARGEST} letters")
        own = self.settings
        return Block(
            plain,
            html,
            place=Place(own.place),
            signed=Sealed(own.signed),
            encrypted=Sealed(own.encrypted),
            marker=self.marker,
            renew=own.earlier == RENEW,
        )


def make(edit: EditSettings) -> Text:
    """The text of these settings; SettingsError tells all that is wrong with it."""
    own = read_table(Settings, edit.options, edit.key, edit.where)
    faults = list(_faults(edit, own))
    plain, html = _read(own.plain, edit, "plain", faults), None
    if own.html is not None:
        html = _read(own.html, edit, "html", faults)
    if plain is None or faults:
        raise SettingsError(faults)
    text = Text(plain, html, own, edit.name.partition("/")[2])
    for whose, values in (("nobody", NOBODY), ("a person", _SAMPLE)):
        try:
            text.block(values)
        except _FAILURES as error:
            told = f"cannot be used: with what is known of {whose}: {error}"
            raise SettingsError([f"{edit.where(edit.key)}: {edit.key} {told}"]) from None
    return text


def _faults(edit: EditSettings, own: Settings) -> Iterator[str]:
    """When mail from outside is edited nobody waits any more, and who wrote it knows how."""
    if INTERNET not in own.channels:
        return
    told = f"for mail of the channel {INTERNET}, whose sender"
    words: Mapping[str, str] = {"signed": own.signed, "encrypted": own.encrypted}
    for name, value in words.items():
        if value == Sealed.REJECT.value:
            yield (
                f"{edit.where(edit.key)}: {edit.key}.{name} is {value!r} {told} waits no more; "
                f"expected {Sealed.SKIP.value} or {Sealed.WRAP.value}"
            )
    if own.earlier == SKIP:
        yield (
            f"{edit.where(edit.key)}: {edit.key}.earlier is {SKIP!r} {told} could keep the text "
            f"away with a hidden copy; expected {RENEW} or {KEEP}"
        )


def _read(file: Path, edit: EditSettings, option: str, faults: list[str]) -> Template | None:
    """The template in a file; a fault says what is wrong, and where in it."""
    path = f"{edit.where(f'{edit.key}.{option}')}: {edit.key}.{option}"
    environment = _ENVIRONMENTS[option]()
    try:
        with file.open("rb") as opened:
            source = opened.read(_LARGEST + 1).decode("utf-8-sig")
        if len(source) > _LARGEST:
            raise ValueError(f"it has more than {_LARGEST} bytes")
        tree = environment.parse(source)
        unknown = sorted(meta.find_undeclared_variables(tree) - NOBODY.keys())
        if unknown:
            raise ValueError(f"it names {unknown[0]}; known: {', '.join(NOBODY)}")
        if any(True for _name in meta.find_referenced_templates(tree)):
            raise ValueError("it includes another; expected one file")
        return environment.from_string(_TAG_ALONE.sub(r"\1", source))
    except TemplateSyntaxError as error:
        faults.append(f"{path}: {file}, line {error.lineno}: {error.message}")
    except (OSError, *_FAILURES) as error:
        faults.append(f"{path}: {file}: {error}")
    return None


def _environment(*, html: bool) -> ImmutableSandboxedEnvironment:
    made = ImmutableSandboxedEnvironment(autoescape=html, undefined=StrictUndefined)
    made.globals.clear()
    return made


_ENVIRONMENTS: Mapping[str, Callable[[], ImmutableSandboxedEnvironment]] = {
    "plain": lambda: _environment(html=False),
    "html": lambda: _environment(html=True),
}
