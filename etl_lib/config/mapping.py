"""What a mapping says: where a client's files come from and how their columns become ours."""

from __future__ import annotations

import re
from datetime import date, datetime, time
from fractions import Fraction
from functools import cache, cached_property
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator

from etl_lib.config.entity import Model, Name
from etl_lib.config.pauses import Announced, AnnouncedDays, Pause, Pauses, covering
from etl_lib.config.room import PoolName, Resources
from etl_lib.config.school_days import Rhythm, SchoolCalendar

CLIENT_ID = r"^[a-z][a-z0-9_]{1,47}$"
ClientId = Annotated[str, Field(pattern=CLIENT_ID)]
FILE_PART = re.compile(r"\{([a-z][a-z0-9_]*)\}")
# The keys of a column rule that say where its value comes from.
ORIGINS = frozenset({"from", "constant", "concat", "coalesce", "lookup"})


def _as_text(value: Any) -> Any:
    """YAML's `1` and `true` stand for the text that a CSV file would hold."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int | float) else value


def _as_tuple(value: Any) -> Any:
    """One value may be written without brackets."""
    return (value,) if isinstance(value, str | int | float | bool) else value


Text = Annotated[str, BeforeValidator(_as_text, json_schema_input_type=str | bool | int | float)]


def _no_public(role: str) -> str:
    if role == "Public":
        raise ValueError("`Public` is everybody, also without a login; name another role")
    return role


Texts = Annotated[
    tuple[Text, ...], BeforeValidator(_as_tuple, json_schema_input_type=Text | tuple[Text, ...])
]
ScopePath = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]
ScopePaths = Annotated[
    tuple[ScopePath, ...],
    BeforeValidator(_as_tuple, json_schema_input_type=ScopePath | tuple[ScopePath, ...]),
]
# "Public" is what Airflow gives to somebody who has not logged in
Role = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9 _.-]{0,63}$"), AfterValidator(_no_public)]
Roles = Annotated[
    tuple[Role, ...], BeforeValidator(_as_tuple, json_schema_input_type=Role | tuple[Role, ...])
]


@cache
def _known_zones() -> frozenset[str]:
    """Every IANA name; read from some 600 files, and asked for by each stage that reads a mapping."""
    return frozenset(available_timezones())


def _timezone(value: str) -> str:
    if value not in _known_zones():
        raise ValueError(f"`{value}` is not an IANA time zone such as America/Chicago")
    return value


Share = Annotated[float, Field(ge=0, le=1)]


def part_of(share: float, rows: int) -> Fraction:
    """The share of so many rows as it is written, exactly: 0.57 of 100 is 57, which no float says."""
    return Fraction(str(share)) * rows


class FileFormat(Model):
    """How the text of a feed's files is written; None means: found out from the file."""

    encoding: str | None = Field(
        None,
        description="For example utf-8 or cp1252; none: found out from the file.",
    )
    delimiter: Literal[",", ";", "\t", "|", " ", "tab"] | None = Field(
        None,
        description="None: found out from the file.",
    )
    quote: Literal['"', "'", "none"] | None = Field(
        None,
        description="The sign around values that hold a delimiter; none: found out from the file.",
    )
    escape: Literal["doubled", "backslash"] | None = Field(
        None,
        description="How the quote sign is written inside a value; none: found out from the file.",
    )
    widths: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = Field(
        (),
        description="Of a file without delimiters: the width of each column, in characters.",
    )
    header: bool = Field(True, description="False: no header line; `columns` gives the order.")
    skip_lines: int | None = Field(
        None, ge=0, description="Lines before the header; None: the header is searched for."
    )
    page_headers: bool = Field(
        False,
        description="True: the header is printed again on every page; else what follows a second "
        "header is another table, and its rows are rejected.",
    )
    footer: str | None = Field(
        None, description="Regular expression; from the first line that matches on, no rows."
    )

    @field_validator("encoding")
    @classmethod
    def encoding_known(cls, value: str | None) -> str | None:
        """The encoding is one that Python knows."""
        if value is not None:
            try:
                "".encode(value)
            except LookupError:
                raise ValueError(f"`{value}` is not an encoding such as utf-8 or cp1252") from None
        return value

    @model_validator(mode="after")
    def widths_instead_of_signs(self) -> Self:
        """A file of fixed width has neither delimiter nor quotation marks."""
        if self.widths and (self.delimiter or self.quote or self.escape):
            raise ValueError("`widths` goes without delimiter, quote and escape")
        return self

    @property
    def delimiter_character(self) -> str | None:
        """The delimiter itself (`tab` is how a person writes it)."""
        return "\t" if self.delimiter == "tab" else self.delimiter

    @property
    def quote_character(self) -> str | None:
        """The quotation mark itself, None where values are never quoted or nothing was agreed."""
        return None if self.quote == "none" else self.quote


class ValueFormat(Model):
    """How values are written; given for a feed and, where one differs, for a column."""

    null_tokens: Texts = Field(
        (), description="Texts that mean: no value. An empty cell always does."
    )
    clear_tokens: Texts = Field(
        (),
        description="Texts that mean: take the stored value away, also where `blank: keep`.",
    )
    true_tokens: Texts = Field(
        ("true", "t", "yes", "y", "1"),
        description="Texts that mean yes, in any case.",
    )
    false_tokens: Texts = Field(
        ("false", "f", "no", "n", "0"),
        description="Texts that mean no, in any case.",
    )
    date_formats: Texts = Field(("%Y-%m-%d",), description="strptime formats, tried in order.")
    timestamp_formats: Texts = Field(
        ("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d %H:%M:%S"),
        description="strptime formats, tried in order.",
    )
    decimal: Literal["point", "comma"] = Field(
        "point",
        description="The decimal sign of numbers.",
    )


class SourceColumn(Model):
    """A column of the school's file."""

    aliases: Texts = Field((), description="Other header names under which the column may come.")
    required: bool | None = Field(
        None, description="None: required when a required field of an entity is made from it."
    )
    values: Texts = Field(
        (),
        description="The only values that may stand in it, in any case; a row with another one, or "
        'with none unless "" is among them, is rejected.',
    )
    filled: bool = Field(False, description="Whether a row without a value in it is rejected.")


class Lookup(Model):
    """A column of another feed of the same delivery.

    Takes `column` from the row of `feed` whose column `key` equals this row's column `by`; without
    a value in `by` there is none. `on_unknown` says what becomes of a row whose `by` is not found,
    or whose delivery has no file of that feed: it is rejected, or the field stays without value.
    """

    feed: Name = Field(
        description="The other feed.",
    )
    key: str = Field(
        description="The other feed's column that is searched.",
    )
    by: str = Field(
        description="This feed's column whose value is searched for.",
    )
    column: str = Field(
        description="The other feed's column that is taken.",
    )
    on_unknown: Literal["reject", "null"] = Field(
        "reject",
        description="When nothing is found.",
    )


class Split(Model):
    """One part of a value cut at a separator; `index` counts from 0, -1 is the last."""

    separator: str = Field(
        min_length=1,
        description="Where the value is cut.",
    )
    index: int = Field(
        description="Which part: from 0, -1 is the last.",
    )


class ColumnRule(Model):
    """How one field is made. Exactly one origin, then the steps in the order below.

    Origins: `from` (several names: the first that the file has), `constant`, `concat`, `coalesce`,
    `lookup`. Steps: when, trim, null tokens, split, extract, case, pad, map, sensitive, default.
    """

    from_: Texts = Field(
        (),
        alias="from",
        description="Source column; of several the first that the file has.",
    )
    constant: Text | None = Field(
        None,
        description="The same value in every row.",
    )
    concat: Texts = Field(
        (), description="Source columns, joined; no value when one of them has none."
    )
    separator: str = Field("", description="Between the parts of `concat`.")
    coalesce: Texts = Field((), description="Source columns; the first that has a value.")
    lookup: Lookup | None = Field(
        None,
        description="A column of another feed.",
    )

    trim: bool = Field(
        True,
        description="Without spaces at both ends.",
    )
    null_tokens: Texts | None = Field(
        None,
        description="Instead of those of the feed.",
    )
    when: dict[str, Texts] = Field(
        default_factory=dict,
        description="The value counts only in rows whose column has one of the values (any case); "
        "in other rows there is none.",
    )
    split: Split | None = Field(
        None,
        description="One part of the value.",
    )
    extract: str | None = Field(None, description="Regular expression with one group to keep.")
    case: Literal["upper", "lower", "title"] | None = Field(
        None,
        description="Letters made large, small, or large at the start of words.",
    )
    pad: int | None = Field(None, ge=1, le=255, description="Fill with zeros on the left.")
    width: int | None = Field(
        None,
        ge=2,
        le=255,
        description="How many characters every value has in the file: fewer digits have lost their "
        "zeros and are rejected, which `pad` would put back.",
    )
    map: dict[str, Text | None] = Field(
        default_factory=dict, description="Values of the source (any case) to values of ours."
    )
    on_unmapped: Literal["reject", "null", "keep", "default"] = Field(
        "reject",
        description="What becomes of a value that `map` does not have.",
    )
    default: Text | None = Field(
        None,
        description="When there is no value.",
    )
    blank: Literal["clear", "keep"] = Field(
        "clear",
        description="What no value in the file does to the value stored before: `clear` takes it "
        "away, `keep` leaves it. A column that is not in the file never does anything.",
    )
    sensitive: Literal["keep", "hash", "mask", "drop"] = Field(
        "keep",
        description="Whether the value is kept, replaced by a hash or by a mask, or not read at all.",
    )

    true_tokens: Texts | None = Field(
        None,
        description="Instead of those of the feed.",
    )
    false_tokens: Texts | None = Field(
        None,
        description="Instead of those of the feed.",
    )
    date_formats: Texts | None = Field(
        None,
        description="Instead of those of the feed.",
    )
    timestamp_formats: Texts | None = Field(
        None,
        description="Instead of those of the feed.",
    )
    decimal: Literal["point", "comma"] | None = Field(
        None,
        description="Instead of that of the feed.",
    )
    list_separator: str = Field(",", description="Between the values of an array field.")
    pattern: str | None = Field(None, description="Regular expression that the whole value meets.")

    @field_validator("extract", "pattern")
    @classmethod
    def compiles(cls, value: str | None) -> str | None:
        """The regular expression can be read (Python's syntax, RE2 subset)."""
        if value is not None:
            try:
                re.compile(value)
            except re.error as error:
                raise ValueError(f"the regular expression cannot be read: {error}") from None
        return value

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        """Exactly one of from, constant, concat, coalesce, lookup."""
        origins = (bool(self.from_), self.constant is not None, bool(self.concat),
                   bool(self.coalesce), self.lookup is not None)  # fmt: skip
        if sum(origins) != 1:
            raise ValueError("give exactly one of from, constant, concat, coalesce, lookup")
        if self.extract is not None and re.compile(self.extract).groups != 1:
            raise ValueError("`extract` needs exactly one group in parentheses")
        if self.on_unmapped == "default" and self.default is None:
            raise ValueError("`on_unmapped: default` needs a `default`")
        return self

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every column of the feed's own files (file-name parts as `{part}`) that the rule reads."""
        by = (self.lookup.by,) if self.lookup else ()
        return (*self.from_, *self.concat, *self.coalesce, *by)


def _as_rule(value: Any) -> Any:
    """`field: Header` is short for `field: {from: Header}`; a list gives aliases."""
    return {"from": value} if isinstance(value, str | list | tuple) else value


Rule = Annotated[
    ColumnRule, BeforeValidator(_as_rule, json_schema_input_type=str | tuple[str, ...] | ColumnRule)
]


class EntityFill(Model):
    """How one feed fills one entity."""

    where: dict[str, Texts] = Field(
        default_factory=dict, description="Only rows whose column has one of the values (any case)."
    )
    where_not: dict[str, Texts] = Field(
        default_factory=dict,
        description="Not the rows whose column has one of the values.",
    )
    deleted_when: dict[str, Texts] = Field(
        default_factory=dict, description="Rows that say: delete this record."
    )
    columns: dict[Name, Rule] = Field(
        description="Field of the entity to source column or rule.",
    )
    extra: Texts = Field((), description="Source columns kept as they are in `extra`.")
    hook: str | None = Field(None, description="Python function `etl_hooks.<module>.<function>`.")
    insert: bool = Field(True, description="False: only completes rows that another feed brings.")
    delete_absent: bool | None = Field(None, description="None: as the entity file says.")
    scope_by: ScopePaths = Field(
        (),
        description="Absence deletes only within the values of this field that the file holds; "
        "`section_id.term_id` follows a reference. Of several fields the values that stand together: "
        "the terms of those schools that the file holds.",
    )

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every source column the fill reads, each once, in order."""
        names = [*self.where, *self.where_not, *self.deleted_when]
        names += [c for rule in self.columns.values() for c in (*rule.source_columns, *rule.when)]
        return tuple(dict.fromkeys([*names, *self.extra]))

    @property
    def scope_fields(self) -> tuple[str, ...]:
        """The fields of the entity itself with which `scope_by` begins, each once."""
        return tuple(dict.fromkeys(path.partition(".")[0] for path in self.scope_by))


class HoldLimits(Model):
    """Over one of these a delivery waits for approval; exactly at it passes."""

    rejected_share: Share = Field(
        0.02,
        description="Rejected rows of those read.",
    )
    rejected_rows: int | None = Field(
        None,
        ge=0,
        description="Rejected rows.",
    )
    deleted_share: Share = Field(
        0.10,
        description="Rows deleted of those that were there.",
    )
    updated_share: Share = Field(
        0.75,
        description="Rows updated of those that were there.",
    )
    rows_share_of_last: Share = Field(0.80, description="Fewer rows than this share of last time.")


class FailLimits(Model):
    """Over one of these the run fails."""

    rejected_share: Share = Field(
        0.20,
        description="Rejected rows of those read.",
    )
    rejected_rows: int | None = Field(
        None,
        ge=0,
        description="Rejected rows.",
    )


class Limits(Model):
    """Limits per feed and entity; below `floor_rows` touched rows the shares of hold do not apply."""

    hold: HoldLimits = Field(
        HoldLimits(),
        description="Over one of these a person must approve.",
    )
    fail: FailLimits = Field(
        FailLimits(),
        description="Over one of these nothing is loaded.",
    )
    floor_rows: int = Field(20, ge=0, description="So few rows never hold a delivery by a share.")

    @model_validator(mode="after")
    def hold_below_fail(self) -> Self:
        """A delivery is held before it fails."""
        if self.hold.rejected_share > self.fail.rejected_share:
            raise ValueError(
                "limits.hold.rejected_share must not exceed limits.fail.rejected_share"
            )
        return self


class Expectation(Model):
    """One more Great Expectations expectation on a field of an entity."""

    expectation: str = Field(
        pattern=r"^expect_[a-z_]+$",
        description="Name in Great Expectations.",
    )
    entity: Name = Field(
        description="The entity whose field is judged.",
    )
    kwargs: dict[str, Any] = Field(
        default_factory=dict,
        description="What the expectation takes: `column` and its own arguments.",
    )


class Renames(Model):
    """A feed whose rows give records new ids, before anything else of the delivery is loaded."""

    old: Rule = Field(
        description="The column of the id that the record has; or a rule, as the field of the id has one."
    )
    new: Rule = Field(description="The column of the id that it gets, or a rule.")
    type: Rule = Field(
        description="The column that says what kind of record it is; `{constant: person}` where none does."
    )
    entities: dict[str, tuple[Name, ...]] = Field(
        min_length=1,
        description="Kind (any case) to the entities whose key changes; none: the row is left out.",
    )

    @property
    def named(self) -> frozenset[str]:
        """Every entity whose key some kind changes."""
        return frozenset(name for names in self.entities.values() for name in names)

    @property
    def rules(self) -> dict[str, ColumnRule]:
        """How the ids and the kind are made."""
        return {"old": self.old, "new": self.new, "type": self.type}

    @property
    def source_columns(self) -> tuple[str, ...]:
        """Every source column that is read, each once, in order."""
        names = (n for rule in self.rules.values() for n in (*rule.source_columns, *rule.when))
        return tuple(dict.fromkeys(names))

    @model_validator(mode="after")
    def some_entity(self) -> Self:
        """At least one kind changes the key of something."""
        if not self.named:
            raise ValueError("give at least one kind of record an entity whose key changes")
        if any(rule.lookup for rule in self.rules.values()):
            raise ValueError("ids are changed before any other feed is looked at: no `lookup`")
        return self


class Feed(Model):
    """One kind of file of a client."""

    file: Texts = Field(description="Name patterns: *, ?, {date} and other {parts}.")
    member: str | None = Field(None, description="Pattern of the file inside a zip archive.")
    required: bool = Field(
        True,
        description="Whether a delivery is whole without it.",
    )
    content: Literal["full", "changes"] = Field(
        "full",
        description="Whether a file holds all records or only those that changed.",
    )
    format: FileFormat = Field(
        FileFormat(),
        description="How the text is written.",
    )
    values: ValueFormat = Field(
        ValueFormat(),
        description="How values are written.",
    )
    columns: dict[str, SourceColumn] = Field(
        default_factory=dict,
        description="More about source columns: aliases, required.",
    )
    extra_columns: Literal["ignore", "refuse"] = Field(
        "ignore",
        description="Columns that the mapping does not name.",
    )
    allow_empty: bool = Field(False, description="A file with a header and no row is no fault.")
    min_rows: int = Field(
        0,
        ge=0,
        description="Fewer rows are a fault of the file.",
    )
    limits: Limits = Field(
        Limits(),
        description="Instead of those of the mapping.",
    )
    expectations: tuple[Expectation, ...] = Field(
        (),
        description="More that Great Expectations judges.",
    )
    entities: dict[Name, EntityFill] = Field(
        description="What the feed fills.",
    )
    renames: Renames | None = Field(
        None, description="The feed fills nothing: it says which ids have changed."
    )
    layouts: tuple[Layout, ...] = Field(
        (), description="Other forms of the feed for deliveries from a date on."
    )

    @cached_property
    def source_columns(self) -> tuple[str, ...]:
        """Every column that the feed may read from its files, each once; no file-name parts."""
        names = [
            *self.columns,
            *(self.renames.source_columns if self.renames else ()),
            *(c for fill in self.entities.values() for c in fill.source_columns),
        ]
        return tuple(dict.fromkeys(n for n in names if not FILE_PART.fullmatch(n)))

    def at(self, day: date) -> Feed:
        """The feed as it was laid out on `day`."""
        chosen = self
        for layout in sorted(self.layouts, key=lambda one: one.effective_from):
            if layout.effective_from <= day:
                chosen = layout.feed
        return chosen


class Layout(Model):
    """A feed's form from a date on; the loader completes `feed` from the feed it belongs to."""

    effective_from: date = Field(
        description="The first day of deliveries of this form.",
    )
    feed: Feed


class SourcePlace(Model):
    """Where a client's files lie."""

    type: Literal["s3", "sftp", "local"] = Field(
        "s3",
        description="Where the files lie.",
    )
    conn_id: str = Field(
        "etl_clients",
        description="The Airflow connection.",
    )
    bucket: str | None = Field(None, description="For s3; the environment gives it.")
    path: str = Field(
        "clients/{client_id}/inbox",
        description="The folder; `{client_id}` is filled in.",
    )
    pgp_conn_id: str = Field(
        "etl_pgp",
        description="The Airflow connection with our private key, for files that come encrypted.",
    )


class DeliveryRules(Model):
    """When a set of files is a whole delivery."""

    marker: str | None = Field(None, description="Pattern of a file that says: now it is complete.")
    date_format: str = Field("%Y%m%d", description="strptime format of {date} in file names.")
    stable_s: int = Field(
        60, ge=0, description="Size and time of every file unchanged for so long."
    )
    poll_s: int = Field(
        60,
        ge=1,
        description="Time between two looks.",
    )
    expected_by: time | None = Field(
        None,
        description="Local time by which the school's files are there; later they are late, and still "
        "waited for. None: they are never late.",
    )
    deadline: time | None = Field(
        None,
        description="Local time at which a scheduled run stops waiting: then they are not received.",
    )
    wait_by_hand_s: int = Field(
        300, ge=0, description="So long a run waits that somebody started by hand."
    )
    encryption: Literal["allowed", "required"] = Field(
        "allowed",
        description="Required: a file that is not an OpenPGP message (.pgp, .gpg, .asc) is refused.",
    )
    signed_by: str | None = Field(
        None,
        description="The school's public OpenPGP key, armored; every file must be encrypted and signed "
        "with it.",
    )

    @field_validator("signed_by")
    @classmethod
    def is_a_public_key(cls, value: str | None) -> str | None:
        """The text is an armored public key; a private one has no place in a mapping."""
        if value is None:
            return None
        if "PRIVATE KEY BLOCK" in value:
            raise ValueError(
                "this is a private key, which must stay with the school: not in a mapping"
            )
        from pysequoia import Cert  # only paid by mappings that have one

        try:
            Cert.from_bytes(value.encode())
        except Exception:  # noqa: BLE001 (the library's own words hold a stack of calls)
            raise ValueError("this is not an armored OpenPGP public key") from None
        return value

    @field_validator("expected_by", "deadline", mode="before")
    @classmethod
    def from_hours(cls, value: Any) -> Any:
        """`06:00` is local time of the client."""
        return time.fromisoformat(value) if isinstance(value, str) else value


class Mapping(Model):
    """One client's integration, with all layers merged."""

    client_id: ClientId
    client: str = Field(description="The school's name as people write it.")
    account_number: str | None = Field(
        None,
        description="Under which account managers know the school.",
    )
    sis: str = Field(description="Name of the student information system.")
    owner: str = Field(description="Who is responsible on our side.")
    contacts: Texts = Field((), description="Mail addresses of the school for reports.")
    language: str = Field(
        "en",
        pattern=r"^[a-z]{2}$",
        description="The school's language, of its onboarding guide: a file of `include/languages`.",
    )
    export_help: Name | None = Field(
        None,
        description="How the school's system exports on a schedule: a text under `exports` of the "
        "language files; the template names it.",
    )
    examples: dict[Name, dict[str, Texts]] = Field(
        default_factory=dict,
        description="For the example files of the guide: feed to column to invented values, row by row, "
        "where those that are worked out do not fit.",
    )
    viewers: Roles = Field((), description="Airflow roles that may see this client.")
    operators: Roles = Field(
        (), description="Airflow roles that may also act on it: check now, acknowledge, approve."
    )
    schedule: str | None = Field(None, description="cron in the client's time zone; none: by hand.")
    timezone: Annotated[str, AfterValidator(_timezone)] = Field(
        "UTC",
        description="IANA name; of the schedule, the calendar, the hours, and times without a zone.",
    )
    start_date: date | None = Field(
        None,
        description="Backfills reach back to it; none: the first run is the next that the schedule gives.",
    )
    enabled: bool = Field(
        True,
        description="False: no schedule; by hand only.",
    )
    source: SourcePlace = Field(
        SourcePlace(),
        description="Where the files lie.",
    )
    delivery: DeliveryRules = Field(
        DeliveryRules(),
        description="When a set of files is whole.",
    )
    retries: int = Field(
        3,
        ge=0,
        le=10,
        description="How often a task is repeated when something does not answer.",
    )
    pool: PoolName | None = Field(
        None,
        description="Airflow pool whose slots the client's heavy stages share with others, so that large "
        "schools leave room for small ones: a name under `pools` of the environment; none: `default_pool`.",
    )
    priority: int = Field(
        1,
        ge=1,
        le=1000,
        description="Airflow's priority_weight of all its tasks: of those that wait for a slot the higher "
        "number goes first; nothing that runs is interrupted.",
    )
    resources: Resources = Field(
        Resources(),
        description="What a pod of its heavy stages gets, under the KubernetesExecutor.",
    )
    revision: int = Field(0, ge=0, description="Raise by hand to load the same files once more.")
    change_detection: Literal["rows", "files", "off"] = Field(
        "rows",
        description="What is not loaded again: identical deliveries and rows that have not changed; "
        "`files`: only identical deliveries; `off`: nothing. The result is the same, slower.",
    )
    precedence: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict,
        description="Entity to feeds: which feed's word counts for a column that several write.",
    )
    format: FileFormat = Field(FileFormat(), description="For every feed that says nothing else.")
    values: ValueFormat = Field(ValueFormat(), description="For every feed that says nothing else.")
    limits: Limits = Field(Limits(), description="For every feed that says nothing else.")
    approval_hours: float = Field(
        72, gt=0, le=24 * 30, description="So long a delivery over a limit waits for a person."
    )
    approve_on: AnnouncedDays = Field(
        (),
        description="Deliveries of these days pass the limits of `hold`: announced by the school.",
    )
    blackout: Pauses = Field((), description="On these days nothing is loaded.")
    additions_only: Pauses = Field(
        (),
        description="On these days new and returning rows are written; changes and deletions wait.",
    )
    calendar: SchoolCalendar = Field(
        SchoolCalendar(), description="On which days the school sends."
    )
    retention: Literal["keep", "erase"] | None = Field(
        None,
        description="What becomes of the data when the client leaves (`etl retire`); none: to be said then.",
    )
    feeds: dict[Name, Feed] = Field(
        description="The school's kinds of files.",
    )

    @field_validator("schedule")
    @classmethod
    def cron_can_be_read(cls, value: str | None) -> str | None:
        """The schedule is a cron expression of five fields or a preset such as @daily."""
        from croniter import croniter  # only paid by mappings that have a schedule

        if value is not None and not croniter.is_valid(value):
            raise ValueError(f"`{value}` is not a cron expression such as `0 2 * * *`")
        return value

    @property
    def zone(self) -> ZoneInfo:
        """The client's time zone."""
        return ZoneInfo(self.timezone)

    @property
    def rhythm(self) -> Rhythm:
        """When deliveries are expected; a client without a schedule is looked after by hand, never late."""
        runs_itself = self.enabled and self.schedule is not None
        return Rhythm(
            timezone=self.timezone,
            expected_by=self.delivery.expected_by if runs_itself else None,
            deadline=self.delivery.deadline,
            calendar=self.calendar,
            blackout=self.blackout,
            since=self.start_date,
        )

    @property
    def all_full(self) -> bool:
        """Whether every feed brings all its records each time, so that a delivery needs no other."""
        return all(feed.content == "full" for feed in self.feeds.values())

    def at(self, day: date) -> Mapping:
        """The mapping with every feed in the layout of `day`."""
        if not any(feed.layouts for feed in self.feeds.values()):
            return self
        return self.model_copy(update={"feeds": {n: f.at(day) for n, f in self.feeds.items()}})

    def announced_for(self, day: date) -> Announced | None:
        """What was announced for deliveries of `day`."""
        return next((one for one in self.approve_on if one.date == day), None)

    def blackout_on(self, day: date) -> Pause | None:
        """Why nothing is loaded on `day`, or None."""
        return covering(self.blackout, day)

    def additions_only_on(self, day: date) -> Pause | None:
        """Why only new rows are written on `day`, or None."""
        return covering(self.additions_only, day)

    def local_date(self, instant: datetime) -> date:
        """The client's calendar day at `instant`."""
        return instant.astimezone(self.zone).date()


Feed.model_rebuild()
