"""What a hub tells its operator's monitoring: `/metrics` on an address of its own.

Read without a token by whoever reaches that address (LINTAS_METRICS), so it stands on a loopback or management network
and never behind the public proxy. It holds figures about the hub alone: no agency, no id, no name that came from
outside. Figures of the database are read at most every few seconds. docs/operate.md lists what to alarm on.
"""

from __future__ import annotations

import logging
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from broker.exposition import Family, counter, gauge, write
from broker.hub import Hub
from broker.store import figures
from broker.store.engine import DatabaseFault
from broker.survey import Survey, keys_ending, survey
from lintas.errors import StorageUnreachable

SURVEY_S = 10.0
"""How old figures of the database may be: whoever reads often does not read the database often."""

SURVEY_S_MAX = 5.0
"""How long the database may take to tell them; then the others are told without them."""

logger = logging.getLogger("lintas.metrics")


@dataclass(frozen=True, slots=True)
class Serving:
    """What the HTTP server counts."""

    connections: Callable[[], int]
    streams: Callable[[], int]


class Metrics:
    """Reads every figure of a hub. Used by the thread that answers alone."""

    def __init__(self, hub: Hub, serving: Serving) -> None:
        """Take the hub and what its HTTP server counts."""
        self._hub = hub
        self._serving = serving
        self._survey: Survey | None = None
        self._surveyed_at = -SURVEY_S

    def text(self) -> bytes:
        """Return all figures of now in the format of Prometheus."""
        hub, found = self._hub, self._look()
        families = [*_process(), *_requests(hub, self._serving), *_writing(hub), *_state(hub)]
        families.append(gauge("database_up", "Whether the database told its figures.", found is not None))
        if found is not None:
            families += _database(found, hub.now())
        return write(families)

    def _look(self) -> Survey | None:
        if time.monotonic() >= self._surveyed_at + SURVEY_S:
            self._survey = None
            try:
                self._survey = self._hub.readers.submit(self._read).result(SURVEY_S_MAX)
            except (DatabaseFault, StorageUnreachable, TooLong, RuntimeError) as fault:
                # RuntimeError: the hub is closing its readers.
                logger.warning("the database does not tell its figures: %s", type(fault).__name__)
            self._surveyed_at = time.monotonic()
        return self._survey

    def _read(self) -> Survey:
        hub = self._hub
        with hub.store.read() as conn:
            return survey(conn, hub.witnesses, now=hub.now(), purge_after_days=hub.settings.purge_after_days)


def _process() -> Iterable[Family]:
    used = resource.getrusage(resource.RUSAGE_SELF)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    yield Family("build_info", "gauge", "The version that runs.", {(version("lintas"),): 1}, ("version",))
    yield counter("process_cpu_seconds_total", "CPU time of this process.", used.ru_utime + used.ru_stime)
    yield gauge("process_resident_bytes", "Memory of this process.", pages * os.sysconf("SC_PAGE_SIZE"))
    yield gauge("process_open_files", "Open files and sockets of this process.", len(os.listdir("/proc/self/fd")))  # noqa: PTH208
    yield gauge(
        "process_open_files_max", "Open files this process may have.", resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    )


def _requests(hub: Hub, serving: Serving) -> Iterable[Family]:
    tally = hub.tally
    yield Family(
        "requests_total", "counter", "Requests by route and class of status.", {**tally.requests}, ("route", "status")
    )
    yield Family(
        "request_seconds",
        "histogram",
        "Time to answer by route, without streams and requests that waited because they were asked to.",
        {(route,): times for route, times in dict(tally.times).items()},
        ("route",),
    )
    yield gauge("connections", "Open connections.", serving.connections())
    yield gauge("streams", "Open streams.", serving.streams())
    yield gauge("waiting_requests", "Requests that wait for news, and the fan-out of streams.", hub.wakeup.waiting)
    yield Family(
        "strangers_refused_total",
        "counter",
        "Refusals that no key stands behind, by code.",
        {(code,): count for code, count in dict(hub.strangers.totals).items()},
        ("code",),
    )


def _writing(hub: Hub) -> Iterable[Family]:
    tally = hub.tally
    yield gauge("queue_jobs", "Jobs that wait for the writer.", hub.writer.depth)
    yield Family("queue_wait_seconds", "histogram", "How long the first job of a batch waited.", {(): tally.waits})
    yield Family(
        "commit_seconds", "histogram", "Commit and signature of a batch, its jobs included.", {(): tally.commit_times}
    )
    yield Family("batch_jobs", "histogram", "Jobs in a batch.", {(): tally.jobs})
    yield counter("commits_total", "Commits that logged something.", tally.commits)
    yield Family(
        "events_total",
        "counter",
        "Events logged by this process, by kind.",
        {(kind,): count for kind, count in dict(tally.events).items()},
        ("kind",),
    )
    yield Family(
        "lines_refused_total",
        "counter",
        "Lines refused by this process though signed by a known key, by kind and code.",
        {**tally.refused},
        ("kind", "code"),
    )
    yield counter("bulletins_sent_total", "Bulletins sent by this process, to whomever.", tally.delivered)


def _state(hub: Hub) -> Iterable[Family]:
    yield gauge(
        "read_only",
        "1 when nothing is accepted: the log is halted, or behind what was published.",
        hub.writer.halted is not None,
    )
    yield gauge(
        "leaving", "1 when this process was told to stop and sends its readers elsewhere.", hub.wakeup.is_leaving
    )
    yield gauge("database_connections", "Connections to the database that work now.", hub.store.in_use)
    yield counter("database_errors_total", "Statements or connections that the database failed.", hub.store.faults)
    free = shutil.disk_usage(hub.settings.data).free
    yield gauge("disk_free_bytes", "Room left where the data directory is.", free)
    yield gauge(
        "keys_ending", "Parties whose last key ends within 30 days.", len(keys_ending(hub.directory, hub.now()))
    )


def _database(found: Survey, now: int) -> Iterable[Family]:
    yield gauge("log_events", "Events in the log.", found.size)
    yield gauge("log_unsigned_events", "Events that no checkpoint covers yet.", max(0, found.size - found.signed))
    yield gauge(
        "checkpoint_age_seconds",
        "Time since the last event under the newest checkpoint.",
        max(0, now - found.signed_at),
    )
    if found.witnessed is not None:
        lag = 0 if found.unwitnessed_since is None else max(0, now - found.unwitnessed_since)
        yield gauge("unwitnessed_events", "Events that no witnessed checkpoint covers.", found.size - found.witnessed)
        yield gauge("unwitnessed_seconds", "How long the first of them waits for the quorum.", lag)
    yield gauge("database_bytes", "What the database takes on its disk.", found.database_bytes)
    yield Family(
        "webhooks",
        "gauge",
        "Webhooks by state.",
        {(state,): found.webhooks[state] for state in figures.STATES},
        ("state",),
    )
    yield gauge(
        "purge_overdue_bulletins",
        f"Bulletins two days past their purge that have their content, {figures.OVERDUE_MAX} at most.",
        found.overdue,
    )
