"""The command line, read from its own parsers.

Not what ``--help`` prints: its form depends on the width of the terminal and on the version of Python.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docs import api_text
from iot_constructs.cli.main import _parser


def chapter() -> str:
    """Every subcommand with its options."""
    parser = _parser()
    parts = [
        "## Command line",
        *_texts(parser.description),
        f"`{parser.prog} COMMAND --help` shows this:",
    ]
    for command in _commands(parser).values():
        parts += [
            f"### {command.prog}",
            f"```\n{' '.join(_usage(command))}\n```",
            *_texts(command.description),
            api_text.table(("option", "meaning"), _rows(command)),
            *_verbatim(command.epilog),
        ]
    return "\n\n".join(parts)


def _commands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _options(command: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in command._actions if action.dest != "help"]


def _usage(command: argparse.ArgumentParser) -> Iterator[str]:
    yield command.prog
    for action in _options(command):
        shown = _shown(action)
        if action.nargs == "+":
            shown += " ..."
        yield shown if action.required else f"[{shown}]"


def _shown(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else action.dest.upper()
    value = "" if action.nargs == 0 else metavar
    return " ".join(filter(None, [*action.option_strings[-1:], value]))


def _rows(command: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    for action in _options(command):
        text = (action.help or "") % {**vars(action), "prog": command.prog}
        required = " (required)" if action.required else ""
        yield api_text.code(_shown(action)), api_text.cell(text) + required


def _texts(text: str | None) -> list[str]:
    return [api_text.inline(text)] if text else []


def _verbatim(text: str | None) -> list[str]:
    """Columns that a person has lined up."""
    return [f"```\n{text}\n```"] if text else []
