"""Sizes of what is shipped, against the budgets of `sizes.toml`. `make package` ends with it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUDGETS = tomllib.loads((Path(__file__).parent / "sizes.toml").read_text())
MEGABYTE = 1_000_000


def stripped(library: Path) -> int:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / library.name
        subprocess.run(["strip", "-o", out, library], check=True)
        return out.stat().st_size


def packages(folder: Path) -> Iterator[tuple[str, int, float | None]]:
    """Each package, its bytes, and its budget in megabytes, that of the longest pattern; `None` for one that none is for."""
    for path in sorted(path for path in folder.iterdir() if path.is_file()):
        patterns = [pattern for pattern in BUDGETS["package"] if fnmatchcase(path.name, pattern)]
        yield path.name, path.stat().st_size, BUDGETS["package"][max(patterns, key=len)] if patterns else None


def main() -> int:
    folder = ROOT / "target" / "package"
    faults = []
    for name, size, budget in packages(folder):
        print(f"{name:55} {size / MEGABYTE:8.2f} MB" + (f"  of {budget}" if budget else ""))
        if budget is None:
            faults.append(f"{name} has no budget in sizes.toml")
        elif size > budget * MEGABYTE:
            faults.append(f"{name} is larger than its budget of {budget} MB")
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
