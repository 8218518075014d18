"""The error that a problem document of a hub stands for.

The table of ``lintas.errors`` read backwards. Spec: docs/spec/problems.md; RFC 9457.
"""

from __future__ import annotations

from lintas.errors import BY_CODE, PROBLEM_TYPE_PREFIX, LintasError, Refusal


def from_problem(members: dict[str, object], status: int) -> LintasError:
    """Rebuild the error a problem document stands for; an unknown type becomes a plain `Refusal`."""
    kind = BY_CODE.get(str(members.get("type", "")).removeprefix(PROBLEM_TYPE_PREFIX), Refusal)
    detail = str(members.get("detail") or ("" if kind is not Refusal else f"The hub answered {status}."))
    error = kind(detail, member=None if members.get("member") is None else str(members["member"]))
    own = {"type", "title", "detail", "member", "status"}
    error.extra.update({key: each for key, each in members.items() if key not in own and isinstance(each, str | int)})
    return error
