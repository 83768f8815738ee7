"""The truth about deliveries over a limit: which wait, who decided what about which plan, and when."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from etl_lib.database import Connection, connected
from etl_lib.errors import Fault
from etl_lib.manifest import Counts, Delivery, Hold, Loaded
from etl_lib.metrics.acts import Act
from etl_lib.metrics.status import RunStatus
from etl_lib.metrics.undone import ambiguous, find_run
from etl_lib.metrics.words import sentence
from etl_lib.run import Run


class HoldStatus(StrEnum):
    """What became of a hold; only an approved plan is ever loaded."""

    OPEN = "open"
    APPROVED = "approved"
    REFUSED = "refused"
    LAPSED = "lapsed"
    SUPERSEDED = "superseded"
    ENDED = "ended"


# Why a delivery that was asked about is not loaded; no names: the school reads it too.
NOT_LOADED = {
    HoldStatus.REFUSED: Fault("HOLD_REFUSED", "A person has refused the delivery."),
    HoldStatus.LAPSED: Fault("HOLD_LAPSED", "Nobody approved the delivery in time."),
    HoldStatus.ENDED: Fault(
        "HOLD_ENDED", "The task that waited for approval was ended in Airflow."
    ),
}


@dataclass(frozen=True)
class HeldDelivery:
    """One hold with the run that asked; `comment` of a superseded one says what took its place."""

    hold_seq: int
    client_id: str
    run_seq: int
    dag_id: str
    run_id: str
    delivery_id: str
    delivery_seq: int
    reasons: list[dict[str, Any]]
    plan: dict[str, Any]
    plan_digest: str
    status: str
    opened_at: datetime
    lapses_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    comment: str | None
    headline: str
    body: str

    @property
    def words(self) -> str:
        """Why it waits, in sentences."""
        return " ".join(str(reason["text"]) for reason in self.reasons)

    @property
    def counts(self) -> tuple[Counts, ...]:
        """What the plan counts."""
        return tuple(Counts(**count) for count in self.plan["counts"])


@dataclass(frozen=True)
class Answer:
    """What was said about a hold: by a person, or (LAPSED) by the clock."""

    hold_seq: int
    status: HoldStatus
    by: str = ""
    comment: str = ""


@dataclass(frozen=True)
class Plan:
    """What a load did or would do: counts, masked samples of the changed rows, and a digest.

    `digest`: that of another plan is another, though its counts be the same; empty when nobody is asked.
    """

    loaded: Loaded
    samples: list[dict[str, Any]]
    digest: str = ""

    def as_json(self) -> dict[str, Any]:
        """For etl.hold and etl.dry_run."""
        return {
            "counts": [count.model_dump() for count in self.loaded.counts],
            "samples": self.samples,
            "status": self.loaded.status,
            "holds": [hold.model_dump() for hold in self.loaded.holds],
            "said": self.loaded.said,
        }


_HOLD = """
SELECT h.hold_seq, h.client_id, h.run_seq, r.dag_id, r.run_id, h.delivery_id, h.delivery_seq, h.reasons, h.plan,
       h.plan_digest, h.status, h.opened_at, h.lapses_at, h.decided_at, h.decided_by, h.comment,
       h.headline, h.body
FROM etl.hold h JOIN etl.run r USING (run_seq) WHERE """


# --- inside the load's own transaction --------------------------------------------------------------


def last_word(connection: Connection, client_id: str, delivery_id: str) -> HeldDelivery | None:
    """The newest hold about this delivery, whichever run asked; None when nobody was asked."""
    found = _found(
        connection,
        "h.client_id = %s AND h.delivery_id = %s ORDER BY h.hold_seq DESC LIMIT 1",
        (client_id, delivery_id),
    )
    return found[0] if found else None


def is_used(connection: Connection, hold: HeldDelivery, run: Run) -> bool:
    """Whether the delivery was loaded since the decision: one approval is for one load."""
    row = connection.execute(
        "SELECT count(*) FROM etl.load l JOIN etl.run r USING (run_seq) WHERE l.client_id = %s "
        "AND l.delivery_id = %s AND l.loaded_at > %s AND NOT (r.dag_id = %s AND r.run_id = %s)",
        (hold.client_id, hold.delivery_id, hold.decided_at, run.dag_id, run.run_id),
    ).fetchone()
    return bool(row and row[0])


def record_approved(
    connection: Connection, run: Run, run_seq: int, delivery: Delivery, plan: Plan,
    by: str, comment: str,
) -> None:  # fmt: skip
    """A load over a limit that was approved without being asked about: who, and why."""
    connection.execute(
        "INSERT INTO etl.hold (client_id, run_seq, delivery_seq, delivery_id, reasons, plan, plan_digest, "
        "status, lapses_at, decided_at, decided_by, comment) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, 'approved', now(), now(), %s, %s)",
        (run.client_id, run_seq, delivery.delivery_seq, delivery.delivery_id,
         Jsonb([hold.model_dump() for hold in plan.loaded.holds]), Jsonb(plan.as_json()), plan.digest,
         by, comment),
    )  # fmt: skip
    record_decision(connection, run.client_id, run_seq, Act.APPROVE, by, comment)


def settle_older(connection: Connection, run: Run, delivery: Delivery, is_whole: bool) -> None:
    """A delivery has been loaded: holds about itself and, when it is whole, about older ones are over."""
    text = f"The delivery of {delivery.delivered_on:%d %B %Y} has been loaded in its place."
    _supersede(connection, run, delivery, is_whole, text, "")


# --- each a transaction of its own ------------------------------------------------------------------


def open_hold(
    url: str, run: Run, delivery: Delivery, plan: Plan, hours: float, is_whole: bool,
    reasons: Sequence[Hold],
) -> str | None:  # fmt: skip
    """Record that the delivery waits for a person, for so many hours from now.

    A run that asks again about the same plan keeps its hold. Open holds about the same or, when the
    delivery `is_whole` (every feed full), older deliveries are superseded. Gives the reason, and opens
    nothing, when a newer whole delivery waits already.
    """
    with connected(url) as connection:
        newer = connection.execute(
            "SELECT d.delivered_on FROM etl.hold h JOIN etl.delivery d USING (client_id, delivery_seq) "
            "WHERE h.client_id = %s AND h.status = 'open' AND h.delivery_seq > %s LIMIT 1",
            (run.client_id, delivery.delivery_seq),
        ).fetchone()
        if newer and is_whole:
            return f"The delivery of {newer[0]:%d %B %Y}, which is newer, waits for approval."
        text = (
            f"A later run asks about the delivery of {delivery.delivered_on:%d %B %Y} in its place."
        )
        _supersede(connection, run, delivery, is_whole, text, plan.digest)
        connection.execute(
            "INSERT INTO etl.hold (client_id, run_seq, delivery_seq, delivery_id, reasons, plan, plan_digest, "
            "lapses_at, is_shown) SELECT %s, r.run_seq, %s, %s, %s, %s, %s, "
            "clock_timestamp() + %s * interval '1 hour', "
            "NOT EXISTS (SELECT FROM etl.hold h WHERE h.run_seq = r.run_seq) FROM etl.run r "
            "WHERE r.dag_id = %s AND r.run_id = %s AND NOT EXISTS (SELECT FROM etl.hold h "
            "WHERE h.run_seq = r.run_seq AND h.status = 'open')",
            (run.client_id, delivery.delivery_seq, delivery.delivery_id,
             Jsonb([hold.model_dump() for hold in reasons]), Jsonb(plan.as_json()), plan.digest, hours,
             run.dag_id, run.run_id),
        )  # fmt: skip
    return None


def settle_identical(url: str, run: Run, delivery: Delivery) -> None:
    """The files that are loaded have come again: what came before them is no longer asked about."""
    text = (
        f"The files of {delivery.delivered_on:%d %B %Y}, which are loaded, came again in its place."
    )
    with connected(url) as connection:
        rows = connection.execute(
            "UPDATE etl.hold h SET status = 'superseded', decided_at = clock_timestamp(), comment = %s "
            "FROM etl.delivery d WHERE d.client_id = h.client_id AND d.delivery_seq = h.delivery_seq "
            "AND h.client_id = %s AND h.status = 'open' AND d.received_at <= %s RETURNING h.run_seq",
            (text, run.client_id, delivery.received_at),
        ).fetchall()
        _end(connection, rows, RunStatus.SUPERSEDED, Fault("SUPERSEDED", text))


def hold_of_run(url: str, run: Run) -> HeldDelivery | None:
    """The newest hold that the run has opened, or None."""
    with connected(url) as connection:
        found = _found(
            connection,
            "r.dag_id = %s AND r.run_id = %s ORDER BY h.hold_seq DESC LIMIT 1",
            (run.dag_id, run.run_id),
        )
    return found[0] if found else None


def open_holds(url: str, wanted: str, client_id: str | None = None) -> list[HeldDelivery]:
    """The open holds of a client, or that of the run of this number or id.

    Raises FixTheSetup: RUN_NOT_FOUND, or RUN_AMBIGUOUS when it may be more than one of these, whether or
    not each of them waits: who decides says what about.
    """
    wanted = wanted.strip()
    with connected(url) as connection:
        row = connection.execute(
            "SELECT EXISTS (SELECT FROM etl.run WHERE client_id = %(wanted)s), ARRAY(SELECT "
            "'run ' || run_seq || ' of ' || client_id FROM etl.run WHERE run_id = %(wanted)s ORDER BY run_seq)",
            {"wanted": wanted},
        ).fetchone()
        is_client, runs = row or (False, [])
        if client_id is not None or not is_client:
            run = find_run(connection, wanted, client_id)
            return _found(connection, "h.status = 'open' AND h.run_seq = %s", (run.run_seq,))
        if runs:
            raise ambiguous(wanted, [f"the client {wanted}", *runs])
    return open_holds_of(url, [wanted])


def open_holds_of(url: str, client_ids: Sequence[str]) -> list[HeldDelivery]:
    """The open holds of these clients."""
    with connected(url) as connection:
        return _found(
            connection,
            "h.status = 'open' AND h.client_id = ANY (%s) ORDER BY h.client_id, h.hold_seq",
            (list(client_ids),),
        )


def decide(
    url: str, client_id: str, hold_seq: int, status: HoldStatus, by: str, comment: str,
    in_airflow: bool = False,
) -> bool:  # fmt: skip
    """Record what was decided about an open hold; False when it is not open any more (nothing happens).

    `in_airflow`: on Airflow's own form, which may still have shown an earlier plan: then nothing happens.

    The first word counts. A hold whose time is over lapses, whatever was wanted. A refused run whose
    process has ended (`etl run`) is refused here; one that waits in Airflow ends itself.
    """
    with connected(url) as connection:
        _lapse(connection)
        row = connection.execute(
            "UPDATE etl.hold SET status = %s, decided_at = clock_timestamp(), decided_by = %s, comment = %s "
            "WHERE client_id = %s AND hold_seq = %s AND status = 'open' AND (is_shown OR NOT %s) "
            "RETURNING run_seq",
            (status, by or None, comment, client_id, hold_seq, in_airflow),
        ).fetchone()
        if row is None:
            return False
        if status in _ACTS:
            record_decision(connection, client_id, row[0], _ACTS[status], by, comment)
        if status == HoldStatus.REFUSED:
            _end(connection, [row], RunStatus.REFUSED, NOT_LOADED[HoldStatus.REFUSED])
    return True


_ACTS = {HoldStatus.APPROVED: Act.APPROVE, HoldStatus.REFUSED: Act.REFUSE}


def record_question(url: str, hold_seq: int, headline: str, body: str) -> None:
    """What Airflow's form is to ask about the hold."""
    with connected(url) as connection:
        connection.execute(
            "UPDATE etl.hold SET headline = %s, body = %s WHERE hold_seq = %s",
            (headline, body, hold_seq),
        )


def mark_shown(url: str, hold_seq: int) -> None:
    """Airflow's form shows the question: an answer there is one about this hold."""
    with connected(url) as connection:
        connection.execute("UPDATE etl.hold SET is_shown = true WHERE hold_seq = %s", (hold_seq,))


@dataclass(frozen=True)
class Asked:
    """Holds of runs that wait in Airflow.

    `shown`: open, and its form asks about them. `not_shown`: open, while its form still shows an earlier
    question of the run. `decided`: the run's task must be told.
    """

    shown: list[HeldDelivery]
    not_shown: list[HeldDelivery]
    decided: list[HeldDelivery]


def asked(url: str) -> Asked:
    """What runs wait for, once what nobody has decided in time is refused."""
    with connected(url) as connection:  # one: the scheduler looks every few seconds
        _lapse(connection)
        open_ones = "h.status = 'open' AND r.ended_at IS NULL AND {} ORDER BY h.hold_seq"
        decided = (
            "h.status <> 'open' AND r.status = 'awaiting_approval' AND r.ended_at IS NULL AND h.hold_seq = "
            "(SELECT max(hold_seq) FROM etl.hold x WHERE x.run_seq = h.run_seq) ORDER BY h.hold_seq"
        )
        return Asked(
            _found(connection, open_ones.format("h.is_shown"), ()),
            _found(connection, open_ones.format("NOT h.is_shown AND h.headline <> ''"), ()),
            _found(connection, decided, ()),
        )


def record_dry_run(url: str, run: Run, plan: Plan) -> None:
    """Keep what a dry run would have changed."""
    with connected(url) as connection:
        connection.execute(
            "INSERT INTO etl.dry_run (run_seq, plan) SELECT run_seq, %s FROM etl.run "
            "WHERE dag_id = %s AND run_id = %s ON CONFLICT (run_seq) DO UPDATE SET plan = excluded.plan",
            (Jsonb(plan.as_json()), run.dag_id, run.run_id),
        )


def planned_by(url: str, run: Run) -> Loaded | None:
    """What the dry run planned, or None when it came to no plan."""
    with connected(url) as connection:
        row = connection.execute(
            "SELECT d.plan FROM etl.dry_run d JOIN etl.run r USING (run_seq) "
            "WHERE r.dag_id = %s AND r.run_id = %s",
            (run.dag_id, run.run_id),
        ).fetchone()
    if row is None:
        return None
    plan: Mapping[str, Any] = row[0]
    return Loaded.model_validate_json(
        json.dumps({k: plan[k] for k in ("status", "counts", "holds", "said")})
    )


def record_decision(
    connection: Connection, client_id: str, run_seq: int, act: Act, by: str, comment: str
) -> None:
    """Who decided, among what people did."""
    connection.execute(
        "INSERT INTO etl.act (client_id, run_seq, kind, by, text) VALUES (%s, %s, %s, %s, %s)",
        (client_id, run_seq, act, by, comment),
    )


def _supersede(
    connection: Connection, run: Run, delivery: Delivery, is_whole: bool, text: str, but_digest: str
) -> None:
    """End open holds about the delivery and, when it is whole, older ones; not the run's own about
    the plan `but_digest`."""
    rows = connection.execute(
        "UPDATE etl.hold h SET status = 'superseded', decided_at = clock_timestamp(), comment = %s "
        "FROM etl.run r WHERE r.run_seq = h.run_seq AND h.client_id = %s AND h.status = 'open' "
        "AND (h.delivery_id = %s OR %s AND h.delivery_seq < %s) "
        "AND NOT (r.dag_id = %s AND r.run_id = %s AND h.plan_digest = %s) RETURNING h.run_seq",
        (text, run.client_id, delivery.delivery_id, is_whole, delivery.delivery_seq,
         run.dag_id, run.run_id, but_digest),
    ).fetchall()  # fmt: skip
    _end(connection, rows, RunStatus.SUPERSEDED, Fault("SUPERSEDED", text))


def _lapse(connection: Connection) -> None:
    rows = connection.execute(
        "UPDATE etl.hold SET status = 'lapsed', decided_at = clock_timestamp() "
        "WHERE status = 'open' AND lapses_at < clock_timestamp() RETURNING run_seq"
    ).fetchall()
    _end(connection, rows, RunStatus.REFUSED, NOT_LOADED[HoldStatus.LAPSED])


def _end(
    connection: Connection, runs: Sequence[tuple[Any, ...]], status: RunStatus, why: Fault
) -> None:
    """The last word about runs (rows of their numbers) that wait for a person and have no process that
    could say it."""
    connection.execute(
        "UPDATE etl.run SET status = %s, sentence = %s WHERE run_seq = ANY (%s) AND status = %s "
        "AND ended_at IS NOT NULL",
        (
            status,
            sentence(status, (), [why]),
            [row[0] for row in runs],
            RunStatus.AWAITING_APPROVAL,
        ),
    )


def _found(connection: Connection, where: str, given: tuple[Any, ...]) -> list[HeldDelivery]:
    with connection.cursor(row_factory=class_row(HeldDelivery)) as cursor:
        return cursor.execute((_HOLD + where).encode(), given).fetchall()
