"""`python -m etl_lib.cli` is the `etl` command, where the package is not installed."""

from etl_lib.cli.main import main

main()
