"""`iems dkim keygen|rotate|dns`: the keys that sign for a domain, and the records to publish.

`keygen DOMAIN` makes a key that waits and prints its record. `rotate DOMAIN` does the next step:
where keys wait and the DNS has their records they sign from the next reload of iems-milter on, and
those before them retire; where none waits it makes one for each that signs. `dns` prints all
records that have to be published; a key that retires is among them for 30 days, longer than mail is
in a queue. Private keys are never printed. For root.
Exit 0 done, 1 refused (a key waits already, or a record is not published), 75 the DNS does not
answer.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

from cli import entries
from cli.signer import domain, selector
from iems.codec import tags
from iems.codec.keypair import KINDS, RSA
from iems.dns.resolver import Answer
from iems.dns.servers import servers
from iems.dns.stub import StubResolver
from iems.serve.deadline import Deadline
from iems.serve.log import Log
from iems.settings.load import load
from iems.settings.schema import Settings
from iems.store.keys import ACTIVE, RETIRED, RETIRING, WAITING
from iems.store.signingkeys import (
    DomainKeys,
    SigningKey,
    SigningKeyError,
    load_all,
    load_one,
    make_folder,
)

_Verb: TypeAlias = Callable[[argparse.Namespace, Settings, datetime.datetime, Log], int]
_PUBLISHED = {True: "published", False: "not published", None: "the DNS does not answer"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`keygen DOMAIN`, `rotate DOMAIN`, `dns [DOMAIN]`."""
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    made = verbs.add_parser("keygen", help="make a key that waits until its record is published")
    made.add_argument("domain", type=domain, metavar="DOMAIN")
    made.add_argument("--type", choices=KINDS, default=RSA, help="default: %(default)s")
    made.add_argument("--selector", type=selector, help="default: type and day")
    rotate = verbs.add_parser("rotate", help="make the next key, or let the one that waits sign")
    rotate.add_argument("domain", type=domain, metavar="DOMAIN")
    rotate.add_argument(
        "--force", action="store_true", help="although the DNS may not have its record yet"
    )
    shown = verbs.add_parser("dns", help="print the records to publish")
    shown.add_argument("domain", nargs="?", type=domain, metavar="DOMAIN")
    shown.add_argument("--check", action="store_true", help="ask the DNS whether they are there")
    shown.add_argument("--json", action="store_true", help="one JSON array")


def run(arguments: argparse.Namespace) -> int:
    """Do what the verb says."""
    settings = load(arguments.settings)
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    try:
        if arguments.verb == "dns":
            return _dns(arguments, settings)
        verb: _Verb = _keygen if arguments.verb == "keygen" else _rotate
        return entries.audited(lambda log: verb(arguments, settings, now, log))
    except (SigningKeyError, ValueError) as error:
        return entries.failed(str(error))


def _keygen(
    arguments: argparse.Namespace, settings: Settings, now: datetime.datetime, log: Log
) -> int:
    folder = settings.signing.keys
    before = load_one(folder, arguments.domain)
    after = before.prepared(arguments.type, arguments.selector or "", now)
    return _prepared(folder, before, after, log)


def _rotate(
    arguments: argparse.Namespace, settings: Settings, now: datetime.datetime, log: Log
) -> int:
    folder, domain = settings.signing.keys, arguments.domain
    before = load_one(folder, domain)
    waiting, active = before.of(WAITING), before.of(ACTIVE)
    after = before.swept(now)
    if not waiting and not active:
        return entries.failed(f"{domain} has no keys; make one: iems dkim keygen {domain}")
    if not waiting:
        for key in active:
            after = after.prepared(key.private.kind, "", now)
        return _prepared(folder, before, after, log)
    if not arguments.force and (code := _unpublished(settings, before, waiting)):
        return code
    after.activated(now).write(folder)
    for key in waiting:
        _audit(log, "activate", domain, key)
        print(f"{key.private.kind} key {key.selector} of {domain} signs from the next reload on")
    for key in active:
        if key.private.kind in {one.private.kind for one in waiting}:
            until = (now + RETIRED).date()
            print(f"key {key.selector} retires; leave its record in the DNS until {until}")
    print("next: systemctl reload iems-milter iems-lmtp")
    return entries.OK


def _prepared(folder: Path, before: DomainKeys, after: DomainKeys, log: Log) -> int:
    make_folder(folder)
    after.write(folder)
    known = {key.selector for key in before.keys}
    made = [key for key in after.keys if key.selector not in known]
    for key in made:
        _audit(log, "add", after.domain, key)
        print(f"; made {key.private.kind} key {key.selector}, which waits")
        print(_line(after.domain, key))
    print(f"; next: publish it, then: iems dkim rotate {after.domain}")
    return entries.OK


def _unpublished(settings: Settings, keys: DomainKeys, waiting: Iterable[SigningKey]) -> int:
    """The exit code where a record is not in the DNS, which is told; 0 where all are."""
    for key, published in _asked(settings, [(keys.domain, key) for key in waiting]):
        if not published:
            name = _name(keys.domain, key)
            code = entries.TEMPORARY if published is None else entries.NEGATIVE
            return entries.failed(f"{name}: {_PUBLISHED[published]}; or say --force", code)
    return entries.OK


def _dns(arguments: argparse.Namespace, settings: Settings) -> int:
    folder, domain = settings.signing.keys, arguments.domain
    found = [load_one(folder, domain)] if domain else load_all(folder).values()
    pairs = [(one.domain, key) for one in found for key in one.keys]
    states: list[bool | None] = []
    if arguments.check:
        states = [published for _key, published in _asked(settings, pairs)]
    rows: list[dict[str, object]] = []
    lines: list[str] = []
    for at, (owner, key) in enumerate(pairs):
        row = _row(owner, key) | ({"published": states[at]} if states else {})
        until = f", until {row['until']}" if "until" in row else ""
        asked = f": {_PUBLISHED[states[at]]}" if states else ""
        lines += [f"; {key.state} since {key.since.date()}{until}{asked}", _line(owner, key)]
        rows.append(row)
    entries.listed(lines, rows, as_json=arguments.json)
    if None in states:
        return entries.TEMPORARY
    return entries.NEGATIVE if False in states else entries.OK


def _row(domain: str, key: SigningKey) -> dict[str, object]:
    row: dict[str, object] = {
        "domain": domain,
        "selector": key.selector,
        "type": key.private.kind,
        "state": key.state,
        "since": key.since.isoformat(),
        "name": _name(domain, key),
        "text": key.record,
        "strings": list(key.strings),
    }
    return row | ({"until": str((key.since + RETIRED).date())} if key.state == RETIRING else {})


def _name(domain: str, key: SigningKey) -> str:
    return f"{key.selector}._domainkey.{domain}"


def _line(domain: str, key: SigningKey) -> str:
    """The record as a zone file has it."""
    strings = " ".join(f'"{string}"' for string in key.strings)
    return f"{_name(domain, key)}. IN TXT ( {strings} )"


def _asked(
    settings: Settings, pairs: Iterable[tuple[str, SigningKey]]
) -> Iterator[tuple[SigningKey, bool | None]]:
    """Whether the DNS has each key; None where it does not answer. All are asked at once."""
    timeout = settings.dns.timeout
    resolver = StubResolver(servers(settings.dns.servers), timeout)
    deadline = Deadline.after(timeout)
    asked = [(key, resolver.ask(_name(domain, key), "TXT")) for domain, key in pairs]
    for key, question in asked:
        yield key, _published(key, question.result(deadline))


def _published(key: SigningKey, answer: Answer) -> bool | None:
    if not answer.status.definite:
        return None
    return any(_public(record) == _public(key.record) for record in answer.records)


def _public(record: str) -> tuple[bytes, bytes]:
    """Type and key of a key record; both empty where it is none."""
    try:
        found = tags.parse(record.encode("latin-1", "replace"))
    except tags.TagError:
        return b"", b""
    return found.get(b"k", b"rsa"), found.get(b"p", b"").translate(None, tags.FWS)


def _audit(log: Log, verb: str, domain: str, key: SigningKey) -> None:
    thing = f"dkim {key.selector}._domainkey.{domain}"
    log.info("audit", actor=entries.operator(), verb=verb, object=thing, result="done")
