class Options:
    max_mem: int
    case_sensitive: bool
    never_capture: bool
    log_errors: bool

class error(Exception):  # noqa: N801, N818 - its own name
    args: tuple[bytes, ...]

class _Regexp:
    @property
    def programsize(self) -> int: ...
    def search(self, text: bytes) -> object | None: ...

def compile(pattern: bytes, options: Options) -> _Regexp: ...  # noqa: A001 - its own name
