"""Finds a delivery, keeps its original bytes, and reads it: CSV to Parquet of text with line numbers."""

from etl_lib.extract.delivery import Sighting, extract, look
from etl_lib.extract.sources import LocalSource, RemoteFile, S3Source, SftpSource, Source

__all__ = [
    "LocalSource",
    "RemoteFile",
    "S3Source",
    "SftpSource",
    "Sighting",
    "Source",
    "extract",
    "look",
]
