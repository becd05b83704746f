"""Medians, spreads, and the table that docs/benchmarks.md shows. No measurement happens here."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence


def row(
    name: str, rates: Sequence[float], base: Sequence[float] = (), target: float | None = None
) -> str:
    """One row of the table: messages a second of each round, and the ratio to `base`, if any.

    The ratio is taken round by round, so that what else the machine did falls on both.
    """
    wanted = "" if target is None else f"{target:.2f}"
    ratios = [rate / alone for rate, alone in zip(rates, base, strict=True)] if base else []
    ratio = _spread(ratios, ".2f") if ratios else ""
    return f"| {name} | {_spread(rates, '.0f')} | {ratio} | {wanted} |"


def table(title: str, rows: Sequence[str], facts: Mapping[str, object]) -> str:
    """The whole table in Markdown, with the facts that make it checkable beneath."""
    head = ["| run | messages/s | ratio | target |", "| --- | --- | --- | --- |"]
    told = [f"- {name}: {value}" for name, value in facts.items()]
    return "\n".join([f"## {title}", "", *head, *rows, "", *told, ""])


def _spread(values: Sequence[float], form: str) -> str:
    middle, least, most = statistics.median(values), min(values), max(values)
    return f"{middle:{form}} ({least:{form}} to {most:{form}})"
