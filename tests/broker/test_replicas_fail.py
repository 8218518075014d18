"""Replicas that lose their connection, their database or their life."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from broker import writer
from broker.delivery import Source, Window, read_page
from broker.hub import Hub, open_hub, read_log_key
from broker.outbound import Outbound
from broker.outside import Outside
from broker.settings import read_settings
from broker.store import listening, log
from broker.store.webhooks import Webhook
from broker.webhooks import Push
from lintas.errors import BadSettings, LogHalted
from lintas.header import KEY, ORDER
from lintas.note import SignerKey
from tests.broker.conftest import Desks, Template, problem_of
from tests.broker.replicas import Replicas, deafen, served_pair
from tests.broker.streaming import listening as streaming
from tests.conftest import ShiftedClock, served, wait_until
from tests.databases import Databases
from tests.processes import free_port, start
from tests.receiver import Receiver

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A receiver of webhooks."""
    with Receiver() as found:
        yield found


@pytest.fixture
def replicas(
    few: Template, tmp_path: Path, clock: ShiftedClock, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Replicas]:
    """Two replicas that may call the receiver; they look for the lead often, and their writers not by the clock."""
    monkeypatch.setattr(writer, "IDLE_S", 600.0)
    monkeypatch.setattr(listening, "BEAT_S", 0.1)
    with served_pair(few, tmp_path, clock, f"127.0.0.1:{receiver.port}") as found:
        yield found


# --- a replica that hears nothing ---


def test_deaf_replica(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that hears nothing says that it is not ready, and looks at the log before each answer."""
    second = replicas.second
    token = second.session(READER).token()
    assert 200 == second.get("/readyz").status_code
    deafen(second.hub, monkeypatch)
    session = replicas.first.session(READER)
    replicas.first.post(session.sign_revocation("unspecified", session.now()), KEY)
    assert second.hub.directory != replicas.first.hub.directory

    answer = second.http.get(f"{second.url}/v1/keys", headers={"Authorization": f"Bearer {token}"})

    assert (401, "unauthorized") == problem_of(answer)[:2]
    assert (503, "busy") == problem_of(second.get("/readyz"))[:2]
    assert 200 == second.get("/healthz").status_code


def test_hears_again(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica that hears again tells its readers what it missed."""
    second = replicas.second
    token = second.session(READER).token()
    with streaming(f"{second.url}/v1/bulletins", token) as listener:
        hear_again = deafen(second.hub, monkeypatch)
        line = replicas.first.publish(ISSUER, [READER])
        hear_again()
        wait_until(lambda: len(listener.rows) == 1)

    assert line.raw.decode() == listener.rows[0]["line"]
    wait_until(lambda: second.get("/readyz").status_code == 200)


def test_silent_connection(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that gives no sign of life is not believed in for long, though nobody says that it ended."""
    wait_until(lambda: len(leading(replicas)) == 1)
    hub = leading(replicas)[0]
    monkeypatch.setattr(listening, "BELIEVED_S", 0.0)
    wait_until(lambda: not hub.replica.is_hearing)

    assert not hub.replica.is_current
    assert not hub.replica.is_leading


def test_started_after_a_death(replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that a replica left unsigned when it died are signed and told by one that starts."""
    second = replicas.second

    def die(*_: object) -> None:
        raise RuntimeError("killed between commit and signature")

    with streaming(f"{second.url}/v1/bulletins", second.session(READER).token()) as listener:
        with monkeypatch.context() as patch:
            patch.setattr(replicas.first.hub.signer, "sign_new", die)
            line = replicas.first.bulletin(ISSUER, [READER])
            assert 500 == replicas.first.post(line).status_code
        third = open_hub(read_settings({}, data=str(tmp_path / "two")))
        third.start()
        wait_until(lambda: len(listener.rows) == 1)
        third.stop()

    assert line.raw.decode() == listener.rows[0]["line"]


# --- a database that is gone ---


@contextmanager
def no_database(hub: Hub) -> Iterator[None]:
    """Let nobody connect to the database of a hub, and end every connection there is."""
    name, url = hub.store.url.database, hub.store.url.set(database="postgres")
    with listening.connect(url) as conn:
        conn.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
        yield
        conn.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')


def test_database_gone(replicas: Replicas) -> None:
    """Without its database a replica is alive and not ready, and it recovers by itself."""
    second = replicas.second
    line = second.bulletin(ISSUER, [READER])
    with no_database(second.hub):
        wait_until(lambda: not second.hub.replica.is_hearing)
        ready, alive = second.get("/readyz"), second.get("/healthz")
    wait_until(lambda: second.get("/readyz").status_code == 200)

    posted = second.post(line)

    assert [503, 200, 201] == [ready.status_code, alive.status_code, posted.status_code]
    replicas.check_log()


# --- webhooks ---


def order_webhook(replicas: Replicas, receiver: Receiver) -> None:
    """Order a webhook at the first replica, and wait until the receiver has proven itself."""
    line = replicas.first.session(READER).sign_order("webhook", {"subscription": "feed", "url": receiver.url})
    assert 201 == replicas.first.post(line, ORDER).status_code
    wait_until(lambda: len(replicas.first.events(kind="webhook.changed")) == 2)


def leading(replicas: Replicas) -> list[Hub]:
    """Return the replicas that push."""
    return [hub for hub in replicas.hubs if hub.replica.is_leading]


def test_one_pushes(replicas: Replicas, receiver: Receiver) -> None:
    """One replica pushes, whichever accepted: each bulletin arrives once, and is taken over once."""
    wait_until(lambda: len(leading(replicas)) == 1)
    order_webhook(replicas, receiver)

    lines = [desks.publish(ISSUER, [READER]) for desks in (replicas.first, replicas.second) * 3]
    receiver.wait(len(lines))
    wait_until(lambda: len(received(replicas)) == len(lines))

    assert [line.raw for line in lines] == [got.body for got in receiver.deliveries]
    assert 1 == len(leading(replicas))


def received(replicas: Replicas) -> list[str]:
    """Return the ids that the log says were taken over, newest first."""
    return [line_id for detail in replicas.first.details(kind="bulletin.received") for line_id in detail["ids"]]


def test_another_takes_over(replicas: Replicas, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the connection of the one that pushes ends, the other goes on from the cursor."""
    wait_until(lambda: len(leading(replicas)) == 1)
    order_webhook(replicas, receiver)
    was = leading(replicas)[0]
    before = replicas.first.publish(ISSUER, [READER])
    receiver.wait(1)
    wait_until(lambda: len(received(replicas)) == 1)
    deafen(was, monkeypatch)
    wait_until(lambda: len(leading(replicas)) == 1)

    after = replicas.first.publish(ISSUER, [READER])
    receiver.wait(2)
    wait_until(lambda: len(received(replicas)) == 2)

    assert [before.raw, after.raw] == [got.body for got in receiver.deliveries]
    assert [was] != leading(replicas)


def test_lead_is_handed_over(replicas: Replicas) -> None:
    """A replica that stops serving leaves the lead to the other at once."""
    wait_until(lambda: len(leading(replicas)) == 1)
    was = leading(replicas)[0]
    was.replica.leave_lead()

    wait_until(lambda: leading(replicas) not in ([], [was]))

    assert 1 == len(leading(replicas))


def test_withdrawn_elsewhere(replicas: Replicas) -> None:
    """Of a page that was recorded the rest does not leave once this replica has heard of a change."""
    hub = replicas.first.hub
    replicas.first.publish(ISSUER, [READER])
    source = Source(READER, "webhook/feed")
    with hub.store.read() as conn:
        page = read_page(conn, hub.directory, source, window=Window(-1, 8), now=hub.now())
    hook = Webhook(READER, "feed", "https://receiver.example/", "active", 0, 0, None, None, 0, "")
    push = Push(hub, Outbound(()), hook)
    before = push._is_current(page)
    hub.replica._due = hub.writer.size + 1

    assert [True, False] == [before, push._is_current(page)]


def test_killed(few: Template, tmp_path: Path, clock: ShiftedClock, receiver: Receiver) -> None:
    """When a hub process is killed the other's streams go on, and it takes the webhooks over."""
    if not few.databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    data, port = few.copy(tmp_path / "one"), free_port()
    with (data / "settings.toml").open("a") as file:
        file.write(f"webhook_allow = '127.0.0.1:{receiver.port}'\n")
    shutil.copytree(data, tmp_path / "two")
    process = start(data, port)
    hub = open_hub(read_settings({}, data=str(tmp_path / "two")), clock)
    hub.start()
    with served(hub) as url:
        identity_of = few.identities.__getitem__
        replicas = Replicas(
            Desks(hub, identity_of, clock, f"http://127.0.0.1:{port}"), Desks(hub, identity_of, clock, url)
        )
        order_webhook(replicas, receiver)
        with streaming(f"{url}/v1/bulletins", replicas.second.session(READER).token()) as listener:
            lines = [replicas.first.publish(ISSUER, [READER])]
            receiver.wait(1)
            assert not hub.replica.is_leading
            process.kill()
            process.join()
            lines.append(replicas.second.publish(ISSUER, [READER]))
            receiver.wait(2)
            wait_until(lambda: len(listener.rows) == 2)
        replicas.first.close()
        replicas.second.close()
    hub.stop()

    raws = [line.raw for line in lines]
    assert raws == [row["line"].encode() for row in listener.rows]
    # What was on its way when it died may come again, in its order.
    assert raws == list(dict.fromkeys(got.body for got in receiver.deliveries))


def test_connections(replicas: Replicas) -> None:
    """Two replicas with much to read at once hold no more than ten connections each."""
    with ThreadPoolExecutor(24) as threads:
        list(threads.map(lambda number: get_feed(replicas, number), range(72)))
        with listening.connect(replicas.first.hub.store.url) as conn:
            found = conn.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            ).fetchone()

    assert found is not None
    assert found[0] <= 20


def get_feed(replicas: Replicas, number: int) -> None:
    """Read a page at one of the replicas."""
    desks = (replicas.first, replicas.second)[number % 2]
    assert 200 == desks.get("/v1/bulletins", READER).status_code


# --- a halted log ---


def test_halted_replica(replicas: Replicas, monkeypatch: pytest.MonkeyPatch) -> None:
    """A replica whose log is halted answers from memory only while nothing was changed elsewhere."""
    second = replicas.second
    headers = {"Authorization": f"Bearer {second.session(READER).token()}"}

    def halt(*_: object) -> None:
        raise LogHalted("Row 1: for a test.")

    monkeypatch.setattr(second.hub.signer, "sign_new", halt)
    second.post(second.bulletin(ISSUER, [READER]))
    wait_until(lambda: second.hub.writer.halted is not None)
    before = second.http.get(f"{second.url}/v1/log/key", headers=headers)
    session = replicas.first.session(READER)
    replicas.first.post(session.sign_revocation("unspecified", session.now()), KEY)
    wait_until(lambda: not second.hub.replica.is_current)

    after = second.http.get(f"{second.url}/v1/log/proof/1", headers=headers)

    assert 200 == before.status_code
    assert (503, "read-only") == problem_of(after)[:2]


# --- what replicas share on disk ---


def test_one_data_directory(few: Template, tmp_path: Path, databases: Databases) -> None:
    """Replicas on Postgres may share a data directory."""
    if not databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    settings = read_settings({}, data=str(few.copy(tmp_path / "hub")))
    hubs = [open_hub(settings) for _ in range(2)]
    for hub in hubs:
        hub.start()
        hub.writer.submit(lambda batch: batch.append("view.read", READER, detail={"view": "none"})).result(20)

    names = {hub.name for hub in hubs}
    for hub in hubs:
        hub.stop()
    assert 1 == len(names)


def test_one_sqlite_file(few: Template, tmp_path: Path, databases: Databases) -> None:
    """An SQLite file is served by one process, from whichever data directories."""
    if databases.is_postgres:
        pytest.skip("about SQLite")
    data = few.copy(tmp_path / "one")
    shutil.copytree(data, tmp_path / "two", ignore=shutil.ignore_patterns("hub.db*"))
    first = open_hub(read_settings({}, data=str(data)))
    second = read_settings({"LINTAS_DATABASE": f"sqlite:///{data / 'hub.db'}"}, data=str(tmp_path / "two"))

    with pytest.raises(BadSettings, match="Another process serves the hub"):
        open_hub(second)
    first.stop()
    open_hub(second).stop()


def test_sqlite_in_no_folder(few: Template, tmp_path: Path, databases: Databases) -> None:
    """A folder that is not there is named."""
    if databases.is_postgres:
        pytest.skip("about SQLite")
    environ = {"LINTAS_DATABASE": f"sqlite:///{tmp_path / 'nowhere' / 'hub.db'}"}

    with pytest.raises(BadSettings, match=r"nowhere/hub\.lock cannot be written"):
        open_hub(read_settings(environ, data=str(few.copy(tmp_path / "hub"))))


def test_secret_is_copied(few: Template, tmp_path: Path, databases: Databases) -> None:
    """A replica never makes a secret of its own: watch lists would find nothing at it."""
    if not databases.is_postgres:
        pytest.skip("SQLite has one process; run with --postgres")
    data = few.copy(tmp_path / "hub")
    (data / "hub.secret").unlink()

    with pytest.raises(BadSettings, match=r"hub\.secret is missing: copy it from another replica"):
        open_hub(read_settings({}, data=str(data)))
    assert not (data / "hub.secret").exists()


def test_log_key_is_copied(few: Template, tmp_path: Path) -> None:
    """A replica with a log key of its own does not start: the checkpoints are not by it."""
    settings = read_settings({}, data=str(few.copy(tmp_path / "hub")))
    own = SignerKey.from_seed(read_log_key(settings.log_key_file).name, bytes(32))
    settings.log_key_file.write_text(own.text())
    hub = open_hub(settings)

    with pytest.raises(LogHalted, match="put the right file back"):
        hub.start()
    hub.stop()


def test_checkpoint_kept_by_two(tmp_path: Path) -> None:
    """Two processes that keep their checkpoints in one place never leave half a one there."""
    path = tmp_path / "newest.checkpoint"
    notes = [bytes([65 + number]) * 20_000 for number in range(2)]
    seen: set[bytes] = set()

    def keep(outside: Outside, note: bytes) -> None:
        for _ in range(100):
            outside.keep(note)
            seen.add(outside.read() or b"")

    threads = [threading.Thread(target=keep, args=(Outside(path), note)) for note in notes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(notes) >= seen
    assert [path] == list(tmp_path.iterdir())


def test_start_beside_one_that_writes(replicas: Replicas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A start while another replica keeps its checkpoint in the same place finds nothing missing."""
    place = {"LINTAS_CHECKPOINT": str(tmp_path / "one" / "newest.checkpoint")}
    third = open_hub(read_settings(place, data=str(tmp_path / "two")))
    newest = log.newest_checkpoint

    def slowly(conn: object) -> object:
        found = newest(conn)  # type: ignore[arg-type]
        monkeypatch.setattr(log, "newest_checkpoint", newest)
        replicas.first.publish(ISSUER, [READER])
        return found

    monkeypatch.setattr(log, "newest_checkpoint", slowly)
    third.start()

    halted = third.writer.halted
    third.stop()
    assert halted is None


def test_alone(few: Template, tmp_path: Path, databases: Databases) -> None:
    """A hub on SQLite is always current, hears everything there is, and leads only when somebody pushes."""
    if databases.is_postgres:
        pytest.skip("about SQLite")
    hub = open_hub(read_settings({}, data=str(few.copy(tmp_path / "hub"))))
    hub.start()

    assert (True, True, False) == (hub.replica.is_hearing, hub.replica.is_current, hub.replica.is_leading)
    hub.stop()
