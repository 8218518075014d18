"""The saved verify.html, made of the same modules that the console serves.

One file without anything to fetch: style and script stand in it, and its own policy names them by their digests and
allows nothing else, no request among it. Whoever has this package makes it without any hub:

    python -m broker.web.console.offline > verify.html
"""

from __future__ import annotations

import hashlib
import re
import sys
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

SCRIPTS = ("verify.js", "report.js", "offline.js")
"""In the order in which each uses those before it; the names at the top of a module are unique over all of them."""

STYLES = ("console.css", "verify.css")

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./[a-z]+\.js";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export \{[^}]*\};\n|^export (?=async|class|const|function)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Verifier:
    """The file with its digest, for comparing two copies."""

    data: bytes
    sha256: str


@cache
def read() -> Verifier:
    """Make the file; the same bytes each time."""
    script = "\n" + "\n".join(_EXPORT.sub("", _IMPORT.sub("", _static(name))) for name in SCRIPTS)
    style = "\n" + "\n".join(map(_static, STYLES))
    parts = {"policy": _policy(script, style), "style": style, "script": script}
    page = files("broker.web.console").joinpath("templates/verify.html").read_text("utf-8")
    data = re.sub(r"<!--(policy|style|script)-->", lambda found: parts[found[1]], page).encode()
    return Verifier(data, hashlib.sha256(data).hexdigest())


def _policy(script: str, style: str) -> str:
    return (
        f"default-src 'none'; script-src {_digest(script)}; style-src {_digest(style)}; base-uri 'none'; "
        "form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _digest(text: str) -> str:
    return f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _static(name: str) -> str:
    return files("broker.web.console").joinpath("static", name).read_text("utf-8")


if __name__ == "__main__":
    sys.stdout.buffer.write(read().data)
