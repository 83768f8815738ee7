"""`etl undo` as somebody on call uses it: a dry run, the real one, what it says, when it refuses."""

from __future__ import annotations

import json

import psycopg
import pytest

from tests.cli.conftest import REPO, Delivery, Etl

SAMPLES = REPO / "include" / "samples"


def test_a_run_is_undone_by_its_number_and_the_delivery_then_waits_for_approval(
    etl: Etl, lakeside: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    persons = "SELECT to_jsonb(p) - 'change_seq' FROM core.person p ORDER BY person_id"
    before = lakeside.query(persons)
    second = SAMPLES / "lakeside" / "night_2"
    assert etl("run", "lakeside", "--files", str(second)).code == 0
    assert lakeside.query(persons) != before

    refused = etl("undo", "1")
    assert refused.code == 1
    assert (
        "UNDO_BLOCKED" in refused.err and "undo first, in this order: run 2 (cli__" in refused.err
    )
    planned = etl("undo", "2", "--dry-run", "--json")
    assert planned.code == 0
    assert planned.json["sentence"].startswith("Dry run, nothing was changed.")
    assert {"update", "remove"} <= {sample["action"] for sample in planned.json["samples"]}
    assert "lks-s" not in json.dumps(planned.json["samples"])
    assert lakeside.query("SELECT count(*) FROM etl.run") == [(2,)]

    undone = etl("undo", "2")
    assert undone.code == 0, undone
    assert "The run 2 was undone" in " ".join(undone.out.split())
    assert lakeside.query(persons) == before
    assert lakeside.query("SELECT kind, text FROM etl.act") == [
        ("undo", lakeside.query("SELECT 'run 2 (' || run_id || ')' FROM etl.run WHERE run_seq = 2")[0][0])
    ]  # fmt: skip
    ended = "SELECT status, ended_at IS NOT NULL FROM etl.run WHERE run_seq <> 1"
    assert lakeside.query(ended) == [("undone", True), ("undone", True)]
    monkeypatch.setenv("AIRFLOW_HOME", str(lakeside.folder.parent / "airflow"))
    trace = json.loads(etl("trace", "lakeside", "lks-s03", "--json").out)
    fates = [
        (run["status"], fate["outcome"])
        for run in trace["runs"]
        for fate in run["fates"]
        if fate["entity"] == "person" and fate["outcome"] != "filtered"
    ]
    assert set(fates[:2]) >= {("undone", "updated"), ("undone", "not_loaded")}

    held = etl("run", "lakeside", "--files", str(second), "--json")
    assert (held.code, held.json["status"]) == (1, "awaiting_approval")
    assert "undone on" in held.json["sentence"]
    assert etl("run", "lakeside", "--files", str(second), "--approve").code == 0
    assert etl("undo", "2").code == 1


def test_a_run_that_is_not_there_or_not_one_is_said_in_words(
    etl: Etl, lakeside: Delivery, database_url: str
) -> None:
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    unknown = etl("undo", "77")
    assert (unknown.code, "RUN_NOT_FOUND" in unknown.err) == (2, True)
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "INSERT INTO etl.run (client_id, dag_id, run_id, environment, status) "
            "SELECT c, c, 'same', 'development', 'failed' FROM unnest(ARRAY['ashford', 'metro']) c"
        )
    several = etl("undo", "same")
    assert several.code == 2
    assert "`same` may be run 2 of ashford or run 3 of metro." in several.err
    assert "--client" in several.err
    failed = etl("undo", "same", "--client", "metro")
    assert failed.code == 1
    assert "has changed nothing; its status is failed" in failed.err


def test_a_container_s_user_without_a_name_may_do_and_look_as_anybody(
    etl: Etl, lakeside: Delivery, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(uid: int) -> None:
        raise KeyError(uid)

    for variable in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)  # as for a number that no file of users names
    monkeypatch.setenv("AIRFLOW_HOME", str(lakeside.folder.parent / "airflow"))
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    assert etl("trace", "lakeside", "lks-s03").code == 0
    assert etl("undo", "1").code == 0
    acts = lakeside.query("SELECT kind, by FROM etl.act ORDER BY at")
    assert acts == [("trace", "command line"), ("undo", "command line")]
