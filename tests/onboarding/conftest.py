"""What tests of onboarding share with those of the command."""

from tests.cli.conftest import etl, include

__all__ = ["etl", "include"]
