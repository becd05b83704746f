"""What the tests use of sievelib's commands and tests; it does not offer its annotations."""

class Command:
    name: str
    arguments: dict[str, str | list[str] | Command | list[Command]]
    extra_arguments: dict[str, str | list[str]]
    children: list[Command]
    accept_children: bool
    def get_type(self) -> str: ...
