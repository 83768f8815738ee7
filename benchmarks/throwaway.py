"""A Python environment for peers that lives as long as the benchmark; the product's own stays as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from uv import find_uv_bin

SCRIPTS = Path(__file__).parent / "peers"


@contextmanager
def environment(requirements: Path, folder: Path | None = None) -> Iterator[Path]:
    """The interpreter of an environment with the packages of a file; `folder`: kept there, and used again."""
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "venv"
        python = place / "bin" / "python"
        uv = find_uv_bin()
        if not python.exists():
            subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(place)], check=True)
        command = [
            uv,
            "pip",
            "install",
            "--quiet",
            "--python",
            str(python),
            "-r",
            str(requirements),
        ]
        subprocess.run(command, check=True)
        yield python
