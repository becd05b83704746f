"""What is known of who sent a message, from its envelope, its From fields and what checks found.

Pure. SPF counts for the domain of MAIL FROM and not for that of HELO, DKIM for the domain of each
signature that passed. The client is the one whom SPF looked at where a trusted relay is between.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence

from iems.codec.author import authors
from iems.model.address import Address
from iems.model.envelope import parse_ip
from iems.model.finding import Finding
from iems.model.senders import Facts

_IDENTITIES = {"spf": "smtp.mailfrom", "dkim": "header.d"}
"""Check -> the evidence that names the domain it speaks of."""


def facts(
    findings: Iterable[Finding],
    envelope: Address | None,
    client: str,
    relays: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network],
    registered: Callable[[str], str],
    from_fields: Sequence[bytes] | None = None,
) -> Facts:
    """The facts; `client` is who connected, without `from_fields` the header is not known yet."""
    found = [(one, dict(one.evidence)) for one in findings if one.check in _IDENTITIES]
    domains = (
        evidence.get(_IDENTITIES[one.check], "").rpartition("@")[2].lower()
        for one, evidence in found
        if one.outcome == "pass"
    )
    who = authors(from_fields) if from_fields is not None else None
    address = parse_ip(client)
    if address is not None and any(address in network for network in relays):
        behind = [evidence["client"] for _one, evidence in found if "client" in evidence]
        address = parse_ip(behind[-1]) if behind else None
    return Facts(
        registered=registered,
        envelope=envelope,
        proven=frozenset(domains) - {""},
        authors=who.addresses if who else (),
        sole=who.sole if who else False,
        client=address,
    )
