"""Serves the folder of the buckets with rclone: `serve.py s3` in `object-store`, `serve.py sftp` in `sftp`.

Both make the buckets first, under the names of the environment's file, so that either may be first.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from etl_lib.config.project import Project

_RCLONE = Path(sys.executable).parent / "rclone"
_LOGIN = Path(__file__).with_name("sftp_login.py")
# short, so that an upload over SFTP is soon listed in S3; at 0s rclone takes seconds for every PUT
_SHARED = ["--config", "", "--dir-cache-time", "1s"]


def main() -> None:
    """Make the buckets, then become rclone. The S3 key pair is in RCLONE_AUTH_KEY."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("protocol", choices=("s3", "sftp"))
    parser.add_argument("--folder", type=Path, required=True, help="a bucket is a folder in it")
    parser.add_argument("--addr", required=True, help="where to listen, such as :9000")
    parser.add_argument("--keys", type=Path, help="sftp: <client_id>.pub for each client")
    parser.add_argument("--state", type=Path, help="sftp: where the server keeps its own keys")
    asked = parser.parse_args()
    environment = Project.load().environment
    clients: Path = asked.folder / environment.client_folders.bucket / "clients"
    for folder in (asked.folder / environment.storage.bucket, clients):
        folder.mkdir(parents=True, exist_ok=True)
    command = [str(_RCLONE), "serve", asked.protocol, "--addr", asked.addr, *_SHARED]
    if asked.protocol == "s3":
        if not os.environ.get("RCLONE_AUTH_KEY"):
            parser.error("RCLONE_AUTH_KEY is empty: rclone would let everybody in")
        command.append(str(asked.folder))
    else:
        if not (asked.keys and asked.state):
            parser.error("sftp needs --keys and --state")
        # rclone makes the server's keys at the first start and keeps them in its cache folder
        command += ["--cache-dir", str(asked.state)]
        command += [
            "--auth-proxy",
            f"{sys.executable} -I {_LOGIN} {asked.keys} {clients} inbox inbox/test outbox",
        ]
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main()
