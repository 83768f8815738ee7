"""Decides over one SFTP login; run by rclone for each (`--auth-proxy`), on a server and on the local stack.

JSON with `user` and `public_key` on standard input; on success the user's root folder as rclone's
backend on standard output, else exit code 1. rclone leaves checking the key to this program.
A client's file may hold several keys, one a line: the old and the new while a school changes over.
Source: https://rclone.org/commands/rclone_serve_sftp/#auth-proxy
"""

import base64
import binascii
import json
import pathlib
import re
import sys


def main(keys: str, roots: str, *folders: str) -> int:
    """0 when the key is one of those on file for the user; passwords are never accepted."""
    asked = json.load(sys.stdin)
    user, offered = asked.get("user", ""), asked.get("public_key", "")
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,47}", user) or not offered:
        return 1
    on_file = pathlib.Path(keys, f"{user}.pub")
    if not on_file.is_file() or _blob(offered) not in _blobs(on_file.read_text()):
        return 1
    root = pathlib.Path(roots, user)
    for folder in folders:
        (root / folder).mkdir(parents=True, exist_ok=True)
    json.dump({"type": "local", "_root": str(root), "_obscure": ""}, sys.stdout)
    return 0


def _blob(key: str) -> bytes:
    return base64.b64decode(key.split()[-1])


def _blobs(text: str) -> set[bytes]:
    """The keys of lines such as `ssh-ed25519 AAAA… comment`; other lines count for nothing."""
    found = set()
    for line in text.splitlines():
        parts = line.split()
        if len(parts) >= 2 and not line.startswith("#"):
            try:
                found.add(base64.b64decode(parts[1], validate=True))
            except binascii.Error:
                print(f"a line of a key file is no public key: {parts[0]}", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
