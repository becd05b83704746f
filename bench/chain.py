"""The full chain beside amavisd-new: pass-through checks, clamd, removal, a text, a signature.

Half of a run comes from outside and is the pass-through stage's (`bench.passthrough`), scanned by
clamd, too. The other half a user sends out: it is scanned, loses the archive with a program that
each fourth of it has, gets a text, and is signed. amavisd-new has the same clamd, its checks by
SpamAssassin, and altermime (`bench/chain.conf`). What was done is counted in the delivered messages
of every round, and an infected message must be refused: where not all was done, there is no table
but an error.
"""

from __future__ import annotations

import datetime
import email
import itertools
import statistics
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from string import Template

from bench import corpus, figures, load, names, passthrough, smtp, suite
from bench.smtp import BOXES, Bench, Work
from iems.codec.header import parse_header, split_message
from iems.store.signingkeys import DomainKeys, SigningKey, make_folder
from tests import samples, signing
from tests.integration.stack.clamd import Clamd
from tests.integration.stack.ground import GROUP, Ground, owned, users
from tests.integration.stack.programs import need

MOST = 40
"""Messages of a run: amavisd-new takes some ten a second."""

FAR = "far.test"
TEXT = "This text was put in on the way."
ARCHIVE = samples.zipped(b"MZ\x90\0" + bytes(60), "setup.exe")
HOLDS = 4
"""One in so many of those that leave holds a program."""

RIVAL = "amavisd-new"
WAYS = {"warm": 5, RIVAL: 1}
"""How often each goes through these messages in a round: once would be a moment for ours."""

SETTINGS = """
[checks.virus]
mode = "enforce"
engines = {{ clamav = {{ kind = "clamd", server = "{clamd}" }} }}

[checks.attachment.programs]
mode = "enforce"
content = ["executable"]

[edits.text.footer]
plain = "{text}"
direction = "outside"

[signing]
keys = "{keys}"
"""


def measure(rounds: int, messages: int) -> str:
    """Ours and amavisd-new: a table for each size."""
    pools = corpus.messages(passthrough.SIZES)
    count = min(messages, MOST) // 2
    with _running() as (bench, record):
        return "\n".join(
            _sized(bench, record, pool, f"{size >> 10} KiB", (rounds, count))
            for size, pool in pools.items()
        )


@contextmanager
def _running() -> Iterator[tuple[Bench, str]]:
    """The bench with everything running, and the record of the key that signs."""
    need("amavisd", "altermime")
    users()
    with ExitStack() as stack:
        ground = Ground()
        stack.callback(ground.close)
        clamd = Clamd(ground)
        clamd.start()
        stack.callback(clamd.stop)
        folder = ground.place("chain")
        text = folder / "text"
        text.write_text(f"{TEXT}\n")
        key = _key(folder)
        theirs = Template((Path(__file__).parent / "chain.conf").read_text()).substitute(
            clamd=clamd.address.removeprefix("unix:"),
            text=text,
            domain=suite.DOMAIN,
            far=FAR,
            selector=key.selector,
            key=folder / "pem",
        )
        senders = corpus.senders()
        boxes = ", ".join(f"{user}={user.partition('@')[0]}/" for user in BOXES)
        work = Work(
            passthrough.CHECKS
            + SETTINGS.format(clamd=clamd.address, text=text, keys=folder / "keys"),
            tuple(record for sender in senders for record in sender.records),
            rivals=(RIVAL,),
            amavisd=theirs,
            first=names.OUTSIDE,
            main={
                "virtual_mailbox_domains": f"{suite.DOMAIN}, {FAR}",
                "virtual_mailbox_maps": f"inline:{{{boxes}, @{FAR}=user0/}}",
            },
        )
        yield smtp.started(ground, stack, work), key.record


def _key(folder: Path) -> SigningKey:
    """One of RSA, in our folder of keys and in a file that is amavisd-new's."""
    owned(folder, "root", GROUP, 0o755)
    make_folder(folder / "keys")
    now = datetime.datetime.now(datetime.UTC)
    keys = DomainKeys(suite.DOMAIN).prepared("rsa", "", now).activated(now)
    keys.write(folder / "keys")
    (folder / "pem").write_text(keys.keys[0].private.pem)
    owned(folder / "pem", "root", "amavis", 0o640)
    return keys.keys[0]


def _sized(
    bench: Bench, record: str, pool: Sequence[bytes], size: str, numbers: tuple[int, int]
) -> str:
    rounds, count = numbers
    inbound = passthrough.signed(pool, count)
    coming = passthrough.talks_for(bench, inbound, itertools.cycle(BOXES))
    talks = [talk for both in zip(coming, _leaving(pool), strict=False) for talk in both]
    forged = sum(sender.forged for sender, _text in inbound)
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    taken: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, Counter[str]] = {}
    for name in WAYS:
        _refuses(bench, name)
        bench.hold(name, talks)  # not counted: everybody is known from now on
    for number in range(rounds):
        for name in WAYS if number % 2 == 0 else reversed(WAYS):
            before, times = bench.cpu(name), WAYS[name]
            rates[name].append(
                statistics.harmonic_mean([bench.hold(name, talks).rate for _time in range(times)])
            )
            taken[name].append(1000 * (bench.cpu(name) - before) / len(talks) / times)
            print(f"{size}, round {number + 1} {name}: {rates[name][-1]:.1f}/s", flush=True)
            came, left = _parted(bench.delivered())
            found[name] = passthrough.found_in(bench, came)
            passthrough.complete(name, found[name], count - forged, forged)
            _edited(name, left, record, count)
    passthrough.agree(RIVAL, found["warm"], found[RIVAL])
    rows = [
        figures.row(f"{RIVAL}, {size}", rates[RIVAL]),
        figures.row(f"our milter, {size}", rates["warm"], rates[RIVAL]),
    ]
    facts = {
        "messages a run": f"{count} from outside, {count} that leave",
        "found in each run": passthrough.told(found["warm"]),
        f"not done by {RIVAL}": ", ".join(passthrough.LACKING[RIVAL]),
        "done by both in each run": f"{-(-count // HOLDS)} archives removed, {count} texts put in, "
        f"{count} signatures that hold",
        "processor time of the filter a message, ms (median)": ", ".join(
            f"{name} {statistics.median(taken[name]):.1f}" for name in WAYS
        ),
    }
    return figures.table(f"The full chain, {size}", rows, facts)


def _leaving(pool: Sequence[bytes]) -> Iterator[load.Conversation]:
    """What a user sends out, over and over; each fourth of these has the program.

    These are plain text, for altermime puts nothing into some pages.
    """
    plain = [
        one for one in pool if email.message_from_bytes(one).get_content_type() == "text/plain"
    ]
    for number, text in enumerate(itertools.cycle(plain)):
        yield _out(text if number % HOLDS else _holding(text))


def _holding(message: bytes) -> bytes:
    """Its content becomes the first of two parts; the other one is an archive with a program."""
    header, content = split_message(message)
    fields = parse_header(header).fields
    inner = b"".join(one.raw for one in fields if one.key.startswith(b"content-"))
    if b"content-type:" not in inner.lower():
        inner += b"Content-Type: text/plain\r\n"  # altermime puts nothing into a part without one
    gone = (b"content-", b"mime-version")
    outer = b"".join(one.raw for one in fields if not one.key.startswith(gone))
    head = outer + b"MIME-Version: 1.0\r\n"
    archive = samples.part(ARCHIVE, "application/zip", "offer.zip")
    return samples.mixed(inner + content, archive, boundary="of-the-bench", header=head)


def _out(message: bytes) -> load.Conversation:
    """Sent out by a user."""
    sender = BOXES[0]
    doubled = (b"From: A User <%s>\r\n" % sender.encode() + message).replace(b"\r\n.", b"\r\n..")
    return smtp.talk_for("127.0.0.1", "client.example", sender, f"somebody@{FAR}", doubled, sender)


def _refuses(bench: Bench, name: str) -> None:
    """What is infected is refused, from outside and to it; AssertionError where it is not."""
    infected = samples.mixed(samples.TEXT, samples.part(samples.ARCHIVE))
    outside = [(corpus.senders()[1], infected)]
    talks = [*passthrough.talks_for(bench, outside, BOXES), _out(infected)]
    replies = bench.refused(name, talks)
    assert [one[:2] for one in replies] == [b"55", b"55"], f"{name}: infected mail: {replies}"


def _parted(delivered: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """What came in, and what has left."""
    mark = f"\nDelivered-To: somebody@{FAR}\n".encode()
    left = [one for one in delivered if mark in one]
    return [one for one in delivered if mark not in one], left


def _edited(name: str, left: Sequence[bytes], record: str, count: int) -> None:
    """Each has the text and a signature that holds, and none a program; AssertionError else."""
    seen: Counter[str] = Counter()
    for raw in left:
        message = email.message_from_bytes(raw)
        parts = [bytes(one.get_payload(decode=True) or b"") for one in message.walk()]
        seen["text"] += any(TEXT.encode() in one for one in parts)
        seen["program"] += ARCHIVE in parts
        seen["signature"] += signing.second_opinion(raw.replace(b"\n", b"\r\n"), record)
    wanted = {"text": count, "program": 0, "signature": count}
    assert dict(seen) == wanted, f"{name}: {dict(seen)} in {len(left)} messages"
