"""Says what became of a run: to the school in its outbox, to people in a sentence, to the metrics."""

from etl_lib.report.outcome import report

__all__ = ["report"]
