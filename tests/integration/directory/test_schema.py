"""The schema in a running slapd and the deployed settings, held to `docs/directory.md`."""

from __future__ import annotations

import re
import shutil
import uuid
from pathlib import Path

from tests.conftest import ROOT
from tests.integration.directory import tree
from tests.integration.stack import deployed
from tests.integration.stack.programs import run
from tests.integration.stack.slapd import Slapd

NUMBERS = {
    "1.1": "iemsDomainName",
    "1.2": "iemsAddress",
    "1.3": "iemsTarget",
    "1.4": "iemsPolicy",
    "1.5": "iemsDisabled",
    "1.6": "iemsKind",
    "1.7": "iemsForward",
    "1.8": "iemsAdmin",
    "1.9": "iemsSender",
    "1.10": "iemsReads",
    "1.11": "iemsHeader",
    "1.12": "iemsBayes",
    "1.13": "iemsMailsort",
    "1.14": "iemsMailsortRefuse",
    "1.15": "iemsMailsortFacts",
    "1.16": "iemsMailsortRefuseText",
    "2.1": "iemsDomain",
    "2.2": "iemsUser",
    "2.3": "iemsAlias",
}
"""For ever: a number never gets another meaning."""


def test_object_identifiers_stand_below_the_documented_arc(server: Slapd) -> None:
    """The arc of the UUID that the page names, which is its number below 2.25 (X.667)."""
    page = (ROOT / "docs/directory.md").read_text()
    found = re.search(r"below `(2\.25\.\d+)`, the arc of the UUID `([0-9a-f-]{36})`", page)
    assert found
    arc, name = found.groups()
    assert arc == f"2.25.{uuid.UUID(name).int}"
    told = run(
        *("ldapsearch", "-Q", "-Y", "EXTERNAL", "-LLL", "-o", "ldif-wrap=no"),
        *("-H", server.ldapi, "-b", "cn=Subschema", "-s", "base", "attributeTypes"),
        "objectClasses",
    ).decode()
    ours = re.findall(r"\( (\S+) NAME '(iems\w+)'", told)
    assert dict(ours) == {f"{arc}.{number}": name for number, name in NUMBERS.items()}


def test_the_page_shows_slapd_s_settings() -> None:
    """Every line of it is deployed; that slapd takes them, all other tests here show."""
    deployed = (ROOT / "templates/openldap/config.ldif.j2").read_text()
    lines = deployed.replace("{{ ldap_base }}", "o=iems").splitlines()
    overlay = "olcOverlay={0}ppolicy,olcDatabase={1}mdb,cn=config"
    assert f"dn: {overlay}" in lines
    for block in ("olcDatabase={-1}frontend,cn=config", "the database o=iems", overlay):
        assert set(tree.block(block).splitlines()) <= set(lines)
    modules = tree.block("modules (olcModuleLoad), after back_mdb").split()
    assert {f"olcModuleLoad: {name}" for name in modules} <= set(lines)


def test_slapd_takes_the_deployed_configuration(tmp_path: Path) -> None:
    """By the role's own check of it, with the rules of the table and every overlay."""
    (tmp_path / "data").mkdir()
    shutil.copy(ROOT / "templates/openldap/iems-schema.ldif", tmp_path)
    text = deployed.text("openldap/config.ldif").replace("/staged/", f"{tmp_path}/")
    file = tree.write(
        tmp_path / "config.ldif", text.replace("/var/lib/ldap/iems", f"{tmp_path}/data")
    )
    run(ROOT / "scripts/slapd-config", file)
