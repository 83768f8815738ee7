"""Run again what has failed: cleared where nothing but the failure was wrong, else as a new run."""

from __future__ import annotations

from collections.abc import Iterator

from etl_lib.airflow_edge.again import Standing, clear, standings, start_instead
from etl_lib.errors import FixTheMapping
from etl_lib.many.acts import ActOnMany
from etl_lib.many.order import said
from etl_lib.many.proposal import Item, LeftOut, Proposal
from etl_lib.messages import CATALOGUE, Level, Owner
from etl_lib.metrics.acts import Act, record_act
from etl_lib.metrics.chosen import StoppedRun, stopped_runs
from etl_lib.metrics.freezes import freezes
from etl_lib.metrics.status import in_words

CLEAR, NEW = "clear", "new"
_WHAT = {
    CLEAR: "clear: the same delivery goes on, under the mapping of then",
    NEW: "new run: the newest delivery, under the mapping of today",
}


class Rerun(ActOnMany):
    """Let what has failed run again, one run of each client at a time.

    A run keeps its delivery and its mapping when it is cleared. That is right when something around us
    did not answer; after a corrected mapping, a corrected file or a freeze only a new run reads them.
    """

    def look(self, *, trial: bool) -> Proposal:
        """The failed runs of Airflow that can run again now."""
        order, url = self.order, self.desk.url
        assert order.since is not None
        clients, left_out = self.chosen()
        stopped = stopped_runs(url, clients, order.since, order.code)
        frozen = freezes(url)
        known = standings([(run.client_id, run.run_id) for run in stopped if not _other_kind(run)])
        items = []
        for run, others in self._one_each(stopped):
            left_out += others
            key, standing = _key(run), known.get((run.client_id, run.run_id))
            freeze = frozen.get(run.client_id)
            why = freeze.words if freeze else self._obstacle(run, standing)
            if why or standing is None:
                left_out.append(LeftOut(run.client_id, why, key))
                continue
            items.append(self._item(run, key, standing))
        left_out += self.idle(clients, (run.client_id for run in stopped), "no such failure")
        return Proposal(tuple(items), tuple(left_out))

    def do(self, item: Item) -> str:
        """Clear the run, or start another in its place, if it still stands as it was shown."""
        how, _, mark = item.mark.partition(" ")
        desk = self.desk
        if how == CLEAR:
            clear(item.client_id, item.run_id, mark)
            done = "cleared"
        else:
            new_id = start_instead(item.client_id, item.run_id, mark, desk.by)
            done = f"new run {new_id}"
        record_act(desk.url, item.client_id, Act.RERUN, desk.by, done, run_id=item.run_id)
        return done

    def _one_each(self, stopped: list[StoppedRun]) -> Iterator[tuple[StoppedRun, list[LeftOut]]]:
        """Of each client's runs, oldest first, the one to run again, and words about the others.

        The newest, which says everything; of deliveries of changes the oldest, since all count.
        """
        of_client: dict[str, list[StoppedRun]] = {}
        for run in stopped:
            of_client.setdefault(run.client_id, []).append(run)
        for client_id, runs in of_client.items():
            able = [run for run in runs if not _other_kind(run)] or runs
            whole = self._is_whole(client_id)
            one = able[-1] if whole else able[0]
            in_its_place = "takes its place" if whole else "comes first; look again after it"
            yield (
                one,
                [
                    LeftOut(
                        client_id,
                        _other_kind(run) or f"run {one.run_seq} {in_its_place}",
                        _key(run),
                    )
                    for run in runs
                    if run is not one
                ],
            )

    def _is_whole(self, client_id: str) -> bool:
        try:
            return self.desk.project.resolve(client_id).mapping.all_full
        except FixTheMapping:
            return True  # left out anyway

    def _obstacle(self, run: StoppedRun, standing: Standing | None) -> str:
        """Why the run does not run again; empty when it may."""
        if other := _other_kind(run):
            return other
        if run.later is not None and self._is_whole(run.client_id):
            return f"run {run.later}, which is newer: {in_words(run.later_status or '')}"
        if standing is None:
            return "Airflow does not know the run"
        if standing.obstacle:
            return standing.obstacle
        if self._how(run) == NEW and standing.is_backfill:
            return "a backfill whose mapping or files were wrong: start it in Airflow again"
        try:
            self.desk.project.resolve(run.client_id)
        except FixTheMapping as error:
            return said(error)
        return ""

    def _item(self, run: StoppedRun, key: str, standing: Standing) -> Item:
        how = self._how(run)
        replay = standing.conf.get("replay") if how == NEW else None
        return Item(
            client_id=run.client_id, key=key, mark=f"{how} {standing.mark}", run=run.run_seq,
            run_id=run.run_id, status=run.status, why=run.sentence,
            what=f"new run: replays {replay} again, under the mapping of today" if replay else _WHAT[how],
        )  # fmt: skip

    def _how(self, run: StoppedRun) -> str:
        if self.order.new_runs:
            return NEW
        codes = [self.order.code] if self.order.code else run.codes
        known = [CATALOGUE[code] for code in codes if code in CATALOGUE]
        around_us = all(m.owner == Owner.ON_CALL and m.level == Level.ERROR for m in known)
        return CLEAR if known and around_us else NEW


def _other_kind(run: StoppedRun) -> str:
    """Why a run of this kind is nothing for many; empty for a load of Airflow's."""
    if run.dry_run:
        return "a dry run"
    if run.kind == "undo":
        return f"an undo: `etl undo` or clear run {run.run_seq} in Airflow"
    if run.kind == "reconcile":
        return "a comparison: `etl reconcile`"
    if run.run_id.startswith("cli__"):
        return "started with `etl run` or `etl replay`: run it there again"
    return ""


def _key(run: StoppedRun) -> str:
    return f"{run.client_id} run {run.run_seq}"
