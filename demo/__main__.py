"""`make demo`: start the local stack, load every sample school's two nights, stay up until Ctrl-C."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import httpx
import typer
from rich.console import Console

from demo.nights import NIGHTS, Nights, Result, shown
from etl_lib.config.project import Project
from etl_lib.errors import EtlError
from etl_lib.load.tables import migrate_if_needed
from local_stack import Stack
from local_stack.airflow_api import AirflowApi
from local_stack.processes import StackError
from local_stack.stack import default_home

REPO = Path(__file__).parents[1]
_REFRESH_S = 5


def demo(
    leave: Annotated[bool, typer.Option("--exit", help="End by itself; 0 only if all went as expected.")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the tables here.")] = None,
    pictures: Annotated[Path | None, typer.Option(help="Take the README's pictures into this folder.")] = None,
) -> None:  # fmt: skip
    """Start the local stack, load every sample school's two nights, stay up until Ctrl-C."""
    console = Console(width=None if sys.stdout.isatty() else 140)
    began = time.monotonic()

    def step(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}", highlight=False)

    try:
        ok = _play(console, step, leave, json_file, pictures)
    except (StackError, EtlError) as error:
        console.print(f"[red]{error}[/red]", highlight=False)
        raise typer.Exit(2) from None
    except httpx.HTTPError as error:
        console.print(
            f"[red]Airflow did not answer: {error}. Its logs: {default_home(REPO)}/logs[/red]"
        )
        raise typer.Exit(2) from None
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    raise typer.Exit(0 if ok else 1)


def _play(
    console: Console, step: Callable[[str], None], leave: bool, json_file: Path | None,
    pictures: Path | None,
) -> bool:  # fmt: skip
    project = Project(REPO / "include", "development")
    clients = [c for c in project.client_ids() if (REPO / "include" / "samples" / c).is_dir()]
    servers = [c for c in clients if project.resolve(c).mapping.source.type == "sftp"]
    bundle = {
        "name": "integrations",
        "classpath": "etl_lib.airflow_edge.bundle.SnapshotBundle",
        "kwargs": {"project": str(REPO), "refresh_interval": _REFRESH_S},
    }
    stack = Stack(
        default_home(REPO), REPO, clients, servers, bundles=[bundle], on_step=step
    )  # fmt: skip
    with stack:
        airflow = stack.airflow
        assert airflow is not None
        step("ETL database: making or migrating its tables")
        migrate_if_needed(stack.etl_database_url, project.entities)
        api = AirflowApi(airflow.url, "admin", airflow.password("admin"))
        step("Airflow: waiting until it knows every integration")
        api.wait_for_dags(set(clients))
        _address(console, airflow.url, airflow.password("admin"))
        nights = Nights(stack, api, REPO / "include" / "samples", console)
        found: list[Result] = []
        for night in NIGHTS:
            expected = nights.expectations(clients, night)
            if not expected:
                step(f"{night.replace('_', ' ')}: was loaded by an earlier demonstration")
                continue
            step(
                f"{night.replace('_', ' ')}: uploading with each client's own key, then triggering"
            )
            of_night = nights.play(night, expected)
            found += of_night
            shown(console, night, of_night)
        if json_file:
            text = json.dumps([r.as_dict() for r in found], indent=2, default=str)
            json_file.write_text(text + "\n", encoding="utf-8")
        if pictures:
            from demo.pictures import take_pictures  # a browser is not needed otherwise

            for path in take_pictures(airflow.url, "admin", airflow.password("admin"), pictures):
                step(f"picture {path}")
        ok = not any(r.differences for r in found)
        step("every integration ended as expected" if ok else "not everything ended as expected")
        _address(console, airflow.url, airflow.password("admin"))
        if not leave:
            console.print("Stays up until Ctrl-C.")
            signal.pause()
        return ok


def _address(console: Console, url: str, password: str) -> None:
    login = f"user [bold]admin[/bold]  password [bold]{password}[/bold]"
    console.print(f"[bold]Airflow: {url}[/bold]  {login}")


if __name__ == "__main__":
    typer.run(demo)
