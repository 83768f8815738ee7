"""What Airflow's commands say of themselves, many in one process: each start of Airflow takes seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

_ASK = """
import contextlib, io, json, sys
from airflow.cli import cli_parser
parser, told = cli_parser.get_parser(), []
for names in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            parser.parse_args([*names, "--help"])
        except SystemExit as ended:
            told.append((ended.code or 0, out.getvalue()))
print(json.dumps(told))
"""


def airflow_help(
    commands: Sequence[Sequence[str]], environ: Mapping[str, str] | None = None
) -> list[tuple[int, str]]:
    """Exit code and text of `airflow … --help` for each of the commands."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _ASK], input=json.dumps(commands),
        capture_output=True, text=True, check=False, env={**os.environ, **(environ or {})},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    return [(code, text) for code, text in json.loads(done.stdout.splitlines()[-1])]
