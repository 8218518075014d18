"""The steps of a witness against a real hub: what it cosigns, what it never does."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from lintas import note
from lintas.async_client import AsyncClient
from lintas.checkpoint import Checkpoint, format_checkpoint, open_checkpoint, parse_add_checkpoint
from lintas.client import Client
from lintas.errors import BadNote, HubUnreachable, InconsistentLog, NotFound, NotWitnessed, UnknownWitness
from lintas.evidence import Conflict, judge_conflict
from lintas.quorum import parse_policy
from lintas.receipt import parse_receipt
from lintas.request import Operation, Request, Response
from lintas.state import State
from lintas.witness import Attended, attend
from tests.conftest import ExerciseHub, ShiftedClock
from tests.databases import Databases
from tests.witnesses import LINES, STRANGER, TWO_OF_THREE, WITNESSES, cosigned, publish, serve, watcher

POLICY = parse_policy(TWO_OF_THREE.encode())
STRICT = parse_policy(f"{LINES}group g all w0 w1 w2\nquorum g\n".encode())


@pytest.fixture(scope="module")
def hub(
    exercise_template: Path, tmp_path_factory: pytest.TempPathFactory, databases: Databases
) -> Iterator[ExerciseHub]:
    """A hub that asks two of three witnesses, shared by the tests of this module: they only add to its log."""
    data = databases.copy(exercise_template, tmp_path_factory.mktemp("witnessed") / "hub")
    with serve(data, ShiftedClock()) as found:
        yield found


@pytest.fixture(autouse=True)
def settled(hub: ExerciseHub) -> None:
    """Complete what earlier tests cosigned, then add something new."""
    newest = hub.get("/v1/log/checkpoint").content
    done = hub.post("/v1/log/cosignatures", cosigned(newest, *WITNESSES, time=hub.hub.now()), "text/plain")
    assert done.json()["witnessed"], done.text
    publish(hub)


@pytest.fixture
def looker(hub: ExerciseHub, tmp_path: Path) -> Iterator[Client]:
    """A client with the memory of a witness."""
    with watcher(hub, tmp_path / "w.state") as client:
        yield client


def kept_size(client: Client) -> int:
    """Return the size of the checkpoint in the memory."""
    session = client.session
    kept = session.state.get("checkpoint")
    assert kept is not None
    return open_checkpoint(kept, origin=session.origin, key=session.log_keys).size


def answer(client: Client, *responses: Response, key: note.SignerKey = WITNESSES[0]) -> list[Request]:
    """Drive one look with these responses; return what was asked, the exception of the look if it raises."""
    operation = attend(client.session, key)
    sent = [next(operation)]
    try:
        for response in responses:
            sent.append(operation.send(response))  # noqa: PERF401 - what was sent before an end counts
    except StopIteration:
        pass
    return sent


def test_cosigns(hub: ExerciseHub, looker: Client) -> None:
    """A witness cosigns what is new, and only what is new."""
    first, second = looker.attend(WITNESSES[0]), looker.attend(WITNESSES[0])
    publish(hub)
    third = looker.attend(WITNESSES[0])

    assert [True, False, True] == [first.is_cosigned, second.is_cosigned, third.is_cosigned]
    assert third.size == kept_size(looker) > first.size


def test_quorum(hub: ExerciseHub, looker: Client, tmp_path: Path) -> None:
    """Two witnesses of a growing log make a receipt a witnessed one; until then it is not given."""
    line_id, client = publish(hub), hub.client("my-police")
    with pytest.raises(NotWitnessed):
        client.receipt(line_id, POLICY)

    first = looker.attend(WITNESSES[0])
    publish(hub)
    with watcher(hub, tmp_path / "w1.state", "vn-police") as other:
        second = other.attend(WITNESSES[1])
    receipt = client.receipt(line_id, POLICY)

    assert (False, True) == (first.is_witnessed, second.is_witnessed)
    assert (("w0", "w1"), True) == (client.judge(receipt, POLICY).names, client.judge(receipt, POLICY).is_enough)
    assert (
        "bulletin.accepted"
        == client.verify(
            next(each.line for each in client.session.state.outgoing("sent") if each.id == line_id), receipt
        ).event["kind"]
    )


def test_the_clients_policy_decides(hub: ExerciseHub, looker: Client, tmp_path: Path) -> None:
    """What is enough for the hub's policy is refused when the client's own asks for more."""
    line_id = publish(hub)
    looker.attend(WITNESSES[0])
    with watcher(hub, tmp_path / "w1.state", "vn-police") as other:
        other.attend(WITNESSES[1])

    with pytest.raises(NotWitnessed, match="not for yours"):
        hub.client("my-police").receipt(line_id, STRICT)


def test_async_client(hub: ExerciseHub, tmp_path: Path) -> None:
    """The client for event loops attends and asks for witnessed receipts as well."""
    line_id = publish(hub)

    async def both() -> bytes:
        for number, party in enumerate(("th-cert", "vn-police")):
            identity = hub.identity(party)
            state = State(tmp_path / f"{number}.state", log_key=identity.hub.log_key)
            async with AsyncClient(identity, state, clock=hub.clock) as client:
                await client.attend(WITNESSES[number])
        identity = hub.identity("my-police")
        state = State(tmp_path / "my.state", log_key=identity.hub.log_key)
        async with AsyncClient(identity, state, clock=hub.clock) as client:
            return await client.receipt(line_id, POLICY)

    receipt = asyncio.run(both())

    assert hub.client("my-police").judge(receipt, POLICY).is_enough


def test_unknown_to_the_hub(hub: ExerciseHub, looker: Client) -> None:
    """A witness that the hub does not know is told so; it tries again at the next look."""
    for _ in range(2):
        with pytest.raises(UnknownWitness):
            looker.attend(STRANGER)


def test_kept_before_it_is_cosigned(hub: ExerciseHub, looker: Client, tmp_path: Path) -> None:
    """When the cosignature leaves, the checkpoint is on disk already, for whoever opens the memory next."""
    pulled = Response(200, {}, hub.get("/v1/log/witness?old=0", "th-cert").content)

    _, posted = answer(looker, pulled)

    copy = shutil.copytree(tmp_path, tmp_path.with_name("copy"), ignore=shutil.ignore_patterns("hub"))
    state = State(copy / "w.state", log_key=looker.session.identity.hub.log_key)
    assert "/v1/log/cosignatures" == posted.path
    assert state.get("checkpoint") == parse_add_checkpoint(pulled.body)[2]
    state.close()


def test_never_two_roots(hub: ExerciseHub, looker: Client) -> None:
    """Another root for the size it saw is not cosigned; both checkpoints are kept and prove the fork."""
    looker.attend(WITNESSES[0])
    size, key = kept_size(looker), hub.hub.signer._key
    forked = note.sign_note(format_checkpoint(Checkpoint(key.name, size, bytes(32))), key)

    with pytest.raises(InconsistentLog):
        answer(looker, Response(200, {}, f"old {size}\n\n".encode() + forked))

    state = looker.session.state
    conflict = Conflict(*(state.get(f"conflict.{name}") or b"" for name in ("known", "shown", "proof")))
    assert judge_conflict(conflict, key.verifier).is_proven
    assert (size, forked) == (kept_size(looker), conflict.shown)


def test_denied_before_anything_was_seen(hub: ExerciseHub, looker: Client) -> None:
    """A hub that has no checkpoint yet is no evidence of anything."""
    denied = hub.get("/v1/log/witness?old=99999999", "th-cert")

    with pytest.raises(NotFound):
        answer(looker, Response(denied.status_code, {}, denied.content))


@pytest.mark.parametrize("body", [b"", b"<html>", b"x" * 999_999])
def test_no_evidence_in_junk(hub: ExerciseHub, looker: Client, body: bytes) -> None:
    """What is no checkpoint of the log is not kept as evidence; the alarm stands."""
    looker.attend(WITNESSES[0])
    denied = hub.get("/v1/log/witness?old=99999999", "th-cert")

    with pytest.raises(InconsistentLog):
        answer(looker, Response(denied.status_code, {}, denied.content), Response(200, {}, body))

    assert looker.session.state.get("conflict.shown") is None


def test_first_evidence_stays(hub: ExerciseHub, looker: Client) -> None:
    """What a hub shows after its first contradiction does not push the evidence out."""
    looker.attend(WITNESSES[0])
    size, key = kept_size(looker), hub.hub.signer._key
    for root in (bytes(32), b"\x01" * 32):
        forked = note.sign_note(format_checkpoint(Checkpoint(key.name, size, root)), key)
        with pytest.raises(InconsistentLog):
            answer(looker, Response(200, {}, f"old {size}\n\n".encode() + forked))

    assert looker.session.state.get("conflict.shown") == note.sign_note(
        format_checkpoint(Checkpoint(key.name, size, bytes(32))), key
    )


def test_never_backwards(hub: ExerciseHub, looker: Client) -> None:
    """A smaller checkpoint, though the hub published it once, is not cosigned after a larger one."""
    looker.attend(WITNESSES[0])
    older = hub.get("/v1/log/checkpoint").content
    publish(hub)
    looker.attend(WITNESSES[0])
    size = kept_size(looker)

    with pytest.raises(InconsistentLog):
        answer(looker, Response(200, {}, f"old {size}\n\n".encode() + older))

    assert size == kept_size(looker)


def test_rolled_back(hub: ExerciseHub, looker: Client) -> None:
    """A hub that denies the size it showed is caught, and the checkpoint it stands by now is kept."""
    looker.attend(WITNESSES[0])
    denied = hub.get("/v1/log/witness?old=99999999", "th-cert")
    older = note.sign_note(format_checkpoint(Checkpoint(looker.session.origin, 3, bytes(32))), hub.hub.signer._key)

    with pytest.raises(InconsistentLog, match="denies"):
        answer(looker, Response(denied.status_code, {}, denied.content), Response(200, {}, older))

    assert older == looker.session.state.get("conflict.shown")


def test_other_log(looker: Client) -> None:
    """A checkpoint by another key is no checkpoint of the pinned log, whatever its name."""
    key = note.SignerKey.from_seed(looker.session.origin, bytes(32))
    signed = note.sign_note(format_checkpoint(Checkpoint(key.name, 5, bytes(32))), key)

    def look() -> Operation[Attended]:
        operation = attend(looker.session, WITNESSES[0])
        next(operation)
        request = operation.send(Response(200, {}, b"old 0\n\n" + signed))
        # It may be a new key of the log: the witness asks, and the log does not tell of it.
        while True:
            request = operation.send((yield request))

    with pytest.raises(BadNote):
        looker.run(look())

    assert looker.session.state.get("cosigned") is None


@pytest.mark.parametrize(
    "body", [b"", b"old 0\n", b"<html></html>", b"old x\n\nnote", b"old 0\n" + b"A\n" * 64 + b"\n"]
)
def test_unreadable(looker: Client, body: bytes) -> None:
    """An answer in no known form is a hub that cannot be reached, not evidence against it."""
    with pytest.raises(HubUnreachable):
        answer(looker, Response(200, {}, body))


def test_unreadable_answer_to_a_cosignature(hub: ExerciseHub, looker: Client) -> None:
    """An unreadable answer to a cosignature leaves it to be posted again."""
    pulled = Response(200, {}, hub.get("/v1/log/witness?old=0", "th-cert").content)

    with pytest.raises(HubUnreachable):
        answer(looker, pulled, Response(200, {}, b"<html>"))

    assert looker.attend(WITNESSES[0]).is_cosigned


def test_two_processes_with_one_memory(hub: ExerciseHub, looker: Client, tmp_path: Path) -> None:
    """Of two processes with one memory the slower one looks again instead of going back."""
    early = Response(200, {}, hub.get("/v1/log/witness?old=0", "th-cert").content)
    publish(hub)
    with watcher(hub, tmp_path / "w.state") as faster:
        slower = attend(looker.session, WITNESSES[0])
        next(slower)
        size = faster.attend(WITNESSES[0]).size

        asked_again = slower.send(early)

    assert f"/v1/log/witness?old={size}" == asked_again.path
    assert size == kept_size(looker)


def test_only_the_logs_lines_are_repeated(hub: ExerciseHub, looker: Client) -> None:
    """What a witness posts carries the log's signature and its own, not whatever else stood on the note."""
    pulled = hub.get("/v1/log/witness?old=0", "th-cert").content
    junk = "".join(f"\u2014 junk{number} AAAAAAAA\n" for number in range(60)).encode()

    _, posted = answer(looker, Response(200, {}, pulled + junk))

    _, lines = note.split_note(posted.body)
    assert [looker.session.origin, WITNESSES[0].name] == [line.name for line in lines]


def test_receipt_under_cosigned_checkpoint_is_consistent(hub: ExerciseHub, looker: Client, tmp_path: Path) -> None:
    """A witnessed receipt is held against the client's own last checkpoint as every receipt is."""
    line_id, client = publish(hub), hub.client("my-police")
    for number, party in enumerate(("th-cert", "vn-police")):
        with watcher(hub, tmp_path / f"{number}.state", party) as other:
            other.attend(WITNESSES[number])
    publish(hub)
    client.sync()

    receipt = client.receipt(line_id, POLICY)

    kept = client.session.state.get("checkpoint")
    assert kept is not None
    assert 3 == len(note.split_note(parse_receipt(receipt).checkpoint)[1])
    assert 1 == len(note.split_note(kept)[1])
