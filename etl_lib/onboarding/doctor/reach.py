"""How this process reaches database and buckets: by Airflow's connections, or by ETL_* variables at a terminal."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from etl_lib.airflow_edge.connections import bucket, conninfo
from etl_lib.airflow_edge.seen import is_configured
from etl_lib.config.environment import Place
from etl_lib.config.project import Project
from etl_lib.database import DATABASE_VARIABLE, database_url

if TYPE_CHECKING:
    from etl_lib.storage import Storage


@dataclass
class Reach:
    """The places of an environment; each is asked for when it is needed, and remembered."""

    project: Project
    _buckets: dict[str, Storage] = field(default_factory=dict, repr=False)

    def has(self, conn_id: str) -> bool:
        """Whether a connection can be looked for: its own variable is set, or Airflow is known here."""
        return is_configured() or f"AIRFLOW_CONN_{conn_id.upper()}" in os.environ

    def url(self) -> str:
        """The ETL database: ETL_DATABASE_URL, else Airflow's connection. Raises FixTheSetup."""
        conn_id = self.project.environment.database_conn_id
        if os.environ.get(DATABASE_VARIABLE) or not self.has(conn_id):
            return database_url()
        return conninfo(conn_id)

    def bucket(self, place: Place) -> Storage:
        """The bucket behind an Airflow connection. Raises FixTheSetup when there is no such connection."""
        key = f"{place.conn_id} {place.bucket}"
        if key not in self._buckets:
            self._buckets[key] = bucket(place.conn_id, place.bucket)
        return self._buckets[key]
