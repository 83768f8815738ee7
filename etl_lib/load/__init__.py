"""Loads a whole delivery in one transaction: staging, references, MERGE, deletes, history, ledger, counts."""

from etl_lib.load.compare import Comparison, Difference, compare
from etl_lib.load.delivery import Plan, load
from etl_lib.load.undo import undo

__all__ = ["Comparison", "Difference", "Plan", "compare", "load", "undo"]
