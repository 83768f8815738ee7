"""Says what became of a run: to the school in its outbox, to people in a sentence, to the metrics."""

from etl_lib.report.outcome import Outcome, report, status_of

__all__ = ["Outcome", "report", "status_of"]
