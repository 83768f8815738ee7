"""Loads a whole delivery in one transaction: staging, references, MERGE, deletes, history, ledger, counts."""

from etl_lib.load.approval import settle_answer
from etl_lib.load.delivery import load

__all__ = ["load", "settle_answer"]
