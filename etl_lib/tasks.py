"""The Airflow edge: connections in, one stage call, our errors turned into retry, fail, skip or wait."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import HITLOperator
from airflow.sdk import BaseOperator, Param
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskAwaitingInput,
)
from airflow.triggers.base import BaseTrigger, TriggerEvent

from etl_lib.awaiting import APPROVE, REFUSE
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.errors import EtlError, FixTheSetup, NeedsApproval, NotExpected, TryAgain

if TYPE_CHECKING:
    from airflow.sdk import Context

    from etl_lib.config.school_days import Wait
    from etl_lib.extract import PgpKeys, Source
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
            loaded = known_files(run, resolved, waits)
            if (
                event is None
                and now < waits.until
                and not look(resolved, source_of(resolved, project), None, loaded).whole
            ):
                Ledger(run.database_url).wait(run, "extract", waits.words, waits.expected_at)
                self.defer(
                    trigger=DeliveryTrigger(
                        resolved=resolved.model_dump_json(by_alias=True),
                        include=self.include,
                        until=waits.until.isoformat(),
                        loaded=loaded.model_dump_json() if loaded else None,
                    ),
                    method_name="execute",
                    timeout=waits.until - now + timedelta(minutes=10),
                )
            extracted = do_extract(
                run,
                lambda: resolved,
                lambda mapping: source_of(mapping, project),
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
        approved = said["chosen_options"] == [APPROVE]
        by = (said["responded_by_user"] or {}).get("name", "")
        comment = str((said["params_input"] or {}).get("comment") or "")
        status = HoldStatus.APPROVED if approved else HoldStatus.REFUSED
        return Answer(hold_seq, status, by, comment)


class ReportOperator(ClientOperator):
    """Tells the school and the metrics what became of the run; a teardown, so it always runs."""

    def execute(self, context: Context) -> None:
        """Report."""
        from etl_lib.pipeline import do_report, end_hold

        with airflow_outcome():
            run = run_of(context, self.client_id, self.include)
            end_hold(run)
            outcome = do_report(run)
            self.log.info("%s: %s", outcome.status, outcome.sentence)


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


# --- connections ------------------------------------------------------------------------------------


def run_of(context: Context, client_id: str, include: str) -> Run:
    """The run that a task belongs to, with the places and wishes of its environment and its form.

    Raises FixTheSetup (CONNECTION_MISSING) for a connection that does not exist.
    """
    from etl_lib.run import Kind, Run, Wishes, folder_name

    environment = Project.load(Path(include)).environment
    storage = bucket(environment.storage.conn_id, environment.storage.bucket)
    folders = bucket(environment.client_folders.conn_id, environment.client_folders.bucket)
    dag_run = context["dag_run"]
    params = context["params"]
    undo = str(params.get("undo") or "").strip()
    run_id = dag_run.run_id
    kind: Kind = "undo" if undo else "load"
    if dag_run.dag_id != client_id:  # the upkeep of all clients: recorded as a run of this one
        run_id, kind = f"reconcile__{run_id}", "reconcile"
    run = Run(
        client_id=client_id,
        dag_id=client_id,
        run_id=run_id,
        started_at=dag_run.start_date or datetime.now(UTC),
        database_url=conninfo(environment.database_conn_id),
        archive=storage.at("archive", client_id),
        workspace=storage.at("staging", client_id, folder_name(run_id)),
        outbox=folders.at("clients", client_id, "outbox"),
        wishes=Wishes(
            approve=bool(params.get("approve", False)),
            dry_run=bool(params.get("dry_run", False)),
            undo=undo,
            by=getattr(dag_run, "triggering_user_name", None) or "",
        ),
        kind=kind,
    )
    return replace(run, wishes=replace(run.wishes, **_once_more(dag_run, params)))


def _once_more(dag_run: Any, params: Mapping[str, Any]) -> dict[str, Any]:
    """The wishes of a run that takes its delivery out of the archive: a replay or a backfill."""
    return {
        "replay": str(params.get("replay") or "").strip(),
        "only_rejects": bool(params.get("only_rejects", False)),
        "mapping_of_then": bool(params.get("mapping_of_then", False)),
        "overwrite_newer": bool(params.get("overwrite_newer", False)),
        "backfill": dag_run.logical_date if dag_run.run_type == "backfill" else None,
    }


def conninfo(conn_id: str) -> str:
    """The connection string of an Airflow connection to PostgreSQL."""
    from airflow.providers.postgres.hooks.postgres import PostgresHook
    from psycopg.conninfo import make_conninfo

    connection = _existing(lambda: PostgresHook(postgres_conn_id=conn_id).get_connection(conn_id))
    return make_conninfo(
        host=connection.host,
        port=connection.port,
        user=connection.login,
        password=connection.password,
        dbname=connection.schema,
    )


def bucket(conn_id: str, name: str) -> Any:
    """A bucket behind an Airflow connection of type aws, as our Storage."""
    from airflow.providers.amazon.aws.hooks.s3 import S3Hook

    from etl_lib.storage import Storage

    hook = S3Hook(aws_conn_id=conn_id)
    _existing(lambda: hook.get_connection(conn_id))  # the provider goes on without one
    settings = hook.conn_config
    keys = hook.get_credentials()
    return Storage.s3(
        name,
        access_key=keys.access_key,
        secret_key=keys.secret_key,
        session_token=keys.token,
        endpoint_url=settings.get_service_endpoint_url("s3"),
        region=hook.region_name,
    )


def source_of(resolved: ResolvedMapping, project: Project) -> Source:
    """The place of the client's files, through the hook of its connection."""
    from etl_lib.extract import LocalSource, S3Source, SftpSource

    place = resolved.mapping.source
    path = place.path.format(client_id=resolved.client_id)
    if place.type == "local":
        return LocalSource(Path(path))
    if place.type == "s3":
        from airflow.providers.amazon.aws.hooks.s3 import S3Hook

        hook = S3Hook(aws_conn_id=place.conn_id)
        client = _existing(hook.get_conn)
        return S3Source(client, place.bucket or project.environment.client_folders.bucket, path)
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    _check_host_key(place.conn_id)
    return SftpSource(lambda: SFTPHook(ssh_conn_id=place.conn_id).get_managed_conn(), path)


def pgp_keys_of(resolved: ResolvedMapping) -> PgpKeys:
    """Our private keys for the client's encrypted files: `private_key` in the connection's extra.

    Raises FixTheSetup when the connection does not exist or holds none.
    """
    from airflow.sdk import Connection

    from etl_lib.extract import PgpKeys

    conn_id = resolved.mapping.source.pgp_conn_id
    connection = _existing(lambda: Connection.get(conn_id))
    try:
        private_key = connection.extra_dejson.get("private_key")
    except ValueError:
        private_key = None
    return PgpKeys.of(f"The connection `{conn_id}`", private_key, connection.password)


def _check_host_key(conn_id: str) -> None:
    """Raise FixTheSetup for a connection that would trust any server."""
    from airflow.providers.sftp.hooks.sftp import SFTPHook

    try:
        hook = _existing(lambda: SFTPHook(ssh_conn_id=conn_id))
        checked = hook.host_key is not None and not hook.no_host_key_check
    except ValueError:  # the provider's own word for a key that is not to be checked
        checked = False
    if not checked:
        text = f"The connection `{conn_id}` does not check the server's host key."
        hint = "Put `host_key` in its extra, and take `no_host_key_check` out."
        raise FixTheSetup.of("CONNECTION_UNSAFE", text, hint=hint)


def _existing(get: Callable[[], Any]) -> Any:
    """What `get` gives; a connection that does not exist is said in words."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return get()
    except AirflowNotFoundException as error:
        raise FixTheSetup.of("CONNECTION_MISSING", f"{error}.".replace("..", ".")) from None


# --- waiting --------------------------------------------------------------------------------------------


def wait_of(context: Context, resolved: ResolvedMapping) -> Wait:
    """Until when the run waits: the deadline in the client's zone, or soon when run by hand."""
    dag_run, mapping = context["dag_run"], resolved.mapping
    begun = dag_run.start_date or datetime.now(UTC)
    scheduled_for = (dag_run.logical_date or begun) if dag_run.run_type == "scheduled" else None
    by_hand = timedelta(seconds=mapping.delivery.wait_by_hand_s)
    return mapping.rhythm.wait(scheduled_for, begun, by_hand)


class DeliveryTrigger(BaseTrigger):
    """Looks at a client's files until they are a whole delivery that lies still, or time is up.

    `loaded`: the delivery that is loaded, as JSON; a newer one is waited for.
    """

    def __init__(self, resolved: str, include: str, until: str, loaded: str | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.resolved, self.include, self.until, self.loaded = resolved, include, until, loaded

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """For the triggerer: the mapping as JSON, since the files may change meanwhile."""
        names = ("resolved", "include", "until", "loaded")
        values = {name: getattr(self, name) for name in names}
        return f"{__name__}.{type(self).__name__}", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """One event: the delivery is whole, or it is too late; extract says which."""
        import asyncio

        resolved = ResolvedMapping.model_validate_json(self.resolved)
        until = datetime.fromisoformat(self.until)
        previous: str | None = None
        while datetime.now(UTC) < until:
            sighting = await asyncio.to_thread(self._look, resolved, previous)
            if sighting is not None:
                previous = sighting.model_dump_json()
                if sighting.whole:
                    break
            await asyncio.sleep(resolved.mapping.delivery.poll_s)
        looked_until = datetime.now(UTC).isoformat()
        yield TriggerEvent({"looked_until": looked_until})  # type: ignore[no-untyped-call]

    def _look(self, resolved: ResolvedMapping, previous: str | None) -> Any:
        from etl_lib.extract import Known, Sighting, look

        before = Sighting.model_validate_json(previous) if previous else None
        loaded = Known.model_validate_json(self.loaded) if self.loaded else None
        try:
            project = Project.load(Path(self.include))
            return look(resolved, source_of(resolved, project), before, loaded)
        except TryAgain:
            return None  # the place may answer again before the deadline
