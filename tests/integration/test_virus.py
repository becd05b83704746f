"""`virus` with a real clamd under its own user: what it finds, by itself, in other readings, and
behind ICAP."""

from __future__ import annotations

import subprocess
import sys

import pytest

from iems.model.server import Server
from iems.serve.deadline import Deadline
from milters.checks.virus import seen_by
from milters.engines.clamd import Clamd as Client
from milters.engines.engine import EngineError
from milters.engines.icap import Icap
from milters.engines.proven import Proven
from milters.engines.scanner import EICAR, Octets, Verdict
from tests import samples
from tests.conftest import ROOT
from tests.integration.scanned import LOCKED, alone, spooled, together
from tests.integration.stack.clamd import STREAM, Clamd
from tests.integration.stack.ground import Ground, running
from tests.integration.stack.icap import Icap as IcapServer
from tests.tricks.octets import TRICKS


@pytest.mark.parametrize("name", samples.PLAIN)
def test_clamd_finds_by_itself(clamd: Clamd, name: str) -> None:
    assert alone(clamd, samples.PLAIN[name]) is Verdict.INFECTED
    assert list(together(clamd, samples.PLAIN[name])) == [Verdict.INFECTED]


@pytest.mark.parametrize("name", samples.DOUBTFUL)
def test_what_clamd_misses_is_found_in_another_reading(clamd: Clamd, name: str) -> None:
    """Where it finds one of these by itself some day, the reading costs time for nothing."""
    assert alone(clamd, samples.DOUBTFUL[name]) is Verdict.CLEAN
    assert list(together(clamd, samples.DOUBTFUL[name])) == [Verdict.INFECTED]


def test_no_trick_hides_it(clamd: Clamd) -> None:
    said = {name: set(together(clamd, made(samples.ARCHIVE))) for name, made in TRICKS.items()}
    stopped = {Verdict.INFECTED, Verdict.UNSCANNED}
    assert {name: seen for name, seen in said.items() if seen.isdisjoint(stopped)} == {}


def test_clamd_is_told_that_it_gets_a_message(clamd: Clamd) -> None:
    one = Client(Server.parse(clamd.address))
    bare = one.scan(Octets.of(samples.HIDDEN), Deadline.after(20))
    assert bare.verdict is Verdict.CLEAN
    assert alone(clamd, samples.HIDDEN) is Verdict.INFECTED


def test_what_is_clean_encrypted_or_too_large(clamd: Clamd, ground: Ground) -> None:
    """Behind a port and behind a unix socket: it closes while more is sent to it."""
    clean = samples.mixed(samples.TEXT, samples.part(samples.zipped(b"x" * 100)))
    assert together(clamd, clean) == {}
    assert together(clamd, LOCKED) == {Verdict.ENCRYPTED: "Heuristics.Encrypted.Zip"}
    large = samples.HEADER + b"\r\n" + EICAR + b"\r\n" + bytes(2 * STREAM)
    with running(Clamd(ground)) as other:
        for one in (clamd, other):
            said = together(one, large)
            assert said == {Verdict.UNSCANNED: "larger than StreamMaxLength"}
        assert alone(other, samples.ATTACHED) is Verdict.INFECTED


def test_the_same_clamd_behind_icap(clamd: Clamd, ground: Ground) -> None:
    """One that has lost its clamd gives no verdict; one that never had it finds all clean."""
    within = Deadline.after(30)
    with running(IcapServer(ground, clamd)) as server:
        one = Proven(Icap(Server.parse(server.address), "avscan"))
        assert one.ping(within) == ""
        for message in (*samples.PLAIN.values(), *samples.DOUBTFUL.values()):
            assert list(seen_by(one, spooled(message), within)) == [Verdict.INFECTED]
        assert dict(seen_by(one, spooled(LOCKED), within)) == {
            Verdict.ENCRYPTED: "Heuristics.Encrypted.Zip"
        }
        for sign in (b"%PDF-1.4\n", b"\x89PNG\r\n\x1a\n", b"BM"):
            assert one.scan(Octets.of(sign + EICAR), within).verdict is Verdict.INFECTED
        clean = samples.mixed(samples.TEXT, samples.part(bytes(STREAM // 2)))
        assert dict(seen_by(one, spooled(clean), within)) == {}
        other = Proven(Icap(Server.parse(server.address), "nothing"))
        assert other.ping(within) == "answers with error 404"
        clamd.stop()
        try:
            with pytest.raises(EngineError, match="answers with error 500"):
                one.scan(Octets.of(EICAR), within)
            with running(IcapServer(ground, clamd)) as without:
                bare = Icap(Server.parse(without.address), "avscan")
                assert bare.scan(Octets.of(EICAR), within).verdict is Verdict.CLEAN
                with pytest.raises(EngineError, match="does not find the test virus"):
                    Proven(bare).scan(Octets.of(b"x"), within)
        finally:
            clamd.start()


def test_a_filter_in_a_pipe_lets_pass_what_it_finds_nothing_in(clamd: Clamd) -> None:
    """By any user, without settings; it ends in time where clamd is gone."""

    def scan(message: bytes) -> tuple[int, bytes, str]:
        call = "import sys; from cli.main import main; sys.exit(main())"
        words = ("--settings", "/nowhere", "edit", "scan", "--clamd", clamd.address)
        done = subprocess.run(
            [sys.executable, "-c", call, *words],
            input=message,
            capture_output=True,
            check=False,
            env={"PYTHONPATH": str(ROOT)},
            user="nobody",
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr.decode()

    clean = samples.mixed(samples.TEXT, samples.part(samples.zipped(b"x" * 100)))
    assert scan(clean) == (0, clean, "")
    named = "iems: rejected: infected: Test.Eicar.UNOFFICIAL\n"
    assert scan(samples.DOUBTFUL["yEnc"]) == (1, b"", named)
    assert scan(LOCKED) == (0, LOCKED, "iems: warning: encrypted: Heuristics.Encrypted.Zip\n")
    clamd.stop()
    try:
        code, passed, told = scan(clean)
    finally:
        clamd.start()
    assert (code, passed) == (75, b"")
    assert "iems: not scanned: clamd cannot be asked: Connection refused" in told
