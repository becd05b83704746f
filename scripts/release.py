"""Names the release that this tree would make: the version and a hash of everything installed.

`release.py` prints the name (`0.1.0-1f2e3d4c5b6a`), `release.py --files` the files, one a line,
relative to the tree. The same sources always give the same name, so a deployment can tell by a
folder's name whether there is anything to do. It reads and never writes; a file that cannot be
read ends it with an exception.
"""

from __future__ import annotations

import hashlib
import sys
import tomllib
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
PACKAGES = ("iems", "milters", "lmtp", "sieve", "cli")
SINGLE = ("pyproject.toml", "setup.py", "README.md", "requirements.lock", "requirements-build.lock")


def sources(tree: Path) -> list[Path]:
    """The files that make a release, sorted; what Python or an editor leaves behind is none."""
    found = [tree / name for name in SINGLE if (tree / name).is_file()]
    for package in PACKAGES:
        found += [
            path
            for path in (tree / package).rglob("*")
            if path.is_file()
            and "__pycache__" not in path.parts
            and path.suffix in {".py", ".txt", ".toml", ".sieve", ".ldif", ".lua"}
        ]
    return sorted(found)


def name(tree: Path) -> str:
    """The version of pyproject.toml and 12 hex digits over names and contents of the sources."""
    digest = hashlib.sha256()
    for path in sources(tree):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(tree)}\0{len(content)}\0".encode() + content)
    version = tomllib.loads((tree / "pyproject.toml").read_text())["project"]["version"]
    return f"{version}-{digest.hexdigest()[:12]}"


def main(arguments: list[str]) -> int:
    """Prints the name, or with `--files` the files."""
    if arguments == ["--files"]:
        print("\n".join(str(path.relative_to(TREE)) for path in sources(TREE)))
    else:
        print(name(TREE))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
