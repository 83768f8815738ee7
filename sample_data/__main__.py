"""`python -m sample_data small|large`: write the invented schools' files into a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from sample_data.metro import write_metro
from sample_data.small import write_small


def main() -> None:
    """Read the command line and write."""
    parser = argparse.ArgumentParser(prog="python -m sample_data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    small = commands.add_parser(
        "small", help="the committed schools, both nights, with their oracle"
    )
    small.add_argument("--out", type=Path, required=True, help="include/samples, usually")
    large = commands.add_parser("large", help="one night of the large school")
    large.add_argument("--out", type=Path, required=True)
    large.add_argument("--night", type=int, choices=(1, 2), default=1)
    large.add_argument("--enrollments", type=int, default=100_000)
    wish = parser.parse_args()
    files = (
        write_small(wish.out)
        if wish.command == "small"
        else write_metro(wish.out, wish.night, wish.enrollments)
    )
    print(f"{len(files)} files in {wish.out}")


if __name__ == "__main__":
    main()
