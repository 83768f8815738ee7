"""Registers the listener that records how runs end, also those whose own process died."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from etl_lib.airflow_edge import run_ends


class RunEndsPlugin(AirflowPlugin):
    """Hooks of the scheduler."""

    name = "run_ends"
    listeners: ClassVar = [run_ends]
