"""Invented people and the writing of delimited files and archives, byte for byte repeatable."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Iterable, Mapping, Sequence

Row = dict[str, str]
Tables = dict[str, list[Row]]  # file name -> its rows
Files = dict[str, bytes]  # file name -> its bytes

_GIVEN = (
    "Ada", "Bram", "Celia", "Dario", "Esme", "Farid", "Greta", "Hugo", "Ines", "Jonah", "Kaia",
    "Leif", "Mara", "Nico", "Opal", "Pavel", "Quinn", "Rosa", "Silas", "Tamsin", "Uma", "Viggo",
    "Wren", "Xenia", "Yusuf", "Zelda", "Anselm", "Beatrix", "Corin", "Delphine", "Emrys",
)  # fmt: skip
_FAMILY = (
    "Ashdown", "Birchall", "Calloway", "Dunmore", "Eastgate", "Fairwell", "Greystone", "Hallowell",
    "Ironside", "Juniper", "Kettering", "Larkspur", "Merriweather", "Northcote", "Oakhurst",
    "Pemberley", "Quillfeather", "Ravenscroft", "Silverton", "Thistlewood", "Underhill",
    "Vandermoor", "Winterbourne", "Yarrow", "Zimmerlund", "O'Dell", "St. Cloud", "van der Aa",
    "Brightwater",
)  # fmt: skip


def name_of(number: int) -> tuple[str, str]:
    """Given and family name of an invented person; 899 different ones."""
    return _GIVEN[number % len(_GIVEN)], _FAMILY[number % len(_FAMILY)]


def mail_of(number: int, domain: str) -> str:
    """A mail address in a domain that can never exist."""
    given, family = name_of(number)
    letters = "".join(c for c in f"{given}.{family}".lower() if c.isalpha() or c == ".")
    return f"{letters}{number}@{domain}.example"


def birth_date_of(number: int) -> str:
    """A day in 2009 to 2011."""
    return f"{2009 + number % 3}-{1 + number * 5 % 12:02d}-{1 + number * 7 % 28:02d}"


def table(header: str, *rows: str) -> list[Row]:
    """Rows written as `a|b|c` under the header `x|y|z`."""
    names = header.split("|")
    return [dict(zip(names, row.split("|"), strict=True)) for row in rows]


def changed(rows: Iterable[Row], key: Mapping[str, str], **to: str) -> list[Row]:
    """The rows, with the values `to` in the one that has the values `key`."""
    result = [row | to if key.items() <= row.items() else row for row in rows]
    assert sum(key.items() <= row.items() for row in rows) == 1, key
    return result


def without(rows: Iterable[Row], **key: str) -> list[Row]:
    """The rows but those that have the values `key`."""
    return [row for row in rows if not key.items() <= row.items()]


def written(
    rows: Sequence[Row], *, delimiter: str = ",", encoding: str = "utf-8", newline: str = "\n",
    quote_all: bool = False, before: str = "", after: str = "",
) -> bytes:  # fmt: skip
    """The rows as one delimited file, with text before the header and after the last row."""
    text = io.StringIO()
    text.write(before)
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=delimiter, lineterminator=newline,
        quoting=csv.QUOTE_ALL if quote_all else csv.QUOTE_MINIMAL,
    )  # fmt: skip
    writer.writeheader()
    writer.writerows(rows)
    text.write(after)
    return text.getvalue().encode(encoding)


def zipped(files: Mapping[str, bytes]) -> bytes:
    """One archive of the files; its own clock stands still."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in sorted(files.items()):
            member = zipfile.ZipInfo(name, (2026, 9, 1, 2, 0, 0))
            member.compress_type = zipfile.ZIP_DEFLATED
            opened.writestr(member, content)
    return archive.getvalue()
