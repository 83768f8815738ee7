"""The pure parts of the benchmark of loads, and its meters on a real server."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from benchmarks.delivered import COLUMNS, School
from benchmarks.load import SYSTEMS, _Memory
from benchmarks.load_figures import (
    COPY,
    DLT,
    DLT_FILE,
    FIRST,
    LARGE,
    MIDDLE,
    NIGHT,
    OURS,
    SAME,
    SMALL,
    Load,
    Measured,
    Share,
    figures_of,
    tables_of,
)
from benchmarks.peers.into_postgres import copy_merge
from benchmarks.school import school
from benchmarks.server import Server, fresh_server, images_of
from benchmarks.spending import GivesUpError, spend


def rows_of(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.reader(stream))


def load(
    system: str, case: str, cpu_s: float, number: int = 1, rows: int = MIDDLE, **more: float | None
) -> Load:
    given = {"wall_s": 1.0, "peak_mb": 100.0, "wal_bytes": 0, "image_bytes": 0} | more
    where = {"rows": rows, "round": number, "system": system, "case": case}
    return Load(client_s=cpu_s - 1, server_s=1, **given, **where)  # type: ignore[arg-type]


def found(*loads: Load, shares: tuple[Share, ...] = (), schools: tuple[School, ...] = ()) -> dict:
    figures = figures_of(Measured(loads, shares, schools))
    return {figure.what: (figure.found, figure.reached) for figure in figures}


# --- the files --------------------------------------------------------------------------------------


def test_a_school_is_always_the_same_and_one_row_in_a_hundred_changes(tmp_path: Path) -> None:
    made = school(tmp_path / "a", 1000)
    assert made == school(tmp_path / "b", 1000)
    night_1, night_2 = (tmp_path / "a" / night / "people.csv" for night in ("night_1", "night_2"))
    assert night_1.read_bytes() == (tmp_path / "b" / "night_1" / "people.csv").read_bytes()
    before, after = rows_of(night_1), rows_of(night_2)
    assert before[0] == list(COLUMNS)
    assert len({row[0] for row in before[1:]}) == made.rows == 1000
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == made.changed == 10
    old_lines = set(night_1.read_bytes().splitlines(keepends=True))
    lines = [one for one in night_2.read_bytes().splitlines(keepends=True) if one not in old_lines]
    assert sum(map(len, lines)) == made.changed_bytes
    assert night_2.stat().st_size == made.file_bytes
    assert {row[0] for row in changed} <= {row[0] for row in before}


# --- figures ----------------------------------------------------------------------------------------


def test_a_ratio_is_the_median_of_the_ratios_within_each_round() -> None:
    loads = [
        load(system, FIRST, cpu_s, number)
        for number, ours, copy in ((1, 6, 4), (2, 9, 3), (3, 20, 10), (4, 100, 0))
        for system, cpu_s in ((OURS, ours), (COPY, copy))
        if cpu_s
    ]
    what = "First load, 1,000,000 rows: CPU against COPY + MERGE"
    assert found(*loads)[what] == ("2.00x", False)
    assert found(*loads[:2])[what] == ("1.50x", True)


def test_of_two_ways_of_a_peer_the_cheaper_one_counts() -> None:
    loads = [load(OURS, NIGHT, 2), load(DLT, NIGHT, 10), load(DLT_FILE, NIGHT, 4)]
    what = "Night, 1 % changed, 1,000,000 rows: CPU against dlt at its fastest"
    assert found(*loads)[what] == ("0.50x", False)
    assert found(*loads[:2])[what] == ("0.20x", True)


def test_what_was_not_measured_is_not_said() -> None:
    assert not found(load(COPY, FIRST, 4))
    assert not any("against" in what for what in found(load(OURS, FIRST, 4)))


def test_a_small_ratio_keeps_its_digits() -> None:
    what = "Unchanged file, 1,000,000 rows: CPU against COPY + MERGE"
    assert found(load(OURS, SAME, 1.98), load(COPY, SAME, 44))[what] == ("0.045x", True)


def test_memory_is_the_largest_of_all_cases_and_rounds() -> None:
    loads = [load(OURS, FIRST, 5, peak_mb=300), load(OURS, NIGHT, 5, number=2, peak_mb=513)]
    assert found(*loads)["Peak memory of the client, 1,000,000 rows"] == ("513 MB", False)


@pytest.mark.parametrize(
    ("large_s", "ratio", "reached"), [(56, "1.10x", True), (72, "1.50x", False)]
)
def test_growth_is_of_a_further_row_and_leaves_the_start_out(
    large_s: float, ratio: str, reached: bool
) -> None:
    points = ((SMALL, 3), (MIDDLE, 12), (LARGE, large_s))  # the start costs 2
    loads = [load(OURS, FIRST, cpu_s, rows=rows) for rows, cpu_s in points]
    growth = {what: one for what, one in found(*loads).items() if what.startswith("Growth")}
    assert list(growth.values()) == [(ratio, reached)]
    assert not [what for what in found(*loads[:2]) if what.startswith("Growth")]


def test_wal_is_against_the_changed_lines_and_shown_without_page_images() -> None:
    loads = [
        load(OURS, NIGHT, 2, wal_bytes=5_000_000, image_bytes=3_000_000),
        load(COPY, NIGHT, 2, wal_bytes=10_000_000),
    ]
    known = found(*loads, schools=(School(MIDDLE, 10_000, 10**8, 1_000_000),))
    texts = [text for what, text in known.items() if "WAL" in what or "same without" in what]
    assert texts == [("5.00x", False), ("2.00x, and 3.0 MB of images", None), ("0.50x", None)]


def test_the_share_of_great_expectations_is_of_the_whole_client() -> None:
    known = found(shares=(Share(MIDDLE, FIRST, client_s=8, import_s=1.5, judge_s=0.5),))
    assert [text for text, _ in known.values()] == [
        "import 1.50 s (beyond pandas), judging 0.50 s, of 8.00 s: 25 %"
    ]


def test_a_table_has_all_systems_of_a_size_case_by_case() -> None:
    loads = [
        load(COPY, FIRST, 4),
        load(COPY, NIGHT, 5, image_bytes=None),
        load(OURS, FIRST, 6),
        load(OURS, FIRST, 8, 2),
    ]
    table, small = tables_of(Measured([*loads, load(OURS, FIRST, 3, rows=SMALL)], (), ()))[::-1]
    assert (table.title, small.title) == (
        "1,000,000 rows; medians, rounds: 2", "100,000 rows; medians, rounds: 1",
    )  # fmt: skip
    assert [row[:6] for row in table.rows] == [
        [FIRST, COPY, "4.00", "3.00", "1.00", "1.50x"],
        [FIRST, OURS, "7.00", "6.00", "1.00", ""],
        [NIGHT, COPY, "5.00", "4.00", "1.00", ""],
    ]
    assert [row[-1] for row in table.rows] == ["0.0", "0.0", "not known"]


# --- going on ---------------------------------------------------------------------------------------


def test_a_stopped_run_goes_on_with_what_the_same_state_of_the_project_took(tmp_path: Path) -> None:
    file = tmp_path / "new" / "state.jsonl"
    ours = next(one for one in SYSTEMS if one.name == OURS)
    memory = _Memory(file, "abc")
    one = School(MIDDLE, 10, 100, 10)
    memory.add(one, *(load(OURS, case, 4) for case in (FIRST, NIGHT, SAME)))
    memory.add(one, load(OURS, FIRST, 4, number=2), Share(MIDDLE, FIRST, 8, 1, 1))
    again = _Memory(file, "abc")
    assert again.measured == memory.measured
    assert len(again.schools) == 1
    assert again.knows(MIDDLE, 1, ours)
    assert not again.knows(MIDDLE, 2, ours)  # it has two cases more
    assert again.shares_of(MIDDLE)
    assert not again.shares_of(SMALL)
    assert not _Memory(file, "abd").loads


# --- meters -----------------------------------------------------------------------------------------

_BURN = "import time\nwhile time.process_time() < {}: pass\n"


def test_a_clients_children_count(tmp_path: Path) -> None:
    text = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {_BURN.format(0.5)!r}])"
    client = spend([sys.executable, "-c", text], {}, tmp_path / "log")
    assert 0.5 <= client.cpu_s < 1.5
    assert client.wall_s >= 0.5


def test_memory_of_several_processes_is_added(tmp_path: Path) -> None:
    hold = "import time\nheld = b'x' * 80_000_000\ntime.sleep(1)\n"
    text = (
        "import subprocess, sys\n"
        f"for one in [subprocess.Popen([sys.executable, '-c', {hold!r}]) for _ in 'ab']: one.wait()"
    )
    client = spend([sys.executable, "-c", text], {}, tmp_path / "log")
    assert 160 < client.peak_mb < 260


def test_a_client_that_gives_up_is_told_with_its_words(tmp_path: Path) -> None:
    with pytest.raises(GivesUpError, match="no such thing"):
        spend([sys.executable, "-c", "raise SystemExit('no such thing')"], {}, tmp_path / "log")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with fresh_server(tmp_path_factory.mktemp("measured")) as running:
        running.make("one")
        yield running


def test_the_server_tells_what_its_ended_sessions_spent_and_wrote(server: Server) -> None:
    server.checkpoint()
    before = server.read()
    with psycopg.connect(server.url("one")) as connection:
        connection.execute(
            "CREATE TABLE many AS SELECT i, md5(i::text) FROM generate_series(1, 200000) i"
        )
    after = server.read()
    assert 0.05 < after.cpu_s - before.cpu_s < 5
    whole, images = server.written(before, after)
    assert whole > 200_000 * 32
    assert images is not None
    assert images < whole / 2
    server.checkpoint()
    before = server.read()
    with psycopg.connect(server.url("one")) as connection:
        connection.execute("UPDATE many SET i = -i WHERE i % 200 = 0")
    whole, images = server.written(before, server.read())
    assert images is not None
    assert images > 0.8 * whole  # the first change of each page after the checkpoint


def test_upkeep_does_what_autovacuum_owes_and_no_more(server: Server) -> None:
    with psycopg.connect(server.url("one")) as connection:
        for name, rows in (("large", 5000), ("little", 10)):
            connection.execute(f"CREATE TABLE {name} AS SELECT i FROM generate_series(1, {rows}) i")
    server.upkeep("one")
    with psycopg.connect(server.url("one")) as connection:
        done = connection.execute(
            "SELECT relname, vacuum_count, analyze_count FROM pg_stat_user_tables "
            "WHERE relname IN ('large', 'little') ORDER BY 1"
        ).fetchall()
    assert done == [("large", 1, 1), ("little", 0, 0)]


def test_a_digest_tells_rows_apart_but_not_the_types_they_are_kept_in(server: Server) -> None:
    with psycopg.connect(server.url("one")) as connection:
        connection.execute(
            "CREATE TABLE typed AS SELECT date '2020-01-02' a_date, true b, NULL::int c"
        )
        connection.execute("CREATE TABLE texts AS SELECT '2020-01-02 00:00' a_date, 'true' b, '' c")
        connection.execute("CREATE TABLE other AS SELECT '2020-01-03' a_date, 'true' b, '' c")
    typed, texts, other = (
        server.digest("one", table, ("a_date", "b", "c")) for table in ("typed", "texts", "other")
    )
    assert typed == texts != other


def test_copy_and_merge_loads_both_nights_and_leaves_alone_what_is_the_same(
    server: Server, tmp_path: Path
) -> None:
    made = school(tmp_path / "files", 1000)
    server.make("merged")
    url = server.url("merged")
    copy_merge(url, tmp_path / "files" / "night_1" / "people.csv", tmp_path)
    first = server.digest("merged", "peer.people", COLUMNS)
    copy_merge(url, tmp_path / "files" / "night_2" / "people.csv", tmp_path)
    assert first.startswith("1000:")
    assert server.digest("merged", "peer.people", COLUMNS) != first
    with psycopg.connect(url) as connection:
        written = connection.execute(
            "SELECT count(DISTINCT xmin::text) FROM peer.people"
        ).fetchone()
        latest = connection.execute(
            "SELECT count(*) FROM peer.people GROUP BY xmin::text::bigint "
            "ORDER BY xmin::text::bigint DESC LIMIT 1"
        ).fetchone()
    assert (written, latest) == ((2,), (made.changed,))


def test_page_images_are_found_in_what_pg_waldump_says() -> None:
    said = (
        "Type     N      (%)   Record size      (%)  FPI size      (%)  Combined size      (%)\n"
        "Heap    10 ( 50.00)         1000 ( 50.00)     8192 ( 99.00)          9192 ( 90.00)\n"
        "              --------                      --------                      --------\n"
        "Total   20                  2000 [19.62%]     8192 [80.38%]         10192 [100%]\n"
    )
    assert images_of(said) == 8192
    assert images_of("") == 0
