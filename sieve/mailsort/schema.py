"""The JSON Schema of rules, made of the same tables as their reader: `make docs` writes it.

It describes a TOML text as well, once its dates and times are texts. What a schema cannot say
(which regular expressions are taken, what one rule may do) the reader alone refuses.
"""

from __future__ import annotations

import json

from sieve.mailsort.conditions import CONDITION, SHARED
from sieve.mailsort.kinds import Schema
from sieve.mailsort.language import ACTION, MAILSORT


def schema() -> Schema:
    """The schema, as draft 2020-12 has it."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Rules about incoming mail",
        **MAILSORT.schema,
        "$defs": {
            "condition": CONDITION.schema,
            **{name: one.schema for name, one in SHARED.items()},
            "action": ACTION.schema,
        },
    }


if __name__ == "__main__":
    print(json.dumps(schema(), indent=2))
