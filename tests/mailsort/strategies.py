"""Rules and messages that often meet: both are drawn from the same few texts, hostile ones too.

`mailsorts(now)` are such as the reader takes, and `deliveries(now)` are messages with their facts;
`now` is the moment of delivery, for rules about days and hours lie around it.
"""

from __future__ import annotations

import base64
import datetime
import quopri
from collections.abc import Callable, Sequence
from typing import TypeVar

from hypothesis import strategies as st

from sieve.mailsort.rule import (
    Action,
    AddressTest,
    BodyTest,
    Book,
    Condition,
    Copy,
    DateTest,
    Delete,
    Discard,
    FindingTest,
    Flag,
    Forward,
    Group,
    HeaderTest,
    KnownTest,
    Mailsort,
    MarkRead,
    Move,
    Notify,
    Operator,
    Party,
    Quantity,
    Reject,
    Reply,
    Rule,
    ScoreTest,
    SizeTest,
    Stop,
    Test,
    TimeTest,
    Vacation,
    VerdictTest,
    Weekday,
    WeekdayTest,
)
from tests.mailsort.meaning import Facts

T = TypeVar("T")

USER = "bob@example.org"
ALIASES = ("bobby@example.org", "bob+lists@example.org")
OTHERS = ("ann@shop.example", "ANN@Shop.example", "news@mail.shop.example", "carl@example.net")
DOMAINS = ("shop.example", "example", "example.org", "op.example")
WORDS = (
    "invoice",
    "Invoice",
    "Bill",
    "café",
    "CAFÉ",
    'a "quoted" word',
    "back\\slash",
    "${from}",
    "${hex:40}",
    "*",
    "what?",
    "日本",
    "'; stop; #",
    "/* no comment",
    ".",
)
PATTERNS = ("inv*", "*ill", "caf??", "caf?", "*", r"\*", r"what\?", r"*\\*", "*$*", "?il?", '*"*')
EXPRESSIONS = ("^inv", "bill$", "caf..?$", "[0-9]+", r"\$\{", "(bill|invoice)", "q.*d", r"\\", '"')
NAMES = ("Subject", "Subject", "subject", "List-Id", "X-Kind")
FOLDERS = ("INBOX", "Trash", "Bills", "Work/Shop", 'a "b"', "Café", "${folder}", "back\\slash")
FLAGS = ("\\Flagged", "\\Seen", "$Label1", "todo")
CHECKS = (("dnsbl/zen", "listed"), ("spf", "fail"), ("virus", "infected"))
TEXTS = ("Away.", "Two\nlines", ".\n..\n.dots\n", '"${name}" \\ */', "Grüße", " blank ", "\n")
RULES = ("Invoices", 'a "name"', "Ärger */", "${x}", "# comment")


def mailsorts(now: datetime.datetime) -> st.SearchStrategy[Mailsort]:
    """Some rules, and a vacation or none."""
    return st.builds(
        Mailsort,
        st.lists(rules(now), max_size=6).map(tuple),
        st.none() | vacations(now),
    )


def rules(now: datetime.datetime) -> st.SearchStrategy[Rule]:
    """One rule."""
    return st.builds(
        Rule,
        st.sampled_from(RULES),
        st.none() | conditions(now),
        _actions(),
        st.sampled_from((True, True, True, False)),
    )


def conditions(now: datetime.datetime) -> st.SearchStrategy[Condition]:
    """Tests, and groups of them at most three deep."""
    return st.recursive(
        tests(now),
        lambda inner: st.builds(
            Group, st.sampled_from(Quantity), st.lists(inner, min_size=1, max_size=3).map(tuple)
        ),
        max_leaves=4,
    )


def tests(now: datetime.datetime) -> st.SearchStrategy[Test]:
    """One test of any kind, those of addresses and fields most often."""
    return st.one_of(
        _addresses(),
        _addresses(),
        _headers(),
        _headers(),
        st.builds(BodyTest, st.just(Operator.CONTAINS), _some(WORDS)),
        st.builds(SizeTest, st.booleans(), st.sampled_from((1, 300, 1024, 1 << 20))),
        _dates(now).filter(lambda one: one != DateTest()),
        _times(),
        st.builds(WeekdayTest, _some(tuple(Weekday))),
        st.builds(VerdictTest, _some(("tag", "junk"))),
        st.builds(ScoreTest, st.sampled_from((0, 50, 90, 99))),
        st.sampled_from(CHECKS).map(lambda one: FindingTest(one[0], one[1:])),
        st.builds(KnownTest, _some(tuple(Book))),
    )


def _some(of: Sequence[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(st.sampled_from(of), min_size=1, max_size=3, unique=True).map(tuple)


def _addresses() -> st.SearchStrategy[AddressTest]:
    party = st.sampled_from(Party)
    known = (USER, *ALIASES, *OTHERS)
    return st.one_of(
        st.builds(AddressTest, party, st.just(Operator.IS), _some(known)),
        st.builds(AddressTest, party, st.just(Operator.CONTAINS), _some(("bob", "SHOP", "+"))),
        st.builds(
            AddressTest,
            party,
            st.just(Operator.MATCHES),
            _some(("*@shop.example", "bob+*", "?nn@*")),
        ),
        st.builds(AddressTest, party, st.just(Operator.REGEX), _some((r"\+", "^(ann|bob)@"))),
        st.builds(AddressTest, party, st.just(Operator.IN_DOMAIN), _some(DOMAINS)),
        st.builds(AddressTest, party, st.just(Operator.EXISTS)),
    )


def _headers() -> st.SearchStrategy[HeaderTest]:
    name = st.sampled_from(NAMES)
    return st.one_of(
        st.builds(HeaderTest, name, st.just(Operator.IS), _some((*WORDS, ""))),
        st.builds(HeaderTest, name, st.just(Operator.CONTAINS), _some(WORDS)),
        st.builds(HeaderTest, name, st.just(Operator.MATCHES), _some(PATTERNS)),
        st.builds(HeaderTest, name, st.just(Operator.REGEX), _some(EXPRESSIONS)),
        st.builds(HeaderTest, name, st.just(Operator.EXISTS)),
    )


def _dates(now: datetime.datetime) -> st.SearchStrategy[DateTest]:
    day = st.integers(0, 2).map(lambda days: datetime.timedelta(days))
    return st.builds(
        DateTest,
        st.none() | day.map(lambda before: now.date() - before),
        st.none() | day.map(lambda after: now.date() + after),
    ) | st.just(DateTest(None, now.date() - datetime.timedelta(1)))


def _times() -> st.SearchStrategy[TimeTest]:
    """Hours far apart: a test that runs for a moment does not meet their edges."""
    hours = st.lists(st.sampled_from((0, 6, 12, 18)), min_size=2, max_size=2, unique=True)
    return hours.map(lambda two: TimeTest(datetime.time(two[0]), datetime.time(two[1])))


_LAST: tuple[tuple[Action, ...], ...] = ((), (), (), (Stop(),))


def _actions() -> st.SearchStrategy[tuple[Action, ...]]:
    """Such as a rule may have: flags anywhere, and a refusal without a filing beside it."""
    flags = st.sampled_from((MarkRead(), Flag(("\\Flagged",)))) | st.builds(Flag, _some(FLAGS))
    notices = st.builds(
        Notify, st.sampled_from(("phone@example.net", "pager@example.net")), st.just("") | _text()
    )
    keeping = st.one_of(
        st.builds(Move, st.sampled_from(FOLDERS)),
        st.builds(Copy, st.sampled_from(FOLDERS)),
        st.just(Delete()),
        st.builds(Forward, _some(OTHERS[2:]), st.booleans()),
        st.builds(Reply, _text(), st.sampled_from(("", 'Re: "${subject}" é')), st.integers(1, 30)),
        flags,
        notices,
    )
    kept = st.tuples(st.lists(keeping, min_size=1, max_size=3), st.sampled_from(_LAST))
    refusing = st.just(Discard()) | st.builds(Reject, _text())
    refused = st.tuples(st.lists(notices, max_size=1), refusing.map(lambda one: (one,)))
    return st.one_of(kept, kept, kept, refused).map(lambda two: (*two[0], *two[1]))


def _text() -> st.SearchStrategy[str]:
    return st.sampled_from(TEXTS)


def vacations(now: datetime.datetime) -> st.SearchStrategy[Vacation]:
    """One that may be over, or off."""
    return st.builds(
        lambda dates, text, subject, html, days, addresses, enabled: Vacation(
            text, subject, html, days, dates.since, dates.until, addresses, enabled
        ),
        _dates(now),
        _text(),
        st.sampled_from(("", "Away: ${subject}", "Grüße")),
        st.sampled_from(("", "<p>Grüße &amp; <b>Küsse</b></p>\n.\n")),
        st.integers(1, 30),
        st.lists(st.sampled_from(ALIASES), unique=True).map(tuple),
        st.sampled_from((True, True, False)),
    )


def deliveries(now: datetime.datetime) -> st.SearchStrategy[tuple[bytes, Facts]]:
    """A message with CRLF as its line ends, and what is known of its delivery."""
    return st.tuples(messages(), facts(now))


def facts(now: datetime.datetime) -> st.SearchStrategy[Facts]:
    """One recipient, written to by one of the others or by nobody."""
    return st.builds(
        Facts,
        st.sampled_from((*OTHERS, *OTHERS, *OTHERS, USER, "", "owner-list@example.net")),
        st.just(USER),
        st.just(now),
        st.none() | st.sampled_from((USER, *ALIASES)),
        st.sampled_from((None, None, None, "tag", "junk")),
        st.none() | st.integers(0, 100),
        st.lists(st.sampled_from(CHECKS), unique=True).map(dict),
        st.frozensets(st.sampled_from(Book)),
    )


def messages() -> st.SearchStrategy[bytes]:
    """Some fields in any order, and a body of one or two parts."""
    parties = st.sampled_from(("From", "Sender", "Reply-To", "To", "To", "Cc"))
    fields = st.one_of(
        st.tuples(parties, _mailboxes()),
        st.tuples(parties, _mailboxes()),
        st.tuples(st.sampled_from(NAMES), _value()),
        st.tuples(st.sampled_from(NAMES), _value()),
        st.sampled_from(
            (
                ("To", USER),
                ("Auto-Submitted", "auto-replied"),
                ("Auto-Submitted", "no"),
                ("Precedence", "bulk"),
                ("List-Unsubscribe", "<mailto:x@example.net>"),
            )
        ),
    )
    usual = st.tuples(
        st.tuples(st.just("To"), st.sampled_from((USER, USER, ALIASES[0])) | _mailboxes()),
        st.tuples(st.just("From"), _mailboxes()),
        st.tuples(st.just("Subject"), _value()),
    ).map(list)
    head = st.tuples(usual, st.lists(fields, max_size=4)).map(lambda two: two[0] + two[1])
    return st.builds(_message, head | st.lists(fields, max_size=2), _body())


def _message(fields: list[tuple[str, str]], body: tuple[list[str], bytes]) -> bytes:
    head = [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*head, *body[0], "", ""]).encode() + body[1]


@st.composite
def _value(draw: st.DrawFn) -> str:
    """A text as a field has it: bare, encoded or folded."""
    words = draw(st.lists(st.sampled_from(WORDS), max_size=2))
    write = draw(st.lists(st.sampled_from(_WRITTEN), min_size=len(words), max_size=len(words)))
    between = draw(st.sampled_from((" ", " ", "\r\n ", "\r\n\t")))
    return between.join(one(word) for one, word in zip(write, words, strict=True))


def _as_q(word: str) -> str:
    octets = word.encode()
    return f"=?utf-8?q?{''.join(f'={octet:02X}' for octet in octets)}?="


def _as_b(word: str) -> str:
    return f"=?UTF-8?B?{base64.b64encode(word.encode()).decode()}?="


_WRITTEN: tuple[Callable[[str], str], ...] = (str, str, _as_q, _as_b)


def _mailboxes() -> st.SearchStrategy[str]:
    """Addresses with names, comments, groups and folds around them."""
    address = st.sampled_from((USER, *ALIASES, *OTHERS))
    shape = st.sampled_from(
        (
            "{}",
            "<{}>",
            "Ann <{}>",
            '"Bob, (the) <bob@example.org>" <{}>',
            "{} (carl@example.net)",
            "(bob \\( @) {}",
            "=?utf-8?q?Gr=C3=BC=C3=9Fe?= <{}>",
            "friends: {};",
            "friends: Ann <{}>,\r\n\tcarl@example.net;",
        )
    )
    one = st.builds(str.format, shape, address)
    return st.lists(one, min_size=1, max_size=2).map(",\r\n ".join)


_HTML = "<html><body><p>{}</p></body></html>\r\n"


@st.composite
def _body(draw: st.DrawFn) -> tuple[list[str], bytes]:
    """The fields about a body, and its octets."""
    parts = draw(st.lists(_part(), min_size=1, max_size=2))
    if len(parts) == 1:
        return parts[0]
    octets = b"".join(
        b"--b\r\n" + "\r\n".join([*head, "", ""]).encode() + text for head, text in parts
    )
    return ["Content-Type: multipart/mixed; boundary=b"], octets + b"\r\n--b--\r\n"


@st.composite
def _part(draw: st.DrawFn) -> tuple[list[str], bytes]:
    word = draw(st.sampled_from(WORDS))
    if draw(st.booleans()):
        text, kind = f"One {word} line\r\n.\r\n", "plain"
    else:
        shown = word.replace("&", "&amp;").replace("<", "&lt;")
        text, kind = _HTML.format(shown), "html"
    charset = draw(st.sampled_from(("utf-8", "iso-8859-1" if word != "日本" else "utf-8")))
    octets = text.encode(charset)
    encoding = draw(st.sampled_from(("8bit", "base64", "quoted-printable")))
    if encoding == "base64":
        octets = base64.encodebytes(octets).replace(b"\n", b"\r\n")
    elif encoding == "quoted-printable":
        octets = quopri.encodestring(octets.replace(b"\r\n", b"\n")).replace(b"\n", b"\r\n")
    return [
        f"Content-Type: text/{kind}; charset={charset}",
        f"Content-Transfer-Encoding: {encoding}",
    ], octets
