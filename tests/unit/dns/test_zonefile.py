"""The resolver of scripts: it answers what the text holds and nothing else."""

from __future__ import annotations

import pytest

from iems.dns.resolver import Answer, Status
from iems.dns.zonefile import UnexpectedQuestionError, ZoneFileError, ZoneResolver
from iems.serve.deadline import Deadline

ZONE = """
; two records of one name
Listed.test.   A    127.0.0.2
listed.test    A    127.0.0.3   ; a comment
listed.test    TXT  "why and how"
1.in-addr.arpa PTR  Mail.Test.
key.test       TXT  "v=DKIM1; p=" ; a comment
clear.test     A    NXDOMAIN
slow.test      A    TIMEOUT
_dmarc.test    TXT  "v=DMARC1; p=none;" " sp=reject"   ; a comment
"""


def test_records_errors_and_text() -> None:
    resolver = ZoneResolver(ZONE)
    deadline = Deadline.after(0)
    seen: list[Answer] = []
    found = resolver.ask("LISTED.test", "A", seen.append).result(deadline)
    assert found.records == ("127.0.0.2", "127.0.0.3")
    assert seen == [found]
    assert resolver.ask("listed.test", "TXT").result(deadline).records == ("why and how",)
    assert resolver.ask("1.in-addr.arpa.", "PTR").result(deadline).records == ("mail.test",)
    assert resolver.ask("clear.test", "A").result(deadline) == Answer(Status.NXDOMAIN)
    seen.clear()
    assert resolver.ask("slow.test", "A", seen.append).result(deadline).status is Status.TIMEOUT
    assert not seen


def test_a_semicolon_in_quotes_starts_no_comment() -> None:
    answer = ZoneResolver(ZONE).ask("key.test", "TXT").result(Deadline.after(0))
    assert answer.records == ("v=DKIM1; p=",)


def test_a_question_that_is_not_listed_shows() -> None:
    with pytest.raises(UnexpectedQuestionError, match="AAAA"):
        ZoneResolver(ZONE).ask("listed.test", "AAAA")


def test_beside_a_whole_text_nothing_exists() -> None:
    resolver = ZoneResolver(ZONE, whole=True)
    deadline = Deadline.after(0)
    assert resolver.ask("Listed.test", "AAAA").result(deadline).status is Status.NODATA
    assert resolver.ask("other.test", "A").result(deadline).status is Status.NXDOMAIN


def test_a_semicolon_in_quotes_starts_no_comment_and_strings_are_joined() -> None:
    answer = ZoneResolver(ZONE).ask("_dmarc.test", "TXT").result(Deadline.after(0))
    assert answer.records == ("v=DMARC1; p=none; sp=reject",)


@pytest.mark.parametrize("line", ["name A", "name SRV 10 other", "name"])
def test_a_line_that_cannot_be_read_is_an_error_with_its_number(line: str) -> None:
    with pytest.raises(ZoneFileError, match="line 2"):
        ZoneResolver(f"ok A 127.0.0.1\n{line}")
