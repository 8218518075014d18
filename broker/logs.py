"""The log of the process: one line an event, on standard error.

It is for the operator's eyes and the operator's other programs, and lies unprotected wherever the machine keeps it. So
it names parts of the hub, routes, statuses, log indexes; never content, agencies, ids, tokens, addresses of readers,
query strings or secrets. The text of an exception may quote what it choked on: of one that is not known to be harmless
only its type and the places in the code are written.
"""

from __future__ import annotations

import json
import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from broker.store.engine import DatabaseFault
from lintas.errors import LintasError

TEXT, JSON = "text", "json"

KIND_MAX = 20
"""Lines of one kind within a second: whoever causes them from outside must not fill the disk."""

PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}
"""What every record has; anything else was given as `extra` and is written as a member of its own."""

OURS = "lintas"
"""The loggers that obey the chosen level."""

HARMLESS = (LintasError, DatabaseFault, OSError)
"""Exceptions whose first line says what happened in words of ours, of the system, or of the database."""


@contextmanager
def logging_to(stream: TextIO, level: str, form: str | None = None) -> Iterator[None]:
    """Log to this stream for a while; without a form as text to a terminal, else JSON."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(Lines(form or (TEXT if stream.isatty() else JSON)))
    handler.addFilter(Throttle())
    wanted = logging.getLevelNamesMapping()[level.upper()]
    root, ours = logging.getLogger(), logging.getLogger(OURS)
    before = root.handlers[:], root.level, ours.level
    root.handlers[:] = [handler]
    # Libraries tell addresses that they call, at `info` already: of them only warnings are heard.
    root.setLevel(max(wanted, logging.WARNING))
    ours.setLevel(wanted)
    try:
        yield
    finally:
        root.handlers[:] = before[0]
        root.setLevel(before[1])
        ours.setLevel(before[2])


class Lines(logging.Formatter):
    """Writes a record as one JSON object, or as words with `name=value` behind; always one line."""

    def __init__(self, form: str) -> None:
        """Take `json` or `text`."""
        super().__init__()
        self._form = form

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its end."""
        members = {name: value for name, value in vars(record).items() if name not in PLAIN}
        if record.exc_info and record.exc_info[1] is not None:
            members["error"] = fault_text(record.exc_info[1])
            members["at"] = places(record.exc_info[1])
        head = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
        }
        if self._form == JSON:
            return json.dumps(head | members, ensure_ascii=True, default=repr)
        words = [head["time"], head["level"].upper(), head["logger"], head["event"]]
        words += [f"{name}={json.dumps(value, default=repr)}" for name, value in members.items()]
        return " ".join(words).replace("\n", "\\n")


def fault_text(fault: BaseException) -> str:
    """Return the type of an exception, and the first line of its text when that can quote nothing from outside."""
    kind = type(fault).__name__
    # A database quotes whole rows from the second line on.
    first = next(iter(str(fault).splitlines()), "") if isinstance(fault, HARMLESS) else ""
    return f"{kind}: {first}" if first else kind


def places(fault: BaseException) -> list[str]:
    """Return where in the code it passed, innermost last, its causes' before; without any value."""
    chain = [fault]
    while (before := chain[-1].__cause__ or chain[-1].__context__) is not None and before not in chain:
        chain.append(before)
    frames = [frame for each in reversed(chain) for frame in traceback.extract_tb(each.__traceback__)]
    return [f"{frame.filename.rpartition('/')[2]}:{frame.lineno} {frame.name}" for frame in frames]


class Throttle(logging.Filter):
    """Lets a number of lines of one kind through each second, and says in the next one how many were left out."""

    def __init__(self) -> None:
        """Begin a second."""
        super().__init__()
        self._second = 0
        self._counts: dict[tuple[str, int, str], int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether to write this one. What is critical always is."""
        if int(record.created) != self._second:
            left_out = sum(max(0, count - KIND_MAX) for count in self._counts.values())
            self._second, self._counts = int(record.created), {}
            if left_out:
                record.left_out = left_out
        # By level too: what somebody outside causes must not hide what is ours.
        kind = (record.name, record.levelno, str(record.msg))
        self._counts[kind] = self._counts.get(kind, 0) + 1
        return record.levelno >= logging.CRITICAL or self._counts[kind] <= KIND_MAX
