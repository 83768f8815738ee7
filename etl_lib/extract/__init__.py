"""Finds a delivery, keeps its original bytes, and reads it: CSV to columns of text with line numbers."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from etl_lib.extract.archived import Archived, recall
    from etl_lib.extract.delivery import Known, Sighting, anything_new, extract, look
    from etl_lib.extract.pgp import PgpKeys, keys_of_environment
    from etl_lib.extract.sources import (
        Listing,
        LocalSource,
        RemoteFile,
        S3Source,
        SftpSource,
        Source,
    )
    from etl_lib.extract.tables import read_whole
    from etl_lib.extract.trial import Trial, trial_of

__all__ = [
    "Archived",
    "Known",
    "Listing",
    "LocalSource",
    "PgpKeys",
    "RemoteFile",
    "S3Source",
    "SftpSource",
    "Sighting",
    "Source",
    "Trial",
    "anything_new",
    "extract",
    "keys_of_environment",
    "look",
    "read_whole",
    "recall",
    "trial_of",
]

# Imported when they are asked for: who only reads a file does not start with what fetching one needs.
_HOMES = {
    "Archived": "archived",
    "Known": "delivery",
    "Listing": "sources",
    "LocalSource": "sources",
    "PgpKeys": "pgp",
    "RemoteFile": "sources",
    "S3Source": "sources",
    "SftpSource": "sources",
    "Sighting": "delivery",
    "Source": "sources",
    "Trial": "trial",
    "anything_new": "delivery",
    "extract": "delivery",
    "keys_of_environment": "pgp",
    "look": "delivery",
    "read_whole": "tables",
    "recall": "archived",
    "trial_of": "trial",
}


def __getattr__(name: str) -> Any:
    """A name of this package; raises AttributeError for any other."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
