from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.scoring import ERROR, Loaded, read_loaded, score, simple, weighted

CLEAN = [
    ["id", "name", "note"],
    ["1", "Ann", ""],
    ["2", "Bob", "x"],
    ["3", "Cay", "y"],
    ["4", "Dan", "z"],
]


def of(rows: list[list[str]], clean: list[list[str]] = CLEAN, **how: bool) -> object:
    return score(clean, Loaded(rows, success=True), str.lower, **how)


def test_a_file_loaded_right_has_all_points_in_any_order_of_rows() -> None:
    found = of([CLEAN[0], *reversed(CLEAN[1:])])
    assert found.total == 10
    assert (found.wrong, found.misplaced, found.lost, found.rows) == ((), (), (), 4)


def test_cells_are_compared_normalised_in_records_and_as_they_are_in_cells() -> None:
    found = of([[cell.upper() for cell in row] for row in CLEAN])
    assert found.measures[3:6] == (1, 1, 1)
    assert found.measures[6] == pytest.approx(5 / 15)  # the numbers and the blank
    assert not found.wrong


def test_a_lost_row_costs_its_share_of_the_clean_ones() -> None:
    found = of([CLEAN[0], CLEAN[1], CLEAN[3], CLEAN[4]])
    assert found.measures[3:6] == (0.75, 1.0, pytest.approx(6 / 7))
    assert (found.lost, found.wrong) == ((1,), ())


def test_a_row_read_as_two_is_wrong_twice_and_lost_once() -> None:
    found = of([*CLEAN[:3], ["3", "Cay"], ["y"], CLEAN[4]])
    assert found.measures[3:5] == (0.75, 0.6)
    assert (found.wrong, found.misplaced, found.lost) == ((3, 4), (3, 4), (2,))


def test_a_value_in_the_wrong_column_passes_as_pollock_compares_but_not_cell_by_cell() -> None:
    found = of([*CLEAN[:2], ["2", "", "Bobx"], *CLEAN[3:]])
    assert found.measures[3:6] == (1, 1, 1)
    assert (found.wrong, found.misplaced, found.lost) == ((), (2,), ())


def test_empty_cells_at_the_end_of_a_row_are_no_difference() -> None:
    assert of([[*row, ""] for row in CLEAN]).misplaced == ()


def test_a_row_loaded_twice_is_wrong_once() -> None:
    assert of([*CLEAN, CLEAN[2]]).wrong == (5,)


def test_a_header_taken_for_a_row_is_wrong() -> None:
    found = of([["c0", "c1", "c2"], *CLEAN])
    assert (found.wrong, found.lost) == ((1,), ())
    assert found.measures[:3] == (0, 0, 0)


def test_a_file_without_header_may_be_loaded_under_a_made_up_one_or_under_none() -> None:
    rows = CLEAN[1:]
    for loaded in (rows, [["c0", "c1", "c2"], *rows]):
        found = of(loaded, rows, header=False)
        assert (found.wrong, found.misplaced, found.lost) == ((), (), ())
    assert of(rows, rows, header=False).total == 10
    assert of([["c0", "c1", "c2"], *rows], rows, header=False).total < 10


def test_a_system_that_says_there_is_no_header_has_not_lost_its_first_row() -> None:
    loaded = Loaded(CLEAN[1:], success=True, headless=True)
    assert score(CLEAN, loaded, str.lower).lost == ()
    assert of(CLEAN[1:]).lost == (0,)


def test_a_refused_file_has_no_points_and_loses_its_rows() -> None:
    found = score(CLEAN, Loaded([], success=False), str.lower, refusal_of_nothing=True)
    assert (found.total, found.lost) == (0, (0, 1, 2, 3))


def test_to_refuse_a_file_without_anything_is_right_only_where_that_is_said() -> None:
    refused = Loaded([], success=False)
    assert score([], refused, str.lower, refusal_of_nothing=True).total == 10
    assert score([], refused, str.lower).total == 0
    assert of([], []).total == 10


def test_scores_are_averaged_plainly_and_by_weight() -> None:
    scores = {"a": of(CLEAN), "b": score(CLEAN, Loaded([], success=False), str.lower)}
    assert simple(scores) == 5
    assert weighted(scores, {"a": 3, "b": 1}) == 7.5


def test_a_converted_file_is_read_as_pollock_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "converted.csv"
    path.write_bytes('\ufeffid,note\r\n1,"a\r\nb"\r\n'.encode())
    assert read_loaded(path) == Loaded([["id", "note"], ["1", "a\nb"]], success=True)
    path.write_text(f"{ERROR}\nwhy\n")
    assert not read_loaded(path).success
