"""Every sample school, both nights, end to end: the counts are those that were worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from etl_lib.cli.run import at_rest
from etl_lib.config.project import Project
from etl_lib.extract import LocalSource
from etl_lib.metrics.status import GREEN
from etl_lib.pipeline import run_all
from etl_lib.report import Outcome
from etl_lib.run import Run, Wishes
from etl_lib.storage import Storage
from sample_data.metro import write_metro

INCLUDE = Path(__file__).parents[1] / "include"
SAMPLES = sorted(path.parent.name for path in INCLUDE.glob("samples/*/expected_counts.yaml"))
NAMES = (
    "read", "inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates",
    "filtered", "deleted_by_absence", "restored",
)  # fmt: skip


def load_night(
    folder: Path, database_url: str, client_id: str, files: Path, run_id: str
) -> Outcome:
    project = Project(INCLUDE, "development")
    home = Storage.local(folder)
    run = Run(
        client_id=client_id, dag_id=client_id, run_id=run_id, started_at=datetime.now(UTC),
        database_url=database_url, archive=home.at("archive"), workspace=home.at("staging", run_id),
        outbox=home.at("outbox"), wishes=Wishes(),
    )  # fmt: skip
    outcome, _ = run_all(
        run, project, lambda: at_rest(project.resolve(client_id)), LocalSource(files)
    )
    return outcome


def counted(outcome: Outcome) -> dict[str, dict[str, int]]:
    return {
        f"{c.feed}.{c.entity}": {n: v for n in NAMES if (v := getattr(c, n))}
        for c in outcome.counts
    }


@pytest.mark.parametrize("client_id", SAMPLES)
def test_sample_school_loads_both_nights_with_the_expected_counts(
    client_id: str, tmp_path: Path, database_url: str
) -> None:
    expected = yaml.safe_load(
        (INCLUDE / "samples" / client_id / "expected_counts.yaml").read_text()
    )
    for night in ("night_1", "night_2"):
        files = INCLUDE / "samples" / client_id / night
        if client_id == "metro":  # 100,000 enrollments and results: too large to be committed
            files = tmp_path / "files" / night
            write_metro(files, int(night[-1]), 100_000)
        outcome = load_night(tmp_path, database_url, client_id, files, night)
        assert outcome.status in GREEN, outcome.sentence
        want = {
            fill: {n: v for n, v in counts.items() if n in NAMES and v}
            for fill, counts in expected[night].items()
            if isinstance(counts, dict)
        }
        assert counted(outcome) == want, f"{client_id} {night}"
