"""Tells Airflow's waiting tasks what has been decided in the ETL database: by CLI, view, clock or a newer
delivery. Needs Airflow's own database, so it runs in the scheduler and in the api-server."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from sqlalchemy.orm import Session

    from etl_lib.metrics.holds import Answer, HeldDelivery

log = logging.getLogger(__name__)
LOAD = "load"
APPROVE, REFUSE = "Approve", "Refuse"


def resume_decided(url: str) -> None:
    """Lapse what is overdue, and let every task go on whose hold is decided; may be repeated.

    The task reads the decision itself: what is written here only wakes it.
    """
    # DAG files import this module
    from etl_lib.metrics.holds import asked, decide, mark_shown

    waiting = asked(url)
    for hold in waiting.shown:
        if said := _said(hold):
            decide(
                url, hold.client_id, hold.hold_seq, said.status, said.by, said.comment, in_airflow=True
            )  # fmt: skip
    if waiting.decided:
        _resume(waiting.decided)
    for hold in waiting.not_shown:
        if _show(hold):
            mark_shown(url, hold.hold_seq)


def _asking(session: Session, hold: HeldDelivery) -> tuple[TaskInstance, HITLDetail] | None:
    """The task that waits for an answer about the hold, with its question; both locked."""
    from airflow.models.hitl import HITLDetail
    from airflow.models.taskinstance import TaskInstance
    from airflow.utils.state import TaskInstanceState
    from sqlalchemy import select

    # locked in Airflow's own order, the task before its question
    task = session.scalar(
        select(TaskInstance)
        .where(
            TaskInstance.dag_id == hold.dag_id,
            TaskInstance.run_id == hold.run_id,
            TaskInstance.task_id == LOAD,
            TaskInstance.state == TaskInstanceState.AWAITING_INPUT,
        )
        .with_for_update(of=TaskInstance, skip_locked=True)
    )
    if task is None:
        return None
    question = session.scalar(
        select(HITLDetail).where(HITLDetail.ti_id == task.id).with_for_update(of=HITLDetail)
    )
    return None if question is None or question.response_received else (task, question)


def _said(hold: HeldDelivery) -> Answer | None:
    """What was answered on Airflow's form since the hold was opened; None: nothing.

    The task records its answer itself, unless it is killed before, or never begins: an answer that comes
    before the scheduler has noticed that the asking process ended makes Airflow 3.3.2 fail the try ("state
    mismatch"), and the next try forgets the answer and asks again.
    """
    from airflow.models.hitl import HITLDetail
    from airflow.models.hitl_history import HITLDetailHistory
    from airflow.models.taskinstance import TaskInstance
    from airflow.models.taskinstancehistory import TaskInstanceHistory
    from airflow.utils.session import create_session
    from sqlalchemy import select

    tries = (
        (TaskInstance, HITLDetail, HITLDetail.ti_id == TaskInstance.id),
        (
            TaskInstanceHistory,
            HITLDetailHistory,
            HITLDetailHistory.ti_history_id == TaskInstanceHistory.task_instance_id,
        ),
    )
    found: list[HITLDetail | HITLDetailHistory] = []
    with create_session(scoped=False) as session:
        for task, question, same in tries:
            found += session.scalars(
                select(question).join(task, same).where(
                    task.dag_id == hold.dag_id, task.run_id == hold.run_id, task.task_id == LOAD,
                    question.responded_at > hold.opened_at,
                    # clocks differ: an answer to another question must never count
                    question.subject == hold.headline, question.body == hold.body,
                )
            )  # fmt: skip
        if not found:
            return None
        last = max(found, key=lambda one: one.responded_at or hold.opened_at)
        return answer(hold.hold_seq, last.chosen_options, last.params_input, last.responded_by_user)


def answer(
    hold_seq: int, options: Iterable[str] | None, form: Mapping[str, Any] | None,
    by: Mapping[str, Any] | None,
) -> Answer:  # fmt: skip
    """What a person said, from the fields of Airflow's form."""
    from etl_lib.metrics.holds import Answer, HoldStatus

    status = HoldStatus.APPROVED if list(options or ()) == [APPROVE] else HoldStatus.REFUSED
    return Answer(
        hold_seq, status, (by or {}).get("name", ""), str((form or {}).get("comment") or "")
    )


def _show(hold: HeldDelivery) -> bool:
    """Let Airflow's form ask about this plan; it keeps the text of a run's first question otherwise."""
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        if (asking := _asking(session, hold)) is None:
            return False
        _, question = asking
        question.subject, question.body = hold.headline, hold.body
    return True


def _resume(decided: Iterable[HeldDelivery]) -> None:
    from airflow.models.hitl import HITLUser
    from airflow.models.trigger import handle_event_submit
    from airflow.triggers.base import TriggerEvent
    from airflow.utils.session import create_session

    with create_session(scoped=False) as session:
        for hold in decided:
            if (asking := _asking(session, hold)) is None:
                continue
            task, question = asking
            by = hold.decided_by or hold.status
            question.responded_by = dict(HITLUser(id=by, name=by))
            question.responded_at = datetime.now(UTC)
            question.chosen_options = [APPROVE if hold.status == "approved" else REFUSE]
            question.params_input = {}
            event = TriggerEvent(question.as_resume_event_payload())  # type: ignore[no-untyped-call]
            handle_event_submit(event, task_instance=task, session=session)
            log.info("%s %s: %s, the task load goes on.", hold.dag_id, hold.run_id, hold.status)
