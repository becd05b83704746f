"""The HMAC-SHA256 that holds the parts of a text of ours together.

Each part goes in with its length before it, so that no two lists of parts have the same HMAC.
The first part says what the text is: what was made for one purpose is good for no other.
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable


def mac(secret: bytes, parts: Iterable[str]) -> str:
    """The HMAC in base64."""
    octets = [part.encode() for part in parts]
    told = b"".join(len(one).to_bytes(4, "big") + one for one in octets)
    return base64.b64encode(hmac.digest(secret, told, "sha256")).decode()
