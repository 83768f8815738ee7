"""Header and file names as words: any case, camelCase, abbreviations, accents, words run together."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Sequence
from functools import cache

# One spelling for each word; what a whole header means stands in the entity files' aliases.
_SPELLED_OUT = {
    "nbr": "number", "num": "number", "no": "number", "nr": "number", "numb": "number", "nro": "number",
    "numero": "number", "cd": "code", "cde": "code", "desc": "description", "descr": "description",
    "dt": "date", "dte": "date", "addr": "address", "adr": "address", "stu": "student", "stdnt": "student",
    "stud": "student", "std": "student", "tchr": "teacher", "instr": "instructor", "fac": "faculty",
    "crse": "course", "crs": "course", "cour": "course", "subj": "subject", "sect": "section",
    "enrl": "enrollment", "enrol": "enrollment", "enroll": "enrollment", "enrolment": "enrollment",
    "enrollments": "enrollment", "reg": "registration", "org": "organization", "dept": "department",
    "sch": "school", "schl": "school", "prog": "program", "programme": "program", "acad": "academic",
    "lvl": "level", "yr": "year", "beg": "begin", "ind": "indicator", "flg": "flag", "max": "maximum",
    "min": "minimum", "grd": "grade", "bldg": "building", "rm": "room", "cred": "credit", "crdt": "credit",
    "credits": "credit", "hrs": "hour", "hr": "hour", "pref": "preferred", "fst": "first", "lst": "last",
    "mail": "email", "emails": "email", "cat": "catalog", "catalogue": "catalog", "trm": "term",
    "typ": "type", "stat": "status", "sts": "status", "abbr": "abbreviation", "abbrev": "abbreviation",
    "lname": "last name", "fname": "first name", "mname": "middle name", "surname": "last name",
    "forename": "first name", "dob": "birth date", "birthdate": "birth date", "stv": "", "cap": "capacity",
    "identifier": "id", "ident": "id", "sis": "", "the": "", "of": "", "de": "", "del": "", "la": "", "el": "",
    "und": "", "is": "", "ext": "external", "attr": "attribute", "asgn": "assignment", "pct": "percent",
    "resp": "responsibility", "wt": "weight", "pts": "point", "loc": "location", "dist": "district",
    "inst": "institution", "univ": "university", "coll": "college", "maj": "major", "majr": "major",
    "conc": "concentration", "grad": "graduation", "exp": "expected", "mid": "middle", "lang": "language",
    "e": "",
}  # fmt: skip
_KEEP_S = ("ss", "us", "is", "as")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PARTS = re.compile(r"[^\w]+|_+")
_NUMBERED = re.compile(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")


def plain(text: str) -> str:
    """Letters without accents and without case."""
    decomposed = unicodedata.normalize("NFKD", text)
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign)).casefold()


def squeezed(text: str) -> str:
    """Only letters and digits, plain: what two spellings of one header have in common."""
    return re.sub(r"[\W_]+", "", plain(text))


@cache
def words_of(name: str, vocabulary: frozenset[str] = frozenset()) -> tuple[str, ...]:
    """The words of a name in their order, abbreviations spelled out, plurals made singular.

    `vocabulary`: words that may be run together, as in SCHOOLID or dateofbirth.
    """
    found: list[str] = []
    spaced = re.sub(r"e[\s_-]mail", "email", name, flags=re.IGNORECASE)
    for part in _PARTS.split(_CAMEL.sub(" ", unicodedata.normalize("NFKC", spaced))):
        for piece in _NUMBERED.split(plain(part)):
            for word in _cut(piece, vocabulary):
                found += _singular(_SPELLED_OUT.get(word, word))
    return tuple(found)


def _singular(text: str) -> list[str]:
    words = []
    for word in text.split():
        if len(word) > 3 and word.endswith("sses"):
            word = word[:-2]
        elif len(word) > 3 and word.endswith("ies"):
            word = word[:-3] + "y"
        elif len(word) > 3 and word.endswith("s") and not word.endswith(_KEEP_S):
            word = word[:-1]
        words.append(_SPELLED_OUT.get(word, word))
    return " ".join(words).split()


@cache
def _cut(word: str, vocabulary: frozenset[str]) -> tuple[str, ...]:
    """The known words that a run of letters is put together of, or the run itself."""
    if len(word) < 5 or word in vocabulary or word in _SPELLED_OUT:
        return (word,)
    best: dict[int, tuple[str, ...]] = {0: ()}
    for end in range(2, len(word) + 1):
        for start in range(max(0, end - 14), end - 1):
            piece = word[start:end]
            if start in best and (piece in vocabulary or piece in _SPELLED_OUT) and (
                len(piece) > 2 or piece in ("id", "no", "dt", "cd", "of")
            ):  # fmt: skip
                cut = (*best[start], piece)
                if end not in best or len(cut) < len(best[end]):
                    best[end] = cut
    return best.get(len(word), (word,))


def without(words: Sequence[str], others: Collection[str]) -> tuple[str, ...]:
    """The words that are not among the others."""
    return tuple(word for word in words if word not in others)


@cache
def near(one: str, other: str) -> bool:
    """Whether two long spellings differ by a letter, very long ones by two: a slip of the keyboard."""
    most = 2 if min(len(one), len(other)) >= 14 else 1
    if min(len(one), len(other)) < 10 or abs(len(one) - len(other)) > most or one == other:
        return False
    here, there = Counter(one), Counter(other)
    if (here - there).total() > most or (there - here).total() > most:
        return False
    before = list(range(len(other) + 1))
    for row, letter in enumerate(one, 1):
        now = [row]
        for column, sign in enumerate(other, 1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (letter != sign)))
        before = now
    return before[-1] <= most
