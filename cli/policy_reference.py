"""The reference of policy: every check, what it asks, its bands, and what is done about each.

`python -m cli.policy_reference` prints docs/policy-reference.md. It is made of the checks' own
tables and modules; it reads no settings and no file.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path

from cli import reference
from iems.dns.zonefile import ZoneResolver
from iems.model.policy import Action
from iems.settings.load import from_table
from iems.settings.policy import AT_DELIVERY, BANDS, FAMILIES_WITH_NAMES
from milters.assembly import FAMILIES, build_checks
from milters.checks.protocol import Stage, Tools

_INTRODUCTION = """\
# Policy reference

Every check that can run, what it asks, and its bands with the action that is the site's where its
settings say nothing. `mode = "enforce"` binds everybody to it, `mode = "delegate"` leaves domains
and users the choice among what `allow` holds, all actions if it is not given
([how](pass-through.md)). With `mode = "shadow"` nothing is done, and what would have been is told
([how](rehearse.md#a-new-check-shadow)).

The actions, the stronger further right: {actions}.

A check that is not in the settings does not run. What is known at RCPT can be refused before DATA;
of clients behind `trusted_relays` everything is known at the end of DATA.

| check | asks | known | band | default |
| --- | --- | --- | --- | --- |
"""

_POSTFIX = """
## What binds everybody

These are Postfix's own and not to be chosen about; the playbook sets them up, and
`iems policy show` shows what Postfix has ([more](pass-through.md#what-postfix-refuses-by-itself)).

| what | where |
| --- | --- |
| mail for other domains from users and `mynetworks` alone | `smtpd_relay_restrictions` |
| a user sends as his own addresses alone | `smtpd_sender_restrictions` |
| unknown recipients are refused | `virtual_mailbox_maps`, `virtual_alias_maps` |
| passwords over TLS alone, none on port 25 | `smtpd_tls_auth_only`, master.cf |
| loops by hop count | `hopcount_limit` |
| clients without a name in the DNS (`refuse_nameless_clients`) | `smtpd_client_restrictions` |
| senders whom their own site refuses (`verify_senders`) | `smtpd_recipient_restrictions` |
"""


def markdown() -> str:
    """The page."""
    actions = " < ".join(f"`{action.word}`" for action in Action)
    return _INTRODUCTION.format(actions=actions) + "".join(_rows()) + _POSTFIX


def _rows() -> Iterator[str]:
    for family, bands in BANDS.items():
        name = f"{family}/NAME" if family in FAMILIES_WITH_NAMES else family
        first = (f"[{name}](checks/{family}.md)", _asks(family), _known(family))
        for band, action in bands.items():
            cells = (*first, f"`{band}`", f"`{action.word}`")
            yield f"| {' | '.join(cells)} |\n"
            first = ("", "", "")


def _asks(family: str) -> str:
    """The question of the module's first line."""
    head = (FAMILIES[family].__doc__ or "").partition("\n")[0]
    return head.partition(": ")[2]


def _known(family: str) -> str:
    """When the site's own clients are judged, from the stages of the checks that are made."""
    (section,) = (one for one in reference.sections() if one.title.startswith(f"`[checks.{family}"))
    top = next(iter(reference.sections()))
    bare = "\n".join(line for line in top.example.splitlines() if "trusted_relays" not in line)
    site = from_table(tomllib.loads(f"{bare}\n{section.example}\n"))
    if family in AT_DELIVERY:
        return "at delivery"
    checks = build_checks(Tools.within(site, ZoneResolver(""), Path("/nowhere")))
    late = any(check.stage > Stage.RCPT for check in checks)
    return "at the end of DATA" if late else "at RCPT"


if __name__ == "__main__":
    print(markdown(), end="")
