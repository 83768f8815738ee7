"""What Airflow knows of the clients' integrations: whether each has a DAG, and why not."""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import dataclass

from etl_lib.errors import FixTheSetup

_SAYS_WHERE = ("AIRFLOW_HOME", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN")


@dataclass(frozen=True)
class SeenDag:
    """A DAG as Airflow's own database has it; stale: no file makes it any more."""

    is_stale: bool
    is_paused: bool
    has_import_errors: bool


def is_configured() -> bool:
    """Whether this process has been told where Airflow is."""
    return any(os.environ.get(name) for name in _SAYS_WHERE)


def seen_dags(dag_ids: Collection[str]) -> dict[str, SeenDag]:
    """Those of the DAGs that Airflow knows.

    Raises FixTheSetup (AIRFLOW_UNAVAILABLE) when Airflow's database is not there.
    """
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session(scoped=False) as session:
            found = session.scalars(select(DagModel).where(DagModel.dag_id.in_(list(dag_ids))))
            return {
                dag.dag_id: SeenDag(
                    bool(dag.is_stale), bool(dag.is_paused), bool(dag.has_import_errors)
                )
                for dag in found
            }
    except SQLAlchemyError as error:
        text = f"Airflow's database cannot be used ({type(error).__name__})."
        raise FixTheSetup.of("AIRFLOW_UNAVAILABLE", text) from None
