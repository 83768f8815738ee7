"""`etl run` as a task of Airflow runs it, forked from a process that has loaded the libraries before.

`python -m benchmarks.forked OUT run CLIENT --files …`; OUT gets the CPU seconds and the duration of the
forked process as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from pathlib import Path

from etl_lib.airflow_edge.preload import preload
from etl_lib.cli.main import main


def _run() -> int:
    """The command; Airflow ends its tasks' processes in the same way, without taking the interpreter apart."""
    try:
        main()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


if __name__ == "__main__":
    out = Path(sys.argv.pop(1))
    preload()
    gc.freeze()  # as Airflow's LocalExecutor does before it forks
    begun = time.monotonic()
    if not (child := os.fork()):
        os._exit(_run())
    _, status, used = os.wait4(child, 0)
    spent = {"cpu_s": used.ru_utime + used.ru_stime, "wall_s": time.monotonic() - begun}
    out.write_text(json.dumps(spent))
    sys.exit(os.waitstatus_to_exitcode(status))
