"""One target under the fuzzer: `python -m tests.fuzz.worker TARGET WORD...`, words of libFuzzer.

The process ends with the fuzzer, which prints what it found; only here is atheris needed.
"""

from __future__ import annotations

import sys

import atheris

INSTRUMENTED = ["iems", "milters", "lmtp", "sieve", "tomllib"]


def main() -> None:
    """Instrument our packages as they are imported, then fuzz."""
    with atheris.instrument_imports(include=INSTRUMENTED):
        from tests.fuzz.bounds import within
        from tests.fuzz.targets import EDITOR, TARGETS
    name, *words = sys.argv[1:]
    law = within(TARGETS[name], EDITOR[name]) if name in EDITOR else TARGETS[name]
    atheris.Setup([sys.argv[0], *words], law)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
