"""All targets by name; each has its seeds in the folder of the same name below `corpus/`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tests.fuzz import (
    bayes,
    chain,
    codec,
    counts,
    edits,
    importing,
    links,
    lmtp,
    mime,
    readers,
    rules,
    scans,
    scripts,
    signatures,
    strips,
    training,
    verdicts,
)
from tests.fuzz.bounds import SPARE, UNPACKED

CORPUS = Path(__file__).parent / "corpus"

EDITOR = {
    **dict.fromkeys(("mime", "recoded", "blocks", "tnef", "names", "edits", "bayes"), SPARE),
    **dict.fromkeys(("archives", "strips", "readings"), UNPACKED),
}
"""Targets that read or edit whole messages, and the bytes that each may take in any case."""

TARGETS: Mapping[str, Callable[[bytes], None]] = {
    "findings": codec.findings,
    "release": codec.release,
    "signed": codec.signed,
    "bounce": codec.bounce,
    "header": codec.header,
    "authres": codec.authres,
    "encoded": codec.encoded,
    "address": codec.address,
    "senders": codec.senders,
    "links": links.messages,
    "mime": mime.mime,
    "recoded": mime.recoded,
    "blocks": mime.blocks,
    "tnef": mime.tnef,
    "archives": mime.archives,
    "names": mime.names,
    "edits": edits.edits,
    "strips": strips.stripped,
    "chain": chain.chain,
    "lmtp": lmtp.lmtp,
    "commands": lmtp.commands,
    "dns": readers.dns,
    "spf": readers.spf,
    "dmarc": readers.dmarc,
    "settings": readers.settings,
    "files": readers.files,
    "ldap": readers.ldap,
    "table": readers.table,
    "signatures": signatures.signatures,
    "verdicts": verdicts.verdicts,
    "readings": scans.readings,
    "scans": scans.scans,
    "sieve": scripts.sieve,
    "counts": counts.counts,
    "bayes": bayes.words,
    "training": training.requests,
    "entries": training.entries,
    "mailsort": rules.mailsort,
    "importing": importing.rules,
}
