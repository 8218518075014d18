"""The commands of a witness, run as an agency runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from broker import exercise
from clients.cli import cli
from clients.settings import read_policy
from lintas import note
from lintas.checkpoint import Checkpoint, format_checkpoint
from lintas.errors import BadPolicy, BadSettings, InconsistentLog, NotWitnessed
from lintas.log_keys import LogKeys
from lintas.note import ALGORITHM_COSIGNATURE, parse_signer_key
from tests.conftest import ExerciseHub, ShiftedClock
from tests.databases import spoil
from tests.witnesses import STRANGER, TWO_OF_THREE, WITNESSES, publish, serve

Run = Callable[..., Result]

PARTY = "my-police"


@pytest.fixture
def hub(exercise_data: Path, clock: ShiftedClock) -> Iterator[ExerciseHub]:
    """A hub that asks two of three witnesses."""
    with serve(exercise_data, clock) as found:
        yield found


@pytest.fixture
def run(hub: ExerciseHub, tmp_path: Path) -> Run:
    """Run `lintas` as an agency; a fault is raised as it is."""

    def invoke(*words: str | Path, **environ: str) -> Result:
        given = {
            "LINTAS_HUB": hub.url,
            "LINTAS_IDENTITY": str(exercise.identity_path(hub.data, PARTY)),
            "LINTAS_PASSPHRASE_FILE": str(hub.data / "passphrase"),
        }
        result = CliRunner(env=given | environ).invoke(cli, [str(word) for word in words], standalone_mode=False)
        if result.exception is not None:
            raise result.exception
        return result

    return invoke


def add_key(path: Path, number: int, run: Run) -> Path:
    """Make a witness with one of the keys that the hub knows."""
    run("witness", "--init", path)
    path.write_text(WITNESSES[number].text() + "\n")
    return path


def test_init(hub: ExerciseHub, run: Run, tmp_path: Path) -> None:
    """A new witness has a private key file, an empty memory beside it, and a line for the policy."""
    made = run("witness", "--init", tmp_path / "w.key")

    key = parse_signer_key((tmp_path / "w.key").read_text().strip(), ALGORITHM_COSIGNATURE)
    assert f"witness {PARTY} {key.verifier.text()}\n" in made.output
    assert f"{hub.hub.name}/witness/{PARTY}" == key.name
    assert (0o600, True) == ((tmp_path / "w.key").stat().st_mode & 0o777, (tmp_path / "w.key.state").exists())


def test_init_never_overwrites(run: Run, tmp_path: Path) -> None:
    """Neither key nor memory of a witness is made anew over an old one."""
    run("witness", "--init", tmp_path / "w.key")
    before = (tmp_path / "w.key").read_bytes()

    with pytest.raises(Exception, match="never overwritten"):
        run("witness", "--init", tmp_path / "w.key")
    (tmp_path / "w.key").unlink()
    with pytest.raises(Exception, match="never overwritten"):
        run("witness", "--init", tmp_path / "w.key")

    assert before


def test_once(hub: ExerciseHub, run: Run, tmp_path: Path) -> None:
    """A look cosigns what is new and says so; a second one finds nothing new."""
    key = add_key(tmp_path / "w.key", 0, run)
    size = hub.get("/readyz").json()["size"]

    first, second = run("witness", "--key", key, "--once"), run("witness", "--key", key, "--once")

    assert [f"{size}  cosigned\n", f"{size}  nothing new\n"] == [first.output, second.output]


@pytest.mark.parametrize("words", [(), ("--init", "a", "--key", "b")])
def test_usage(run: Run, words: tuple[str, ...]) -> None:
    """A witness is either made or run."""
    with pytest.raises(Exception, match="either"):
        run("witness", *words)


def test_memory_is_gone(run: Run, tmp_path: Path) -> None:
    """Without its memory a witness does not cosign: to it, any fork would be consistent."""
    key = add_key(tmp_path / "w.key", 0, run)
    (tmp_path / "w.key.state").unlink()

    with pytest.raises(BadSettings, match="memory"):
        run("witness", "--key", key, "--once")


def test_key_that_others_can_read(run: Run, tmp_path: Path) -> None:
    """A key file open to others is refused."""
    key = add_key(tmp_path / "w.key", 0, run)
    key.chmod(0o644)

    with pytest.raises(BadSettings, match="chmod"):
        run("witness", "--key", key, "--once")


def test_fork(hub: ExerciseHub, run: Run, tmp_path: Path) -> None:
    """At a fork the witness stops with evidence in a folder, the same folder each time, which judges as proven."""
    key = add_key(tmp_path / "w.key", 0, run)
    run("witness", "--key", key, "--once")
    signer = hub.hub.signer._key
    size = hub.get("/readyz").json()["size"]
    forked = note.sign_note(format_checkpoint(Checkpoint(signer.name, size, bytes(32))), signer)
    with hub.hub.store.write() as conn:
        spoil(conn, "UPDATE checkpoint SET note = :note WHERE size = :size", note=forked, size=size)

    for _ in range(2):
        with pytest.raises(InconsistentLog):
            run("witness", "--key", key, "--evidence", tmp_path / "found")

    (folder,) = (tmp_path / "found").iterdir()
    verdict = run("evidence", folder, "--log-key", signer.verifier.text())
    assert verdict.output.startswith("proven: The log signed two roots for one size")


def test_export_of_nothing(run: Run, tmp_path: Path) -> None:
    """A client that has no evidence writes none."""
    assert "no evidence" in run("evidence", tmp_path / "mine", "--export").output
    assert not (tmp_path / "mine").exists()


def test_export(hub: ExerciseHub, run: Run, tmp_path: Path) -> None:
    """What a client kept when it raised an alarm is written into files."""
    state = hub.client(PARTY).session.state
    beside = exercise.identity_path(hub.data, PARTY).with_suffix(".state")
    run("token")
    checkpoint = hub.get("/v1/log/checkpoint").content
    memory = type(state)(beside, log_key=hub.hub.signer.verifier.text())
    for name in ("known", "shown", "proof"):
        memory.put(f"conflict.{name}", checkpoint)
    memory.close()

    run("evidence", tmp_path / "mine", "--export")

    (folder,) = (tmp_path / "mine").iterdir()
    assert checkpoint == (folder / "known.checkpoint").read_bytes()


def test_verify(hub: ExerciseHub, run: Run, tmp_path: Path) -> None:
    """A receipt verifies as logged, as cosigned by too few, as witnessed, by the policy beside the identity."""
    line_id, line, proof = publish(hub), tmp_path / "a.line", tmp_path / "a.tlog-proof"
    sent = hub.client(PARTY).session.state.outgoing("sent")
    line.write_bytes(next(each.line for each in sent if each.id == line_id))
    run("keys")
    words = ("verify", line, "--receipt", proof)
    said = []
    for number in (None, 0, 1):
        if number is not None:
            run("witness", "--key", add_key(tmp_path / f"{number}.key", number, run), "--once")
        if number == 0:
            exercise.identity_path(hub.data, PARTY).with_suffix(".policy").write_text(TWO_OF_THREE)
        witnessed = ("--witnessed",) if number == 1 else ()
        run("receipt", line_id, "--out", proof, *witnessed)
        said.append(run(*words, *witnessed).output.splitlines()[-1])
    run("receipt", line_id, "--out", proof)

    assert [
        "logged",
        "logged; cosigned by 0 of 3 (policy), which is not enough",
        "witnessed by 2 of 3 (policy): w0, w1",
    ] == [each.removeprefix("standing  ") for each in said]
    with pytest.raises(NotWitnessed, match="0 of 3"):
        run(*words, "--witnessed")


def test_witnessed_without_a_policy(hub: ExerciseHub, run: Run) -> None:
    """Who asks for witnesses has to say whose word counts."""
    with pytest.raises(BadSettings, match="LINTAS_POLICY"):
        run("receipt", "A" * 43, "--witnessed")


def test_policy_file(tmp_path: Path) -> None:
    """The policy is the file named, else the one beside the identity; one that cannot be read is an error."""
    key = LogKeys.of(note.SignerKey.from_seed("hub.example/log/1", bytes(32)).verifier)
    given = {"LINTAS_IDENTITY": str(tmp_path / "me.json")}
    assert read_policy(key, given) is None

    (tmp_path / "me.policy").write_text(TWO_OF_THREE)
    (tmp_path / "other").write_text(f"witness w {STRANGER.verifier.text()}\nquorum w\n")
    beside, named = read_policy(key, given), read_policy(key, given | {"LINTAS_POLICY": str(tmp_path / "other")})

    assert beside is not None
    assert named is not None
    assert (3, 1) == (len(beside.witnesses), len(named.witnesses))
    for content in ("quorum w\n", f"log {WITNESSES[0].verifier.text()}\nquorum none\n"):
        (tmp_path / "other").write_text(content)
        with pytest.raises(BadPolicy, match="LINTAS_POLICY"):
            read_policy(key, given | {"LINTAS_POLICY": str(tmp_path / "other")})
    with pytest.raises(BadPolicy, match="cannot be read"):
        read_policy(key, given | {"LINTAS_POLICY": str(tmp_path / "absent")})
