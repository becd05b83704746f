"""The daily digest: who is told of what and when, once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from iems.codec.signed import ReleaseRequest, digest_id, request
from iems.directory.reader import DirectoryUnavailable
from iems.directory.toml import TomlDirectory
from iems.notices.digest import LAG, LONGEST, MOST
from iems.notices.postmaster import NoticeError, NoticeRefusedError
from iems.store.digest import Digests, Event
from iems.store.quarantine import Quarantine
from iems.store.records import Record
from tests.unit.notices.digests import DAY, SECRET, USERS, Directory, Post


@pytest.fixture
def post(tmp_path: Path) -> Iterator[Post]:
    """After the first run, at noon."""
    made = Post(tmp_path, Directory(TomlDirectory.parse(USERS)))
    with closing(made):
        made.add("lmtp")
        made.add("milter")
        assert made.run() == []
        yield made


def test_once_a_day_at_its_hour_and_only_who_has_something(post: Post) -> None:
    post.happens("junk")
    assert post.run(17.9) == []
    assert post.run(0.2) == ["alice@b.test"]
    assert post.run(0.1) == []
    post.happens("junk", "bob")
    assert post.run(20) == []
    assert post.run(4) == ["bob@b.test"]
    assert post.run(24) == []
    assert sum(post.directory.asked) == 2


def test_what_was_before_the_first_run_is_not_told(tmp_path: Path) -> None:
    with closing(Post(tmp_path, Directory(TomlDirectory.parse(USERS)))) as post:
        post.now -= 3600
        post.happens("junk")
        post.now += 3600
        assert post.run() == []
        assert post.run(24) == []


def test_all_three_kinds_in_both_texts_and_in_his_language(post: Post) -> None:
    post.happens("reject", sender="refused@x.test")
    post.happens("reject", "bob", sender="other@x.test")
    post.happens("junk", sender="junk@x.test")
    name = post.keeps()
    assert post.run(24) == ["alice@b.test", "bob@b.test"]
    [(_to, message), _bob] = post.sent
    assert message["Subject"] == "Post, die nicht in Ihrem Posteingang ist: 3"
    assert message.get_content_type() == "multipart/alternative"
    post.sent.pop()
    for text in post.texts():
        for part in (
            *("refused@x.test", "junk@x.test", "grüße", "Abgelehnt", "Quarantäne"),
            "dnsbl/one: 192.0.2.1 is listed by one",
        ):
            assert part in text
        assert "other@x.test" not in text
    plain, html = post.texts()
    [address] = [line.split()[-1] for line in plain.splitlines() if "Freigeben:" in line]
    asked = request(address)
    assert isinstance(asked, ReleaseRequest)
    assert asked.id == name
    assert asked.signed_by([SECRET], "alice@b.test", ("dnsbl/one", "listed"))
    assert f'href="mailto:{address.replace("+", "%2B")}?subject=Freigeben"' in html


def test_bob_reads_the_language_of_the_site(post: Post) -> None:
    post.happens("reject", "bob")
    assert post.run(24) == ["bob@b.test"]
    assert post.sent[0][1]["Subject"] == "Mail that did not reach your inbox: 1"


def test_it_says_how_to_get_no_other_and_then_there_is_none(post: Post) -> None:
    post.happens("junk")
    assert post.run(24) == ["alice@b.test"]
    off = post.sent[0][1]["List-Unsubscribe"]
    assert off.startswith("<mailto:alice%2Biems-off-")
    with closing(Digests(post.folder / "digest.sqlite")) as digests:
        assert digests.refuse("alice@b.test")
        assert not digests.refuse("alice@b.test")
    post.happens("junk")
    post.happens("junk", "bob")
    assert post.run(24) == ["bob@b.test"]
    with closing(Digests(post.folder / "digest.sqlite")) as digests:
        assert digests.refuse("alice@b.test", refuses=False)
    assert post.run(24) == []
    post.happens("junk")
    assert post.run(24) == ["alice@b.test"]


def test_what_did_not_happen_is_not_told(post: Post) -> None:
    """Tried again later, delivered, somebody else's, an account that takes no mail, a digest."""
    post.happens("junk", reply="451 4.4.1 away")
    post.happens("quarantine", reply="451 4.3.1 full")
    post.happens("reject", reply="450 4.7.1 another one defers")
    post.happens("deliver")
    post.happens("junk", stage="release")
    post.happens("defer", reply="451 4.7.1 later")
    post.happens("junk", subject="domain b.test")
    post.happens("junk", "carol")
    post.happens("junk", "nobody")
    post.happens("junk", message_id=digest_id("mail.b.test", b"o" * 32))
    assert post.run(24) == []
    post.happens("junk", message_id=digest_id("mail.b.test", b"x" * 32))
    assert post.run(24) == ["alice@b.test"]


def test_what_is_released_or_gone_by_then_is_not_told(post: Post) -> None:
    name = post.keeps()
    Quarantine(post.folder / "quarantine").remove(name)
    assert post.run(24) == []
    gone, kept = post.keeps(subject=b"gone"), post.keeps(subject=b"kept")
    Quarantine(post.folder / "quarantine").remove(gone)
    assert post.run(24) == ["alice@b.test"]
    plain, html = post.texts()
    for text in (plain, html):
        assert "kept" in text
        assert "gone" not in text
    assert kept


def test_past_what_the_site_enforces_no_address_leads(post: Post) -> None:
    name = post.keeps(enforced=True)
    assert post.run(24) == ["alice@b.test"]
    for text in post.texts():
        assert f"Das kann nur der Postmaster freigeben: {name}" in text
        assert "Freigeben:" not in text


def test_it_tells_of_so_many_and_says_how_many_more(post: Post) -> None:
    rows = [f"s{number}@x.test" for number in range(MOST + 7)]
    for number, sender in enumerate(rows):
        post.happens("junk", sender=sender, time=post.now - LAG + number)
    assert post.run(24) == ["alice@b.test"]
    for text in post.texts():
        assert f"s{MOST + 6}@x.test" in text
        assert "s6@x.test" not in text
        assert "und 7 weitere" in text
    assert post.sent[0][1]["Subject"].endswith(f": {MOST + 7}")


def test_a_run_that_is_late_tells_all_of_a_week(post: Post) -> None:
    post.happens("junk", sender="old@x.test")
    post.now += 2 * DAY
    post.happens("junk", sender="new@x.test")
    post.now += LONGEST - DAY
    assert post.run() == ["alice@b.test"]
    plain, _html = post.texts()
    assert "new@x.test" in plain
    assert "old@x.test" not in plain


def test_what_could_not_be_sent_for_a_week_is_not_told(post: Post) -> None:
    post.happens("junk")
    post.error = NoticeError("away")
    assert post.run(18.1) == []
    post.error = None
    post.now += LONGEST - 3600
    post.happens("junk", "bob")
    assert post.run(24) == ["bob@b.test"]


@pytest.mark.parametrize("error", [NoticeError("away"), DirectoryUnavailable("away")])
def test_what_is_away_delays_a_digest_and_no_other_is_sent_meanwhile(
    post: Post, error: Exception
) -> None:
    post.happens("junk")
    post.happens("junk", "bob")
    post.error = error if isinstance(error, NoticeError) else None
    post.directory.away = isinstance(error, DirectoryUnavailable)
    assert post.run(18.1) == []
    assert "away" in post.warned[-1]
    post.happens("junk", sender="later@x.test")
    post.error, post.directory.away = None, False
    assert post.run(0.2) == ["alice@b.test", "bob@b.test"]
    assert "later@x.test" not in str(post.sent)
    assert post.run(0.2) == []
    assert post.run(24) == ["alice@b.test"]


def test_what_is_refused_for_good_is_dropped(post: Post) -> None:
    post.happens("junk")
    post.error = NoticeRefusedError("no")
    assert post.run(18.1) == []
    post.error = None
    assert post.run(24) == []


@pytest.mark.parametrize("seen", [True, False])
def test_killed_before_it_knows_that_a_digest_went(post: Post, seen: bool) -> None:
    """The records of the milter say whether it did."""
    post.happens("junk")
    post.happens("junk", "bob")
    post.killed = True
    assert post.run(18.1) == ["alice@b.test"]
    post.killed = False
    if seen:
        message_id = post.sent[0][1]["Message-ID"]
        row = Record("D", "end-of-message", "accept", message_id=message_id, time=post.now)
        post.add("milter", row)
    assert post.run(0.2) == (["bob@b.test"] if seen else ["alice@b.test", "bob@b.test"])
    assert post.run(24) == []


def test_what_came_after_the_digest_that_was_cut_off_is_told_by_the_next(post: Post) -> None:
    post.happens("junk", sender="first@x.test")
    post.killed = True
    assert post.run(18.1) == ["alice@b.test"]
    post.killed = False
    row = {"message_id": post.sent[0][1]["Message-ID"], "time": post.now}
    post.add("milter", Record("D", "end-of-message", "accept", **row))
    post.now += DAY - 7200
    post.happens("junk", sender="second@x.test")
    assert post.run(4) == ["alice@b.test"]
    plain, _html = post.texts()
    assert "second@x.test" in plain
    assert "first@x.test" not in plain


def test_a_run_without_time_goes_on_in_the_next(post: Post) -> None:
    post.happens("junk")
    post.happens("junk", "bob")
    assert post.run(18.1, seconds=0) == []
    assert post.run(0.2) == ["alice@b.test", "bob@b.test"]


def test_a_clock_that_was_set_back_begins_anew(post: Post) -> None:
    post.now -= 30 * DAY
    assert post.run() == []
    post.happens("junk")
    assert post.run(24) == ["alice@b.test"]


def test_records_that_cannot_be_read_keep_nobody_from_the_rest(post: Post) -> None:
    post.happens("junk")
    post.happens("reject")
    file, away = post.records["milter"], post.folder / "away"
    away.mkdir()
    kept = [one.rename(away / one.name) for one in file.parent.glob(f"{file.name}*")]
    file.write_bytes(b"no database")
    assert post.run(24) == ["alice@b.test"]
    assert "digests lack what is in records" in post.warned[0]
    for one in kept:
        one.rename(file.parent / one.name)
    assert post.run(0.2) == [], "one digest a day"
    assert post.run(24) == ["alice@b.test"]


def test_damaged_reasons_and_descriptions_are_told_without_them(post: Post) -> None:
    damaged: tuple[dict[str, object], ...] = (
        {},
        {"reasons": 3},
        {"reasons": [{"action": "no"}]},
        {"reasons": [{}, None]},
    )
    for bad in damaged:
        post.happens("junk", details=bad)
    name = post.keeps()
    (post.folder / "quarantine" / f"{name}.json").write_text("{}")
    assert post.run(24) == ["alice@b.test"]
    assert name in post.texts()[0]


def test_ten_thousand_users_are_not_asked_about(post: Post) -> None:
    """Only who has something to be told is, a hundred at once."""
    with closing(Digests(post.folder / "digest.sqlite")) as digests:
        rows = [Event(f"u{n:03}@b.test", "junk", post.now, "s@x.test", "") for n in range(250)]
        digests.reach("lmtp", post.now, rows)
    assert post.run(24) == []
    assert post.directory.asked == [100, 100, 50]


def test_a_mail_server_that_takes_nothing_ends_the_run(post: Post) -> None:
    users = "".join(f'[users."u{number:02}@b.test"]\n' for number in range(15))
    post.directory.real = TomlDirectory.parse(USERS + users)
    for number in range(15):
        post.happens("junk", f"u{number:02}")
    post.error = NoticeError("away")
    assert post.run(24) == []
    assert len(post.warned) == 10
