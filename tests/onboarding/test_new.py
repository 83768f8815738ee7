"""`etl new` at the terminal: what it writes, asks, guesses and refuses."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from etl_lib.cli.main import main
from etl_lib.cli.new import walk_through
from etl_lib.config.project import Project
from etl_lib.onboarding.mapping.suggest import Suggestion, suggest
from etl_lib.onboarding.mapping.write import About, mapping_text
from tests.onboarding.conftest import SETS

Etl = Callable[..., tuple[int, str, str]]
STUDENTS = [
    ["student_id", "first_name", "last_name", "birth_date"],
    ["s1", "Ana", "Berg", "03/04/2010"],
    ["s2", "Bo", "Cruz", "05/06/2011"],
]


@pytest.fixture
def etl(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Etl:
    """Call `etl` with words; gives exit code, output, errors."""
    monkeypatch.setenv("ETL_INCLUDE", str(project.include))
    monkeypatch.setenv("ETL_ENVIRONMENT", "development")
    monkeypatch.setenv("COLUMNS", "200")

    def call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["etl", *words])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return call


def test_a_mapping_is_written_that_passes_the_linter(etl: Etl, project: Project) -> None:
    words = ("--name", "Green Hill", "--owner", "Ana Torres", "--timezone", "America/Chicago")
    code, out, err = etl("new", "green_hill", "--from", str(SETS / "clever"), *words)
    assert (code, err) == (0, "")
    assert "63 columns found, 36 mapped, 1 asked, 26 without a field" in out
    assert etl("check", "green_hill")[0] == 0
    mapping = project.resolve("green_hill").mapping
    assert (mapping.client, mapping.owner, mapping.timezone) == (
        "Green Hill",
        "Ana Torres",
        "America/Chicago",
    )
    assert set(mapping.feeds) == {"schools", "sections", "students", "teachers", "enrollments"}


def test_without_a_terminal_what_is_open_stands_in_the_file_as_a_comment(
    etl: Etl, project: Project, files: Callable[..., Path]
) -> None:
    code, out, _ = etl("new", "school", "--from", str(files(students__csv=STUDENTS)))
    assert code == 0
    assert "1 asked" in out
    text = project.mapping_path("school").read_text()
    assert '# birth_date: {from: birth_date, date_formats: ["%m/%d/%Y"]} # 0.70: the month' in text


def test_yes_takes_the_best_guess_and_lists_it(
    etl: Etl, project: Project, files: Callable[..., Path]
) -> None:
    code, out, _ = etl("new", "school", "--from", str(files(students__csv=STUDENTS)), "--yes")
    assert code == 0
    assert "Guessed: students: `birth_date` is person.birth_date (0.70:" in out
    text = project.mapping_path("school").read_text()
    assert 'birth_date: {from: birth_date, date_formats: ["%m/%d/%Y"]} # guessed, 0.70' in text
    rule = (
        project.resolve("school").mapping.feeds["students"].entities["person"].columns["birth_date"]
    )
    assert rule.date_formats == ("%m/%d/%Y",)


def test_a_sample_is_invented_that_the_mapping_loads_and_that_holds_nothing_of_the_school(
    etl: Etl, project: Project, files: Callable[..., Path]
) -> None:
    rows = [STUDENTS[0], ["zx-1", "Xquirina", "Berg", "13/04/2010"]]
    code, out, _ = etl("new", "school", "--from", str(files(students__csv=rows)), "--yes")
    assert code == 0
    night = project.include / "samples" / "school" / "night_1"
    assert "etl test school --accept" in out
    text = (night / "students.csv").read_text()
    assert len(text.splitlines()) > 2
    assert "zx-1" not in text and "Xquirina" not in text and "13/04/2010" not in text
    assert etl("test", "school")[0] == 1  # nothing is kept yet
    assert etl("test", "school", "--accept")[0] == 0
    assert etl("test", "school")[0] == 0
    own = "student_id,first_name,last_name,birth_date\nown,Ana,Berg,13/04/2010\n"
    (night / "students.csv").write_text(own)
    assert (
        etl("new", "school", "--from", str(files(students__csv=rows)), "--yes", "--replace")[0] == 0
    )
    assert (night / "students.csv").read_text() == own


def test_a_mapping_that_is_there_is_not_written_over(
    etl: Etl, project: Project, files: Callable[..., Path]
) -> None:
    folder = str(files(students__csv=STUDENTS))
    path = project.mapping_path("school")
    path.write_text("client: By hand\n")
    code, _, err = etl("new", "school", "--from", folder)
    assert code == 2
    assert "[MAPPING_EXISTS]" in err
    assert path.read_text() == "client: By hand\n"
    assert etl("new", "school", "--from", folder, "--replace")[0] == 0
    assert "feeds:" in path.read_text()


@pytest.mark.parametrize(
    ("client", "folder", "code"),
    [
        ("Bad-Name", "clever", "MAPPING_INVALID"),
        ("school", "nowhere", "SOURCE_UNAVAILABLE"),
    ],
)
def test_bad_input_is_refused_in_words(
    etl: Etl, project: Project, client: str, folder: str, code: str
) -> None:
    exit_code, _, err = etl("new", client, "--from", str(SETS / folder))
    assert exit_code == 2
    assert f"[{code}]" in err
    assert not list((project.include / "mappings").iterdir())


def test_a_folder_without_a_table_is_refused_with_each_reason(
    etl: Etl, files: Callable[..., Path]
) -> None:
    folder = files(report__csv=[["1", "2", "3"], ["4", "5", "6"]])
    (folder / "page.csv").write_text("<html><body>no</body></html>")
    code, _, err = etl("new", "school", "--from", str(folder))
    assert code == 2
    assert "[FILE_HEADER_NOT_FOUND] report.csv" in err
    assert "[FILE_NOT_A_TABLE] page.csv" in err


DOWN, ENTER = "\x1b[B", "\r"


def walked_through(
    keys: str, about: About, suggestion: Suggestion, asked: tuple[bool, bool, bool]
) -> tuple[About, Suggestion]:
    """The walk-through of a person who presses these keys."""

    def work() -> tuple[About, Suggestion]:
        with create_pipe_input() as typed, create_app_session(input=typed, output=DummyOutput()):
            typed.send_text(keys)
            return walk_through(about, suggestion, asked=asked)

    # a browser of other tests may hold this thread's event loop, and the questions have one of their own
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(work).result()


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (ENTER, '\n          birth_date: {from: birth_date, date_formats: ["%m/%d/%Y"]}\n'),
        (DOWN + ENTER, "\n    # no field for: birth_date\n"),
        (DOWN + DOWN + ENTER, "\n          # birth_date: {from: birth_date"),
    ],
    ids=["the candidate", "leave it out", "decide later"],
)
def test_a_person_is_asked_only_what_is_open(
    project: Project, files: Callable[..., Path], keys: str, line: str
) -> None:
    suggestion = suggest(files(students__csv=STUDENTS), project)
    about, answered = walked_through(
        f" High{ENTER}X{ENTER}\x7f{ENTER}{keys}",  # UTCX is no time zone
        About("School", "Ana Torres", "UTC"),
        suggestion,
        asked=(True, False, True),
    )
    assert about == About("School High", "Ana Torres", "UTC")
    assert line in mapping_text(answered, about)


def test_a_person_says_what_a_code_means(project: Project, files: Callable[..., Path]) -> None:
    rows = [["Roster ID", "Section ID", "Student ID", "Reg Status"]]
    rows += [
        [f"e{n}", f"c{n % 2}", f"s{n}", ["enrolled", "enrolled", "ZZ"][n % 3]] for n in range(12)
    ]
    suggestion = suggest(files(enrollments__csv=rows), project)
    assert [(p.field, code) for _, p, code in suggestion.open_codes] == [("status", "ZZ")]
    about = About("School", "Ana Torres", "UTC")
    _, answered = walked_through(DOWN + ENTER, about, suggestion, asked=(False, False, False))
    assert "map: {enrolled: active, ZZ: waitlisted}" in mapping_text(answered, about)
    assert not answered.open_codes


def test_files_headers_and_names_in_other_letters_than_ours(
    etl: Etl, project: Project, tmp_path: Path
) -> None:
    numbers = range(12)
    tables = {
        "студенты.csv": [
            ["Номер студента", "Имя", "Фамилия", "Дата рождения", "Электронная почта"],
            *([f"S{n:03d}", "Алексей", "Йончев", f"200{n % 9}-03-{n + 1:02d}", f"s{n}@uni.example"] for n in numbers),
        ],
        "التسجيلات.csv": [
            ["رقم الطالب", "رقم الشعبة", "الحالة"],
            *([f"S{n:03d}", f"C{n % 3}", "active"] for n in numbers),
        ],
        "授業.csv": [["授業番号", "授業名", "学期"], *([f"C{n}", f"ガイダンス{n}", "秋"] for n in range(3))],
    }  # fmt: skip
    folder = tmp_path / "files"
    folder.mkdir()
    for name, rows in tables.items():
        text = "\n".join([*(",".join(row) for row in rows), ""])
        apart = (unicodedata.normalize("NFD", part) for part in (name, text))
        (folder / next(apart)).write_text(next(apart), encoding="utf-8")
    code, out, err = etl("new", "uni", "--from", str(folder), "--yes")
    assert (code, err) == (0, "")
    assert "11 columns found, 11 mapped, 0 asked" in out
    written = project.mapping_path("uni").read_text(encoding="utf-8")
    assert unicodedata.is_normalized("NFC", written)
    feeds = project.resolve("uni").mapping.feeds
    assert {name: list(feed.entities) for name, feed in feeds.items()} == {
        "section": ["section"], "person": ["person"], "enrollment": ["enrollment"],
    }  # fmt: skip
    assert feeds["section"].file == ("授業.csv",)
    assert feeds["person"].entities["person"].columns["family_name"].from_ == ("Фамилия",)
    assert etl("preview", "uni", "--files", str(folder))[0] == 0
