"""Loads a school's OneRoster files into PostgreSQL with COPY + MERGE: `roster_into_postgres.py URL FOLDER`.

Each file goes into an unlogged table of text, and one MERGE for each table that is filled from it casts and
leaves alone what is the same. The rows end in the schema `peer`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import psycopg

_BLOCK_BYTES = 8 << 20
_STAFF = "role IN ('teacher', 'administrator', 'proctor', 'aide')"
_ROLE_KEY = 'concat_ws(\'|\', "sourcedId", role, "orgSourcedIds")'
_ENROLLMENT = {
    "section_id": '"classSourcedId"', "person_id": '"userSourcedId"', "role": "role", "status": "status",
    "start_date": "\"beginDate\"::date", "end_date": "\"endDate\"::date",
}  # fmt: skip
# By table: its file, its key, which rows of the file, and each further column with what it is made of.
TABLES: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "organization": ("orgs", '"sourcedId"', "true",
                     {"name": "name", "type": "type", "code": "identifier", "parent_id": '"parentSourcedId"'}),
    "term": ("academicSessions", '"sourcedId"', "true",
             {"name": "title", "type": "type", "start_date": "\"startDate\"::date", "end_date": "\"endDate\"::date"}),
    "section": ("classes", '"sourcedId"', "true",
                {"name": "title", "status": "status", "section_code": '"classCode"', "type": '"classType"',
                 "organization_id": '"schoolSourcedId"', "term_id": '"termSourcedIds"'}),
    "person": ("users", '"sourcedId"', "true",
               {"status": '"enabledUser"', "display_number": "identifier", "username": "username",
                "email": "email", "given_name": '"givenName"', "middle_name": '"middleName"',
                "family_name": '"familyName"', "grade_level": "grades",
                "primary_organization_id": '"orgSourcedIds"'}),
    "person_role": ("users", _ROLE_KEY, "true",
                    {"person_id": '"sourcedId"', "role": "role", "organization_id": '"orgSourcedIds"'}),
    "section_staff": ("enrollments", '"sourcedId"', _STAFF, {**_ENROLLMENT, "is_primary": '"primary"'}),
    "enrollment": ("enrollments", '"sourcedId"', f"NOT {_STAFF}", _ENROLLMENT),
}  # fmt: skip


def load(url: str, folder: Path) -> None:
    """All files in one transaction."""
    with psycopg.connect(url) as connection:
        connection.execute("CREATE SCHEMA IF NOT EXISTS peer")
        for file in dict.fromkeys(file for file, *_ in TABLES.values()):
            _stage(connection, folder / f"{file}.csv")
        for name, (file, key, rows, columns) in TABLES.items():
            _merge(connection, name, file, key, rows, columns)
        for file in dict.fromkeys(file for file, *_ in TABLES.values()):
            connection.execute(f'DROP TABLE peer."{file}"'.encode())


def _stage(connection: psycopg.Connection[tuple[object, ...]], path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.readline().decode().strip()
        columns = ", ".join(f'"{name}" text' for name in head.split(","))
        connection.execute(f'CREATE UNLOGGED TABLE peer."{path.stem}" ({columns})'.encode())
        copy = f'COPY peer."{path.stem}" FROM STDIN (FORMAT csv)'
        with connection.cursor().copy(copy.encode()) as sink:
            while block := stream.read(_BLOCK_BYTES):
                sink.write(block)


def _merge(
    connection: psycopg.Connection[tuple[object, ...]], name: str, file: str, key: str, rows: str,
    columns: dict[str, str],
) -> None:  # fmt: skip
    typed = ", ".join(
        f"{column} {'date' if made.endswith('::date') else 'text'}" for column, made in columns.items()
    )  # fmt: skip
    connection.execute(
        f"CREATE TABLE IF NOT EXISTS peer.{name} (id text PRIMARY KEY, {typed})".encode()
    )
    made = ", ".join(f"{made} AS {column}" for column, made in columns.items())
    old, new = (", ".join(f"{side}.{column}" for column in columns) for side in "ts")
    statement = f"""
        MERGE INTO peer.{name} t USING (SELECT {key} AS id, {made} FROM peer."{file}" WHERE {rows}) s ON t.id = s.id
        WHEN MATCHED AND ({old}) IS DISTINCT FROM ({new})
        THEN UPDATE SET {", ".join(f"{column} = s.{column}" for column in columns)}
        WHEN NOT MATCHED THEN INSERT (id, {", ".join(columns)}) VALUES (s.id, {new})"""  # noqa: S608 (constants only)
    connection.execute(statement.encode())


if __name__ == "__main__":
    load(sys.argv[1], Path(sys.argv[2]))
