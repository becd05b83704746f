"""The page with a learning curve: charts, a table, and nothing that runs or loads."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import pytest

from cli.bayes.picture import page
from lmtp.bayes.curve import Point

DAY = 86400.0
NOW = 1_800_000_000.0


def points(count: int, step: float = DAY) -> list[Point]:
    rated = ((number, None if number < 3 else 50.0 + number) for number in range(count))
    return [Point(NOW + at * step, at + 1, 2 * at, rate) for at, rate in rated]


def tree(text: bytes) -> ET.Element:
    """The page as XML, of which it is but for its first lines."""
    body = re.search(rb"<body>.*</body>", text, re.DOTALL)
    assert body is not None
    return ET.fromstring(body.group())  # noqa: S314 - our own page


def lines(page: ET.Element) -> dict[str, list[tuple[float, float]]]:
    """The places of each line."""
    found = page.iter("{http://www.w3.org/2000/svg}polyline")
    return {
        one.attrib["class"]: [
            (float(x), float(y))
            for x, y in (place.split(",") for place in one.attrib["points"].split())
        ]
        for one in found
    }


def test_each_figure_is_in_a_line() -> None:
    drawn = lines(tree(page("alice@example.test", points(30), "")))
    assert {name: len(places) for name, places in drawn.items()} == {
        "right": 27,
        "ham": 30,
        "spam": 30,
    }
    for name in ("right", "ham", "spam"):
        across, heights = zip(*drawn[name], strict=True)
        assert list(across) == sorted(across), name
        assert list(heights) == sorted(heights, reverse=True), "more is further up"
    assert drawn["spam"][-1][1] < drawn["ham"][-1][1]


@pytest.mark.parametrize("step", [0.0, 0.001, 60.0, 3600.0, DAY, 400 * DAY])
def test_the_axis_of_time_has_some_marks_whatever_it_spans(step: float) -> None:
    text = page("a@b.test", points(20, step), "")
    marks = re.findall(rb">(\d\d-\d\d(?: \d\d:\d\d)?)</text>", text)
    assert 2 <= len(marks) <= 14, "of two charts"


@pytest.mark.parametrize("count", [1, 2, 19, 20, 21, 1000])
def test_the_table_ends_with_the_last_figures(count: int) -> None:
    rows = list(tree(page("a@b.test", points(count), "")).iter("tr"))
    assert 2 <= len(rows) <= 21
    cells = [cell.text for cell in rows[-1]]
    assert cells[1:3] == [f"{count:,}", f"{2 * count - 2:,}"]


def test_a_page_without_figures_says_so() -> None:
    text = page("a@b.test", [], "Nothing yet.")
    assert b"<p>Nothing yet.</p>" in text
    assert b"<svg" not in text


def test_it_is_text_and_loads_nothing() -> None:
    text = page("<script>x@b.test", points(5), "&<i>")
    assert b"How the filter of &lt;script&gt;x@b.test learns</title>" in text
    assert b"<p>&amp;&lt;i&gt;</p>" in text
    assert b"<script" not in text
    assert set(re.findall(rb"\w+://[^\"]*", text)) == {b"http://www.w3.org/2000/svg"}
    assert b"url(" not in text
    assert b"prefers-color-scheme: dark" in text
