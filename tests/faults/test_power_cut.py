"""A power cut on SQLite: it may take the newest checkpoint, which nobody waited for, and nothing that anybody saw.

Played on copies of the files of a hub that runs. The commit that keeps a checkpoint is the last one of the journal and
alone was not flushed, so a cut leaves its frames away, in part, or as zeros; what stood before it was flushed
(`docs/decisions/047-checkpoint-after-its-rows.md`).
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from broker.fsck import check_everything
from broker.hub import Hub, open_hub
from broker.store import log
from lintas.line import Line
from tests.broker.conftest import Desks, Template
from tests.conftest import ShiftedClock
from tests.faults.plays import READER, Stage
from tests.faults.test_table import opened, settings_of

WAL = "hub.db-wal"
WAL_HEADER, FRAME_HEADER, SALT = 32, 24, 8
PAGES = (4_000, 8)
"""Pages in the journal before they go into the database file: those of the product, and less than the rows of a
bulletin need, so that the journal begins again with the checkpoint's commit."""


@dataclass(frozen=True)
class Left:
    """What stood on the disk when a bulletin had been answered, with what its publisher was shown."""

    data: Path
    line: Line
    receipt: bytes
    checkpoint: bytes
    older: bytes


def commits(wal: bytes) -> list[int]:
    """Return where the commits of a journal end, its header first."""
    page_bytes, salt = int.from_bytes(wal[8:12]), wal[16 : 16 + SALT]
    ends, start = [WAL_HEADER], WAL_HEADER
    while wal[start + 8 : start + 8 + SALT] == salt:
        is_last = wal[start + 4 : start + 8] != bytes(4)
        start += FRAME_HEADER + page_bytes
        ends += [start] if is_last else []
    return ends


CUTS: dict[str, Callable[[bytes, int, int], bytes]] = {
    "lost": lambda wal, start, _end: wal[:start],
    "torn": lambda wal, start, end: wal[: (start + end) // 2],
    "zeros": lambda wal, start, end: wal[:start] + bytes(end - start) + wal[end:],
}
"""What a cut makes of the journal, whose last commit goes from start to end."""


@pytest.fixture(scope="module")
def lefts(few: Template) -> Iterator[list[Left]]:
    """What two bulletins left, with a long journal, then with a short one."""
    if few.databases.is_postgres:
        pytest.skip("about the journal of SQLite; on Postgres every commit is waited for")
    with tempfile.TemporaryDirectory(prefix="lintas-power-") as folder, pytest.MonkeyPatch.context() as patch:
        found: list[Left] = []
        for pages in PAGES:
            patch.setattr("broker.store.engine.WAL_PAGES", pages)
            found += publish_two(few, Path(folder) / str(pages))
        yield found


def publish_two(few: Template, folder: Path) -> Iterator[Left]:
    """Publish at a hub, and copy its files after each answer."""
    with opened(few, few.copy(folder / "hub"), ShiftedClock()) as (stage, _):
        for number in range(2):
            older = stage.desks.hub.settings.checkpoint.read_bytes()
            line = stage.bulletin()
            receipt = stage.must(stage.post(line)).body
            shown = stage.must(stage.get("/v1/log/checkpoint", READER)).body
            data = folder / f"left-{number}"
            shutil.copytree(folder / "hub", data, ignore=shutil.ignore_patterns("*-shm"))
            yield Left(data, line, receipt, shown, older)


def test_journals_differ(lefts: list[Left]) -> None:
    """The short journal begins again with the commit of the checkpoint, the long one holds all that went before."""
    counts = [len(commits((left.data / WAL).read_bytes())) - 1 for left in lefts]

    assert counts[0] < counts[1]
    assert 1 in counts[2:]


@pytest.mark.parametrize("cut", CUTS)
def test_checkpoint_that_a_cut_took(lefts: list[Left], few: Template, tmp_path: Path, cut: str) -> None:
    """The start after it signs the rows again in the same bytes: what was shown and every receipt are found again."""
    for number, left in enumerate(lefts):
        data = Path(shutil.copytree(left.data, tmp_path / str(number)))
        journal = (data / WAL).read_bytes()
        (data / WAL).write_bytes(CUTS[cut](journal, *commits(journal)[-2:]))
        if number % 2:
            # Nor is the copy outside flushed: an older one may be there.
            (data / "newest.checkpoint").write_bytes(left.older)
        with reopened(data) as (hub, before):
            stage = Stage(Desks(hub, few.identities.__getitem__, ShiftedClock()))
            shown = stage.must(stage.get("/v1/log/checkpoint", READER)).body
            again = stage.must(stage.post(left.line))
            check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)
            stage.desks.close()

        assert before == (int(left.older.split(b"\n")[1]), int(left.checkpoint.split(b"\n")[1]))
        assert left.checkpoint == shown == hub.settings.checkpoint.read_bytes()
        assert (200, left.receipt) == (again.status, again.body)


@contextmanager
def reopened(data: Path) -> Iterator[tuple[Hub, tuple[int, int]]]:
    """Start a hub after a cut; yield it with the sizes of the newest checkpoint and of the log before the start."""
    hub = open_hub(settings_of(data))
    with hub.store.read() as conn:
        newest, (size, _) = log.newest_checkpoint(conn), log.head(conn)
    hub.start()
    try:
        yield hub, (newest[0] if newest else 0, size)
    finally:
        hub.stop()
