"""What a load of the small schools must count, worked out without any code of the product.

For every school the fills stand in load order with hand-written keys, values and filters over the
raw cells. A dictionary plays the database. Raw cells may stand for canonical values because the
samples never change a cell without changing what it means, except where a fill says so.
"""

from __future__ import annotations

import csv
import fnmatch
import io
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from sample_data.files import Files, Row

Counts = dict[str, int]
NAMES = (
    "read", "inserted", "updated", "unchanged", "deleted_by_row", "rejected", "duplicates",
    "filtered", "deleted_by_absence", "restored",
)  # fmt: skip
Key = Callable[[Row], str]
Test = Callable[[Row], bool]


def _yes(_: Row) -> bool:
    return True


def _no(_: Row) -> bool:
    return False


@dataclass
class Record:
    """A row of the imagined database."""

    values: Row
    feeds: set[str]
    deleted: bool = False


Database = dict[str, dict[str, Record]]


@dataclass(frozen=True)
class Fill:
    """One feed's word on one entity, written by hand from the school's files.

    The raw cells of a row are its values: the columns named in `only`, or all but those in `but`
    (names joined with blanks). `references` are entities whose row must be known, and its key.
    `scope` gives within what a row's absence is judged. `yields` are columns in which the fill named
    `to` has precedence.
    """

    name: str
    file: str
    key: Key
    references: dict[str, Key] = field(default_factory=dict)
    only: str = ""
    but: str = ""
    where: Test = _yes
    deleted: Test = _no
    insert: bool = True
    deletes_absent: bool = False
    scope: Callable[[str, Database], str] | None = None
    yields: str = ""
    to: str = ""

    @property
    def feed(self) -> str:
        """The feed's name."""
        return self.name.split(".")[0]

    @property
    def entity(self) -> str:
        """The entity's name."""
        return self.name.split(".")[1]

    def values(self, row: Row) -> Row:
        """The cells that count."""
        names = self.only.split() or [name for name in row if name not in self.but.split()]
        return {name: row[name] for name in names}


def rows_of(files: Files, fill: Fill) -> list[Row] | None:
    """The rows of the fill's file, loose or in a zip; None when the delivery has no such file."""
    for name, content in files.items():
        if fnmatch.fnmatchcase(name, fill.file):
            return list(_rows(content))
        if name.endswith(".zip"):
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                if fill.file in archive.namelist():
                    return list(_rows(archive.read(fill.file)))
    return None


def _rows(content: bytes) -> Iterator[Row]:
    """Rows of a comma, semicolon (then cp1252) or tab (then with report lines around) file."""
    semicolons = content.count(b";") > content.count(b",")
    lines = content.decode("cp1252" if semicolons else "utf-8").splitlines()
    if lines[-1].startswith("Rows returned"):
        yield from csv.DictReader(lines[3:-1], delimiter="\t")
    else:
        yield from csv.DictReader(lines, delimiter=";" if semicolons else ",")


def night(database: Database, files: Files, fills: tuple[Fill, ...]) -> dict[str, Counts]:
    """Load one delivery into the imagined database; gives the counts of every fill."""
    counts: dict[str, Counts] = {}
    for fill in fills:
        rows = rows_of(files, fill)
        if rows is not None:
            counts[fill.name] = _load(database, fill, rows, files, fills)
    return counts


def _load(
    database: Database, fill: Fill, rows: list[Row], files: Files, fills: tuple[Fill, ...]
) -> Counts:
    count = dict.fromkeys(NAMES, 0)
    count["read"] = len(rows)
    table = database.setdefault(fill.entity, {})
    winners: dict[str, tuple[Row, Row, bool]] = {}
    for row in rows:
        if not fill.where(row):
            count["filtered"] += 1
            continue
        entry = (row, fill.values(row), fill.deleted(row))
        key = fill.key(row)
        if key in winners:
            count["duplicates" if winners[key][1:] == entry[1:] else "rejected"] += 1
        winners[key] = entry
    stronger = _stronger_keys(files, fill, fills)
    for key, (row, values, deleted) in winners.items():
        record = table.get(key)
        known = record is not None and not record.deleted
        if not deleted and (not _refers(database, fill, row) or not (fill.insert or known)):
            count["rejected"] += 1
        elif deleted:
            count["deleted_by_row" if known else "unchanged"] += 1
            if record is not None:
                record.deleted = True
        elif record is None:
            count["inserted"] += 1
            table[key] = Record(values, {fill.feed})
        else:
            if key in stronger:
                values = {n: v for n, v in values.items() if n not in fill.yields.split()}
            old = record.values
            differs = record.deleted or any(old.get(n, "") != v for n, v in values.items())
            count["updated" if differs else "unchanged"] += 1
            count["restored"] += record.deleted
            record.values |= values
            record.deleted = False
            record.feeds |= {fill.feed} if fill.insert else set()
    if fill.deletes_absent:
        count["deleted_by_absence"] = _delete_absent(database, fill, set(winners))
    return count


def _stronger_keys(files: Files, fill: Fill, fills: tuple[Fill, ...]) -> set[str]:
    """Keys on which a fill with precedence has its say tonight."""
    other = next((one for one in fills if one.name == fill.to), None)
    return {other.key(row) for row in rows_of(files, other) or []} if other else set()


def _refers(database: Database, fill: Fill, row: Row) -> bool:
    for entity, value in fill.references.items():
        found = database.get(entity, {}).get(value(row))
        if found is None or found.deleted:
            return False
    return True


def _delete_absent(database: Database, fill: Fill, sent: set[str]) -> int:
    table = database[fill.entity]
    scope = fill.scope
    spoken_of = {scope(key, database) for key in sent if key in table} if scope else set()
    gone = [
        record
        for key, record in table.items()
        if key not in sent
        and not record.deleted
        and fill.feed in record.feeds
        and (scope is None or scope(key, database) in spoken_of)
    ]
    for record in gone:
        record.feeds.discard(fill.feed)
        record.deleted = not record.feeds
    return sum(record.deleted for record in gone)


def column(*names: str) -> Key:
    """The values of the columns, joined."""
    return lambda row: "|".join(row[name] for name in names)


def _is(name: str, *values: str) -> Test:
    return lambda row: row[name] in values


def _term(entity: str, section: str, term: str) -> Callable[[str, Database], str]:
    """The (first) term of the section that a row of `entity` names in its column `section`."""

    def scope(key: str, database: Database) -> str:
        found = database["section"][database[entity][key].values[section]]
        return found.values[term].split(",")[0]

    return scope


# --- OneRoster --------------------------------------------------------------------------------------
def _oneroster(version: str) -> tuple[Fill, ...]:
    key = column("sourcedId")
    user, section = column("userSourcedId"), column("classSourcedId")
    sits = {"section": section, "person": user}
    result = {"line_item": column("lineItemSourcedId"), "person": column("studentSourcedId")}

    def fill(
        name: str, file: str, references: dict[str, Key] | None = None, *, key: Key = key,
        only: str = "", where: Test = _yes, insert: bool = True, absent: bool = False,
    ) -> Fill:  # fmt: skip
        entity = name.split(".")[1]
        scoped = absent and entity != "person_role"
        return Fill(
            name, file, key, references or {}, only, but="role orgSourcedIds pronouns",
            where=where, deleted=_is("status", "tobedeleted"), insert=insert, deletes_absent=absent,
            scope=_term(entity, "classSourcedId", "termSourcedIds") if scoped else None,
        )  # fmt: skip

    def role_1_1(row: Row) -> str:
        return f"{row['sourcedId']}|{row['role']}|{row['orgSourcedIds'].split(',')[0]}"

    roles = (
        fill(
            "users.person_role",
            "users.csv",
            {"person": key},
            key=role_1_1,
            only="role",
            absent=True,
        )
        if version == "1.1"
        else fill("roles.person_role", "roles.csv", {"person": user}, absent=True)
    )
    teachers, students = _is("role", "teacher"), _is("role", "student")
    return (
        fill("orgs.organization", "orgs.csv"),
        fill("academic_sessions.term", "academicSessions.csv"),
        fill("courses.course", "courses.csv"),
        fill("classes.section", "classes.csv"),
        fill("users.person", "users.csv"),
        fill("demographics.person", "demographics.csv", only="birthDate", insert=False),
        roles,
        fill("enrollments.section_staff", "enrollments.csv", sits, where=teachers, absent=True),
        fill("enrollments.enrollment", "enrollments.csv", sits, where=students, absent=True),
        fill("line_items.line_item", "lineItems.csv"),
        fill("results.result", "results.csv", result),
    )


# --- Canvas -----------------------------------------------------------------------------------------
_CANVAS_ROLES = {
    "StudentEnrollment": "student", "administrative": "administrator", "observer": "guardian",
    "teacher": "faculty",
}  # fmt: skip


def _canvas() -> tuple[Fill, ...]:
    gone, user = _is("status", "deleted"), column("user_id")
    staff = _is("role", "teacher", "ta", "designer")
    students = _is("role", "student", "StudentEnrollment", "observer")
    overrides = _is("date_override_enrollment_type", "TeacherEnrollment")

    def section(row: Row) -> str:
        return row["section_id"] or row["course_id"]

    def sits(row: Row) -> str:
        role = row["role"].replace("StudentEnrollment", "student")
        return f"{section(row)}|{row['user_id']}|{role}|{row['associated_user_id']}"

    def declared(row: Row) -> str:
        kind = row["declared_user_type"]
        return f"{row['user_id']}|{_CANVAS_ROLES.get(kind, kind)}|"

    def administers(row: Row) -> str:
        return f"{row['user_id']}|administrator|{row['account_id']}"

    def term(key: str, database: Database) -> str:
        values = database["section"][key.split("|")[0]].values
        return values.get("term_id") or database["course"][values["course_id"]].values["term_id"]

    def fill(name: str, file: str, key: Key, only: str = "", where: Test = _yes) -> Fill:
        return Fill(name, f"{file}.csv", key, only=only, where=where, deleted=gone)

    def seats(name: str, where: Test) -> Fill:
        return Fill(
            name, "enrollments.csv", sits, {"section": section, "person": user}, where=where,
            deleted=gone, deletes_absent=True, scope=term,
        )  # fmt: skip

    return (
        fill("accounts.organization", "accounts", column("account_id")),
        fill("terms.term", "terms", column("term_id"), where=lambda row: not overrides(row)),
        fill("courses.course", "courses", column("course_id")),
        fill("sections.section", "sections", column("section_id")),
        fill("courses.section", "courses", column("course_id"), "long_name status term_id"),
        Fill("xlists.section", "xlists.csv", column("section_id"), only="xlist_course_id",
             where=lambda row: not gone(row), insert=False),
        fill("users.person", "users", user),
        Fill("users.person_role", "users.csv", declared, {"person": user}, only="user_id",
             deleted=gone, deletes_absent=True),
        Fill("admins.person_role", "admins.csv", administers, {"person": user}, only="user_id",
             deleted=gone),
        seats("enrollments.section_staff", staff),
        seats("enrollments.enrollment", students),
    )  # fmt: skip


# --- Banner -----------------------------------------------------------------------------------------
def _banner() -> tuple[Fill, ...]:
    pidm, section = column("PIDM"), column("TERM_CODE", "CRN")
    person, names = {"person": pidm}, "ID FIRST_NAME MI LAST_NAME EMAIL"
    roster, instructors = "roster_*", "instructors_*"

    def of_file(row: Row) -> str:
        return f"202710|{row['CRN']}"

    return (
        Fill("campuses.organization", "campuses_*", column("CAMP_CODE")),
        Fill("terms.term", "terms_*", column("STVTERM_CODE")),
        Fill("programs.program", "programs_*", column("PROGRAM")),
        Fill("courses.course", "courses_*", column("SUBJ_CODE", "CRSE_NUMB")),
        Fill("sections.section", "sections_*", section),
        Fill("roster.person", roster, pidm, only=f"{names} EMAIL_PERS CONFID_IND"),
        Fill("instructors.person", instructors, pidm, only=names),
        Fill("roster.person_role", roster, lambda row: f"{row['PIDM']}|student", person,
             only="PIDM", deletes_absent=True),
        Fill("instructors.person_role", instructors, lambda row: f"{row['PIDM']}|faculty", person,
             only="PIDM", deletes_absent=True),
        Fill("roster.program_enrollment", roster, column("PIDM", "PROGRAM"),
             person | {"program": column("PROGRAM")}, where=lambda row: row["PROGRAM"] != "",
             only="TERM_CODE_CTLG STST_CODE LEVL_CODE CLAS_CODE", deletes_absent=True),
        Fill("instructors.section_staff", instructors, column("TERM_CODE", "CRN", "PIDM"),
             person | {"section": section}, only="PRIMARY_IND PERCENT_RESPONSE",
             deletes_absent=True),
        # dates and credits are written otherwise from the second night on and mean the same
        Fill("roster.enrollment", roster, column("CRN", "PIDM"), person | {"section": of_file},
             only="RSTS_CODE GMOD_CODE GRDE_CODE", deletes_absent=True),
    )  # fmt: skip


# --- PeopleSoft -------------------------------------------------------------------------------------
def _peoplesoft() -> tuple[Fill, ...]:
    emplid, program = column("EMPLID"), column("INSTITUTION", "ACAD_PROG")
    section = column("INSTITUTION", "STRM", "SESSION_CODE", "CLASS_NBR")
    studies = column("INSTITUTION", "EMPLID", "ACAD_CAREER", "STDNT_CAR_NBR", "ACAD_PROG")
    person = {"person": emplid}

    def deleted(row: Row) -> bool:
        return row.get("ACTION") == "D"

    def role(name: str, file: str, kind: str) -> Fill:
        return Fill(name, f"{file}_2026*", lambda row: f"{row['EMPLID']}|{kind}", person,
                    only="EMPLID", where=lambda row: not deleted(row))  # fmt: skip

    def fill(
        name: str, file: str, key: Key, references: dict[str, Key] | None = None, but: str = ""
    ) -> Fill:
        return Fill(name, f"{file}_2026*", key, references or {}, but=f"ACTION {but}",
                    deleted=deleted)  # fmt: skip

    return (
        fill("organizations.organization", "acad_org", column("ACAD_ORG")),
        fill("terms.term", "term", column("INSTITUTION", "ACAD_CAREER", "STRM")),
        fill("programs.program", "acad_prog_tbl", program),
        fill("courses.course", "crse_catalog", lambda row: row["CRSE_ID"].zfill(6), but="CRSE_ID"),
        fill("classes.section", "class_tbl", section),
        fill("people.person", "personal_data", emplid, but="BIRTHDATE"),
        role("student_programs.person_role", "acad_prog", "student"),
        role("instructors.person_role", "class_instr", "faculty"),
        fill("student_programs.program_enrollment", "acad_prog", studies,
             person | {"program": program}),
        fill("instructors.section_staff", "class_instr",
             column("CLASS_NBR", "EMPLID", "INSTR_ROLE"), person | {"section": section}),
        fill("enrollments.enrollment", "stdnt_enrl", column("CLASS_NBR", "EMPLID"),
             person | {"section": section}),
    )  # fmt: skip


# --- Westbrook --------------------------------------------------------------------------------------
def _westbrook() -> tuple[Fill, ...]:
    student, section, program = column("StudentNo"), column("section_id"), column("program_id")
    line_item, person = column("line_item_id"), {"person": student}
    studies = column("StudentNo", "program_id", "term_id")
    return (
        Fill("terms.term", "terms.csv", column("term_id")),
        Fill("programs.program", "programs.csv", program),
        Fill("courses.course", "courses.csv", column("Course")),
        Fill("sections.section", "sections.csv", section),
        Fill("people.person", "people.csv", student, but="Born Kind", yields="Mail",
             to="contacts.person"),
        Fill("contacts.person", "contacts.csv", student, insert=False),
        Fill("people.person_role", "people.csv", column("StudentNo", "Kind"), person, only="Kind",
             deletes_absent=True),
        Fill("program_enrollments.program_enrollment", "program_enrollments.csv", studies,
             person | {"program": program}, deletes_absent=True),
        Fill("enrollments.enrollment", "enrollments.csv", column("section_id", "StudentNo"),
             person | {"section": section}, deletes_absent=True,
             scope=_term("enrollment", "section_id", "term_id")),
        Fill("line_items.line_item", "line_items.csv", line_item),
        Fill("results.result", "results.csv", column("line_item_id", "StudentNo", "Try"),
             person | {"line_item": line_item}),
    )  # fmt: skip


FILLS = {
    "lakeside": _oneroster("1.1"),
    "maple_street": _oneroster("1.1"),
    "northgate": _oneroster("1.2"),
    "harbor_college": _canvas(),
    "san_rafael": _banner(),
    "prairie_state": _peoplesoft(),
    "westbrook": _westbrook(),
}
