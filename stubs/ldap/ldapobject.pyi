# ruff: noqa: A002
from collections.abc import Sequence

class SimpleLDAPObject:
    def __init__(
        self,
        uri: str,
        trace_level: int = 0,
        trace_file: object = None,
        trace_stack_limit: int | None = 5,
        bytes_mode: object = None,
        bytes_strictness: object = None,
        fileno: object = None,
    ) -> None: ...
    def set_option(self, option: int, invalue: float) -> None: ...
    def simple_bind(
        self,
        who: str | None = None,
        cred: str | None = None,
        serverctrls: object = None,
        clientctrls: object = None,
    ) -> int: ...
    def search_ext(
        self,
        base: str,
        scope: int,
        filterstr: str | None = None,
        attrlist: list[str] | None = None,
        attrsonly: int = 0,
        serverctrls: object = None,
        clientctrls: object = None,
        timeout: float = -1,
        sizelimit: int = 0,
    ) -> int: ...
    def add_ext(
        self,
        dn: str,
        modlist: Sequence[tuple[str, Sequence[bytes]]],
        serverctrls: object = None,
        clientctrls: object = None,
    ) -> int: ...
    def delete_ext(
        self, dn: str, serverctrls: object = None, clientctrls: object = None
    ) -> int: ...
    def modify_ext(
        self,
        dn: str,
        modlist: Sequence[tuple[int, str, Sequence[bytes]]],
        serverctrls: object = None,
        clientctrls: object = None,
    ) -> int: ...
    def passwd(
        self,
        user: str | None,
        oldpw: str | None,
        newpw: str | None,
        serverctrls: object = None,
        clientctrls: object = None,
    ) -> int: ...
    def result3(
        self,
        msgid: int = -1,
        all: int = 1,
        timeout: float | None = None,
        resp_ctrl_classes: object = None,
    ) -> tuple[int, list[tuple[str | None, object]] | None, int, list[object]]: ...
    def unbind_ext_s(self, serverctrls: object = None, clientctrls: object = None) -> object: ...

    # What only the tests use.
    def simple_bind_s(
        self,
        who: str | None = None,
        cred: str | None = None,
        serverctrls: object = None,
        clientctrls: object = None,
    ) -> object: ...
    def search_s(
        self,
        base: str,
        scope: int,
        filterstr: str | None = None,
        attrlist: list[str] | None = None,
        attrsonly: int = 0,
    ) -> list[tuple[str, dict[str, list[bytes]]]]: ...
    def compare_s(self, dn: str, attr: str, value: bytes) -> bool: ...
    def add_s(self, dn: str, modlist: Sequence[tuple[str, Sequence[bytes]]]) -> object: ...
    def delete_s(self, dn: str) -> object: ...
    def rename_s(
        self, dn: str, newrdn: str, newsuperior: str | None = None, delold: int = 1
    ) -> object: ...
    def modify_s(self, dn: str, modlist: Sequence[tuple[int, str, Sequence[bytes]]]) -> object: ...
    def passwd_s(
        self,
        user: str | None,
        oldpw: str | None,
        newpw: str | None,
        serverctrls: object = None,
        clientctrls: object = None,
        extract_newpw: bool = False,
    ) -> object: ...
    def unbind_s(self) -> object: ...
