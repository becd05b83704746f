"""Laws of what is read about mail that users sort: the texts of rules."""

from __future__ import annotations

from collections.abc import Callable

from sieve.diagnostic import Diagnostic, Severity
from sieve.mailsort.read import MailsortError, read_json, read_toml
from sieve.mailsort.rule import Mailsort
from sieve.mailsort.write import to_json, to_toml


def mailsort(data: bytes) -> None:
    """A text is rules, which both forms give back, or errors that say something."""
    for read in (read_toml, read_json):
        found, remarks = _read(read, data)
        for one in remarks:
            assert one.severity is Severity.ERROR
            assert 0 <= one.line <= data.count(b"\n") + 1
            assert "\n" not in one.message
        if found is None:
            assert remarks
        else:
            assert read_toml(to_toml(found).encode()) == found
            assert read_json(to_json(found).encode()) == found


def _read(
    read: Callable[[bytes], Mailsort], data: bytes
) -> tuple[Mailsort | None, tuple[Diagnostic, ...]]:
    try:
        return read(data), ()
    except MailsortError as error:
        return None, error.remarks
