"""The template is found by what the templates themselves say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from etl_lib.config.project import Project
from etl_lib.onboarding.mapping.suggest import Suggestion, suggest
from etl_lib.onboarding.mapping.write import About, mapping_text
from etl_lib.onboarding.preview import preview
from tests.onboarding.conftest import REPO, SETS

SAMPLES = REPO / "include" / "samples"


SCHOOLS = {
    "lakeside": "oneroster_1_1",
    "maple_street": "oneroster_1_1",  # one zip
    "northgate": "oneroster_1_2",
    "harbor_college": "canvas_sis",
    "san_rafael": "banner",
    "prairie_state": "peoplesoft",
    "ashford": "plain",
    "westbrook": None,  # headers of its own
}


@pytest.mark.parametrize(("client", "template"), SCHOOLS.items())
def test_the_samples_of_each_system_are_recognised(
    project: Project, client: str, template: str | None
) -> None:
    assert suggest(SAMPLES / client / "night_1", project).template == template


@pytest.mark.parametrize("client", SCHOOLS)
def test_what_is_written_passes_the_linter_and_reads_the_samples(
    project: Project, client: str
) -> None:
    folder = SAMPLES / client / "night_1"
    text = mapping_text(suggest(folder, project), About("A school", "Somebody", "UTC"))
    project.mapping_path(client).write_text(text, encoding="utf-8")
    found = preview(project, client, folder)
    assert {fault.code for fault in found.said} <= {"TOO_MANY_REJECTED"}
    if client != "ashford":  # whose files are broken on purpose
        assert not [fill for fill in found.fills if fill.rejected]


def test_a_school_that_writes_days_first_and_commas_says_so_once(project: Project) -> None:
    suggestion = suggest(SAMPLES / "san_rafael" / "night_1", project)
    assert "%d/%m/%Y" in suggestion.date_formats
    assert "%m/%d/%Y" not in suggestion.date_formats  # the template's, which reads other days
    assert suggestion.decimal == "comma"


def test_codes_that_the_template_lacks_are_added_or_asked_about(project: Project) -> None:
    suggestion = suggest(SAMPLES / "ashford" / "night_1", project)
    text = mapping_text(suggestion, About("A school", "Somebody", "UTC"))
    assert "role: {map: {Teacher: instructor}}" in text
    assert (
        '  # sections: status: what do these codes mean? Until then their rows are rejected: "on"'
        in text
    )


@pytest.mark.parametrize("name", ["clever", "powerschool", "class_schedule", "edfi"])
def test_other_systems_are_not_taken_for_one_of_ours(project: Project, name: str) -> None:
    assert suggest(SETS / name, project).template is None


def with_template(project: Project, feed: dict[str, object]) -> None:
    data = {"sis": "Lantern", "feeds": {"pupils": feed}}
    path = project.include / "templates" / "lantern.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


PUPILS = {
    "file": "LNT_PUPIL.csv",
    "entities": {
        "person": {
            "columns": {"person_id": "LNT_REF", "given_name": "LNT_FORE", "family_name": "LNT_SUR", "email": "LNT_MAIL"}
        }
    },
}  # fmt: skip
ROWS = [
    ["LNT_REF", "LNT_FORE", "LNT_SUR", "LNT_MAIL"],
    ["1", "Ana", "Berg", "a@x.example"],
    ["2", "Bo", "Cruz", "b@x.example"],
]


def test_a_new_template_is_recognised_without_code(
    project: Project, files: Callable[..., Path]
) -> None:
    folder = files(LNT_PUPIL__csv=ROWS)
    assert suggest(folder, project).template is None
    with_template(project, PUPILS)
    assert suggest(folder, Project(project.include, "development")).template == "lantern"


def found(project: Project, folder: Path) -> Suggestion:
    with_template(project, PUPILS)
    return suggest(folder, Project(project.include, "development"))


def test_a_file_is_known_by_its_headers_under_another_name(
    project: Project, files: Callable[..., Path]
) -> None:
    suggestion = found(project, files(export_2__csv=ROWS))
    assert suggestion.template == "lantern"
    assert suggestion.feeds[0].file == ("export_2.csv",)


def test_a_header_with_another_name_becomes_an_alias(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [["LNT_REF", "LNT_FORE", "LNT_SUR", "E-Mail"], *ROWS[1:]]
    suggestion = found(project, files(LNT_PUPIL__csv=rows))
    (feed,) = suggestion.feeds
    assert feed.match is not None
    assert feed.match.aliases == {"LNT_MAIL": "E-Mail"}


def test_a_file_without_a_required_column_is_not_taken_for_the_feed(
    project: Project, files: Callable[..., Path]
) -> None:
    rows = [row[1:] for row in ROWS]
    assert found(project, files(LNT_PUPIL__csv=rows)).template is None
