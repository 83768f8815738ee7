"""Says what became of a run: to the school in its outbox, to people in a sentence, to the metrics."""

from etl_lib.report.letter import Letter, Post
from etl_lib.report.outbox import REJECTED_HEADER, rejected_cells
from etl_lib.report.outcome import Outcome, Reply, report, status_of

__all__ = [
    "REJECTED_HEADER", "Letter", "Outcome", "Post", "Reply", "rejected_cells", "report", "status_of",
]  # fmt: skip
