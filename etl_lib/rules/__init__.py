"""What a mapping's column rules mean for columns of text: prepared, checked and parsed, with Arrow kernels.

Validate and transform both lean on it, so that they can never judge a value differently.
"""

from etl_lib.rules.checks import Check, Problem, checks_for, problems_of
from etl_lib.rules.lookups import Lookups
from etl_lib.rules.mixed import Rival, is_mixed, rivals_of
from etl_lib.rules.parse import arrow_type, parse
from etl_lib.rules.prepare import (
    PreparedRows,
    fields_cleared,
    fields_defaulted,
    fields_present,
    fills_rows,
    ids_of,
    prepare,
)

__all__ = [
    "Check",
    "Lookups",
    "PreparedRows",
    "Problem",
    "Rival",
    "arrow_type",
    "checks_for",
    "fields_cleared",
    "fields_defaulted",
    "fields_present",
    "fills_rows",
    "ids_of",
    "is_mixed",
    "parse",
    "prepare",
    "problems_of",
    "rivals_of",
]
