"""What the image's recipe with docker-compose.yml promises about an exercise: form, confinement, settings.

No container engine is needed: the files are read. What its commands do is shown by the tests of those commands.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from broker.cli import cli as hub_program
from clients.cli import cli as agency_program
from lintas import vocabulary

ROOT = Path(__file__).resolve().parents[1]
FILE = ROOT / "docker-compose.yml"
COMPOSE: dict[str, Any] = yaml.safe_load(FILE.read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {name for name, service in SERVICES.items() if service["restart"] == "no"}
AGENCIES = {name for name, service in SERVICES.items() if "LINTAS_IDENTITY" in service.get("environment", {})}

every_service = pytest.mark.parametrize("service", SERVICES.values(), ids=SERVICES)


def named_volumes(service: dict[str, Any]) -> dict[str, str]:
    """Return where a service mounts each volume."""
    return dict(mount.split(":")[:2] for mount in service["volumes"])


def test_form() -> None:
    """The file follows the Compose Specification."""
    checker = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(FILE)]

    checked = subprocess.run(checker, capture_output=True, text=True, check=False)

    assert (0, "") == (checked.returncode, checked.stderr)


def test_cast() -> None:
    """A job makes the exercise, one hub serves, three agencies of the vocabulary follow."""
    assert {"init", "hub", "my-police", "sg-fiu", "th-police"} == set(SERVICES)
    assert {"my-police", "sg-fiu", "th-police"} == AGENCIES
    assert set(vocabulary.load().agencies) >= AGENCIES
    assert {"init"} == JOBS


@every_service
def test_awaited_services_exist(service: dict[str, Any]) -> None:
    """A service waits for services of this file: for a job's end, for the others' health."""
    awaited = {name: how["condition"] for name, how in service.get("depends_on", {}).items()}

    assert awaited == {
        name: "service_completed_successfully" if name in JOBS else "service_healthy"
        for name in awaited
        if name in SERVICES
    }


@every_service
def test_confined(service: dict[str, Any]) -> None:
    """A service is not root, gains nothing, and writes to its volume and a small /tmp alone."""
    assert "10001:10001" == service["user"]
    assert service["read_only"] is True
    assert ["ALL"] == service["cap_drop"]
    assert ["no-new-privileges:true"] == service["security_opt"]
    assert ["/tmp:size=64m,mode=1777"] == service["tmpfs"]
    assert set() == {"privileged", "cap_add", "devices", "pid", "ipc", "secrets"} & set(service)


@every_service
def test_bounded(service: dict[str, Any]) -> None:
    """A service has a limit for memory, processes, processor."""
    assert {"mem_limit", "pids_limit", "cpus"} <= set(service)


@every_service
def test_volumes_are_declared(service: dict[str, Any]) -> None:
    """A service mounts volumes of this file, no folder of the machine."""
    assert set(COMPOSE["volumes"]) >= set(named_volumes(service))


@every_service
def test_networks_are_declared(service: dict[str, Any]) -> None:
    """A service joins networks of this file, or none at all."""
    networks = set(service.get("networks", []))

    assert networks <= set(COMPOSE["networks"])
    assert bool(networks) != (service.get("network_mode") == "none")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_health_is_checked(name: str) -> None:
    """Whatever keeps running has a health check that asks the hub and gives up in time."""
    check = SERVICES[name]["healthcheck"]

    assert ["CMD", "python", "-c"] == check["test"][:3]
    assert "/readyz" in check["test"][3]
    assert {"interval", "timeout", "retries", "start_period"} <= set(check)
    compile(check["test"][3], "healthcheck", "exec")


def test_only_the_hub_is_published() -> None:
    """The one published port is the hub's, on the loopback address."""
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}

    assert {"hub": ["127.0.0.1:8470:8470"]} == published


def test_log_key_stays_with_the_hub() -> None:
    """The volume with the log's key is mounted by the job and the hub alone."""
    assert {"init", "hub"} == {name for name, service in SERVICES.items() if "hub" in named_volumes(service)}


@pytest.mark.parametrize("name", sorted(AGENCIES))
def test_agency_acts_as_itself(name: str) -> None:
    """An agency's service opens its own identity, in the volume that it mounts, and talks to the hub's service."""
    folder = named_volumes(SERVICES[name])["agencies"]

    assert {
        "LINTAS_HUB": "http://hub:8470",
        "LINTAS_IDENTITY": f"{folder}/{name}.json",
        "LINTAS_PASSPHRASE_FILE": f"{folder}/passphrase",
    } == SERVICES[name]["environment"]


@pytest.mark.parametrize("name", sorted(set(SERVICES) - JOBS))
def test_commands_exist(name: str) -> None:
    """What a service runs is a command of ours, and takes these options."""
    program, command, *options = SERVICES[name]["command"]
    group: click.Group = {"lintas": agency_program, "lintas-broker": hub_program}[program]

    context = group.commands[command].make_context(command, options)

    assert command == context.info_name


def test_job_runs_a_command_of_ours() -> None:
    """The job makes the exercise once, copies the passphrase last."""
    script = SERVICES["init"]["command"][-1]

    assert script.startswith("test -s /data/agencies/passphrase ||")
    assert script.index("lintas-broker exercise --data /data ") < script.index("cp /data/passphrase")
    assert "exercise" in hub_program.commands


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
