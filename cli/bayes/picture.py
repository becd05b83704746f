"""A learning curve as a page of HTML: two charts in SVG and the same figures as a table.

It needs no script, loads nothing, and follows the reader's choice of light or dark. Text is put in
as text: an address is never read as HTML.
"""

from __future__ import annotations

import datetime
import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lmtp.bayes.curve import WINDOW, Point

_LEFT, _RIGHT, _WIDTH = 56, 640, 720
_TOP, _HEIGHT, _GAP = 28, 150, 56
_ROWS = 20
"""Of the table: a page is read, and the charts have all of them."""

_TICKS = 6
_STEPS = (60, 300, 900, 3600, 10_800, 21_600, 86_400, 172_800, 604_800, 1_209_600, 2_592_000)
"""Seconds between two marks on the axis of time."""

_LABEL = "Two charts; their figures are in the table below"

_STYLE = f"""
:root {{ color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --faint: #d5d9de;
  --right: #1a7f37; --ham: #0969da; --spam: #bc4c00 }}
@media (prefers-color-scheme: dark) {{ :root {{ --paper: #14171a; --ink: #e6e9ec; --faint: #3a4046;
  --right: #4ac26b; --ham: #58a6ff; --spam: #f0883e }} }}
body {{ background: var(--paper); color: var(--ink); font: 16px/1.4 sans-serif; margin: 2em auto;
  max-width: {_WIDTH}px; padding: 0 1em }}
svg {{ width: 100%; height: auto }}
svg text {{ fill: var(--ink); font-size: 12px }}
svg .name {{ font-size: 14px; font-weight: bold }}
svg line {{ stroke: var(--faint) }}
svg polyline {{ fill: none; stroke-width: 2; stroke-linejoin: round }}
.right {{ stroke: var(--right) }} .ham {{ stroke: var(--ham) }}
.spam {{ stroke: var(--spam); stroke-dasharray: 6 3 }}
table {{ border-collapse: collapse }} th, td {{ padding: .2em 1em .2em 0; text-align: right }}
th:first-child, td:first-child {{ text-align: left }} tr {{ border-bottom: 1px solid var(--faint) }}
"""


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to places in the picture."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)


def page(user: str, points: Sequence[Point], known: str) -> bytes:
    """The whole page; `known` is a sentence about what is not in the charts."""
    html = ET.Element("html", lang="en")
    head = ET.SubElement(html, "head")
    ET.SubElement(head, "meta", charset="utf-8")
    ET.SubElement(head, "meta", name="viewport", content="width=device-width")
    title = f"How the filter of {user} learns"
    ET.SubElement(head, "title").text = title
    ET.SubElement(head, "style").text = _STYLE
    body = ET.SubElement(html, "body")
    ET.SubElement(body, "h1").text = title
    ET.SubElement(body, "p").text = known
    if points:
        _picture(body, points)
        _table(body, points)
    text: str = ET.tostring(html, encoding="unicode", method="html")
    return f"<!DOCTYPE html>\n{text}\n".encode()


def _picture(body: ET.Element, points: Sequence[Point]) -> None:
    height = _TOP + 2 * _HEIGHT + _GAP + 40
    svg = ET.SubElement(
        body,
        "svg",
        {"xmlns": "http://www.w3.org/2000/svg", "role": "img", "aria-label": _LABEL},
        viewBox=f"0 0 {_WIDTH} {height}",
    )
    first, last = points[0].time, max(points[-1].time, points[0].time + _STEPS[0])
    across = _Scale(first, last, _LEFT, _RIGHT)
    second = _TOP + _HEIGHT + _GAP
    for top in (_TOP, second):
        _times(svg, across, top)
    of_late = f"Right before it was told, of the last {WINDOW}, %"
    rated = [(one.time, one.accuracy) for one in points if one.accuracy is not None]
    lowest = min((value for _time, value in rated), default=0.0)
    percent = _Scale(min(90.0, 10 * math.floor(lowest / 10)), 100, _TOP + _HEIGHT, _TOP)
    _frame(svg, of_late, _TOP, percent)
    _line(svg, "right", "right", across, percent, rated)
    most = max(max(one.ham, one.spam) for one in points)
    count = _Scale(0, _round(most), second + _HEIGHT, second)
    _frame(svg, "Messages trained", second, count)
    _line(svg, "ham", "ham", across, count, [(one.time, one.ham) for one in points])
    _line(svg, "spam", "spam", across, count, [(one.time, one.spam) for one in points])


def _frame(svg: ET.Element, name: str, top: int, scale: _Scale) -> None:
    """The name of a chart, and its marks for values."""
    _text(svg, _LEFT, top - 10, name, "start", {"class": "name"})
    for mark in _marks(scale.low, scale.high):
        _rule(svg, _LEFT, scale(mark), _RIGHT, scale(mark))
        _text(svg, _LEFT - 8, scale(mark) + 4, f"{mark:,.0f}", "end")


def _times(svg: ET.Element, across: _Scale, top: int) -> None:
    """The marks for times, below a chart."""
    span = across.high - across.low
    step = next((one for one in _STEPS if span / one <= _TICKS), 0)
    step = step or _STEPS[-1] * math.ceil(span / _STEPS[-1] / _TICKS)
    form = "%m-%d" if step >= 86_400 else "%m-%d %H:%M"
    mark = math.ceil(across.low / step) * step
    while mark <= across.high:
        _rule(svg, across(mark), top, across(mark), top + _HEIGHT)
        _text(svg, across(mark), top + _HEIGHT + 16, _time(mark, form), "middle")
        mark += step


def _line(
    svg: ET.Element,
    kind: str,
    name: str,
    across: _Scale,
    scale: _Scale,
    values: Sequence[tuple[float, float]],
) -> None:
    if not values:
        return
    places = " ".join(f"{across(time)},{scale(value)}" for time, value in values)
    ET.SubElement(svg, "polyline", {"class": kind}, points=places)
    _text(svg, _RIGHT + 6, scale(values[-1][1]) + 4, f"{name} {values[-1][1]:,.0f}", "start")


def _table(body: ET.Element, points: Sequence[Point]) -> None:
    table = ET.SubElement(body, "table")
    row = ET.SubElement(table, "tr")
    for name in ("until", "ham", "spam", f"right of the last {WINDOW}, %"):
        ET.SubElement(row, "th").text = name
    for one in _some(points):
        row = ET.SubElement(table, "tr")
        rate = "-" if one.accuracy is None else f"{one.accuracy:.0f}"
        for text in (_time(one.time, "%Y-%m-%d %H:%MZ"), f"{one.ham:,}", f"{one.spam:,}", rate):
            ET.SubElement(row, "td").text = text


def _some(points: Sequence[Point]) -> Iterator[Point]:
    """Not more than fit into the table, evenly; the last is one of them."""
    every = math.ceil(len(points) / _ROWS)
    yield from reversed(points[::-1][::every])


def _marks(low: float, high: float) -> Iterator[float]:
    step = next(one for one in _round_numbers() if (high - low) / one <= 5)
    mark = math.ceil(low / step) * step
    while mark <= high:
        yield mark
        mark += step


def _round(value: float) -> float:
    """The next round number, 5 at least."""
    step = next(one for one in _round_numbers() if value / one <= 5)
    return max(5, math.ceil(value / step) * step)


def _round_numbers() -> Iterator[int]:
    for power in range(10):
        yield from (digit * 10**power for digit in (1, 2, 5))


def _rule(svg: ET.Element, left: float, top: float, right: float, bottom: float) -> None:
    ET.SubElement(svg, "line", x1=str(left), y1=str(top), x2=str(right), y2=str(bottom))


def _text(
    svg: ET.Element,
    left: float,
    top: float,
    text: str,
    anchor: str,
    more: dict[str, str] | None = None,
) -> None:
    place = {"x": str(left), "y": str(top), "text-anchor": anchor, **(more or {})}
    ET.SubElement(svg, "text", place).text = text


def _time(moment: float, form: str) -> str:
    return datetime.datetime.fromtimestamp(moment, datetime.UTC).strftime(form)
