"""Dirty files: what can be read with certainty is read, the bad row is named, its neighbours stay."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from etl_lib.errors import AskTheSchool
from tests.extract.conftest import ReadFile, Scanned

Read = Callable[..., ReadFile]
Scan = Callable[..., Scanned]
WANTED = [(2, "1", "Ana", "Ruiz"), (3, "2", "Bo", "Li")]
PLAIN = "Id,Name,Last\n1,Ana,Ruiz\n2,Bo,Li\n"


@pytest.mark.parametrize(
    "data",
    [
        PLAIN.encode(),
        PLAIN.rstrip("\n").encode(),
        PLAIN.replace("\n", "\r\n").encode(),
        PLAIN.replace(",", ";").encode(),
        PLAIN.replace(",", "\t").encode(),
        PLAIN.replace(",", "|").encode(),
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        b'"Id","Name","Last"\n"1","Ana","Ruiz"\n"2","Bo","Li"\n',
        b"Last,Id,Extra,Name\nRuiz,1,x,Ana\nLi,2,y,Bo\n",
        b"ID,first_name, LAST \n1,Ana,Ruiz\n2,Bo,Li\n",
    ],
    ids=["plain", "no last line end", "crlf", "semicolon", "tab", "pipe", "bom", "utf-16", "quoted",
         "moved columns", "spelling"],
)  # fmt: skip
def test_the_same_table_in_another_dress_is_the_same_table(read: Read, data: bytes) -> None:
    found = read(data)
    assert found.rows == WANTED
    assert found.rejected == []
    assert found.table.rows_read == 2


def test_lines_before_the_header_are_left_out_and_line_numbers_stay_the_files_own(
    read: Read,
) -> None:
    found = read(b"User export\nMaple Street,,\n\n" + PLAIN.encode())
    assert [row[0] for row in found.rows] == [5, 6]
    assert "3 lines before the header" in found.table.notes


def test_letters_of_windows_are_read_when_agreed(read: Read) -> None:
    data = "Id,Name,Last\n1,José,Núñez\n".encode("cp1252")
    assert read(data, format={"encoding": "cp1252"}).rows == [(2, "1", "José", "Núñez")]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"9,Only two", "ROW_FIELD_COUNT"),
        (b"9,One,Too,Many", "ROW_FIELD_COUNT"),
        (b'9,"Ana" B,Ruiz', "ROW_QUOTE"),
        (b"9,An\x00a,Ruiz", "ROW_CONTROL_CHARACTER"),
        (b"9,An\x81\xd0a,Ruiz", "ROW_ENCODING"),
        ("9,Jos�,Ruiz".encode(), "ROW_REPLACEMENT_CHARACTER"),
    ],
    ids=["short", "long", "quote", "nul", "bytes", "lost letter"],
)
def test_a_broken_row_is_named_and_its_neighbours_stay(read: Read, bad: bytes, code: str) -> None:
    many = b"".join(b"%d,Ana,Ruiz\n" % n for n in range(100, 140))
    found = read(b"Id,Name,Last\n" + many + b"1,Ana,Ruiz\n" + bad + b"\n2,Bo,Li\n" + many)
    assert found.rejected == [(43, code)]
    assert (42, "1", "Ana", "Ruiz") in found.rows
    assert (44, "2", "Bo", "Li") in found.rows
    assert found.table.rows_read == len(found.rows) + 1 == 83


def test_a_quote_that_is_never_closed_costs_its_own_row_only(read: Read) -> None:
    found = read(b'Id,Name,Last\n1,Ana,Ruiz\n9,"Bo,Li\n2,Bo,Li\n3,Cy,Oh\n')
    assert [row[1] for row in found.rows] == ["1", "2", "3"]
    assert found.rejected == [(3, "ROW_QUOTE")]


def test_a_line_end_inside_quotes_belongs_to_the_value(read: Read) -> None:
    found = read(b'Id,Name,Last\n1,"Ana\nMaria",Ruiz\n2,"B""o",Li\n')
    assert found.rows == [(2, "1", "Ana\nMaria", "Ruiz"), (4, "2", 'B"o', "Li")]
    assert found.rejected == []


def test_a_header_that_is_printed_on_every_page_is_left_out(read: Read) -> None:
    pages = b"Id,Name,Last\n1,Ana,Ruiz\nId,Name,Last\n2,Bo,Li\n"
    found = read(pages, format={"page_headers": True})
    assert [row[1] for row in found.rows] == ["1", "2"]
    assert "1 repeated headers left out" in found.table.notes


def test_a_page_header_with_moved_columns_begins_another_table(read: Read) -> None:
    pages = b"Id,Name,Last\n1,Ana,Ruiz\nId,Name,Last\n2,Bo,Li\nLast,Id,Name\nOh,3,Cy\n"
    with pytest.raises(AskTheSchool) as caught:
        read(pages, format={"page_headers": True})
    assert [(f.code, f.where) for f in caught.value.faults] == [
        ("FILE_SEVERAL_TABLES", "people.csv, line 5")
    ]


OTHER = "".join(f"2010-01-{n:02d},Room {n},x\n" for n in range(1, 20))


@pytest.mark.parametrize(
    ("below", "line"),
    [
        ("Id,Name,Last\n1,Ana,Ruiz\n2,Bo,Li\n", 22),
        ("Id,Name\n1,Ana\n", 22),
        ("Last,Id,Name\nRuiz,1,Ana\nLi,2,Bo\n", 22),
        ("ID,NAME,LAST\n1,Ana,Ruiz\n2,Bo,Li\n", 22),
        ('"Last","Id","Name"\n"Ruiz","1","Ana"\n', 22),
        ("\n\nDay,Room,Note\n" + OTHER, 24),
        ("2,Bo,Li\n" * 200_000 + "Id,Name,Last\n" + "2,Bo,Li\n" * 200_000, 200_022),
    ],
    ids=[
        "the same again",
        "fewer columns",
        "columns moved",
        "in capitals",
        "columns moved and quoted",
        "another behind blank lines",
        "blocks further below",
    ],
)
def test_a_second_table_is_said_with_its_line_and_nothing_of_it_is_read(
    read: Read, scan: Scan, below: str, line: int
) -> None:
    many = "".join(f"{n},Ana,Ruiz\n" for n in range(100, 120))
    data = ("Id,Name,Last\n" + many + below).encode()
    with pytest.raises(AskTheSchool) as caught:
        read(data)
    [fault] = caught.value.faults
    assert (fault.code, fault.where) == ("FILE_SEVERAL_TABLES", f"people.csv, line {line}")
    found = scan(data)
    assert all(row[0] < line for row in found.rows)
    assert all(at >= line and code == "ROW_SECOND_TABLE" for at, code in found.rejected)
    assert len(found.rejected) == len(data.splitlines()) - line + (len(found.rejected) == 20)


def test_a_header_over_several_lines_is_put_together(read: Read) -> None:
    found = read(
        b"Student,First,Last\nId,Name,\n1,Ana,Ruiz\n", columns={"Id": {"aliases": ["Student Id"]}}
    )
    assert found.rows == [(3, "1", "Ana", "Ruiz")]
    assert "header over 2 lines" in found.table.notes


def test_a_blank_after_every_delimiter_belongs_to_it(read: Read) -> None:
    found = read(b'Id, Name, Last\n1, Ana, Ruiz\n2, "Bo, B", Li\n')
    assert [row[1:] for row in found.rows] == [("1", "Ana", "Ruiz"), ("2", "Bo, B", "Li")]
    kept = read(b"Id,Name,Last\n1, Ana,Ruiz\n")
    assert kept.rows == [(2, "1", " Ana", "Ruiz")]


@pytest.mark.parametrize(
    ("line", "form"),
    [
        (rb'1,"An\ta",Ruiz', {"escape": "backslash"}),
        (b"1,'An\"\"a',Ruiz", {"quote": "'"}),
    ],
)
def test_a_sign_that_may_be_an_escape_or_a_letter_costs_its_row(
    read: Read, line: bytes, form: dict[str, str]
) -> None:
    found = read(b"Id,Name,Last\n" + line + b"\n2,Bo,Li\n", format=form)
    assert found.rejected == [(2, "ROW_ESCAPE")]
    assert [row[1] for row in found.rows] == ["2"]


def test_a_footer_that_was_agreed_ends_the_table(read: Read) -> None:
    found = read(PLAIN.encode() + b"Total: 2,,\n", format={"footer": "^Total"})
    assert found.rows == WANTED
    assert found.rejected == []


def test_columns_nobody_asked_for_are_noted_or_refused(read: Read) -> None:
    data = b"Id,Name,Last,Shoe size\n1,Ana,Ruiz,38\n"
    assert read(data).table.unknown_columns == ("Shoe size",)
    with pytest.raises(AskTheSchool) as caught:
        read(data, extra_columns="refuse")
    assert caught.value.faults[0].code == "FILE_COLUMN_UNKNOWN"


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (b"", "FILE_EMPTY", "people.csv"),
        (b"\n \n", "FILE_EMPTY", "people.csv"),
        (b"Id,Name,Last\n", "FILE_HEADER_ONLY", "people.csv"),
        (b"Ident,Name,Last\n1,Ana,Ruiz\n", "FILE_COLUMN_MISSING", "`Id`"),
        (b"Id,Name,Last,Id\n1,Ana,Ruiz,2\n", "FILE_COLUMN_REPEATED", "`Id`"),
        (b"Roster report\nPage 1 of 3\n\nAlgebra\n  12 students\n", "FILE_", "people.csv"),
    ],
    ids=["empty", "blank", "header only", "column missing", "column twice", "report"],
)
def test_a_file_that_is_no_table_of_ours_is_refused_in_words(
    read: Read, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(AskTheSchool) as caught:
        read(data)
    [fault, *_] = caught.value.faults
    assert fault.code.startswith(code)
    assert words in str(fault)
    assert "Ana" not in str(caught.value)


def test_an_agreed_delimiter_that_is_not_used_is_a_fault_of_the_file(read: Read) -> None:
    with pytest.raises(AskTheSchool) as caught:
        read(PLAIN.encode(), format={"delimiter": ";"})
    assert caught.value.faults[0].code == "FILE_DELIMITER"


def test_a_header_that_ends_with_more_delimiters_than_its_rows_has_no_more_columns(
    read: Read,
) -> None:
    found = read(b"Id,Name,Last,,\n1,Ana,Ruiz\n2,Bo,Li\n")
    assert (found.rows, found.rejected) == (WANTED, [])
    filled = read(b"Id,Name,Last,,\n1,Ana,Ruiz,,\n2,Bo,Li,x,\n3,Cy,Oh\n")
    assert (filled.rows, filled.rejected) == (WANTED, [(4, "ROW_FIELD_COUNT")])


def test_an_empty_file_with_a_header_is_fine_where_that_was_agreed(read: Read) -> None:
    assert read(b"Id,Name,Last\n", allow_empty=True).rows == []


@pytest.mark.parametrize(
    "footer", ["Total: 2", "Total,2,", "Grand total,,", '"Record count: 2",,', "\n2 rows exported\n", "-----"]
)  # fmt: skip
def test_a_footer_nobody_agreed_on_is_no_row_and_is_said(read: Read, footer: str) -> None:
    found = read(PLAIN.encode() + footer.encode())
    assert found.rows == WANTED
    assert [code for _, code in found.rejected] == ["ROW_FOOTER"]


def test_a_row_that_begins_like_a_footer_is_a_row_when_it_is_full(read: Read) -> None:
    found = read(PLAIN.encode() + b"Total Recall,Arnold,Q\n")
    assert found.rows[-1] == (4, "Total Recall", "Arnold", "Q")


FIXED = "Id   Name      Last\n1    Ana       Ruiz\n2    Zoë       Li\n"


def test_columns_of_fixed_width_are_cut_where_that_was_agreed(scan: Scan) -> None:
    found = scan(FIXED.encode(), widths=[5, 10, 6])
    assert found.rows == [(2, "1", "Ana", "Ruiz"), (3, "2", "Zoë", "Li")]
    assert scan(FIXED.encode("cp1252"), widths=[5, 10, 6]).rows == found.rows
    long = scan(FIXED.encode() + b"3    Cy        Van der Velde\n4    Di\n", widths=[5, 10, 6])
    assert long.rejected == [(4, "ROW_WIDTH")]
    assert long.rows[-1] == (5, "4", "Di", "")
    assert scan(FIXED.encode()[20:], widths=[5, 10, 6], header=False).rows == [
        (1, "1", "Ana", "Ruiz"), (2, "2", "Zoë", "Li")]  # fmt: skip


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        (FIXED.encode(), "FILE_FIXED_WIDTH", "fixed widths"),
        (b"PK\x03\x04\x14\x00", "FILE_NOT_A_TABLE", "Excel"),
        (b"<html><table><tr><td>Id</td></tr>", "FILE_NOT_A_TABLE", "web page"),
        (b'[{"Id": 1}]', "FILE_NOT_A_TABLE", "JSON"),
        (b'Id,""Name","Last"\n1,Ana,Ruiz\n', "FILE_HEADER_NOT_FOUND", "line 1"),
        (b"Id,Name,Last\n" + b"1,'Ana, M',Ruiz\n" * 9, "FILE_QUOTE", "quoted with '"),
    ],
    ids=["fixed width", "workbook", "html", "json", "broken header", "other quotes"],
)
def test_a_file_of_another_kind_is_refused_with_what_it_is(
    scan: Scan, data: bytes, code: str, words: str
) -> None:
    with pytest.raises(AskTheSchool) as caught:
        scan(data, **({"quote": '"'} if code == "FILE_QUOTE" else {}))
    assert [fault.code for fault in caught.value.faults] == [code]
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("data", "rows"),
    [
        (b"Id,Name,Last\n1,'Ana, M',Ruiz\n2,'Bo, L',Li\n", [("1", "Ana, M", "Ruiz"), ("2", "Bo, L", "Li")]),
        (b'Id,Name,Last\n1,"A \\"x\\"",Ruiz\n2,Bo,Li\n', [("1", 'A "x"', "Ruiz"), ("2", "Bo", "Li")]),
        (b"Id Name Last\n1 Ana Ruiz\n2 Bo Li\n", [("1", "Ana", "Ruiz"), ("2", "Bo", "Li")]),
        (b"Id,Name,Last\r1,Ana,Ruiz\r2,Bo,Li\r", [("1", "Ana", "Ruiz"), ("2", "Bo", "Li")]),
        (b"Id,Name,Last\n1,Ana,Ruiz\r\n2,Bo,Li\r2,Bo,Li\n", [("1", "Ana", "Ruiz"), *[("2", "Bo", "Li")] * 2]),
        ("Id,Name,Last\n1,José,Ruiz\n".encode("utf-16-be"), [("1", "José", "Ruiz")]),
        ("Id,Name,Last\n1,José,Núñez\n".encode("cp1252"), [("1", "José", "Núñez")]),
        (b"Id,Name,Last\n" + b"1,Ana,Ruiz\n" * 30_000 + "2,José,Li\n".encode("cp1252"), None),
    ],
    ids=["apostrophes", "backslash", "blanks", "cr", "mixed line ends", "utf-16 without a mark",
         "windows", "windows, far below"],
)  # fmt: skip
def test_how_a_file_is_written_is_found_out_where_nothing_was_agreed(
    scan: Scan, data: bytes, rows: list[tuple[str, ...]] | None
) -> None:
    found = scan(data)
    assert found.rejected == []
    cells = [row[1:] for row in found.rows]
    assert cells == rows if rows else cells[-1] == ("2", "José", "Li")


def test_an_agreed_encoding_that_would_turn_letters_into_others_is_a_fault_of_the_file(
    scan: Scan,
) -> None:
    with pytest.raises(AskTheSchool) as caught:
        scan("Id,Name,Last\n1,José,Núñez\n".encode(), encoding="cp1252")
    assert caught.value.faults[0].code == "FILE_ENCODING"
    assert scan(PLAIN.encode(), encoding="cp1252").rejected == []


def test_letters_of_windows_are_not_guessed_in_a_file_that_has_others_in_utf8(scan: Scan) -> None:
    data = "Id,Name,Last\n1,José,Ruiz\n".encode() + "2,Zoë,Li\n".encode("cp1252")
    found = scan(data)
    assert found.rejected == [(3, "ROW_ENCODING")]
    assert [row[2] for row in found.rows] == ["José"]


@pytest.mark.parametrize("where", [b"1,Ana,Ru\riz\n", b"1\r0,Ana,Ruiz\n", b"1,A\rna,Ruiz\n"])
def test_a_bare_carriage_return_that_may_stand_in_a_value_costs_its_row(
    scan: Scan, where: bytes
) -> None:
    found = scan(b"Id,Name,Last\n0,Xi,Yu\n" + where + b"2,Bo,Li\n")
    assert found.rejected == [(3, "ROW_CONTROL_CHARACTER")]
    assert [row[1] for row in found.rows] == ["0", "2"]


def test_a_long_value_whose_lines_may_be_rows_is_not_taken_for_either(scan: Scan) -> None:
    data = b'Id,Note\n1,"Dear all\nthank you, bye\nAna"\n2,x\n'
    found = scan(data, ("Id", "Note"))
    assert found.rejected == [(2, "ROW_QUOTE"), (3, "ROW_QUOTE"), (4, "ROW_QUOTE")]
    assert [row[1:] for row in found.rows] == [("2", "x")]


def test_prose_behind_a_mark_that_is_never_closed_is_no_row_in_a_file_of_long_values(
    scan: Scan,
) -> None:
    good = b"".join(b'%d,"two\nlines"\n' % n for n in range(100, 120))
    data = b"Id,Note\n" + good + b'7,"Dear all\nthank you, bye\n' + good
    found = scan(data, ("Id", "Note"))
    assert [code for _, code in found.rejected] == ["ROW_QUOTE", "ROW_QUOTE"]
    assert {row[1] for row in found.rows} == {str(n) for n in range(100, 120)}


def test_lines_without_any_value_are_no_rows(read: Read) -> None:
    found = read(b"Id,Name,Last\n1,Ana,Ruiz\n\n,,\n  \n2,Bo,Li\n,,\n")
    assert [row[0] for row in found.rows] == [2, 6]
    assert found.rejected == []
    assert "4 lines without any value left out" in found.table.notes


def test_a_byte_order_mark_in_the_middle_of_a_file_is_not_lost(scan: Scan) -> None:
    found = scan(b"Id,Name,Last\n\xef\xbb\xbf1,Ana,Ruiz\n2,Bo,Li\n")
    assert [row[1] for row in found.rows] == ["\ufeff1", "2"]


def test_fields_that_have_no_column_are_noted(read: Read) -> None:
    found = read(PLAIN.encode(), columns={"Last": {"required": False}})
    assert not any("no column" in note for note in found.table.notes)
    short = read(b"Id,Name\n1,Ana\n", columns={"Last": {"required": False}})
    assert "no column for `family_name`" in short.table.notes


def test_a_value_over_the_limit_costs_its_row_only(scan: Scan) -> None:
    long = b"x" * (1024 * 1024 + 1)
    data = PLAIN.encode() + b"3," + long + b",Oh\n" + b'4,"' + long + b'",Oh\n5,Di,Um\n'
    found = scan(data)
    assert found.rejected == [(4, "ROW_FIELD_TOO_LONG"), (5, "ROW_FIELD_TOO_LONG")]
    assert [row[1] for row in found.rows] == ["1", "2", "5"]


def test_columns_put_in_between_and_moved_change_nothing(scan: Scan) -> None:
    before = scan(b"Id,Name,Last\n1,Ana,Ruiz\n2,Bo,Li\n")
    after = scan(b"Shoe,Last,Id,,Name,Id 2\n38,Ruiz,1,,Ana,x\n40,Li,2,,Bo,y\n")
    cells = [tuple(row[key] for key in ("Id", "Name", "Last")) for row in named(after)]
    assert cells == [row[1:] for row in before.rows]
    assert after.opened.unknown == ("Shoe", "Id 2")


def named(found: Scanned) -> list[dict[str, object]]:
    names = ["_line", *found.opened.wanted.values()]
    return [dict(zip(names, row, strict=True)) for row in found.rows]


def test_a_line_of_very_many_quoted_values_is_read(scan: Scan) -> None:
    header = ",".join(f'"{name}"' for name in ("Id", *(f"c{n}" for n in range(2000))))
    row = ",".join(['"x"'] * 2001)
    found = scan(f"{header}\n{row}\n".encode(), ("Id",))
    assert found.rows == [(2, "x")] and found.rejected == []
