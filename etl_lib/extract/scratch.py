"""The temporary files of one extraction: gone at its end, and also when the process is killed."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from etl_lib.storage import scratch_folder


class Scratch:
    """Makes temporary files in `folder`; a number is their name, never a word of the school's."""

    def __init__(self, folder: Path, opened: ExitStack) -> None:
        self.folder = folder
        self._opened = opened
        self._count = 0

    def new(self, ending: str = "bytes", *, secret: bool = False) -> Path:
        """The path of a new empty file.

        `secret`: what a school had encrypted. On Linux such a file never has a name (O_TMPFILE, or
        unlinked before anything is written), so that the kernel itself frees it when the process
        ends in whatever way, kill -9 and a crash of the machine included; the path leads through
        /proc, where every opening begins at the file's first byte. (On macOS /dev/fd gives the same
        open file once more, with the place reached in it, so that a second reader would miss what
        the first has read: there it lies in this folder, which the next extraction removes when
        this one was killed.)
        """
        self._count += 1
        if secret and sys.platform == "linux":
            file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 (lives as long as the folder)
            self._opened.enter_context(file)
            return _open_files() / str(file.fileno())
        path = self.folder / f"{self._count}.{ending}"
        path.touch(mode=0o600)
        return path


def handed_on(path: Path) -> tuple[str, tuple[int, ...]]:
    """A path for a child process, and the open files that the child must be given for it."""
    if path.parent == _open_files():
        return f"/proc/self/fd/{path.name}", (int(path.name),)
    return str(path), ()


def _open_files() -> Path:
    return Path(f"/proc/{os.getpid()}/fd")


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A folder of our own for the block; what killed processes have left is removed first."""
    with scratch_folder() as folder, ExitStack() as opened:
        yield Scratch(folder, opened)
