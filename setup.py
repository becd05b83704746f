"""The packages of the distribution, named one by one; everything else stands in pyproject.toml."""

from setuptools import setup

setup(
    packages=[
        "iems",
        "iems.archive",
        "iems.backup",
        "iems.codec",
        "iems.directory",
        "iems.dns",
        "iems.editing",
        "iems.edits",
        "iems.mime",
        "iems.model",
        "iems.notices",
        "iems.serve",
        "iems.settings",
        "iems.store",
        "milters",
        "milters.checks",
        "milters.engines",
        "milters.plugins",
        "milters.signatures",
        "lmtp",
        "lmtp.bayes",
        "lmtp.learning",
        "sieve",
        "sieve.compiling",
        "sieve.importing",
        "sieve.mailsort",
        "sieve.script",
        "cli",
        "cli.bayes",
        "cli.check",
        "cli.edit",
    ],
    package_data={
        "iems.notices": ["*.txt", "*.toml"],
        "iems.store": ["*.lua"],
        "lmtp.bayes": ["*.lua"],
    },
)
