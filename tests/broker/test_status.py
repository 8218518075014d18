"""How a hub does, on one screen: each thing that wants attention shows, and decides the exit code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from broker import cli, status
from broker.hub import Hub, open_hub
from broker.metrics import Metrics, Serving
from broker.scrape import Listener
from broker.settings import Settings, read_settings
from broker.status import ATTENTION, BROKEN, OK, Finding, examine, worst
from broker.store.engine import Store
from lintas.errors import LogHalted
from lintas.note import SignerKey
from tests.broker.conftest import FEW, Desks, Template
from tests.conftest import ShiftedClock, served
from tests.databases import spoil
from tests.processes import free_port
from tests.witnesses import TWO_OF_THREE


@pytest.fixture
def stopped(few: Template, tmp_path: Path) -> Settings:
    """A stopped hub, at a port where nobody listens."""
    return replace(read_settings({}, data=str(few.copy(tmp_path / "hub"))), port=free_port())


def look(settings: Settings, days: int = 0) -> dict[str, Finding]:
    """Return the findings by name, as they are in so many days."""
    return {each.name: each for each in examine(settings, now=ShiftedClock()() // 10**6 + days * 86_400)}


def levels(found: dict[str, Finding]) -> dict[str, str]:
    """Return what is not in order."""
    return {name: each.level for name, each in found.items() if each.level != OK}


def change(settings: Settings, statement: str) -> None:
    """Change rows as nobody should."""
    store = Store(settings.database)
    with store.write() as conn:
        spoil(conn, statement)
    store.close()


def test_stopped_hub(stopped: Settings) -> None:
    """A stopped hub is whole, and that nobody serves it wants attention."""
    found = look(stopped)

    assert {"serving": ATTENTION} == levels(found)
    assert (len(FEW), 2) == (found["partners"].facts["agencies"], found["partners"].facts["administrators"])
    assert found["log"].facts["events"] > 0
    assert found["hub"].text.startswith("few.lintas.example-")


@pytest.fixture
def serving(few: Template, tmp_path: Path, clock: ShiftedClock) -> Iterator[tuple[Hub, Settings]]:
    """A hub that serves and tells figures, with settings that find both."""
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path / "serving"))), clock)
    hub.start()
    listener = Listener(("127.0.0.1", 0), Metrics(hub, Serving(lambda: 5, lambda: 4)).text)
    listener.start()
    with served(hub) as url:
        port = int(url.rpartition(":")[2])
        yield hub, replace(hub.settings, port=port, metrics=("127.0.0.1", listener.port))
    listener.stop()
    hub.stop()


def test_serving_hub(serving: tuple[Hub, Settings]) -> None:
    """A hub that serves is in order beside it, and its figures are shown."""
    found = look(serving[1])

    assert {} == levels(found)
    assert {"connections": 5, "streams": 4}.items() <= found["load"].facts.items()


def test_halted_hub(serving: tuple[Hub, Settings]) -> None:
    """A hub whose log is halted is broken; one that is leaving wants attention and says why."""
    hub, settings = serving
    hub.writer._halted = LogHalted("Row 7: gone.")
    halted = look(settings)["serving"]
    hub.wakeup.is_leaving = True
    leaving = look(settings)["serving"]

    assert (BROKEN, ATTENTION) == (halted.level, leaving.level)
    assert "stopping" in leaving.text


def test_another_program(stopped: Settings, serving: tuple[Hub, Settings]) -> None:
    """A hub with another log key at the port is not taken for this one."""
    key = SignerKey.from_seed("other.example-12345678/log/1", bytes(32))
    found = status._served(replace(stopped, port=serving[1].port), [key.verifier])

    assert [(ATTENTION, True)] == [(each.level, "another program" in each.text) for each in found]


def test_damaged_row(stopped: Settings) -> None:
    """A row that does not fit its hash is broken, and named."""
    change(stopped, "UPDATE log SET entry = zeroblob(32) WHERE seq = 3")
    found = look(stopped)

    assert BROKEN == found["checkpoint"].level
    assert "Row 3" in found["checkpoint"].text


def test_old_backup(stopped: Settings, few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """A database behind the checkpoint outside it is broken, and what is missing is said."""
    newer = open_hub(read_settings({}, data=str(few.copy(tmp_path / "newer"))), clock)
    newer.start()
    newer.writer.submit(lambda batch: batch.append("auth.refused", "hub", detail={"source": "others"})).result()
    newer.stop()
    stopped.checkpoint.write_bytes(newer.settings.checkpoint.read_bytes())

    assert "1 missing" in look(stopped)["checkpoint"].text
    assert BROKEN == look(stopped)["checkpoint"].level


def test_no_checkpoint_outside(stopped: Settings) -> None:
    """A missing checkpoint outside the database wants attention."""
    stopped.checkpoint.unlink()

    assert ATTENTION == look(stopped)["checkpoint"].level


def test_unsigned_rows(stopped: Settings) -> None:
    """Events under no checkpoint want attention."""
    stopped.checkpoint.unlink()
    change(stopped, "DELETE FROM checkpoint WHERE size = (SELECT max(size) FROM checkpoint)")

    assert (ATTENTION, True) == (look(stopped)["log"].level, look(stopped)["log"].facts["unsigned"] > 0)


def test_keys_near_their_end(stopped: Settings) -> None:
    """Keys that end within 30 days are named with their day."""
    found = look(stopped, days=340)["keys"]

    assert ATTENTION == found.level
    assert "my-police on 20" in found.text


def test_witnesses(stopped: Settings, tmp_path: Path) -> None:
    """Without a quorum for a quarter of an hour attention is wanted; one that is not asked for is missed by nobody."""
    policy = tmp_path / "policy"
    policy.write_text(TWO_OF_THREE)
    found = look(replace(stopped, witnesses=policy), days=1)["witnesses"]

    assert (OK, ATTENTION) == (look(stopped)["witnesses"].level, found.level)
    assert 0 == found.facts["witnessed"]


def test_waiting_for_administrators(desks: Desks) -> None:
    """An order that one administrator gave waits, by its id."""
    session = desks.session("admin/registrar")
    order = session.sign_order("grant", {"agency": "sg-fiu", "publish": ["*"], "read": ["*"]})
    assert desks.post(order, order.header.typ).status_code in (200, 201, 202)
    found = look(replace(desks.hub.settings, port=free_port()))["approvals"]

    assert (ATTENTION, [order.id]) == (found.level, found.facts["orders"])


def test_dead_webhook(stopped: Settings) -> None:
    """A dead webhook wants attention."""
    columns = "agency, subscription, url, state, order_seq, tries, next_at"
    change(stopped, f"INSERT INTO webhook ({columns}) VALUES ('sg-fiu', 's', 'https://x.example', 'dead', 0, 9, 0)")

    assert (ATTENTION, 1) == (look(stopped)["webhooks"].level, look(stopped)["webhooks"].facts["dead"])


def test_overdue_purge(desks: Desks) -> None:
    """Bulletins two days past their purge are counted."""
    line = desks.publish("my-police", ["sg-fiu"])
    settings = replace(desks.hub.settings, port=free_port())
    in_time = look(settings, days=7 + settings.purge_after_days + 1)["purge"]
    late = look(settings, days=7 + settings.purge_after_days + 3)["purge"]

    assert line.id
    assert (OK, ATTENTION, 1) == (in_time.level, late.level, late.facts["overdue"])


def test_another_schema(stopped: Settings) -> None:
    """A database of another schema is broken, and the command that helps is named."""
    change(stopped, "UPDATE alembic_version SET version_num = '0001'")
    found = look(stopped)

    assert BROKEN == found["database"].level
    assert "lintas-broker migrate" in found["database"].text
    assert "log" not in found


def test_database_that_is_away(stopped: Settings) -> None:
    """A database that does not answer is broken; the rest is still shown."""
    found = look(replace(stopped, database=f"sqlite:///{stopped.data}/nowhere/hub.db"))

    assert (BROKEN, True) == (found["database"].level, "serving" in found)


def test_full_disk(stopped: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with little room wants attention."""
    monkeypatch.setattr(status, "DISK_FREE_MIN", 10**18)

    assert ATTENTION == look(stopped)["directory"].level


def test_command(stopped: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The command exits by the worst finding, and says the same as text and as JSON."""
    codes, printed = [], []
    for options in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["lintas-broker", "status", "--data", str(stopped.data), *options])
        monkeypatch.setenv("LINTAS_PORT", str(stopped.port))
        with pytest.raises(SystemExit) as ended:
            cli.main()
        codes.append(ended.value.code)
        printed.append(capsys.readouterr().out)

    assert [1, 1] == codes
    assert any(line.startswith("! serving ") for line in printed[0].splitlines())
    assert ATTENTION == json.loads(printed[1])["level"]
    assert BROKEN == worst([Finding("a", "", ATTENTION), Finding("b", "", BROKEN), Finding("c", "")])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7_200, "2 hours"), (200_000, "2 days")],
)
def test_spans(seconds: int, said: str) -> None:
    """A span is said in the unit in which it is at least two."""
    assert said == status._span(seconds)


@pytest.mark.parametrize(("size", "said"), [(1_023, "1023 B"), (1_024, "1.0 KiB"), (3 * 1024**5, "3072.0 TiB")])
def test_sizes(size: int, said: str) -> None:
    """A size is said in the largest unit that fits."""
    assert said == status._size(size)
