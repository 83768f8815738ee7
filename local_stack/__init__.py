"""The local twin of production: PostgreSQL 18, S3, SFTP and Airflow on one machine, without root or Docker."""

from local_stack.stack import Stack

__all__ = ["Stack"]
