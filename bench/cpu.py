"""CPU time as proc(5) tells it: of processes with their children, of the machine."""

from __future__ import annotations

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def trees_cpu_s(pids: Iterable[int]) -> float:
    """Return the CPU seconds, user plus system, of these processes with their children, living and dead."""
    return sum(map(_tree_cpu_s, pids))


def machine_cpu_s() -> float:
    """Return the CPU seconds that everything on the machine has used."""
    user, nice, system = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:4]
    return (int(user) + int(nice) + int(system)) / TICKS_A_SECOND


def _tree_cpu_s(pid: int) -> float:
    folder = Path(f"/proc/{pid}")
    ticks, children = 0, list[str]()
    # A process of a database may end between the two looks; its parent then has its time.
    with suppress(OSError):
        fields = (folder / "stat").read_text().rpartition(")")[2].split()
        ticks = sum(map(int, fields[11:15]))
        children = [each for path in folder.glob("task/*/children") for each in path.read_text().split()]
    return ticks / TICKS_A_SECOND + trees_cpu_s(map(int, children))
