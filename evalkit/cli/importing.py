"""What ``import`` and ``init`` say of prompts that were read: their right answers, and what to do next."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

from evalkit.cli.program import program
from evalkit.experiment.files.answers import MOST_WORDS, RightAnswers, right_answers
from evalkit.experiment.files.reading import Read
from evalkit.text.numbers import counted

_TABLES = (".csv", ".tsv", ".parquet")
_OF_AN_EXPERIMENT = re.compile(r"(?m)^endpoints?:")
_MOST_BYTES = 1_000_000


def as_options(told: str, command: str = "") -> str:
    """What is told of a file of prompts, with the options of ``import`` for an experiment's keys.

    Args:
        command: stands before the options where it is another command that has them.
    """
    told = re.sub(r"prompts: \{file: FILE, (user|template|expect): ('.*?'|\".*?\"|NAME)\}", rf"{command}--\1 \2", told)
    return told.replace(": template: '", f": {command}--template '").replace("keep_last: true", f"{command}--keep-last")


def end_of_import(found: Read, file: Path, output: Path) -> list[str]:
    """What to know of prompts that stand in `output` now, a line each."""
    answers = right_answers(found.prompts)
    out = []
    if answers.there:
        out = [f"{_counted(answers)}. To measure whether answers are right:", "  checks: [facts]", "  choose: {prefer: {facts: {goal: maximize}}}"]
    elif answers.tested:
        out = [
            f"{answers.tested:,} {'has' if answers.tested == 1 else 'have'} tests of code. To run them, with 'sweep --run-code':",
            "  checks: [runs]",
        ]
        out.append("  choose: {prefer: {runs: {goal: maximize}}}")
    else:
        out = [f"{_none(file)} ({'--expect COLUMN' if file.suffix.lower() in _TABLES else 'expect: under a prompt'})."]
    out += _too_long(answers)
    if not _beside_an_experiment(output):
        out += ["Next, an experiment that asks them:", f"  {program()} init my-sweep --prompts {shlex.quote(str(output))}"]
    return out


def end_of_init(found: Read, file: Path, experiment: Path, use: str) -> list[str]:
    """What to know of an experiment that was written for the prompts of a `file`, a line each."""
    answers = right_answers(found.prompts)
    out = [f"Wrote {experiment}, which asks {counted(len(found.prompts), 'prompt')} of {file}."]
    if answers.there and not use:
        out.append(
            f"{_counted(answers)}: 'checks: [facts]' measures how much of it an answer holds, and 'choose:' prefers the setting that holds most."
        )
    elif answers.there:
        out.append(f"{_counted(answers)}, which the check 'facts' looks for.")
    else:
        out.append(f"{_none(file)}, so {'facts are not looked for' if use else 'form alone is judged (profile: balanced)'}.")
        if file.suffix.lower() in _TABLES:
            named = f"{program()} import {shlex.quote(str(file))} --expect {shlex.quote(found.missed or 'COLUMN')}"
            out.append(f"  To name one: {named}, and init another folder with --prompts and what that wrote.")
    out += _too_long(answers)
    out.append("As it stands it asks 'local', a model that babbles; write your own under 'endpoint'. Then:")
    return [*out, f"  {program()} sweep {shlex.quote(str(experiment))}"]


def _counted(answers: RightAnswers) -> str:
    missing = answers.prompts - answers.there
    less = f", {missing:,} of {answers.prompts:,} {'has' if missing == 1 else 'have'} none" if missing else ""
    return f"{answers.there:,} {'has' if answers.there == 1 else 'have'} an expected answer{less}"


def _none(file: Path) -> str:
    return "No column holds the right answers" if file.suffix.lower() in _TABLES else "No prompt has an expected answer"


def _too_long(answers: RightAnswers) -> list[str]:
    if not answers.long:
        return []
    have = "has" if answers.long == 1 else "have"
    return [
        f"{answers.long:,} of the expected answers {have} a line of over {MOST_WORDS} words, which few answers repeat as it stands:",
        f"  write down the facts alone, a line each, or let a judge compare ({program()} docs scoring).",
    ]


def _beside_an_experiment(output: Path) -> bool:
    """Whether an experiment stands in the same folder."""
    for path in sorted(output.absolute().parent.glob("*.y*ml")):
        try:
            if path.stat().st_size < _MOST_BYTES and _OF_AN_EXPERIMENT.search(path.read_text(encoding="utf-8", errors="replace")):
                return True
        except OSError:  # one that cannot be read is none that anybody would use
            continue
    return False
