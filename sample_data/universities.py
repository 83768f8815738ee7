"""Harbor College (Canvas), Universidad San Rafael (Banner) and Prairie State (PeopleSoft)."""

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

NIGHTS = {1: "20260901", 2: "20260902"}


def harbor_college(night: int) -> Files:
    """Canvas SIS import files; some enrollments name only the course, one role is the school's own."""
    students = [_canvas_user(n, f"H{n:04d}", "student") for n in range(18)]
    staff = [_canvas_user(600 + n, f"F{n:03d}", "teacher") for n in range(3)]
    others = [_canvas_user(610, "P001", "observer"), _canvas_user(611, "X001", "administrative")]
    tables: Tables = {
        "accounts.csv": table(
            "account_id|parent_account_id|name|status",
            "INST-HARBOR||Harbor College|active",
            "COL-ARTS|INST-HARBOR|Arts and Letters|active",
            "DEP-HIST|COL-ARTS|History|active",
            "DEP-SCI|INST-HARBOR|Sciences|active",
        ),
        "terms.csv": table(
            "term_id|name|status|date_override_enrollment_type|start_date|end_date",
            "2026FA|Fall 2026|active||2026-08-24T00:00:00-06:00|2026-12-18T00:00:00-06:00",
            "2026FA|Fall 2026|active|TeacherEnrollment|2026-08-10T00:00:00-06:00|2026-12-31T00:00:00-06:00",
            "2027SP|Spring 2027|active||2027-01-11T00:00:00-06:00|2027-05-14T00:00:00-06:00",
        ),
        "courses.csv": table(
            "course_id|short_name|long_name|account_id|term_id|status|start_date|end_date|course_format",
            "HIS101-FA26|HIS101|History 101: Ports & Trade|DEP-HIST|2026FA|active|||on_campus",
            "HIS205-FA26|HIS205|History 205: Maps|DEP-HIST|2026FA|published|||online",
            'BIO110-FA26|BIO110|Biology 110: "Tides"|DEP-SCI|2026FA|active|||blended',
            "BIO110-SP27|BIO110|Biology 110|DEP-SCI|2027SP|active|||not_set",
        ),
        "sections.csv": table(
            "section_id|course_id|name|status|start_date|end_date",
            "HIS101-01|HIS101-FA26|Section 1|active||",
            "HIS101-02|HIS101-FA26|Section 2|active||",
            "BIO110-01|BIO110-FA26|Section 1|active|2026-08-25T00:00:00-06:00|",
            "BIO110-S1|BIO110-SP27|Section 1|active||",
        ),
        "xlists.csv": table("xlist_course_id|section_id|status", "HIS205-FA26|HIS101-02|active"),
        "users.csv": [*students, *staff, *others],
        "admins.csv": table(
            "user_id|account_id|role|status",
            "X001||AccountAdmin|active",
            "F000|DEP-HIST|Dean|active",
        ),
        "enrollments.csv": _canvas_enrollments(),
    }
    if night == 2:
        tables = _second_night_at_harbor(tables)
    return {name: written(rows) for name, rows in tables.items()}


def _canvas_user(number: int, user_id: str, kind: str) -> Row:
    given, family = name_of(number)
    return {
        "user_id": user_id, "integration_id": "", "login_id": f"{user_id.lower()}",
        "first_name": given, "last_name": family, "short_name": "",
        "email": mail_of(number, "harbor"), "declared_user_type": kind, "status": "active",
    }  # fmt: skip


def _canvas_enrollment(course: str, user: str, role: str, section: str, observed: str = "") -> Row:
    return {
        "course_id": course, "user_id": user, "role": role, "section_id": section,
        "status": "active", "start_date": "", "end_date": "", "associated_user_id": observed,
    }  # fmt: skip


def _canvas_enrollments() -> list[Row]:
    rows = []
    for number in range(18):
        section = "HIS101-01" if number % 2 else "HIS101-02"
        rows.append(_canvas_enrollment("HIS101-FA26", f"H{number:04d}", "student", section))
        if number % 3 == 0:  # no section: the course's default section
            rows.append(_canvas_enrollment("HIS205-FA26", f"H{number:04d}", "student", ""))
        else:
            rows.append(
                _canvas_enrollment(
                    "BIO110-FA26", f"H{number:04d}", "StudentEnrollment", "BIO110-01"
                )
            )
    return [
        *rows,
        _canvas_enrollment("BIO110-SP27", "H0000", "student", "BIO110-S1"),
        _canvas_enrollment("HIS101-FA26", "F000", "teacher", "HIS101-01"),
        _canvas_enrollment("HIS101-FA26", "F000", "teacher", "HIS101-02"),
        _canvas_enrollment("BIO110-FA26", "F001", "teacher", "BIO110-01"),
        _canvas_enrollment("BIO110-FA26", "F002", "ta", "BIO110-01"),
        _canvas_enrollment("HIS205-FA26", "F002", "designer", ""),
        _canvas_enrollment("HIS101-FA26", "P001", "observer", "HIS101-02", "H0000"),
        _canvas_enrollment("HIS101-FA26", "P001", "observer", "HIS101-01", "H0001"),
        _canvas_enrollment("HIS101-FA26", "X001", "Librarian", "HIS101-01"),
    ]


def _second_night_at_harbor(tables: Tables) -> Tables:
    enrollments = without(tables["enrollments.csv"], user_id="H0004", course_id="HIS101-FA26")
    # the spring course is left out altogether: its term is not spoken of, so nothing there goes
    enrollments = without(enrollments, course_id="BIO110-SP27")
    key = {"user_id": "H0005", "course_id": "HIS101-FA26"}
    enrollments = changed(enrollments, key, status="completed")
    key = {"user_id": "H0007", "course_id": "HIS101-FA26"}
    enrollments = changed(enrollments, key, status="deleted")
    enrollments = without(enrollments, user_id="F002", role="ta")
    enrollments.append(_canvas_enrollment("HIS101-FA26", "H0018", "student", "HIS101-01"))
    users = changed(tables["users.csv"], {"user_id": "H0002"}, email="new.address@harbor.example")
    users = changed(users, {"user_id": "H0003"}, status="suspended")
    users.append(_canvas_user(18, "H0018", "student"))
    return tables | {
        "users.csv": users,
        "enrollments.csv": enrollments,
        "courses.csv": changed(
            tables["courses.csv"], {"course_id": "HIS205-FA26"}, status="completed"
        ),
        "admins.csv": changed(tables["admins.csv"], {"user_id": "F000"}, status="deleted"),
    }


def san_rafael(night: int) -> Files:
    """Banner extracts: semicolons, cp1252, dd/mm/yyyy, decimal comma, names in capitals.

    The roster's term stands only in its file name; from the second night on the roster has its
    credits under another header and dates with points.
    """
    tables: Tables = {
        "campuses": table("CAMP_CODE;CAMP_DESC".replace(";", "|"), "NOR|Campus Norte", "SUR|Campus Sur"),
        "terms": table(
            "STVTERM_CODE|STVTERM_DESC|STVTERM_START_DATE|STVTERM_END_DATE|STVTERM_TRMT_CODE|STVTERM_ACYR_CODE",
            "202710|Otoño 2026|17/08/2026|11/12/2026|S|2027",
            "202720|Primavera 2027|18/01/2027|14/05/2027|S|2027",
            "202700|Catálogo 2027|01/08/2026|31/07/2027||9999",
        ),
        "programs": table(
            "PROGRAM|PROGRAM_DESC|DEGC_CODE|LEVL_CODE|CAMP_CODE",
            "LIC-HIS|Licenciatura en Historia|LIC|UG|NOR",
            "ING-CIV|Ingeniería Civil|ING|UG|SUR",
        ),
        "courses": table(
            "SUBJ_CODE|CRSE_NUMB|TITLE|CREDIT_HR_LOW|CREDIT_HR_HIGH|CSTA_CODE|CAMP_CODE",
            "HIS|1010|Historia del Año Mil|6,000|6,000|A|NOR",
            "MAT|0101|Cálculo I|7,500|7,500|A|SUR",
            "MAT|0205|Álgebra; introducción|4,500|6,000|A|SUR",
        ),
        "sections": table(
            "TERM_CODE|CRN|SUBJ_CODE|CRSE_NUMB|SEQ_NUMB|SSTS_CODE|SCHD_CODE|PTRM_START_DATE|PTRM_END_DATE|CREDIT_HRS|MAX_ENRL|INSM_CODE|CAMP_CODE",
            "202710|00101|HIS|1010|01|A|LEC|17/08/2026|11/12/2026|6,000|40|TR|NOR",
            "202710|00102|MAT|0101|01|A|LEC|17/08/2026|11/12/2026|7,500|40|HYB|SUR",
            "202710|00103|MAT|0101|L1|A|TAL|17/08/2026|11/12/2026||20|??|SUR",
            "202710|00104|MAT|0205|01|C|LEC|17/08/2026|11/12/2026|6,000|40|WEB|SUR",
        ),
        "instructors": table(
            "TERM_CODE|CRN|PIDM|ID|FIRST_NAME|MI|LAST_NAME|EMAIL|PRIMARY_IND|PERCENT_RESPONSE",
            "202710|00101|900001|P00900001|BEGOÑA||IBÁÑEZ DE LA TORRE|begona@sanrafael.example|Y|100,00",
            "202710|00102|900002|P00900002|ÓSCAR|M|PEÑALOZA|oscar@sanrafael.example|Y|60,50",
            "202710|00102|900001|P00900001|BEGOÑA||IBÁÑEZ DE LA TORRE|begona@sanrafael.example|N|39,50",
            "202710|00103|900002|P00900002|ÓSCAR|M|PEÑALOZA|oscar@sanrafael.example|Y|100,00",
        ),
        "roster": _banner_roster(),
    }  # fmt: skip
    if night == 2:
        tables = _second_night_at_san_rafael(tables)
    names = {name: f"{name}_{NIGHTS[night]}.csv" for name in tables}
    names["roster"] = f"roster_202710_{NIGHTS[night]}.csv"
    return {
        names[name]: written(rows, delimiter=";", encoding="cp1252", newline="\r\n")
        for name, rows in tables.items()
    }


_SPANISH = (
    ("ÁNGELA", "NÚÑEZ SOLÍS"), ("BENITO", "DE LA CRUZ"), ("CONCEPCIÓN", "GÜELL"),
    ("DOMÉNICO", "AÑORVE"), ("ÉLIDA", "ZÚÑIGA"), ("FÉLIX", "DEL RÍO"), ("GRACIELA", "MUÑIZ"),
    ("HÉCTOR", "Y GASSET"), ("IRÁN", "CIGÜEÑAS"), ("JOSÉ MARÍA", "PEÑA"), ("KARLA", "ÁVILA"),
    ("LUCÍA", "ORDÓÑEZ"),
)  # fmt: skip


def _banner_roster() -> list[Row]:
    return [
        _banner_row(number, crn)
        for number in range(len(_SPANISH))
        for crn in (("00101", "00102") if number % 2 else ("00102", "00103"))
    ]


def _banner_row(number: int, crn: str) -> Row:
    given, family = _SPANISH[number]
    return {
        "CRN": crn, "PIDM": f"{100200 + number}", "ID": f"A{number:08d}", "FIRST_NAME": given,
        "MI": "", "LAST_NAME": family, "EMAIL": f"a{number:08d}@sanrafael.example",
        "EMAIL_PERS": "", "CONFID_IND": "Y" if number == 4 else "N",
        "PROGRAM": "" if number == 11 else ("ING-CIV" if number % 3 else "LIC-HIS"),
        "TERM_CODE_CTLG": "202700", "STST_CODE": "AS", "LEVL_CODE": "UG",
        "CLAS_CODE": ("FR", "SO", "9N")[number % 3], "RSTS_CODE": "RW" if number % 4 else "RE",
        "RSTS_DATE": "10/08/2026", "ADD_DATE": "10/08/2026",
        "CREDIT_HR": "6,000" if crn == "00101" else "7,500", "GMOD_CODE": "S", "GRDE_CODE": "",
    }  # fmt: skip


def _second_night_at_san_rafael(tables: Tables) -> Tables:
    roster = without(tables["roster"], PIDM="100203", CRN="00101")
    roster = changed(
        roster, {"PIDM": "100206", "CRN": "00102"}, RSTS_CODE="DW", RSTS_DATE="01/09/2026"
    )
    roster = [r | {"EMAIL": "", "EMAIL_PERS": "irán@example.org"} if r["PIDM"] == "100208" else r
              for r in roster]  # fmt: skip
    roster = [r | {"PROGRAM": "LIC-HIS"} if r["PIDM"] == "100205" else r for r in roster]
    roster.append(_banner_row(0, "00101"))
    renamed = []
    for row in roster:
        row = {("HORAS" if name == "CREDIT_HR" else name): value for name, value in row.items()}
        dates = {name: row[name].replace("/", ".") for name in ("RSTS_DATE", "ADD_DATE")}
        renamed.append(row | dates)
    return tables | {
        "roster": renamed,
        "sections": changed(tables["sections"], {"CRN": "00101"}, MAX_ENRL="45"),
        "instructors": without(tables["instructors"], CRN="00102", PIDM="900001"),
        "courses": changed(tables["courses"], {"CRSE_NUMB": "0205"}, CREDIT_HR_HIGH="7,500"),
    }


_PS = {"INSTITUTION": "PRST", "ACAD_CAREER": "UGRD", "STRM": "2267", "SESSION_CODE": "1"}


def prairie_state(night: int) -> Files:
    """PeopleSoft query output: tabs, report lines around the table, changes only."""
    tables = _prairie_first() if night == 1 else _prairie_second()
    title = "Prairie State University\tRun {day}\nQuery ETL_{name}\n\n"
    return {
        f"{name}_{NIGHTS[night]}.txt": written(
            rows, delimiter="\t",
            before=title.format(day=NIGHTS[night], name=name.upper()),
            after=f"Rows returned: {len(rows)}\n",
        )
        for name, rows in tables.items()
    }  # fmt: skip


def _prairie_first() -> Tables:
    return {
        "acad_org": table(
            "ACAD_ORG|DESCR|DESCRSHORT|PARENT_ACAD_ORG",
            "PRST|Prairie State University|PRST|", "BIOL|Biology|Biol|PRST", "MUSC|Music|Mus|PRST",
        ),
        "term": table(
            "INSTITUTION|ACAD_CAREER|STRM|DESCR|DESCRSHORT|TERM_BEGIN_DT|TERM_END_DT|ACAD_YEAR|ACTION",
            "PRST|UGRD|2267|Fall 2026|Fa26|2026-08-24|2026-12-11|2027|A",
            "PRST|UGRD|2273|Spring 2027|Sp27|2027-01-11|2027-05-07|2027|A",
        ),
        "acad_prog_tbl": table(
            "INSTITUTION|ACAD_PROG|DESCR|ACAD_CAREER|EFF_STATUS|ACAD_ORG",
            "PRST|LASUG|Liberal Arts and Sciences|UGRD|A|PRST", "PRST|MUSUG|Music|UGRD|A|MUSC",
        ),
        "crse_catalog": table(
            "CRSE_ID|SUBJECT|CATALOG_NBR|COURSE_TITLE_LONG|UNITS_MINIMUM|UNITS_MAXIMUM|EFF_STATUS|ACAD_ORG|ACTION",
            "001234|BIOL|101|Life of the Grassland|4.00|4.00|A|BIOL|A",
            "2040|MUSC|210|Chamber Ensemble|1.00|3.00|A|MUSC|A",
        ),
        "class_tbl": [
            _PS | dict(zip(
                ("CLASS_NBR", "CRSE_ID", "SUBJECT", "CATALOG_NBR", "CLASS_SECTION", "CLASS_STAT",
                 "SSR_COMPONENT", "START_DT", "END_DT", "ENRL_CAP", "INSTRUCTION_MODE", "FACILITY_ID",
                 "ACAD_ORG", "ACTION"), line.split("|"), strict=True))
            for line in (
                "10234|001234|BIOL|101|001|A|LEC|2026-08-24|2026-12-11|120|P|HALL 1|BIOL|A",
                "10235|001234|BIOL|101|L01|A|LAB|2026-08-24|2026-12-11|24|P|LAB 3|BIOL|A",
                "10300|2040|MUSC|210|001|T|ENS|2026-08-24|2026-12-11|30|HY|STUDIO|MUSC|A",
            )
        ],
        "personal_data": [_ps_person(number, "A") for number in (*range(14), 700, 701)],
        "acad_prog": [_ps_program(number, "AC", "A") for number in range(14)],
        "class_instr": [
            _PS | {"CLASS_NBR": nbr, "EMPLID": emplid, "INSTR_ROLE": role, "INSTR_LOAD_PCT": load,
                   "ACTION": "A"}
            for nbr, emplid, role, load in (
                ("10234", "000000700", "PI", "100"), ("10235", "000000701", "TA", "50.5"),
                ("10300", "000000700", "PI", "100"),
            )
        ],
        "stdnt_enrl": [_ps_enrollment(n, nbr, "E", "A") for n in range(14)
                       for nbr in (("10234", "10235") if n % 2 else ("10234", "10300"))],
    }  # fmt: skip


def _prairie_second() -> Tables:
    """Only what changed; two rows come again as they were."""
    drop = _ps_enrollment(2, "10300", "D", "C") | {"ENRL_DROP_DT": "2026-09-01"}
    return {
        "term": table(
            "INSTITUTION|ACAD_CAREER|STRM|DESCR|DESCRSHORT|TERM_BEGIN_DT|TERM_END_DT|ACAD_YEAR|ACTION",
            "PRST|UGRD|2273|Spring 2027|Sp27|2027-01-11|2027-05-08|2027|C",
        ),
        "crse_catalog": table(
            "CRSE_ID|SUBJECT|CATALOG_NBR|COURSE_TITLE_LONG|UNITS_MINIMUM|UNITS_MAXIMUM|EFF_STATUS|ACAD_ORG|ACTION",
            "1234|BIOL|101|Life of the Grassland|4.00|4.00|A|BIOL|C",
        ),
        "class_tbl": [
            row | {"ENRL_CAP": "32", "CLASS_STAT": "A", "ACTION": "C"}
            for row in _prairie_first()["class_tbl"] if row["CLASS_NBR"] == "10300"
        ],
        "personal_data": [
            _ps_person(14, "A"), _ps_person(3, "C") | {"PREF_FIRST_NAME": "Dee"},
            _ps_person(5, "C"),
        ],
        "acad_prog": [
            _ps_program(14, "AC", "A"), _ps_program(6, "LA", "C"), _ps_program(13, "AC", "D"),
        ],
        "stdnt_enrl": [
            _ps_enrollment(14, "10234", "E", "A"), _ps_enrollment(14, "10300", "W", "A"), drop,
            _ps_enrollment(4, "10234", "E", "C") | {"UNT_TAKEN": "3.00"},
            _ps_enrollment(5, "10235", "E", "D"), _ps_enrollment(7, "10234", "E", "C"),
        ],
    }  # fmt: skip


def _ps_person(number: int, action: str) -> Row:
    given, family = name_of(number)
    return {
        "EMPLID": f"{number:09d}", "CAMPUS_ID": f"W{number:06d}", "OPRID": f"pr{number:04d}",
        "EMAIL_ADDR": mail_of(number, "prairie"), "FIRST_NAME": given, "MIDDLE_NAME": "",
        "LAST_NAME": family, "NAME_DISPLAY": f"{given} {family}", "PREF_FIRST_NAME": "",
        "FERPA": "Y" if number == 9 else "N", "BIRTHDATE": birth_date_of(number), "ACTION": action,
    }  # fmt: skip


def _ps_program(number: int, status: str, action: str) -> Row:
    return {
        "INSTITUTION": "PRST", "EMPLID": f"{number:09d}", "ACAD_CAREER": "UGRD",
        "STDNT_CAR_NBR": "0", "ACAD_PROG": "MUSUG" if number % 4 == 0 else "LASUG",
        "PROG_STATUS": status, "REQ_TERM": "2267", "ACAD_LEVEL_BOT": "10", "EFFDT": "2026-08-24",
        "COMPLETION_DT": "", "ACTION": action,
    }  # fmt: skip


def _ps_enrollment(number: int, class_number: str, status: str, action: str) -> Row:
    reason = {"E": "ENRL", "W": "EWAT", "D": "DROP"}[status]
    return _PS | {
        "EMPLID": f"{number:09d}", "CLASS_NBR": class_number, "STDNT_ENRL_STATUS": status,
        "ENRL_STATUS_REASON": reason, "ENRL_ADD_DT": "2026-08-20", "ENRL_DROP_DT": "",
        "UNT_TAKEN": "4.00", "GRADING_BASIS_ENRL": "GRD", "CRSE_GRADE_OFF": "", "ACTION": action,
    }  # fmt: skip
