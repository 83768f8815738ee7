"""Three schools that send OneRoster: Lakeside (1.1), Northgate (1.2), Maple Street (1.1, zipped)."""

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
    zipped,
)

_COURSES = (
    "Algebra I",
    "Biology",
    'English 9: "Voices"',
    "World History",
    "Art, Studio",
    "Spanish I",
)
_CLASSES = 8


def lakeside(night: int) -> Files:
    """Loose OneRoster 1.1 files with every optional one."""
    files = _school("lks", "lakeside", students=24, status="active")
    if night == 2:
        files = _second_night_at_lakeside(files)
    return {name: written(rows) for name, rows in files.items()}


def _second_night_at_lakeside(files: Tables) -> Tables:
    leaver, renamed, moved = "lks-s05", "lks-s03", "lks-s07"
    newcomer = _student("lks", "lakeside", 24, "active")
    users = [*without(files["users.csv"], sourcedId=leaver), newcomer]
    enrollments = without(files["enrollments.csv"], userSourcedId=leaver)
    gone = next(row for row in enrollments if row["userSourcedId"] == moved)
    enrollments = without(enrollments, sourcedId=gone["sourcedId"])
    enrollments = changed(enrollments, {"sourcedId": "lks-e09-c1"}, status="tobedeleted")
    enrollments += _enrollments_of("lks", newcomer["sourcedId"], 24, "active")
    enrollments.append(enrollments[0])  # the same row twice
    results = changed(files["results.csv"], {"sourcedId": "lks-r00-li1"}, score="9.5")
    results.append(results[1] | {"sourcedId": "lks-r06-li1", "studentSourcedId": "lks-s06"})
    return files | {
        "users.csv": changed(users, {"sourcedId": renamed}, familyName="Winterbourne-Yarrow"),
        "demographics.csv": changed(
            without(files["demographics.csv"], sourcedId=leaver),
            {"sourcedId": "lks-s02"}, birthDate="2010-01-31",
        ),
        "courses.csv": without(files["courses.csv"], sourcedId="lks-crs5"),
        "classes.csv": changed(files["classes.csv"], {"sourcedId": "lks-c2"}, location="Annex 4"),
        "enrollments.csv": enrollments,
        "results.csv": results,
    }  # fmt: skip


def maple_street(night: int) -> Files:
    """One zip of a bulk export: every status empty, every cell in quotes."""
    files = _school("mpl", "maplestreet", students=16, status="")
    if night == 2:
        staff = {"sourcedId": "mpl-t-c3"}
        files["users.csv"] = changed(files["users.csv"], {"sourcedId": "mpl-s04"}, grades="10")
        files["users.csv"].append(_student("mpl", "maplestreet", 16, ""))
        files["enrollments.csv"] += _enrollments_of("mpl", "mpl-s16", 16, "")
        row = next(r for r in files["enrollments.csv"] if r["sourcedId"] == "mpl-t-c3")
        files["enrollments.csv"] = without(files["enrollments.csv"], **staff)
        files["enrollments.csv"].append(
            row | {"sourcedId": "mpl-t-c3-b", "userSourcedId": "mpl-t0"}
        )
    content = {name: written(r, newline="\r\n", quote_all=True) for name, r in files.items()}
    return {"oneroster.zip": zipped(content)}


def northgate(night: int) -> Files:
    """Loose OneRoster 1.2 files: roles.csv, preferred names, pronouns."""
    files = _school("ngt", "northgate", students=20, status="active")
    roles: list[Row] = []
    users: list[Row] = []
    for number, user in enumerate(files["users.csv"]):
        orgs, role = user["orgSourcedIds"].split(","), user["role"]
        role = {"administrator": "principal", "guardian": "parent"}.get(role, role)
        for place, org in enumerate(orgs):
            roles.append(_role(user["sourcedId"], role, org, place))
        rest = {k: v for k, v in user.items() if k not in ("orgSourcedIds", "role")}
        users.append(
            rest
            | {
                "userMasterIdentifier": f"M-{number:04d}",
                "preferredGivenName": "Bee" if number % 9 == 1 else "",
                "preferredMiddleName": "",
                "preferredFamilyName": "",
                "primaryOrgSourcedId": orgs[0],
                "pronouns": "they/them" if number % 8 == 2 else "",
            }
        )
    files |= {"users.csv": users, "roles.csv": roles}
    if night == 2:
        files = _second_night_at_northgate(files)
    return {name: written(rows) for name, rows in files.items()}


def _second_night_at_northgate(files: Tables) -> Tables:
    users = changed(files["users.csv"], {"sourcedId": "ngt-s08"}, preferredGivenName="Ash")
    users = changed(users, {"sourcedId": "ngt-s09"}, pronouns="she/her")  # dropped: no change
    users = changed(users, {"sourcedId": "ngt-s11"}, enabledUser="false")
    roles = without(files["roles.csv"], sourcedId="ngt-t1-role1")
    roles = changed(roles, {"sourcedId": "ngt-s11-role0"}, endDate="2026-09-01")
    return files | {
        "users.csv": users,
        "roles.csv": [*roles, _role("ngt-t2", "proctor", "ngt-high", 1)],
        "results.csv": changed(
            files["results.csv"], {"sourcedId": "ngt-r01-li2"}, scoreStatus="exempt", score=""
        ),
        "lineItems.csv": changed(
            files["lineItems.csv"], {"sourcedId": "ngt-li3"}, status="tobedeleted"
        ),
    }


def _school(prefix: str, domain: str, students: int, status: str) -> Tables:
    """A district with two schools, as OneRoster 1.1 tables."""
    stamp = {"status": status, "dateLastModified": "2026-08-30T04:00:00.000Z" if status else ""}
    high, middle = f"{prefix}-high", f"{prefix}-middle"
    users = [_user(prefix, domain, f"t{n}", 500 + n, "teacher", high, stamp) for n in range(4)]
    users[1]["orgSourcedIds"] = f"{high},{middle}"
    users += [_user(prefix, domain, f"g{n}", 540 + n, "guardian", high, stamp) for n in range(2)]
    users.append(_user(prefix, domain, "a0", 560, "administrator", high, stamp))
    users += [_student(prefix, domain, number, status) for number in range(students)]
    enrollments = []
    for number in range(students):
        enrollments += _enrollments_of(prefix, f"{prefix}-s{number:02d}", number, status)
    for number in range(_CLASSES):
        teacher = f"{prefix}-t{number % 4}"
        enrollments.append(_enrollment(prefix, f"t-c{number}", number, teacher, "teacher", status))
    return {
        "manifest.csv": table("propertyName|value", "manifest.version|1.0", "oneroster.version|1.1"),
        "orgs.csv": [
            _record(f"{prefix}-district", stamp, name="Unified District", type="district",
                    identifier="D-01", parentSourcedId=""),
            _record(high, stamp, name="High School", type="school", identifier="0101",
                    parentSourcedId=f"{prefix}-district"),
            _record(middle, stamp, name="Middle School", type="school", identifier="0102",
                    parentSourcedId=f"{prefix}-district"),
        ],
        "academicSessions.csv": [
            _record(f"{prefix}-{name}", stamp, title=title, type=kind, startDate=start,
                    endDate=end, parentSourcedId=parent and f"{prefix}-{parent}", schoolYear="2027")
            for name, title, kind, start, end, parent in (
                ("sy", "2026/27", "schoolYear", "2026-08-17", "2027-06-04", ""),
                ("t1", "Fall", "semester", "2026-08-17", "2026-12-18", "sy"),
                ("t2", "Spring", "semester", "2027-01-05", "2027-06-04", "sy"),
                ("g1", "First quarter", "gradingPeriod", "2026-08-17", "2026-10-16", "t1"),
            )
        ],
        "courses.csv": [
            _record(f"{prefix}-crs{n}", stamp, schoolYearSourcedId=f"{prefix}-sy", title=title,
                    courseCode=f"C{100 + n}", grades="09,10" if n % 2 else "09",
                    orgSourcedId=high, subjects="", subjectCodes="")
            for n, title in enumerate(_COURSES)
        ],
        "classes.csv": [
            _record(f"{prefix}-c{n}", stamp, title=f"{_COURSES[n % 6]} - {n}", grades="09",
                    courseSourcedId=f"{prefix}-crs{n % 6}", classCode=f"C{100 + n % 6}-{n}",
                    classType="homeroom" if n == 0 else "scheduled", location=f"Room {n + 1}",
                    schoolSourcedId=high, subjects="", subjectCodes="", periods="1",
                    termSourcedIds=f"{prefix}-t1,{prefix}-t2" if n == 0 else f"{prefix}-t1")
            for n in range(_CLASSES)
        ],
        "users.csv": users,
        "demographics.csv": [
            _record(f"{prefix}-s{n:02d}", stamp, birthDate=birth_date_of(n), sex="")
            for n in range(15)
        ],
        "enrollments.csv": enrollments,
        "categories.csv": [
            _record(f"{prefix}-cat0", stamp, title="Homework"),
            _record(f"{prefix}-cat1", stamp, title="Quiz"),
        ],
        "lineItems.csv": [
            _record(f"{prefix}-li{n}", stamp, title=f"Assignment {n}", description="",
                    assignDate="2026-08-24", dueDate=f"2026-08-{26 + n}",
                    classSourcedId=f"{prefix}-c{n}", categorySourcedId=f"{prefix}-cat{n % 2}",
                    gradingPeriodSourcedId=f"{prefix}-g1", resultValueMin="0", resultValueMax="10")
            for n in range(1, 4)
        ],
        "results.csv": [
            _record(f"{prefix}-r{s:02d}-li{n}", stamp, lineItemSourcedId=f"{prefix}-li{n}",
                    studentSourcedId=f"{prefix}-s{s:02d}", scoreStatus="fully graded",
                    score=f"{6 + s % 4}.{n}0", scoreDate="2026-08-30", comment="")
            for s in range(4) for n in (1, 2)
        ],
    }  # fmt: skip


def _record(source_id: str, stamp: Row, **fields: str) -> Row:
    return {"sourcedId": source_id, **stamp, **fields}


def _user(
    prefix: str, domain: str, label: str, number: int, role: str, org: str, stamp: Row
) -> Row:
    given, family = name_of(number)
    return _record(
        f"{prefix}-{label}", stamp, enabledUser="true", orgSourcedIds=org, role=role,
        username=f"{prefix}{number:03d}", userIds="", givenName=given, familyName=family,
        middleName="", identifier=f"{number:06d}", email=mail_of(number, domain), sms="", phone="",
        agentSourcedIds="", grades="", password="",
    )  # fmt: skip


def _student(prefix: str, domain: str, number: int, status: str) -> Row:
    stamp = {"status": status, "dateLastModified": "2026-08-30T04:00:00.000Z" if status else ""}
    user = _user(prefix, domain, f"s{number:02d}", number, "student", f"{prefix}-high", stamp)
    return user | {"grades": "09"}


def _enrollments_of(prefix: str, student: str, number: int, status: str) -> list[Row]:
    """Every student sits in two classes."""
    return [
        _enrollment(prefix, f"e{number:02d}-c{place}", place, student, "student", status)
        for place in (number % _CLASSES, (number + 3) % _CLASSES)
    ]


def _enrollment(prefix: str, label: str, place: int, user: str, role: str, status: str) -> Row:
    stamp = {"status": status, "dateLastModified": "2026-08-30T04:00:00.000Z" if status else ""}
    return _record(
        f"{prefix}-{label}", stamp, classSourcedId=f"{prefix}-c{place}",
        schoolSourcedId=f"{prefix}-high", userSourcedId=user, role=role,
        primary="true" if role == "teacher" else "", beginDate="2026-08-17", endDate="",
    )  # fmt: skip


def _role(user: str, role: str, org: str, place: int) -> Row:
    return {
        "sourcedId": f"{user}-role{place}", "status": "active",
        "dateLastModified": "2026-08-30T04:00:00.000Z", "userSourcedId": user,
        "roleType": "secondary" if place else "primary", "role": role,
        "beginDate": "2026-08-17", "endDate": "", "orgSourcedId": org, "userProfileSourcedId": "",
    }  # fmt: skip
