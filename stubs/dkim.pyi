"""What the tests use of dkimpy, which has no annotations."""

from collections.abc import Callable, Sequence

class DKIMException(Exception): ...  # noqa: N818 - its name

class DKIM:
    def __init__(self, message: bytes, *, signature_algorithm: bytes = ...) -> None: ...
    def sign(
        self,
        selector: bytes,
        domain: bytes,
        privkey: bytes,
        *,
        canonicalize: tuple[bytes, bytes] = ...,
        include_headers: Sequence[bytes] | None = ...,
    ) -> bytes: ...
    def verify(self, idx: int = ..., *, dnsfunc: Callable[..., bytes | None]) -> bool: ...

class ARC:
    def __init__(self, message: bytes) -> None: ...
    def verify(
        self, *, dnsfunc: Callable[..., bytes | None]
    ) -> tuple[bytes | None, list[dict[str, object]], str]: ...
    def sorted_arc_headers(self) -> tuple[int, list[tuple[int, tuple[bytes, bytes]]]]: ...
    def verify_instance(
        self,
        headers: list[tuple[int, tuple[bytes, bytes]]],
        instance: int,
        dnsfunc: Callable[..., bytes | None],
    ) -> dict[str, object]: ...
