"""Decides over one login of the SFTP server; run by rclone for each (`--auth-proxy`).

JSON with `user` and `public_key` on standard input; on success the user's root folder as rclone's
backend on standard output, else exit code 1. rclone leaves checking the key to this program.
Source: https://rclone.org/commands/rclone_serve_sftp/#auth-proxy
"""

import base64
import json
import pathlib
import re
import sys


def main(keys: str, roots: str) -> int:
    """0 when the user's key is the one on file; passwords are never accepted."""
    asked = json.load(sys.stdin)
    user, offered = asked.get("user", ""), asked.get("public_key", "")
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,47}", user) or not offered:
        return 1
    known = pathlib.Path(keys, f"{user}.pub")
    if not known.is_file():
        return 1
    if base64.b64decode(known.read_text().split()[1]) != base64.b64decode(offered.split()[-1]):
        return 1
    root = pathlib.Path(roots, user)
    json.dump({"type": "local", "_root": str(root), "_obscure": ""}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
