"""The pass-through stage with all its checks, beside Postfix alone and others with like checks.

Four blacklists, iprev, HELO, SPF, DKIM, DMARC and three header rules, on signed messages of a
corpus (`bench.corpus`) of about 4 and 50 KiB. Everything else is as in `bench.smtp`, all caches
warm. rspamd does the same (`measure`), amavisd-new and spamass-milter what SpamAssassin has of it
(`against_spamassassin`). What each found is counted in the delivered messages: where one that does
a check did not find what we found, there is no table but an error.

Clients are told to Postfix by XCLIENT: SpamAssassin asks no list about loopback addresses.
"""

from __future__ import annotations

import itertools
import random
import re
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from bench import corpus, figures, load, names
from bench.smtp import BOXES, Bench, Work, running_bench, talk_for
from iems.codec import findings
from iems.codec.header import parse_header, split_message, unfold

SIZES = (4 << 10, 50 << 10)
TARGETS = {"rspamd": 1.0, "amavisd-new": 5.0}
"""Messages a second of ours to theirs."""

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
"""What we find, and what the others call it."""

MOST = 200
"""Messages of a run with SpamAssassin, which takes ten to forty a second."""

LACKING = {
    "rspamd": (),
    "amavisd-new": ("helo", "dmarc"),
    "spamass-milter": ("helo", "dmarc"),
}
"""Checks that the others do not do."""

_SYMBOL = re.compile(rb"\b([A-Z][A-Z0-9_]+)(?=[(,=\s]|\Z)")


def measure(rounds: int, messages: int) -> str:
    """Ours and rspamd: a table for each size."""
    return _compared(("rspamd",), rounds, messages)


def against_spamassassin(rounds: int, messages: int) -> str:
    """Ours, rspamd, amavisd-new and spamass-milter: a table for each size."""
    return _compared(tuple(LACKING), rounds, min(messages, MOST))


def _compared(others: tuple[str, ...], rounds: int, messages: int) -> str:
    senders = corpus.senders()
    records = tuple(record for sender in senders for record in sender.records)
    pools = corpus.messages(SIZES)
    work = Work(CHECKS, records, "passthrough.conf", rivals=others, first=names.OUTSIDE)
    with running_bench(work) as bench:
        return "\n".join(
            _sized(bench, others, pools[size], f"{size >> 10} KiB", (rounds, messages))
            for size in SIZES
        )


def _sized(
    bench: Bench,
    others: tuple[str, ...],
    pool: Sequence[bytes],
    size: str,
    numbers: tuple[int, int],
) -> str:
    rounds, messages = numbers
    ways = ("alone", "warm", *others)
    sent = signed(pool, messages)
    talks = talks_for(bench, sent, itertools.cycle(BOXES))
    forged = sum(sender.forged for sender, _text in sent)
    for name in ways:
        bench.hold(name, talks)  # not counted: everybody is known from now on
    rates: dict[str, list[float]] = {name: [] for name in ways}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    found: dict[str, Counter[str]] = {}
    for number in range(rounds):
        for name in ways if number % 2 == 0 else reversed(ways):
            before = bench.cpu(name)
            rates[name].append(bench.hold(name, talks).rate)
            taken[name].append(1000 * (bench.cpu(name) - before) / messages)
            found[name] = found_in(bench, bench.delivered())
            print(f"{size}, round {number + 1} {name}: {rates[name][-1]:.0f}/s", flush=True)
            if name != "alone":
                complete(name, found[name], messages - forged, forged)
    for name in others:
        agree(name, found["warm"], found[name])
    median = statistics.median(len(text) for _sender, text in signed(pool, len(pool)))
    alone, ours = rates["alone"], rates["warm"]
    rows = [figures.row(f"Postfix alone, {size}", alone)]
    rows += [
        figures.row(f"with {name}, against Postfix, {size}", rates[name], alone) for name in others
    ]
    rows.append(figures.row(f"with our milter, against Postfix, {size}", ours, alone))
    rows += [
        figures.row(
            f"with our milter, against {name}, {size}", ours, rates[name], TARGETS.get(name)
        )
        for name in others
    ]
    facts = {
        "messages a run": messages,
        "different messages": f"{len(pool)}, {_source()}, {median:.0f} bytes (median) as sent",
        "processor time of the filter a message, ms (median)": ", ".join(
            f"{name} {statistics.median(taken[name]):.1f}" for name in ways[1:]
        ),
        "found in each run": told(found["warm"]),
        **{f"not done by {name}": ", ".join(LACKING[name]) for name in others if LACKING[name]},
    }
    return figures.table(f"The pass-through stage, {size}", rows, facts)


def signed(pool: Sequence[bytes], messages: int) -> list[tuple[corpus.Sender, bytes]]:
    """So many messages of the pool in turns, each signed by its sender."""
    each = [(one, one.sign(text)) for text, one in zip(pool, itertools.cycle(corpus.senders()))]
    return list(itertools.islice(itertools.cycle(each), messages))


def talks_for(
    bench: Bench, sent: Sequence[tuple[corpus.Sender, bytes]], users: Iterable[str]
) -> list[load.Conversation]:
    """Each message to the next of the users, from one of the clients."""
    draw = random.Random(names.SEED)
    return [
        talk_for(client, sender.helo, sender.address, user, text.replace(b"\r\n.", b"\r\n.."))
        for client, user, (sender, text) in zip(
            draw.choices(bench.names.clients, k=len(sent)), users, sent, strict=False
        )
    ]


def found_in(bench: Bench, messages: Sequence[bytes]) -> Counter[str]:
    """What stands in delivered messages: findings of ours, or others' symbols in our words."""
    words = {symbol: word for word, symbol in SYMBOLS.items()}
    counted: Counter[str] = Counter()
    for message in messages:
        block = parse_header(split_message(message)[0])
        for field in block.named(findings.NAME):
            passed = findings.decode(field.value, bench.secret)
            counted.update(f"{one.check} {one.outcome}" for one in passed.findings)
        for field in (*block.named(b"X-Spamd-Result"), *block.named(b"X-Spam-Status")):
            symbols = (one.decode() for one in _SYMBOL.findall(unfold(field.value)))
            counted.update(words.get(symbol, symbol) for symbol in symbols)
    return counted


def told(found: Counter[str]) -> str:
    """What was found, in our words."""
    return ", ".join(f"{word} {found[word]}" for word in SYMBOLS if found[word])


def complete(name: str, found: Counter[str], honest: int, forged: int) -> None:
    """Every message was verified; AssertionError where one was not, or wrongly."""
    for check in {"spf", "dkim", "dmarc"} - set(LACKING.get(name, ())):
        counted = found[f"{check} pass"], found[f"{check} fail"]
        assert counted == (honest, forged), (
            f"{name}: {check} {counted} of {honest} and {forged}: {found}"
        )


def agree(name: str, ours: Counter[str], theirs: Counter[str]) -> None:
    """Both found the same, of what both look for; AssertionError where they did not."""
    done = [word for word in SYMBOLS if word.split()[0] not in LACKING[name]]
    apart = {word: (ours[word], theirs[word]) for word in done if ours[word] != theirs[word]}
    assert not apart, f"what we and {name} found: {apart}"


def _source() -> str:
    return "of the corpus" if corpus.FILE.exists() else "made of words"
