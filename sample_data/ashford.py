"""Ashford Academy: files broken in more than twenty ways, each line with what must become of it."""

from __future__ import annotations

from dataclasses import dataclass

from sample_data.files import Files

OK, DUPLICATE, REPLACES, NO_ROW = "ok", "duplicate", "replaces", "no row"


@dataclass(frozen=True)
class Line:
    """One record as it stands in the file, and its fate.

    `fate` is ok, duplicate (collapses into an identical row), replaces (the last row of its key: the
    others lose), no row (header, report line, blank
    line) or the code with which it is rejected, in `column` when a single cell is to blame.
    `night_2` is what becomes of an ok row on the second night: unchanged, updated or inserted.
    """

    content: bytes
    fate: str = OK
    column: str = ""
    night_2: str = "unchanged"


Broken = dict[str, tuple[Line, ...]]


def _line(text: str, fate: str = OK, column: str = "", night_2: str = "unchanged") -> Line:
    return Line(text.encode(), fate, column, night_2)


def _header(text: str) -> Line:
    return _line(text, NO_ROW)


_PEOPLE_HEADER = (
    "\ufeffperson_id,given_name, Family_Name ,email,birth_date,is_confidential,status,,Notes,Notes"
)


def _first_night() -> Broken:
    return {
        "organizations.csv": (
            _header("organization_id,name,type"),
            _line("ASH,Ashford Academy,School"),
            _line("DIST, Ashford District ,DISTRICT"),
            _line("ANNEX,Annex,Outpost", "VALUE_NOT_ALLOWED", "type"),
        ),
        "terms.csv": (
            _header("term_id,name,start_date,end_date"),
            _line("F26,Fall,2026-08-17,12/18/2026"),
            _line("S27,Spring,2027-01-05,2027-06-04"),
            _line("X27,Upside down,2027-06-04,2027-01-05", "VALUE_ORDER", "end_date"),
        ),
        "courses.csv": (
            _line("Course catalogue of Ashford Academy;;;;;", NO_ROW),
            _line(";;;;;", NO_ROW),
            _header("course_id;title;credits_min;credits_max;status;organization_id"),
            _line("ALG;Algebra; 1.0 ;1.0;open;ASH"),
            _line('ENG;"English; reading";0.5;1.0;Open;ASH'),
            _line('BIO;"Biology, with ""lab""";1.0;1.0;open;ASH'),
            _line("ART;Art;1.0;0.5;open;ASH", "VALUE_ORDER", "credits_max"),
            _line("MUS;Music;1,5;2.0;open;ASH", "VALUE_NOT_A_NUMBER", "credits_min"),
            _line("LAT;;1.0;1.0;open;ASH", "VALUE_MISSING", "title"),
            _line("DRA;Drama;1.0;1.0;resting;ASH", "VALUE_NOT_ALLOWED", "status"),
            _line("Total;7;;;;", NO_ROW),
            _line("printed by the office;;;;;", NO_ROW),
        ),
        "sections.csv": (
            _header("section_id,name,course_id,term_id,status,capacity,start_date,end_date"),
            _line("ALG-1,Algebra 1,ALG,F26,on,30,2026-08-17,2026-12-18"),
            _line("ENG-1,English 1,ENG,F26,on,28,NULL,-"),
            _line("BIO-1,Biology 1,BIO,S27,off,,,"),
            _line("ALG-2,Algebra 2,ALG,F26,on,-5,,", "VALUE_OUT_OF_RANGE", "capacity"),
            _line("ALG-3,Algebra 3,ALG,F26,on,thirty,,", "VALUE_NOT_A_NUMBER", "capacity"),
            _line("GEO-1,Geography 1,GEO,F26,on,30,,", "LOOKUP_NOT_FOUND", "organization_id"),
            _line("ENG-2,English 2,ENG,F26,perhaps,30,,", "VALUE_NOT_ALLOWED", "status"),
        ),
        "people.csv": (
            _header(_PEOPLE_HEADER),
            *(_line(f"{n:04d},Pupil {n},Ashford,p{n}@ashford.example,2010-03-{n:02d},no,,,,")
              for n in range(1, 13)),
            _line('0013,"Bo\nBo",O\'Dell,p13@ashford.example,2010-03-13,no,,,,'),
            _line('0014,"Al ""Ace"" Bo",Ashford,p14@ashford.example,3/14/2010,YES,,,,'),
            _line("  0015 ,Cy,Ashford,NULL,-,0,,,,"),
            _line("0002,Pupil 2,Ashford,p2@ashford.example,2010-03-02,no,,,,", DUPLICATE),
            _line("", NO_ROW),
            _line("0101,Too,Few", "ROW_FIELD_COUNT"),
            _line("0102,Too,Many,m@ashford.example,2010-01-01,no,,,,,,", "ROW_FIELD_COUNT"),
            _line('0103,"Ann "Nan" Lee",Ashford,a@ashford.example,2010-01-01,no,,,,', "ROW_QUOTE"),
            Line(b"0104,Ren\xe9e,Ashford,r@ashford.example,2010-01-01,no,,,,", "ROW_ENCODING"),
            Line(b"0105,Nul\x00a,Ashford,n@ashford.example,2010-01-01,no,,,,",
                 "ROW_CONTROL_CHARACTER"),
            _line("0106,Zo\ufffd,Ashford,z@ashford.example,2010-01-01,no,,,,",
                  "ROW_REPLACEMENT_CHARACTER"),
            _line(",No Key,Ashford,k@ashford.example,2010-01-01,no,,,,", "VALUE_MISSING", "person_id"),
            _line("9" * 300 + ",Long,Ashford,l@ashford.example,2010-01-01,no,,,,", "VALUE_TOO_LONG",
                  "person_id"),
            _line("0109,Feb,Ashford,f@ashford.example,2010-02-30,no,,,,", "VALUE_NOT_A_DATE",
                  "birth_date"),
            _line("0110,Day,Ashford,d@ashford.example,31.12.2010,no,,,,", "VALUE_NOT_A_DATE",
                  "birth_date"),
            _line("0111,Maybe,Ashford,y@ashford.example,2010-01-01,maybe,,,,", "VALUE_NOT_YES_OR_NO",
                  "is_confidential"),
            _line("0112,#REF!,Ashford,s@ashford.example,2010-01-01,no,,,,",
                  "VALUE_SPREADSHEET_DAMAGE", "given_name"),
            _line("0113,Mail,Ashford,not an address,2010-01-01,no,,,,", "VALUE_PATTERN", "email"),
            _line("0114,State,Ashford,t@ashford.example,2010-01-01,no,asleep,,,", "VALUE_NOT_ALLOWED",
                  "status"),
            _line("0001,Pupil One,Ashford,p1@ashford.example,2010-03-01,no,,,,", REPLACES),
        ),
        "section_staff.csv": (
            _header("section_id,person_id,role"),
            _line("ALG-1,0001,Teacher"), _line("ENG-1,0002,teacher"), _line("BIO-1,0003,Helper"),
            _line("ALG-1,0004,Janitor", "VALUE_NOT_ALLOWED", "role"),
            _line("NONE-1,0001,Teacher", "REFERENCE_UNKNOWN", "section_id"),
        ),
        "enrollments.csv": (
            _header("section_id|person_id|role|status|credits|start_date|end_date"),
            *(_line(f"{s}|{n:04d}|student|in|1.0|2026-08-17|") for n in range(4, 13)
              for s in ("ALG-1", "ENG-1")),
            _line("BIO-1|0013|student|in|1.0|2027-01-05|"),
            _line("ENG-1|0099|student|in|1.0||", "REFERENCE_UNKNOWN", "person_id"),
            _line("ENG-1|0109|student|in|1.0||", "REFERENCE_UNKNOWN", "person_id"),
            _line("ALG-2|0013|student|in|1.0||", "REFERENCE_UNKNOWN", "section_id"),
            _line("ALG-1|0013|student||1.0||", "VALUE_MISSING", "status"),
            _line("ALG-1|0014|student|in|99||", "EXPECTATION_NOT_MET", "credits"),
            _line("ENG-1|0014|student|in|1.0|2026-08-17|2026-08-01", "VALUE_ORDER", "end_date"),
            _line('BIO-1|0014|student|in|1.0|"2026-08-17|', "ROW_QUOTE"),
        ),
    }  # fmt: skip


def _second_night() -> Broken:
    """Most of the people are mended; one file still has an unreadable row, one has none."""
    first = _first_night()
    people = tuple(
        line for line in first["people.csv"] if line.fate in (OK, DUPLICATE) or line.content == b""
    )
    assert people[0].content.startswith(b"0001")
    return first | {
        "terms.csv": (
            *first["terms.csv"][:3],
            _line("X27,Right way up,2027-01-05,2027-06-04", night_2="inserted"),
        ),
        "people.csv": (
            _header(_PEOPLE_HEADER),
            # last night's losing row comes alone: number 1 gets its first name back
            _line(people[0].content.decode(), night_2="updated"),
            *people[1:],
            _line("0103,Ann,Ashford,a@ashford.example,2010-01-01,no,,,,", night_2="inserted"),
            _line("0104,Renée,Ashford,r@ashford.example,2010-01-01,no,,,,", night_2="inserted"),
            _line("0109,Feb,Ashford,f@ashford.example,2010-02-30,no,,,,", "VALUE_NOT_A_DATE",
                  "birth_date"),
        ),
        # one row cannot be read, so the missing one (BIO-1, 0003) may be it: nothing is deleted
        "section_staff.csv": (
            *first["section_staff.csv"][:3], _line("BIO-1,0003", "ROW_FIELD_COUNT"),
        ),
        # every row can be read: ALG-1 of number 12 is truly gone
        "enrollments.csv": (
            *(line for line in first["enrollments.csv"]
              if line.fate in (OK, NO_ROW) and not line.content.startswith(b"ALG-1|0012")),
            _line("ENG-1|0103|student|waiting|1.0|2026-09-01|", night_2="inserted"),
            _line("ENG-1|0099|student|in|1.0||", "REFERENCE_UNKNOWN", "person_id"),
        ),
    }  # fmt: skip


NIGHTS = {1: _first_night, 2: _second_night}
_FILLS = {
    "organizations.csv": "organizations.organization", "terms.csv": "terms.term",
    "courses.csv": "courses.course", "sections.csv": "sections.section",
    "people.csv": "people.person", "section_staff.csv": "section_staff.section_staff",
    "enrollments.csv": "enrollments.enrollment",
}  # fmt: skip
_DELETED_BY_ABSENCE = {(2, "enrollments.csv"): 1}


def ashford(night: int) -> Files:
    """The files of a night; the last record of each ends without a line end."""
    return {
        name: b"\n".join(line.content for line in lines) for name, lines in NIGHTS[night]().items()
    }


def rejects(night: int) -> list[tuple[str, int, str, str]]:
    """File, line on which the record starts, column and code of every rejected row."""
    found = []
    for name, lines in NIGHTS[night]().items():
        replaced = {_first_cell(line) for line in lines if line.fate == REPLACES}
        number = 1
        for line in lines:
            if line.fate not in (OK, DUPLICATE, NO_ROW, REPLACES):
                found.append((name, number, line.column, line.fate))
            elif line.fate != REPLACES and _first_cell(line) in replaced:
                found.append((name, number, "person_id", "DUPLICATE_KEY"))
            number += 1 + line.content.count(b"\n")
    return found


def _first_cell(line: Line) -> bytes:
    return line.content.split(b",")[0]


def counts(night: int) -> dict[str, dict[str, int]]:
    """What the load of a night must count, straight from the fates of the lines."""
    result = {}
    for name, lines in NIGHTS[night]().items():
        rows = [line for line in lines if line.fate != NO_ROW]
        rejected = sum(one[0] == name for one in rejects(night))
        good = [line for line in rows if line.fate in (OK, REPLACES)]
        good = good[: len(good) - sum(line.fate == REPLACES for line in rows)]
        count = {"read": len(rows), "rejected": rejected}
        count["duplicates"] = sum(line.fate == DUPLICATE for line in rows)
        for verb in ("inserted", "updated", "unchanged"):
            count[verb] = sum((line.night_2 if night == 2 else "inserted") == verb for line in good)
        count["deleted_by_absence"] = _DELETED_BY_ABSENCE.get((night, name), 0)
        result[_FILLS[name]] = count
    return result
