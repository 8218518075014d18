"""What is shipped for operators: the unit of systemd, the example of settings in the guide."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from broker.server import ANSWER_S, CONNECTIONS_MAX, FILES_SPARE
from broker.settings import DRAIN_S_MAX, NAMES, read_settings
from clients.cli import EXIT_EVIDENCE

ROOT = Path(__file__).resolve().parents[1]
UNIT, GATEWAY = (ROOT / f"deploy/lintas-{name}.service" for name in ("broker", "gateway"))
OPERATE = (ROOT / "docs/operate.md").read_text()
PROGRAM = "/opt/lintas/bin/lintas-broker"


def directives(unit: Path = UNIT) -> dict[str, list[str]]:
    """Return what a unit sets, by name; comments are no settings."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", unit.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


@pytest.mark.parametrize(("unit", "user"), [(UNIT, "lintas"), (GATEWAY, "lintas-gateway")], ids=["hub", "gateway"])
def test_unit_is_confined(unit: Path, user: str) -> None:
    """The service runs as a user of its own, writes to its directory alone, and gains nothing."""
    found = directives(unit)
    confined = {
        "User": user,
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "StateDirectory": user,
        "StateDirectoryMode": "0700",
        "UMask": "0077",
        "PrivateTmp": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    }

    assert confined == {name: found[name][0] for name in confined}
    secret = "PASS(?!PHRASE_FILE=%d/)|SECRET|KEY|DATABASE"
    assert [] == [value for value in found["Environment"] if re.search(secret, value)]


def test_unit_fits_the_hub() -> None:
    """The unit starts the hub's command with enough files, and waits long enough for its end."""
    found = directives()

    assert [f"{PROGRAM} serve --data /var/lib/lintas"] == found["ExecStart"]
    assert int(found["LimitNOFILE"][0]) >= CONNECTIONS_MAX + FILES_SPARE
    assert int(found["TimeoutStopSec"][0]) >= 2 * ANSWER_S
    assert "SIGTERM" == found["KillSignal"][0]


def test_gateway_unit() -> None:
    """The gateway's unit starts its command with the passphrase as a credential, and not again after an alarm."""
    found = directives(GATEWAY)
    (start,) = found["ExecStart"]

    assert start.startswith("/opt/lintas/bin/lintas gateway --spool /var/lib/lintas-gateway/")
    assert {"LINTAS_PASSPHRASE_FILE=%d/passphrase"} < set(found["Environment"])
    assert [str(EXIT_EVIDENCE)] == found["RestartPreventExitStatus"]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
@pytest.mark.parametrize("source", [UNIT, GATEWAY], ids=["hub", "gateway"])
def test_unit_is_valid(tmp_path: Path, source: Path) -> None:
    """Systemd understands every word of the unit, and rates what it exposes as low."""
    unit = tmp_path / source.name
    unit.write_text(re.sub("/opt/lintas/bin/[a-z-]+", "/bin/true", source.read_text()))
    commands = (["verify"], ["--offline=true", "--threshold=20", "security"])
    done = [
        subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True, check=False)
        for words in commands
    ]

    assert [0, 0] == [each.returncode for each in done], [each.stdout[-300:] + each.stderr for each in done]
    assert "" == done[0].stderr


def test_example_of_settings(tmp_path: Path) -> None:
    """The settings file shown in the guide is read, and has every key but those that must not be copied blindly."""
    (example,) = re.findall(r"```toml\n# /var/lib/lintas/settings.toml\n(.*?)```", OPERATE, re.DOTALL)
    (tmp_path / "settings.toml").write_text(example)
    found = read_settings({}, data=str(tmp_path))
    keys = set(re.findall(r"^#?(\w+) =", example, re.MULTILINE))

    assert {name.removeprefix("LINTAS_").lower() for name in NAMES} - {"data"} == keys
    assert 0 < found.drain_s <= DRAIN_S_MAX
    assert found.metrics is not None
    assert found.metrics[0] == "127.0.0.1"


def test_settings_have_a_row_each() -> None:
    """Every setting has one row of the guide's table: name, key, default, meaning, when to change it."""
    rows = {
        row.split("|")[1].strip(" `"): row.count("|") for row in OPERATE.splitlines() if row.startswith("| `LINTAS_")
    }

    assert {6} == {rows.get(name) for name in (*NAMES, "LINTAS_SETTINGS")}
