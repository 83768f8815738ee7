"""Archives that are honest, broken, or made to do harm."""

from __future__ import annotations

import gzip
import hashlib
import io
import random
import stat
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from etl_lib.errors import AskTheSchool
from etl_lib.extract import packing
from etl_lib.extract.packing import Packed
from tests.extract.schools import PEOPLE, School

ZEROS = b"\0" * 10_000_000


def zip_of(
    *files: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return buffer.getvalue()


def link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def refused(school: School, **feed: object) -> tuple[str, str]:
    """Code and words of the only fault."""
    with pytest.raises(AskTheSchool) as caught:
        school.extract(**feed)
    [fault] = caught.value.faults
    assert fault.text.isprintable()
    assert school.registered == []
    return fault.code, fault.text


def ids(school: School, **feed: object) -> list[object]:
    return [row["Id"] for row in school.rows(school.extract(**feed))]


@pytest.mark.parametrize(
    "name",
    ["people.csv", "a/b c/people.csv", "Ünïcode/PEOPLE.CSV", "export\\people.csv", "./people.csv"],
)
def test_a_member_is_found_in_any_folder(school: School, name: str) -> None:
    litter = [
        ("__MACOSX/._people.csv", b"x"),
        (".DS_Store", b"x"),
        ("other.txt", b"x"),
        ("a/", b""),
    ]
    school.put("night.zip", zip_of((name, PEOPLE), *litter))
    assert ids(school, file="*.zip", member="people.csv") == ["1", "2"]


def test_a_name_in_utf8_that_does_not_say_so_is_read(school: School) -> None:
    data = zip_of(("Schüler.csv", PEOPLE))
    data = data.replace(struct.pack("<HHHH", 20, 0x800, 8, 0)[:4], struct.pack("<HH", 20, 0))
    school.put("night.zip", data)
    with zipfile.ZipFile(school.home / "inbox" / "night.zip") as archive:
        assert archive.namelist() != ["Schüler.csv"]  # the flag is off
    assert ids(school, file="*.zip", member="schüler.csv") == ["1", "2"]


def test_several_members_and_several_gzips_in_one_are_read(school: School) -> None:
    other = b"Id,Name,Last\n3,Cy,Oh\n"
    school.put("night.zip", zip_of(("n/people_1.csv", PEOPLE), ("s/people_2.csv", other)))
    assert ids(school, file="*.zip", member="people_*.csv") == ["1", "2", "3"]
    school.put("people.csv.gz", gzip.compress(PEOPLE) + gzip.compress(b"3,Cy,Oh\n") + b"\0" * 700)
    assert ids(school, file="people.csv.gz") == ["1", "2", "3"]


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 1 << 20, (1 << 20) + 1, 3_000_000])
@pytest.mark.parametrize("level", [0, 9])
def test_a_gzip_of_any_size_comes_out_as_it_went_in(tmp_path: Path, size: int, level: int) -> None:
    # always the same bytes: one in a hundred beginnings at random is that of JSON, which is refused
    data = (b"Id" + random.Random(size).randbytes(size // 2) + b"\0" * size)[:size]
    (tmp_path / "a.gz").write_bytes(gzip.compress(data, level) * 5)
    digest = Packed(tmp_path / "a.gz", "a.gz", "a.gz").unpack(None, tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == data * 5
    assert digest == hashlib.sha256(data * 5).hexdigest()


def broken_crc(data: bytes) -> bytes:
    return data[:-8] + bytes([data[-8] ^ 1]) + data[-7:]


def wrong_crc_in_zip() -> bytes:
    data = zip_of(("people.csv", PEOPLE))
    crc = struct.pack("<I", zlib.crc32(PEOPLE))
    return data.replace(crc, bytes([crc[0] ^ 1]) + crc[1:])


def lying_size(size: int) -> bytes:
    """A member whose headers say another size than its content has, with the checksum of that much."""
    data = zip_of(("people.csv", PEOPLE))
    sizes = struct.pack("<I", len(PEOPLE))
    crc = struct.pack("<I", zlib.crc32(PEOPLE)), struct.pack("<I", zlib.crc32(PEOPLE[:size]))
    return data.replace(sizes, struct.pack("<I", size)).replace(*crc)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("people.csv.gz", gzip.compress(PEOPLE)[:-9]),
        ("people.csv.gz", gzip.compress(PEOPLE)[:5]),
        ("people.csv.gz", b""),
        ("people.csv.gz", PEOPLE),
        ("people.csv.gz", gzip.compress(PEOPLE) + b"and more"),
        ("people.csv.gz", gzip.compress(PEOPLE) + gzip.compress(PEOPLE)[:-1]),
        ("people.csv.gz", broken_crc(gzip.compress(PEOPLE))),
        ("night.zip", zip_of(("people.csv", PEOPLE))[:-30]),
        ("night.zip", zip_of(("people.csv", PEOPLE))[40:]),
        ("night.zip", b""),
        ("night.zip", PEOPLE),
        ("night.zip", wrong_crc_in_zip()),
        ("night.zip", lying_size(len(PEOPLE) + 9)),
        ("night.zip", lying_size(9_999)),
        ("night.zip", lying_size(20)),
    ],
    ids=["cut gzip", "only a header", "empty gzip", "no gzip", "something after", "second is cut",
         "gzip crc", "cut zip", "beheaded zip", "empty zip", "no zip", "zip crc", "size too large",
         "size far too large", "size too small"],
)  # fmt: skip
def test_a_broken_archive_is_said(school: School, name: str, data: bytes) -> None:
    school.put(name, data)
    pattern = "people.csv.gz" if name.endswith("gz") else "*.zip"
    code, _ = refused(school, file=pattern, member="people.csv")
    assert code == "FILE_ARCHIVE_UNREADABLE"


def locked(data: bytes) -> bytes:
    """The archive with the flag of a password on every header."""
    flags = struct.pack("<HHH", 20, 0, 8)
    return data.replace(flags, struct.pack("<HHH", 20, 1, 8))


def strongly_locked() -> bytes:
    flags = struct.pack("<HHH", 20, 0, 8)
    return zip_of(("people.csv", PEOPLE)).replace(flags, struct.pack("<HHH", 20, 0x40, 8))


def overlapping(entries: int = 200) -> bytes:
    """Every entry of the list points at one packed stretch, as in the bombs of David Fifield."""
    data = zip_of(("a.csv", ZEROS))
    end = data.rindex(b"PK\x05\x06")
    start = data.index(b"PK\x01\x02")
    entry = data[start:end]
    many = b"".join(entry.replace(b"a.csv", b"%05d" % n) for n in range(entries))
    tail = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, entries, entries, len(many), start, 0)
    return data[:start] + many + tail


def twice() -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return zip_of(("people.csv", PEOPLE), ("people.csv", b"Id,Name,Last\n9,Eve,Il\n"))


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (zip_of((link("people.csv"), b"/etc/passwd")), "link"),
        (zip_of(("people.csv", PEOPLE), (link("else"), b"/etc")), "link"),
        (locked(zip_of(("people.csv", PEOPLE))), "password"),
        (strongly_locked(), "password"),
        (overlapping(), "one over another"),
        (zip_of(("people.csv", PEOPLE), method=zipfile.ZIP_BZIP2), "another way"),
        (zip_of(("people.csv", PEOPLE), method=zipfile.ZIP_LZMA), "another way"),
        (zip_of(("people.csv", b"\0" * 80_000_000)), "far more"),
        (zip_of(*((f"{n}.csv", b"") for n in range(packing.MOST_MEMBERS + 1))), "1,001 files"),
        (zip_of(("people.csv", PEOPLE), ("People.CSV", PEOPLE)), "more than once"),
        (zip_of(("é/people.csv", PEOPLE), ("e\u0301/people.csv", PEOPLE)), "more than once"),
        (zip_of(("people.csv", PEOPLE), ("../people.csv", PEOPLE)), "out of its folder"),
        (zip_of(("people.csv", PEOPLE), ("a\u202eb.csv", b"")), "cannot be seen"),
        (zip_of(("people.zip/people.csv", zip_of(("a", b"a")))), "itself"),
        (zip_of(("inner.zip", zip_of(("people.csv", PEOPLE)))), "`inner.zip`"),
        (zip_of(("people.csv.gz", gzip.compress(PEOPLE))), "`people.csv.gz`"),
        (zip_of(("people.csv", gzip.compress(PEOPLE))), "a gzip archive"),
    ],
    ids=["link", "link beside", "password", "strong password", "overlap", "bzip2", "lzma", "ratio",
         "members", "case", "unicode", "traversal", "bidi", "zip as csv", "zip in zip", "gzip in zip",
         "gzip as csv"],
)  # fmt: skip
def test_an_archive_that_no_export_makes_is_refused_in_words(
    school: School, data: bytes, word: str
) -> None:
    school.put("night.zip", data)
    code, text = refused(school, file="*.zip", member="people.csv")
    assert code == "FILE_ARCHIVE_REFUSED"
    assert word in text


def test_of_two_members_of_one_name_none_is_taken(school: School) -> None:
    school.put("night.zip", twice())
    assert "more than once" in refused(school, file="*.zip", member="people.csv")[1]
    school.put("night.zip", zip_of(("a/people.csv", PEOPLE), ("b/people.csv", PEOPLE)))
    assert refused(school, file="*.zip", member="people.csv")[0] == "FILE_NAME_AMBIGUOUS"


def test_archives_that_are_none_of_the_feeds_disturb_nobody(school: School) -> None:
    school.put("night.zip", zip_of(("people.csv", PEOPLE), ("photos.zip", b"PK")))
    assert ids(school, file="*.zip", member="people.csv") == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "data", "word"),
    [
        ("people.csv", zip_of(("people.csv", PEOPLE)), "a zip archive or an Excel workbook"),
        ("people.csv", gzip.compress(PEOPLE), "a gzip archive"),
        ("people.csv", b"%PDF-1.7", "a PDF"),
        ("people.csv.gz", gzip.compress(gzip.compress(PEOPLE)), "a gzip archive"),
        ("people.csv.gz", gzip.compress(b"\0" * 257 + b"ustar\0" + b"\0" * 900), "a tar archive"),
    ],
    ids=["zip", "gzip", "pdf", "gzip in gzip", "tar in gzip"],
)
def test_a_file_that_is_something_else_by_its_bytes_is_said(
    school: School, name: str, data: bytes, word: str
) -> None:
    school.put(name, data)
    code, text = refused(school, file=name)
    assert code in ("FILE_NOT_A_TABLE", "FILE_ARCHIVE_REFUSED")
    assert word in text


# --- bombs -------------------------------------------------------------------------------------------

_IN_A_PROCESS_OF_ITS_OWN = """
import resource, sys
from pathlib import Path
from etl_lib.errors import AskTheSchool
from etl_lib.extract.packing import Packed
path, target = map(Path, sys.argv[1:3])
began = resource.getrusage(resource.RUSAGE_SELF)
packed = Packed(path, path.name, path.name)
try:
    packed.unpack(packed.members()[0] if packed.is_zip else None, target)
except AskTheSchool as error:
    print(error.faults[0].code)
used = resource.getrusage(resource.RUSAGE_SELF)
if sys.platform == "linux":  # its own peak, not that of the process it was forked from
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0])
else:
    print(used.ru_maxrss // 1024)
print(used.ru_utime - began.ru_utime + used.ru_stime - began.ru_stime)
print(target.stat().st_size if target.exists() else 0)
"""


def gzip_bomb(path: Path) -> None:
    """10 GB of zeros: one gzip of 10 MB, a thousand times."""
    path.write_bytes(gzip.compress(ZEROS, 9) * 1000)


def gzip_name_without_end(path: Path) -> None:
    """A header whose file name never ends."""
    path.write_bytes(b"\x1f\x8b\x08\x08\0\0\0\0\0\x03" + b"a" * 50_000_000)


def zip_bomb(path: Path) -> None:
    """10 GB of zeros, as the list says."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", ZEROS)
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<I", len(ZEROS)), struct.pack("<I", 4_000_000_000)))


def lying_zip_bomb(path: Path) -> None:
    """Says 1 MB, with the checksum of that much, and holds 300 MB."""
    engine = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = b"".join(engine.compress(ZEROS) for _ in range(30)) + engine.flush()
    crc = zlib.crc32(ZEROS[:1_000_000])
    facts = struct.pack("<5H3L2H", 20, 0, 8, 0, 0, crc, len(packed), 1_000_000, 5, 0)
    entry = (
        b"PK\1\2" + struct.pack("<H", 20) + facts + struct.pack("<3H2L", 0, 0, 0, 0, 0) + b"a.csv"
    )
    head = b"PK\3\4" + facts + b"a.csv" + packed
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(head), 0)
    path.write_bytes(head + entry + end)


def zip_of_names(path: Path) -> None:
    """A list of two million members, which would fill memory before anybody counts them."""
    entry = struct.pack(
        "<4s4B4HL2L5H2L", b"PK\1\2", 20, 0, 20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
    )
    many = entry * 2_000_000
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, len(many), 0, 0)
    path.write_bytes(many + end)


@pytest.mark.parametrize(
    ("make", "name", "code"),
    [
        (gzip_bomb, "a.csv.gz", "FILE_ARCHIVE_REFUSED"),
        (gzip_name_without_end, "a.csv.gz", "FILE_ARCHIVE_UNREADABLE"),
        (zip_bomb, "a.zip", "FILE_ARCHIVE_REFUSED"),
        (lying_zip_bomb, "a.zip", "FILE_ARCHIVE_UNREADABLE"),
        (zip_of_names, "a.zip", "FILE_ARCHIVE_REFUSED"),
    ],
)
def test_a_bomb_costs_neither_time_nor_memory_nor_disk(
    tmp_path: Path, make: Callable[[Path], None], name: str, code: str
) -> None:
    path = tmp_path / name
    make(path)
    command = [sys.executable, "-c", _IN_A_PROCESS_OF_ITS_OWN, str(path), str(tmp_path / "out")]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    found, rss_kb, cpu_s, written = answer.stdout.split()
    assert found == code
    assert int(rss_kb) < 256 * 1024
    assert float(cpu_s) < 5
    assert int(written) < 200_000_000


# --- whatever the names and the bytes are ------------------------------------------------------------------

_SIGNS = st.sampled_from(
    ["..", "/", "\\", "\0", ":", "C:", "~", ".", "a", "\u202e", "\udcff", "é", "\n", "nul"]
)
_NAMES = st.one_of(
    st.lists(_SIGNS, min_size=1, max_size=12).map("".join),
    st.text(st.characters(exclude_categories=()), min_size=1, max_size=300),
)


def tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(named=st.lists(_NAMES, min_size=1, max_size=4, unique=True), as_link=st.booleans())
def test_unpacking_never_makes_a_file_outside_its_folder(
    tmp_path: Path, named: list[str], as_link: bool
) -> None:
    place = tmp_path / "a" / "b" / "c"
    place.mkdir(parents=True, exist_ok=True)
    path = place / "x.zip"
    try:
        path.write_bytes(
            zip_of(*((link(n) if as_link else zipfile.ZipInfo(n), PEOPLE) for n in named))
        )
    except (UnicodeEncodeError, ValueError):
        return  # zipfile itself cannot write such a name
    before = tree(tmp_path)
    packed = Packed(path, "x.zip", "x.zip")
    targets = set()
    try:
        for number, name in enumerate(packed.members()):
            targets.add(place / f"{number}.out")
            packed.unpack(name, place / f"{number}.out")
            assert (place / f"{number}.out").read_bytes() == PEOPLE
            assert not as_link
    except AskTheSchool as error:
        assert all(str(fault).isprintable() for fault in error.faults)
    assert tree(tmp_path) - before <= targets
    for made in targets:
        made.unlink(missing_ok=True)


@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    kind=st.sampled_from(["a.zip", "a.gz"]),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 400),
)
def test_damaged_archives_give_their_content_or_a_fault_and_nothing_else(
    tmp_path: Path, kind: str, changes: list[tuple[int, int]], cut: int
) -> None:
    whole = (
        zip_of(("people.csv", PEOPLE), ("b/c.csv", PEOPLE))
        if kind == "a.zip"
        else gzip.compress(PEOPLE)
    )
    data = bytearray(whole)
    for place, value in changes:
        data[place % len(data)] = value
    path = tmp_path / kind
    path.write_bytes(data[: len(data) - cut] if cut < len(data) else data)
    packed = Packed(path, kind, kind)
    try:
        for name in packed.members() if packed.is_zip else [None]:
            packed.unpack(name, tmp_path / "out")
            assert (tmp_path / "out").read_bytes() == PEOPLE
    except AskTheSchool as error:
        assert error.faults[0].code.startswith("FILE_ARCHIVE")
