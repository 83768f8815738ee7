"""Waiting for what others do: servers that start, runs that end, listings that follow."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import Retrying, retry_if_result, stop_after_delay, wait_fixed


def wait_until(is_so: Callable[[], bool], limit_s: float, pause_s: float = 0.5) -> None:
    """Look until it is so; raises tenacity.RetryError when it is not within the limit."""
    retrying = Retrying(
        stop=stop_after_delay(limit_s),
        wait=wait_fixed(pause_s),
        retry=retry_if_result(lambda so: not so),
    )
    retrying(is_so)
