"""`etl many`: what is shown is done and nothing else; one that cannot be done does not stop the others."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from etl_lib.cli.many import moment
from etl_lib.cli.run import local_run
from etl_lib.config.project import Project
from etl_lib.errors import FixTheSetup
from etl_lib.many import Desk, apply
from local_stack.waiting import wait_until
from tests.cli.conftest import REPO, Delivery, Etl

SAMPLES = REPO / "include" / "samples"
ONEROSTER = {"lakeside", "maple_street", "metro", "northgate"}
TWO = ("--client", "lakeside", "--client", "northgate")


@pytest.fixture
def northgate(tmp_path: Path, database_url: str) -> Delivery:
    folder = tmp_path / "northgate"
    shutil.copytree(SAMPLES / "northgate" / "night_1", folder)
    return Delivery(folder, "northgate", database_url)


@pytest.fixture
def both(lakeside: Delivery, northgate: Delivery, etl: Etl) -> tuple[Delivery, Delivery]:
    """Two loaded schools of one template: runs 1 and 2."""
    for school in (lakeside, northgate):
        assert load(etl, school) == 0
    return lakeside, northgate


def load(etl: Etl, school: Delivery) -> int:
    return etl("run", school.client_id, "--files", str(school.folder)).code


def shrink(school: Delivery, lines_left: int) -> None:
    """Let the school lose most of its enrollments, so that its next load is held."""
    lines = school.path("enrollments.csv").read_text().splitlines(True)
    school.path("enrollments.csv").write_text("".join(lines[:lines_left]))


def clients(answer: list[dict[str, str]]) -> list[str]:
    return [one["client_id"] for one in answer]


# --- freeze -----------------------------------------------------------------------------------------


def test_a_template_is_frozen_as_shown_and_then_loads_nothing_until_unfrozen(
    lakeside: Delivery, etl: Etl
) -> None:
    words = ("many", "freeze", "--template", "oneroster_1_1", "--reason", "Wrong grades in 1.1")
    seen = etl(*words, "--json")
    assert (seen.code, set(clients(seen.json["items"]))) == (0, ONEROSTER)
    assert lakeside.query("SELECT count(*) FROM etl.freeze") == [(0,)]
    done = etl("many", "apply", seen.json["token"])
    assert (done.code, "4 done, 0 failed, 0 left out." in done.out) == (0, True)

    files = ("--files", str(lakeside.folder), "--json")
    frozen = etl("run", "lakeside", *files)
    assert (frozen.code, frozen.json["status"], lakeside.rows()) == (1, "superseded", 0)
    assert frozen.json["sentence"].startswith("Left out. Nothing is loaded: frozen by ")
    assert frozen.json["sentence"].endswith("Wrong grades in 1.1.")
    assert lakeside.query("SELECT code FROM etl.run_message") == [("FROZEN",)]
    looked = etl("run", "lakeside", *files, "--dry-run")
    assert (looked.code, "Would load" in looked.json["sentence"]) == (0, True)

    again = etl(*words, "--json").json
    assert (again["items"], again["token"]) == ([], None)
    assert all(out["reason"].startswith("frozen by ") for out in again["left_out"])
    free = etl("many", "unfreeze", *TWO, "--comment", "Corrected", "--json").json
    assert [item["what"] for item in free["items"]] == [
        "unfreeze; 1 run was left out meanwhile: `etl many rerun --code FROZEN`", "unfreeze",
    ]  # fmt: skip
    assert etl("many", "apply", free["token"]).code == 0
    assert etl("run", "lakeside", *files).json["status"] == "succeeded"
    acts = lakeside.query("SELECT kind, text FROM etl.act WHERE client_id = 'lakeside' ORDER BY at")
    assert acts == [("freeze", "Wrong grades in 1.1"), ("unfreeze", "Corrected")]
    assert lakeside.query("SELECT client_id FROM etl.freeze ORDER BY 1") == [
        ("maple_street",), ("metro",),
    ]  # fmt: skip

    once_more = etl("many", "freeze", "--client", "lakeside", "--reason", "Again", "--json").json
    assert etl("many", "apply", once_more["token"]).code == 0
    [(loaded,)] = lakeside.query("SELECT run_seq FROM etl.load")
    replayed = etl("replay", str(loaded), "--json")
    assert (replayed.code, "Again." in replayed.json["sentence"]) == (1, True)
    assert (etl("undo", str(loaded)).code, lakeside.rows()) == (0, 0)  # freeze, undo, mend


def test_a_load_under_way_when_its_client_is_frozen_is_not_committed_and_the_school_hears_nothing(
    lakeside: Delivery, etl: Etl
) -> None:
    token = etl("many", "freeze", "--client", "lakeside", "--reason", "Stop", "--json").json[
        "token"
    ]
    with held_before_its_end(lakeside.database_url) as release:
        desk = Desk(lakeside.database_url, Project.load(), "ana", local, print)

        def freeze() -> None:
            release.wait_until_it_waits()
            assert [one.fate for one in apply(desk, token)] == [
                "done"
            ]  # at once, not after the load
            release()

        other = threading.Thread(target=freeze)
        other.start()
        answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
        other.join()
    assert (answer.code, answer.json["status"]) == (1, "superseded")
    assert "frozen by ana" in answer.json["sentence"]
    assert lakeside.query("SELECT what FROM etl.run_stage WHERE stage = 'load' AND rows > 0")
    assert (lakeside.rows(), lakeside.query("SELECT count(*) FROM etl.load")) == (0, [(0,)])
    assert not (lakeside.folder.parent / "home" / "outbox").exists()


class Obstacle:
    """A lock on which the load waits when all but its commit is done."""

    def __init__(self, url: str) -> None:
        self.lock, self.look = psycopg.connect(url), psycopg.connect(url, autocommit=True)
        self.lock.execute("LOCK TABLE etl.client_state IN SHARE MODE")

    def wait_until_it_waits(self) -> None:
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'etl.client_state'::regclass"
        wait_until(lambda: self.look.execute(waiting.encode()).fetchone() != (0,), 20, 0.02)

    def __call__(self) -> None:
        self.lock.rollback()


@contextmanager
def held_before_its_end(url: str) -> Iterator[Obstacle]:
    obstacle = Obstacle(url)
    try:
        yield obstacle
    finally:
        obstacle.lock.close()
        obstacle.look.close()


def local(client_id: str, wishes):  # type: ignore[no-untyped-def]
    return local_run(client_id, wishes, print)


# --- approve and refuse -----------------------------------------------------------------------------


def test_deliveries_are_approved_as_shown_and_one_with_another_plan_is_left_out(
    both: tuple[Delivery, Delivery], etl: Etl
) -> None:
    lakeside, northgate = both
    for school in both:
        shrink(school, 20)
        assert load(etl, school) == 1
    seen = etl(
        "many", "approve", "--template", "oneroster_1_1", "--comment", "Holidays", "--json"
    ).json
    assert clients(seen["items"]) == ["lakeside", "northgate"]
    assert all(
        "deleted" in item["what"] and "Would delete" in item["why"] for item in seen["items"]
    )
    idle = {"client_id": "metro", "reason": "nothing waits"}
    assert idle in seen["left_out"]
    assert lakeside.query("SELECT DISTINCT status FROM etl.hold") == [("open",)]

    shrink(northgate, 10)
    assert load(etl, northgate) == 1  # another plan is asked about
    done = etl("many", "apply", seen["token"], "--json")
    assert (done.code, clients(done.json["done"])) == (1, ["lakeside"])
    assert clients(done.json["left_out"]) == ["northgate"]
    assert done.json["left_out"][0]["said"].startswith("changed since it was shown: ")
    holds = (
        "SELECT client_id, status, comment FROM etl.hold WHERE status <> 'superseded' ORDER BY 1"
    )
    assert lakeside.query(holds) == [
        ("lakeside", "approved", "Holidays"),
        ("northgate", "open", None),
    ]

    refused = etl("many", "refuse", "--code", "HOLD_LIMIT", "--since", "1h", "--json").json
    assert clients(refused["items"]) == ["northgate"]
    assert etl("many", "refuse", "--code", "UNDONE_DELIVERY", "--json").json["items"] == []
    assert etl("many", "apply", refused["token"]).code == 0
    assert lakeside.query("SELECT status FROM etl.run ORDER BY run_seq DESC LIMIT 1") == [
        ("refused",)
    ]


# --- undo -------------------------------------------------------------------------------------------

_BREAK = """
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'Anna Lee is 7'; END $$;
CREATE TRIGGER broken BEFORE DELETE OR UPDATE ON core.person FOR EACH ROW
WHEN (old.client_id = 'lakeside') EXECUTE FUNCTION refuse();
"""


def test_last_loads_are_undone_as_shown_and_one_that_fails_does_not_stop_the_others(
    both: tuple[Delivery, Delivery], etl: Etl
) -> None:
    lakeside, _ = both
    early = etl("many", "undo", "--client", "lakeside", "--since", "1h", "--json").json
    assert [item["run"] for item in early["items"]] == [1]
    assert etl("run", "lakeside", "--files", str(SAMPLES / "lakeside" / "night_2")).code == 0
    rows = "SELECT client_id, count(*) FROM core.person GROUP BY 1 ORDER BY 1"
    before, runs = (
        lakeside.query(rows),
        lakeside.query("SELECT count(*), max(run_seq) FROM etl.run"),
    )
    changed = etl("many", "apply", early["token"], "--json")
    said = f"changed since it was shown: now it would be run {runs[0][1]}"
    assert (changed.code, changed.json["left_out"][0]["said"]) == (1, said)

    seen = etl("many", "undo", "--template", "oneroster_1_1", "--since", "1h", "--json").json
    assert [item["run"] for item in seen["items"]] == [runs[0][1], 2]
    assert "(1 more before it since then)" in seen["items"][0]["why"]
    assert (
        seen["items"][1]["what"].startswith("undo: ") and "0 put back" in seen["items"][1]["what"]
    )
    assert lakeside.query(rows) == before
    assert lakeside.query("SELECT count(*) FROM etl.run") == [(3,)]

    with psycopg.connect(lakeside.database_url) as connection:
        connection.execute(_BREAK)
    done = etl("many", "apply", seen["token"])
    assert (done.code, "1 done, 1 failed, 0 left out." in done.out) == (1, True)
    text = " ".join(done.out.split())
    assert f"failed: lakeside run {runs[0][1]}: RaiseException [INTERNAL]" in text
    assert "Anna" not in done.out + done.err
    assert lakeside.query(rows) == before[:1]
    assert lakeside.query("SELECT status FROM etl.run WHERE kind = 'load' ORDER BY run_seq") == [
        ("succeeded",), ("undone",), ("succeeded",),
    ]  # fmt: skip
    assert lakeside.query("SELECT client_id, kind FROM etl.act") == [("northgate", "undo")]
    looked = etl("many", "undo", *TWO, "--since", "1h", "--json").json
    assert {out["client_id"]: out["reason"] for out in looked["left_out"]} == {
        "lakeside": "RaiseException [INTERNAL]", "northgate": "nothing loaded since then",
    }  # fmt: skip


# --- what was shown ---------------------------------------------------------------------------------


def test_what_was_shown_is_applied_once_soon_and_to_its_end_though_it_was_broken_off(
    lakeside: Delivery, etl: Etl
) -> None:
    token = etl("many", "freeze", *TWO, "--reason", "Stop", "--json").json["token"]
    desk = Desk(lakeside.database_url, Project.load(), "ana", local, print)
    begun = apply(desk, token)
    assert next(begun).item.client_id == "lakeside"
    busy = etl("many", "apply", token)
    assert (busy.code, "Somebody applies" in busy.err) == (2, True)
    begun.close()
    rest = etl("many", "apply", token, "--json").json
    assert clients(rest["done"]) == ["northgate"]
    twice = etl("many", "apply", token)
    assert (twice.code, "NOT_AS_SHOWN" in twice.err, "was applied by" in twice.err) == (
        2,
        True,
        True,
    )
    assert "nothing that was shown" in etl("many", "apply", "freeze-000000").err

    late = etl("many", "unfreeze", "--all", "--json").json["token"]
    lakeside.query("UPDATE etl.many SET shown_at = shown_at - interval '61 minutes' RETURNING 1")
    assert "more than an hour ago" in etl("many", "apply", late).err
    assert lakeside.query("SELECT count(*) FROM etl.freeze") == [(2,)]


def test_a_selection_that_names_nothing_or_what_is_not_there_is_said_and_looks_at_nothing(
    lakeside: Delivery, etl: Etl
) -> None:
    for words, said in (
        (("approve",), "Nothing says which clients are meant."),
        (("approve", "--since", "1h"), "--all means every client"),
        (("freeze", "--reason", "x", "--client", "lakesid"), "Did you mean `lakeside`?"),
        (("freeze", "--reason", " ", "--client", "lakeside"), "needs its reason"),
        (("refuse", "--template", "oneroster"), "There is no template `oneroster`."),
        (("rerun", "--code", "DATABASE_UNAVAILBLE"), "Did you mean `DATABASE_UNAVAILABLE`?"),
        (("undo", "--all", "--since", "yesterday"), "`yesterday` is no moment."),
        *(
            (with_since, "A moment is missing after --since.")
            for with_since in (
                ("approve", "--all", "--since", ""),
                ("refuse", "--all", "--since", " "),
                ("undo", "--all", "--since", ""),
                ("unfreeze", "--all", "--since", ""),
                ("freeze", "--all", "--reason", "x", "--since", ""),
                ("rerun", "--all", "--since", ""),
            )
        ),
        (("approve", "--client", "lakeside", "--code", ""), "code is missing after --code."),
        (("approve", "--client", ""), "There is no client ``."),
        (("approve", "--all", "--since", "0001-01-01T00:00+23:00"), "is no moment."),
        (("approve", "--all", "--since", "25:00"), "`25:00` is no moment."),
    ):
        answer = etl("many", *words)
        assert (answer.code, "SELECTION_INVALID" in answer.err) == (2, True), words
        assert said in answer.err
    assert lakeside.query("SELECT to_regclass('etl.many')") == [(None,)]


def test_runs_that_are_not_airflows_are_named_and_left_out_of_a_rerun(
    lakeside: Delivery, etl: Etl
) -> None:
    lakeside.path("users.csv").unlink()
    assert load(etl, lakeside) == 2
    answer = etl("many", "rerun", "--since", "1h", "--client", "lakeside")
    text = " ".join(answer.out.split())
    assert (answer.code, "There is nothing to do." in text) == (0, True)
    assert "Left out, started with `etl run` or `etl replay`: run it there again: lakeside." in text


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90m", timedelta(minutes=90)), ("1h", timedelta(hours=1)), ("2d", timedelta(days=2)),
        ("01:30", timedelta(hours=1, minutes=30)), ("04:00", timedelta(hours=23)),
        ("2026-01-02T00:00+00:00", timedelta(hours=3)),
    ],
)  # fmt: skip
def test_a_moment_is_understood_as_people_say_it(text: str, ago: timedelta) -> None:
    now = datetime(2026, 1, 2, 3, tzinfo=UTC).astimezone()
    text = text if "T" in text or text[-1] in "mhd" else local_clock(now, ago)
    assert now - moment(text, now) == ago


def local_clock(now: datetime, ago: timedelta) -> str:
    return f"{now - ago:%H:%M}"


def test_a_moment_to_come_is_refused() -> None:
    with pytest.raises(FixTheSetup):
        moment("2999-01-01")
