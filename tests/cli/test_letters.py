"""Headers, ids, codes and names in any script, whichever way the school's system writes accented letters."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.config.letters import composed
from etl_lib.extract.reader.columns import folded
from tests.cli.conftest import Etl

MAPPING = """
client: Trường Đại học
sis: Own
owner: Ana
delivery: {stable_s: 0}
feeds:
  terms:
    file: học_kỳ.csv
    entities: {term: {columns: {term_id: Học kỳ, name: Học kỳ}}}
  sections:
    file: lớp.csv
    entities:
      section: {columns: {section_id: "الرَّمز", name: 講義名ガイド, term_id: Học kỳ}}
  people:
    file: học_sinh_{cơ_sở}.csv
    values: {null_tokens: [không có, İPTAL, ΑΚΥΡΟΣ]}
    entities:
      person:
        where: {Loại: Học sinh}
        columns:
          person_id: {concat: ["{cơ_sở}", Mã số], separator: "-"}
          status: {from: Trạng thái, map: {đang học: active, thôi học: inactive}}
          full_name: Имя ученика й
          email: Почта
          primary_organization_id: {lookup: {feed: places, key: Mã, by: Trạng thái, column: Nơi}}
  places:
    file: nơi.csv
    entities: {organization: {columns: {organization_id: Nơi, name: Nơi, code: Mã, type: {constant: school}}}}
  enrollments:
    file: ghi_danh.csv
    entities:
      enrollment:
        columns:
          person_id: Mã số
          section_id: "الرَّمز"
          role: {constant: student}
          status: {constant: active}
""".replace("{cơ_sở}", "{place}")
KAMI = "\ufa19"  # an ideograph of names that Unicode's normal form would exchange
FILES = {
    "học_kỳ.csv": ["Học kỳ", "mùa thu"],
    "lớp.csv": ["الرَّمز,講義名ガイド,Học kỳ", "ฟิสิกส์-é,ガイダンス,mùa thu"],
    "nơi.csv": ["Nơi,Mã", "Huế,đang học", "Đà Nẵng,thôi học"],
    "học_sinh_Huế.csv": [
        "MÃ SỐ,Loại,TRẠNG THÁI,\u200fИМЯ УЧЕНИКА Й\u200f,Почта",
        "số-1,HỌC SINH,đang học,Nguyễn Thị Ngọc,İPTAL",
        f"số-2,Học sinh,thôi học,{KAMI}谷 ガク,ΑΚΥΡΟΣ",
        "số-3,Giáo viên,đang học,Phạm Đức,không có",
    ],
    "ghi_danh.csv": ["Mã số,الرَّمز", "Huế-số-1,ฟิสิกส์-é", "Huế-số-2,ฟิสิกส์-é"],
}


def query(url: str, text: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(text.encode()).fetchall()


@pytest.mark.parametrize(("of_files", "of_ids"), [("NFD", "NFC"), ("NFC", "NFD"), ("NFD", "NFD")])
@pytest.mark.parametrize("of_mapping", ["NFC", "NFD"])
def test_letters_are_the_same_however_they_are_written(
    of_mapping: str, of_files: str, of_ids: str, include: Path, etl: Etl, tmp_path: Path,
    database_url: str,
) -> None:  # fmt: skip
    def written(form: str, text: str) -> str:
        return KAMI.join(unicodedata.normalize(form, part) for part in text.split(KAMI))

    mapping = written(of_mapping, MAPPING)
    assert unicodedata.is_normalized("NFC", MAPPING) and (mapping == MAPPING) == (
        of_mapping == "NFC"
    )
    (include / "mappings" / "schule.yaml").write_text(mapping, encoding="utf-8")
    folder = tmp_path / "files"
    folder.mkdir()
    for name, lines in FILES.items():
        form = of_ids if name == "ghi_danh.csv" else of_files
        text = "\n".join([*(written(form, line) for line in lines), ""])
        (folder / written(of_files, name)).write_text(text, encoding="utf-8")
    answer = etl("run", "schule", "--files", str(folder), "--json")
    assert answer.code == 0, (answer.err, answer.out)

    people = query(database_url, "SELECT person_id, status, full_name, email, primary_organization_id "
                                 "FROM core.person ORDER BY person_id")  # fmt: skip
    assert people == [
        ("Huế-số-1", "active", "Nguyễn Thị Ngọc", None, "Huế"),
        ("Huế-số-2", "inactive", f"{KAMI}谷 ガク", None, "Đà Nẵng"),
    ]
    assert query(database_url, "SELECT person_id, section_id FROM core.enrollment ORDER BY 1") == [
        ("Huế-số-1", "ฟิสิกส์-é"), ("Huế-số-2", "ฟิสิกส์-é"),
    ]  # fmt: skip
    assert query(database_url, "SELECT name, term_id FROM core.section") == [
        ("ガイダンス", "mùa thu")
    ]

    trace = etl("trace", "schule", written("NFD", "Huế-số-1"), "--json")
    assert "It is there as person" in trace.json["sentence"]
    # the same letters, written the other way, are no change
    for path in folder.iterdir():
        other = "NFC" if of_files == "NFD" else "NFD"
        path.write_text(written(other, path.read_text(encoding="utf-8")), encoding="utf-8")
    again = etl("run", "schule", "--files", str(folder), "--json")
    assert again.json["status"] == "succeeded"
    assert (
        sum(c["updated"] + c["inserted"] + c["deleted_by_absence"] for c in again.json["counts"])
        == 0
    )


@pytest.mark.parametrize(
    ("header", "again"),
    [
        ("ÖĞRENCİ NO", "öğrenci no"), ("Sınıf", "SINIF"), ("Straße", "STRASSE"), ("ΚΩΔΙΚΌΣ", "κωδικός"),
        ("شماره\u200cدانشجو", "شماره دانشجو"), ("\u202bالاسم\u202c", "الاسم"), ("ﬁrst name", "First Name"),
        ("ＩＤ番号", "ID番号"), ("ｶﾞｸ", "ガク"), ("名\u3000前", "名前"), ("Prénom", "PRE\u0301NOM"),
        ("ǰ", "J\u030c"),
    ],
)  # fmt: skip
def test_a_header_is_the_same_column_in_every_spelling(header: str, again: str) -> None:
    assert folded(header) == folded(again)


@pytest.mark.parametrize(("header", "other"), [("Имя", "Имя2"), ("名", "姓"), ("Año", "Ano")])
def test_other_letters_are_another_column(header: str, other: str) -> None:
    assert folded(header) != folded(other)


@given(st.text())
def test_composing_changes_nothing_that_can_be_seen(text: str) -> None:
    made = composed(text)
    assert composed(made) == made
    assert unicodedata.normalize("NFD", made) == unicodedata.normalize("NFD", text)
    assert [s for s in made if "\uf900" <= s <= "\ufaff"] == [
        s for s in text if "\uf900" <= s <= "\ufaff"
    ]
