"""Re-deriving everything: one test for each kind of fault, which is named."""

from __future__ import annotations

from functools import partial

import pytest
from sqlalchemy import text

from broker.batch import Batch
from broker.fsck import Report, check_everything
from broker.hub import Hub, read_log_key
from broker.intake import admit_bulletin, open_bulletin
from broker.store import cosignatures, delivery, log, rollup
from lintas import checkpoint, note
from lintas.cosignature import cosign
from lintas.errors import BadSettings, LogHalted
from tests.broker.conftest import Desks
from tests.databases import spoil
from tests.witnesses import STRANGER, WITNESSES

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


@pytest.fixture
def used(inner: Desks) -> Desks:
    """A hub that accepted a bulletin for two and its recall."""
    line = inner.bulletin(ISSUER, [READER, OTHER])
    for each in (line, inner.recall(ISSUER, line.id, [READER, OTHER])):
        submission = open_bulletin(each.raw, inner.hub.directory)
        inner.hub.writer.submit(partial(admit_bulletin, submission=submission)).result(20)
    return inner


def check(hub: Hub) -> Report:
    """Check the whole database of a hub."""
    return check_everything(hub.store, hub.signer.verifier, lambda _done, _all: None)


def corrupt(hub: Hub, *statements: str) -> None:
    """Change rows as a broken disk or a careless hand would, past the triggers."""
    with hub.store.write() as conn:
        for statement in statements:
            spoil(conn, statement)


def test_good(used: Desks) -> None:
    """A sound database is reported with its size, root, checkpoints and lines."""
    seen: list[tuple[int, int]] = []

    report = check_everything(used.hub.store, used.hub.signer.verifier, lambda done, rows: seen.append((done, rows)))

    newest = used.events()[0].seq + 1
    assert (newest, used.stored()) == (report.size, report.lines)
    assert report.checkpoints > 2
    assert [(done, newest) for done in range(1, newest + 1)] == seen


def test_unsigned_tail(small_hub: Hub) -> None:
    """Rows behind the newest checkpoint are sound too: a crash may leave them."""
    corrupt(small_hub, "DELETE FROM checkpoint")

    assert (0, 1) == (check(small_hub).checkpoints, check(small_hub).lines)


LAST_CHECKPOINT = "(SELECT max(size) FROM checkpoint)"
NEWEST = "(SELECT max(seq) FROM line)"
BULLETIN = "(SELECT max(seq) FROM line WHERE kind = 'alert')"
FAULTS = {
    "body": (("UPDATE event SET body = CAST(body || ' ' AS BLOB) WHERE seq = 40",), "Row 40: the event body"),
    "entry": (("UPDATE log SET entry = zeroblob(32) WHERE seq = 40",), "Row 40: the event body"),
    "entry-of-a-purged-body": (
        ("UPDATE event SET body = NULL WHERE seq = 40", "UPDATE log SET entry = zeroblob(32) WHERE seq = 40"),
        "Row 40: the stored tree nodes",
    ),
    "nodes": (("UPDATE log SET nodes = zeroblob(length(nodes)) WHERE seq = 40",), "Row 40: the stored tree nodes"),
    "time": (("UPDATE event SET time = 5 WHERE seq = 40",), "Row 40: the columns differ"),
    "kind": (("UPDATE event SET kind = 'view.read' WHERE seq = 40",), "Row 40: the columns differ"),
    "party": (("UPDATE event SET party = 'xx-police' WHERE seq = 40",), "Row 40: the columns differ"),
    "object": (("UPDATE event SET object = 'x' WHERE seq = 40",), "Row 40: the columns differ"),
    "number": (
        ("UPDATE event SET body = NULL, party_seq = 9999 WHERE seq = 40",),
        r"Row 40: the events of \S+ are not numbered",
    ),
    "event-lost": (("DELETE FROM event WHERE seq = 40",), "Row 40 is missing"),
    "leaf-lost": (("DELETE FROM log WHERE seq = 40",), "Row 40 is missing"),
    "last-leaf-lost": (("DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)",), "is missing"),
    "end-lost": (
        (
            "DELETE FROM event WHERE seq = (SELECT max(seq) FROM event)",
            "DELETE FROM log WHERE seq = (SELECT max(seq) FROM log)",
        ),
        "A checkpoint of size [0-9]+ was signed, but the log has",
    ),
    "checkpoint": (
        ("UPDATE checkpoint SET note = CAST(note || ' ' AS BLOB) WHERE size = (SELECT max(size) FROM checkpoint)",),
        "The checkpoint of size [0-9]+ does not verify",
    ),
    "checkpoint-moved": (
        (f"UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 3) WHERE size = {LAST_CHECKPOINT}",),
        "The checkpoint of size [0-9]+ is of another tree",
    ),
    "line": ((f"UPDATE line SET raw = CAST(raw || ' ' AS BLOB) WHERE seq = {NEWEST}",), "its bytes have another hash"),
    "line-moved": ((f"UPDATE line SET seq = seq + 1 WHERE seq = {NEWEST}",), "the event at its index"),
    "line-beyond": ((f"UPDATE line SET seq = 9999 WHERE seq = {NEWEST}",), "the event at its index 9999"),
    "issuer": ((f"UPDATE line SET iss = 'xx-police' WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "key-id": ((f"UPDATE line SET kid = 'x' WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "type": ((f"UPDATE line SET typ = 'x' WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "expiry": ((f"UPDATE line SET exp = 5 WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "bulletin-kind": ((f"UPDATE line SET kind = 'rfi' WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "topic": ((f"UPDATE line SET topic = 'drugs' WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "marking": ((f"UPDATE line SET tlp_rank = 0 WHERE seq = {NEWEST}",), "the columns differ from its header"),
    "recipient-lost": (
        (f"DELETE FROM recipient WHERE seq = {BULLETIN} AND agency = 'sg-fiu'",),
        "its recipients are not those",
    ),
    "recipient-added": (
        (f"INSERT INTO recipient VALUES ('vn-police', {BULLETIN}, 'released', 1)",),
        "its recipients are not those",
    ),
    "recipient-withheld": (
        (f"UPDATE recipient SET state = 'suspended' WHERE seq = {BULLETIN} AND agency = 'sg-fiu'",),
        "its recipients are not those",
    ),
    "urgency": ((f"UPDATE line SET urgency = 'flash' WHERE seq = {BULLETIN}",), "the columns differ from its header"),
    "accepted-at": ((f"UPDATE line SET at = at + 1 WHERE seq = {BULLETIN}",), "the columns differ from the event"),
    "withdrawing": (
        (f"UPDATE line SET withdraws = (1 = 1) WHERE seq = {BULLETIN}",),
        "the columns differ from its content",
    ),
    "person-data": (
        (f"UPDATE line SET is_personal = NOT is_personal WHERE seq = {BULLETIN}",),
        "the columns differ from its content",
    ),
    "release-of-another": (
        (f"UPDATE recipient SET released_seq = released_seq + 1 WHERE seq = {BULLETIN} AND agency = 'sg-fiu'",),
        "does not release it to sg-fiu",
    ),
    "release-at-no-event": (
        (f"UPDATE recipient SET released_seq = 9999 WHERE seq = {BULLETIN} AND agency = 'sg-fiu'",),
        "the event at index 9999 does not release it",
    ),
    "reference-lost": (("DELETE FROM ref",), "what is stored of its `refs`"),
    "reference-of-another-kind": (("UPDATE ref SET relation = 'recalls-part'",), "what is stored of its `refs`"),
    "sent-by-no-event": (
        (f"INSERT INTO delivery VALUES ('sg-fiu', 'fetch', {BULLETIN}, 5, NULL)",),
        "no event sent it to sg-fiu",
    ),
    "sent-at-no-event": (
        (f"INSERT INTO delivery VALUES ('sg-fiu', 'fetch', {BULLETIN}, 9999, NULL)",),
        "no event sent it to sg-fiu",
    ),
    "acknowledged-by-no-event": (
        (f"INSERT INTO ack VALUES ({BULLETIN}, 'sg-fiu', 'opened', 5)",),
        "no event has the acknowledgement by sg-fiu",
    ),
    "line-behind-a-key": (
        ("DELETE FROM line WHERE seq = (SELECT min(seq) FROM event WHERE kind = 'key.enrolled')",),
        "The directory does not follow from its lines",
    ),
}


@pytest.mark.parametrize(("statements", "fault"), FAULTS.values(), ids=FAULTS)
def test_fault(used: Desks, statements: tuple[str, ...], fault: str) -> None:
    """Each kind of fault is found, and the row or line is named."""
    check(used.hub)
    corrupt(used.hub, *statements)

    with pytest.raises(LogHalted, match=fault):
        check(used.hub)


def test_received_by_no_event(used: Desks) -> None:
    """A row that calls a bulletin received, without the event, is found."""
    with used.hub.store.read() as conn:
        seq = conn.execute(text(f"SELECT {BULLETIN}")).scalar_one()

    def send(batch: Batch) -> None:
        sent = batch.append("bulletin.sent", READER, detail={"way": "fetch", "from": seq, "to": seq, "count": 1})
        delivery.insert_sent(batch.conn, READER, "fetch", [seq], sent_seq=sent)

    used.hub.writer.submit(send).result(20)
    check(used.hub)
    corrupt(used.hub, "UPDATE delivery SET received_seq = sent_seq")

    with pytest.raises(LogHalted, match="no event says that it was received by sg-fiu"):
        check(used.hub)


UNPURGED = {
    "body": ((f"UPDATE event SET body = NULL WHERE seq = {BULLETIN}",), "Event [0-9]+ of my-police has no body"),
    "body-of-another-kind": (
        ("UPDATE event SET body = NULL WHERE seq = (SELECT max(seq) FROM event WHERE kind = 'grant.changed')",),
        "a grant.changed event is never purged",
    ),
    "bytes": ((f"UPDATE line SET raw = NULL WHERE seq = {BULLETIN}",), "not purged together"),
}


@pytest.mark.parametrize(("statements", "fault"), UNPURGED.values(), ids=UNPURGED)
def test_gone_without_a_purge(used: Desks, statements: tuple[str, ...], fault: str) -> None:
    """Bytes or a body that are gone though no purge names them are a fault."""
    corrupt(used.hub, *statements)

    with pytest.raises(LogHalted, match=fault):
        check(used.hub)


def purged(used: Desks) -> Desks:
    """Let time go by until what the hub had is purged."""
    used.clock.advance(60 * 86_400)
    for _ in range(6):
        used.clock.advance(2)
        used.hub.writer.submit(lambda batch: batch.next_seq).result(20)
    assert used.events(kind="bulletin.purged")
    return used


def test_purged(used: Desks) -> None:
    """What a purge took away is no fault."""
    size = used.events()[0].seq + 1

    assert size < check(purged(used).hub).size


def test_purge_that_did_not_empty(used: Desks) -> None:
    """A body that is still there though a purge named it is a fault."""
    with used.hub.store.read() as conn:
        seq, body = conn.execute(
            text("SELECT seq, body FROM event WHERE kind = 'bulletin.accepted' ORDER BY seq DESC LIMIT 1")
        ).one()
    purged(used)
    with used.hub.store.write() as conn:
        conn.execute(text("UPDATE event SET body = :body WHERE seq = :seq"), {"body": body, "seq": seq})

    with pytest.raises(LogHalted, match="whose body is there"):
        check(used.hub)


def test_bytes_that_a_purge_left(used: Desks) -> None:
    """Bytes that are still there though their event was purged are a fault."""
    purged(used)
    with used.hub.store.write() as conn:
        spoil(conn, f"UPDATE line SET raw = :raw WHERE seq = {BULLETIN}", raw=b"x")

    with pytest.raises(LogHalted, match="not purged together"):
        check(used.hub)


def test_checkpoint_of_another_log(used: Desks) -> None:
    """A checkpoint that the key signed for another origin is a fault."""
    key = read_log_key(used.hub.settings.log_key_file)
    other = note.SignerKey.from_seed("other.example-aaaaaaaa/log/1", b"\x05" * 32)
    size = used.events()[0].seq + 1
    body = checkpoint.format_checkpoint(checkpoint.Checkpoint(key.name, size, bytes(32)))
    with used.hub.store.write() as conn:
        statement = "UPDATE checkpoint SET note = :note WHERE size = :size"
        spoil(conn, statement, note=note.sign_note(body, other), size=size)

    with pytest.raises(LogHalted, match=f"The checkpoint of size {size} does not verify"):
        check(used.hub)


def keep_cosignature(hub: Hub, *, signer: note.SignerKey, row: note.SignerKey, tamper: bytes = b"") -> None:
    """Keep a cosignature on the newest checkpoint in the row of this witness."""
    with hub.store.write() as conn:
        newest = log.newest_checkpoint(conn)
        assert newest is not None
        line = cosign(note.split_note(newest[1])[0] + tamper, signer, time=1).line()
        cosignatures.add(conn, newest[0], {row.verifier.text(): line})


def test_good_cosignature(small_hub: Hub) -> None:
    """A cosignature that verifies is sound, whether its witness is in a policy or not."""
    keep_cosignature(small_hub, signer=STRANGER, row=STRANGER)

    assert check(small_hub).checkpoints == 1


@pytest.mark.parametrize(
    ("signer", "tamper", "said"), [(0, b"x\n", "does not belong"), (1, b"", "another than its row says")]
)
def test_bad_cosignature(small_hub: Hub, signer: int, tamper: bytes, said: str) -> None:
    """A cosignature over another text, or by another witness than its row says, is named."""
    keep_cosignature(small_hub, signer=WITNESSES[signer], row=WITNESSES[0], tamper=tamper)

    with pytest.raises(LogHalted, match=said):
        check(small_hub)


def test_cosignature_without_checkpoint(small_hub: Hub) -> None:
    """A cosignature on a checkpoint that is not there is named."""
    keep_cosignature(small_hub, signer=STRANGER, row=STRANGER)
    corrupt(small_hub, "DELETE FROM checkpoint")

    with pytest.raises(LogHalted, match="no such checkpoint"):
        check(small_hub)


def test_counts_that_do_not_fit(used: Desks) -> None:
    """Counts of the console that are not those of the log are told last, with the command that makes them anew."""
    with used.hub.store.write() as conn:
        size, _ = log.head(conn)
        rollup.recount(conn, size)
        assert check(used.hub).size == size
        spoil(conn, "UPDATE rollup SET count = count + 1 WHERE kind = 'log.opened'")

    with pytest.raises(BadSettings, match="lintas-broker migrate --recount"):
        check(used.hub)

    corrupt(used.hub, "UPDATE log SET entry = zeroblob(32) WHERE seq = 1")
    with pytest.raises(LogHalted, match="Row 1"):
        check(used.hub)
