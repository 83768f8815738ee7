"""Metro Public Schools: a large OneRoster 1.1 district, generated and never committed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sample_data.files import birth_date_of, mail_of, name_of

_CLASSES_PER_STUDENT = 5
_STUDENTS_PER_CLASS = 25
_STAMP = "active,2026-08-30T04:00:00.000Z"


def write_metro(out: Path, night: int, enrollments: int) -> list[Path]:
    """Write the files of a night into `out`; `enrollments` of students, as many results.

    The same arguments give the same bytes. The second night has 0.5 % fewer of the old enrollments,
    0.1 % new students, and 1 % changed people and results.
    """
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for name, (header, rows) in _tables(night, enrollments).items():
        path = out / name
        path.write_text("\n".join([header, *rows, ""]), encoding="utf-8", newline="")
        written.append(path)
    return written


def expected_counts(night: int, enrollments: int) -> dict[str, dict[str, int]]:
    """What a load of the night must count, by arithmetic on the sizes alone."""
    students, classes, teachers = _sizes(enrollments)
    new = enrollments // 1000
    gone, people = -(-(enrollments - 7) // 200), students + teachers
    small = {
        "orgs.organization": 2, "academic_sessions.term": 2, "courses.course": 40,
        "classes.section": classes, "line_items.line_item": classes,
    }  # fmt: skip
    if night == 1:
        counts = {name: _first(size) for name, size in small.items()}
        counts |= {"users.person": _first(people), "users.person_role": _first(people)}
        read = enrollments + classes
        counts["demographics.person"] = {"read": students, "updated": students}
        counts["enrollments.section_staff"] = _first(classes, read)
        counts["enrollments.enrollment"] = _first(enrollments, read)
        counts["results.result"] = _first(enrollments)
        return counts
    counts = {name: {"read": size, "unchanged": size} for name, size in small.items()}
    changed = -(-students // 100)
    counts["users.person"] = _second(people, new, changed)
    counts["users.person_role"] = _second(people, new, 0)
    counts["demographics.person"] = {"read": students, "unchanged": students}
    stay, come = enrollments - gone, new * _CLASSES_PER_STUDENT
    read = stay + come + classes
    counts["enrollments.section_staff"] = {
        "read": read, "unchanged": classes, "filtered": stay + come
    }  # fmt: skip
    counts["enrollments.enrollment"] = {
        "read": read, "inserted": come, "unchanged": stay, "filtered": classes,
        "deleted_by_absence": gone,
    }  # fmt: skip
    counts["results.result"] = _second(enrollments, come, -(-enrollments // 100))
    return counts


def _first(size: int, read: int | None = None) -> dict[str, int]:
    read = size if read is None else read
    return {"read": read, "inserted": size, "filtered": read - size}


def _second(size: int, new: int, changed: int) -> dict[str, int]:
    return {"read": size + new, "inserted": new, "updated": changed, "unchanged": size - changed}


def _sizes(enrollments: int) -> tuple[int, int, int]:
    """Students, classes, teachers."""
    if enrollments < 200 or enrollments % 200:
        raise ValueError("enrollments must be a multiple of 200")
    classes = enrollments // _STUDENTS_PER_CLASS
    return enrollments // _CLASSES_PER_STUDENT, classes, max(classes // 5, 1)


def _tables(night: int, enrollments: int) -> dict[str, tuple[str, Iterable[str]]]:
    students, classes, teachers = _sizes(enrollments)
    new = enrollments // 1000 if night == 2 else 0
    everyone = range(students + new)
    seats = [
        (student, turn, (student + turn * (classes // _CLASSES_PER_STUDENT)) % classes)
        for student in everyone
        for turn in range(_CLASSES_PER_STUDENT)
    ]
    head = "sourcedId,status,dateLastModified,"
    return {
        "orgs.csv": (head + "name,type,identifier,parentSourcedId", [
            f"m-d,{_STAMP},Metro Public Schools,district,9000,",
            f"m-s,{_STAMP},Central High School,school,9001,m-d",
        ]),
        "academicSessions.csv": (
            head + "title,type,startDate,endDate,parentSourcedId,schoolYear", [
                f"m-y,{_STAMP},2026/27,schoolYear,2026-08-17,2027-06-04,,2027",
                f"m-t,{_STAMP},Fall,semester,2026-08-17,2026-12-18,m-y,2027",
            ]),
        "courses.csv": (
            head + "schoolYearSourcedId,title,courseCode,grades,orgSourcedId,subjects,subjectCodes",
            [f"m-k{n},{_STAMP},m-y,Course {n},K{n:03d},09,m-s,," for n in range(40)]),
        "classes.csv": (
            head + "title,grades,courseSourcedId,classCode,classType,location,schoolSourcedId,"
            "termSourcedIds,subjects,subjectCodes,periods",
            [f"m-c{n},{_STAMP},Course {n % 40} - {n},09,m-k{n % 40},K{n % 40:03d}-{n},scheduled,"
             f"Room {n % 90},m-s,m-t,,,1" for n in range(classes)]),
        "users.csv": (
            head + "enabledUser,orgSourcedIds,role,username,userIds,givenName,familyName,middleName,"
            "identifier,email,sms,phone,agentSourcedIds,grades,password",
            [_user(f"m-p{n}", n, "teacher", 1) for n in range(teachers)]
            + [_user(f"m-u{n}", n, "student", night) for n in everyone]),
        "demographics.csv": (head + "birthDate,sex",
                             [f"m-u{n},{_STAMP},{birth_date_of(n)}," for n in range(students)]),
        "enrollments.csv": (
            head + "classSourcedId,schoolSourcedId,userSourcedId,role,primary,beginDate,endDate",
            [f"m-e{s}-{t},{_STAMP},m-c{c},m-s,m-u{s},student,,2026-08-17," for s, t, c in seats
             if not (night == 2 and s < students and _goes(s, t))]
            + [f"m-t{c},{_STAMP},m-c{c},m-s,m-p{c % teachers},teacher,true,2026-08-17,"
               for c in range(classes)]),
        "lineItems.csv": (
            head + "title,description,assignDate,dueDate,classSourcedId,categorySourcedId,"
            "gradingPeriodSourcedId,resultValueMin,resultValueMax",
            [f"m-l{c},{_STAMP},Quiz {c},,2026-08-24,2026-08-28,m-c{c},,m-t,0,100"
             for c in range(classes)]),
        "results.csv": (
            head + "lineItemSourcedId,studentSourcedId,scoreStatus,score,scoreDate,comment",
            [f"m-r{s}-{t},{_STAMP},m-l{c},m-u{s},fully graded,{_score(s, t, night)},2026-08-28,"
             for s, t, c in seats]),
    }  # fmt: skip


def _user(source_id: str, number: int, role: str, night: int) -> str:
    given, family = name_of(number)
    if role == "student" and night == 2 and number % 100 == 0:
        given = f"{given}-Marie"
    return (
        f"{source_id},{_STAMP},true,m-s,{role},{source_id},,{given},{family},,{number:07d},"
        f"{mail_of(number, 'metro')},,,,{'09' if role == 'student' else ''},"
    )


def _goes(student: int, turn: int) -> bool:
    """Whether this place is given up on the second night: one in 200."""
    return (student * _CLASSES_PER_STUDENT + turn) % 200 == 7


def _score(student: int, turn: int, night: int) -> str:
    number = student * _CLASSES_PER_STUDENT + turn
    return f"{number % 100}.{5 if night == 2 and number % 100 == 0 else 0}"
