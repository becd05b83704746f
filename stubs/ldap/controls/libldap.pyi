class SimplePagedResultsControl:
    size: int
    cookie: str | bytes
    def __init__(
        self, criticality: bool = False, size: int = 10, cookie: str | bytes = ""
    ) -> None: ...
