"""scripts/slapd-config: slapd's own word on a configuration, before slapd runs with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[3] / "scripts/slapd-config"

GOOD = """\
dn: cn=config
objectClass: olcGlobal
cn: config
olcPidFile: {folder}/slapd.pid

dn: cn=schema,cn=config
objectClass: olcSchemaConfig
cn: schema

include: file:///etc/ldap/schema/core.ldif

dn: olcDatabase={{-1}}frontend,cn=config
objectClass: olcDatabaseConfig
objectClass: olcFrontendConfig
olcDatabase: {{-1}}frontend
olcAccess: {{0}}to * by * read
"""


def run(tmp_path: Path, text: str) -> subprocess.CompletedProcess[str]:
    """Check this configuration."""
    ldif = tmp_path / "config.ldif"
    ldif.write_text(text)
    return subprocess.run(
        [str(SCRIPT), str(ldif)], capture_output=True, text=True, timeout=30, check=False
    )


def test_a_good_configuration_passes(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD.format(folder=tmp_path))
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("fault", "words"),
    [("olcNonsense: 1\n", "olcNonsense"), ("olcAccess: {1}to * by nobody read\n", "nobody")],
)
def test_a_wrong_one_fails_in_slapds_words(tmp_path: Path, fault: str, words: str) -> None:
    done = run(tmp_path, GOOD.format(folder=tmp_path) + fault)
    assert done.returncode != 0
    assert words in done.stderr
