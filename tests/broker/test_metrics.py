"""What a hub tells its monitoring, read by the parser of the Prometheus project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import text

from broker.exposition import Family, write
from broker.metrics import Metrics, Serving
from broker.scrape import Listener
from broker.store import figures
from broker.tally import Histogram
from broker.witnesses import read_policy
from lintas.errors import BY_CODE, BadSettings, LogHalted
from tests.broker.conftest import Desks
from tests.witnesses import TWO_OF_THREE

ALERTS = yaml.safe_load((Path(__file__).resolve().parents[2] / "deploy/alerts.yml").read_text())
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def read(written: bytes) -> Samples:
    """Return every sample by name and labels, as Prometheus reads them."""
    return {
        (sample.name.removeprefix("lintas_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(written.decode())
        for sample in family.samples
    }


@pytest.fixture
def metrics(desks: Desks) -> Metrics:
    """The figures of a served hub."""
    return Metrics(desks.hub, Serving(lambda: 7, lambda: 3))


def test_figures_of_a_day(desks: Desks, metrics: Metrics) -> None:
    """What was published, refused, sent, tried by strangers is counted once under our own names."""
    line = desks.publish("my-police", ["sg-fiu"])
    refused = desks.bulletin("my-police", ["sg-fiu"], exp=1)
    assert desks.post(line).status_code == 200
    assert desks.post(refused).status_code != 201
    assert desks.post(b"nothing").status_code == 400
    assert len(desks.rows("/v1/bulletins", "sg-fiu")) == 1
    found = read(metrics.text())

    wanted: Samples = {
        ("events_total", (("kind", "bulletin.accepted"),)): 1,
        ("events_total", (("kind", "bulletin.released"),)): 1,
        ("events_total", (("kind", "bulletin.sent"),)): 1,
        ("bulletins_sent_total", ()): 1,
        ("requests_total", (("route", "/v1/bulletins"), ("status", "2xx"))): 3,
        ("requests_total", (("route", "/v1/bulletins"), ("status", "4xx"))): 2,
        ("request_seconds_count", (("route", "/v1/bulletins"),)): 5,
        ("strangers_refused_total", (("code", "malformed-line"),)): 1,
        ("batch_jobs_count", ()): found["queue_wait_seconds_count", ()],
        ("connections", ()): 7,
        ("streams", ()): 3,
        ("read_only", ()): 0,
        ("database_up", ()): 1,
        ("log_unsigned_events", ()): 0,
    }
    assert wanted == {name: found.get(name) for name in wanted}
    assert sum(value for (name, _), value in found.items() if name == "lines_refused_total") == 1
    assert found["commit_seconds_count", ()] >= found["commits_total", ()] >= 3


def test_names_are_ours(desks: Desks, metrics: Metrics) -> None:
    """No agency, id, path or address that came from outside stands in the figures."""
    line = desks.publish("my-police", ["sg-fiu"])
    for path in (f"/v1/bulletins/{line.id}", f"/{line.id}", "/v1/../x"):
        desks.get(path, "sg-fiu")
    desks.http.request("BREW", f"{desks.url}/v1/bulletins")
    desks.post(line.raw[:-8] + b"AAAAAAAA")
    told = metrics.text().decode()
    values = {sample for _, labels in read(told.encode()) for name, sample in labels if name == "code"}

    assert [] == [word for word in (line.id, "my-police", "sg-fiu", "127.0.0.1", "BREW") if word in told]
    assert values
    assert values <= set(BY_CODE)


def test_a_wait_is_no_latency(desks: Desks, metrics: Metrics) -> None:
    """A request that waited because it was asked to is counted, yet its time is not."""
    seen = desks.hub.tally.times
    assert desks.get("/v1/bulletins", "sg-fiu", Prefer="wait=1").status_code == 200

    assert "/v1/bulletins" not in seen
    assert 1 == read(metrics.text())["requests_total", (("route", "/v1/bulletins"), ("status", "2xx"))]


def test_database_that_fails(desks: Desks, metrics: Metrics) -> None:
    """When the database fails, that is told and counted, and so is everything else."""
    with desks.hub.store.write() as conn:
        conn.execute(text("ALTER TABLE webhook RENAME TO webhook_gone"))
    found = read(metrics.text())
    with desks.hub.store.write() as conn:
        conn.execute(text("ALTER TABLE webhook_gone RENAME TO webhook"))

    assert (0, 1) == (found["database_up", ()], found["queue_jobs", ()] + 1)
    assert found["database_errors_total", ()] >= 1
    assert ("log_events", ()) not in found


def test_the_database_is_not_read_each_time(desks: Desks, metrics: Metrics) -> None:
    """Figures of the database are some seconds old, whoever asks how often."""
    first = read(metrics.text())["log_events", ()]
    desks.publish("my-police", ["sg-fiu"])

    assert first == read(metrics.text())["log_events", ()]


def test_read_only_and_leaving(desks: Desks, metrics: Metrics) -> None:
    """A halted log and a hub that was told to stop are told."""
    desks.hub.wakeup.is_leaving = True
    desks.hub.writer._halted = LogHalted("Row 7: gone.")
    found = read(metrics.text())

    assert (1, 1) == (found["read_only", ()], found["leaving", ()])


def test_webhooks_by_state(desks: Desks, metrics: Metrics) -> None:
    """Webhooks are counted by state; one that is tried again is failing."""
    columns = "agency, subscription, url, state, order_seq, tries, next_at"
    with desks.hub.store.write() as conn:
        for number, (state, tries) in enumerate((("active", 0), ("active", 2), ("pending", 1), ("dead", 9))):
            values = f"'sg-fiu', 's{number}', 'https://x.example', '{state}', 0, {tries}, 0"
            conn.execute(text(f"INSERT INTO webhook ({columns}) VALUES ({values})"))
    with desks.hub.store.read() as conn:
        found = figures.webhooks(conn)

    assert {"pending": 0, "active": 1, "failing": 2, "dead": 1} == found


def test_histogram_is_cumulative() -> None:
    """A bucket holds everything up to its upper end, that included, and the last one everything."""
    times = Histogram((0.1, 1.0))
    for value in (0.05, 0.1, 0.5, 7):
        times.observe(value)
    found = read(write([Family("t", "histogram", "Times.", {(): times})]))

    assert {"0.1": 2, "1": 3, "+Inf": 4} == {dict(labels)["le"]: n for (name, labels), n in found.items() if labels}
    assert 4 == found["t_count", ()]
    assert 7.65 == pytest.approx(found["t_sum", ()])


@pytest.fixture
def listener() -> Iterator[Listener]:
    """An address that tells one figure."""
    found = Listener(("127.0.0.1", 0), lambda: b"lintas_x 1\n")
    found.start()
    yield found
    found.stop()


def test_address_of_its_own(listener: Listener) -> None:
    """Figures are told under one path of their own address, with the media type of the format."""
    base = f"http://127.0.0.1:{listener.port}"
    told, other = httpx.get(f"{base}/metrics"), httpx.get(f"{base}/v1/keys")

    assert (200, b"lintas_x 1\n", 404) == (told.status_code, told.content, other.status_code)
    assert told.headers["content-type"].startswith("text/plain; version=0.0.4")


def test_address_that_is_taken(listener: Listener) -> None:
    """An address that is taken keeps the hub from starting, by name."""
    with pytest.raises(BadSettings, match=f"127.0.0.1:{listener.port}"):
        Listener(("127.0.0.1", listener.port), bytes)


def test_not_on_the_public_port(desks: Desks) -> None:
    """The public address knows no figures."""
    assert 404 == desks.get("/metrics", "admin/registrar").status_code


def test_rules_name_what_exists(desks: Desks, tmp_path: Path) -> None:
    """Every metric that the shipped rules name is told, with the labels they name."""
    path = tmp_path / "policy"
    path.write_text(TWO_OF_THREE)
    policy = read_policy(path, desks.hub.signer.verifier)
    desks.publish("my-police", ["sg-fiu"])
    desks.post(b"nothing")
    found = read(Metrics(replace(desks.hub, witnesses=policy), Serving(int, int)).text())
    names = {name: {label for label, _ in labels} for name, labels in found}
    rules = [rule for group in ALERTS["groups"] for rule in group["rules"]]
    used = {(rule["alert"], name) for rule in rules for name in re.findall(r"lintas_(\w+)", rule["expr"])}

    assert {(alert, name) for alert, name in used if name not in names} == set()
    assert len(used) >= 15
    for rule in rules:
        assert {"alert", "expr", "labels", "annotations"} <= rule.keys()
        assert rule["labels"]["severity"] in {"page", "ticket"}
        for name, label in re.findall(r"lintas_(\w+)\{(\w+)=", rule["expr"]):
            assert label in names[name]
