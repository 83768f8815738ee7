"""Judges the whole delivery with Great Expectations; bad rows become rejected rows, too many stop it."""

from etl_lib.validate.delivery import validate

__all__ = ["validate"]
