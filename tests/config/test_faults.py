"""One mapping, broken in one way at a time: each mistake is named with file, line, column and remedy."""

from __future__ import annotations

import shutil
from typing import Any

import pytest

from etl_lib.config.project import Project, ResolvedMapping, faults_of_all
from etl_lib.errors import FixTheMapping
from tests.config.conftest import write

GOOD = """\
extends: plain
client: Good School
owner: Ana
timezone: America/Chicago
schedule: "0 2 * * *"
precedence:
  person: [contacts, people]
values: {null_tokens: ["-"]}
feeds:
  people:
    format: {encoding: utf-8}
    columns:
      person_id: {aliases: [No]}
    entities:
      person:
        hook: etl_hooks.names.spanish_capitals
        columns:
          email: {pattern: "[^@]+@[^@]+"}
          status: {from: state, map: {in: active, out: inactive}}
  contacts:
    file: "contacts_{campus}_{date}.csv"
    entities:
      person:
        insert: false
        columns:
          person_id: person_id
          email: {from: mail, case: lower}
  enrollments:
    expectations:
      - expectation: expect_column_values_to_be_between
        entity: enrollment
        kwargs: {column: credits, max_value: 30}
    layouts:
      - effective_from: 2026-09-02
        entities:
          enrollment:
            columns:
              credits: hours
  sections:
    entities:
      section:
        columns:
          organization_id: {lookup: {feed: courses, key: course_id, by: course_id, column: organization_id}}
"""

# id: (text of GOOD, what it becomes, line:column, what is said); "" for what stays in order
CASES: dict[str, tuple[str, str, str, str]] = {
    "examples of an unknown feed": (
        "client: Good School",
        "examples: {peple: {email: [a@b]}}\nclient: Good School",
        "2:12",
        "there is no feed `peple`. Did you mean `people`?",
    ),
    "examples of an unknown column": (
        "client: Good School",
        "examples: {people: {emial: [a@b]}}\nclient: Good School",
        "2:21",
        "`people` reads no column `emial`. Did you mean `email`?",
    ),
    "examples in order": (
        "client: Good School",
        "examples: {people: {email: [a@b]}}\nclient: Good School",
        "",
        "",
    ),
    "nothing_broken": ("", "", "", ""),
    "good_preset_schedule": ('"0 2 * * *"', '"@daily"', "", ""),
    "good_no_schedule": ('"0 2 * * *"', "null", "", ""),
    "good_unquoted_no": ("aliases: [No]", "aliases: [no, 01, 12:30]", "", ""),
    "good_room": (
        "owner: Ana",
        "owner: Ana\npool: large\npriority: 5\nresources: {cpu: 2, memory: 2Gi}",
        "",
        "",
    ),
    "pool_that_no_environment_has": (
        "owner: Ana",
        "owner: Ana\npool: larg",
        "4:1",
        "pool: the environment `development` has no pool `larg`. Did you mean `large`?",
    ),
    "pool_unlike_any": (
        "owner: Ana",
        "owner: Ana\npool: night",
        "4:1",
        "Add it to `pools` of include/environments/development.yaml, with its slots.",
    ),
    "priority_of_none": ("owner: Ana", "owner: Ana\npriority: 0", "4:1", "priority: "),
    "memory_in_bytes": (
        "owner: Ana",
        "owner: Ana\nresources: {memory: 512}",
        "4:13",
        "resources.memory: `512` is not an amount of memory such as 512Mi or 2Gi.",
    ),
    "memory_in_thousandths": (
        "owner: Ana",
        "owner: Ana\nresources:\n  cpu: 500m\n  memory: 512m",
        "6:3",
        "resources.memory: `512m` is not an amount of memory such as 512Mi or 2Gi.",
    ),
    "cpu_in_words": (
        "owner: Ana",
        "owner: Ana\nresources: {cpu: two}",
        "4:13",
        "resources.cpu: `two` is not a number of processor cores such as 2, 0.5 or 500m.",
    ),
    "cpu_of_nothing": (
        "owner: Ana",
        "owner: Ana\nresources: {cpu: 0.0}",
        "4:13",
        "`0.0` is not a number of processor cores",
    ),
    "resource_that_is_none": (
        "owner: Ana",
        "owner: Ana\nresources: {cpus: 2}",
        "4:13",
        "resources.cpus: there is no such key. Did you mean `cpu`?",
    ),
    "good_file_part": ("email: {from: mail", 'email: {from: "{campus}"', "", ""),
    "good_days": (
        "owner: Ana", "owner: Ana\napprove_on: {date: 2026-08-15, reason: New year}\n"
        "blackout: [{from: 2026-06-01, to: 2026-06-01, reason: Rollover}]", "", ""),
    "announced_day_twice": (
        "owner: Ana", "owner: Ana\napprove_on:\n  - {date: 2026-08-15, reason: New year}\n"
        "  - {date: 2026-08-15, reason: Again}", "6:6", "approve_on.1.date: 2026-08-15 stands twice."),
    "announced_day_in_a_blackout": (
        "owner: Ana", "owner: Ana\napprove_on: [{date: 2026-08-15, reason: New year}]\n"
        "blackout: [{from: 2026-08-14, to: 2026-08-16, reason: Rollover}]", "4:15",
        "lies in a blackout, from 14 August 2026 to 16 August 2026: Rollover."),
    "announced_without_a_reason": (
        "owner: Ana", "owner: Ana\napprove_on: [{date: 2026-08-15}]", "4:14",
        "approve_on.0.reason: this key is required and missing."),
    "announced_on_no_day": (
        "owner: Ana", "owner: Ana\napprove_on: [{date: 2026-02-30, reason: New year}]", "4:15",
        "approve_on.0.date"),
    "pause_that_ends_before_it_begins": (
        "owner: Ana", "owner: Ana\nblackout: [{from: 2026-08-16, to: 2026-08-14, reason: Rollover}]",
        "4:12", "`to` lies before `from`"),
    "pauses_that_overlap": (
        "owner: Ana", "owner: Ana\nblackout: [{from: 2026-08-01, to: 2026-08-04, reason: Rollover}]\n"
        "additions_only: [{from: 2026-08-04, to: 2026-08-05, reason: Rollover}]", "5:19",
        "the days overlap with a blackout"),
    "good_calendar": (
        "owner: Ana", "owner: Ana\ncalendar: {sends_on: [sun, mon], holidays: {from: 2026-11-26, to: 2026-11-27, "
        "reason: Thanksgiving}}\ndelivery: {expected_by: \"05:30\", deadline: \"05:30\"}", "", ""),
    "good_schedule_of_some_days": (
        '"0 2 * * *"', '"0 20 * * 0,3"\ncalendar: {sends_on: [mon, thu]}', "", ""),
    "good_schedule_without_an_hour": (
        '"0 2 * * *"', '"0 2 1 * *"\ndelivery: {expected_by: null}', "", ""),
    "day_of_the_week_that_is_none": (
        "owner: Ana", "owner: Ana\ncalendar: {sends_on: [mon, tues]}", "4:28",
        "calendar.sends_on.1"),
    "no_day_of_the_week": (
        "owner: Ana", "owner: Ana\ncalendar: {sends_on: []}", "4:12", "calendar.sends_on"),
    "holidays_that_overlap": (
        "owner: Ana", "owner: Ana\ncalendar:\n  holidays:\n"
        "    - {from: 2026-11-26, to: 2026-11-27, reason: Thanksgiving}\n"
        "    - {from: 2026-11-27, to: 2026-11-28, reason: Again}", "7:8",
        "calendar.holidays.1.from: the days overlap with others of the list."),
    "holiday_without_a_reason": (
        "owner: Ana", "owner: Ana\ncalendar: {holidays: [{from: 2026-11-26, to: 2026-11-27}]}",
        "4:23", "calendar.holidays.0.reason: this key is required and missing."),
    "deadline_before_the_hour": (
        "owner: Ana", "owner: Ana\ndelivery: {expected_by: \"09:00\"}", "4:12",
        "delivery.expected_by: a run stops waiting at 08:00, the `deadline`, before the files are expected."),
    "hour_that_is_none": (
        "owner: Ana", "owner: Ana\ndelivery: {expected_by: \"25:00\"}", "4:12", "delivery.expected_by"),
    "school_days_without_a_run": (
        '"0 2 * * *"', '"0 2 * * 1-3"', "5:1",
        "schedule: no run waits for the files of Thursday, Friday."),
    "day_of_the_calendar_without_a_run": (
        '"0 2 * * *"', '"0 2 * * 1-5"\ncalendar: {sends_on: [fri, sat]}', "6:12",
        "calendar.sends_on: no run waits for the files of Saturday."),
    "approval_without_time": (
        "owner: Ana", "owner: Ana\napproval_hours: 0", "4:1", "approval_hours"),
    "unknown_key_at_the_top": (
        "owner: Ana", "ownr: Ana", "3:1", "ownr: there is no such key. Did you mean `owner`?"),
    "unknown_key_in_a_feed": (
        "    columns:\n      person_id:", "    colums:\n      person_id:", "12:5",
        "feeds.people.colums: there is no such key. Did you mean `columns`?"),
    "unknown_key_in_a_fill": (
        "insert: false", "inserts: false", "24:9",
        "feeds.contacts.entities.person.inserts: there is no such key. Did you mean `insert`?"),
    "unknown_key_in_a_rule": (
        "case: lower", "cases: lower", "27:31",
        "feeds.contacts.entities.person.columns.email.cases: there is no such key. "
        "Did you mean `case`?"),
    "unknown_key_for_all_feeds": (
        "null_tokens", "nul_tokens", "8:10",
        "values.nul_tokens: there is no such key. Did you mean `null_tokens`?"),
    "unknown_key_in_a_layout": (
        "        entities:\n          enrollment:\n            columns:\n              credits",
        "        entitys:\n          enrollment:\n            columns:\n              credits",
        "35:9",
        "feeds.enrollments.layouts.0.entitys: there is no such key. Did you mean `entities`?"),
    "wrong_type": ("insert: false", "insert: perhaps", "24:9",
                   "feeds.contacts.entities.person.insert: Input should be a valid boolean"),
    "wrong_type_of_a_section": ("precedence:\n  person: [contacts, people]", "precedence: contacts",
                                "6:1", "precedence: Input should be a valid dictionary."),
    "required_key_missing": ("owner: Ana\n", "", "1:1", "owner: this key is required and missing."),
    "unknown_template": ("extends: plain", "extends: plan", "1:1",
                         "There is no template `plan`. Did you mean `plain`?"),
    "unknown_entity": ("      section:", "      sektion:", "41:7",
                       "feeds.sections.entities.sektion: there is no entity `sektion`. "
                       "Did you mean `section`?"),
    "unknown_field": ("organization_id: {lookup", "organisation_id: {lookup", "43:11",
                      "feeds.sections.entities.section.columns.organisation_id: `section` has no "
                      "field `organisation_id`. Did you mean `organization_id`?"),
    "value_that_the_field_does_not_allow": (
        "out: inactive", "out: inactiv", "19:11",
        "feeds.people.entities.person.columns.status: `inactiv` is not an allowed value. "
        "Did you mean `inactive`?"),
    "map_key_twice_in_other_case": (
        "map: {in: active, out", "map: {in: active, IN: inactive, out", "19:33",
        "status.map: `in` stands twice (upper and lower case are the same)."),
    "unknown_feed_in_a_lookup": (
        "feed: courses", "feed: course", "43:38",
        "columns.organization_id.lookup.feed: there is no feed `course`. Did you mean `courses`?"),
    "lookup_in_itself": ("feed: courses", "feed: sections", "43:38",
                         "lookup.feed: a feed cannot look up in itself."),
    "lookup_of_a_column_that_is_not_read": (
        "column: organization_id}", "column: organisation}", "43:84",
        "lookup.column: the feed `courses` does not read a column `organisation`."),
    "hook_outside_the_package": (
        "etl_hooks.names", "os.path", "16:9",
        "person.hook: `os.path.spanish_capitals` is not inside the package `etl_hooks`."),
    "hook_module_missing": ("etl_hooks.names", "etl_hooks.nams", "16:9",
                            "hook: there is no module `etl_hooks.nams`."),
    "hook_function_missing": ("spanish_capitals", "spanish", "16:9",
                              "hook: the module has no function `spanish`."),
    "cron": ('"0 2 * * *"', '"0 2 * *"', "5:1",
             "schedule: `0 2 * *` is not a cron expression such as `0 2 * * *`."),
    "time_zone": ("America/Chicago", "America/Chikago", "4:1",
                  "timezone: `America/Chikago` is not an IANA time zone"),
    "encoding": ("encoding: utf-8", "encoding: utf-9", "11:14",
                 "feeds.people.format.encoding: `utf-9` is not an encoding"),
    "pattern_that_is_no_regex": ("[^@]+@[^@]+", "[^@+", "18:19",
                                 "email.pattern: the regular expression cannot be read"),
    "extract_without_group": ("case: lower", 'extract: "a"', "27:11",
                              "columns.email: `extract` needs exactly one group in parentheses."),
    "two_origins": ("{from: mail, case: lower}", "{from: mail, constant: x}", "27:11",
                    "email: give exactly one of from, constant, concat, coalesce, lookup."),
    "no_origin": ("{from: mail, case: lower}", "{case: lower}", "27:11",
                  "email: give exactly one of from, constant, concat, coalesce, lookup."),
    "on_unmapped_default_without_default": (
        "out: inactive}", "out: inactive}, on_unmapped: default", "19:11",
        "status: `on_unmapped: default` needs a `default`."),
    "repeated_key": ("owner: Ana", "owner: Ana\nowner: Ben", "4:1", "The key `owner` stands twice."),
    "not_yaml": ("owner: Ana", "owner: [Ana", "4:9", "This is not valid YAML"),
    "two_writers_without_precedence": (
        "  person: [contacts, people]", "  person: [contacts]", "27:11",
        "email: `people` and `contacts` both write it. Say whose word counts: precedence: "
        "{person: [people, contacts]}"),
    "unknown_feed_in_precedence": (
        "[contacts, people]", "[contacts, people, pupils]", "7:3",
        "precedence.person: there is no feed `pupils`."),
    "unknown_entity_in_precedence": (
        "  person: [contacts, people]", "  person: [contacts, people]\n  persn: [people]", "8:3",
        "precedence.persn: there is no such entity. Did you mean `person`?"),
    "good_new_ids_of_what_is_only_referred_to": (
        "  contacts:\n", "  ids:\n    file: ids.csv\n    entities: {}\n    renames: {old: old, new: new, "
        "type: type, entities: {user: [course], school: [organization]}}\n  contacts:\n", "", ""),
    "scope_of_an_unknown_field": (
        "        hook: etl_hooks.names.spanish_capitals", "        scope_by: term", "16:9",
        "person.scope_by: no field `term`."),
    "scope_beyond_a_reference_that_is_none": (
        "        hook: etl_hooks.names.spanish_capitals", "        scope_by: email.term_id", "16:9",
        "scope_by: `email` does not lead to a field `term_id`."),
    "scope_of_a_field_that_is_not_filled": (
        "        insert: false", "        scope_by: birth_date", "24:9",
        "scope_by: the feed does not fill `birth_date`."),
    "absence_in_a_feed_of_changes": (
        "    file: \"contacts_{campus}_{date}.csv\"\n    entities:\n      person:",
        "    file: contacts.csv\n    content: changes\n    entities:\n      person:\n"
        "        delete_absent: true", "25:9",
        "delete_absent: absence means nothing in a feed with `content: changes`."),
    "password_under_a_field": ("from: mail", "from: PassWord", "27:11",
                               "columns.email: passwords and national ids are never read."),
    "national_id_among_the_columns": (
        "person_id: {aliases: [No]}", "SSN: {required: false}", "13:7",
        "feeds.people.columns.SSN: passwords and national ids are never read."),
    "password_as_an_alias": ("aliases: [No]", "aliases: [Pwd]", "13:7",
                             "feeds.people.columns.person_id: passwords and national ids are never read."),
    "password_as_an_extra": ("        hook: etl_hooks.names.spanish_capitals",
                             "        extra: [user_password]", "16:9",
                             "person.extra: passwords and national ids are never read."),
    "national_id_looked_up": ("column: organization_id}", "column: NationalID}", "43:84",
                              "passwords and national ids are never read."),
    "unknown_expectation": (
        "expect_column_values_to_be_between", "expect_column_values_to_be_betwen", "30:9",
        "expectations.0.expectation: unknown expectation. "
        "Did you mean `expect_column_values_to_be_between`?"),
    "name_that_is_no_expectation": (
        "expect_column_values_to_be_between", "between", "30:9",
        "expectations.0.expectation: String should match pattern"),
    "expectation_of_an_entity_that_is_not_filled": (
        "entity: enrollment", "entity: person", "31:9",
        "expectations.0.entity: the feed does not fill it."),
    "expectation_on_an_unknown_field": (
        "column: credits", "column: credit", "32:18",
        "expectations.0.kwargs.column: no field `credit`. Did you mean `credits`?"),
    "date_format_of_all_feeds": (
        'null_tokens: ["-"]', "date_formats: [DD/MM/YYYY]", "8:10",
        "values.date_formats: `DD/MM/YYYY` is not a strptime format."),
    "date_format_of_a_feed": (
        "    format: {encoding: utf-8}", "    values: {date_formats: [YYYY]}", "11:14",
        "feeds.people.values.date_formats: `YYYY` is not a strptime format."),
    "date_formats_that_contradict": (
        'null_tokens: ["-"]', 'date_formats: ["%d/%m/%Y", "%Y-%m-%d", "%m/%d/%Y"]', "8:10",
        "values.date_formats: `%d/%m/%Y` and `%m/%d/%Y` read one text as different days"),
    "date_format_of_a_rule": (
        "case: lower", "date_formats: [dd]", "27:31", "date_formats: `dd` is not a strptime format."),
    "date_format_without_year": ("case: lower", 'date_formats: ["%d/%m"]', "27:31",
                                 "`%d/%m` has no year, so every date would be of 1900."),
    "hour_of_twelve_without_half_of_day": (
        "case: lower", 'timestamp_formats: ["%Y-%m-%d %I:%M"]', "27:31",
        "`%Y-%m-%d %I:%M`: %I and %p belong together, or %H stands alone."),
    "half_of_day_with_hour_of_24": (
        "case: lower", 'timestamp_formats: ["%Y-%m-%d %H:%M %p"]', "27:31",
        "`%Y-%m-%d %H:%M %p`: %I and %p belong together, or %H stands alone."),
    "good_width": ("case: lower", "width: 8", "", ""),
    "width_with_pad": ("case: lower", "width: 8, pad: 8", "27:31",
                       "email.width: `pad` puts back the zeros whose loss `width` would reject."),
    "width_of_a_date": ("credits: hours", "start_date: {from: start, width: 8}", "38:41",
                        "start_date.width: it is for ids and text only."),
    "width_of_a_joined_value": ("{from: mail, case: lower}", "{concat: [a, b], width: 8}", "27:35",
                                "email.width: it is the width of one column; this value is made of"),
    "good_blank": ("case: lower", "blank: keep", "", ""),
    "unknown_blank": ("case: lower", "blank: leave", "27:31", "email.blank: Input should be 'clear' or 'keep'"),
    "blank_of_the_key": ("person_id: person_id\n", "person_id: {from: person_id, blank: keep}\n", "26:40",
                         "person_id.blank: `person_id` makes the key, which never stays without a value."),
    "blank_of_a_part_of_the_key": (
        "credits: hours", "observed_person_id: {from: o, blank: keep}", "38:45",
        "observed_person_id.blank: `observed_person_id` makes the key"),
    "blank_of_a_required_field": ("credits: hours", "person_id: {from: p, blank: keep}", "38:36",
                                  "person_id.blank: `person_id` is required: a row without it is"),
    "blank_with_a_default": ("case: lower", "default: x, blank: keep", "27:43",
                             "email.blank: the default takes the place of a blank"),
    "blank_of_a_constant": ("{from: mail, case: lower}", "{constant: x, blank: keep}", "27:32",
                            "email.blank: the value does not come from the file"),
    "required_field_missing": (
        "  sections:\n    entities:\n      section:\n        columns:\n", "  sections:\n    entities:\n"
        "      section_staff: {columns: {section_id: s, role: r}}\n      section:\n        columns:\n",
        "41:23", "section_staff.columns: the required field `person_id` is not mapped."),
    "key_missing": ("          person_id: person_id\n", "", "25:9",
                    "person.columns: the key `person_id` is not mapped."),
    "file_part_that_the_name_lacks": (
        "from: mail", 'from: "{house}"', "27:11", "columns.email: the file name has no part `{house}`."),
    "no_header_and_no_columns": (
        '    file: "contacts_{campus}_{date}.csv"', "    file: c.csv\n    format: {header: false}",
        "20:3", "feeds.contacts.columns: a file without header needs `columns` in their order."),
    "mask_of_a_date": ("credits: hours", "start_date: {sensitive: mask}", "38:28",
                       "start_date.sensitive: `mask` is for text fields only."),
    "layout_date": ("2026-09-02", "2026-09-31", "34:9",
                    "feeds.enrollments.layouts.0.effective_from:"),
    "field_in_a_layout": ("credits: hours", "credit: hours", "38:15",
                          "enrollment.columns.credit: `enrollment` has no field `credit`."),
    "hold_above_fail": ("owner: Ana", "owner: Ana\nlimits: {hold: {rejected_share: 0.5}}", "4:1",
                        "limits: limits.hold.rejected_share must not exceed "
                        "limits.fail.rejected_share."),
    "share_above_one": ("owner: Ana", "owner: Ana\nlimits: {hold: {deleted_share: 10}}", "4:17",
                        "limits.hold.deleted_share: Input should be less than or equal to 1."),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_mistake_is_named_with_its_place_and_remedy(
    project: Project, case: tuple[str, str, str, str]
) -> None:
    old, new, where, said = case
    assert GOOD.count(old) == 1 or not old, "the case must break exactly one place"
    write(project, "mappings/good_school.yaml", GOOD.replace(old, new, 1) if old else GOOD)
    ((_, faults),) = faults_of_all(project)
    shown = [str(fault) for fault in faults]
    if not where:
        assert shown == []
        return
    wanted = f"include/mappings/good_school.yaml:{where}: "
    assert any(line.startswith(wanted) and said in line for line in shown), "\n".join(shown)
    assert {fault.code for fault in faults} == {"MAPPING_INVALID"}


def test_all_mistakes_are_told_at_once(project: Project) -> None:
    broken = GOOD.replace("extends: plain", "extends: plain\nretries: 99")
    write(project, "mappings/good_school.yaml", broken.replace("case: lower", "cases: lower"))
    with pytest.raises(FixTheMapping) as error:
        project.resolve("good_school")
    assert len(error.value.faults) == 2


def test_new_ids_of_nothing_that_the_client_has_are_refused(project: Project) -> None:
    ids = "{file: ids.csv, entities: {}, renames: {old: o, new: n, type: t, entities: {post: [result]}}}"
    terms = "{file: terms.csv, entities: {term: {columns: {term_id: id, name: name}}}}"
    text = f"client: A\nsis: S\nowner: B\nfeeds:\n  terms: {terms}\n  ids: {ids}\n"
    write(project, "mappings/good_school.yaml", text)
    ((_, (fault,)),) = faults_of_all(project)
    assert fault.where == "include/mappings/good_school.yaml:6:73"
    assert fault.text == (
        "feeds.ids.renames.entities: the client fills none of these entities, and nothing that it "
        "fills refers to one."
    )
    assert fault.hint == "Leave the feed out: `ids: null`."


def test_what_is_said_for_all_feeds_is_reported_once(project: Project) -> None:
    broken = GOOD.replace('null_tokens: ["-"]', "date_formats: [nonsense], decimal: dot")
    write(project, "mappings/good_school.yaml", broken)
    ((_, faults),) = faults_of_all(project)
    assert [fault.where.rpartition("good_school.yaml:")[2] for fault in faults] == ["8:36"]


def test_a_mistake_in_a_template_is_named_there(project: Project) -> None:
    template = project.include / "templates" / "plain.yaml"
    template.write_text(template.read_text().replace("name: name", "nam: name", 1))
    write(project, "mappings/good_school.yaml", GOOD)
    ((_, faults),) = faults_of_all(project)
    assert faults
    assert all(fault.where.startswith("include/templates/plain.yaml:") for fault in faults)


def test_a_client_that_does_not_exist_gets_the_nearest_name(project: Project) -> None:
    write(project, "mappings/good_school.yaml", GOOD)
    ((_, (fault,)),) = faults_of_all(project, ["good_shool"])
    assert fault.code == "MAPPING_NOT_FOUND"
    assert "Did you mean `good_school`?" in str(fault)


@pytest.mark.parametrize(
    "name", ["good_school.yml", "Good.yaml", "x.yaml", "good-school.yaml", "1st.yaml", "notes.txt"]
)
def test_a_file_that_no_client_can_have_is_no_client_but_is_named(
    project: Project, name: str
) -> None:
    write(project, "mappings/good_school.yaml", GOOD)
    write(project, f"mappings/{name}", GOOD)
    assert project.client_ids() == ("good_school",)
    told = dict(faults_of_all(project))
    assert told["good_school"] == []
    (fault,) = told[name]
    assert fault.where == f"include/mappings/{name}"
    assert "its name must be a client id and end in `.yaml`" in fault.text


def test_a_broken_mapping_does_not_hide_the_others(project: Project) -> None:
    write(project, "mappings/a_broken.yaml", "client: [")
    write(project, "mappings/good_school.yaml", GOOD)
    told = dict(faults_of_all(project))
    assert (len(told["a_broken"]), told["good_school"]) == (1, [])


def test_a_template_that_extends_itself_is_refused(project: Project) -> None:
    write(project, "templates/loop.yaml", "extends: loop\n")
    write(project, "mappings/good_school.yaml", GOOD.replace("extends: plain", "extends: loop"))
    ((_, (fault,)),) = faults_of_all(project)
    assert fault.where == "include/templates/loop.yaml:1:1"


ENTITY = "include/entities/term.yaml"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  term_id:", "  key_id:", f"{ENTITY}:1:1: Value error, fields must hold the key `term_id`"),
        ("ordered:\n  - [start_date", "ordered:\n  - [first_day", "not a field of this entity: first_day"),
        ("type: integer", "type: number", f"{ENTITY}:55:5: fields.school_year.type: Input should be"),
        ("    values: [school_year, semester, quarter, term, part_of_term, grading_period, other]\n",
         "", "a field of type enum has `values`, any other type has none"),
        ("entity: term\n", "entity: terms\n", "fields must hold the key `terms_id`"),
        ("type: id\n    required: true", "type: text\n    required: true", "the key `term_id` must have the type id"),
    ],
    ids=["key", "ordered", "type", "enum_without_values", "name", "type_of_key"],
)  # fmt: skip
def test_a_broken_entity_file_is_named(project: Project, old: str, new: str, said: str) -> None:
    path = project.include / "entities" / "term.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(FixTheMapping) as error:
        _ = project.entities
    assert said.removeprefix(f"{ENTITY}:1:1: Value error, ") in str(error.value)
    assert ENTITY in str(error.value)


def test_a_missing_environment_is_named(project: Project) -> None:
    shutil.rmtree(project.include / "environments")
    with pytest.raises(
        FixTheMapping, match=r"environments/development\.yaml: The file does not exist"
    ):
        _ = project.environment


def test_a_feed_that_a_mapping_removes_leaves_the_templates_precedence(project: Project) -> None:
    text = "extends: banner\nclient: A\nowner: B\nfeeds: {roster: null, courses: null, sections: null}\n"
    write(project, "mappings/terms_only.yaml", text)
    mapping = project.resolve("terms_only").mapping
    assert "roster" not in mapping.feeds
    assert all("roster" not in feeds for feeds in mapping.precedence.values())


@pytest.mark.parametrize(
    ("change", "same"),
    [({"aliases": ("Semesterbezeichnung",), "description": "Other words."}, True), ({"max_length": 9}, False)],
    ids=["words for people", "what a row may hold"],
)  # fmt: skip
def test_only_what_decides_a_row_makes_another_contract(
    project: Project, change: dict[str, Any], same: bool
) -> None:
    write(project, "mappings/good_school.yaml", GOOD)
    resolved = project.resolve("good_school")
    name, entity = next(
        (n, e) for n, e in resolved.entities.items() if "name" in e.fields or "title" in e.fields
    )
    field = "name" if "name" in entity.fields else "title"
    other = entity.fields[field].model_copy(update=change)
    changed = entity.model_copy(update={"fields": {**entity.fields, field: other}})
    again = resolved.model_copy(update={"entities": {**resolved.entities, name: changed}})
    read = ResolvedMapping.model_validate_json(again.model_dump_json(by_alias=True))
    assert (read.row_contract == resolved.row_contract) is same


def test_a_pool_of_the_template_is_named_in_the_environment_that_lacks_it(project: Project) -> None:
    template = project.include / "templates" / "plain.yaml"
    template.write_text(template.read_text() + "\npool: large\n")
    write(project, "mappings/good_school.yaml", GOOD)
    assert [faults for _, faults in faults_of_all(project)] == [[]]
    environment = project.include / "environments" / "development.yaml"
    without = [line for line in environment.read_text().splitlines() if "pools:" not in line]
    environment.write_text("\n".join(without))
    ((_, (fault,)),) = faults_of_all(Project(project.include, "development"))
    assert fault.where.startswith("include/templates/plain.yaml:")
    assert "has no pool `large`" in fault.text
