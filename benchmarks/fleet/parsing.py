"""What parsing the DAG file costs, beside dag-factory with the same DAGs, and for the one DAG of a task."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import sysconfig
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from benchmarks.fleet.project import client_ids, make_project, write_mapping
from benchmarks.results import Figure, Table
from benchmarks.throwaway import SCRIPTS, environment
from etl_lib.airflow_edge.described import describe, keep_described
from etl_lib.config.project import Project

SHARE, TASK_S = 0.35, 0.2
_FACTORY_FILE = """from dagfactory import load_yaml_dags

load_yaml_dags(globals(), config_filepath={config!r})
"""
_STAGES = ("extract", "validate", "transform", "load", "report")


def measured(folder: Path, clients: int, rounds: int) -> tuple[list[Figure], list[Table]]:
    """Medians of `rounds` interleaved processes: ours and the peer's, with as many DAGs and with twice."""
    ours: dict[int, tuple[float, ...]] = {}
    theirs: dict[int, tuple[float, ...]] = {}
    requirements = SCRIPTS / "requirements-fleet.txt"
    with environment(requirements) as python:
        _share_packages(python)
        files = {}
        for number in (clients, 2 * clients):
            include = make_project(folder / f"of_{number}", client_ids(number))
            for client_id in client_ids(number):
                write_mapping(include, client_id, schedule="0 2 * * *")
            _as_snapshot(include)
            files[number] = (
                include.parent / "dags" / "integrations.py",
                _for_factory(folder / f"factory_{number}", number, include),
            )
        found: dict[tuple[str, int], list[dict[str, Any]]] = {}
        for _ in range(rounds):
            for number, (own, peer) in files.items():
                found.setdefault(("ours", number), []).append(
                    _parsed(Path(sys.executable), own, folder)
                )
                found.setdefault(("theirs", number), []).append(_parsed(python, peer, folder))
    for (whose, number), times in found.items():
        assert {one["dags"] for one in times} == {number}, "not every DAG was found"
        kept = ours if whose == "ours" else theirs
        kept[number] = tuple(
            statistics.median(one[name] for one in times) for name in ("first_s", "again_s")
        )
    of_one = _of_a_task(folder, clients, rounds)
    figures = [
        Figure(f"Parse of {clients} mappings, {what}, against dag-factory 1.1",
               f"{ours[clients][at]:.2f} CPU s, {ours[clients][at] / theirs[clients][at]:.2f}x",
               f"{SHARE}x or less", ours[clients][at] <= SHARE * theirs[clients][at])
        for at, what in enumerate(("cold", "warm"))
    ]  # fmt: skip
    growth = ours[2 * clients][0] / ours[clients][0]
    figures.append(
        Figure(f"{2 * clients} mappings against {clients}", f"{growth:.2f}x", "linear: 2.2x or less", growth <= 2.2)
    )  # fmt: skip
    more_s = of_one[clients] - of_one[1]
    figures.append(
        Figure(
            f"Building the one DAG of a task, with {clients} mappings present instead of one",
            f"{more_s:+.2f} CPU s ({of_one[clients]:.2f})", f"{TASK_S} CPU s or less", more_s <= TASK_S,
        )
    )  # fmt: skip
    rows = [
        [whose, str(number), *(f"{value:.2f}" for value in kept[number])]
        for whose, kept in (("this product", ours), ("dag-factory 1.1", theirs))
        for number in sorted(kept)
    ]
    title = "Parsing, CPU seconds in a process that has imported Airflow"
    return figures, [Table(title, ("", "DAGs", "cold", "warm"), rows)]


def _as_snapshot(include: Path) -> None:
    """What the bundle puts beside the mappings when one has changed."""
    project = Project(include, "development")
    found = {client_id: describe(project, client_id) for client_id in project.client_ids()}
    assert not any(one.mistake for one in found.values()), "a mapping is broken"
    keep_described(include.parent, "development", found)


def _parsed(python: Path, file: Path, folder: Path, **more: str) -> dict[str, Any]:
    environ = {**_environ(folder), **more}
    command = [str(python), str(SCRIPTS / "parse.py"), str(file)]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def _environ(folder: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AIRFLOW", "ETL_"))}
    return {
        **kept,
        "AIRFLOW_HOME": str(folder / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "ETL_ENVIRONMENT": "development",
        "PYTHONPATH": str(SCRIPTS.parents[1]),
    }


def _share_packages(python: Path) -> None:
    """Let the peer's environment see Airflow and our operators, which its DAGs are made of as well."""
    paths = sysconfig.get_paths(
        vars={"base": str(python.parents[1]), "platbase": str(python.parents[1])}
    )
    link = Path(paths["purelib"]) / "shared.pth"
    link.write_text(sysconfig.get_paths()["purelib"] + "\n")


def _for_factory(folder: Path, number: int, include: Path) -> Path:
    """The same DAGs in the peer's YAML; gives its DAG file."""
    folder.mkdir()
    given = {"include": str(include)}
    dags: dict[str, Any] = {}
    for client_id in client_ids(number):
        tasks = {}
        for at, stage in enumerate(_STAGES):
            operator = f"etl_lib.airflow_edge.tasks.{stage.title()}Operator"
            before = [_STAGES[at - 1]] if at else []
            tasks[stage] = {
                "operator": operator,
                "client_id": client_id,
                **given,
                "dependencies": before,
            }
        dags[client_id] = _described(client_id, tasks)
    (folder / "dags.yaml").write_text(yaml.safe_dump(dags, sort_keys=False))
    (folder / "factory.py").write_text(_FACTORY_FILE.format(config=str(folder / "dags.yaml")))
    return folder / "factory.py"


def _described(client_id: str, tasks: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "default_args": {"owner": "Ana Torres", "retries": 3, "start_date": "2026-01-01"},
        "schedule": "0 2 * * *",
        "catchup": False,
        "max_active_runs": 3,
        "description": f"{client_id} (Plain CSV)",
        "doc_md": f"**{client_id}** sends files out of Plain CSV. Responsible: Ana Torres.",
        "tags": ["Plain CSV", "Ana Torres", "development"],
        "tasks": tasks,
    }


def _of_a_task(folder: Path, clients: int, rounds: int) -> dict[int, float]:
    """CPU seconds until a task's process has its own DAG, by the number of mappings present."""
    single = make_project(folder / "of_1", client_ids(1))
    _as_snapshot(single)
    files = {1: single.parent, clients: folder / f"of_{clients}"}
    found: dict[int, list[float]] = {}
    for _ in range(rounds):
        for number, project in files.items():
            file = project / "dags" / "integrations.py"
            context = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": client_ids(1)[0]}
            one = _parsed(Path(sys.executable), file, folder, **context)
            assert one["dags"] == 1
            found.setdefault(number, []).append(one["first_s"])
    return {number: statistics.median(times) for number, times in found.items()}
