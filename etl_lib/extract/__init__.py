"""Finds a delivery, keeps its original bytes, and reads it: CSV to Parquet of text with line numbers."""

from etl_lib.extract.again import KeptDelivery, kept_delivery, read_again
from etl_lib.extract.delivery import Sighting, extract, look
from etl_lib.extract.sources import LocalSource, RemoteFile, S3Source, SftpSource, Source

__all__ = [
    "KeptDelivery",
    "LocalSource",
    "RemoteFile",
    "S3Source",
    "SftpSource",
    "Sighting",
    "Source",
    "extract",
    "kept_delivery",
    "look",
    "read_again",
]
