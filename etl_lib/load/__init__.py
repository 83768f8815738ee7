"""Loads a whole delivery in one transaction: staging, references, MERGE, deletes, history, ledger, counts."""

from etl_lib.load.delivery import Plan, load

__all__ = ["Plan", "load"]
