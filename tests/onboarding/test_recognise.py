"""The template is found by what the templates themselves say."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from etl_lib.config.project import Project
from etl_lib.onboarding.suggest import Suggestion, suggest
from tests.onboarding.conftest import REPO, SETS

SAMPLES = REPO / "include" / "samples"


@pytest.mark.parametrize(
    ("client", "template"),
    [
        ("lakeside", "oneroster_1_1"),
        ("maple_street", "oneroster_1_1"),  # one zip
        ("northgate", "oneroster_1_2"),
        ("harbor_college", "canvas_sis"),
        ("san_rafael", "banner"),
        ("prairie_state", "peoplesoft"),
        ("ashford", "plain"),
        ("westbrook", None),  # headers of its own
    ],
)
def test_the_samples_of_each_system_are_recognised(
    project: Project, client: str, template: str | None
) -> None:
    assert suggest(SAMPLES / client / "night_1", project).template == template


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
