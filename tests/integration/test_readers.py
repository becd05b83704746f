"""Edits of every structure as two readers see them that know nothing of us, and a verifier.

`python -m bench proof` asks the same of a whole corpus.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.golden.structures import STRUCTURES
from tests.proofs import Proof, proof
from tests.readers import GMime, Reader, by_email


@pytest.fixture(scope="module")
def proofs() -> Mapping[str, Proof]:
    """Of each structure."""
    gmime = GMime()
    readers: Mapping[str, Reader] = {"email": by_email, "GMime": gmime}
    found = {name: proof(data, readers) for name, data in STRUCTURES.items()}
    gmime.close()
    return found


@pytest.mark.parametrize("structure", STRUCTURES)
def test_every_structure(structure: str, proofs: Mapping[str, Proof]) -> None:
    assert not {step: told for step, told in proofs[structure].wrong.items() if told}


def test_most_are_compared_and_edited(proofs: Mapping[str, Proof]) -> None:
    assert sum(one.agreed for one in proofs.values()) > 100
    for step in ("insertion", "removal", "signature"):
        assert sum(step in one.left for one in proofs.values()) < 30
