"""The log over HTTP: checkpoint, key, tiles, proofs, witness bodies, entitled events. What is served verifies."""

from __future__ import annotations

import json
from base64 import b64decode
from typing import Any

import pytest
from sqlalchemy import text

from broker import retention
from broker.batch import Batch
from broker.web import log as log_web
from lintas import checkpoint as checkpoint_format
from lintas import merkle, note
from lintas.event import entry_of
from lintas.receipt import parse_receipt
from tests.broker.conftest import REGISTRAR, Desks, problem_of
from tests.databases import spoil

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


def open_note(desks: Desks, body: bytes) -> checkpoint_format.Checkpoint:
    """Open a checkpoint with the pinned log key."""
    key = note.parse_vkey(desks.session(READER).identity.hub.log_key)
    return checkpoint_format.open_checkpoint(body, origin=key.name, key=key)


def newest(desks: Desks) -> checkpoint_format.Checkpoint:
    """Return the newest checkpoint as served."""
    return open_note(desks, desks.get("/v1/log/checkpoint").content)


def test_checkpoint_is_public(shared: Desks) -> None:
    """The newest checkpoint needs no token and grows with the log."""
    before = newest(shared)
    shared.publish(ISSUER, [READER])

    assert newest(shared).size == before.size + 2
    assert "no-cache" == shared.get("/v1/log/checkpoint").headers["cache-control"]


def test_key_is_public(shared: Desks) -> None:
    """The log's verifier key is served for comparison."""
    answer = shared.get("/v1/log/key")

    assert shared.session(READER).identity.hub.log_key + "\n" == answer.text


def test_well_known(shared: Desks) -> None:
    """A client learns name, origin, key, limits and time without a token."""
    found = shared.get("/.well-known/lintas").json()

    hub = shared.session(READER).identity.hub
    assert (hub.name, hub.log_key, hub.log_key.split("+")[0], True) == (
        found["name"],
        found["log_key"],
        found["origin"],
        found["simulated"],
    )
    assert 300 == found["limits"]["token_life_s_max"]


def test_ready(shared: Desks) -> None:
    """A hub that serves is ready and says how large its log is."""
    size = newest(shared).size

    assert {"status": "ready", "size": size} == shared.get("/readyz").json()


def test_tiles(shared: Desks) -> None:
    """Entry bundle and hash tile of the first 256 entries, and the tile above them, agree with one another."""
    fill = range(merkle.TILE_WIDTH)
    shared.hub.writer.submit(lambda batch: [batch.append("view.read", READER, detail={}) for _ in fill]).result(20)

    bundle = shared.get("/v1/log/tile/entries/000", READER)
    tile = shared.get("/v1/log/tile/0/000", READER)
    above = shared.get("/v1/log/tile/1/000.p/1", READER)

    leaves = [merkle.leaf_hash(entry) for entry in merkle.parse_entry_bundle(bundle.content)]
    frontier = merkle.Frontier(0, ())
    for leaf in leaves:
        frontier, _ = frontier.append(leaf)
    assert b"".join(leaves) == tile.content
    assert frontier.root() == above.content
    assert "application/octet-stream" == tile.headers["content-type"]
    assert "immutable" in tile.headers["cache-control"]


def test_partial_tile(shared: Desks) -> None:
    """A partial tile is given up to the newest published size and not beyond it."""
    width = newest(shared).size % merkle.TILE_WIDTH
    index = newest(shared).size // merkle.TILE_WIDTH

    inside = shared.get(f"/v1/log/tile/0/{index:03d}.p/{width}", READER)
    bundle = shared.get(f"/v1/log/tile/entries/{index:03d}.p/{width}", READER)
    beyond = shared.get(f"/v1/log/tile/0/{index:03d}.p/{width + 1}", READER)

    assert width * 32 == len(inside.content)
    assert width == len(merkle.parse_entry_bundle(bundle.content))
    assert (404, "not-found", None) == problem_of(beyond)


@pytest.mark.parametrize(
    "path",
    ["0/999", "0/0", "0/000.p/0", "0/000.p/256", "64/000", "-1/000", "0/x", "entries/999", "entries", "0/000/1", "x"],
)
def test_no_such_tile(shared: Desks, path: str) -> None:
    """A tile that was not published, or a path in another spelling, is not found."""
    assert (404, "not-found", None) == problem_of(shared.get(f"/v1/log/tile/{path}", READER))


def test_proof(shared: Desks) -> None:
    """The proof of an index holds under the newest checkpoint and carries no event body."""
    line = shared.publish(ISSUER, [READER])
    [event] = shared.events(kind="bulletin.accepted", object=line.id)

    proof = parse_receipt(shared.get(f"/v1/log/proof/{event.seq}", OTHER).content)

    tree = open_note(shared, proof.checkpoint)
    merkle.check_inclusion(merkle.leaf_hash(entry_of(event.body or b"")), event.seq, tree.size, proof.proof, tree.root)
    assert (None, event.seq) == (proof.extra, proof.index)


def test_proof_at_a_size(shared: Desks) -> None:
    """A proof can be asked for at an older published size."""
    size = newest(shared).size
    shared.publish(ISSUER, [READER])

    proof = parse_receipt(shared.get(f"/v1/log/proof/0?size={size}", OTHER).content)

    assert size == open_note(shared, proof.checkpoint).size


def test_proof_beyond_the_size(shared: Desks) -> None:
    """An index that no checkpoint of the size covers is not found; neither is a size that was never published."""
    size = newest(shared).size
    shared.publish(ISSUER, [READER])

    assert (404, "not-found", None) == problem_of(shared.get(f"/v1/log/proof/{size}?size={size}", OTHER))
    assert 200 == shared.get(f"/v1/log/proof/{size - 1}?size={size}", OTHER).status_code
    assert 404 == shared.get(f"/v1/log/proof/0?size={size + 1}", OTHER).status_code
    assert 404 == shared.get("/v1/log/proof/9999999999999999", OTHER).status_code


@pytest.mark.parametrize("seq", ["-1", "x", "1.0", "9" * 17, "%D9%A1"])
def test_proof_of_no_index(shared: Desks, seq: str) -> None:
    """An index that is no number is refused by name."""
    assert (400, "bad-request", "seq") == problem_of(shared.get(f"/v1/log/proof/{seq}", OTHER))


def test_witness(shared: Desks) -> None:
    """A witness body proves that the newest checkpoint extends the old one."""
    old = newest(shared)
    for _ in range(3):
        shared.publish(ISSUER, [READER])

    head, _, signed = shared.get(f"/v1/log/witness?old={old.size}", OTHER).content.partition(b"\n\n")

    first, *hashes = head.decode().split("\n")
    new = open_note(shared, signed)
    merkle.check_consistency(old.size, old.root, new.size, new.root, [b64decode(each) for each in hashes])
    assert f"old {old.size}" == first
    assert new.size > old.size


def test_witness_between_sizes(shared: Desks) -> None:
    """Consistency can be asked for between two published sizes."""
    old = newest(shared)
    shared.publish(ISSUER, [READER])
    new = newest(shared)
    shared.publish(ISSUER, [READER])

    _, _, signed = shared.get(f"/v1/log/witness?old={old.size}&size={new.size}", OTHER).content.partition(b"\n\n")

    assert new == open_note(shared, signed)


@pytest.mark.parametrize("old", [0, None])
def test_witness_without_proof(shared: Desks, old: int | None) -> None:
    """From nothing, and from the newest size, no proof is needed."""
    size = newest(shared).size if old is None else old

    head = shared.get(f"/v1/log/witness?old={size}", OTHER).content.partition(b"\n\n")[0]

    assert f"old {size}".encode() == head


def test_witness_of_more_than_there_is(shared: Desks) -> None:
    """A size that the log has not reached is not found."""
    assert (404, "not-found", None) == problem_of(shared.get("/v1/log/witness?old=99999999", OTHER))


def view(desks: Desks, query: str, party: str) -> tuple[list[dict[str, Any]], checkpoint_format.Checkpoint]:
    """Return the proven rows of a view of the log, without its last line, and the checkpoint in that."""
    *rows, last = desks.rows(f"/v1/log/events{query}", party)
    tree = open_note(desks, last["checkpoint"].encode())
    for row in rows:
        proof = [b64decode(each) for each in row["proof"]]
        leaf = merkle.leaf_hash(entry_of(row["body"].encode()))
        merkle.check_inclusion(leaf, row["seq"], tree.size, proof, tree.root)
    return rows, tree


def test_events_are_ones_own(shared: Desks) -> None:
    """A party sees its own events and those of every partner, in order and each proven, nothing else."""
    shared.publish(ISSUER, [READER])

    rows, _ = view(shared, "?limit=1000", READER)

    bodies = [json.loads(row["body"]) for row in rows]
    assert {READER, "*"} == {body["party"] for body in bodies}
    assert [row["seq"] for row in rows] == sorted({row["seq"] for row in rows})


def test_events_are_complete(shared: Desks) -> None:
    """The numbers of each party run without a gap, and the read itself closes the view and names the last of all."""
    rows, _ = view(shared, "?limit=1000", READER)

    bodies = [json.loads(row["body"]) for row in rows]
    for party in (READER, "*"):
        numbers = [body["party_seq"] for body in bodies if body["party"] == party]
        assert list(range(1, len(numbers) + 1)) == numbers
    assert ("view.read", READER) == (bodies[-1]["kind"], bodies[-1]["party"])
    assert {"view": "events", "after": -1, "star": max(b["party_seq"] for b in bodies if b["party"] == "*")} == (
        bodies[-1]["detail"]
    )


def test_events_show_the_lines_behind(shared: Desks) -> None:
    """Events that shape the directory come with the signed line behind them, others without."""
    shared.publish(ISSUER, [READER])

    rows, _ = view(shared, "?limit=1000", READER)

    with_line = {json.loads(row["body"])["kind"] for row in rows if "line" in row}
    without = {json.loads(row["body"])["kind"] for row in rows if "line" not in row}
    assert {"key.enrolled", "key.approved", "partner.invited", "grant.changed"} <= with_line
    assert {"log.opened", "bulletin.released", "view.read"} <= without
    assert not with_line & without


def test_events_in_pages(shared: Desks) -> None:
    """A full page names the next; its own record of reading stands apart at the end."""
    answer = shared.get("/v1/log/events?limit=5", OTHER)
    rows = [json.loads(row) for row in answer.text.splitlines()[:-1]]

    assert 6 == len(rows)
    assert str(rows[4]["seq"]) == answer.headers["lintas-cursor"]
    assert f"after={rows[4]['seq']}" in answer.links["next"]["url"]
    following = shared.rows(answer.links["next"]["url"], OTHER)
    assert following[0]["seq"] > rows[4]["seq"]


def test_events_after_the_last(shared: Desks) -> None:
    """After the cursor of a complete view only what is newer comes, and the record of this reading."""
    cursor = shared.get("/v1/log/events?limit=1000", "ph-cert").headers["lintas-cursor"]

    rows, _ = view(shared, f"?after={cursor}", "ph-cert")

    assert ["view.read"] == [json.loads(row["body"])["kind"] for row in rows]


def test_events_of_a_kind(shared: Desks) -> None:
    """A view can be of one kind; the record of the reading says so."""
    rows, _ = view(shared, "?kind=key.approved&limit=1000", OTHER)

    kinds = [json.loads(row["body"])["kind"] for row in rows]
    assert {"key.approved"} == set(kinds[:-1])
    assert "key.approved" == json.loads(rows[-1]["body"])["detail"]["kind"]


def test_events_with_a_nonce(shared: Desks) -> None:
    """What the reader chose is repeated in the record of the read, so that no older view passes for this one."""
    rows, _ = view(shared, "?nonce=chosen_by-me&limit=1000", OTHER)

    assert "chosen_by-me" == json.loads(rows[-1]["body"])["detail"]["nonce"]


@pytest.mark.parametrize("nonce", ["a" * 65, "a%20b", "%C3%A9"])
def test_malformed_nonce(shared: Desks, nonce: str) -> None:
    """A nonce is at most 64 characters of base64url."""
    assert (400, "bad-request", "nonce") == problem_of(shared.get(f"/v1/log/events?nonce={nonce}", OTHER))


def test_events_of_no_kind(shared: Desks) -> None:
    """A kind that does not exist is refused by name."""
    assert (400, "bad-request", "kind") == problem_of(shared.get("/v1/log/events?kind=key.stolen", OTHER))


def test_events_of_an_administrator(shared: Desks) -> None:
    """An administrator sees its own orders, also those that the partners do not."""
    rows, _ = view(shared, "?limit=1000", REGISTRAR)

    assert {REGISTRAR, "*"} == {json.loads(row["body"])["party"] for row in rows}


def test_purged_event(desks: Desks) -> None:
    """A purged body is shown as gone, while its entry still proves."""
    desks.publish(ISSUER, [READER])
    [event] = desks.events(kind="bulletin.released", party=READER)
    with desks.hub.store.write() as conn:
        conn.execute(text("UPDATE event SET body = NULL WHERE seq = :seq"), {"seq": event.seq})

    rows = desks.rows("/v1/log/events?limit=1000", READER)
    proof = desks.get(f"/v1/log/proof/{event.seq}", READER)

    [row] = [row for row in rows if row.get("seq") == event.seq]
    assert (None, READER, event.party_seq) == (row["body"], row["party"], row["party_seq"])
    assert 200 == proof.status_code


def test_purge_while_a_view_is_made(desks: Desks, monkeypatch: pytest.MonkeyPatch) -> None:
    """A purge between the record of a view and its reading makes the view begin again: no hole without its purge."""
    desks.publish(ISSUER, [READER])
    desks.clock.advance(40 * 86_400)
    record = log_web._record_read
    recorded: list[int] = []

    def recording(batch: Batch, *given: Any) -> int:
        seq = record(batch, *given)
        if not recorded:
            run = retention.Run(until=batch.began - 30 * 86_400)
            retention.step(batch, run)
        recorded.append(seq)
        return seq

    desks.hub.writer._due = ()
    monkeypatch.setattr(log_web, "_record_read", recording)

    rows = desks.rows("/v1/log/events?limit=1000", READER)

    assert 2 == len(recorded)
    assert [recorded[1]] == [row["seq"] for row in rows[-2:-1]]
    assert any("bulletin.purged" in (row.get("body") or "") for row in rows)


def test_log_without_a_checkpoint(desks: Desks) -> None:
    """Before the first checkpoint there is nothing to show or prove."""
    with desks.hub.store.write() as conn:
        spoil(conn, "DELETE FROM checkpoint")

    answers = [
        desks.get("/v1/log/checkpoint"),
        *(desks.get(path, READER) for path in ("/v1/log/tile/0/000", "/v1/log/proof/0", "/v1/log/witness")),
    ]

    assert [404] * 4 == [answer.status_code for answer in answers]
    assert 0 == desks.get("/readyz").json()["size"]
