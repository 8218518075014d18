"""Command-line arguments that are ids.

An id is base64url, so one in 64 begins with a hyphen, as an option does.
"""

from __future__ import annotations

import click

from lintas.header import is_id


class IdCommand(click.Command):
    """A command whose last arguments are ids: what has the form of one is an argument, whatever it begins with."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Move ids that begin with a hyphen behind ``--``, unless the caller wrote that already."""
        ids = [] if "--" in args else [arg for arg in args if arg.startswith("-") and is_id(arg)]
        if ids:
            args = [arg for arg in args if arg not in ids] + ["--", *ids]
        return super().parse_args(ctx, args)
