"""Arguments that say who signs: a domain, and a selector of one of its keys."""

from __future__ import annotations

import argparse

from iems.model.address import AddressError, domain_name
from iems.store.signingkeys import selector_name


def domain(text: str) -> str:
    """An argument that is a domain by name."""
    try:
        name = domain_name(text)
    except AddressError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if name.startswith("["):
        raise argparse.ArgumentTypeError("it is no domain name")
    return name


def selector(text: str) -> str:
    """An argument that is a selector."""
    try:
        return selector_name(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
