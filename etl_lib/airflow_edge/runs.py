"""The run that a task of Airflow belongs to: its places, its database, and the wishes of its form."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from etl_lib.airflow_edge.connections import bucket, conninfo
from etl_lib.config.project import Project

if TYPE_CHECKING:
    from airflow.sdk import Context

    from etl_lib.run import Run


def run_of(context: Context, client_id: str, include: str) -> Run:
    """The run that a task belongs to, with the places and wishes of its environment and its form.

    Raises FixTheSetup (CONNECTION_MISSING) for a connection that does not exist.
    """
    from etl_lib.run import Kind, Run, Wishes, folder_name

    environment = Project.load(Path(include)).environment
    storage = bucket(environment.storage.conn_id, environment.storage.bucket)
    folders = bucket(environment.client_folders.conn_id, environment.client_folders.bucket)
    dag_run = context["dag_run"]
    params = context["params"]
    undo = str(params.get("undo") or "").strip()
    run_id = dag_run.run_id
    kind: Kind = "undo" if undo else "load"
    if dag_run.dag_id != client_id:  # the upkeep of all clients: recorded as a run of this one
        run_id, kind = f"reconcile__{run_id}", "reconcile"
    run = Run(
        client_id=client_id,
        dag_id=client_id,
        run_id=run_id,
        started_at=dag_run.start_date or datetime.now(UTC),
        database_url=conninfo(environment.database_conn_id),
        archive=storage.at("archive", client_id),
        workspace=storage.at("staging", client_id, folder_name(run_id)),
        outbox=folders.at("clients", client_id, "outbox"),
        wishes=Wishes(
            approve=bool(params.get("approve", False)),
            dry_run=bool(params.get("dry_run", False)),
            undo=undo,
            by=getattr(dag_run, "triggering_user_name", None) or "",
        ),
        kind=kind,
    )
    return replace(run, wishes=replace(run.wishes, **_once_more(dag_run, params)))


def _once_more(dag_run: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The wishes of a run that takes its delivery out of the archive: a replay or a backfill."""
    return {
        "replay": str(params.get("replay") or "").strip(),
        "only_rejects": bool(params.get("only_rejects", False)),
        "mapping_of_then": bool(params.get("mapping_of_then", False)),
        "overwrite_newer": bool(params.get("overwrite_newer", False)),
        "backfill": dag_run.logical_date if dag_run.run_type == "backfill" else None,
    }
