"""Parses one DAG file twice in this process: `python parse.py FILE`; Airflow itself is imported before.

Prints the CPU seconds of the first and the second time, and how many DAGs were found.
"""

from __future__ import annotations

import json
import runpy
import sys
import time


def main(file: str) -> None:
    """As in a process forked by Airflow's DAG processor: it has Airflow, and nothing of the file's."""
    import airflow.providers.standard.operators.hitl  # noqa: F401
    from airflow.sdk import DAG

    found = []
    for _ in range(2):
        begun = time.process_time()
        names = runpy.run_path(file)
        found.append(time.process_time() - begun)
    dags = sum(isinstance(one, DAG) for one in names.values())
    sys.stdout.write(json.dumps({"first_s": found[0], "again_s": found[1], "dags": dags}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
