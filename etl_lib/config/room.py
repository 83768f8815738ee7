"""How much of the machines a client's tasks may take: a pool that they share, their rank, cpu and memory."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field

from etl_lib.config.entity import Model

POOL_NAME = r"^[a-z][a-z0-9_-]{0,47}$"
PoolName = Annotated[str, Field(pattern=POOL_NAME)]
Slots = Annotated[int, Field(ge=1, le=10_000)]

# What Kubernetes itself takes, without the forms that are mistakes in a mapping: `512` is 512 bytes of
# memory there, and `512m` half a byte.
_CPU = re.compile(r"\d{1,4}(\.\d{1,3})?|\d{1,7}m")
_MEMORY = re.compile(r"\d{1,7}(\.\d{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)")


def _as_text(value: Any) -> Any:
    """YAML's `2` and `0.5` are numbers of cores."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _quantity(value: str, form: re.Pattern[str], what: str) -> str:
    if not form.fullmatch(value) or not re.search("[1-9]", value):
        raise ValueError(f"`{value}` is not {what}")
    return value


Cpu = Annotated[
    str,
    BeforeValidator(_as_text, json_schema_input_type=str | int | float),
    AfterValidator(
        lambda value: _quantity(value, _CPU, "a number of processor cores such as 2, 0.5 or 500m")
    ),
]
Memory = Annotated[
    str,
    BeforeValidator(_as_text, json_schema_input_type=str),
    AfterValidator(
        lambda value: _quantity(value, _MEMORY, "an amount of memory such as 512Mi or 2Gi")
    ),
]


class Resources(Model):
    """What a pod of the client's heavy tasks gets, under the KubernetesExecutor; other executors pass it over.

    A key that is left out stays as the pod template has it.
    """

    cpu: Cpu | None = Field(
        None, description="Cores that are kept for it, such as `2` or `500m`; it may use more."
    )
    memory: Memory | None = Field(
        None,
        description="Memory that is kept for it, such as `2Gi`; with more it is ended and repeated.",
    )


def faults_of_pool(
    pool: str | None, pools: Mapping[str, int], environment: str
) -> Iterator[tuple[str, str]]:
    """Text and hint when a mapping names a pool that the environment does not have: its tasks never began."""
    if pool is None or pool in pools:
        return
    near = difflib.get_close_matches(pool, pools, 1)
    add = f"Add it to `pools` of include/environments/{environment}.yaml, with its slots."
    yield (
        f"the environment `{environment}` has no pool `{pool}`.",
        f"Did you mean `{near[0]}`?" if near else add,
    )
