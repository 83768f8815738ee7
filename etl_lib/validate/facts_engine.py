"""Great Expectations judges facts instead of frames; the only file that touches its API.

Each expectation of a suite names the metrics it needs. They are answered from the facts of our own
pass over the file, and the expectation's own code decides about success: the whole file is judged
and no second pass is made. A metric that nobody answers, or a fact that is not a number, makes the
expectation "not judged", never passed. Pinned to one version of Great Expectations, since the names
of the metrics are its own.
"""

from __future__ import annotations

import functools
import importlib.util
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
logging.getLogger("great_expectations").setLevel(logging.WARNING)


def _when_used(name: str) -> None:
    """Import a module of a package at its first use: Great Expectations pays a third of its import for one."""
    spec = importlib.util.find_spec(name)
    if name in sys.modules or spec is None or spec.loader is None:
        return
    spec.loader = loader = importlib.util.LazyLoader(spec.loader)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    package, _, inside = name.rpartition(".")
    setattr(sys.modules[package], inside, module)


_when_used("scipy.stats")  # only for distributions, which no expectation of ours compares

from great_expectations.core import ExpectationSuiteValidationResult  # noqa: E402, TID251
from great_expectations.execution_engine import PandasExecutionEngine  # noqa: E402, TID251
from great_expectations.expectations import expectation as gx_expectation  # noqa: E402, TID251
from great_expectations.expectations.registry import get_expectation_impl  # noqa: E402, TID251

# It makes each expectation's name out of its class's some thirty times: a sixth of all its judging.
gx_expectation.camel_to_snake = functools.cache(gx_expectation.camel_to_snake)

_RESULT_FORMAT = {"result_format": {"result_format": "BASIC", "partial_unexpected_count": 0}}


@dataclass(frozen=True)
class Expected:
    """An expectation with its facts.

    `rows`: rows judged; `nulls`: those of them without a value; `unexpected`: rows that break it,
    for expectations on rows; `observed`: what was seen, for expectations on the file as a whole
    (row count, list of columns, smallest or largest value).
    """

    expectation: str
    kwargs: Mapping[str, Any]
    rows: int
    nulls: int
    unexpected: int | None
    observed: Any = None


@dataclass(frozen=True)
class Judgement:
    """What Great Expectations said; not `judged`: it could not say anything, for the reason in text."""

    expectation: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    success: bool = False
    judged: bool = True
    unexpected: int | None = None
    text: str = ""


def judge(name: str, suite: Sequence[Expected]) -> tuple[list[Judgement], dict[str, Any]]:
    """Great Expectations' judgement of every expectation, and its result as JSON without any value."""
    engine = PandasExecutionEngine()  # only asked which metrics exist; it never sees a frame
    judgements, results = [], []
    for expected in suite:
        judgement, result = _one(expected, engine)
        judgements.append(judgement)
        if result is not None:
            results.append(result)
    met = sum(judgement.success for judgement in judgements)
    outcome = ExpectationSuiteValidationResult(
        success=all(judgement.success for judgement in judgements),
        results=results,
        suite_name=name,
        statistics={
            "evaluated_expectations": len(judgements),
            "successful_expectations": met,
            "unsuccessful_expectations": len(judgements) - met,
            "success_percent": 100 * met / len(judgements) if judgements else None,
        },
    )
    return judgements, outcome.to_json_dict()


def _one(expected: Expected, engine: PandasExecutionEngine) -> tuple[Judgement, Any]:
    try:
        expectation = get_expectation_impl(expected.expectation)(**expected.kwargs)
        result = expectation.metrics_validate(
            metrics=_Answers(expected),
            runtime_configuration=_RESULT_FORMAT,
            execution_engine=engine,
        )
    except Exception as error:  # noqa: BLE001 (whatever its code raises means: not judged)
        text = f"could not be judged ({type(error).__name__})"
        return Judgement(expected.expectation, expected.kwargs, judged=False, text=text), None
    if result.exception_info.get("raised_exception"):
        return Judgement(
            expected.expectation, expected.kwargs, judged=False, text="could not be judged"
        ), result
    success = bool(result.success)
    return Judgement(
        expected.expectation, expected.kwargs, success, unexpected=expected.unexpected
    ), result


@dataclass(frozen=True)
class _Answers:
    """What Great Expectations takes for a dict of metrics by their ids, of which the first part is the name.

    Each is answered when it is asked for: to find out beforehand which those are would cost as much as
    the judgement.
    """

    expected: Expected

    def __contains__(self, metric: tuple[str, str, str]) -> bool:
        return True

    def __getitem__(self, metric: tuple[str, str, str]) -> Any:
        return _answer(metric[0], self.expected)


def _answer(metric: str, expected: Expected) -> Any:
    """The metric's value out of the facts; raises LookupError for one that the facts do not hold."""
    if metric == "table.row_count":
        return _number(expected.rows)
    if metric in ("table.columns", "column.min", "column.max"):
        if expected.observed is None:
            raise LookupError(metric)
        return expected.observed
    if metric == "column_values.nonnull.unexpected_count":
        return _number(expected.nulls)
    if metric.endswith(".filtered_row_count"):
        return _number(expected.rows) - _number(expected.nulls)
    if metric.endswith(".unexpected_count"):
        return _number(expected.unexpected)
    if metric.endswith(".unexpected_values"):
        return []  # values never leave the file
    raise LookupError(metric)


def _number(fact: int | None) -> int:
    """A fact must be a number: Great Expectations lets None pass."""
    if type(fact) is not int or fact < 0:
        raise LookupError("a fact is missing")
    return fact
