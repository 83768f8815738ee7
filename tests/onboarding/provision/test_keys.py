"""Which keys are taken, which are refused, and that nothing of a private key is ever repeated."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etl_lib.errors import AskTheSchool, FixTheSetup
from etl_lib.onboarding.provision.keys import PublicKey, public_keys, stored_keys
from etl_lib.onboarding.provision.plan import Wish, settled
from tests.onboarding.provision.made_keys import kept_key, line, new_key, pem, private, puttygen

ACCEPTED = ("ed25519", "p256", "p384", "p521", "rsa")


def refused(text: str) -> AskTheSchool:
    with pytest.raises(AskTheSchool) as caught:
        public_keys(text, "school.pub")
    return caught.value


@pytest.mark.parametrize("kind", ACCEPTED)
def test_a_key_is_the_same_in_every_form_that_programs_save(kind: str) -> None:
    key = kept_key(kind)
    forms = [line(key), line(key, "ana@school"), puttygen(key), pem(key), "\ufeff" + line(key)]
    forms += [line(key).replace("\n", "\r\n"), f"# from Ana\n\n{line(key)}\n{line(key)}"]
    found = [public_keys(text, "school.pub") for text in forms]
    assert all(len(keys) == 1 for keys in found)
    assert len({keys[0] for keys in found}) == 1
    assert found[0][0].line == line(key).strip()


def test_the_fingerprint_is_that_of_ssh_keygen(tmp_path: Path) -> None:
    path = tmp_path / "school.pub"
    path.write_text(line(kept_key("p384"), "x"))
    [key] = public_keys(path.read_text(), "school.pub")
    program = shutil.which("ssh-keygen")
    if program is None:  # then paramiko, which has another code for it, must agree
        import paramiko

        other = paramiko.ECDSAKey(data=key.blob)
        assert other.fingerprint == key.fingerprint
        return
    said = subprocess.run([program, "-lf", str(path)], capture_output=True, text=True, check=True)
    assert key.fingerprint in said.stdout.split()


def test_rsa_needs_3072_bits() -> None:
    assert len(public_keys(line(kept_key("rsa", 3072)), "f")) == 1
    error = refused(line(kept_key("rsa", 2048)))
    assert [fault.code for fault in error.faults] == ["KEY_REFUSED"]
    assert "2,048 bits; at least 3,072" in str(error)


@pytest.mark.parametrize("form", ["openssh", "pkcs8", "pkcs1"])
def test_a_private_key_is_refused_in_words_and_never_repeated(form: str) -> None:
    text = private(kept_key("rsa", 2048), form)
    error = refused(text)
    assert [fault.code for fault in error.faults] == ["KEY_PRIVATE"]
    body = [part for part in text.splitlines() if "-----" not in part]
    assert not [part for part in body if part[:12] in f"{error} {error!r} {error.faults}"]
    # with a public key around it, and without its frame
    assert [f.code for f in refused(line(new_key()) + text).faults] == ["KEY_PRIVATE"]


def test_putty_s_own_file_and_a_private_key_without_its_frame_are_known() -> None:
    ppk = "PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIB\n"
    assert [f.code for f in refused(ppk).faults] == ["KEY_PRIVATE"]
    text = "".join(private(new_key(), "openssh").splitlines()[1:-1])
    assert [f.code for f in refused(text).faults] == ["KEY_PRIVATE"]


def test_every_fault_is_said_at_once_with_its_line() -> None:
    good = line(new_key())
    blob = good.split()[1]
    text = "\n".join(
        [
            good.strip(),
            line(kept_key("rsa", 2048)).strip(),
            f"ssh-ed25519 {blob[:-5]}",
            f"ssh-rsa {blob}",
            f'from="10.0.0.1" ssh-ed25519 {blob}',
            "ssh-dss AAAAB3NzaC1kc3MAAAA=",
            "sk-ssh-ed25519@openssh.com AAAA",
            "ssh-ed25519",
            "Good morning, here is our key",
        ]
    )
    error = refused(text)
    said = [(fault.where, fault.code) for fault in error.faults]
    assert said == [(f"school.pub, line {n}", "KEY_REFUSED") for n in range(2, 10)]
    words = [fault.text for fault in error.faults]
    for word, part in zip(
        ("3,072", "damaged", "the key in it is ssh-ed25519", "Options", "ssh-dss", "sk-ssh", "ends", "no public key"),
        words, strict=True,
    ):  # fmt: skip
        assert word in part


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing\n", "A" * 70_000])
def test_a_file_without_a_key_is_refused(text: str) -> None:
    assert [fault.code for fault in refused(text).faults] == ["KEY_REFUSED"]


@given(st.text(max_size=300))
def test_no_text_at_all_makes_another_error(text: str) -> None:
    for prefix in ("", "ssh-ed25519 ", "---- BEGIN SSH2 PUBLIC KEY ----\n"):
        try:
            public_keys(prefix + text, "f")
        except AskTheSchool as error:
            assert error.faults


@given(st.integers(0, 50), st.integers(0, 255))
def test_a_damaged_blob_is_never_taken_for_another_kind(at: int, value: int) -> None:
    blob = bytearray(base64.b64decode(line(kept_key("ed25519")).split()[1]))
    blob[at % 19] = value
    text = f"ssh-ed25519 {base64.b64encode(bytes(blob)).decode()}"
    original = line(kept_key("ed25519")).split()[1]
    if text.split()[1] == original:
        return
    assert [fault.code for fault in refused(text).faults] == ["KEY_REFUSED"]


def keys(number: int) -> list[PublicKey]:
    return [public_keys(line(new_key()), "f")[0] for _ in range(number)]


def test_which_keys_a_wish_leaves() -> None:
    a, b, c = keys(3)
    assert settled([a], Wish("x", add=(b,))).add == (b,)
    assert settled([a], Wish("x", add=(a,))).add == ()
    replaced = settled([a, b], Wish("x", add=(c,), replace=True))
    assert (replaced.keep, replaced.add, replaced.remove) == ((), (c,), (a, b))
    assert settled([a, b], Wish("x", add=(b,), replace=True)).remove == (a,)
    assert settled([a, b], Wish("x", remove=a.fingerprint)).keep == (b,)


def test_a_wish_that_leaves_no_key_or_names_none_is_refused_with_all_reasons() -> None:
    [a] = keys(1)
    for present, wish, words in (
        ([], Wish("x"), "has no key yet"),
        ([a], Wish("x", remove=a.fingerprint), "last key would go"),
        ([a], Wish("x", replace=True), "needs the new one"),
        ([a], Wish("x", remove="SHA256:none"), a.fingerprint),
        ([a], Wish("x", add=(a,), remove=a.fingerprint), "added and removed"),
    ):
        with pytest.raises(FixTheSetup, match=re.escape(words)) as caught:
            settled(present, wish)
        assert {fault.code for fault in caught.value.faults} == {"PROVISION_REFUSED"}
    with pytest.raises(FixTheSetup) as caught:
        settled([a], Wish("x", replace=True, remove="SHA256:none"))
    assert len(caught.value.faults) == 2


def test_lines_of_our_own_files_that_are_no_key_are_numbered() -> None:
    text = f"# keys\n{line(new_key())}rubbish\n\n{line(kept_key('rsa', 2048))}"
    found, other = stored_keys(text.splitlines())
    assert (len(found), other) == (2, [3])
    assert "2,048" in found[1].weakness
