"""The fault table: every write of the hub, lost, applied though an error was reported, or the process killed there."""

from __future__ import annotations

import ast
import re
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from broker.catchup import replay
from broker.fsck import check_everything
from broker.hub import Hub, open_hub, read_log_key
from broker.settings import Settings, read_settings
from broker.signer import derive
from broker.standing import reader
from broker.store import lines, log
from broker.store.engine import Store
from broker.wakeup import News
from lintas.checkpoint import open_checkpoint
from lintas.directory import CONTROL_KINDS
from lintas.errors import StorageUnreachable
from lintas.filter import EVERYTHING
from lintas.receipt import check_receipt, parse_receipt
from tests.broker.conftest import Desks, Template
from tests.conftest import ShiftedClock, wait_until
from tests.faults.injection import APPLIED, KILLED, LOST, Injector, inject
from tests.faults.plays import READER, SOON, WAITING, WRITES, Act, Answer, Stage, World, Write, grant
from tests.processes import warm
from tests.witnesses import TWO_OF_THREE

ROOT = Path(__file__).resolve().parents[2]
NOW = [each for each in WRITES if each.play not in (*WAITING, *SOON)]
LINKS = [each for each in WRITES if each.play in SOON]
OF_COMMANDS = {"INSERT former_line", "DELETE rollup"}
"""Written for a hub that is stopped, in one transaction: `new-epoch`, killed by its own tests; `migrate --recount`."""

KILLS = {"now": NOW, "links": LINKS, **{f"{each.name} later": [each] for each in WRITES if each.play in WAITING}}


class Follower:
    """A reader who waits: told of a commit it looks what is new, and nobody else looks for it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._after = log_size(hub) - 1
        self.ids: list[str] = []
        hub.writer.on_commit.append(self._told)

    def _told(self, news: News) -> None:
        if news.is_for_everyone or READER in news.agencies:
            with self._hub.store.read() as conn:
                who = reader(self._hub.directory, READER)
                rows = lines.feed(conn, who, EVERYTHING, after=self._after, limit=1_000)
            self.ids += [row.id for row in rows]
            self._after = max([self._after, *(row.seq for row in rows)])


def log_size(hub: Hub) -> int:
    """Return the size of the log."""
    with hub.store.read() as conn:
        return log.head(conn)[0]


def settings_of(data: Path) -> Settings:
    """Return the settings of a hub with witnesses that purges what ended a day ago."""
    policy = data / "witnesses.policy"
    policy.write_text(TWO_OF_THREE)
    return replace(read_settings({}, data=str(data), witnesses=str(policy)), purge_after_days=1)


@contextmanager
def opened(few: Template, data: Path, clock: ShiftedClock) -> Iterator[tuple[Stage, Injector]]:
    """Start the hub of a data directory with faults within reach."""
    hub = open_hub(settings_of(data), clock)
    injector = inject(hub)
    hub.start()
    desks = Desks(hub, few.identities.__getitem__, clock)
    try:
        yield Stage(desks), injector
    finally:
        desks.close()
        hub.stop()


@pytest.fixture(scope="module")
def played(few: Template) -> Iterator[tuple[Stage, Injector, Follower]]:
    """One hub for all plays: after each fault it must be as good as before."""
    with tempfile.TemporaryDirectory(prefix="lintas-faults-") as folder:
        data = few.copy(Path(folder) / "hub")
        with opened(few, data, ShiftedClock()) as (stage, injector):
            yield stage, injector, Follower(stage.desks.hub)
            check_whole(stage.desks.hub)
        few.databases.forget(Path(folder))


def named(write: Write) -> str:
    """Return the name of a row of the table."""
    return f"{write.name} ({write.play.__name__})"


@pytest.mark.parametrize("fault", [LOST, APPLIED])
@pytest.mark.parametrize("write", [each for each in WRITES if each.name != "ANSWER"], ids=named)
def test_failed_write(played: tuple[Stage, Injector, Follower], write: Write, fault: str) -> None:
    """After a write that failed nobody was lied to, the hub goes on by itself, and the same bytes are taken once."""
    stage, injector, follower = played
    hub, began = stage.desks.hub, log_size(stage.desks.hub)
    act = write.play(stage)
    injector.arm(write.name, fault)
    first = attempt(act, stage.world)

    assert injector.armed is None, "the play does not reach the write"
    assert (503, "1") == (first.status, first.retry_after)
    check_repeated(stage, act)
    check_tail(hub, began)
    if write.play is grant:
        assert hub.directory == directory_of(hub)
    if act.line is not None and act.once and act.once[0] == "bulletin.accepted":
        wait_until(lambda: act.line.id in follower.ids)  # type: ignore[union-attr]
    assert len(set(follower.ids)) == len(follower.ids)


def attempt(act: Act, world: World) -> Answer:
    """Do what a play does; an error of the hub's own work is the answer a caller would get."""
    try:
        return act.step.run(world)
    except StorageUnreachable as refusal:
        return Answer(503, retry_after=str(refusal.extra["retry_after"]))


def check_repeated(stage: Stage, act: Act) -> None:
    """Do it again, twice: it succeeds, and is there once, where it was acknowledged."""
    hub = stage.desks.hub
    again = [act.step.run(stage.world) for _ in range(2)]
    assert {True} == {answer.status in act.step.good for answer in again}, again
    if act.once is not None:
        kind, object_id = act.once
        assert 1 == len(stage.desks.events(kind=kind, object=object_id))
        if kind == "bulletin.accepted":
            assert again[0].body == again[1].body
            key = hub.signer.verifier
            logged = check_receipt(parse_receipt(again[0].body), line_id=object_id, origin=key.name, key=key)
            stage.acknowledged[object_id] = logged.seq
    with hub.store.read() as conn:
        assert stage.acknowledged == lines.known(conn, stage.acknowledged)
        assert [1] * len(act.rows) == [conn.scalar(text(query)) for query in act.rows]


def check_tail(hub: Hub, began: int) -> None:
    """Derive the rows again from where a play began: what is stored is published up to its last row."""
    size = log_size(hub)
    with hub.store.read() as conn:
        root = derive(conn, log.frontier(conn, began), began, size).root()
        note = log.checkpoint_at(conn, size)
    assert note is not None
    signed = open_checkpoint(note, origin=hub.signer.origin, key=hub.signer.verifier)
    assert (size, root, note) == (signed.size, signed.root, hub.settings.checkpoint.read_bytes())


def check_whole(hub: Hub) -> None:
    """Derive everything again."""
    check_tail(hub, 0)
    check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)


def directory_of(hub: Hub) -> object:
    """Return the directory that the log leads to."""
    with hub.store.read() as conn:
        rows = log.events_of_kinds(conn, CONTROL_KINDS, after=-1)
        return replay(rows, lines.by_ids(conn, {row.object for row in rows if row.object is not None}))


def die(data: str, offset_s: int, name: str, act: Act) -> None:
    """Act in a process of its own that is killed at a write."""
    clock = ShiftedClock()
    clock.advance(offset_s)
    hub = open_hub(settings_of(Path(data)), clock)
    injector = inject(hub)
    # As `hub.start` does, but for the look at the schema, which takes as long as all the rest.
    hub.signer.start()
    hub.writer.start()
    injector.arm(name, KILLED)
    act.step.run(World(hub, clock))


@pytest.mark.parametrize("writes", KILLS.values(), ids=KILLS)
def test_killed_at_a_write(few: Template, tmp_path: Path, writes: list[Write]) -> None:
    """A process killed at any write leaves a log that verifies, and the next one answers the same bytes."""
    data, clock = few.copy(tmp_path / "hub"), ShiftedClock()
    with opened(few, data, clock) as (stage, _):
        acts = [(each, each.play(stage)) for each in writes]
    context = warm()
    settings = settings_of(data)
    key, ends = read_log_key(settings.log_key_file).verifier, []
    store = Store(settings.database)
    for write, act in acts:
        process = context.Process(target=die, args=(str(data), clock.offset_s, write.name, act), daemon=True)
        process.start()
        process.join(60)
        ends.append((named(write), process.exitcode))
        check_everything(store, key, lambda _done, _all: None)
    store.close()

    assert [(named(write), -signal.SIGKILL) for write, _ in acts] == ends
    with opened(few, data, clock) as (stage, _):
        for _, act in acts:
            check_repeated(stage, act)
        check_whole(stage.desks.hub)


def statements() -> set[str]:
    """Return every write that stands in the store, as the driver will see it."""
    found = set()
    for path in (ROOT / "broker/store").glob("*.py"):
        if path.name in ("copying.py", "migrate.py", "tables.py"):
            # Backups, moves, migrations: a command for a hub that is stopped, whole or not at all in one transaction.
            continue
        tree = ast.parse(path.read_text())
        loops = {
            node.target.id: [each.id for each in node.iter.elts if isinstance(each, ast.Name)]
            for node in ast.walk(tree)
            if isinstance(node, ast.For) and isinstance(node.target, ast.Name) and isinstance(node.iter, ast.Tuple)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                verb = dict.fromkeys(("insert_new", "insert_or_add", "insert_rows"), "insert").get(
                    node.func.id, node.func.id
                )
                table = node.args[1] if node.func.id == "insert_rows" else node.args[-1]
                if verb in ("insert", "update", "delete") and isinstance(table, ast.Name):
                    found |= {f"{verb.upper()} {each}" for each in loops.get(table.id, [table.id])}
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                written = re.findall(r"\b(COPY|INSERT|DELETE|UPDATE)(?: INTO| FROM)? (\w+) ?[( ]", node.value)
                found |= {f"{verb} {table}" for verb, table in written if verb == "COPY" or table.islower()}
    return found


def test_every_write_is_in_the_table() -> None:
    """A statement that writes has a row in the table: one that is new in the store needs a play and a promise."""
    played = {write.name for write in WRITES if write.name.split()[0] in ("INSERT", "UPDATE", "DELETE")}

    assert statements() == played | OF_COMMANDS


def test_table_is_documented() -> None:
    """The table of the docs is this one."""
    page = (ROOT / "docs/faults.md").read_text()
    rows = re.findall(r"^\| `([A-Z]+(?: \w+)?)` \| (\S[^|]*?) \| (\S[^|]*?) \|$", page, re.MULTILINE)

    assert [(each.name, each.play.__name__.replace("_", " "), each.after) for each in WRITES] == rows
