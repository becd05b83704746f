"""What the tests use of sievelib's parser."""

from sievelib.commands import Command

class Parser:
    result: list[Command]
    error: str
    def parse(self, text: bytes) -> bool: ...
