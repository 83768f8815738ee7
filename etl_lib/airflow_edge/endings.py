"""Turns our errors into what Airflow does about them: retry, fail, skip."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from etl_lib.errors import EtlError, NotExpected, TryAgain


@contextmanager
def airflow_outcome() -> Iterator[None]:
    """Turn our errors into Airflow's: what may heal is retried, what a person must mend is not."""
    try:
        yield
    except TryAgain as error:
        raise AirflowException(str(error)) from None
    except NotExpected as error:
        raise AirflowSkipException(str(error)) from None
    except EtlError as error:
        raise AirflowFailException(str(error)) from None
    except AirflowException:
        raise
    except Exception as error:  # noqa: BLE001
        # nobody foresaw it, and its text may hold a pupil's value, as the database's own words do
        raise AirflowException(_without_values(error)) from None


def _without_values(error: Exception) -> str:
    """An error's kind and where it arose; not its text, nor that of its causes."""
    import traceback

    places = traceback.extract_tb(error.__traceback__)
    lines = [f'  "{place.filename}", line {place.lineno}, in {place.name}' for place in places]
    return "\n".join([f"[INTERNAL] {type(error).__name__}, raised at", *lines])
