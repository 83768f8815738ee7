"""The `etl` command: one module per group of sub-commands."""
