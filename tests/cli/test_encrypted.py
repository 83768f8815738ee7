"""A school that encrypts, at the terminal: the key comes from the environment."""

from __future__ import annotations

import logging

import pysequoia
import pytest

from etl_lib.extract.pgp import KEY_VARIABLE, PASSPHRASE_VARIABLE
from tests.cli.conftest import Delivery, Etl

OURS = pysequoia.Tsk.generate("ours <ours@example.com>")


def encrypt_all(files: Delivery, contents: dict[str, bytes]) -> None:
    for name, data in contents.items():
        message = pysequoia.encrypt(recipients=[OURS.extract_certificate()], bytes=data)
        files.path(f"{name}.pgp").write_bytes(message)


def test_encrypted_files_are_loaded_and_the_same_content_is_nothing_new(
    lakeside: Delivery, etl: Etl, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    contents = {path.name: path.read_bytes() for path in lakeside.folder.glob("*.csv")}
    for name in contents:
        lakeside.path(name).unlink()
    encrypt_all(lakeside, contents)

    monkeypatch.delenv(KEY_VARIABLE, raising=False)
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 2
    assert KEY_VARIABLE in answer.out + answer.err
    assert lakeside.rows() == 0

    monkeypatch.setenv(KEY_VARIABLE, str(OURS))
    monkeypatch.setenv(PASSPHRASE_VARIABLE, "canary passphrase")
    answer = etl("run", "lakeside", "--files", str(lakeside.folder))
    assert answer.code == 0, answer
    assert lakeside.rows() > 100

    encrypt_all(lakeside, contents)
    answer = etl("run", "lakeside", "--files", str(lakeside.folder), "--json")
    assert answer.json["status"] == "nothing_new"
    told = (
        caplog.text
        + answer.out
        + answer.err
        + str(lakeside.query("SELECT text FROM etl.run_message"))
    )
    assert "canary" not in told
    assert str(OURS).splitlines()[5] not in told


def test_a_name_that_is_not_touched_is_recorded_with_the_run(lakeside: Delivery, etl: Etl) -> None:
    lakeside.path("users\u202evsc.csv").write_bytes(b"x")
    assert etl("run", "lakeside", "--files", str(lakeside.folder)).code == 0
    [(code, text)] = lakeside.query(
        "SELECT code, text FROM etl.run_message WHERE stage = 'extract'"
    )
    assert code == "FILE_NAME_REFUSED"
    assert "\\u{202e}" in text and text.isprintable()
