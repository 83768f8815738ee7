"""What a school's SFTP program does: log in with its key, check the host key, upload, list, download."""

from __future__ import annotations

import base64
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import paramiko

from local_stack.stack import SftpAccess


@contextmanager
def logged_in(access: SftpAccess) -> Iterator[paramiko.SFTPClient]:
    """A session of the user; raises paramiko's errors for a wrong key or another host key."""
    client = paramiko.SSHClient()
    kind, data = access.host_key.split()[:2]
    host = f"[{access.host}]:{access.port}"
    client.get_host_keys().add(host, kind, paramiko.Ed25519Key(data=base64.b64decode(data)))
    client.set_missing_host_key_policy(paramiko.RejectPolicy())
    with client:
        client.connect(
            access.host, access.port, access.user, key_filename=str(access.key_path),
            allow_agent=False, look_for_keys=False, timeout=15,
        )  # fmt: skip
        with client.open_sftp() as sftp:
            yield sftp


def upload(access: SftpAccess, folder: Path, remote: str) -> list[str]:
    """Put every file of `folder` into the remote folder; gives their names."""
    names = sorted(path.name for path in folder.iterdir() if path.is_file())
    with logged_in(access) as sftp:
        for name in names:
            sftp.put(str(folder / name), posixpath.join(remote, name))
    return names
