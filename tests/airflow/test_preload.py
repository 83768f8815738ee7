"""Before Airflow forks its tasks everything that they import is there, and nothing that a fork would break."""

from __future__ import annotations

import json
import subprocess
import sys

_SCRIPT = """
import json, sys, threading
opened = []
sys.addaudithook(lambda name, args: opened.append(name) if name == "socket.connect" else None)
from etl_lib.airflow_edge.preload import preload
preload()
before = set(sys.modules)
import etl_lib.airflow_edge.tasks
from etl_lib.extract import S3Source, extract, look, recall
from etl_lib.load.delivery import load
from etl_lib.report import Reply
from etl_lib.storage import Storage
from etl_lib.transform.feed import transform
from etl_lib.validate.delivery import validate
Storage.s3("bucket", access_key="-", secret_key="-")
print(json.dumps({
    "late": sorted(set(sys.modules) - before),
    "threads": threading.active_count(),
    "connections": opened,
}))
"""


def test_the_stages_of_a_forked_task_find_all_their_modules_loaded() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=True, timeout=100
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert found == {"late": [], "threads": 1, "connections": []}
