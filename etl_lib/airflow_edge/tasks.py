"""The tasks of an integration: each gets its connections, calls one stage, and says how it ended."""

from __future__ import annotations

from abc import abstractmethod
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator, Param
from airflow.sdk.exceptions import AirflowException, AirflowSkipException, TaskAwaitingInput

from etl_lib.airflow_edge.awaiting import APPROVE, REFUSE, answer
from etl_lib.airflow_edge.connections import pgp_keys_of, source_of
from etl_lib.airflow_edge.endings import airflow_outcome
from etl_lib.airflow_edge.post import post_of
from etl_lib.airflow_edge.runs import run_of
from etl_lib.airflow_edge.waiting import DeliveryTrigger, for_looking, wait_of
from etl_lib.config.project import Project
from etl_lib.errors import NeedsApproval

if TYPE_CHECKING:
    from airflow.sdk import Context

    from etl_lib.metrics.holds import Answer
    from etl_lib.run import Run


class ClientOperator(BaseOperator):
    """A task of a client's run.

    `include` is the folder of the mapping files beside the DAG file, so that a task reads those of
    the version its run began with.
    """

    ui_color = "#e8f0fe"

    def __init__(self, *, client_id: str, include: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.client_id = client_id
        self.include = include


class StageOperator(ClientOperator):
    """One stage on what the stage before has left; children say which."""

    def execute(self, context: Context) -> None:
        """Run the stage, unless the run has been committed already, or is an undo."""
        from etl_lib.pipeline import is_loaded

        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            if is_loaded(run):
                return
            if run.wishes.undo:
                self.log.info("This run undoes %s; load does it.", run.wishes.undo)
            else:
                self.stage(run)

    @abstractmethod
    def stage(self, run: Run) -> None:
        """What this stage does."""


class ExtractOperator(ClientOperator):
    """Waits for a whole delivery, archives and reads it; skips the rest when nothing is new."""

    def execute(self, context: Context, event: dict[str, Any] | None = None) -> None:
        """Begin the run; wait on the triggerer while the delivery is not whole."""
        from etl_lib.extract import look
        from etl_lib.freshness import known_files
        from etl_lib.metrics.ledger import Ledger
        from etl_lib.pipeline import (
            begin,
            begin_anew,
            do_extract,
            do_extract_again,
            frozen_mapping,
            is_loaded,
            nothing_new,
            recorded,
            refuse_if_paused,
        )

        with airflow_outcome():
            project = Project.load(Path(self.include))
            run = run_of(context, self.client_id, self.include)
            if run.wishes.backfill:
                begin_anew(run, project.entities)
            begin(run, project.environment_name, project.entities)
            if is_loaded(run) or run.wishes.undo:
                return
            if run.wishes.from_archive:
                do_extract_again(run, lambda: project.resolve(self.client_id), pgp_keys_of)
                return
            with recorded(run, "extract"):
                resolved = frozen_mapping(run, lambda: project.resolve(self.client_id))
                refuse_if_paused(run, resolved)
            waits, now = wait_of(context, resolved), datetime.now(UTC)
            inboxes = project.environment.client_folders.bucket
            loaded = known_files(run, resolved, waits)
            if (
                event is None
                and now < waits.until
                and not look(resolved, source_of(resolved, inboxes), None, loaded).whole
            ):
                Ledger(run.database_url).wait(run, "extract", waits.words, waits.expected_at)
                self.defer(
                    trigger=DeliveryTrigger(
                        resolved=for_looking(resolved),
                        bucket=inboxes,
                        until=waits.until.isoformat(),
                        loaded=loaded.model_dump_json() if loaded else None,
                    ),
                    method_name="execute",
                    timeout=waits.until - now + timedelta(minutes=10),
                )
            extracted = do_extract(
                run,
                lambda: resolved,
                lambda mapping: source_of(mapping, inboxes),
                pgp_keys_of,
                waits,
            )
            if fault := nothing_new(extracted):
                raise AirflowSkipException(fault.text)


class ValidateOperator(StageOperator):
    """Judges the delivery with Great Expectations; bad rows become rejected rows."""

    def stage(self, run: Run) -> None:
        """Validate."""
        from etl_lib.pipeline import do_validate

        do_validate(run)


class TransformOperator(StageOperator):
    """Makes canonical rows of the accepted ones with pandas."""

    def stage(self, run: Run) -> None:
        """Transform."""
        from etl_lib.pipeline import do_transform

        do_transform(run)


class LoadOperator(ClientOperator, HITLOperator):  # type: ignore[misc]
    """Loads the delivery in one transaction; over a limit it changes nothing and asks a person.

    While it asks it takes no worker slot. Who may answer: who may edit the integration in Airflow.
    What was decided is a row of the ETL database, so a retry or a cleared task honours it.
    """

    def __init__(self, **kwargs: Any) -> None:
        comment = Param(
            "",
            type="string",
            title="Comment",
            description="Recorded with your name.",
            source="task",
        )
        kwargs["params"] = {"comment": comment}  # of the answer's form; the run's own are the DAG's
        super().__init__(
            subject="Load this delivery?", options=[APPROVE, REFUSE],
            response_timeout=timedelta(hours=72), **kwargs,
        )  # fmt: skip

    def execute(self, context: Context) -> None:
        """Load, or ask."""
        from etl_lib.pipeline import do_load, do_report, do_undo, is_loaded, question

        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            if is_loaded(run):
                return
            if run.wishes.undo:
                do_undo(run, Project.load(Path(self.include)))
                return
            try:
                do_load(run)
                return
            except NeedsApproval:
                do_report(run)
                asked = question(run)
        self.subject, self.body, self.response_timeout = asked.headline, asked.body, asked.time_left
        try:
            HITLOperator.execute(self, context)
        except TaskAwaitingInput as parked:
            # an answer is about this plan and no other
            parked.kwargs = {"hold_seq": asked.hold_seq}
            raise

    def execute_complete(self, context: Context, event: dict[str, Any], hold_seq: int) -> None:
        """Plan again and load when it was approved; asks anew when the plan has changed meanwhile."""
        from etl_lib.pipeline import do_load, is_loaded

        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            if is_loaded(run):
                return
            try:
                do_load(run, self._answer(context, event, hold_seq))
            except NeedsApproval as error:
                # the next try asks about the plan of then
                raise AirflowException(str(error)) from None

    def _answer(self, context: Context, event: dict[str, Any], hold_seq: int) -> Answer:
        from etl_lib.metrics.holds import Answer, HoldStatus

        if event.get("error_type") == "timeout":
            return Answer(hold_seq, HoldStatus.LAPSED)
        said = HITLOperator.execute_complete(self, context, event)
        return answer(
            hold_seq, said["chosen_options"], said["params_input"], said["responded_by_user"]
        )


class ReportOperator(ClientOperator):
    """Tells the school and the metrics what became of the run; a teardown, so it always runs."""

    def execute(self, context: Context) -> None:
        """Report."""
        from etl_lib.pipeline import do_report, end_hold
        from etl_lib.report import Reply

        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            end_hold(run)
            outcome = do_report(run, Reply(post_of(Project.load(Path(self.include)))))
            self.log.info("%s: %s", outcome.status, outcome.sentence)
