"""The process of the `etl` command: `etl`, or `python -m etl_lib.cli` where the package is not installed."""

import gc

# A short process whose modules live as long as it does: looking through them for garbage again and again,
# and once more at the end, took 1.1 of the 3.7 CPU s of a small load.
gc.set_threshold(100_000, 20, 20)

from etl_lib.cli.main import main  # noqa: E402


def start() -> None:
    """Run the command; ends with its exit code."""
    try:
        main()
    finally:
        gc.freeze()


if __name__ == "__main__":
    start()
