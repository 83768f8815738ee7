"""A server with host keys of two kinds: the one that was told counts, of whichever kind; another one never."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from etl_lib.onboarding.doctor.examine import _host_key_of
from etl_lib.onboarding.provision import Address
from local_stack.objects import fingerprint, key_pair
from local_stack.processes import Process, answers, free_port
from local_stack.stack import HOST


@pytest.fixture(scope="module")
def server(make_home: Callable[[str], Path]) -> Iterator[tuple[int, list[str]]]:
    """rclone with an ed25519 and an RSA key: its port and both fingerprints."""
    home = make_home("two_keys")
    first = fingerprint(key_pair(home / "ed25519"))
    rsa = paramiko.RSAKey.generate(3072)
    rsa.write_private_key_file(str(home / "rsa"))
    port = free_port()
    rclone = str(Path(sys.executable).parent / "rclone")
    command = [rclone, "serve", "sftp", str(home), "--addr", f"{HOST}:{port}", "--user", "u",
               "--pass", "p", "--key", str(home / "ed25519"), "--key", str(home / "rsa")]  # fmt: skip
    environ = {"HOME": str(home), "RCLONE_CONFIG": str(home / "none")}
    process = Process.start("an SFTP server", command, home / "log", environ)
    process.wait_until(answers(port), 20)
    yield port, [first, rsa.fingerprint]
    process.stop()


def test_each_of_its_keys_is_right_and_no_other(server: tuple[int, list[str]]) -> None:
    port, known = server
    for one in known:
        assert _host_key_of(Address(HOST, port, "x", one)).outcome == "ok"
    wrong = _host_key_of(Address(HOST, port, "x", f"SHA256:{'A' * 43}"))
    assert wrong.fault is not None and wrong.fault.code == "HOST_KEY_DIFFERS"
    untold = _host_key_of(Address(HOST, port, "x", ""))
    assert untold.outcome == "left out" and known[0] in untold.said
