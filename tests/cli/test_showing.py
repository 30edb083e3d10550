"""``show`` and ``--json``: each table whole, the same for programs, and one clear message for what there is not."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.endpoints import completion, serving
from support.process import Commands, environment

from evalkit.cli.showing import TABLES
from evalkit.probe import Probe
from evalkit.summary import Summary
from evalkit.sweeping.outlook import Planned

Command = Callable[..., subprocess.CompletedProcess[str]]

EXPERIMENT: dict[str, Any] = {
    "name": "shown",
    "endpoint": {"base_url": "local", "model": "babbler"},
    "prompts": [{"id": f"p{number}", "user": f"Tell me of {word}."} for number, word in enumerate(("slices", "scopes", "files"))],
    "parameters": {"temperature": [0, 1.0], "max_tokens": [12, 30]},
    "replicates": 2,
    "choose": {"profile": "balanced"},
}


@pytest.fixture(scope="module")
def swept(commands: Commands, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an experiment and its run."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "x.yaml").write_text(json.dumps(EXPERIMENT))
    done = commands(["sweep", "x.yaml"], folder, environment())
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def run(swept: Path, tmp_path: Path) -> str:
    shutil.copytree(swept, tmp_path, dirs_exist_ok=True)
    return "results/shown"


def test_each_table_is_shown_whole_and_as_json(evalkit: Command, run: str) -> None:
    for table in TABLES:
        done = evalkit("show", run, table)
        assert done.returncode == 0, (table, done.stderr)
        assert done.stdout.strip(), table
        assert done.stderr == "", table
        read = json.loads(evalkit("show", run, table, "--json", "-").stdout)
        assert read or table == "failures"
    settings = json.loads(evalkit("show", run, "settings", "--metric", "length_words", "--json", "-").stdout)
    assert len(settings) == 4
    assert {row["metric"] for row in settings} == {"length_words"}
    assert all(row["setting"].keys() == {"temperature", "max_tokens"} for row in settings)


def test_settings_are_sorted_and_counted_as_asked(evalkit: Command, run: str) -> None:
    whole = json.loads(evalkit("show", run, "settings", "--metric", "length_words", "--json", "-").stdout)
    best = evalkit("show", run, "settings", "--metric", "truncation_rate", "--sort", "truncation_rate", "--top", "1").stdout
    lines = best.splitlines()
    assert lines[next(at for at, line in enumerate(lines) if line.startswith("──")) + 2].startswith("▲")  # one row, then the legend
    assert f"{len(whole) - 1} more settings" in best


def test_answers_to_a_prompt_of_a_setting(evalkit: Command, run: str) -> None:
    done = evalkit("show", run, "answers", "--prompt", "p2", "--cell", "temperature=0,max_tokens=12", "--top", "1")
    assert "Tell me of files." in done.stdout
    assert done.stdout.count("#1 ·") == 1
    assert "#2 ·" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("setings",), "unknown table; did you mean 'settings'?"),
        (("pictures",), "unknown table; expected one of answers, choice, effects, failures, levels, metrics, notes, ratings, settings"),
        (("settings", "--metric", "length_word"), "unknown metric; did you mean 'length_words'?"),
        (("settings", "--sort", "lenght_words"), "unknown metric; did you mean 'length_words'?"),
        (("answers", "--prompt", "p9"), "unknown prompt; did you mean 'p"),
        (("answers", "--cell", "99"), "no setting 99; expected numbers below"),
        (("answers", "--cell", "temperature=3"), "temperature=3"),
    ],
)
def test_what_there_is_not_is_told_in_one_line(evalkit: Command, run: str, arguments: tuple[str, ...], told: str) -> None:
    done = evalkit("show", run, *arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_is_no_run_and_a_run_of_another_version(evalkit: Command, run: str, tmp_path: Path) -> None:
    assert "no-such" in evalkit("show", "no-such").stderr
    (tmp_path / run / "analysis.json").write_text('{"v": 1}')
    done = evalkit("show", run)
    assert done.returncode == 2
    assert f"make it again with: evalkit score {run}" in done.stderr


def test_the_screen_fits_whatever_the_terminal(evalkit: Command, run: str) -> None:
    for columns in (40, 80, 120):
        lines = evalkit("show", run, env={"COLUMNS": str(columns)}).stdout.splitlines()
        assert max(map(len, lines)) <= columns
        assert columns == 40 or len(lines) <= 30
    plain = evalkit("show", run, env={"PYTHONIOENCODING": "ascii"})
    assert plain.returncode == 0
    assert plain.stdout.isascii()
    assert "\x1b" not in plain.stdout


def test_the_json_of_each_command_is_what_its_type_says(evalkit: Command, run: str, tmp_path: Path) -> None:
    again = evalkit("sweep", "x.yaml", "--json", "-")
    found = msgspec.json.decode(again.stdout.encode(), type=Summary)
    assert found.answers == found.planned == found.settings * 6
    assert found.sent == 0
    assert evalkit("score", run, "--json", "score.json").returncode == 0
    assert msgspec.json.decode((tmp_path / "score.json").read_bytes(), type=Summary).rows == found.rows
    planned = msgspec.json.decode(evalkit("plan", "x.yaml", "--set", "replicates=3", "--json", "-").stdout.encode(), type=Planned)
    assert planned.requests == found.settings * 9
    assert planned.asked[0].requests == found.settings * 3
    with serving(lambda _: (200, {}, completion("x"))) as server:
        probed = evalkit("probe", "--base-url", server.url, "--model", "tiny", "--calls", "20", "--json", "-")
    assert msgspec.json.decode(probed.stdout.encode(), type=Probe).model == "tiny"
