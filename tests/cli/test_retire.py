"""`etl retire`: no row and no object of the client is left, and its neighbour of nearly that name has all its own."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import paramiko
import psycopg
import pytest
from psycopg import sql

from local_stack.objects import CLIENTS_BUCKET, STORAGE_BUCKET, key_pair
from local_stack.sftp_client import logged_in
from local_stack.stack import SftpAccess
from tests.cli.conftest import REPO, Etl
from tests.cli.test_provision import Terminal
from tests.onboarding.served import Served, serving

LEAVES, STAYS = "lakeside", "lakeside_west"
SAMPLES = REPO / "include" / "samples" / "lakeside"
OBJECTS = (
    (STORAGE_BUCKET, "archive/{}/files/1"),
    (STORAGE_BUCKET, "archive/{}/deliveries/1-a/mapping.json"),
    (STORAGE_BUCKET, "staging/{}/run/rows.arrow"),
    (CLIENTS_BUCKET, "clients/{}/inbox/users.csv"),
    (CLIENTS_BUCKET, "clients/{}/inbox/test/users.csv"),
    (CLIENTS_BUCKET, "clients/{}/outbox/report.csv"),
)


@pytest.fixture(scope="module")
def served(make_home: Callable[[str], Path]) -> Iterator[Served]:
    with serving(make_home("retire")) as servers:
        yield servers


@pytest.fixture
def two_schools(
    etl: Etl, served: Served, include: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path,
    once: Callable[[str, Callable[[], Any]], Any], database_url: str,
) -> Etl:  # fmt: skip
    """Two clients with the same records, each with an access, files in every place and rows in every table."""
    served.set(monkeypatch)
    mapping = include / "mappings" / "lakeside.yaml"
    shutil.copy(mapping, include / "mappings" / f"{STAYS}.yaml")
    shutil.copytree(SAMPLES, include / "samples" / LEAVES)
    s3 = served.s3()
    for client in (LEAVES, STAYS):
        key_pair(tmp_path / client)
        public = str(tmp_path / f"{client}.pub")
        assert etl("provision", client, "--key", public, "--replace", "--yes").code == 0
        for bucket, key in OBJECTS:
            s3.put_object(Bucket=bucket, Key=key.format(client), Body=b"Id\n1\n")
    once("two schools", lambda: fill(etl, tmp_path, database_url))
    return etl


def fill(etl: Etl, tmp_path: Path, database_url: str) -> None:
    """Two nights, a dry run, a hold, an undo and an act on both, so that every table has rows of both."""
    damaged = tmp_path / "damaged"
    shutil.copytree(SAMPLES / "night_2", damaged)
    users = (damaged / "users.csv").read_text().splitlines()
    (damaged / "users.csv").write_text("\n".join([*users[:3], '"lks-x"', *users[3:]]))
    few = tmp_path / "few"
    shutil.copytree(SAMPLES / "night_2", few)
    lines = (few / "enrollments.csv").read_text().splitlines()
    (few / "enrollments.csv").write_text("\n".join(lines[:5]) + "\n")
    for client in (LEAVES, STAYS):
        for folder, more in (
            (SAMPLES / "night_1", ()), (SAMPLES / "night_2", ("--dry-run",)),
            (damaged, ("--approve",)), (few, ()),
        ):  # fmt: skip
            etl("run", client, "--files", str(folder), *more)
    words = ("--client", LEAVES, "--client", STAYS, "--reason", "x", "--json")
    token = etl("many", "freeze", *words).json["token"]
    assert etl("many", "apply", token).code == 0
    # shown and never applied: an order about nobody else
    alone = etl("many", "unfreeze", "--client", LEAVES, "--comment", "x", "--json").json["token"]
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "UPDATE etl.run SET ended_at = coalesce(ended_at, now()); "
            "INSERT INTO etl.dry_run SELECT run_seq, '{}' FROM etl.run ON CONFLICT DO NOTHING"
        )
    assert alone


def tables(connection: Any) -> list[tuple[str, str]]:
    return [
        (str(schema), str(name))
        for schema, name in connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('core', 'etl') "
            "AND tablename NOT LIKE 'history\\_%' ORDER BY 1, 2"
        ).fetchall()
    ]


def everything(database_url: str) -> dict[str, list[str]]:
    """Every row of every table, as JSON, whatever the product thinks of the table."""
    with psycopg.connect(database_url) as connection:
        return {
            f"{schema}.{name}": sorted(
                json.dumps(row, sort_keys=True)
                for (row,) in connection.execute(
                    sql.SQL("SELECT to_jsonb(t) FROM {} t").format(sql.Identifier(schema, name))
                ).fetchall()
            )
            for schema, name in tables(connection)
        }


def of(client: str, database_url: str, *, runs: set[int] | None = None) -> dict[str, list[str]]:
    """The rows that name the client, or one of its runs."""
    runs = runs if runs is not None else runs_of(client, database_url)
    found = {}
    for name, rows in everything(database_url).items():
        mine = [
            row
            for row in rows
            if (data := json.loads(row)).get("client_id") == client
            or ("client_id" not in data and data.get("run_seq") in runs)
        ]
        if mine:
            found[name] = mine
    return found


def runs_of(client: str, database_url: str) -> set[int]:
    with psycopg.connect(database_url) as connection:
        query = "SELECT run_seq FROM etl.run WHERE client_id = %s"
        return {int(seq) for (seq,) in connection.execute(query, (client,)).fetchall()}


def keys_of(served: Served, client: str) -> list[str]:
    return [key for key in served.all_keys() if client in key.split("/")]


def files_of(home: Path, client: str) -> list[Path]:
    return sorted(path for path in home.rglob("*") if client in path.parts and path.is_file())


def test_nothing_of_the_client_is_left_and_its_neighbour_is_untouched(
    two_schools: Etl, served: Served, include: Path, database_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    runs = runs_of(LEAVES, database_url)
    before, of_neighbour = of(LEAVES, database_url), of(STAYS, database_url)
    filled = {name for name in everything(database_url) if name in before}
    empty = set(everything(database_url)) - filled
    assert filled > {
        "etl.act", "etl.client_state", "etl.delivery", "etl.dry_run", "etl.feed_state", "etl.history",
        "etl.hold", "etl.load", "etl.many_item", "etl.rejected_row", "etl.row_snapshot", "etl.run",
        "etl.run_column", "etl.run_count", "etl.run_message", "etl.run_stage", "etl.freeze",
        "core.person", "core.enrollment",
    }, sorted(empty)  # fmt: skip
    names = [
        name for row in before["core.person"] for name in (json.loads(row)["family_name"],) if name
    ]
    keys, files = keys_of(served, STAYS), files_of(home, STAYS)
    assert len(keys_of(served, LEAVES)) == len(keys) == len(OBJECTS)
    assert files_of(home, LEAVES)

    planned = two_schools("retire", LEAVES, "--erase", "--dry-run", "--json").json
    assert planned["row_count"] == sum(map(len, before.values()))
    assert planned["rows"]["core.person"] == len(before["core.person"])
    assert planned["object_count"] == len(OBJECTS) + len(files_of(home, LEAVES))
    assert planned["objects"][f"s3://{CLIENTS_BUCKET}/clients/{LEAVES}"] == 3
    assert of(LEAVES, database_url) == before and (include / "mappings" / f"{LEAVES}.yaml").exists()

    done = two_schools("retire", LEAVES, "--erase", "--yes")
    assert done.code == 0, done
    assert "git commit -am 'Retire lakeside'" in done.out
    assert "airflow dags delete lakeside" in done.out
    left = of(LEAVES, database_url, runs=runs)
    [record] = left.pop("etl.act")
    assert left == {}
    act = json.loads(record)
    assert (act["kind"], act["run_seq"]) == ("retire", None)
    total, objects = f"{planned['row_count']:,}", planned["object_count"]
    assert f"{total} rows of" in act["text"] and f"{objects} objects were erased" in act["text"]
    assert names and not [name for name in names if name in act["text"] + done.out]
    assert keys_of(served, LEAVES) == []
    assert files_of(home, LEAVES) == []
    assert not (include / "samples" / LEAVES).exists()
    assert [path.name for path in (include / "mappings").glob("*akeside*")] == [f"{STAYS}.yaml"]

    assert of(STAYS, database_url) == of_neighbour
    assert (keys_of(served, STAYS), files_of(home, STAYS)) == (keys, files)
    host_key, port = served.sftp.host_key, served.sftp.port
    with logged_in(SftpAccess(port, STAYS, tmp_path / STAYS, host_key)) as sftp:
        assert sftp.listdir("outbox") == ["report.csv"]
    with pytest.raises(paramiko.AuthenticationException):
        logged_in(SftpAccess(port, LEAVES, tmp_path / LEAVES, host_key)).__enter__()
    orphans = everything(database_url)
    tokens = {json.loads(row)["token"] for row in orphans["etl.many_item"]}
    assert {json.loads(row)["token"] for row in orphans["etl.many"]} == tokens

    again = two_schools("retire", LEAVES, "--erase", "--yes")
    assert (again.code, "There is nothing left to do." in again.out) == (0, True)
    assert "It was retired on" in again.out
    assert two_schools("check").code == 0


def test_the_data_is_kept_when_that_is_agreed(
    two_schools: Etl, served: Served, include: Path, database_url: str
) -> None:
    before, keys = of(LEAVES, database_url), keys_of(served, LEAVES)
    path = include / "mappings" / f"{LEAVES}.yaml"
    path.write_text(path.read_text() + "\nretention: keep\n")
    done = two_schools("retire", LEAVES, "--yes")
    assert done.code == 0, done
    after = of(LEAVES, database_url)
    [record] = set(after.pop("etl.act")) - set(before.pop("etl.act"))
    assert after == before and keys_of(served, LEAVES) == keys
    assert "were kept" in json.loads(record)["text"]
    assert not path.exists() and not (served.sftp.key_folder / f"{LEAVES}.pub").exists()


def test_only_the_client_s_name_is_a_yes(
    two_schools: Etl, include: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(database_url)
    for typed in ("y\n", f"{STAYS}\n", "\n"):
        monkeypatch.setattr("sys.stdin", Terminal(typed))
        assert two_schools("retire", LEAVES, "--erase").code == 1
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{LEAVES}\n"))  # no terminal
    assert two_schools("retire", LEAVES, "--erase").code == 1
    assert everything(database_url) == before
    assert (include / "mappings" / f"{LEAVES}.yaml").exists()
    monkeypatch.setattr("sys.stdin", Terminal(f"{LEAVES}\n"))
    assert two_schools("retire", LEAVES, "--erase").code == 0
    assert not (include / "mappings" / f"{LEAVES}.yaml").exists()


def test_what_stands_in_the_way_is_said_and_nothing_is_changed(
    two_schools: Etl,
    served: Served,
    include: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = everything(database_url)

    def refused(*words: str) -> str:
        answer = two_schools("retire", LEAVES, *words, "--yes")
        assert answer.code == 2, answer
        assert everything(database_url) == before
        assert (include / "mappings" / f"{LEAVES}.yaml").exists()
        assert (served.sftp.key_folder / f"{LEAVES}.pub").exists()
        assert len(keys_of(served, LEAVES)) == len(OBJECTS)
        return answer.err

    assert "RETIRE_UNDECIDED" in refused()
    assert "contradict" in refused("--keep-data", "--erase")
    connection = served.connection()
    monkeypatch.delenv("AIRFLOW_CONN_ETL_STORAGE")
    said = refused("--erase")
    assert "RETIRE_IMPOSSIBLE" in said and "etl-development cannot be reached" in said
    monkeypatch.setenv("AIRFLOW_CONN_ETL_STORAGE", connection)
    with psycopg.connect(database_url) as opened:
        opened.execute(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status) "
            "VALUES (%s, %s, 'scheduled__1', 'development', 'running')", (LEAVES, LEAVES),
        )  # fmt: skip
    before = everything(database_url)
    assert "scheduled__1" in refused("--erase")


def test_when_the_objects_cannot_be_removed_no_row_is_gone_and_the_same_command_ends_it(
    two_schools: Etl,
    served: Served,
    include: Path,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The S3 server goes away between the plan and the deed: the person is slow to type."""
    before = of(LEAVES, database_url)
    process = served.objects.process
    assert process

    class Slow(Terminal):
        def readline(self, *size: Any) -> str:
            process.stop()
            return super().readline(*size)

    monkeypatch.setattr("sys.stdin", Slow(f"{LEAVES}\n"))
    failed = two_schools("retire", LEAVES, "--erase")
    assert (failed.code, "STORAGE_UNAVAILABLE" in failed.err) == (2, True), failed
    assert of(LEAVES, database_url) == before
    assert (include / "mappings" / f"{LEAVES}.yaml").exists()
    served.objects.start()
    served.set(monkeypatch)
    assert two_schools("retire", LEAVES, "--erase", "--yes").code == 0
    assert set(of(LEAVES, database_url)) == {"etl.act"}
    assert keys_of(served, LEAVES) == []


def test_a_try_that_was_killed_is_ended_by_the_next(two_schools: Etl, include: Path) -> None:
    mapping = include / "mappings" / f"{LEAVES}.yaml"
    mapping.rename(mapping.with_name(f".{LEAVES}.retired"))
    assert two_schools("retire", LEAVES, "--erase", "--yes").code == 0
    assert [path.name for path in mapping.parent.iterdir() if LEAVES in path.name] == [
        f"{STAYS}.yaml"
    ]
    assert "nothing left" in two_schools("retire", LEAVES, "--erase", "--yes").out


def test_a_mapping_that_cannot_be_removed_stops_it(
    two_schools: Etl, include: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where `include/` is mounted for reading only."""
    before = of(LEAVES, database_url)

    def read_only(self: Path, target: Path) -> Path:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "rename", read_only)
    answer = two_schools("retire", LEAVES, "--erase", "--yes")
    assert (answer.code, "lakeside.yaml cannot be removed here" in answer.err) == (2, True)
    assert of(LEAVES, database_url) == before
