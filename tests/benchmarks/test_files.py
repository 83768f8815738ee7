"""The files that the benchmarks make, and what they count of them."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path

import pytest

from benchmarks.corpora import Reader, _cases_of_python, _outcome
from benchmarks.people import COLUMNS, people
from benchmarks.results import Table
from benchmarks.staged import main as stage


def test_people_are_always_the_same(tmp_path: Path) -> None:
    first, again = people(tmp_path / "a", 300), people(tmp_path / "b", 300)
    assert first.read_bytes() == again.read_bytes()
    assert len(first.read_bytes().splitlines()) == 301
    assert first.stat().st_size / 300 == pytest.approx(121, abs=5)


@pytest.mark.parametrize(("broken", "rejected"), [(False, 0), (True, 10)])
def test_the_reader_takes_all_people_but_the_broken(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: bool, rejected: int
) -> None:
    source = people(tmp_path / "people.csv", 5000, broken)
    stage(source, tmp_path / "people.arrow", list(COLUMNS))
    assert capsys.readouterr().out == f"5000 {5000 - rejected} {rejected}\n"


def test_notes_of_two_lines_are_one_row_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = people(tmp_path / "people.csv", 500, long_notes=True)
    assert len(source.read_bytes().splitlines()) == 506
    stage(source, tmp_path / "people.arrow", list(COLUMNS))
    assert capsys.readouterr().out == "500 500 0\n"


def test_the_inputs_of_pythons_own_tests_are_found() -> None:
    cases = list(_cases_of_python())
    assert b"a,b\n" in cases
    assert len(cases) > 30


def test_a_corpus_counts_what_was_read_rejected_and_refused(tmp_path: Path) -> None:
    good, bad, empty = tmp_path / "good.csv", tmp_path / "bad.csv", tmp_path / "empty.csv"
    good.write_text("id,name\n1,a\n2,b\n3,c\n")
    bad.write_text("id,name\n1,a\n2,b,c\n3,c\n4,d\n")
    empty.write_text("")
    outcomes = [_outcome(path, path.name) for path in (good, bad, empty)]
    assert [one.kind for one in outcomes] == ["read wholly", "read with rejects", "refused"]
    assert outcomes[1].rejected == {"ROW_FIELD_COUNT": [3]}
    assert outcomes[2].said[0].startswith("FILE_EMPTY")


def test_neither_an_exception_nor_a_hang_keeps_the_next_file_from_being_read(
    tmp_path: Path,
) -> None:
    good, pipe = tmp_path / "good.csv", tmp_path / "pipe.csv"
    good.write_text("id,name\n1,a\n2,b\n")
    os.mkfifo(pipe)  # to open it waits for a writer, who never comes
    with closing(Reader(limit_s=3)) as reader:
        assert reader.read(tmp_path / "not-there.csv", "not-there.csv").kind == "exceptions"
        assert reader.read(pipe, "pipe.csv").kind == "hangs"
        assert reader.read(good, "good.csv").rows == 2


def test_a_table_is_written_with_its_note() -> None:
    table = Table("T", ("A", "B"), [("1", "2")], "Read it so.")
    assert table.markdown == "**T**\n\nRead it so.\n\n| A | B |\n| --- | --- |\n| 1 | 2 |\n"
