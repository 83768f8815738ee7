"""Airflow imports this at its start: what every task needs is loaded once, before the fork."""

import sys

if {"scheduler", "worker"} & set(sys.argv):
    from etl_lib.airflow_edge.preload import preload

    preload()
