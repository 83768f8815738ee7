"""Westbrook Online Academy: plain CSV with the school's own headers, from its own SFTP server."""

from __future__ import annotations

from sample_data.files import (
    Files,
    Row,
    Tables,
    birth_date_of,
    changed,
    mail_of,
    name_of,
    table,
    without,
    written,
)


def westbrook(night: int) -> Files:
    """Programs, assessments with days counted from the start, a second file of mail addresses."""
    tables: Tables = {
        "terms.csv": table(
            "term_id|name|type|start_date|end_date|school_year",
            "26B|September 2026|term|2026-08-03|2027-02-05|2027",
            "27A|February 2027|term|2027-02-08|2027-07-30|2027",
        ),
        "programs.csv": table(
            "program_id|name|type|level|status",
            "DIP-HUM|Diploma in Humanities|program|undergraduate|active",
            "CERT-DAT|Certificate in Data|certificate|undergraduate|active",
        ),
        "courses.csv": table(
            "Course|title|credits_min|credits_max|format|status",
            "HUM-110|Reading Cities|30|30|online|active",
            "DAT-201|Counting Things|15|30|online|active",
        ),
        "sections.csv": table(
            "section_id|Label|name|Course|term_id|Delivery|capacity",
            "W-1|HUM-110/26B-a|Reading Cities, group a|HUM-110|26B|internet|200",
            "W-2|HUM-110/26B-b|Reading Cities, group b|HUM-110|26B|internet|200",
            "W-3|DAT-201/26B-a|Counting Things|DAT-201|26B|day school|80",
        ),
        "people.csv": [_person(number) for number in range(18)],
        "contacts.csv": [
            {"StudentNo": f"{number:07d}", "Email": f"w{number:03d}@mail.westbrook.example"}
            for number in range(0, 18, 2)
        ],
        "program_enrollments.csv": [
            {"StudentNo": f"{n:07d}", "program_id": "CERT-DAT" if n % 3 == 0 else "DIP-HUM",
             "term_id": "26B", "status": "active", "start_date": "2026-08-03"}
            for n in range(16)
        ],
        "enrollments.csv": [_enrollment(n, f"W-{1 + n % 3}") for n in range(16)],
        "line_items.csv": table(
            "line_item_id|title|category|score_min|score_max|weight|due_on_day|section_id|term_id",
            "1752|First essay|TMA|0|100|10.000|19|W-1|26B",
            "1753|Quiz|CMA|0|100|7.500|54|W-2|26B",
            "1754|Data exercise|TMA|0|100|20.000|40|W-3|26B",
        ),
        "results.csv": [_result(n, f"{1752 + n % 3}") for n in range(16)],
    }  # fmt: skip
    if night == 2:
        tables = _second_night_at_westbrook(tables)
    return {name: written(rows) for name, rows in tables.items()}


def _person(number: int) -> Row:
    given, family = name_of(900 + number)
    return {
        "StudentNo": f"{number:07d}", "First": given, "Last": family,
        "Mail": mail_of(900 + number, "westbrook"), "Kind": "T" if number > 15 else "S",
        "Born": birth_date_of(number), "LibraryCard": f"LC{number * 37:06d}",
        "House": ("Elm", "Oak", "")[number % 3], "Locker": f"{number:03d}",
    }  # fmt: skip


def _enrollment(number: int, section: str) -> Row:
    return {
        "section_id": section, "StudentNo": f"{number:07d}", "State": "registered",
        "Basis": ("G", "P", "?")[number % 3], "start_date": "2026-08-03",
    }  # fmt: skip


def _result(number: int, line_item: str) -> Row:
    score = "-" if number == 9 else f"{60 + number * 2}"
    return {
        "line_item_id": line_item, "StudentNo": f"{number:07d}", "Try": "1",
        "score": score, "submitted_day": f"{12 + number}",
    }  # fmt: skip


def _second_night_at_westbrook(tables: Tables) -> Tables:
    people = changed(tables["people.csv"], {"StudentNo": "0000001"}, Mail="moved@westbrook.example")
    # contacts.csv knows number 2: its word counts, so this changes nothing
    people = changed(people, {"StudentNo": "0000002"}, Mail="other@westbrook.example")
    people = changed(people, {"StudentNo": "0000005"}, House="Ash")  # House stands in `extra`
    people = changed(people, {"StudentNo": "0000006"}, Born="2010-02-28")  # dropped: no change
    people = changed(people, {"StudentNo": "0000007"}, Last="Brightwater-Lund")
    people.append(_person(18) | {"Kind": "S"})
    contacts = changed(
        tables["contacts.csv"], {"StudentNo": "0000004"}, Email="four@westbrook.example"
    )
    enrollments = changed(tables["enrollments.csv"], {"StudentNo": "0000003"}, State="left")
    enrollments = without(enrollments, StudentNo="0000008")
    results = changed(tables["results.csv"], {"StudentNo": "0000009"}, score="71")
    results.append(_result(4, "1753") | {"Try": "2", "score": "88.5"})
    results.append(results[-1])
    return tables | {
        "people.csv": people,
        "contacts.csv": contacts,
        "program_enrollments.csv": changed(
            without(tables["program_enrollments.csv"], StudentNo="0000008"),
            {"StudentNo": "0000009"}, status="on_leave",
        ),
        "enrollments.csv": [*enrollments, _enrollment(18, "W-1")],
        "results.csv": results,
    }  # fmt: skip
