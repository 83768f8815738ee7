"""Airflow's pools as the environment's file has them: made and kept so by the bundle, before DAGs are parsed.

Airflow does not start a task whose pool does not exist.
"""

from __future__ import annotations

from collections.abc import Mapping

_SAYS = (
    "From `pools` of include/environments/; a change made here is undone at the bundle's next look."
)


def ensure_pools(pools: Mapping[str, int]) -> tuple[str, ...]:
    """Make the pools that do not exist and correct slots that differ; gives their names.

    Needs Airflow's own database. Pools that no file names are left alone: other DAGs may use them.
    """
    if not pools:
        return ()
    from airflow.models.pool import Pool
    from airflow.utils.session import create_session
    from sqlalchemy import select

    with create_session(scoped=False) as session:
        query = select(Pool).where(Pool.pool.in_(sorted(pools)))
        there = {pool.pool: pool.slots for pool in session.scalars(query)}
        wrong = tuple(name for name in sorted(pools) if there.get(name) != pools[name])
        for name in wrong:
            # a school whose files are waited for holds no slot
            Pool.create_or_update_pool(name, pools[name], _SAYS, False, session=session)
    return wrong
