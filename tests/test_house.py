"""The house rules that no linter has.

Each test reads the tree as it stands: code, docs, tracked files. What ruff, mypy or import-linter can hold, they hold.
"""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest

from broker.app import build_app
from broker.cli import cli as hub_program
from clients.cli import cli as agency_program
from lintas.errors import BY_CODE
from tests.conftest import ExerciseHub

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("lintas", "broker", "clients")
METHODS = ("get", "post", "put", "patch", "delete")
FILE_LINES_MAX = 400
BODY_LINES_MAX = 40

EDGE = {"__init__", "async_client", "client", "clock", "keys", "memory", "state", "transport"}
"""The modules of lintas that touch clock, disk, network, database or randomness; every other one is in a contract."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def python_files(*folders: str) -> list[Path]:
    """Return the Python files under these folders of the project."""
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def name(path: Path) -> str:
    """Name a file as seen from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[Function]:
    """Yield every function of a file, nested ones and methods too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, Function):
            yield node


def body_lines(function: Function) -> int:
    """Count the lines of a body, its docstring left out."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return body[-1].end_lineno - body[0].lineno + 1 if body and body[-1].end_lineno else 0


def tracked_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of every file that is tracked, or would be with the next commit."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    )
    for file in sorted(set(listing.stdout.split("\0")) - {""}):
        if (ROOT / file).is_file():
            yield file, (ROOT / file).read_text(errors="replace")


def found_in_tracked(pattern: str) -> list[str]:
    """Return `file: match` for everything in the tracked files that matches."""
    return [f"{file}: {hit.group()}" for file, text in tracked_texts() for hit in re.finditer(pattern, text)]


def docs_text() -> str:
    """Return README and every page of the docs as one text."""
    return "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))])


def commands(group: click.Command, path: tuple[str, ...]) -> Iterator[str]:
    """Yield every command of a group as it is typed."""
    if not isinstance(group, click.Group):
        yield " ".join(path)
        return
    for word, command in sorted(group.commands.items()):
        yield from commands(command, (*path, word))


def undocumented(words: Sequence[str], text: str) -> list[str]:
    """Return the words that do not stand in the text as words of their own."""
    return [word for word in words if not re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", text)]


def test_module_has_one_job() -> None:
    """The first line of every module says its job without "and"."""
    first_lines = {
        name(path): (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        for path in python_files(*PACKAGES, "bench", "deploy")
    }

    assert [] == [file for file, line in first_lines.items() if not line or " and " in line]


def test_files_are_short() -> None:
    """No module is longer than 400 lines."""
    lengths = {name(path): len(path.read_text().splitlines()) for path in python_files(*PACKAGES, "bench", "deploy")}

    assert {} == {file: length for file, length in lengths.items() if length > FILE_LINES_MAX}


def test_bodies_are_short() -> None:
    """No function body is longer than 40 lines."""
    lengths = {
        f"{name(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in python_files(*PACKAGES, "bench", "deploy")
        for function in functions(path)
    }

    assert {} == {function: length for function, length in lengths.items() if length > BODY_LINES_MAX}


def test_tests_state_a_fact() -> None:
    """Every test function has a docstring."""
    silent = [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in python_files("tests")
        for function in functions(path)
        if function.name.startswith("test_") and ast.get_docstring(function) is None
    ]

    assert [] == silent


def test_no_leftovers() -> None:
    """No tracked file has a marker of work left to do."""
    # Three X are also the code of no currency, so they count at the start of a comment alone.
    words, crosses = "|".join(("TO" + "DO", "FIX" + "ME")), "X" * 3

    assert [] == found_in_tracked(rf"\b(?:{words})\b|(?:#|//|<!--) *{crosses}\b")


def test_no_registry_host() -> None:
    """No tracked file names the host of a package registry or an index on somebody's disk."""
    hosts = ("py" + "pi.org", "python" + "hosted.org", "registry.npm" + "js", "npm" + "js.org", "crates" + ".io")
    patterns = [re.escape(host) for host in hosts] + ["file:" + "///", r"--(?:extra-)?index" + "-url [a-z]"]

    assert [] == found_in_tracked("|".join(patterns))


def test_locks_name_no_place() -> None:
    """A lock holds names, versions, markers and hashes: no address, no option, no path."""
    allowed = re.compile(r"[a-z0-9-]+==[\w.+!]+( ; [^/]+)? \\|    --hash=sha256:[0-9a-f]{64}( \\)?")
    locks = sorted((ROOT / "requirements").glob("*.txt"))

    strange = [
        f"{name(lock)}: {line}"
        for lock in locks
        for line in lock.read_text().splitlines()
        if not allowed.fullmatch(line)
    ]

    assert (4, []) == (len(locks), strange)


def test_what_runs_is_what_is_checked() -> None:
    """The versions locked for a hub are those locked for the gate."""
    run, dev = (
        set(re.findall(r"^\S+==\S+", (ROOT / f"requirements/{lock}.txt").read_text(), re.MULTILINE))
        for lock in ("run", "dev")
    )

    assert set() == run - dev


def test_locked_requirements_are_the_declared_ones() -> None:
    """`requirements/run.in` lists what pyproject.toml declares, and nothing else."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements/run.in").read_text().splitlines()

    assert sorted(project["dependencies"] + project["optional-dependencies"]["broker"]) == sorted(
        line for line in lines if line and not line.startswith("#")
    )


def test_no_path_of_a_machine() -> None:
    """No tracked file names a folder of the machine it was written on."""
    assert [] == found_in_tracked(r"(?<![\w.-])/(?:work|farm|root|Users|home/\w+)/[\w.-]+")


def test_pure_modules_are_under_contract() -> None:
    """Every module of lintas is at the edge by name or under a contract that keeps it pure."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    held = {
        module
        for contract in contracts
        for module in contract.get("source_modules", [])
        if module.startswith("lintas.") and "time" in contract["forbidden_modules"]
    }
    files = (ROOT / "lintas").iterdir()
    modules = {f"lintas.{path.stem}" for path in files if path.suffix == ".py" or (path / "__init__.py").exists()}

    assert modules == held | {f"lintas.{module}" for module in EDGE}


def test_one_file_commits() -> None:
    """Transactions end in one file of the hub."""
    assert ["broker/store/engine.py"] == [
        name(path) for path in python_files("broker") if ".commit(" in path.read_text()
    ]


def test_one_clock() -> None:
    """The time of day is read in one place."""
    readers = re.compile(r"\btime\.time(?:_ns)?\(|\bdate(?:time)?\.(?:utcnow|now|today)\(")

    assert ["lintas/clock.py"] == [name(path) for path in python_files(*PACKAGES) if readers.search(path.read_text())]


def test_problems_are_documented() -> None:
    """Every problem type that the hub can answer with stands in docs/spec/problems.md."""
    page = (ROOT / "docs/spec/problems.md").read_text()

    assert [] == [code for code in BY_CODE if f"`{code}`" not in page]


def test_settings_are_documented() -> None:
    """Every setting of the hub stands in docs/operate.md."""
    settings = set(re.findall(r"LINTAS_[A-Z_]+", (ROOT / "broker/settings.py").read_text()))

    assert [] == undocumented(sorted(settings), (ROOT / "docs/operate.md").read_text())


def test_agency_settings_are_documented() -> None:
    """Every setting that a program of an agency reads stands in the docs."""
    settings = {word for path in python_files("clients") for word in re.findall(r"LINTAS_[A-Z_]+", path.read_text())}

    assert [] == undocumented(sorted(settings), docs_text())


def test_promises_name_tests_that_exist() -> None:
    """Every test that SECURITY.md names is there."""
    named = re.findall(r"`((?:\w+/)?test_\w+)::(\w+)`", (ROOT / "SECURITY.md").read_text())
    found = {
        (path.relative_to(ROOT / "tests").with_suffix("").as_posix(), function.name.removeprefix("test_"))
        for path in python_files("tests")
        for function in functions(path)
    }

    assert [] == sorted(set(named) - found)
    assert len(named) > 60


@pytest.mark.parametrize(("program", "group"), [("lintas", agency_program), ("lintas-broker", hub_program)])
def test_commands_are_documented(program: str, group: click.Group) -> None:
    """Every command of both programs stands in the docs as it is typed."""
    typed = list(commands(group, (program,)))

    assert [] == undocumented(typed, docs_text())
    assert typed


def test_endpoints_are_documented(exercise_hub: ExerciseHub) -> None:
    """Every operation of the OpenAPI document stands in docs/spec/http.md as method, then path."""
    paths = build_app(exercise_hub.hub).openapi()["paths"]
    page = (ROOT / "docs/spec/http.md").read_text()

    operations = [(method.upper(), path) for path, item in paths.items() for method in item if method in METHODS]
    missing = [
        f"{method} {path}"
        for method, path in operations
        if not re.search(rf"\b{method}\W+{re.escape(path)}(?![\w/{{])", page)
    ]

    assert [] == missing
    assert operations
