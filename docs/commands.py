"""Writes ``docs/commands.md`` from what each command's ``--help`` tells, and what ``evalkit --help`` prints: ``python docs/commands.py``."""

from __future__ import annotations

import inspect
import io
import re
from contextlib import redirect_stdout, suppress
from pathlib import Path
from typing import Any

from typer.main import get_command

from evalkit.cli import app


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def _value(one: Any) -> str:
    """How the value of an option is written in ``--help``; nothing for a switch."""
    return "" if getattr(one, "is_flag", False) else f" {one.metavar or one.name.upper()}"


def _told(one: Any) -> str:
    """What an option is for, with its default where its words do not tell it."""
    words = _cell(one.help or "")
    default = one.default() if callable(one.default) else one.default
    if one.required or "[default:" in words or isinstance(default, bool) or default is None or default == [] or default == ():
        return re.sub(r"\[default: (.*)\]$", r"Default: \1.", words)
    if default == "" or (one.name == "confirm" and default == 0):
        return words
    return f"{words} Default: `{default}`."


def _command(name: str, command: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
    usage = " ".join(["evalkit", name, "[OPTIONS]", *(one.metavar if one.required else f"[{one.metavar}]" for one in arguments)])
    parts = [f"## {name}", inspect.cleandoc(command.help or ""), f"```\n{usage}\n```"]
    rows = [f"| `{one.metavar}` | {_told(one)} |" for one in arguments]
    rows += [
        f"| {', '.join(f'`{spelled}{_value(one)}`' for spelled in one.opts)} | {_told(one)}{' May be given several times.' if one.multiple else ''} |"
        for one in options
    ]
    if rows:
        parts.append("\n".join(["| argument, option | meaning |", "|---|---|", *rows]))
    return "\n\n".join(parts)


def front() -> str:
    """The module that holds what ``evalkit --help`` prints, 80 columns wide."""
    root: Any = get_command(app)
    told = io.StringIO()
    with redirect_stdout(told), suppress(SystemExit):
        root.main(["--help"], prog_name="{program}", terminal_width=78)
    return (
        '"""What ``evalkit --help`` prints, ready: to put it together takes longer than all else that it does. Written by ``python docs/commands.py``."""\n\n'
        f'from __future__ import annotations\n\nHELP = """\\\n{told.getvalue()}"""\n"""The text, with the program\'s name to be filled in."""\n'
    )


def text() -> str:
    """The page."""
    root: Any = get_command(app)
    shown = {name: command for name, command in root.commands.items() if not command.hidden}
    parts = [
        "# Commands",
        "This page is written by `python docs/commands.py` from the command line itself; `evalkit COMMAND --help` tells the same.",
        "`evalkit` and `python -m evalkit` are the same command. `evalkit --version` shows the version, and `evalkit --debug COMMAND` where an internal error comes from. "
        "[Exit statuses](statuses.md) are alike for all commands.",
        "| command | what it does |\n|---|---|\n"
        + "\n".join(f"| [`{name}`](#{name}) | {_cell((command.help or '').partition(chr(10) * 2)[0])} |" for name, command in shown.items()),
        *(_command(name, command) for name, command in shown.items()),
    ]
    return "\n\n".join(parts) + "\n"


if __name__ == "__main__":
    (Path(__file__).parent / "commands.md").write_text(text(), encoding="utf-8")
    (Path(__file__).parents[1] / "evalkit" / "cli" / "front.py").write_text(front(), encoding="utf-8")
