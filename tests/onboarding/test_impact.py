"""`etl impact`: in a git repository of the test's own, whose sample a change of include/ or etl_hooks/ alters."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import REPO, Etl


class Checkout:
    """A repository with a copy of the configuration, and edits in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("include", "etl_hooks"):
            shutil.copytree(REPO / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.rmtree(root / "include" / "samples" / "metro")  # a client without a sample
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("Begin")

    def git(self, *words: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.com")
        done = subprocess.run(
            ["git", *who, *words], cwd=self.root, check=True, capture_output=True, text=True
        )
        return done.stdout

    def commit(self, subject: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", subject)

    def change(self, name: str, old: str, new: str) -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, (old, text.count(old))
        path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    made = Checkout(tmp_path / "repository")
    monkeypatch.setenv("ETL_INCLUDE", str(made.root / "include"))
    monkeypatch.setenv("COLUMNS", "200")
    return made


@pytest.fixture
def blast(etl: Etl, checkout: Checkout) -> Callable[..., dict]:
    """What `etl impact --format json` says of the clients that are touched, and its exit code."""

    def ask(*words: str) -> dict:
        answer = etl("impact", "--format", "json", *words)
        found = answer.json
        touched = {
            name: one for name, one in found["clients"].items() if one["state"] != "untouched"
        }
        return {"code": answer.code, "summary": found["summary"], **touched}

    return ask


def test_an_edit_of_a_template_names_the_two_clients_that_change_and_how(
    checkout: Checkout, blast: Callable[..., dict], etl: Etl
) -> None:
    checkout.git("checkout", "--quiet", "-b", "work")
    template = "include/templates/plain.yaml"
    checkout.change(template, "email: [email, email_address]",
                    "email: {from: [email, email_address], case: upper}")  # fmt: skip
    checkout.commit("Large letters")
    # not committed, and counts
    checkout.change(
        template, "capacity: capacity", 'capacity: {from: capacity, extract: "([0-9])"}'
    )
    found = blast("--exit-code")
    assert found.keys() == {"code", "summary", "ashford", "westbrook"}
    assert found["code"] == 1
    commit = checkout.git("rev-parse", "main")[:10]
    assert found["summary"] == (
        f"2 of 9 clients change: ashford, westbrook. 7 not touched. Compared with main ({commit})."
    )
    # westbrook takes its mail addresses from elsewhere
    assert found["westbrook"]["rows"] == {
        "section": {"added": 0, "removed": 0, "changed": 3, "columns": {"capacity": 3}}
    }
    assert found["westbrook"]["lines"][0] == {
        "nights": ["night_1", "night_2"], "file": "section", "key": "W-1", "column": "capacity",
        "before": "200", "after": "2",
    }  # fmt: skip
    assert found["ashford"]["rows"]["section"] == {
        "added": 2, "removed": 0, "changed": 2, "columns": {"capacity": 2},
    }  # fmt: skip
    assert found["ashford"]["rejects"]["VALUE_NOT_A_NUMBER"] == [4, 2]

    answer = etl("impact", "--format", "markdown", "--rows", "2", "--against", "work")
    assert answer.code == 0, answer  # something changes, and nobody asked for a code
    lines = answer.out.splitlines()
    assert "| westbrook | section: 3 changed (capacity 3) |" in lines
    assert "| section, night_1 and night_2 | W-1 | capacity | 200 | 2 |" in lines
    assert "And 1 more." in lines
    assert not any("W-3" in line or "email" in line for line in lines)  # the email is committed


def test_an_entity_a_hook_a_broken_template_a_new_and_a_lost_mapping(
    checkout: Checkout, etl: Etl
) -> None:
    mappings = checkout.root / "include" / "mappings"
    checkout.change("include/entities/program.yaml", "default: program", "default: plan")
    checkout.change("etl_hooks/names.py", '"y"}', '"y", "solís"}')
    checkout.change("include/templates/oneroster_1_2.yaml", "sis: ", "sys: ")
    checkout.change("include/mappings/metro.yaml", "client: Metro", "revision: 3\nclient: Metro")
    shutil.copy(mappings / "ashford.yaml", mappings / "ashford_too.yaml")
    (mappings / "westbrook.yaml").unlink()
    # a sample that goes with the change is taken from before it
    shutil.rmtree(checkout.root / "include" / "samples" / "prairie_state")
    checkout.commit("Change many things")
    answer = etl("impact", "--against", "HEAD~1")
    assert answer.code == 2, answer  # northgate is broken
    said = answer.out.splitlines()
    clients = ("northgate", "prairie_state", "san_rafael", "westbrook")
    places = [said.index(name) for name in clients]
    assert places == sorted(places)
    assert said[places[0] + 1] == "  broken by the change"
    assert "[MAPPING_INVALID] include/templates/oneroster_1_2.yaml:" in said[places[0] + 2]
    assert said[places[1] + 1] == "  program: 2 changed (type 2)"
    assert said[places[2] + 1] == "  person: 1 changed (family_name 1)"
    assert "│ 100200 " in answer.out and "│ Núñez Solís │ Núñez solís │" in answer.out
    assert said[places[3] + 1] == "  has no mapping any more"
    commit = checkout.git("rev-parse", "HEAD~1")[:10]
    assert said[-1] == (
        "4 of 10 clients change: northgate, prairie_state, san_rafael, westbrook. 1 new: ashford_too. "
        "1 touched, but without a sample nobody can say what changes: metro. 4 not touched. "
        f"Compared with HEAD~1 ({commit})."
    )


def test_nothing_differs_and_nothing_is_loaded(
    checkout: Checkout, blast: Callable[..., dict]
) -> None:
    assert blast("--exit-code")["code"] == 0
    checkout.change("include/entities/course.yaml", "The course's full title.", "How it is called.")
    mapping = checkout.root / "include" / "mappings" / "lakeside.yaml"
    mapping.write_text("# why\n" + mapping.read_text())
    found = blast("--exit-code")
    assert found.keys() == {"code", "summary"}
    assert found["code"] == 0
    assert found["summary"].startswith("0 of 9 clients change. 9 not touched.")


def test_what_cannot_be_compared_is_said(checkout: Checkout, etl: Etl) -> None:
    answer = etl("impact", "--against", "nowhere")
    assert answer.code == 2
    assert "[COMMIT_UNKNOWN] git knows no commit `nowhere` here." in answer.err
    checkout.git("branch", "--move", "main", "other")
    assert "There is none of origin/HEAD" in etl("impact").err
    shutil.rmtree(checkout.root / ".git")
    answer = etl("impact")
    assert answer.code == 2
    assert "[COMMIT_UNKNOWN] `git rev-parse`: not a git repository" in answer.err
