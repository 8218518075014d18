"""Cosignatures at the hub: taken from known witnesses alone, brought together, served with checkpoint and receipt."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError

from broker import witnesses
from broker.hub import open_hub
from broker.settings import read_settings
from broker.store import cosignatures, log
from broker.witnesses import BODY_BYTES_MAX
from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint, open_checkpoint, parse_add_checkpoint
from lintas.cosignature import cosign
from lintas.errors import BadPolicy
from lintas.quorum import Group, for_log, judge, parse_policy
from lintas.receipt import check_receipt, parse_receipt
from tests.broker.conftest import Desks, Template, problem_of
from tests.conftest import ShiftedClock, served
from tests.witnesses import LINES, STRANGER, TWO_OF_THREE, WITNESSES, cosigned

ISSUER, READER, OTHER = "my-police", "sg-fiu", "th-cert"


@pytest.fixture
def watched(few: Template, tmp_path: Path, clock: ShiftedClock) -> Iterator[Desks]:
    """Desks at a private served hub that asks two of three witnesses."""
    (tmp_path / "policy").write_text(TWO_OF_THREE)
    settings = read_settings({}, data=str(few.copy(tmp_path / "hub")), witnesses=str(tmp_path / "policy"))
    hub = open_hub(settings, clock)
    hub.start()
    with served(hub) as url:
        found = Desks(hub, few.identities.__getitem__, clock, url)
        yield found
        found.close()
    hub.stop()


def newest(desks: Desks) -> bytes:
    """Return the newest checkpoint."""
    return desks.get("/v1/log/checkpoint").content


def size_of(desks: Desks, signed: bytes) -> int:
    """Return the size of a checkpoint of this hub."""
    key = desks.hub.signer.verifier
    return open_checkpoint(signed, origin=key.name, key=key).size


def post(desks: Desks, body: bytes, media: str = "text/plain") -> httpx.Response:
    """Post cosignatures."""
    return desks.http.post(f"{desks.url}/v1/log/cosignatures", content=body, headers={"Content-Type": media})


def cosign_by(desks: Desks, checkpoint: bytes, *numbers: int) -> httpx.Response:
    """Post the cosignatures of these witnesses on a checkpoint."""
    keys = [WITNESSES[number] for number in numbers]
    return post(desks, cosigned(checkpoint, *keys, time=desks.hub.now()))


def asked(desks: Desks, old: int) -> int:
    """Return the size that a witness who knows `old` is asked to cosign."""
    answer = desks.get(f"/v1/log/witness?old={old}", OTHER)
    assert answer.status_code == 200, answer.text
    return size_of(desks, parse_add_checkpoint(answer.content)[2])


def test_becomes_witnessed(watched: Desks) -> None:
    """With the second of two cosignatures the checkpoint is served as witnessed, carrying both."""
    checkpoint = newest(watched)

    first = cosign_by(watched, checkpoint, 0)
    before = watched.get("/v1/log/checkpoint?witnessed=1")
    second = cosign_by(watched, checkpoint, 2)
    after = watched.get("/v1/log/checkpoint?witnessed=1")

    size = size_of(watched, checkpoint)
    assert (201, {"size": size, "new": 1, "witnessed": False}) == (first.status_code, first.json())
    assert (201, {"size": size, "new": 1, "witnessed": True}) == (second.status_code, second.json())
    assert (409, "not-witnessed", None) == problem_of(before)
    assert "60" == before.headers["retry-after"]
    judged = judge(after.content, key=watched.hub.signer.verifier, policy=parse_policy(TWO_OF_THREE.encode()))
    assert (("w0", "w2"), True) == (judged.names, judged.is_enough)
    assert after.content.startswith(checkpoint)


def test_newest_witnessed(watched: Desks) -> None:
    """The newest witnessed checkpoint is older than the newest; more cosignatures on it are served too."""
    first = newest(watched)
    cosign_by(watched, first, 0, 1)
    watched.publish(ISSUER, [READER])
    second = newest(watched)
    cosign_by(watched, second, 0)

    held = watched.get("/v1/log/checkpoint?witnessed=1").content
    cosign_by(watched, second, 1)
    cosign_by(watched, second, 2)
    moved = watched.get("/v1/log/checkpoint?witnessed=1").content

    assert size_of(watched, first) == size_of(watched, held)
    assert (size_of(watched, second), 4) == (size_of(watched, moved), len(note.split_note(moved)[1]))


def test_many_in_one_note(watched: Desks) -> None:
    """A note may carry the lines of several witnesses; strangers among them are left out."""
    answer = post(watched, cosigned(newest(watched), *WITNESSES, STRANGER, time=watched.hub.now()))

    assert (3, True) == (answer.json()["new"], answer.json()["witnessed"])
    assert 4 == len(note.split_note(watched.get("/v1/log/checkpoint?witnessed=1").content)[1])


def test_first_is_kept(watched: Desks) -> None:
    """Of one witness and size the first cosignature stays; the same or another again changes nothing."""
    checkpoint, now = newest(watched), watched.hub.now()
    post(watched, cosigned(checkpoint, WITNESSES[0], time=now - 5))

    again = post(watched, cosigned(checkpoint, WITNESSES[0], time=now))
    cosign_by(watched, checkpoint, 1)

    kept = judge(
        watched.get("/v1/log/checkpoint?witnessed=1").content,
        key=watched.hub.signer.verifier,
        policy=parse_policy(TWO_OF_THREE.encode()),
    )
    assert (200, 0) == (again.status_code, again.json()["new"])
    assert now - 5 == min(each.time for each in kept.cosignatures)


def test_cosigning_makes_no_event(watched: Desks) -> None:
    """Posting, and looking as a witness, add nothing to the log: else witnesses would never come to its end."""
    checkpoint = newest(watched)

    asked(watched, 0)
    cosign_by(watched, checkpoint, 0, 1)

    assert checkpoint == newest(watched)


def test_rows_are_append_only(watched: Desks) -> None:
    """The database itself refuses to change or drop a cosignature."""
    cosign_by(watched, newest(watched), 0)

    for statement in ("UPDATE cosignature SET line = ''", "DELETE FROM cosignature"):
        with pytest.raises(DatabaseError, match="append-only"), watched.hub.store.write() as conn:
            conn.execute(text(statement))


def test_unknown_witness(watched: Desks) -> None:
    """A cosignature by nobody in the policy is refused."""
    answer = post(watched, cosigned(newest(watched), STRANGER, time=watched.hub.now()))

    assert (403, "unknown-witness", None) == problem_of(answer)
    assert (403, "unknown-witness", None) == problem_of(post(watched, newest(watched)))


def test_bad_cosignature(watched: Desks) -> None:
    """A known witness' line over another text is refused, and with it the good one beside it."""
    checkpoint, now = newest(watched), watched.hub.now()
    wrong = cosign(b"another text\n", WITNESSES[1], time=now)

    answer = post(watched, cosigned(checkpoint, WITNESSES[0], time=now, also=[wrong]))

    assert (403, "bad-signature", None) == problem_of(answer)
    assert cosign_by(watched, checkpoint, 0).json()["new"] == 1


def test_cosignature_from_the_future(watched: Desks) -> None:
    """A time that is still to come is refused, beyond what clocks may differ."""
    checkpoint, now = newest(watched), watched.hub.now()

    ahead = post(watched, cosigned(checkpoint, WITNESSES[0], time=now + 200))
    near = post(watched, cosigned(checkpoint, WITNESSES[0], time=now + 100))

    assert (422, "from-the-future", None) == problem_of(ahead)
    assert 201 == near.status_code


def test_size_never_published(watched: Desks) -> None:
    """A checkpoint that this hub did not publish cannot be completed here, whoever signed it."""
    key = watched.hub.signer.verifier
    tree = open_checkpoint(newest(watched), origin=key.name, key=key)
    changes = [
        (tree.origin, tree.size + 1, tree.root),
        (tree.origin, tree.size, bytes(32)),
        ("x", tree.size, tree.root),
    ]

    for change in changes:
        body = format_checkpoint(Checkpoint(*change)).encode()
        made = note.format_note(body, [cosign(body, WITNESSES[0], time=watched.hub.now())])
        assert (404, "not-found", None) == problem_of(post(watched, made))


def test_equivocation_is_reported(watched: Desks, caplog: pytest.LogCaptureFixture) -> None:
    """Another checkpoint of a size signed with the hub's own key makes its operator's log cry out."""
    key = watched.hub.signer.verifier
    tree = open_checkpoint(newest(watched), origin=key.name, key=key)
    forked = format_checkpoint(Checkpoint(tree.origin, tree.size, bytes(32)))

    post(watched, cosigned(note.sign_note(forked, watched.hub.signer._key), WITNESSES[0], time=watched.hub.now()))

    assert ["CRITICAL"] == [each.levelname for each in caplog.records if each.name == "lintas.witnesses"]


@pytest.mark.parametrize("body", [b"", b"\n\n", b"x\n\n", b"x\n\n\xe2\x80\x94 n AAAAAAAA\n", b"\xff" * 99, b"old 3\n"])
def test_no_checkpoint(watched: Desks, body: bytes) -> None:
    """What is no checkpoint with signature lines is refused as malformed."""
    assert (400, "bad-request", None) == problem_of(post(watched, body))


def test_body_limits(watched: Desks) -> None:
    """The body is text of a bounded size, and takes no parameters."""
    too_large = post(watched, b"x" * (BODY_BYTES_MAX + 1))
    other_media = post(watched, b"x", "application/json")
    parameter = watched.http.post(f"{watched.url}/v1/log/cosignatures?size=3", headers={"Content-Type": "text/plain"})

    assert [413, 415, 400] == [each.status_code for each in (too_large, other_media, parameter)]


def test_witnessed_receipt(watched: Desks) -> None:
    """A receipt is had under the first witnessed checkpoint that covers its event, by issuer and recipient alike."""
    line = watched.publish(ISSUER, [READER])
    path = f"/v1/bulletins/{line.id}/receipt?witnessed=1"
    early = watched.get(path, ISSUER)
    watched.publish(ISSUER, [OTHER])
    checkpoint = newest(watched)
    cosign_by(watched, checkpoint, 1, 2)
    watched.publish(ISSUER, [OTHER])
    cosign_by(watched, newest(watched), 1, 2)

    found = [watched.get(path, party) for party in (ISSUER, READER)]

    key, policy = watched.hub.signer.verifier, parse_policy(TWO_OF_THREE.encode())
    assert (409, "not-witnessed", None) == problem_of(early)
    for answer, kind in zip(found, ("bulletin.accepted", "bulletin.released"), strict=True):
        receipt = parse_receipt(answer.content)
        logged = check_receipt(receipt, line_id=line.id, origin=key.name, key=key)
        assert (kind, size_of(watched, checkpoint)) == (logged.event["kind"], logged.size)
        assert judge(receipt.checkpoint, key=key, policy=policy).is_enough


def test_witnessed_receipt_of_what_is_not_ones_own(watched: Desks) -> None:
    """Whoever may not read a bulletin is told nothing about its witnesses either."""
    line = watched.publish(ISSUER, [READER])
    path = f"/v1/bulletins/{line.id}/receipt?witnessed=1"

    unreadable, unknown = watched.get(path, OTHER), watched.get(f"/v1/bulletins/{'A' * 43}/receipt?witnessed=1", OTHER)

    assert (404, "not-found", None) == problem_of(unreadable)
    assert unknown.content == unreadable.content


@pytest.mark.parametrize("value", ["0", "2", "true", "", "1&witnessed=1"])
def test_flag_is_one(watched: Desks, value: str) -> None:
    """The parameter is 1 or left out."""
    assert 400 == watched.get(f"/v1/log/checkpoint?witnessed={value}").status_code


def test_witnesses_are_brought_together(watched: Desks) -> None:
    """Witnesses who look at different times of a growing log are asked to cosign the same checkpoint."""
    sizes = []
    for number in (0, 1, 2):
        watched.publish(ISSUER, [READER])
        size = asked(watched, 0)
        with watched.hub.store.read() as conn:
            checkpoint = log.checkpoint_at(conn, size)
        assert checkpoint is not None
        cosign_by(watched, checkpoint, number)
        sizes.append(size)

    assert sizes[0] == sizes[1]
    # Two are enough, so the third is asked for the newest.
    assert sizes[2] == size_of(watched, newest(watched)) > sizes[0]


def test_a_hasty_witness_is_no_hindrance(watched: Desks) -> None:
    """Of several unfinished checkpoints a witness is asked for the one that most have cosigned, never one behind it."""
    checkpoints = [newest(watched)]
    for _ in range(3):
        watched.publish(ISSUER, [READER])
        checkpoints.append(newest(watched))
    sizes = [size_of(watched, each) for each in checkpoints]
    for each in checkpoints:
        cosign_by(watched, each, 0)

    assert [sizes[3], sizes[3]] == [asked(watched, 0), asked(watched, sizes[2])]
    assert sizes[3] == asked(watched, sizes[3])


def test_the_one_most_have_cosigned(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """Where three must cosign, the last is asked for the one that two have, though one of them has gone on."""
    (tmp_path / "policy").write_text(f"{LINES}group g all w0 w1 w2\nquorum g\n")
    settings = read_settings({}, data=str(few.copy(tmp_path / "hub")), witnesses=str(tmp_path / "policy"))
    hub = open_hub(settings, clock)
    hub.start()
    with served(hub) as url:
        desks = Desks(hub, few.identities.__getitem__, clock, url)
        first = newest(desks)
        cosign_by(desks, first, 0, 1)
        desks.publish(ISSUER, [READER])
        cosign_by(desks, newest(desks), 0)

        size = asked(desks, 0)
        desks.close()
    hub.stop()

    assert size == size_of(desks, first)


def test_one_that_cosigns_everything(watched: Desks) -> None:
    """A witness that cosigns more checkpoints than are looked at does not push the others' common one out of sight."""
    policy = watched.hub.witnesses
    texts = [key.verifier.text() for key in WITNESSES]
    with watched.hub.store.write() as conn:
        cosignatures.add(conn, 7, {texts[0]: "", texts[1]: ""})
        for size in range(8, 10 + cosignatures.SIZES_MAX):
            cosignatures.add(conn, size, {texts[0]: ""})

        found = witnesses.next_size(conn, replace(policy, groups={"all-of-them": Group(3, ("w0", "w1", "w2"))}), 0)

    assert 7 == found


def test_policy(watched: Desks) -> None:
    """The policy is public, names the log, and has neither comments nor addresses."""
    answer = watched.get("/v1/log/policy")

    policy = parse_policy(answer.content)
    assert for_log(policy, watched.hub.signer.verifier).logs == (watched.hub.signer.verifier,)
    assert (["w0", "w1", "w2"], "all-of-them") == (list(policy.witnesses), policy.quorum)


def test_hub_without_witnesses(desks: Desks) -> None:
    """A hub that asks for no witness says so, takes no cosignature and calls nothing witnessed."""
    policy = parse_policy(desks.get("/v1/log/policy").content)
    posted = post(desks, cosigned(newest(desks), WITNESSES[0], time=desks.hub.now()))

    assert (None, {}) == (policy.quorum, dict(policy.witnesses))
    assert (403, "unknown-witness", None) == problem_of(posted)
    assert (409, "not-witnessed", None) == problem_of(desks.get("/v1/log/checkpoint?witnessed=1"))


@pytest.mark.parametrize("content", ["quorum w9\n", None, "log other"])
def test_unsound_policy(few: Template, tmp_path: Path, content: str | None) -> None:
    """A hub does not start with a policy it cannot read, or one for another log; the message names the setting."""
    if content == "log other":
        key = note.SignerKey.from_seed("other.example/log/1", bytes(32))
        content = f"log {key.verifier.text()}\nquorum none\n"
    if content is not None:
        (tmp_path / "policy").write_text(content)
    settings = read_settings({}, data=str(few.copy(tmp_path / "hub")), witnesses=str(tmp_path / "policy"))

    with pytest.raises(BadPolicy, match="LINTAS_WITNESSES"):
        open_hub(settings)


def test_witness_that_left_the_policy(few: Template, tmp_path: Path, clock: ShiftedClock) -> None:
    """Cosignatures of a witness that left the policy are kept but no more served or counted."""
    data, policy = few.copy(tmp_path / "hub"), tmp_path / "policy"
    left = "".join(f"witness w{n} {key.verifier.text()}\n" for n, key in enumerate(WITNESSES) if n)
    answers: list[int] = []
    for content in (TWO_OF_THREE, f"{left}group g 2 w1 w2\nquorum g\n"):
        policy.write_text(content)
        hub = open_hub(read_settings({}, data=str(data), witnesses=str(policy)), clock)
        hub.start()
        with served(hub) as url:
            desks = Desks(hub, few.identities.__getitem__, clock, url)
            if not answers:
                cosign_by(desks, newest(desks), 0, 1)
            answers.append(desks.get("/v1/log/checkpoint?witnessed=1").status_code)
            desks.close()
        hub.stop()

    assert [200, 409] == answers
