"""Files that schools encrypt for us: read with our key only, and nothing of them stays behind."""

from __future__ import annotations

import gzip
import json
import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pysequoia
import pytest
from pydantic import ValidationError

from etl_lib.airflow_edge.connections import pgp_keys_of
from etl_lib.config.mapping import DeliveryRules
from etl_lib.config.project import Project
from etl_lib.errors import AskTheSchool, EtlError, FixTheSetup
from etl_lib.extract import PgpKeys, keys_of_environment
from etl_lib.extract.pgp import KEY_VARIABLE, PASSPHRASE_VARIABLE
from etl_lib.extract.scratch import scratch
from tests.extract.schools import PEOPLE, School, zipped

MADE_BY_GNUPG = Path(__file__).with_name("gnupg")
REPO = Path(__file__).parents[2]
PASSPHRASE = "correct horse"
OURS = pysequoia.Tsk.generate("ours <ours@example.com>")
THEIRS = pysequoia.Tsk.generate("school <school@example.com>")
STRANGER = pysequoia.Tsk.generate("stranger <stranger@example.com>")


def key_of(tsk: pysequoia.Tsk, passphrase: str | None = None) -> PgpKeys:
    return PgpKeys.of("The connection `etl_pgp`", str(tsk), passphrase)


def encrypted(data: bytes, to: pysequoia.Tsk = OURS, signer: pysequoia.Tsk | None = None) -> bytes:
    return pysequoia.encrypt(
        recipients=[to.extract_certificate()], bytes=data, armor=False,
        signer=signer.signer() if signer else None,
    )  # fmt: skip


def made(name: str) -> bytes:
    return (MADE_BY_GNUPG / name).read_bytes()


def gnupg_key(passphrase: str | None = PASSPHRASE) -> PgpKeys:
    text = made("ours_private.asc").decode()
    return PgpKeys.of("The connection `etl_pgp`", text, passphrase)


@pytest.fixture
def encrypting(school: School) -> School:
    """A school that encrypts, and our key."""
    school.keys = key_of(OURS)
    return school


def ids(school: School, **feed: object) -> list[object]:
    return [row["Id"] for row in school.rows(school.extract(**feed))]


def fault_of(school: School, **feed: object) -> tuple[str, str]:
    with pytest.raises(EtlError) as caught:
        school.extract(**feed)
    [fault] = caught.value.faults
    assert school.registered == []
    return fault.code, str(fault)


@pytest.mark.parametrize(
    ("name", "data", "feed"),
    [
        ("people.csv.pgp", PEOPLE, {"file": "people.csv"}),
        ("people.csv.GPG", PEOPLE, {"file": "people.csv.gpg"}),
        ("people_20261124.csv.pgp", PEOPLE, {"file": "people_{date}.csv"}),
        ("people.csv.gz.pgp", gzip.compress(PEOPLE), {"file": "people.csv.gz"}),
        (
            "night.zip.gpg",
            zipped(export__people_csv=PEOPLE),
            {"file": "*.zip", "member": "people.csv"},
        ),
    ],
    ids=["csv", "capitals", "dated", "gzip", "zip"],
)
def test_an_encrypted_file_is_read_like_the_file_in_it(
    encrypting: School, name: str, data: bytes, feed: dict[str, object]
) -> None:
    sent = encrypted(data)
    encrypting.put(name, sent)
    extracted = encrypting.extract(**feed)
    assert [row["Id"] for row in encrypting.rows(extracted)] == ["1", "2"]
    [table] = extracted.tables
    assert table.shown.startswith(name)
    assert encrypting.archived() == {sent}


def test_an_armored_file_is_read(encrypting: School) -> None:
    recipient = [OURS.extract_certificate()]
    encrypting.put("people.csv.asc", pysequoia.encrypt(recipients=recipient, bytes=PEOPLE))
    assert ids(encrypting) == ["1", "2"]


def test_the_same_content_encrypted_again_is_nothing_new(encrypting: School) -> None:
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    encrypting.remember(encrypting.extract())
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    assert encrypting.extract().nothing_new_since is not None
    assert len(encrypting.archived()) == 2
    encrypting.put("people.csv.pgp", encrypted(PEOPLE + b"3,Cy,Oh\n"))
    assert encrypting.extract().nothing_new_since is None


@pytest.mark.parametrize("pattern", ["people.csv", "people*.csv"])
def test_a_file_that_comes_plain_and_encrypted_is_refused(encrypting: School, pattern: str) -> None:
    encrypting.put("people.csv")
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    assert fault_of(encrypting, file=pattern)[0] == "FILE_NAME_AMBIGUOUS"


def test_a_file_for_another_key_is_said_with_both_keys(encrypting: School) -> None:
    encrypting.put("people.csv.pgp", encrypted(PEOPLE, STRANGER))
    code, text = fault_of(encrypting)
    assert code == "FILE_FOR_ANOTHER_KEY"
    for key in (STRANGER, OURS):
        packets = pysequoia.packet.PacketPile.from_bytes(bytes(key.extract_certificate()))
        known = [p.key_id.upper() for p in packets if p.tag == pysequoia.packet.Tag.PublicSubkey]
        assert any(one in text for one in known)
    encrypting.put("people.csv.pgp", made("password.pgp"))
    code, text = fault_of(encrypting)
    assert code == "FILE_FOR_ANOTHER_KEY"
    assert "with a password" in text


def test_one_of_several_keys_opens_the_file(school: School) -> None:
    school.keys = PgpKeys.of("The connection", [str(STRANGER), f"{THEIRS}\n{OURS}"], None)
    school.put("people.csv.pgp", encrypted(PEOPLE))
    assert ids(school) == ["1", "2"]


def changed(data: bytes, place: int) -> bytes:
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encrypted(PEOPLE)[:-10], "FILE_ENCRYPTION"),
        (changed(encrypted(PEOPLE), -30), "FILE_ENCRYPTION"),
        (changed(encrypted(PEOPLE * 9999), 90_000), "FILE_ENCRYPTION"),
        (PEOPLE, "FILE_NOT_ENCRYPTED"),
        (b"", "FILE_NOT_ENCRYPTED"),
        (b"\xff" * 100, "FILE_NOT_ENCRYPTED"),
        (b"\xc1", "FILE_NOT_ENCRYPTED"),
        (b"-----BEGIN PGP MESSAGE-----\n\n" + b"=" * 99, "FILE_NOT_ENCRYPTED"),
        (made("only_signed.pgp"), "FILE_NOT_ENCRYPTED"),
        (encrypted(b"PK\x03\x04" + b"x" * 99), "FILE_NOT_A_TABLE"),
        (encrypted(made("armored.asc")), "FILE_NOT_A_TABLE"),
    ],
    ids=["cut", "changed", "changed in the middle", "plain", "empty", "bytes", "one byte", "armor only",
         "only signed", "zip inside", "twice"],
)  # fmt: skip
def test_a_file_that_cannot_be_decrypted_is_said(
    encrypting: School, data: bytes, code: str
) -> None:
    encrypting.put("people.csv.pgp", data)
    found, text = fault_of(encrypting)
    assert found.startswith(code)
    assert "Ana" not in text and "Stack" not in text


def test_nothing_that_the_library_has_read_before_the_damage_is_loaded(encrypting: School) -> None:
    """Several megabytes are written before the end of the message shows that it was changed."""
    data = encrypted(PEOPLE + b"3,Cy,Oh\n" * 9_000_000)
    encrypting.put("people.csv.pgp", changed(data, len(data) - 50_000))
    assert fault_of(encrypting)[0] == "FILE_ENCRYPTION"


def test_a_message_that_unpacks_to_far_more_than_its_size_is_refused(encrypting: School) -> None:
    encrypting.put("people.csv.gz.pgp", encrypted(gzip.compress(b"0" * 200_000_000)))
    assert fault_of(encrypting, file="people.csv.gz")[0] == "FILE_ARCHIVE_REFUSED"
    # and by the compression of OpenPGP itself: 70 MB of zeros, packed by GnuPG
    bomb = MADE_BY_GNUPG / "bomb.pgp"
    encrypting.keys = gnupg_key()
    (encrypting.home / "inbox" / "people.csv.gz.pgp").unlink()
    encrypting.put("people.csv.pgp", bomb.read_bytes())
    assert fault_of(encrypting)[0] == "FILE_ARCHIVE_REFUSED"


# --- what GnuPG makes ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["plain.pgp", "old_subkey.pgp", "hidden.pgp", "signed_compressed.pgp"]
)
def test_what_gnupg_encrypts_is_read_with_a_key_under_a_passphrase(
    school: School, name: str
) -> None:
    school.keys = gnupg_key()
    school.put("people.csv.pgp", made(name))
    assert ids(school) == ["1", "2"]


def test_what_gnupg_armors_is_read_from_a_key_that_lost_its_line_ends(school: School) -> None:
    text = made("ours_private.asc").decode().replace("\n", "\\n")
    school.keys = PgpKeys.of("The connection", text, PASSPHRASE)
    school.put("people.csv.asc", made("armored.asc"))
    assert ids(school) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "word"),
    [("cast5.pgp", "old cipher"), ("unprotected.pgp", "without protection"), ("bzip2.pgp", "form")],
)
def test_ways_of_encrypting_that_are_not_safe_or_not_known_are_said(
    school: School, name: str, word: str
) -> None:
    school.keys = gnupg_key()
    school.put("people.csv.pgp", made(name))
    code, text = fault_of(school)
    assert code == "FILE_ENCRYPTION"
    assert word in text


# --- signatures ----------------------------------------------------------------------------------------


def signed_by(key: pysequoia.Tsk) -> dict[str, object]:
    return {"signed_by": str(key.extract_certificate())}


def test_a_signature_counts_only_when_one_was_agreed(encrypting: School) -> None:
    encrypting.put("people.csv.pgp", encrypted(PEOPLE, signer=STRANGER))
    assert ids(encrypting) == ["1", "2"]
    encrypting.registered.clear()
    encrypting.rules = signed_by(THEIRS)
    assert fault_of(encrypting)[0] == "FILE_SIGNATURE"
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    assert fault_of(encrypting)[0] == "FILE_SIGNATURE"
    encrypting.put("people.csv.pgp", encrypted(PEOPLE, signer=THEIRS))
    assert ids(encrypting) == ["1", "2"]


def test_a_signature_of_gnupg_counts_when_it_can_be_checked(school: School) -> None:
    school.keys = gnupg_key()
    school.rules = {"signed_by": made("school_public.asc").decode()}
    school.put("people.csv.pgp", made("signed_compressed.pgp"))
    code, text = fault_of(school)
    assert code == "FILE_SIGNATURE"
    assert "compressed" in text
    school.put("people.csv.pgp", made("signed.pgp"))
    assert ids(school) == ["1", "2"]


def test_a_plain_file_is_refused_where_encryption_or_a_signature_was_agreed(
    encrypting: School,
) -> None:
    encrypting.put("people.csv")
    encrypting.rules = {"encryption": "required"}
    assert fault_of(encrypting)[0] == "FILE_NOT_ENCRYPTED"
    encrypting.rules = signed_by(THEIRS)
    assert fault_of(encrypting)[0] == "FILE_NOT_ENCRYPTED"


def test_a_mapping_takes_a_public_key_only() -> None:
    assert DeliveryRules.model_validate(signed_by(THEIRS)).signed_by
    with pytest.raises(ValidationError, match="not an armored OpenPGP public key"):
        DeliveryRules.model_validate({"signed_by": "0xDEADBEEF"})
    with pytest.raises(ValidationError, match="private key"):
        DeliveryRules.model_validate({"signed_by": str(THEIRS)})


# --- keys -----------------------------------------------------------------------------------------------


def test_without_a_key_the_connection_is_named(school: School) -> None:
    school.put("people.csv.pgp", encrypted(PEOPLE))
    code, text = fault_of(school)
    assert code == "CONNECTION_MISSING"
    assert "etl_pgp" in text
    (school.home / "inbox" / "people.csv.pgp").unlink()
    school.put("people.csv")
    assert ids(school) == ["1", "2"]  # nobody asks for a key that is not needed


@pytest.mark.parametrize("passphrase", [None, "a wrong canary"])
def test_a_passphrase_that_does_not_fit_is_ours_to_mend_and_never_told(
    school: School,
    passphrase: str | None,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    school.keys = gnupg_key(passphrase)
    school.put("people.csv.pgp", made("plain.pgp"))
    code, text = fault_of(school)
    assert code == "PGP_KEY_UNUSABLE"
    assert "passphrase" in text and "etl_pgp" in text
    told = text + repr(school.keys) + str(school.keys) + caplog.text + "".join(capfd.readouterr())
    secrets = [line for line in made("ours_private.asc").decode().splitlines() if len(line) > 40]
    assert len(secrets) > 5
    for secret in [*secrets, "canary"]:
        assert secret not in told


@pytest.mark.parametrize(
    "text",
    ["", None, "no key", str(OURS.extract_certificate())],
    ids=["empty", "none", "no key", "the public key"],
)
def test_a_connection_without_a_private_key_is_said(text: str | None) -> None:
    with pytest.raises(FixTheSetup) as caught:
        PgpKeys.of("The connection `etl_pgp`", text, None)
    assert caught.value.faults[0].code == "PGP_KEY_UNUSABLE"
    assert "BEGIN" not in str(caught.value)


def test_a_private_key_that_is_damaged_or_has_expired_is_said(encrypting: School) -> None:
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    lines = str(OURS).splitlines()
    encrypting.keys = PgpKeys.of("The connection", "\n".join(lines[:4] + lines[6:]), None)
    code, text = fault_of(encrypting)
    assert code == "PGP_KEY_UNUSABLE"
    assert "BEGIN" not in text
    encrypting.keys = PgpKeys.of("The connection", made("expired_private.asc").decode(), None)
    encrypting.put("people.csv.pgp", made("for_expired.pgp"))
    code, text = fault_of(encrypting)
    assert code == "PGP_KEY_UNUSABLE"
    assert "expired" in text


def test_the_terminal_takes_the_key_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    with pytest.raises(FixTheSetup, match=KEY_VARIABLE):
        keys_of_environment()
    (tmp_path / "key.asc").write_bytes(made("ours_private.asc"))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, PASSPHRASE)
    for value in (str(tmp_path / "key.asc"), made("ours_private.asc").decode()):
        monkeypatch.setenv(KEY_VARIABLE, value)
        assert keys_of_environment().private_keys == (made("ours_private.asc").decode(),)
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "no such file"))
    with pytest.raises(FixTheSetup, match="neither"):
        keys_of_environment()


def test_airflow_takes_the_key_from_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    resolved = Project(REPO / "include", "development").resolve("lakeside")
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "sqlite://")
    extra = {"private_key": made("ours_private.asc").decode()}
    connection = {"conn_type": "generic", "password": PASSPHRASE, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_ETL_PGP", json.dumps(connection))
    found = pgp_keys_of(resolved)
    assert (found.private_keys, found.passphrase) == ((extra["private_key"],), PASSPHRASE)
    monkeypatch.setenv("AIRFLOW_CONN_ETL_PGP", json.dumps({"conn_type": "generic"}))
    with pytest.raises(FixTheSetup, match="`etl_pgp` holds no"):
        pgp_keys_of(resolved)
    monkeypatch.delenv("AIRFLOW_CONN_ETL_PGP")
    with pytest.raises(FixTheSetup, match="etl_pgp"):
        pgp_keys_of(resolved)


# --- nothing stays ---------------------------------------------------------------------------------------

_STOPS_WHEN_ALL_IS_UNPACKED = """
import sys, time
from pathlib import Path
from tests.extract.schools import Ledger, School
from tests.extract.test_pgp import gnupg_key
import tests.extract.schools as schools

def register(self, run, delivery_id, day, received_at):
    print("unpacked", flush=True)
    time.sleep(60)

schools.Ledger.register = register
school = School(Path(sys.argv[1]), keys=gnupg_key())
school.extract(file=["people.csv", "*.zip"], member="people.csv")
"""


def holding(folder: Path, canary: bytes) -> list[str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if canary in path.read_bytes()]


def test_a_killed_process_leaves_nothing_readable_on_the_disk(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    has_names = sys.platform != "linux"  # there the next extraction removes such files
    canary = b"Id,Name,Last\n1,Canary,Ruiz\n"
    recipient = pysequoia.Cert.from_bytes(made("ours_private.asc"))
    inside = zipped(people_csv=canary)
    school.put("night.zip.pgp", pysequoia.encrypt(recipients=[recipient], bytes=inside))
    temporary = school.home / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": str(REPO)}
    command = [sys.executable, "-c", _STOPS_WHEN_ALL_IS_UNPACKED, str(school.home)]
    with subprocess.Popen(
        command, env=environment, cwd=REPO, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "unpacked\n"
        found = holding(temporary, canary)
        assert found == holding(school.home, canary)
        assert bool(found) == has_names
        if not has_names:
            links = [os.readlink(one) for one in Path(f"/proc/{child.pid}/fd").iterdir()]  # noqa: PTH115
            assert sum(str(temporary) in link and "(deleted)" in link for link in links) == 2
        child.send_signal(signal.SIGKILL)
        child.wait()
    [left] = temporary.iterdir()  # the folder of the killed one
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    with scratch():  # as the next extraction begins
        assert not left.exists()
    for secret in (canary, inside[:60]):
        assert holding(school.home, secret) == []


def test_an_ended_extraction_leaves_no_file_at_all(
    encrypting: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = encrypting.home / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    encrypting.put("people.csv.pgp", encrypted(PEOPLE))
    encrypting.extract()
    encrypting.put("people.csv.pgp", encrypted(PEOPLE)[:-9])
    with pytest.raises(AskTheSchool):
        encrypting.extract()
    assert list(temporary.iterdir()) == []
