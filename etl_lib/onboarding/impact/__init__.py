"""The blast radius of a change to include/ or etl_hooks/: whose sample gives something else, and what."""

from etl_lib.onboarding.impact.compare import (
    CHANGES,
    Impact,
    Job,
    Line,
    Rows,
    State,
    impact_of,
    play_side,
    scope,
)
from etl_lib.onboarding.impact.earlier import Earlier, Side, earlier, side_of
from etl_lib.onboarding.impact.shown import as_json, markdown, summary, what_changes

__all__ = [
    "CHANGES",
    "Earlier",
    "Impact",
    "Job",
    "Line",
    "Rows",
    "Side",
    "State",
    "as_json",
    "earlier",
    "impact_of",
    "markdown",
    "play_side",
    "scope",
    "side_of",
    "summary",
    "what_changes",
]
