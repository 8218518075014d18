"""What the signing commands refuse before they open an identity."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from clients.cli import cli
from clients.workflow import in_order

LINE_ID = "A" * 43
HYPHEN_ID = "-h" + "A" * 41


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("recall", LINE_ID, "--reason", "other", "--indicator", "lotus"), "is not TYPE:VALUE"),
        (("give-feedback", LINE_ID, "--result", "actioned", "--count", "medals=1"), "is not one of arrests"),
        (("give-feedback", LINE_ID, "--result", "actioned", "--count", "arrests"), "is not one of arrests"),
        (("give-feedback", LINE_ID, "--result", "actioned", "--count", "arrests=-1"), "is not one of arrests"),
        (("give-feedback", LINE_ID, "--result", "actioned", "--count", "blocks=1", "--count", "blocks=2"), "once"),
        (("recall", LINE_ID, "--reason", "boredom"), "Invalid value"),
        (("answer", LINE_ID), "Missing option"),
        (("ask", "--to", "sg-fiu"), "Missing option"),
        (("ask-consent", LINE_ID, "--permission", "pass-on", "--purpose", "audit"), "Missing option"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str) -> None:
    """A value that cannot be is refused as wrong usage, with what was expected."""
    result = CliRunner().invoke(cli, arguments)

    assert 2 == result.exit_code
    assert said in result.output


@pytest.mark.parametrize("given", [(LINE_ID, "text"), ("text", LINE_ID)])
def test_text_is_not_taken_for_an_id(given: tuple[str, str]) -> None:
    """A comment finds its bulletin although an id that begins with a hyphen comes behind the text."""
    assert (LINE_ID, "text") == in_order(*given)


def test_comment_that_is_an_id() -> None:
    """A comment may be an id itself."""
    assert (LINE_ID, HYPHEN_ID) == in_order(LINE_ID, HYPHEN_ID)
