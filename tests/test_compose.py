"""What the image's recipe with docker-compose.yml promises about an exercise: form, confinement, secrets, settings.

No container engine is needed: the files are read. tests/acceptance/test_topology.py runs the same as processes.
"""

from __future__ import annotations

import re
import stat
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from broker.cli import cli as hub_program
from broker.server import ANSWER_S
from clients.cli import cli as agency_program
from deploy.make_secrets import NAMES, make_secrets
from lintas import vocabulary

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {name for name, service in SERVICES.items() if service["restart"] == "no"}
AGENCIES = {name for name, service in SERVICES.items() if "LINTAS_IDENTITY" in service.get("environment", {})}
REPLICAS = {"hub-1", "hub-2"}
SECRETS = {"certificate", "hub-1", "hub-2", "password"}
"""Volumes with something in them that would let its reader act as somebody else."""

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def named_volumes(service: dict[str, Any]) -> dict[str, str]:
    """Return where a service mounts each volume."""
    return dict(mount.split(":")[:2] for mount in service["volumes"])


def who(member: str, value: str) -> set[str]:
    """Return the services that have a value among those of a member, the part before a colon."""
    return {
        name for name, service in SERVICES.items() if value in {each.split(":")[0] for each in service.get(member, [])}
    }


def test_form() -> None:
    """The file follows the Compose Specification."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    checked = subprocess.run(checker, capture_output=True, text=True, check=False)

    assert (0, "") == (checked.returncode, checked.stderr)


def test_cast() -> None:
    """One database, jobs that prepare it, two replicas, a proxy, three agencies of the vocabulary."""
    assert {"database", "proxy"} | JOBS | REPLICAS | AGENCIES == set(SERVICES)
    assert {"secrets", "init", "migrate"} == JOBS
    assert {"my-police", "sg-fiu", "th-police"} == AGENCIES
    assert set(vocabulary.load().agencies) >= AGENCIES


@every_service
def test_awaited_services_exist(service: dict[str, Any]) -> None:
    """A service waits for services of this file: for a job's end, for the others' health."""
    awaited = {name: how["condition"] for name, how in service.get("depends_on", {}).items()}

    assert awaited == {
        name: "service_completed_successfully" if name in JOBS else "service_healthy"
        for name in awaited
        if name in SERVICES
    }


def test_order_of_the_start() -> None:
    """Secrets, database, hub, schema, replicas, proxy, agencies: each waits for what it needs."""
    chain = ["secrets", "database", "init", "migrate", "hub-1", "proxy", "my-police"]

    assert list(pairwise(chain)) == [
        (before, name) for name in chain[1:] for before in SERVICES[name]["depends_on"] if before != "hub-2"
    ]
    assert SERVICES["hub-1"]["depends_on"] == SERVICES["hub-2"]["depends_on"]
    assert set(SERVICES["proxy"]["depends_on"]) == REPLICAS


@pytest.mark.parametrize("name", SERVICES)
def test_confined(name: str) -> None:
    """A service is not root, gains nothing, and writes to its volumes and small temporary file systems alone."""
    service = SERVICES[name]

    assert ("999:999" if name == "database" else "10001:10001") == service["user"]
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert {"/tmp:size=64m,mode=1777"} <= set(service["tmpfs"])
    assert all(re.search(r":size=\d+m,", each) for each in service["tmpfs"])
    assert set() == {"privileged", "cap_add", "devices", "pid", "ipc"} & set(service)


@every_service
def test_bounded(service: dict[str, Any]) -> None:
    """A service has a limit for memory, processes, processor."""
    assert {"mem_limit", "pids_limit", "cpus"} <= set(service)


@every_service
def test_image_has_a_version(service: dict[str, Any]) -> None:
    """An image is named with its version: what runs tomorrow is what was tried."""
    assert re.search(r":\d+\.\d+|:\d+-\w+$", service["image"])


@every_service
def test_volumes_are_declared(service: dict[str, Any]) -> None:
    """A service mounts volumes of this file, no folder of the machine."""
    assert set(COMPOSE["volumes"]) >= set(named_volumes(service))


@every_service
def test_configurations_are_files_here(service: dict[str, Any]) -> None:
    """A configuration that a service is given is a file of this repository."""
    files = {name: ROOT / config["file"] for name, config in COMPOSE["configs"].items()}

    assert all(files[each["source"]].is_file() for each in service.get("configs", []))


def test_networks() -> None:
    """Database, replicas, partners are apart: a service that stands between two is on both, everything else on one."""
    assert {name for name, network in COMPOSE["networks"].items() if not network.get("internal")} == {"outside"}
    assert {
        "database": {"database", "init", "migrate"} | REPLICAS,
        "replicas": {"proxy"} | REPLICAS,
        "partners": {"proxy"} | AGENCIES,
        "outside": {"proxy"},
    } == {network: who("networks", network) for network in COMPOSE["networks"]}
    assert {"secrets"} == {name for name, service in SERVICES.items() if service.get("network_mode") == "none"}


def test_only_the_proxy_is_published() -> None:
    """The one published port is the proxy's, on the loopback address: neither database nor replica."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert {"proxy": ["127.0.0.1:8443:8443"]} == published


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_health_is_checked(name: str) -> None:
    """Whatever keeps running has a health check that gives up in time."""
    check = SERVICES[name]["healthcheck"]

    assert "CMD" == check["test"][0]
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)


@pytest.mark.parametrize("name", sorted(REPLICAS | AGENCIES))
def test_health_is_asked_of_the_hub(name: str) -> None:
    """A replica is well when it is ready, an agency when it reaches a ready hub over TLS that it trusts."""
    _, *program, script = SERVICES[name]["healthcheck"]["test"]

    assert ["python", "-c"] == program
    compile(script, "healthcheck", "exec")
    environment = SERVICES[name]["environment"]
    wanted = (
        (f"{environment['LINTAS_HUB']}/readyz", environment["LINTAS_CA"]) if name in AGENCIES else (":8470/readyz",)
    )
    assert [] == [part for part in wanted if part not in script]


def test_secrets_are_files() -> None:
    """No environment and no command line holds a secret: what is secret is named by a file."""
    named = {
        (key, value)
        for service in SERVICES.values()
        for key, value in service.get("environment", {}).items()
        if re.search(r"PASS|KEY|SECRET|CERTIFICATE|TOKEN", key)
    }
    said = [str([service.get("command"), service.get("environment")]) for service in SERVICES.values()]

    assert {"PGPASSFILE", "POSTGRES_PASSWORD_FILE", "LINTAS_PASSPHRASE_FILE", "LINTAS_PROXY_CERTIFICATE"} == {
        key for key, _ in named
    }
    assert all(value.startswith("/") for _, value in named)
    assert [] == [word for word in said if re.search(r"://[^/@]*:[^/@]*@", word)]


def test_secrets_are_for_their_readers() -> None:
    """A volume with a secret is mounted by its readers and the job that makes it, read-only where that is enough."""
    assert {
        "password": {"secrets", "database"},
        "certificate": {"secrets", "proxy"},
        "hub-1": {"secrets", "init", "migrate", "hub-1"},
        "hub-2": {"secrets", "init", "hub-2"},
    } == {volume: who("volumes", volume) for volume in SECRETS}
    readers = {"password": "database", "certificate": "proxy", "hub-1": "migrate"}
    assert {} == {
        volume: name
        for volume, name in readers.items()
        if f"{volume}:{named_volumes(SERVICES[name])[volume]}:ro" not in SERVICES[name]["volumes"]
    }


def test_secrets_are_made(tmp_path: Path) -> None:
    """The job writes each secret where its reader looks, readable by nobody else; again, it writes the same."""
    make_secrets(tmp_path)
    folders = {volume: path.rsplit("/", 1)[1] for volume, path in named_volumes(SERVICES["secrets"]).items()}

    def made(service: str, path: str) -> Path:
        volume, mounted = next(pair for pair in named_volumes(SERVICES[service]).items() if path.startswith(pair[1]))
        return tmp_path / folders[volume] / Path(path).relative_to(mounted)

    files = {
        made("database", SERVICES["database"]["environment"]["POSTGRES_PASSWORD_FILE"]): 0o644,
        made("hub-1", COMPOSE["x-database"]["PGPASSFILE"]): 0o600,
        made("hub-2", COMPOSE["x-database"]["PGPASSFILE"]): 0o600,
        made("proxy", SERVICES["proxy"]["environment"]["LINTAS_PROXY_CERTIFICATE"]): 0o600,
        made("my-police", SERVICES["my-police"]["environment"]["LINTAS_CA"]): 0o644,
    }
    assert files == {path: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    before = {path: path.read_bytes() for path in files}
    make_secrets(tmp_path)
    assert before == {path: path.read_bytes() for path in files}
    assert "proxy" in NAMES


def test_one_database() -> None:
    """Both replicas and the jobs before them use the database that is served, with the password made for it."""
    database = SERVICES["database"]["environment"]
    url = f"postgresql://{database['POSTGRES_USER']}@database/{database['POSTGRES_DB']}"

    assert {(url, "/data/pgpass")} == {
        (SERVICES[name]["environment"]["LINTAS_DATABASE"], SERVICES[name]["environment"]["PGPASSFILE"])
        for name in {"init", "migrate"} | REPLICAS
    }


@pytest.mark.parametrize("name", sorted(REPLICAS))
def test_replica_has_a_directory(name: str) -> None:
    """A replica writes to a directory of its own: two that shared one would fight for its lock."""
    assert {name: "/data"} == named_volumes(SERVICES[name])


def test_proxy_finds_the_replicas() -> None:
    """The proxy is told both replicas by name and port, and the port that is published."""
    environment = SERVICES["proxy"]["environment"]
    port = SERVICES["hub-1"]["command"][-1]

    assert {f"{name}:{port}" for name in REPLICAS} == {environment["LINTAS_HUB_1"], environment["LINTAS_HUB_2"]}
    assert SERVICES["proxy"]["ports"][0].endswith(f":{environment['LINTAS_PROXY_LISTEN'].rsplit(':', 1)[1]}")
    assert f"http://{environment['LINTAS_PROXY_HEALTH']}/readyz" == SERVICES["proxy"]["healthcheck"]["test"][-1]


def test_proxy_is_told_all_that_it_asks() -> None:
    """Every variable in the proxy's configuration is set, and no other."""
    asked = set(re.findall(r'"\$\{(\w+)\}"', (ROOT / COMPOSE["configs"]["haproxy"]["file"]).read_text()))

    assert asked == set(SERVICES["proxy"]["environment"])


def test_forwarded_addresses() -> None:
    """Replicas believe the address that comes from the proxy's network, which holds nothing but proxy and replicas."""
    subnet = COMPOSE["networks"]["replicas"]["ipam"]["config"][0]["subnet"]

    assert {subnet} == {SERVICES[name]["environment"]["LINTAS_TRUSTED_PROXY"] for name in REPLICAS}


@pytest.mark.parametrize("name", ["proxy", *sorted(REPLICAS)])
def test_time_to_stop(name: str) -> None:
    """What is stopped gets longer than it gives those that it serves."""
    configured = re.search(r"hard-stop-after (\d+)s", (ROOT / "deploy/haproxy.cfg").read_text())
    assert configured is not None

    drain_s = int(SERVICES[name].get("environment", {}).get("LINTAS_DRAIN_S", 0))
    assert int(SERVICES[name]["stop_grace_period"].removesuffix("s")) > max(drain_s + ANSWER_S, int(configured[1]))


@pytest.mark.parametrize("name", sorted(AGENCIES))
def test_agency_acts_as_itself(name: str) -> None:
    """An agency's service opens its own identity, in the volume that it mounts, and talks to the proxy alone."""
    folder = named_volumes(SERVICES[name])["agencies"]

    assert {
        "LINTAS_HUB": "https://proxy:8443",
        "LINTAS_CA": f"{folder}/ca.pem",
        "LINTAS_IDENTITY": f"{folder}/{name}.json",
        "LINTAS_PASSPHRASE_FILE": f"{folder}/passphrase",
    } == SERVICES[name]["environment"]


@pytest.mark.parametrize("name", ["migrate", *sorted(REPLICAS | AGENCIES)])
def test_commands_exist(name: str) -> None:
    """What a service runs is a command of ours, and takes these options."""
    program, command, *options = SERVICES[name]["command"]
    group: click.Group = {"lintas": agency_program, "lintas-broker": hub_program}[program]

    context = group.commands[command].make_context(command, options)

    assert command == context.info_name


def test_job_makes_the_exercise_once() -> None:
    """The job makes the exercise, gives the second replica the keys, copies the passphrase last."""
    script = SERVICES["init"]["command"][-1]
    steps = [
        "test -s /data/agencies/passphrase ||",
        "lintas-broker exercise --data /data ",
        "cp -p /data/log.key /data/hub.secret /secrets/hub-2/",
        "cp -p /data/passphrase /data/agencies/passphrase",
    ]

    assert sorted(map(script.index, steps)) == list(map(script.index, steps))
    assert "exercise" in hub_program.commands


def test_image_has_what_is_mounted() -> None:
    """Where a service of the image mounts a volume the image has a folder of its user, whose volume begins with it."""
    recipe = (ROOT / "Dockerfile").read_text()
    folders = set(re.findall(r"(?<=\s)/(?:data|secrets)[\w/-]*", recipe.split("WORKDIR /data")[0]))
    mounted = {
        path
        for service in SERVICES.values()
        if service["image"] == COMPOSE["x-program"]["image"]
        for path in named_volumes(service).values()
    }

    assert mounted == folders


def test_image_runs_as_the_same_user() -> None:
    """The image's own user is the one that the services name, so that a volume's first owner is right."""
    users = re.findall(r"^USER (.+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)

    assert [COMPOSE["x-program"]["user"]] == users


def test_image_is_built_from_locks() -> None:
    """Every installation in the image is from a lock with hashes or from no index at all."""
    recipe = (ROOT / "Dockerfile").read_text()
    installs = re.findall(r"pip (?:install|wheel) .*", recipe)

    assert [] == [line for line in installs if "--require-hashes" not in line and "--no-index" not in line]
    assert 4 == len(installs)


def test_image_is_built_from_what_it_needs() -> None:
    """The build sees the packages with their locks, nothing else: no hub's data, no history, no tests."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    seen = {line[1:] for line in lines if line.startswith("!")}

    assert "*" in lines
    assert {"lintas", "broker", "clients", "migrations"} <= seen
    assert [] == [path for path in seen if not (ROOT / path).exists()]
    assert set() == seen & {".", ".git", "tests", "data"}
