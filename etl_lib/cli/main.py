"""The `etl` command; exit code 0: done, 1: the data says no (faults, a hold), 2: bad input or set-up."""

from __future__ import annotations

import os

import typer

from etl_lib.cli.check import check, schema
from etl_lib.cli.decide import approve, refuse
from etl_lib.cli.docs import docs
from etl_lib.cli.doctor import doctor
from etl_lib.cli.guide import guide
from etl_lib.cli.impact import impact
from etl_lib.cli.many import many
from etl_lib.cli.migrate import migrate
from etl_lib.cli.new import new
from etl_lib.cli.preview import preview
from etl_lib.cli.provision import provision
from etl_lib.cli.read import read
from etl_lib.cli.reconcile import expire, reconcile
from etl_lib.cli.replay import replay
from etl_lib.cli.retire import retire
from etl_lib.cli.roles import roles
from etl_lib.cli.run import run
from etl_lib.cli.test import test
from etl_lib.cli.test_drop import test_drop
from etl_lib.cli.trace import trace
from etl_lib.cli.undo import undo
from etl_lib.errors import EtlError, FixTheSetup

app = typer.Typer(
    help="Schools' CSV deliveries become rows in PostgreSQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(new)
app.command()(preview)
app.command()(check)
app.command()(schema)
app.command()(guide)
app.command()(test)
app.command()(impact)
app.command()(docs)
app.command()(migrate)
app.command()(run)
app.command()(replay)
app.command()(test_drop)
app.command()(read)
app.command()(trace)
app.command()(undo)
app.command()(reconcile)
app.command()(expire)
app.command()(roles)
app.command()(approve)
app.command()(refuse)
app.command()(provision)
app.command()(doctor)
app.command()(retire)
app.add_typer(many, name="many")


def main() -> None:
    """Entry point: an error is printed in people's words and ends with exit code 2.

    What nobody foresaw shows its traceback only with ETL_DEBUG=1: it may hold values of the data.
    """
    try:
        app()
    except EtlError as error:
        typer.echo(str(error), err=True)
        raise SystemExit(2) from None
    except Exception as error:
        if os.environ.get("ETL_DEBUG"):
            raise
        unforeseen = FixTheSetup.of("INTERNAL", f"{type(error).__name__}; ETL_DEBUG=1 shows where.")
        typer.echo(str(unforeseen), err=True)
        raise SystemExit(2) from None
