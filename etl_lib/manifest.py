"""What travels between stages: small values that point at files, never the data itself."""

from __future__ import annotations

from datetime import date, datetime

from pydantic import Field

from etl_lib.config.entity import Model
from etl_lib.config.project import ResolvedMapping
from etl_lib.errors import Fault
from etl_lib.run import folder_name

# Columns of every file of rejected rows (an Arrow file, all strings but `line`):
#   file, line (int64; 0: the whole file), key (null when it cannot be read), column (null: the
#   whole row), code (see messages.py). One line per fault; a row with two faults has two.
REJECT_COLUMNS = ("file", "line", "key", "column", "code")
ROW_HASH = "_hash"  # of a row's cells, in canonical rows and snapshots
LINE_HASH = (
    "_line_hash"  # of the line that a row stands on, in rows as read, canonical rows and snapshots
)
FACTS = "_facts"  # what validate counts of a row that it accepts, in canonical rows and snapshots
ROW_THROUGH = "_through"  # in a snapshot: the row went through the load that wrote it
ROW_FILTERED = "_filtered"  # in a snapshot: a line that a filter leaves out, no row of the entity


def keys_key(run_id: str) -> str:
    """Where the archive keeps which keys a run's delivery held, for tracing one record.

    Parquet, one row per row that was not rejected: feed, entity, key, file, line (int64), outcome
    (sent, deleted: the row says so itself, duplicate, filtered).
    """
    return f"runs/{folder_name(run_id)}/keys.parquet"


def manifest_key(stage: str) -> str:
    """Where a stage leaves its manifest in the run's workspace."""
    return f"{stage}/manifest.json"


def delivery_folder(delivery_seq: int, delivery_id: str) -> str:
    """Where the archive keeps what a delivery was (delivery.json) and how it was read (mapping.json)."""
    return f"deliveries/{delivery_seq}-{delivery_id[:12]}"


SNAPSHOTS = (
    "snapshots"  # the folder of the archive; objects in it go when a later load takes their place
)


def snapshot_key(run_id: str, feed: str, entity: str) -> str:
    """Where the archive keeps the rows of a fill as a run has loaded them; see Snapshot."""
    return f"{SNAPSHOTS}/{folder_name(run_id)}/{feed}.{entity}.arrow"


def mapping_key(run_id: str) -> str:
    """Where the archive keeps the mapping with which a run has read its delivery."""
    return f"runs/{folder_name(run_id)}/mapping.json"


def masked(key: str) -> str:
    """A key that a person can recognise who knows it, and nobody else can read."""
    return f"{key[:2]}***" if len(key) > 4 else "***"


class DeliveredFile(Model):
    """One file as it came, kept in the archive under `archive_key`."""

    name: str
    size_bytes: int
    modified_at: datetime
    sha256: str
    archive_key: str


class Member(Model):
    """One table to read: a delivered file, or a member of a delivered archive, for one feed.

    `shown` is its name in reports: `students.csv`, or `night.zip/students.csv`. `parts` are the
    values of the {parts} of the feed's file pattern.
    """

    feed: str
    file: str
    member: str | None = None
    sha256: str
    parts: dict[str, str] = Field(default_factory=dict)

    @property
    def shown(self) -> str:
        """The name under which people know the table."""
        return f"{self.file}/{self.member}" if self.member else self.file


class Delivery(Model):
    """The set of files of one export, loaded whole or not at all."""

    client_id: str
    delivery_id: str
    delivery_seq: int
    delivered_on: date
    received_at: datetime
    files: tuple[DeliveredFile, ...]
    members: tuple[Member, ...]


class Snapshot(Model):
    """The rows of one (feed, entity) as the client's last load has left them; never those it rejected.

    `key`: an Arrow file in the archive, in the order of the files: ROW_HASH (16 bytes, of the row's cells),
    LINE_HASH (of the line it stood on, null when another line may not be taken for it), FACTS (see
    rules.facts), ROW_THROUGH, ROW_FILTERED, the entity's key, `_deleted` (the row says of itself that it is
    deleted), fields that are needed of unchanged rows too, and hashes of values that no two rows should
    share. Of a row that a filter leaves out it has LINE_HASH and the key, where lines are known at all.
    `basis`: what else decides what becomes of such a row; under another one the snapshot says nothing.
    """

    feed: str
    entity: str
    key: str
    sha256: str
    basis: str


class KnownFill(Model):
    """What is remembered of a table's known rows for one of the entities that it fills.

    `rows_filtered`: so many a filter leaves out. `facts`: of how many of the others each of the facts is
    true, see rules.facts.
    """

    entity: str
    snapshot: Snapshot
    rows_filtered: int
    facts: tuple[int, ...]


class KnownRows(Model):
    """Rows of a table that need not be read, since the last load had the same lines.

    `key`: an Arrow file in the run's workspace, by line: `_line`, and by the name of each entity that the feed
    fills the row's place in that snapshot, all int32.
    """

    key: str
    rows: int
    fills: tuple[KnownFill, ...]

    def of(self, entity: str) -> KnownFill:
        """What is remembered for the entity."""
        return next(one for one in self.fills if one.entity == entity)


class ReadTable(Model):
    """One member after the reading pass.

    `rows_key`: an Arrow file in the run's workspace, one row per accepted row but the `known` ones: `_line`
    int64 (physical line on which the record starts, the first line of the file is 1), then a string
    column for each column of the feed that the file has (named as the mapping names it, cells untouched:
    not trimmed, empty stays empty), then one for each file-name part as `{part}`. `line_form`: there is
    LINE_HASH as well, of lines written in this way (null for a row that is not one plain line).
    `rejects_key`: an Arrow file with REJECT_COLUMNS of the rows that could not be read.
    rows_read = rows_accepted + rows_rejected. `columns`: mapping names that the file has.
    `entities`: of those of the feed whose rows they are, None for all; when only rejected rows are
    run again, the whole tables are of none and stand beside for look-ups and facts.
    """

    feed: str
    shown: str
    rows_key: str
    rejects_key: str
    rows_read: int
    rows_accepted: int
    rows_rejected: int
    columns: tuple[str, ...]
    unknown_columns: tuple[str, ...] = ()
    notes: tuple[str, ...] = Field((), description="What was found out: encoding, delimiter, …")
    entities: tuple[str, ...] | None = None
    known: KnownRows | None = None
    line_form: str = ""


class Extracted(Model):
    """The delivery, the mapping that the whole run uses, and the tables read."""

    resolved: ResolvedMapping
    delivery: Delivery
    nothing_new_since: date | None = Field(
        None, description="Set: identical to the delivery of this day; nothing was read."
    )
    tables: tuple[ReadTable, ...] = ()
    notes: tuple[Fault, ...] = Field((), description="What stops nothing and is worth a word.")

    def tables_of(self, feed: str) -> tuple[ReadTable, ...]:
        """The whole tables of a feed, in the order of the delivery."""
        return tuple(table for table in self.tables if table.feed == feed and not table.entities)

    def tables_for(self, feed: str, entity: str) -> tuple[ReadTable, ...]:
        """The tables whose rows are run for an entity: the whole ones, or those of its rejected rows."""
        return tuple(
            table
            for table in self.tables
            if table.feed == feed and (table.entities is None or entity in table.entities)
        )


class ValidatedFill(Model):
    """How the rows of one (feed, entity) were judged.

    rows_read (all tables of the feed, rejected ones included) = rows_filtered + rows_rejected +
    rows_accepted. `rejects_key`: an Arrow file with REJECT_COLUMNS, without those of the reading pass.
    """

    feed: str
    entity: str
    rows_read: int
    rows_filtered: int
    rows_rejected: int
    rows_accepted: int
    rejects_key: str
    rejected_by_code: dict[str, int] = Field(default_factory=dict)
    repeated_keys: int = Field(
        0, description="Accepted rows whose key another one has too, of those that were read."
    )
    may_be_mixed: bool = Field(
        False,
        description="A column may be written in two formats: what a row is hangs on others too.",
    )


class Hold(Model):
    """One reason why a person must approve: which limit, how far over."""

    feed: str
    entity: str
    limit: str
    allowed: float
    found: float
    text: str
    code: str = "HOLD_LIMIT"

    @classmethod
    def of_undone(cls, text: str) -> Hold:
        """The delivery was undone: it is never loaded again unasked, whatever it changes."""
        return cls(
            feed="",
            entity="",
            limit="undone",
            allowed=0,
            found=1,
            text=text,
            code="UNDONE_DELIVERY",
        )


class Validated(Model):
    """The judgement over the delivery; `suite_results_key`: Great Expectations' own JSON, in the archive."""

    fills: tuple[ValidatedFill, ...]
    holds: tuple[Hold, ...] = ()
    expectations: int
    expectations_failed: int
    suite_results_key: str

    def of(self, feed: str, entity: str) -> ValidatedFill:
        """The fill's judgement."""
        return next(f for f in self.fills if (f.feed, f.entity) == (feed, entity))


class TransformedFill(Model):
    """The canonical rows of one (feed, entity).

    `rows_key`: an Arrow file, one row per distinct key: the entity's fields that the feed fills, typed
    (`columns`: id, text, enum: string; integer: int64; decimal: decimal128; boolean; date: date32;
    timestamp: timestamp[us, UTC]; arrays: list<string>), then `extra` (JSON text or null),
    `_deleted` bool, `_file` string, `_line` int64.
    rows_in = rows_out + rows_rejected + rows_duplicate + rows_unchanged.
    `snapshot`: the fill's rows as they are when the load rejects nothing, in the archive already; those that
    have not gone through are `rows_unchanged`, and not among the canonical ones. None: not compared.
    `base_key`: the snapshot that they were found in.
    """

    feed: str
    entity: str
    rows_in: int
    rows_out: int
    rows_rejected: int
    rows_duplicate: int
    rows_unchanged: int = 0
    rows_key: str
    snapshot: Snapshot | None = None
    base_key: str = ""
    rejects_key: str
    columns: tuple[str, ...]
    defaulted: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="Of `columns` those that hold a default for want of a column, by field the files "
        "(as `_file` has them) without it: new rows take it, a stored value is not replaced.",
    )
    clears: tuple[str, ...] = Field(
        (),
        description="Fields that a row clears, although its blanks keep, by naming them in the "
        "column `_cleared` (list<string>) of the rows; none: there is no such column.",
    )
    shared_values: dict[str, int] = Field(
        default_factory=dict,
        description="By field that should be each row's own (`unique_warn`): rows that share a value.",
    )
    has_unreadable_key: bool = Field(
        False, description="A row whose key cannot be known: absence then deletes nothing."
    )


class Transformed(Model):
    """All canonical rows, in load order."""

    fills: tuple[TransformedFill, ...]


class Counts(Model):
    """What became of the rows of one (feed, entity): what the database did."""

    feed: str
    entity: str
    read: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted_by_row: int = 0
    rejected: int = 0
    duplicates: int = 0
    filtered: int = 0
    deleted_by_absence: int = 0
    restored: int = 0
    unresolved: int = 0

    def assert_adds_up(self) -> None:
        """Raise AssertionError unless every row read is accounted for exactly once."""
        parts = (
            self.inserted + self.updated + self.unchanged + self.deleted_by_row
            + self.rejected + self.duplicates + self.filtered
        )  # fmt: skip
        if parts != self.read:
            raise AssertionError(
                f"{self.feed}.{self.entity}: {self.read} rows read, {parts} accounted for"
            )


class Loaded(Model):
    """The counts of the delivery; `holds` non-empty: rolled back, a person decides."""

    status: str
    counts: tuple[Counts, ...]
    holds: tuple[Hold, ...] = ()
    said: str = Field("", description="What an undo says of itself.")
    repeated: bool = Field(False, description="The run had been loaded before; nothing was done.")
