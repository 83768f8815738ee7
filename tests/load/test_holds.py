"""A delivery over a limit: who decides, what a decision is about, what takes its place, and pauses."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

import psycopg
import pytest

from etl_lib.errors import EtlError, NeedsApproval, Refused, Superseded
from etl_lib.load import load, settle_answer
from etl_lib.manifest import Extracted
from etl_lib.metrics.holds import (
    Answer,
    HoldStatus,
    asked,
    decide,
    hold_of_run,
    open_holds_of,
    settle_identical,
)
from etl_lib.metrics.ledger import Ledger
from etl_lib.metrics.status import RunStatus
from etl_lib.report import report
from etl_lib.run import Wishes
from tests.load.conftest import MAPPING, School, make_project
from tests.load.test_load import many

FEWER = 40


def fewer(rows: int = FEWER) -> dict[str, Any]:
    """A night of 300 from which so many enrollments have vanished."""
    night = many(300)
    return {**night, "enrollments": night["enrollments"][rows:]}


def held(school: School, feeds: dict[str, Any], **options: Any) -> Any:
    """Load what must be held; gives the hold."""
    given = school.prepare(feeds, **options)
    with pytest.raises(NeedsApproval):
        load(*given)
    found = hold_of_run(school.database_url, given[0])
    assert found is not None
    return found


def say(school: School, hold: Any, status: HoldStatus, comment: str = "") -> bool:
    return decide(school.database_url, school.client_id, hold.hold_seq, status, "vera", comment)


def query(school: School, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(school.database_url) as connection:
        return connection.execute(text.encode()).fetchall()


def there(school: School) -> int:
    return int(query(school, "SELECT count(*) FROM core.current_enrollment")[0][0])


@pytest.fixture
def night(school: School) -> School:
    """A school with 300 enrollments."""
    load(*school.prepare(many(300)))
    return school


def test_an_approved_plan_is_loaded_by_the_next_try_and_recorded(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    assert "Would delete 40 of 300 rows of enrollment (13.3%); up to 10% pass" in hold.words
    assert there(night) == 300
    assert {one["key"] for one in hold.plan["samples"]} == {"***"}
    assert say(night, hold, HoldStatus.APPROVED, "The school says so.")
    load(*night.prepare(fewer(), run_id="r", delivery_seq=20261124_000001))
    assert there(night) == 260
    assert query(night, "SELECT status, decided_by, comment FROM etl.hold") == [
        ("approved", "vera", "The school says so.")
    ]
    assert query(night, "SELECT kind, by, text FROM etl.act") == [
        ("approve", "vera", "The school says so.")
    ]


def test_the_first_word_counts(night: School) -> None:
    hold = held(night, fewer())
    assert say(night, hold, HoldStatus.REFUSED)
    assert not say(night, hold, HoldStatus.APPROVED)
    assert query(night, "SELECT status FROM etl.hold") == [("refused",)]


def test_a_plan_that_changed_after_the_approval_is_asked_about_again(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    assert say(night, hold, HoldStatus.APPROVED)
    load(*night.prepare(fewer(10), run_id="between", delivery_seq=20261124_000004))
    again = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    assert again.hold_seq != hold.hold_seq
    assert again.words.startswith("The plan has changed since it was approved")
    assert there(night) == 290


def test_the_same_counts_over_other_rows_are_another_plan(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    say(night, hold, HoldStatus.APPROVED)
    other = many(300)
    other["enrollments"] = other["enrollments"][:-FEWER]
    again = held(night, other, run_id="r", delivery_seq=20261124_000005)
    assert again.plan["counts"] == hold.plan["counts"]
    assert again.status == "open"


def test_other_values_in_the_same_columns_of_the_same_rows_are_another_plan(night: School) -> None:
    def given(name: str) -> dict[str, Any]:
        sent = many(300)
        return {**sent, "people": [{**one, "given_name": name} for one in sent["people"]]}

    hold = held(night, given("b"), run_id="r", delivery_seq=20261124_000005)
    say(night, hold, HoldStatus.APPROVED)
    again = held(night, given("c"), run_id="r", delivery_seq=20261124_000005)
    assert (again.plan["counts"], again.status) == (hold.plan["counts"], "open")
    say(night, again, HoldStatus.APPROVED)
    load(*night.prepare(given("c"), run_id="r", delivery_seq=20261124_000005))
    assert query(night, "SELECT DISTINCT given_name FROM core.person") == [("c",)]


def test_an_approval_of_new_rows_is_not_one_of_other_new_rows_with_the_same_keys(
    night: School,
) -> None:
    def more(name: str) -> dict[str, Any]:
        sent = fewer()
        return {**sent, "people": [*sent["people"], {"person_id": "new", "given_name": name}]}

    hold = held(night, more("b"), run_id="r", delivery_seq=20261124_000005)
    say(night, hold, HoldStatus.APPROVED)
    assert held(night, more("c"), run_id="r", delivery_seq=20261124_000005).status == "open"


def test_an_approval_is_not_one_of_the_delivery_under_another_mapping(night: School) -> None:
    plain = night.resolved
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    say(night, hold, HoldStatus.APPROVED)
    other = MAPPING.replace("family_name: family", "family_name: {from: family, case: lower}")
    night.resolved = make_project(night.folder, other, night.client_id)
    again = held(night, fewer(), run_id="again", delivery_seq=20261124_000005)
    assert (again.plan["counts"], again.status) == (hold.plan["counts"], "open")
    assert again.words.startswith("The plan has changed since it was approved")
    say(night, again, HoldStatus.REFUSED)
    night.resolved = plain  # nobody has refused this one
    assert held(night, fewer(), run_id="plain", delivery_seq=20261124_000005).status == "open"


def test_an_approval_of_what_is_over_one_limit_is_not_one_of_what_is_over_two(
    night: School,
) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    say(night, hold, HoldStatus.APPROVED)
    strict = MAPPING + "limits: {floor_rows: 0, hold: {rejected_share: 0}}\n"
    night.resolved = make_project(night.folder, strict, night.client_id)
    bad = {
        "people": [
            {"file": "people.csv", "line": 999, "key": "p", "column": "x", "code": "VALUE_MISSING"}
        ]
    }
    again = held(night, fewer(), run_id="r", delivery_seq=20261124_000005, rejected=bad)
    assert {one["limit"] for one in again.reasons} == {"plan", "deleted_share", "rejected_share"}


def test_an_answer_about_an_older_plan_decides_nothing_about_the_newest(night: School) -> None:
    old = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    load(*night.prepare(fewer(10), run_id="between", delivery_seq=20261124_000004))
    new = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    assert new.hold_seq != old.hold_seq
    settle_answer(night.run("r", Wishes()), Answer(old.hold_seq, HoldStatus.APPROVED, "vera"))
    again = held(night, fewer(), run_id="r", delivery_seq=20261124_000005)
    assert (again.hold_seq, again.status, again.decided_by) == (new.hold_seq, "open", None)


def test_a_refused_plan_stays_refused_in_every_later_run_of_the_delivery(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    say(night, hold, HoldStatus.REFUSED)
    for run_id in ("r", "next night"):
        with pytest.raises(Refused, match="HOLD_REFUSED"):
            load(*night.prepare(fewer(), run_id=run_id, delivery_seq=20261124_000001))
    assert there(night) == 300
    load(
        *night.prepare(
            fewer(), delivery_seq=20261124_000001, wishes=Wishes(approve=True, by="olga")
        )
    )
    assert there(night) == 260
    newest = "SELECT status, decided_by FROM etl.hold ORDER BY hold_seq DESC LIMIT 1"
    assert query(night, newest) == [("approved", "olga")]


def test_one_approval_is_for_one_load(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    say(night, hold, HoldStatus.APPROVED)
    load(*night.prepare(fewer(), run_id="r", delivery_seq=20261124_000001))
    load(*night.prepare(many(300), delivery_seq=20261125_000001))
    run, extracted, *rest = night.prepare(fewer(), delivery_seq=20261126_000001)
    same = extracted.delivery.model_copy(update={"delivery_id": hold.delivery_id})
    with pytest.raises(NeedsApproval):
        load(run, extracted.model_copy(update={"delivery": same}), *rest)
    assert [one.plan_digest for one in open_holds_of(night.database_url, ["school"])] == [hold.plan_digest]  # fmt: skip


def test_a_hold_lapses_at_its_time_and_may_be_asked_about_anew(night: School) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    assert (hold.lapses_at - hold.opened_at).total_seconds() == pytest.approx(72 * 3600, abs=5)
    query_ = "UPDATE etl.hold SET lapses_at = now() - interval '1 second' RETURNING 1"
    with psycopg.connect(night.database_url) as connection:
        connection.execute(query_)
    assert not say(night, hold, HoldStatus.APPROVED)
    assert query(night, "SELECT status, decided_by FROM etl.hold") == [("lapsed", None)]
    run, *_ = night.prepare(fewer(), run_id="r", delivery_seq=20261124_000001)
    with pytest.raises(Refused, match="HOLD_LAPSED"):
        settle_answer(run, Answer(hold.hold_seq, HoldStatus.LAPSED))
    assert held(night, fewer(), run_id="new", delivery_seq=20261124_000001).status == "open"


@pytest.mark.parametrize("status", [HoldStatus.REFUSED, HoldStatus.LAPSED])
def test_a_run_says_the_same_whether_its_task_or_only_the_record_tells_its_end(
    night: School, status: HoldStatus
) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    run, ledger = night.run("r", Wishes(wait=False)), Ledger(night.database_url)
    ledger.end_run(run, RunStatus.AWAITING_APPROVAL, "Waits.")  # as `etl run` ends
    if status == HoldStatus.LAPSED:
        with psycopg.connect(night.database_url) as connection:
            connection.execute("UPDATE etl.hold SET lapses_at = now() - interval '1 second'")
    say(night, hold, HoldStatus.REFUSED)
    recorded = query(night, "SELECT status, sentence FROM etl.run WHERE run_id = 'r'")
    with pytest.raises(Refused) as caught:
        settle_answer(run, Answer(hold.hold_seq, status))
    ledger.begin_stage(run, "load")
    ledger.say(run, "load", caught.value.faults)
    ledger.end_stage(run, "load", RunStatus.REFUSED)
    told = report(run, ledger.stopped_by(run), None, None, None)
    assert recorded == [(told.status, told.sentence)]


@pytest.mark.parametrize("newer_is_held", [True, False])
def test_a_newer_delivery_takes_the_place_of_one_that_waits(
    night: School, newer_is_held: bool
) -> None:
    hold = held(night, fewer(), run_id="older", delivery_seq=20261124_000001)
    if newer_is_held:
        held(night, fewer(60), run_id="newer", delivery_seq=20261125_000001)
    else:
        load(*night.prepare(fewer(5), run_id="newer", delivery_seq=20261125_000001))
    assert not say(night, hold, HoldStatus.APPROVED)
    run, *_ = given = night.prepare(fewer(), run_id="older", delivery_seq=20261124_000001)
    with pytest.raises(Superseded, match="in its place"):
        settle_answer(run, Answer(hold.hold_seq, HoldStatus.REFUSED))
    with psycopg.connect(night.database_url) as connection:
        connection.execute(
            "INSERT INTO etl.delivery (client_id, delivery_seq, delivery_id, delivered_on, received_at) "
            "VALUES ('school', 20261125000001, 'd', '2026-11-25', now())"
        )
    with pytest.raises(Superseded, match="newer"):
        load(*given)


def test_what_came_before_files_that_are_loaded_and_came_again_is_not_asked_about(
    night: School,
) -> None:
    hold = held(night, fewer(), run_id="r", delivery_seq=20261124_000001)
    with psycopg.connect(night.database_url) as connection:
        connection.execute(
            "INSERT INTO etl.delivery (client_id, delivery_seq, delivery_id, delivered_on, received_at) "
            "VALUES ('school', 20261124000001, 'd', '2026-11-24', '2026-11-23')"
        )
    run, extracted, *_ = night.prepare(many(300))
    settle_identical(night.database_url, run, extracted.delivery)
    assert not say(night, hold, HoldStatus.APPROVED)
    assert query(night, "SELECT status FROM etl.hold") == [("superseded",)]


def test_an_older_delivery_never_ends_the_question_about_a_newer_one(night: School) -> None:
    newer = held(night, fewer(), run_id="newer", delivery_seq=20261126_000001)
    load(*night.prepare(fewer(5), run_id="older", delivery_seq=20261125_000001))
    assert [one.hold_seq for one in open_holds_of(night.database_url, ["school"])] == [
        newer.hold_seq
    ]


def test_a_delivery_of_changes_is_never_left_out_for_a_newer_one(
    new_school: Callable[..., School],
) -> None:
    changes = "    file: people.csv\n    content: changes\n"
    school = new_school("changes", MAPPING.replace("    file: people.csv\n", changes))
    load(*school.prepare(many(300)))
    held(school, fewer(), run_id="older", delivery_seq=20261124_000001)
    load(*school.prepare(fewer(5), run_id="newer", delivery_seq=20261125_000001))
    assert len(open_holds_of(school.database_url, ["changes"])) == 1


def test_the_task_that_waits_is_told_when_its_hold_is_decided(night: School) -> None:
    hold = held(night, fewer(), run_id="r")
    run = night.run("r", Wishes())
    Ledger(night.database_url).wait_for_approval(run, "Waits.")
    assert asked(night.database_url).decided == []
    say(night, hold, HoldStatus.APPROVED)
    assert [one.run_id for one in asked(night.database_url).decided] == ["r"]
    Ledger(night.database_url).begin_stage(run, "load")
    assert asked(night.database_url).decided == []


def announced(school: School, day: str) -> Callable[..., Any]:
    """Prepares deliveries of `day` under a mapping in which the 24th is announced."""
    path = school.folder / "include" / "mappings" / f"{school.client_id}.yaml"
    line = "approve_on: {date: 2026-11-24, reason: New school year}\n"
    path.write_text(MAPPING + line)
    school.resolved = make_project(school.folder, MAPPING + line, school.client_id)

    def prepare(feeds: dict[str, Any], **options: Any) -> Any:
        run, extracted, *rest = school.prepare(feeds, **options)
        delivery = extracted.delivery.model_copy(update={"delivered_on": date.fromisoformat(day)})
        return run, extracted.model_copy(update={"delivery": delivery}), *rest

    return prepare


def test_an_announced_change_passes_and_is_recorded_with_its_reason_and_line(
    night: School,
) -> None:
    prepare = announced(night, "2026-11-24")
    load(*prepare(fewer()))
    assert there(night) == 260
    [(status, by, comment)] = query(night, "SELECT status, decided_by, comment FROM etl.hold")
    assert (status, comment) == ("approved", "Announced beforehand: New school year")
    assert by.startswith("include/mappings/school.yaml:")


def test_an_announcement_is_for_its_day_and_never_lifts_a_fail_limit(night: School) -> None:
    with pytest.raises(NeedsApproval):
        load(*announced(night, "2026-11-25")(fewer()))
    bad = [{**e, "person_id": "nobody"} for e in many(300)["enrollments"]]
    with pytest.raises(EtlError, match="TOO_MANY_REJECTED"):
        load(*announced(night, "2026-11-24")({**many(300), "enrollments": bad}))


def test_additions_only_writes_new_and_returning_rows_and_still_adds_up(
    night: School,
) -> None:
    load(*night.prepare({**many(300), "enrollments": many(300)["enrollments"][1:]}))
    line = "additions_only: {from: 2026-11-20, to: 2026-11-24, reason: Rollover}\n"
    plain = night.resolved
    night.resolved = make_project(night.folder, MAPPING + line, night.client_id)
    sent = many(302)
    sent["people"] = [{**one, "given_name": "changed"} for one in sent["people"]]
    sent["enrollments"] = sent["enrollments"][:200] + sent["enrollments"][300:]
    counts = {c.entity: c for c in load(*night.prepare(sent)).loaded.counts}
    person, enrollment = counts["person"], counts["enrollment"]
    assert (person.inserted, person.updated, person.unchanged) == (2, 0, 300)
    assert (enrollment.inserted, enrollment.restored, enrollment.deleted_by_absence) == (2, 1, 0)
    assert query(night, "SELECT count(*) FROM core.person WHERE given_name = 'changed'") == [(2,)]
    assert there(night) == 302
    night.resolved = plain
    given = night.prepare(sent, wishes=Wishes(approve=True))
    assert isinstance(given[1], Extracted)
    [(contract,)] = query(night, "SELECT row_contract FROM etl.client_state")
    assert contract != plain.row_contract  # so the same files are not "nothing new" afterwards
    counts = {c.entity: c for c in load(*given).loaded.counts}
    assert (counts["person"].updated, counts["enrollment"].deleted_by_absence) == (300, 100)
