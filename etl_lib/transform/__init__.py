"""Accepted source rows to canonical rows with pandas: prepare, cast, the mapping's hook, duplicates."""

from etl_lib.transform.feed import transform

__all__ = ["transform"]
