"""Registers the listener that records how runs end, also those whose own process died."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from etl_lib import outcome


class OutcomePlugin(AirflowPlugin):
    """Hooks of the scheduler."""

    name = "outcome"
    listeners: ClassVar = [outcome]
