"""Loads a whole delivery in one transaction: staging, references, MERGE, deletes, history, ledger, counts."""

from etl_lib.load.approval import settle_answer
from etl_lib.load.delivery import load
from etl_lib.load.unchanged import RowsMoved

__all__ = ["RowsMoved", "load", "settle_answer"]
