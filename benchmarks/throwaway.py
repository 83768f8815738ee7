"""A Python environment for peers that lives as long as the benchmark; the product's own stays as it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from uv import find_uv_bin

SCRIPTS = Path(__file__).parent / "peers"


@contextmanager
def environment(requirements: Sequence[str], folder: Path | None = None) -> Iterator[Path]:
    """The interpreter of an environment with these packages; `folder`: kept there, and used again."""
    with TemporaryDirectory() as temporary:
        place = folder or Path(temporary) / "venv"
        python = place / "bin" / "python"
        uv = find_uv_bin()
        if not python.exists():
            subprocess.run([uv, "venv", "--quiet", "--python", "3.11", str(place)], check=True)
        subprocess.run(
            [uv, "pip", "install", "--quiet", "--python", str(python), *requirements], check=True
        )
        yield python
