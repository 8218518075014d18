"""What is shipped for operators: the unit of systemd, the example of settings in the guide."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from broker.server import ANSWER_S, CONNECTIONS_MAX, FILES_SPARE
from broker.settings import DRAIN_S_MAX, NAMES, read_settings

ROOT = Path(__file__).resolve().parents[1]
UNIT = ROOT / "deploy/lintas-broker.service"
OPERATE = (ROOT / "docs/operate.md").read_text()
PROGRAM = "/opt/lintas/bin/lintas-broker"


def directives() -> dict[str, list[str]]:
    """Return what the unit sets, by name; comments are no settings."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def test_unit_is_confined() -> None:
    """The service runs as a user of its own, writes to its directory alone, and gains nothing."""
    found = directives()
    confined = {
        "User": "lintas",
        "ProtectSystem": "strict",
        "ProtectHome": "yes",
        "NoNewPrivileges": "yes",
        "CapabilityBoundingSet": "",
        "StateDirectory": "lintas",
        "StateDirectoryMode": "0700",
        "UMask": "0077",
        "PrivateTmp": "yes",
        "RestrictAddressFamilies": "AF_INET AF_INET6 AF_UNIX",
    }

    assert confined == {name: found[name][0] for name in confined}
    assert [] == [value for value in found["Environment"] if re.search("PASS|SECRET|KEY|DATABASE", value)]


def test_unit_fits_the_hub() -> None:
    """The unit starts the hub's command with enough files, and waits long enough for its end."""
    found = directives()

    assert [f"{PROGRAM} serve --data /var/lib/lintas"] == found["ExecStart"]
    assert int(found["LimitNOFILE"][0]) >= CONNECTIONS_MAX + FILES_SPARE
    assert int(found["TimeoutStopSec"][0]) >= 2 * ANSWER_S
    assert "SIGTERM" == found["KillSignal"][0]


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_unit_is_valid(tmp_path: Path) -> None:
    """Systemd understands every word of the unit, and rates what it exposes as low."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, "/bin/true"))
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
