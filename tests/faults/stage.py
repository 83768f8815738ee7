"""Runs stages as processes of their own, as Airflow's tasks are: `python -m tests.faults.stage`.

Reads orders as lines of JSON from its input and forks a child for each (as Airflow's supervisor does,
so that the libraries are imported once); says when a child has begun and how it ended.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

DONE, TRY_AGAIN, FAILED, UNFORESEEN, NOTHING_NEW = 0, 3, 4, 5, 6


@dataclass(frozen=True)
class LateListing:
    """A place that lists a file only after it has been asked a few times, as S3 once did."""

    source: Any
    name: str
    looks: Path  # how often it was asked: one letter each, kept between processes

    def list(self) -> Any:
        with self.looks.open("a") as out:
            out.write(".")
        listing = self.source.list()
        if len(self.looks.read_text()) > 2:
            return listing
        return replace(listing, files=tuple(f for f in listing.files if f.name != self.name))

    def download(self, name: str, target: BinaryIO) -> None:
        self.source.download(name, target)


def run_of(order: dict[str, Any]) -> Any:
    """The run that an order speaks of."""
    from etl_lib.run import Run, Wishes

    home, client_id = storage_of(order["storage"]), order["client_id"]
    begun, wishes = order.get("began"), dict(order.get("wishes", {}))
    if day := wishes.get("backfill"):
        wishes["backfill"] = datetime.fromisoformat(day)
    return Run(
        client_id=client_id, dag_id=client_id, run_id=order["run_id"],
        started_at=datetime.fromisoformat(begun) if begun else datetime.now(UTC),
        database_url=order["database_url"],
        archive=home.at("archive", client_id), workspace=home.at("staging", client_id, order["run_id"]),
        outbox=home.at("outbox", client_id), wishes=Wishes(**wishes),
    )  # fmt: skip


def storage_of(place: dict[str, str]) -> Any:
    """Storage in a folder, or in a bucket."""
    from etl_lib.storage import Storage

    if "folder" in place:
        return Storage.local(Path(place["folder"]))
    return Storage.s3(
        place["bucket"], access_key=place["access_key"], secret_key=place["secret_key"],
        endpoint_url=place["endpoint_url"],
    )  # fmt: skip


def s3_client(place: dict[str, str]) -> Any:
    """A client of boto3's with the keys and the endpoint of a place."""
    import boto3

    return boto3.client(
        "s3", aws_access_key_id=place["access_key"], aws_secret_access_key=place["secret_key"],
        endpoint_url=place["endpoint_url"], region_name="us-east-1",
    )  # fmt: skip


def source_of(place: dict[str, Any]) -> Any:
    """The client's inbox: a folder, a prefix of a bucket, or a folder of an SFTP server."""
    from etl_lib.extract import LocalSource, S3Source, SftpSource

    if "folder" in place:
        source: Any = LocalSource(Path(place["folder"]))
    elif "bucket" in place:
        source = S3Source(s3_client(place), place["bucket"], place["prefix"])
    else:
        from local_stack.sftp_client import logged_in
        from local_stack.stack import SftpAccess

        access = SftpAccess(
            port=place["port"],
            user=place["user"],
            key_path=Path(place["key_path"]),
            host_key=place["host_key"],
        )
        source = SftpSource(lambda: logged_in(access), place["path"])
    if late := place.get("late"):
        source = LateListing(source, late["name"], Path(late["looks"]))
    return source


def perform(order: dict[str, Any]) -> int:
    """One stage, or all of them one after the other for the stage `all`; gives an exit code."""
    from etl_lib.config.project import Project
    from etl_lib.errors import EtlError, TryAgain
    from etl_lib.extract import keys_of_environment
    from etl_lib.pipeline import (
        begin,
        begin_anew,
        do_extract,
        do_extract_again,
        do_load,
        do_report,
        do_transform,
        do_validate,
        is_loaded,
    )  # fmt: skip

    run, project = run_of(order), Project(Path(order["include"]), "test")

    def extract() -> Any:
        if run.wishes.backfill:
            begin_anew(run, project.entities)
        begin(run, project.environment_name, project.entities)
        if is_loaded(run):
            return None
        resolve, keys = lambda: project.resolve(run.client_id), lambda _: keys_of_environment()
        if run.wishes.from_archive:
            return do_extract_again(run, resolve, keys)
        return do_extract(run, resolve, lambda _: source_of(order["source"]), keys)

    def unless_loaded(stage: Callable[[Any], Any]) -> Callable[[], Any]:
        return lambda: None if is_loaded(run) else stage(run)

    stages: dict[str, Callable[[], Any]] = {
        "extract": extract,
        "validate": unless_loaded(do_validate),
        "transform": unless_loaded(do_transform),
        "load": unless_loaded(do_load),
        "report": lambda: do_report(run),
    }
    wanted = list(stages) if order["stage"] == "all" else [order["stage"]]
    code = DONE
    for name in wanted:
        if code not in (DONE,) and name != "report":
            continue
        try:
            answer = stages[name]()
            if name == "extract" and answer is not None and answer.nothing_new_since:
                code = NOTHING_NEW
        except TryAgain as error:
            print(f"{name}: {error}", flush=True)
            code = TRY_AGAIN
        except EtlError as error:
            print(f"{name}: {error}", flush=True)
            code = FAILED
        except Exception:  # noqa: BLE001 (said with its code, as Airflow would)
            traceback.print_exc()
            code = UNFORESEEN
    return code


def _child(order: dict[str, Any]) -> None:
    """What the forked process does; never returns."""
    out = os.open(order["log"], os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
    os.dup2(out, 1)
    os.dup2(out, 2)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.environ.update(order.get("environ", {}))
    code = UNFORESEEN
    try:
        code = perform(order)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Fork a child per order until the input ends; `{"kill": id}` kills one with signal 9."""
    import boto3  # noqa: F401
    import paramiko  # noqa: F401

    import etl_lib.extract
    import etl_lib.load
    import etl_lib.report
    import etl_lib.transform
    import etl_lib.validate
    import etl_lib.validate.facts_engine  # noqa: F401

    def say(**what: Any) -> None:
        os.write(1, (json.dumps(what) + "\n").encode())

    say(ready=True)
    alive: dict[int, int] = {}
    rest = b""
    while True:
        readable, _, _ = select.select([0], [], [], 0.002 if alive else None)
        if readable:
            chunk = os.read(0, 1 << 16)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                order = json.loads(line)
                if "kill" in order:
                    for pid in [p for p, number in alive.items() if number == order["kill"]]:
                        os.kill(pid, signal.SIGKILL)
                    continue
                pid = os.fork()
                if pid == 0:
                    _child(order)
                alive[pid] = order["id"]
                say(id=order["id"], began=pid)
        for pid in list(alive):
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                say(id=alive.pop(pid), code=os.waitstatus_to_exitcode(status))
    for pid in alive:
        os.kill(pid, signal.SIGKILL)


if __name__ == "__main__":
    serve()
