"""The pass-through stage with all its checks, beside Postfix alone and rspamd with the same checks.

Four blacklists, iprev, HELO, SPF, DKIM, DMARC and three header rules, on signed messages of a
corpus (`bench.corpus`) of about 4 and 50 KiB. Everything else is as in `bench.smtp`, all caches
warm. What each side found is counted in the delivered messages: where both did not find the same,
there is no table but an error.
"""

from __future__ import annotations

import itertools
import random
import re
import statistics
from collections import Counter
from collections.abc import Sequence

from bench import corpus, figures, load, names
from bench.smtp import BOXES, Bench, Work, running_bench, talk
from iems.codec import findings
from iems.codec.header import parse_header, split_message, unfold

SIZES = (4 << 10, 50 << 10)
WAYS = ("alone", "warm", "rspamd")
CHECKS = """
[checks.helo]
mode = "delegate"

[checks.spf]
mode = "delegate"

[checks.dkim]
mode = "delegate"

[checks.dmarc]
mode = "delegate"

[checks.header.offer]
mode = "delegate"
field = "Subject"
test = "matches"
value = "free|money|offer"

[checks.header.list]
mode = "delegate"
field = "Precedence"
test = "matches"
value = "bulk|list"

[checks.header.direct]
mode = "delegate"
field = "List-Id"
test = "absent"
"""
SYMBOLS = {
    **{
        f"dnsbl/{zone.partition('.')[0]} listed": f"LISTED_{zone.partition('.')[0].upper()}"
        for zone in names.ZONES
    },
    "helo unresolvable": "HFILTER_HELO_NORES_A_OR_MX",
    "spf pass": "R_SPF_ALLOW",
    "spf fail": "R_SPF_FAIL",
    "dkim pass": "R_DKIM_ALLOW",
    "dkim fail": "R_DKIM_REJECT",
    "dmarc pass": "DMARC_POLICY_ALLOW",
    "dmarc fail": "DMARC_POLICY_REJECT",
    "header/offer matched": "RULE_OFFER",
    "header/list matched": "RULE_LIST",
    "header/direct matched": "RULE_DIRECT",
}
"""What we find, and what rspamd calls it."""

_SYMBOL = re.compile(rb"\b([A-Z][A-Z0-9_]+)\(")


def measure(rounds: int, messages: int) -> str:
    """A table for each size."""
    senders = corpus.senders()
    records = tuple(record for sender in senders for record in sender.records)
    pools = corpus.messages(SIZES)
    with running_bench(Work(CHECKS, records, "passthrough.conf"), rivals=True) as bench:
        return "\n".join(_sized(bench, size, pools[size], rounds, messages) for size in SIZES)


def _sized(bench: Bench, size: int, pool: Sequence[bytes], rounds: int, messages: int) -> str:
    signed = [(one, one.sign(text)) for text, one in zip(pool, itertools.cycle(corpus.senders()))]
    sent = list(itertools.islice(itertools.cycle(signed), messages))
    talks = _talks(bench, sent)
    forged = sum(sender.forged for sender, _text in sent)
    for name in WAYS:
        bench.hold(name, talks)  # not counted: everybody is known from now on
    rates: dict[str, list[float]] = {name: [] for name in WAYS}
    found: dict[str, Counter[str]] = {}
    for number in range(rounds):
        for name in WAYS if number % 2 == 0 else reversed(WAYS):
            rates[name].append(bench.hold(name, talks).rate)
            found[name] = _found(bench, bench.delivered())
            print(
                f"{size >> 10} KiB, round {number + 1} {name}: {rates[name][-1]:.0f}/s", flush=True
            )
            if name != "alone":
                _complete(name, found[name], messages - forged, forged)
    _agree(found["warm"], found["rspamd"])
    median = statistics.median(len(text) for _sender, text in signed)
    alone, ours, theirs = rates["alone"], rates["warm"], rates["rspamd"]
    kib = f"{size >> 10} KiB"
    rows = [
        figures.row(f"Postfix alone, {kib}", alone),
        figures.row(f"with rspamd, against Postfix, {kib}", theirs, alone),
        figures.row(f"with our milter, against Postfix, {kib}", ours, alone),
        figures.row(f"with our milter, against rspamd, {kib}", ours, theirs),
    ]
    facts = {
        "messages a run": messages,
        "different messages": f"{len(pool)}, {_source()}, {median:.0f} bytes (median) as sent",
        "found by both in each run": ", ".join(
            f"{word} {found['warm'][word]}" for word in SYMBOLS if found["warm"][word]
        ),
    }
    return figures.table(f"The pass-through stage, {kib}", rows, facts)


def _talks(bench: Bench, sent: Sequence[tuple[corpus.Sender, bytes]]) -> list[load.Conversation]:
    draw = random.Random(names.SEED)
    return [
        talk(client, sender.helo, sender.address, user, text.replace(b"\r\n.", b"\r\n.."))
        for client, user, (sender, text) in zip(
            draw.choices(bench.names.clients, k=len(sent)), itertools.cycle(BOXES), sent
        )
    ]


def _found(bench: Bench, messages: Sequence[bytes]) -> Counter[str]:
    """What stands in delivered messages: findings of ours, or symbols of rspamd in our words."""
    words = {symbol: word for word, symbol in SYMBOLS.items()}
    counted: Counter[str] = Counter()
    for message in messages:
        block = parse_header(split_message(message)[0])
        for field in block.named(findings.NAME):
            passed = findings.decode(field.value, bench.secret)
            counted.update(f"{one.check} {one.outcome}" for one in passed.findings)
        for field in block.named(b"X-Spamd-Result"):
            symbols = (one.decode() for one in _SYMBOL.findall(unfold(field.value)))
            counted.update(words.get(symbol, symbol) for symbol in symbols)
    return counted


def _complete(name: str, found: Counter[str], honest: int, forged: int) -> None:
    """Every message was verified; AssertionError where one was not, or wrongly."""
    for check in ("spf", "dkim", "dmarc"):
        told = found[f"{check} pass"], found[f"{check} fail"]
        assert told == (honest, forged), f"{name}: {check} {told} of {honest} and {forged}: {found}"


def _agree(ours: Counter[str], theirs: Counter[str]) -> None:
    apart = {word: (ours[word], theirs[word]) for word in SYMBOLS if ours[word] != theirs[word]}
    assert not apart, f"what we and rspamd found: {apart}"


def _source() -> str:
    return "of the corpus" if corpus.FILE.exists() else "made of words"
