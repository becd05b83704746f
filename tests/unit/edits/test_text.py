"""Text insertion: laws over messages of any bytes, and what cannot be put in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iems.edits.place import Place
from iems.edits.text import Block, Sealed, insert
from iems.mime.transfer import ENCODINGS, PLAIN, encode
from tests.cost import costs_less
from tests.golden.structures import STRUCTURES, message, multipart
from tests.golden.structures import plain as plain_text
from tests.inserted import faults

WORDS = [
    *("Hello", " ", "\n", "\n\n", "> ", ">", "-- \n", "From ", "wrote:\n", "\t", "=", "ü", "€"),
    *("\r", "=\n", "=C3", "<", "<!--", "-->", "</body>", "<body>", "<script>", "</html>", "'", '"'),
    *(
        '<a b="',
        "<blockquote type=cite>",
        "\n-----Original Message-----\nFrom: x\n",
        "\0",
        "\x1b$B",
    ),
    *("See:", "Example Ltd.", "<!-- iems-text text -->", "<!-- /iems-text text -->", "<div>", "+-"),
]
TEXT = st.lists(st.sampled_from(WORDS), max_size=12).map("".join)
CHARSET = st.sampled_from(
    [
        "us-ascii",
        "utf-8",
        "iso-8859-1",
        "iso-2022-jp",
        "gb18030",
        "utf-16",
        "utf-7",
        "x-nobody",
        "hz",
    ]
)
BLOCK = st.builds(
    Block,
    st.sampled_from(["Example Ltd.", "-- \n> Hello €\n\nSee:", " Hello", "From a\n b", "x" * 1100]),
    st.sampled_from(["", "<p>ü</p>", "<blockquote>x</blockquote>\n"]),
    st.sampled_from(Place),
    st.sampled_from(Sealed),
    st.sampled_from(Sealed),
    renew=st.booleans(),
)


@st.composite
def leaf(draw: st.DrawFn) -> str:
    """A text as a part, whose bytes may be none of its charset."""
    kind = draw(st.sampled_from(["plain", "plain; format=flowed", "html"]))
    encoding = draw(st.sampled_from(["7bit", "8bit", "quoted-printable", "base64"]))
    charset = draw(CHARSET)
    octets = draw(TEXT).encode("utf-8" if charset.startswith("x-") else charset, "replace")
    if draw(st.booleans()):
        octets = encode(encoding, octets, b"\n") if encoding in ENCODINGS - PLAIN else octets
    head = f"Content-Type: text/{kind}; charset={charset}\nContent-Transfer-Encoding: {encoding}"
    return f"{head}\n\n{octets.decode('latin-1')}"


MESSAGE = st.one_of(
    leaf().map(message),
    st.lists(leaf(), min_size=1, max_size=3).map(lambda parts: message(multipart("mixed", *parts))),
    st.lists(leaf(), min_size=1, max_size=3).map(
        lambda parts: message(multipart("alternative", *parts))
    ),
    st.builds(lambda data: data.replace(b"\r\n", b"\n"), leaf().map(message)),
    st.binary(max_size=60),
)


@given(MESSAGE, BLOCK)
def test_twice_is_once(data: bytes, block: Block) -> None:
    once = insert(data, block)
    after = once.of(data)
    assert not (once.reason and once.splices)
    assert after == data or not once.reason
    assert insert(after, block).of(after) == after


@st.composite
def well_formed(draw: st.DrawFn) -> bytes:
    """A message that every reader takes for the same."""
    letters = st.text(st.sampled_from(["a", " ", "\n", "ü", "=", ">", "."]), max_size=30)

    def text(kind: str) -> str:
        charset = draw(st.sampled_from(["utf-8", "iso-8859-1"]))
        octets = draw(letters).encode(charset)
        head = f"Content-Type: text/{kind}; charset={charset}\nContent-Transfer-Encoding: 8bit\n\n"
        return head + octets.decode("latin-1")

    texts = [text("plain"), text("html")]
    alternative = multipart("alternative", *texts, boundary="a")
    kind = draw(st.sampled_from(["alternative", "mixed", "related", "plain"]))
    attached = "Content-Type: a/b; name=x\n\nx\n"
    shapes = {
        "plain": texts[0],
        "alternative": alternative,
        "mixed": multipart("mixed", alternative, attached),
        "related": multipart("related", alternative, attached),
    }
    return message(shapes[kind])


@given(well_formed(), st.sampled_from(Place))
def test_another_reader_sees_it_everywhere_and_nothing_else_changed(
    data: bytes, place: Place
) -> None:
    edit = insert(data, Block("Ω 10 €", place=place))
    assert not edit.reason
    assert not faults(data, edit.of(data), "Ω 10 €")


@pytest.mark.parametrize("structure", STRUCTURES)
@pytest.mark.parametrize("place", Place)
def test_another_reader_of_every_structure(structure: str, place: Place) -> None:
    data = STRUCTURES[structure]
    edit = insert(data, Block("Ω 10 €", place=place, signed=Sealed.WRAP, encrypted=Sealed.WRAP))
    if not edit.reason and "utf-8-broken" not in structure:
        assert not faults(data, edit.of(data), "Ω 10 €")


@pytest.mark.parametrize(
    ("plain", "html", "marker", "told"),
    [
        (" \n", "", "text", "the plain text is empty"),
        ("x", "<html><p>y", "text", "<html> is of a whole page"),
        ("x", "y</BODY>", "text", "</BODY> is of a whole page"),
        ("x", "<!-- y", "text", "'<!-- y' has no end"),
        ("x", "<p title='y", "text", "has no end"),
        ("x", "<style>p{}", "text", "has no end"),
        ("x\x1b[2J", "", "text", r"the plain text holds a control character, '\x1b'"),
        ("x", "y\0", "text", r"the HTML holds a control character, '\x00'"),
        ("x", "", "a--b", "marker 'a--b': expected"),
        ("x", "", "", "marker '': expected"),
    ],
)
def test_what_cannot_be_put_in(plain: str, html: str, marker: str, told: str) -> None:
    with pytest.raises(ValueError) as error:  # noqa: PT011 - the text is compared
        Block(plain, html, marker=marker)
    assert told in str(error.value)


@pytest.mark.parametrize(
    ("plain", "html", "told"),
    [
        ("Hello\n> x\n", "", "the plain text looks like a message that is answered"),
        ("-----Original-----\nFrom: x", "", "the plain text looks like a message that is answered"),
        ("x", "<blockquote type=cite>", "the HTML looks like a message that is answered"),
    ],
)
def test_what_cannot_stand_above_a_quote(plain: str, html: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Block(plain, html, Place.QUOTE)
    Block(plain, html)


def test_a_block_of_another_system() -> None:
    """Its files may have CRLF, blanks at the ends of lines and empty lines around."""
    block = Block("\r\n-- \r\nExample \r\n\r\n", "\r\n<p>\r\nExample</p>\r\n")
    assert block.lines == "-- \nExample"
    assert block.fragment == "<p>\nExample</p>"


def test_a_block_that_ends_as_the_line_above_a_quote() -> None:
    data, block = message("\n> May I?\n"), Block("See:", place=Place.QUOTE)
    after = insert(data, block).of(data)
    assert after.endswith(b"\r\n\r\nSee:\r\n\r\n> May I?\r\n")
    assert not insert(after, block).splices


def test_a_letter_that_readers_of_a_charset_take_for_another() -> None:
    """In Shift_JIS the yen stands where most readers see a backslash."""
    data = plain_text("shift_jis", "表示\n")
    assert "¥ 10".encode() in insert(data, Block("¥ 10")).of(data)


@pytest.mark.parametrize("place", Place)
def test_lines_of_quoted_printable_that_are_not_changed_stay_as_they_are(place: Place) -> None:
    """An encoder that breaks lines and writes letters as no other does."""
    lines = b"=48ello=\r\n=20you\r\n" * 100
    head = b"Content-Type: text/%s\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
    for kind, before, behind in ((b"plain", b"", b""), (b"html", b"<p>", b"</p></body>\r\n")):
        data = head % kind + before + lines + behind
        after = insert(data, Block("Example Ltd.", place=place)).of(data)
        assert b"Example Ltd." in after
        assert after.count(b"=48ello=\r\n=20you\r\n") >= 99


def test_broken_quoted_printable_is_not_written_anew() -> None:
    """Readers make different texts of it, of which only one would be left."""
    data = message(
        "Content-Type: text/plain; charset=latin1\nContent-Transfer-Encoding: quoted-printable\n"
        "\n====\nHello.\n"
    )
    assert insert(data, Block("\u03a9")).reason == "its quoted-printable is broken"
    after = insert(data, Block("Example Ltd.")).of(data)
    assert after.startswith(data.removesuffix(b"Hello.\r\n"))
    assert b"Example Ltd." in after


def test_a_long_line_of_the_block_keeps_the_limit() -> None:
    data = message("\nHello.\n")
    after = insert(data, Block("x" * 2000)).of(data)
    assert max(map(len, after.split(b"\r\n"))) <= 76
    assert not faults(data, after, "x" * 2000)


@pytest.mark.parametrize(
    "body",
    [
        *(b'<a b="', b"<a ", b"<script></script ", b'</script a="', b'<div class="', b"> x\n"),
        *(b"x:\n", b'="', b"= '", b"</a><b "),
    ],
)
@pytest.mark.parametrize("kind", [b"html", b"plain"])
def test_hostile_texts_take_no_time(kind: bytes, body: bytes) -> None:
    data = b"Content-Type: text/%s\n\n%s" % (kind, body * (1_000_000 // len(body)))
    with costs_less(10):
        for place in Place:
            insert(data, Block("Example\nLtd.", place=place, renew=True))


def test_lines_of_dashes_take_no_time() -> None:
    data = b"\n" + (b"---x" + b"-" * 900 + b"y\n") * 1_000
    with costs_less(1.0):  # they take 0.1 s
        insert(data, Block("Example", place=Place.QUOTE))


def test_multiparts_in_each_other_take_no_time() -> None:
    data = b"Content-Type: text/plain\r\n\r\nHello.\r\n"
    for at in range(20):
        line = b"--b%d" % at
        head = b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n' % at
        data = head + line + b"\r\n" + data + b"\r\n" + line + b"--\r\n"
    with costs_less(3):
        assert insert(data, Block("Example")).splices
