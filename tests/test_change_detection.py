"""Change detection is an optimisation, never the truth: with it and without it the same comes out, step by step."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import ZipFile

import psycopg
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from etl_lib.arrow_file import read_table
from etl_lib.config.project import Project, ResolvedMapping
from etl_lib.database import connected
from etl_lib.errors import CannotUndo, EtlError
from etl_lib.extract import LocalSource, keys_of_environment
from etl_lib.manifest import keys_key
from etl_lib.metrics.undone import forget_changes
from etl_lib.pipeline import (
    begin,
    do_extract,
    do_load,
    do_report,
    do_transform,
    do_validate,
    run_all,
    undo_all,
)
from etl_lib.run import Progress, Run, Wishes, folder_name
from etl_lib.storage import Storage
from tests.load.conftest import ENTITIES, make_include

EXAMPLES = int(os.environ.get("ETL_HISTORIES", "3"))  # thousands by hand

_ENTITIES = {
    "section": ENTITIES["section"],
    "person": """
entity: person
description: A person.
unique_warn: [username]
fields:
  person_id: {type: id, required: true, description: Key.}
  username: {type: text, description: Login.}
  given_name: {type: text, description: Name.}
  level: {type: enum, values: [low, high], required: true, default: low, description: Level.}
  home_id: {type: id, description: Section., references: {entity: section, on_unknown: keep}}
  birth_date: {type: date, description: Day.}
""",
    "badge": """
entity: badge
description: What some people wear.
delete_absent: true
fields:
  badge_id: {type: id, required: true, description: Key.}
  person_id: {type: id, required: true, description: Person., references: {entity: person, on_unknown: reject}}
  name: {type: text, required: true, description: Name.}
  section_name: {type: text, description: Looked up.}
""",
    "enrollment": """
entity: enrollment
description: An enrollment.
delete_absent: true
natural_key: [section_id, person_id]
fields:
  enrollment_id: {type: id, required: true, description: Key.}
  section_id: {type: id, required: true, description: Section., references: {entity: section, on_unknown: reject}}
  person_id: {type: id, required: true, description: Person., references: {entity: person, on_unknown: reject}}
  observed_person_id: {type: id, description: Observed., references: {entity: person, on_unknown: keep}}
  score: {type: decimal, precision: 4, scale: 1, description: Points.}
  section_name: {type: text, description: Looked up.}
""",
}
_MAPPING = """
client: School
sis: Test
owner: Ana
change_detection: {how}
delivery: {{stable_s: 0}}
limits: {{floor_rows: 1000, hold: {{rejected_share: 1.0}}, fail: {{rejected_share: 1.0}}}}
{more}
feeds:
  sections:
    file: sections.csv
    allow_empty: true
    entities:
      section: {{deleted_when: {{status: gone}}, columns: {{section_id: id, name: name, term_id: term}}}}
  people:
    file: people.{ending}
    allow_empty: true
    expectations:
      - {{entity: person, expectation: expect_column_values_to_be_in_set,
         kwargs: {{column: given_name, value_set: [Al], mostly: 0.1}}}}
      - {{entity: person, expectation: expect_column_values_to_not_be_null,
         kwargs: {{column: home_id, mostly: 0.1}}}}
      - {{entity: badge, expectation: expect_column_values_to_not_be_null,
         kwargs: {{column: name, mostly: 0.1}}}}
    entities:
      person:
        deleted_when: {{status: gone}}
        columns: {{person_id: id, username: login, given_name: {{from: given, blank: keep}}, home_id: home,
                  level: level}}
      badge:
        where: {{level: high}}
        deleted_when: {{status: gone}}
        columns: {{badge_id: login, person_id: id, name: given{badges}}}
  births:
    file: births.csv
    required: false
    allow_empty: true
    values: {{date_formats: ["%Y-%m-%d"]}}
    entities:
      person: {{insert: false, columns: {{person_id: id, birth_date: born{births}}}}}
  enrollments:
    file: enrollments.csv
    allow_empty: true
    entities:
      enrollment:
        deleted_when: {{status: gone}}
        where_not: {{status: other}}
        scope_by: {scope}
        columns: {{section_id: section, person_id: person, observed_person_id: observed, score: score{enrollments}}}
  renames:
    file: renames.csv
    required: false
    allow_empty: true
    renames: {{old: old, new: new, type: type, entities: {{person: [person]}}}}
    entities: {{}}
"""
_LOOKUP = ", section_name: {{lookup: {{feed: sections, key: id, by: {by}, column: name, on_unknown: 'null'}}}}"
# What a mapping may say instead, from one night to the next.
_MAPPINGS: tuple[dict[str, str], ...] = (
    {},
    {"enrollments": _LOOKUP.format(by="section")},
    {"more": "revision: 1", "scope": "section_id"},
    {"more": "precedence: {person: [births, people]}", "births": ", given_name: given"},
    {"ending": "zip"},
    {"badges": _LOOKUP.format(by="home")},
)
_ZIPPED = 4
_HEADERS = {
    "sections": ("id", "name", "term", "status"),
    "people": ("id", "login", "given", "home", "level", "status"),
    "births": ("id", "born", "given"),
    "enrollments": ("section", "person", "observed", "score", "status"),
    "renames": ("old", "new", "type"),
}
_KEYS = {"sections": 3, "people": 4, "births": 4, "enrollments": 6, "renames": 2}
_FIRST = datetime(2026, 3, 2, 6, tzinfo=UTC)
_numbers = itertools.count(1)
Row = tuple[str, ...]


class Edit(NamedTuple):
    """From this delivery on a record of a feed stands in its file like this."""

    feed: str
    number: int
    form: str


class Step(NamedTuple):
    """One thing that happens to a client, and what is edited before it."""

    act: str
    edits: Sequence[Edit] = ()
    mapping: int = 0
    backwards: bool = False
    without: str = ""


def _rows(feed: str, number: int, form: str) -> list[Row]:
    """The lines of one record; `form` says how it stands in the file."""
    if form == "absent":
        return []
    if form == "twice":
        return _rows(feed, number, "plain") * 2
    if form == "differing":
        return _rows(feed, number, "other") + _rows(feed, number, "plain")
    other, status = form == "other", "gone" if form == "deleted" else ""
    if feed == "sections":
        name = "" if form == "bad" else "B" if other else "A"
        row: Row = (f"S{number}", name, "T1" if form == "moved" else f"T{number % 2}", status)
    elif feed == "people":
        given = "" if form == "blank" else "Bo" if other else "Al"
        if form == "long":  # a line of the value looks like the row of another
            given = "\r\n".join(["Al", ",".join(_rows(feed, (number + 1) % 4, "plain")[0]), "Bo"])
        given = "" if form == "nameless" else given  # no fault of the person, but of the badge
        level = "none" if form == "bad" else "high" if other or form == "nameless" else ""
        home = {"moved": "S9", "whole": "12.0", "half": "12.5"}.get(form, f"S{number % 3}")
        login = {"moved": number % 2, "borrowed": (number + 1) % 4}.get(form, number)
        level = "high" if form == "borrowed" else level
        row = (
            f"P{number}",
            f"u{login}",
            given,
            home,
            level,
            status,
        )
    elif feed == "births":
        born = "2010-02-30" if form == "bad" else "2010-05-06" if other else "2011-07-08"
        born = "2010-25-03" if form == "moved" else born  # as if the day came first
        row = (f"P{number}", "" if form == "blank" else born, "Cy" if other else "")
    elif feed == "enrollments":
        observed = f"P{9 - number % 2 * 9}" if form == "moved" else ""
        score = "99999" if form == "bad" else "1.5" if form == "blank" else "2.0"
        row = (f"S{number % 3}", f"P{number % 4}", observed, score, "other" if other else status)
    else:
        row = (f"P{number}", "P8" if other else "P7", "person")
    return [row]


@dataclass
class Client:
    """One school with a database's worth of state: deliveries are loaded, undone, run again."""

    how: str
    folder: Path
    url: str
    mappings: Sequence[ResolvedMapping]
    project: Project
    client_id: str
    number: int = 0
    run_ids: list[str] = field(default_factory=list)
    copied: int = 0  # rows that went through COPY, over all runs
    read: int = 0  # rows that were read, likewise

    def run(self, wishes: Wishes, kind: Any = "load") -> Run:
        self.number += 1
        home = Storage.local(self.folder / self.client_id)
        run_id = f"{self.client_id}_{self.number}"
        return Run(
            client_id=self.client_id, dag_id=self.client_id, run_id=run_id, kind=kind, wishes=wishes,
            started_at=_FIRST + timedelta(days=self.number), database_url=self.url,
            archive=home.at("archive"), workspace=home.at("staging", run_id), outbox=home.at("outbox"),
        )  # fmt: skip

    def load(self, files: Path | None, mapping: int, wishes: Wishes) -> list[Any]:
        """One whole run; what it says."""
        seen: list[Progress] = []
        run = replace(self.run(wishes), progress=seen.append)
        resolved = self.mappings[mapping]
        source = LocalSource(files) if files else None
        try:
            outcome, plan = run_all(
                run, self.project, lambda: resolved, source, keys_of_environment
            )
        except EtlError as error:
            return [sorted(fault.code for fault in error.faults)]
        if not wishes.dry_run and outcome.status in ("succeeded", "succeeded_with_rejects"):
            self.run_ids.append(run.run_id)
        self.copied += max((one.rows for one in seen if one.stage == "load"), default=0)
        self.read += sum({one.what: one.rows for one in seen if one.stage == "extract"}.values())
        keys = []
        judged: Any = {}
        results_key = f"runs/{folder_name(run.run_id)}/suite_results.json"
        if run.archive.exists(results_key):
            judged = json.loads(run.archive.read_bytes(results_key))
        if run.archive.exists(keys_key(run.run_id)) and not wishes.dry_run:
            with run.archive.reading(keys_key(run.run_id)) as stream:
                keys = sorted(map(repr, pq.read_table(stream).to_pylist()))
        samples = len(plan.samples) if plan else 0
        return [outcome.status, sorted(map(repr, outcome.counts)), keys, samples, judged]

    def undo(self) -> list[Any]:
        """Undo the last load that stands."""
        if not self.run_ids:
            return []
        run = self.run(Wishes(undo=self.run_ids[-1]), "undo")
        try:
            outcome, _ = undo_all(run, self.project)
        except CannotUndo as error:
            return [sorted(fault.code for fault in error.faults)]
        self.run_ids.pop()
        return [outcome.status, sorted(map(repr, outcome.counts))]

    def shows(self) -> dict[str, list[Any]]:
        """All that the database holds of the client; runs and changes counted from one."""
        found: dict[str, list[Any]] = {}
        with psycopg.connect(self.url) as connection:
            for name, query in _QUERIES.items():
                rows = connection.execute(query.encode(), {"client": self.client_id})
                found[name] = [row for (row,) in rows]
        return found


_RUNS = """
WITH runs AS (SELECT run_seq, rank() OVER (ORDER BY run_seq) AS run FROM etl.run WHERE client_id = %(client)s),
changes AS (SELECT change_seq, rank() OVER (ORDER BY run_seq) AS change FROM etl.load WHERE client_id = %(client)s)
"""
_OURS = "ARRAY['client_id', 'run_seq', 'first_run_seq', 'change_seq', 'first_seen_at', 'last_changed_at']"
_QUERIES = {
    entity: f"""{_RUNS}
    SELECT to_jsonb(t) - {_OURS} || jsonb_build_object('run', r.run, 'first', f.run, 'change', c.change)
    FROM core.{entity} t LEFT JOIN runs r ON r.run_seq = t.run_seq LEFT JOIN runs f ON f.run_seq = t.first_run_seq
    LEFT JOIN changes c ON c.change_seq = t.change_seq
    WHERE t.client_id = %(client)s ORDER BY t.{entity}_id"""
    for entity in _ENTITIES
}  # fmt: skip
for _entity in _ENTITIES:  # when it was deleted is the clock's matter, that it was is not
    _QUERIES[_entity] = _QUERIES[_entity].replace(
        "|| jsonb_build_object(", "- 'deleted_at' || jsonb_build_object('gone', t.deleted_at IS NOT NULL, "
    )  # fmt: skip
_QUERIES["history"] = f"""{_RUNS}
    SELECT jsonb_build_array(r.run, h.feed, h.action, h.entity, h.key, h.columns, h.before - {_OURS} - 'deleted_at')
    FROM etl.history h JOIN runs r USING (run_seq) WHERE h.client_id = %(client)s ORDER BY 1"""
_QUERIES["rejects"] = f"""{_RUNS}
    SELECT jsonb_build_array(r.run, x.feed, x.entity, x.file, x.line, x.key, x."column", x.code)
    FROM etl.rejected_row x JOIN runs r USING (run_seq) ORDER BY 1"""
_QUERIES["messages"] = f"""{_RUNS}
    SELECT jsonb_build_array(r.run, m.stage, m.code) FROM etl.run_message m JOIN runs r USING (run_seq) ORDER BY 1
    """
_QUERIES["state"] = """
    SELECT jsonb_build_array(feed, delivery_seq, rows_read) FROM etl.feed_state WHERE client_id = %(client)s ORDER BY 1
    """


@dataclass
class Pair:
    """The same school twice: the rows of one are compared, to the other only identical files are nothing new."""

    folder: Path
    clients: Sequence[Client]
    forms: dict[tuple[str, int], str] = field(default_factory=dict)
    first: Path | None = None
    day: int = 0

    def do(self, step: Step) -> tuple[list[Any], list[Any]]:
        """What both say of a step."""
        self.day += 1
        with_it, without = self.clients
        if step.act == "undo":
            return with_it.undo(), without.undo()
        if step.act == "forget":
            with connected(with_it.url) as connection:
                for client in self.clients:
                    forget_changes(connection, client.client_id)
        wishes, files = Wishes(approve=True), None
        if step.act in ("replay", "rejects"):
            if not with_it.run_ids:
                return [], []
            answers = [
                client.load(
                    None, step.mapping,
                    Wishes(approve=True, replay=client.run_ids[-1], only_rejects=step.act == "rejects"),
                )
                for client in self.clients
            ]  # fmt: skip
            return answers[0], answers[1]
        if step.act == "first again" and self.first:
            files = self.first
            _come(files, self.day)
        else:
            for edit in step.edits:
                self.forms[edit.feed, edit.number] = edit.form
            day = self.day - 3 if step.act == "late" else self.day
            files = self.write(step, day)
        self.first = self.first or files
        if step.act == "dry run":
            wishes = Wishes(approve=True, dry_run=True)
        if step.act == "late":
            wishes = Wishes(approve=True, overwrite_newer=step.backwards)
        answers = [client.load(files, step.mapping, wishes) for client in self.clients]
        return answers[0], answers[1]

    def write(self, step: Step, day: int) -> Path:
        """The files of the records as they stand now, as they came on a day."""
        files = self.folder / f"night_{self.day}"
        files.mkdir()
        for feed, header in _HEADERS.items():
            start = "absent" if feed == "renames" else "plain"
            rows = [
                row
                for number in range(_KEYS[feed])
                for row in _rows(feed, number, self.forms.get((feed, number), start))
            ]
            if feed != step.without and (rows or feed != "renames"):
                with (files / f"{feed}.csv").open("w", newline="") as stream:
                    csv.writer(stream).writerows(
                        [header, *(rows[::-1] if step.backwards else rows)]
                    )
        if step.mapping == _ZIPPED:
            with ZipFile(files / "people.zip", "w") as packed:
                packed.write(files / "people.csv", "people.csv")
            (files / "people.csv").unlink()
        _come(files, day)
        return files


def _come(folder: Path, day: int) -> None:
    at = (_FIRST + timedelta(days=day)).timestamp()
    for path in folder.iterdir():
        os.utime(path, (at, at))


@pytest.fixture(scope="module")
def pairs(
    postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A database and a folder for all histories; each has clients of its own."""
    name = "test_change_detection"
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    yield postgres_url.replace("/postgres?", f"/{name}?"), tmp_path_factory.mktemp("histories")
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _pair(url: str, home: Path, ways: Sequence[str] = ("rows", "files")) -> Pair:
    number = next(_numbers)
    folder = home / str(number)
    include = make_include(folder, {}, _ENTITIES)
    project = Project(include, "test")
    clients = []
    for how in ways:
        client_id = f"{how}_{number}"
        resolved = []
        for given_ in _MAPPINGS:
            words = {
                "more": "",
                "births": "",
                "badges": "",
                "scope": "section_id.term_id",
                "enrollments": "",
                "ending": "csv",
            }
            text = _MAPPING.format(how=how, **{**words, **given_})
            (include / "mappings" / f"{client_id}.yaml").write_text(text)
            resolved.append(Project(include, "test").resolve(client_id))
            _forget_yaml()
        clients.append(Client(how, folder, url, resolved, project, client_id))
    return Pair(folder, clients)


def _forget_yaml() -> None:
    from etl_lib.config.project import _read_cached

    _read_cached.cache_clear()


_FORMS = (
    "plain",
    "plain",
    "other",
    "absent",
    "deleted",
    "bad",
    "nameless",
    "borrowed",
    "blank",
    "moved",
    "twice",
    "differing",
    "long",
    "whole",
    "half",
)
_edits = st.sampled_from(sorted(_KEYS)).flatmap(
    lambda feed: st.builds(
        Edit, st.just(feed), st.integers(0, _KEYS[feed] - 1), st.sampled_from(_FORMS)
    )
)
_ACTS = ("load",) * 6 + ("undo", "replay", "rejects", "dry run", "late", "first again", "forget")
_steps = st.builds(
    Step, st.sampled_from(_ACTS), st.lists(_edits, max_size=3),
    st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5)), st.booleans(), st.sampled_from(("", "", "", "births")),
)  # fmt: skip


def play(url: str, home: Path, steps: Sequence[Step]) -> Pair:
    """Both clients go through the steps; after each one everything must be equal. Gives them."""
    pair = _pair(url, home)
    try:
        for number, step in enumerate(steps):
            said = pair.do(step)
            assert said[0] == said[1], f"step {number}: {step}: {said}"
            with_it, without = (client.shows() for client in pair.clients)
            for name in with_it:
                assert with_it[name] == without[name], f"step {number}: {step}, {name}"
    finally:
        shutil.rmtree(pair.folder, ignore_errors=True)
    return pair


LOAD = Step("load")


@settings(
    max_examples=EXAMPLES, deadline=None, database=None,
    derandomize=EXAMPLES < 100, phases=(Phase.explicit, Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
@given(steps=st.lists(_steps, min_size=2, max_size=3 if EXAMPLES < 100 else 8))
def test_histories_end_the_same_with_and_without_change_detection(
    pairs: tuple[str, Path], steps: list[Step]
) -> None:
    play(*pairs, [LOAD, *steps])


def edited(*edits: tuple[str, int, str], act: str = "load", mapping: int = 0) -> Step:
    return Step(act, [Edit(*edit) for edit in edits], mapping)


HISTORIES = {
    "a_b_a_ends_as_a": (
        [LOAD, edited(("people", 1, "other")), Step("first again")],
        "given_name = 'Al' AND person_id = 'P1'",
    ),
    "a_record_that_two_lines_share_is_settled_as_ever": (
        [
            LOAD,
            edited(("people", 1, "differing"), ("people", 2, "twice")),
            edited(("people", 3, "other")),
        ],
        "person_id = 'P1'",
    ),
    "a_reference_that_vanishes_takes_its_unchanged_rows_along": (
        [LOAD, edited(("people", 1, "deleted")), edited(("people", 1, "plain"))],
        "person_id = 'P1' AND deleted_at IS NULL",
    ),
    "an_id_that_is_renamed_is_followed_by_unchanged_rows": (
        [
            LOAD,  # nobody else refers to the person then: only the renaming itself is the reason
            edited(
                ("enrollments", 1, "absent"), ("enrollments", 5, "absent"), ("births", 1, "absent")
            ),
            edited(("renames", 1, "plain")),
        ],
        "person_id = 'P7' AND deleted_at IS NULL",
    ),
    "a_line_that_may_be_part_of_a_value_is_not_taken_for_the_row_that_it_was": (
        [
            LOAD,
            edited(("people", 2, "absent"), ("people", 1, "long")),
            edited(("people", 0, "other")),
        ],
        "person_id = 'P1' AND given_name = 'Al'",
    ),
    "a_column_that_turns_mixed_takes_unchanged_rows_along": (
        [
            LOAD,
            edited(("births", 0, "moved"), ("births", 1, "moved")),
            edited(("births", 0, "plain"), ("births", 1, "plain"), ("births", 2, "other")),
            edited(("people", 0, "other")),
            edited(("people", 1, "other")),
        ],
        "person_id = 'P2' AND birth_date = '2010-05-06'",
    ),
    "an_id_that_loses_its_witness_is_damaged_though_its_line_is_the_same": (
        [
            LOAD,
            edited(("people", 1, "whole"), ("people", 2, "half")),
            edited(("people", 2, "plain")),
            edited(("people", 1, "plain")),
            edited(("people", 0, "other")),
        ],
        "person_id = 'P0' AND given_name = 'Bo'",
    ),
    "a_table_in_an_archive_is_read_whole_when_a_key_comes_to_stand_twice": (
        [
            edited(mapping=4),
            edited(("people", 0, "other"), mapping=4),
            edited(("people", 1, "twice"), mapping=4),
        ],
        "person_id = 'P0' AND given_name = 'Bo'",
    ),
    "a_row_that_a_filter_lets_through_and_leaves_out_again_is_followed": (
        [
            LOAD,
            edited(("people", 1, "other"), ("people", 2, "nameless")),
            edited(("people", 3, "other")),
            edited(("people", 3, "plain"), ("people", 0, "blank")),
        ],
        "person_id = 'P1' AND (SELECT count(*) FROM core.badge b "
        "WHERE b.client_id = person.client_id AND deleted_at IS NULL) = 1",
    ),
    "a_key_of_a_row_that_a_filter_leaves_out_may_come_and_go_with_another": (
        [
            edited(("people", 3, "other")),
            edited(("people", 0, "borrowed")),
            edited(("people", 0, "plain")),
        ],
        "person_id = 'P0' AND (SELECT deleted_at IS NOT NULL FROM core.badge b "
        "WHERE b.client_id = person.client_id AND badge_id = 'u1')",
    ),
    "what_one_of_the_entities_of_a_feed_looks_up_is_followed": (
        [
            edited(("people", 1, "other"), mapping=5),
            edited(("people", 2, "other"), mapping=5),
            edited(("sections", 1, "other"), mapping=5),
        ],
        "person_id = 'P1' AND (SELECT section_name FROM core.badge b "
        "WHERE b.client_id = person.client_id AND badge_id = 'u1') = 'B'",
    ),
    "after_an_undo_everything_is_looked_at": (
        [LOAD, edited(("people", 1, "other")), Step("undo"), edited(("people", 2, "other"))],
        "given_name = 'Bo' AND person_id = 'P1'",
    ),
}


@pytest.mark.parametrize("name", HISTORIES)
def test_a_history_ends_the_same(pairs: tuple[str, Path], name: str) -> None:
    steps, condition = HISTORIES[name]
    pair = play(*pairs, steps)
    assert pair.clients[0].copied < pair.clients[1].copied, "no row was left out"
    assert pair.clients[0].read < pair.clients[1].read, "every line was read"
    query = f"SELECT count(*) FROM core.person WHERE client_id = %s AND {condition}"
    with psycopg.connect(pair.clients[0].url) as connection:
        found = connection.execute(query.encode(), (pair.clients[0].client_id,)).fetchone()
    assert found == (1,)


def test_of_a_file_in_which_a_key_stands_twice_only_its_lines_are_read_again(
    pairs: tuple[str, Path],
) -> None:
    pair = _pair(*pairs)
    pair.do(LOAD)
    pair.do(edited(("people", 1, "differing")))
    before = [client.read for client in pair.clients]
    pair.do(edited(("births", 0, "other")))
    with_it, without = (
        client.read - so_far for client, so_far in zip(pair.clients, before, strict=True)
    )
    assert without == sum(_KEYS.values()) - _KEYS["renames"] + 1
    assert with_it == 3, "the new line, and two of the same key"


def test_a_key_that_only_a_row_left_out_by_a_filter_has_too_costs_no_second_reading(
    pairs: tuple[str, Path],
) -> None:
    pair = _pair(*pairs)
    pair.do(edited(("people", 3, "other")))
    before = pair.clients[0].read
    pair.do(edited(("people", 0, "borrowed")))
    assert pair.clients[0].read - before == 1


@pytest.mark.parametrize(("mapping", "second"), [(0, "S1|P1"), (1, "S2|P2")])
def test_rows_that_a_filter_leaves_out_stand_in_the_snapshot_where_lines_may_be_known(
    pairs: tuple[str, Path], mapping: int, second: str
) -> None:
    pair = _pair(*pairs)
    pair.do(edited(("enrollments", 1, "other"), mapping=mapping))
    snapshots = pair.folder / pair.clients[0].client_id / "archive" / "snapshots"
    [path] = snapshots.rglob("enrollments.enrollment.arrow")
    assert read_table(path)["enrollment_id"].to_pylist()[:2] == ["S0|P0", second]


def test_a_snapshot_that_is_gone_or_damaged_only_costs_time(pairs: tuple[str, Path]) -> None:
    pair = _pair(*pairs)
    pair.do(LOAD)
    with_it, without = pair.clients
    kept = sorted((pair.folder / with_it.client_id / "archive" / "snapshots").rglob("*.arrow"))
    assert len(kept) == 5
    kept[0].unlink()
    for path in kept[1:]:
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    said = pair.do(edited(("people", 1, "other")))
    assert said[0] == said[1]
    assert with_it.copied == without.copied
    after = sorted((pair.folder / with_it.client_id / "archive" / "snapshots").rglob("*.arrow"))
    assert len(after) == 5 and not set(after) & set(kept), "older snapshots go"


@pytest.mark.parametrize("stage", ["validate", "transform", "load"])
def test_a_snapshot_that_goes_between_two_stages_only_costs_time(
    pairs: tuple[str, Path], stage: str
) -> None:
    pair = _pair(*pairs)
    pair.do(LOAD)
    pair.day += 1
    pair.forms["people", 1] = "other"
    files = pair.write(LOAD, pair.day)
    with_it, without = pair.clients
    run, resolved = with_it.run(Wishes(approve=True)), with_it.mappings[0]
    begin(run, with_it.project.environment_name, with_it.project.entities)
    extracted = do_extract(
        run, lambda: resolved, lambda _: LocalSource(files), lambda _: keys_of_environment()
    )
    assert sum(table.known.rows for table in extracted.tables if table.known) > 10
    for name, work in (("validate", do_validate), ("transform", do_transform), ("load", do_load)):
        if name == stage:
            with connected(with_it.url) as connection:
                forget_changes(connection, with_it.client_id)
            shutil.rmtree(pair.folder / with_it.client_id / "archive" / "snapshots")
        work(run)
    do_report(run)
    without.load(files, 0, Wishes(approve=True))
    with_rows, without_rows = with_it.shows(), without.shows()
    assert all(with_rows[name] == without_rows[name] for name in with_rows)


def test_switched_off_the_same_files_are_loaded_again(pairs: tuple[str, Path]) -> None:
    pair = _pair(*pairs, ways=("files", "off"))
    pair.do(LOAD)
    files, off = pair.do(LOAD)
    assert (files[0], off[0]) == ("nothing_new", "succeeded")
    pair.do(edited(("people", 1, "other")))
    for entity in _ENTITIES:
        rows = [client.shows()[entity] for client in pair.clients]
        keys = [
            [{k: v for k, v in row.items() if k not in ("run", "change")} for row in one]
            for one in rows
        ]
        assert keys[0] == keys[1]


def test_a_load_that_came_between_transform_and_load_is_not_overlooked(
    pairs: tuple[str, Path],
) -> None:
    """Rows left out since they were as on the first day are not, when the second day comes in between."""
    pair = _pair(*pairs)
    client = pair.clients[0]
    pair.do(LOAD)
    pair.day += 1
    third = pair.write(LOAD, 9)
    (third / "births.csv").write_text("id,born,given\nP0,2009-01-01,\n")
    run, resolved = client.run(Wishes(approve=True)), client.mappings[0]
    begin(run, "test", client.project.entities)
    do_extract(run, lambda: resolved, lambda _: LocalSource(third), lambda _: keys_of_environment())
    do_validate(run)
    left_out = sum(fill.rows_unchanged for fill in do_transform(run).fills)
    assert left_out > 0
    pair.do(edited(("people", 1, "other")))
    counts = {(c.feed, c.entity): c for c in do_load(run).loaded.counts}
    assert counts["people", "person"].updated == 1
    [name] = [row["given_name"] for row in client.shows()["person"] if row["person_id"] == "P1"]
    assert name == "Al"
