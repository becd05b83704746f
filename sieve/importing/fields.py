"""A pattern over header lines as fields and values, with the simplest operators that mean the same.

What stands before the colon gives the names, what stands behind it becomes an operator and a value,
at last a POSIX expression. The blanks behind the colon are no part of a value, so a pattern's
blanks there are taken away. What cannot be told apart so raises `UntranslatedError`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from iems.codec.pattern import Pattern, PatternError
from sieve.importing.imported import UntranslatedError
from sieve.importing.regex import ANY, BLANK, Char, Choice, Edge, Piece, Sequence, Set
from sieve.mailsort.rule import Operator

_VARIANTS = 64
"""Fields and beginnings of values that one pattern may come to; `^TO` of procmail names 15."""

_NAMED = 80
_LITERALS = 64
"""Values that an alternation is written out as."""

_PRINTED = 1000
"""Characters of a printed expression."""


@dataclass(frozen=True, slots=True)
class FieldPart:
    """What one way through a pattern asks of a field: its name, and what its value is to be.

    `exact` says that the name was followed by a colon; else other fields begin like it, too.
    `anchored` says that the pattern stands at the begin of a line. The name `from ` is the
    envelope's, in the line that precedes a header.
    """

    name: str
    rest: Sequence
    exact: bool
    anchored: bool


def fields(pattern: Choice) -> tuple[FieldPart, ...]:
    """All that a pattern may ask of fields."""
    found: list[FieldPart] = []
    for sequence in pattern.of:
        for part in _lines(sequence):
            found.append(part)
            if len(found) > _VARIANTS:
                raise UntranslatedError(f"it asks for more than {_VARIANTS} fields")
    return tuple(dict.fromkeys(found))


def _lines(sequence: Sequence) -> Iterator[FieldPart]:
    """Ways to the begin of a line."""
    if sequence and sequence[0].atom is Edge.BEGIN:
        yield from _names(sequence[1:], "", anchored=True)
    elif sequence and isinstance(sequence[0].atom, Choice) and not sequence[0].times:
        for one in sequence[0].atom.of:
            yield from _lines(one + sequence[1:])
    else:
        yield from _names(sequence, "", anchored=False)


def _names(sequence: Sequence, name: str, *, anchored: bool) -> Iterator[FieldPart]:
    """Ways to the colon behind a field's name."""
    if len(name) > _NAMED:
        raise UntranslatedError(f"it asks for a field with more than {_NAMED} letters")
    if not sequence:
        yield FieldPart(name, (), exact=False, anchored=anchored)
        return
    piece, rest = sequence[0], sequence[1:]
    atom = piece.atom
    if isinstance(atom, Choice) and piece.times in {"", "?"}:
        for one in atom.of:
            yield from _names(one + rest, name, anchored=anchored)
    elif isinstance(atom, Set) and piece.times in {"", "?"} and (few := _few(atom)):
        for char in few:
            yield from _names((Piece(Char(char)), *rest), name, anchored=anchored)
    elif atom == Char(" ") and name.lower() in {"from", ">from"}:
        yield FieldPart(f"{name.lower()} ", rest, exact=True, anchored=anchored)
    elif isinstance(atom, Char) and piece.times in {"", "?"}:
        if atom.char == ":":
            yield FieldPart(name, rest, exact=True, anchored=anchored)
        else:
            yield from _names(rest, name + atom.char, anchored=anchored)
    else:
        yield FieldPart(name, sequence, exact=False, anchored=anchored)
        return
    if piece.times == "?":
        yield from _names(rest, name, anchored=anchored)


def _few(one: Set) -> str:
    """The characters of a small set."""
    if one.negated or sum(ord(high) - ord(low) + 1 for low, high in one.ranges) > 4:
        return ""
    return "".join(chr(at) for low, high in one.ranges for at in range(ord(low), ord(high) + 1))


# Values


@dataclass(frozen=True, slots=True)
class Value:
    """A text that is looked for in a value; `before` is a set that the begin will do for."""

    body: Sequence
    begin: bool
    end: bool
    before: Set | None = None
    after: Set | None = None


def values(rest: Sequence, *, blank: bool = False) -> tuple[tuple[Operator, str], ...]:
    """Operators and values of which one has to fit; rest is what stands behind the colon.

    There a blank always stands, and a pattern that leaves no room for it fits nothing; unless
    `blank` says that it stood before rest.
    """
    found: list[Value] = []
    for head in _heads(rest, begin=True, blank=blank):
        if head not in found:
            found.append(head)
        if len(found) > _VARIANTS:
            raise UntranslatedError("its expression begins in too many ways")
    if not found:
        raise UntranslatedError("it leaves no room for the blank behind the colon")
    for one in tuple(found):
        if one.begin and any(
            other.before and (other.body, other.end, other.after) == (one.body, one.end, one.after)
            for other in found
        ):
            found.remove(one)
    return tuple(dict.fromkeys(pair for one in found for pair in _operators(one)))


def anywhere(pattern: Choice) -> tuple[tuple[Operator, str], ...]:
    """Operators and values for a text of many lines, in which there are no edges and no `.`."""
    literals = _literals((Piece(pattern),))
    if literals and all(literals):
        return tuple((Operator.CONTAINS, one) for one in literals)
    for piece in _pieces(pattern):
        if isinstance(piece.atom, Edge) or (isinstance(piece.atom, Set) and piece.atom.negated):
            raise UntranslatedError(
                "it asks for lines of the body, of which only the text is known"
            )
    return ((Operator.REGEX, _regex("|".join(map(_printed, pattern.of)))),)


def _pieces(choice: Choice) -> Iterator[Piece]:
    for sequence in choice.of:
        for piece in sequence:
            yield piece
            if isinstance(piece.atom, Choice):
                yield from _pieces(piece.atom)


def _heads(rest: Sequence, *, begin: bool, blank: bool, depth: int = 0) -> Iterator[Value]:
    """Ways into a value: its begin, or anywhere in it; blanks at the begin are none of it.

    `blank` says that the one behind the colon is behind us. Until then something has to take it:
    what begins there without fits nothing, and anywhere in it the begin will do for a blank.
    """
    if depth > _VARIANTS:
        raise UntranslatedError("its expression begins in too many ways")
    if not rest:
        yield _tail((), begin=False, before=None)
        return
    piece, later = rest[0], rest[1:]
    atom = piece.atom
    unbound = {"*"} if blank else {"*", "+"}
    if isinstance(atom, Choice) and piece.times in {"", "?"} and _meets_blank((piece,)):
        variants = [one + later for one in atom.of]
        variants += [later] if piece.times else []
        for one in variants:
            yield from _heads(one, begin=begin, blank=blank, depth=depth + 1)
    elif piece.optional if not begin else atom == ANY and piece.times in unbound:
        yield from _heads(later, begin=False, blank=blank, depth=depth + 1)
    elif blank and begin and isinstance(atom, Char | Set) and _is_blank(atom):
        yield from _heads(later, begin=True, blank=True, depth=depth + 1)
    elif blank:
        yield _tail(rest, begin=begin, before=None)
    elif isinstance(atom, Char | Set) and _holds_blank(atom):
        if piece.times.startswith("{"):
            raise UntranslatedError("it counts what stands behind the colon, blanks among it")
        if not begin:
            whole = Set(((" ", " "),)) if isinstance(atom, Char) else atom
            yield _tail(later, begin=False, before=None if whole == ANY else whole)
            return
        if not _is_blank(atom) and piece.times in {"*", "+"}:
            yield _tail((Piece(atom, "*"), *later), begin=True, before=None)
        else:
            yield from _heads(later, begin=True, blank=True, depth=depth + 1)
        if piece.optional:
            yield from _heads(later, begin=True, blank=False, depth=depth + 1)
    elif not begin:
        yield _tail(rest, begin=False, before=None)


def _is_blank(atom: Char | Set) -> bool:
    return atom == Char(" ") or atom == BLANK


def _holds_blank(atom: Char | Set) -> bool:
    return atom.char in " \t" if isinstance(atom, Char) else " " in atom


def _meets_blank(sequence: Sequence) -> bool:
    """Whether the first character that it takes may be a blank, or it has edges in it."""
    for piece in sequence:
        atom = piece.atom
        if isinstance(atom, Edge):
            return True
        if isinstance(atom, Choice):
            if any(_meets_blank(one) for one in atom.of):
                return True
            if not piece.optional and all(map(len, atom.of)):
                return False
        elif _holds_blank(atom):
            return True
        elif not piece.optional:
            return False
    return False


def _tail(body: Sequence, *, begin: bool, before: Set | None) -> Value:
    """The value without what may as well be missing at its end."""
    end, after = False, None
    if body and body[-1].atom is Edge.END:
        end, body = True, body[:-1]
        while body and isinstance(body[-1].atom, Char | Set) and body[-1].optional:
            if _is_blank(body[-1].atom):
                body = body[:-1]
            elif body[-1].atom == ANY:
                end, body = False, body[:-1]
            else:
                break
    last = body[-1] if body and not end else None
    if last and isinstance(last.atom, Set) and last.atom.edges and not last.times:
        after, body = last.atom, body[:-1]
    while body and not end and after is None and body[-1].optional:
        body = body[:-1]
    return Value(body, begin, end, before, after)


def _operators(value: Value) -> Iterator[tuple[Operator, str]]:
    """The simplest operators that mean the same."""
    if value.before is None and value.after is None:
        literals = _literals(value.body)
        if literals is not None:
            for one in literals:
                yield _plain(one, begin=value.begin, end=value.end)
            return
        if (wild := _wild(value)) is not None:
            yield Operator.MATCHES, wild
            return
    if not _within_line(value.body, last=not value.end and value.after is None):
        raise UntranslatedError("it asks for more than one line of the header")
    begin = "^" if value.begin else f"(^|{_bracket(value.before)})" if value.before else ""
    end = "$" if value.end else f"($|{_bracket(value.after)})" if value.after else ""
    yield Operator.REGEX, _regex(f"{begin}{_printed(value.body)}{end}")


def _within_line(body: Sequence, *, last: bool) -> bool:
    """Whether there is no edge in it but an end, which is the `last` of all."""
    for place, piece in enumerate(body):
        here = last and place == len(body) - 1
        if isinstance(piece.atom, Edge) and not (here and piece.atom is Edge.END):
            return False
        if isinstance(piece.atom, Choice):
            here = here and not piece.times
            if not all(_within_line(one, last=here) for one in piece.atom.of):
                return False
    return True


def _plain(text: str, *, begin: bool, end: bool) -> tuple[Operator, str]:
    if begin and end:
        return Operator.IS, text
    if not text:
        return Operator.EXISTS, ""
    if begin or end:
        return Operator.MATCHES, f"{'' if begin else '*'}{_escaped(text)}{'' if end else '*'}"
    return Operator.CONTAINS, text


def _wild(value: Value) -> str | None:
    """As literals with `*` between them."""
    found = "" if value.begin else "*"
    for piece in value.body:
        if isinstance(piece.atom, Char) and not piece.times:
            found += _escaped(piece.atom.char)
        elif piece.atom == ANY and piece.times == "*":
            found += "*"
        else:
            return None
    return _bounded(f"{found}{'' if value.end else '*'}")


def _escaped(text: str) -> str:
    return "".join(f"\\{one}" if one in "\\*?" else one for one in text)


def _literals(sequence: Sequence) -> tuple[str, ...] | None:
    """All texts that fit, if they are few."""
    found = [""]
    for piece in sequence:
        if isinstance(piece.atom, Char):
            here: tuple[str, ...] | None = (piece.atom.char,)
        elif isinstance(piece.atom, Choice):
            here = _joined(piece.atom)
        else:
            return None
        if here is None or piece.times not in {"", "?"}:
            return None
        here = (*here, "") if piece.times else here
        if len(found) * len(here) > _LITERALS:
            return None
        found = [one + more for one in found for more in here]
    return tuple(dict.fromkeys(found))


def _joined(choice: Choice) -> tuple[str, ...] | None:
    found: list[str] = []
    for one in choice.of:
        more = _literals(one)
        if more is None:
            return None
        found += more
    return tuple(found)


def _printed(sequence: Sequence) -> str:
    """As a POSIX extended expression."""
    found = ""
    for piece in sequence:
        atom = piece.atom
        if isinstance(atom, Char):
            found += f"\\{atom.char}" if atom.char in "\\^$.[]|()*+?{}" else atom.char
        elif isinstance(atom, Set):
            found += _bracket(atom)
        elif isinstance(atom, Choice):
            found += f"({'|'.join(map(_printed, atom.of))})"
        else:
            found += atom.value
        found += piece.times
    return found


def _bracket(one: Set) -> str:
    """A set in brackets: `]` comes first, `-` last, and `^` never first."""
    if not one.ranges:
        return "."
    singles = {low for low, high in one.ranges if low == high}
    ranges = "".join(f"{low}-{high}" for low, high in one.ranges if low != high)
    others = "".join(low for low, high in one.ranges if low == high and low not in "]-^")
    middle = ranges + others
    close, dash = "]" if "]" in singles else "", "-" if "-" in singles else ""
    caret = "^" if "^" in singles else ""
    if caret and not (one.negated or close or middle):
        return f"[-{caret}]" if dash else "\\^"
    return f"[{'^' if one.negated else ''}{close}{middle}{caret}{dash}]"


def _regex(text: str) -> str:
    """The expression, if it is small once it is compiled: repetitions of repetitions may not be."""
    try:
        Pattern.compile(_bounded(text), case=False)
    except PatternError as error:
        raise UntranslatedError(f"its expression {text[:60]!r}: {error}") from None
    return text


def _bounded(text: str) -> str:
    if len(text) > _PRINTED:
        raise UntranslatedError(f"its expression would have more than {_PRINTED} characters")
    return text
