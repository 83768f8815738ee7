"""Finds a delivery, keeps its original bytes, and reads it: CSV to Parquet of text with line numbers."""

from etl_lib.extract.archived import Archived, recall
from etl_lib.extract.delivery import Known, Sighting, anything_new, extract, look
from etl_lib.extract.pgp import PgpKeys, keys_of_environment
from etl_lib.extract.sources import Listing, LocalSource, RemoteFile, S3Source, SftpSource, Source

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
    "anything_new",
    "extract",
    "keys_of_environment",
    "look",
    "recall",
]
