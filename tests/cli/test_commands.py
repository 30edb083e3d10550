"""The command line, as a user meets it: messages, exit status, nothing else on the way."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.endpoints import completion, serving
from support.process import ROOT, environment

from evalkit.cli.showing import TABLES
from evalkit.cli.terminal import Report
from evalkit.collect.tally import Tally
from evalkit.experiment import starter
from evalkit.experiment.experiment import Experiment
from evalkit.metrics import checks

Command = Callable[..., subprocess.CompletedProcess[str]]
COMMANDS = ("sweep", "plan", "score", "show", "compare", "serve", "init", "schema")

SMALL = """
name: small
endpoint: {{base_url: "{base_url}", model: babbler}}
prompts: [{{id: slices, user: Explain how slicing works.}}]
parameters: {{temperature: [0, 1.0]}}
request: {{max_tokens: 20}}
replicates: {replicates}
"""


def unwrapped(text: str) -> str:
    """A text as one line."""
    return " ".join(text.split())


def write(folder: Path, text: str, name: str = "x.yaml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def small(folder: Path, base_url: str = "local", replicates: int = 2) -> Path:
    return write(folder, SMALL.format(base_url=base_url, replicates=replicates))


def test_help_names_every_command_and_the_exit_status(evalkit: Command) -> None:
    out = evalkit("--help").stdout
    assert all(f"  {command} " in out for command in COMMANDS)
    assert "130 interrupted" in " ".join(out.split())
    for command in COMMANDS:
        assert evalkit(command, "--help").returncode == 0


def test_help_imports_nothing_heavy() -> None:
    code = """
import sys
sys.argv = ['evalkit', '--help']
try:
    from evalkit.cli import main
    main()
except SystemExit:
    print(*sys.modules)
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(out.splitlines()[-1].split())
    assert "evalkit.cli.front" in loaded
    assert not loaded & {
        "typer",
        "rich",
        "openai",
        "aiohttp",
        "numpy",
        "scipy",
        "duckdb",
        "pydantic",
        "msgspec",
        "regex",
        "uvicorn",
        "starlette",
        "yaml",
    }


@pytest.mark.parametrize("columns", ["100", "70"])
def test_help_tells_the_commands_however_wide_the_terminal(evalkit: Command, columns: str) -> None:
    told = evalkit("--help", env={"COLUMNS": columns}).stdout
    assert "evalkit [OPTIONS] COMMAND [ARGS]..." in told.splitlines()[0]
    assert max(map(len, told.splitlines())) < int(columns)
    for name in COMMANDS:
        assert f"\n  {name} " in told


HEAVY = {"aiohttp", "duckdb", "jinja2", "matplotlib", "numpy", "openai", "pandas", "pydantic", "rich", "scipy", "scipy.stats", "starlette", "typer"}
LOADED: dict[str, tuple[list[str], set[str]]] = {
    "help": (["--help"], set()),
    "version": (["--version"], {"typer"}),
    "plan": (["plan", "small.yaml"], {"typer", "pydantic", "numpy"}),
    "show": (["show", "results/small"], {"typer", "pydantic", "numpy", "rich", "scipy"}),
    "sweep again": (["sweep", "small.yaml"], {"typer", "pydantic", "numpy", "rich", "scipy"}),
    "sweep": (["sweep", "small.yaml", "-o", "results/fresh"], {"typer", "pydantic", "numpy", "rich", "scipy", "scipy.stats", "aiohttp", "duckdb"}),
}


def test_each_command_loads_what_it_needs_and_no_more(evalkit: Command, tmp_path: Path) -> None:
    small(tmp_path).rename(tmp_path / "small.yaml")
    assert evalkit("sweep", "small.yaml").returncode == 0
    for name, (arguments, allowed) in LOADED.items():
        code = f"""
import sys
sys.argv = ['evalkit', *{arguments}]
try:
    from evalkit.cli import main
    main()
except SystemExit:
    pass
print('loaded:', *sys.modules)
"""
        child = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=True)
        loaded = set(child.stdout.rpartition("loaded:")[2].split())
        assert loaded & HEAVY <= allowed, name


def test_a_sweep_shows_one_screen_and_the_rest_is_a_command_away(evalkit: Command, tmp_path: Path) -> None:
    done = evalkit("sweep", small(tmp_path))
    assert done.returncode == 0, done.stderr
    for part in ("4 answers", "4 requests sent", "evalkit show results/small", "Next"):
        assert part in done.stdout
    tables = "".join(evalkit("show", "results/small", table).stdout for table in ("settings", "levels"))
    for part in ("By setting", "By level", "distinct_2"):
        assert part in tables
    assert "Traceback" not in done.stderr
    again = evalkit("sweep", tmp_path / "x.yaml")
    assert "0 requests sent" in again.stdout


def test_no_line_is_wider_than_the_terminal(evalkit: Command) -> None:
    assert evalkit("sweep", ROOT / "experiments/quickstart.yaml", "--limit", "1", "--set", "replicates=2").returncode == 0
    for width in (80, 120):
        shown = evalkit("score", "results/quickstart", env={"COLUMNS": str(width)}).stdout.splitlines()
        assert len(shown) <= 30
        assert max(map(len, shown)) <= width
        for table in TABLES:
            assert max(map(len, evalkit("show", "results/quickstart", table, env={"COLUMNS": str(width)}).stdout.splitlines())) <= width, table


def test_plan_and_dry_run_say_the_same_and_send_nothing(evalkit: Command, tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("x"))) as server:
        path = small(tmp_path, server.url, 300)
        plan, dry = evalkit("plan", path), evalkit("sweep", path, "--dry-run")
        assert not server.seen
    assert plan.stdout == dry.stdout
    assert "2 settings × 1 prompt × 300 replicates = 600 requests" in plan.stdout
    assert "at most 12,120 tokens" in plan.stdout, "of the six anchors too"
    assert not (tmp_path / "results").exists()


def test_the_plan_tells_what_is_recorded_and_what_is_left(evalkit: Command, tmp_path: Path) -> None:
    path = small(tmp_path)
    evalkit("sweep", path)
    more = evalkit("plan", path, "--set", "parameters.temperature=[0,0.5,1.0]").stdout
    assert "= 6 requests" in more
    assert "2 of them still to send; the others stand in results/small/" in more
    assert "what is still to send: at most 40 tokens of answers" in more


def test_the_plan_tells_of_a_key_that_a_sweep_will_need(evalkit: Command) -> None:
    assert "PARADIGM_API_KEY, which is not set" in evalkit("plan", ROOT / "experiments/paradigm.yaml").stdout


def test_the_plan_tells_of_a_command_that_gives_the_key_and_not_of_its_arguments(evalkit: Command) -> None:
    command = "endpoint.api_key_command=[printf, the-key-itself]"
    done = evalkit("plan", ROOT / "experiments/paradigm.yaml", "--set", "endpoint.api_key_env=null", "--set", command)
    assert "a sweep will run printf (api_key_command) for the key" in done.stdout
    assert "the-key-itself" not in done.stdout + done.stderr


def test_the_plan_of_the_quickstart_tells_which_cells_are_merged(evalkit: Command) -> None:
    out = evalkit("plan", ROOT / "experiments/quickstart.yaml").stdout
    assert "56 settings × 10 prompts × 8 replicates = 4,480 requests" in out
    assert "64 combinations of levels, 8 of them merged" in out
    assert "at temperature 0 top_p has no effect" in out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("name: [", "not valid YAML"),
        ("name: x\n\tendpoint: 1", "a tab"),
        ("name: x\nname: y", "twice"),
        ("nmae: x", "nmae: unknown key; did you mean 'name'?"),
        (SMALL.replace("temperature", "temprature").format(base_url="local", replicates=1), "did you mean 'temperature'?"),
        (SMALL.replace("[0, 1.0]", "5").format(base_url="local", replicates=1), "from 0 to 2"),
        (SMALL.replace("[0, 1.0]", "[]").format(base_url="local", replicates=1), "is empty"),
        (SMALL.replace("[0, 1.0]", "true").format(base_url="local", replicates=1), "found true; expected a number"),
        (SMALL.replace("[0, 1.0]", ".nan").format(base_url="local", replicates=1), "found .nan; expected a number"),
        (SMALL.format(base_url="${NOT_SET_ANYWHERE}", replicates=1), "NOT_SET_ANYWHERE is not set"),
        (SMALL.format(base_url="local", replicates='"many"'), "found 'many'; expected a whole number"),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_2(evalkit: Command, tmp_path: Path, text: str | None, message: str) -> None:
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    done = evalkit("sweep", path)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"error: {path}: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "results").exists()


def test_an_unwritable_results_folder_is_told(evalkit: Command, tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file stands here")
    done = evalkit("sweep", small(tmp_path))
    assert done.returncode == 2
    assert "results/small: the results folder cannot be made" in done.stderr
    assert "-o" in done.stderr


def test_a_missing_run_is_told(evalkit: Command) -> None:
    done = evalkit("score", "results/nothing")
    assert done.returncode == 2
    assert "results/nothing: no such results folder" in done.stderr


def test_an_incomplete_sweep_exits_3_and_says_what_to_do(evalkit: Command, tmp_path: Path) -> None:
    def answer(request: object) -> tuple[int, dict[str, str], bytes]:
        good = request.body.get("temperature", 0) == 0 or request.body["max_tokens"] == 16
        return (200, {}, completion("fine")) if good else (503, {"retry-after-ms": "1"}, b"")

    with serving(answer) as server:
        done = evalkit("sweep", small(tmp_path, server.url))
    assert done.returncode == 3
    assert "2 requests failed (server: 2); run the sweep again to retry them" in unwrapped(done.stdout)


def test_an_unusable_endpoint_exits_2(evalkit: Command, tmp_path: Path) -> None:
    with serving(lambda _: (404, {}, b'{"error": {"message": "The model `babbler` does not exist"}}')) as server:
        done = evalkit("sweep", small(tmp_path, server.url))
    assert done.returncode == 2
    assert "error: the endpoint knows no such model or address (HTTP 404): The model `babbler` does not exist" in done.stderr


def test_progress_without_a_terminal_is_plain_lines(evalkit: Command, tmp_path: Path) -> None:
    done = evalkit("sweep", small(tmp_path))
    assert "4 of 4 requests" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout


def test_progress_goes_on_while_nothing_arrives_and_tells_why(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Report, "EVERY_S", 0.0)
    report, tally = Report(quiet=False), Tally(10, completed=4)
    report(tally)
    tally.paused = "paused: the endpoint is down (server: HTTP 503)"
    report(tally)
    tally.paused, tally.held_until = "", time.monotonic() + 300
    report(tally)
    told = capsys.readouterr().err.splitlines()
    assert told[0].startswith("4 of 10 requests, ")
    assert told[1].startswith("4 of 10 requests, paused: the endpoint is down (server: HTTP 503)")
    assert "waits 5 min as the endpoint asks" in told[2]


def test_why_a_sweep_stopped_is_told_also_where_it_is_quiet(evalkit: Command, tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("fine"))) as server:
        path = small(tmp_path, server.url, 50)
        done = evalkit("sweep", path, "-q", "--max-requests", 30)
        assert len(server.seen) == 30
    assert done.returncode == 3
    assert done.stderr.splitlines()[0] == "stopped: the 30 requests of --max-requests are used up"
    assert "30 of 100 answers" in done.stdout
    assert "70 planned requests have no outcome yet; run the sweep again" in unwrapped(done.stdout)


def _on_a_terminal(arguments: list[str], cwd: Path, answer: bytes) -> tuple[int, str]:
    """Run with a terminal for input and output, type `answer` once asked."""
    leader, follower = pty.openpty()
    command = [sys.executable, "-m", "evalkit", *arguments]
    child = subprocess.Popen(command, cwd=cwd, env=environment({"TERM": "xterm"}), stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    seen, typed, deadline = b"", False, time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([leader], [], [], 0.2)[0]:
            continue
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        seen += piece
        if b"requests to" in seen and not typed:
            typed = True
            os.write(leader, answer)
    os.close(leader)
    return child.wait(30), seen.decode("utf-8", "replace")


def test_many_requests_to_another_endpoint_are_asked_about_on_a_terminal(tmp_path: Path) -> None:
    with serving(lambda _: (200, {}, completion("x"))) as server:
        path = str(small(tmp_path, server.url, 101))
        status, said = _on_a_terminal(["sweep", path], tmp_path, b"n\n")
        assert (status, len(server.seen)) == (3, 0)  # not even a look before it
        assert "Send 202 requests" in said
        assert "nothing was sent" in said
        status, _ = _on_a_terminal(["sweep", path], tmp_path, b"y\n")
        assert (status, len(server.seen)) == (0, 202)
        status, said = _on_a_terminal(["sweep", path, "--fresh", "--yes"], tmp_path, b"")
        assert (status, len(server.seen)) == (0, 404)


def test_a_plan_after_a_start_that_failed_says_that_all_is_left(evalkit: Command, tmp_path: Path) -> None:
    refused = json.dumps({"error": {"message": "no such key"}}).encode()
    with serving(lambda _: (401, {}, refused)) as server:
        path = small(tmp_path, server.url)
        begun = evalkit("sweep", path, "--no-look")
        assert "key" in begun.stderr
        assert (tmp_path / "results/small/run.json").exists()
        told = evalkit("plan", path).stdout
    assert "\nall of them still to send\n" in told
    assert "others stand" not in told


def test_init_writes_an_experiment_that_runs_and_never_overwrites(evalkit: Command, tmp_path: Path) -> None:
    done = evalkit("init", "mine")
    assert done.returncode == 0
    assert "  python -m evalkit sweep mine/experiment.yaml\n" in done.stdout  # as it was called
    ran = evalkit("sweep", "mine/experiment.yaml", "--limit", "1")
    assert ran.returncode == 0, ran.stderr
    before = (tmp_path / "mine/experiment.yaml").read_bytes()
    twice = evalkit("init", "mine")
    assert twice.returncode == 2
    assert "stands there already" in twice.stderr
    assert (tmp_path / "mine/experiment.yaml").read_bytes() == before


def test_each_use_case_has_twelve_prompts_and_judges_what_is_right(evalkit: Command, tmp_path: Path) -> None:
    for use in starter.USES:
        path = starter.write(tmp_path / use, use)
        found = Experiment.load(path)
        assert found.name == use
        assert len(found.prompts) == 12
        assert all(prompt.expect for prompt in found.prompts)
        names = set(checks.names(found.checks, expects=True))
        assert names & (found.choose.prefer.keys() | found.choose.require.keys())
        assert found.warnings() == []
    told = evalkit("init", "mine", "--for", "supprt")
    assert (told.returncode, told.stderr) == (2, "error: use case: found 'supprt'; unknown use case; did you mean 'support'?\n")
    ran = evalkit("sweep", "code/experiment.yaml", "--limit", "1", "--set", "replicates=2", "--set", "request.max_tokens=20")
    assert ran.returncode == 0, ran.stderr
    assert "Only form was judged" not in ran.stdout


def test_schema_prints_the_schema_that_the_examples_name(evalkit: Command) -> None:
    printed = json.loads(evalkit("schema").stdout)
    assert printed == json.loads((ROOT / "experiments/experiment.schema.json").read_text())


def test_model_text_is_shown_in_the_terminal_never_obeyed(evalkit: Command, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[2J[red]bold[/red]\u202egnp.exe"
    with serving(lambda _: (400, {}, json.dumps({"error": {"message": hostile}}).encode())) as server:
        done = evalkit("sweep", small(tmp_path, server.url))
    assert done.returncode == 2
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stderr + done.stdout)
    assert "[red]bold[/red]" in done.stderr


def test_version(evalkit: Command) -> None:
    from evalkit import __version__

    assert evalkit("--version").stdout == f"evalkit {__version__}\n"


# Decisions


def test_plan_power_foretells_from_given_variances_and_says_what_it_lacks(evalkit):
    evalkit("init", "mine")
    done = evalkit("plan", "mine/experiment.yaml", "--power", "--variance", "rep_2=0.001,0.004", "--effect", "rep_2=0.05")
    assert done.returncode == 0, done.stderr
    assert "rep_2" in done.stdout
    assert "a difference of 0.05 takes prompts × replicates" in done.stdout
    typical = evalkit("plan", "mine/experiment.yaml", "--power")
    assert typical.returncode == 0, typical.stderr
    assert "if yours vary as typical ones do" in typical.stdout
    assert "distinct_2" in typical.stdout
    assert "A pilot tells how yours vary: sweep with --limit 5" in typical.stdout
    assert max(map(len, typical.stdout.splitlines())) <= 100
    lacking = evalkit("plan", "mine/experiment.yaml", "--power", "--pilot", "nowhere")
    assert lacking.returncode == 2
    assert "no such run; sweep a pilot" in lacking.stderr
    wrong = evalkit("plan", "mine/experiment.yaml", "--variance", "rep2=1,1")
    assert wrong.returncode == 2
    assert "did you mean 'rep_2'?" in wrong.stderr


def test_a_sweep_recommends_confirms_and_foretells(evalkit, tmp_path):
    evalkit("init", "mine")
    chosen = ["--set", "choose.profile=creative", "--set", "replicates=2", "--set", "parameters={temperature: [0.5, 1], presence_penalty: [0, 1]}"]
    done = evalkit("sweep", "mine/experiment.yaml", *chosen, "--limit", "5", "-o", "run", "--confirm", "2")
    assert done.returncode == 0, done.stderr
    shown = evalkit("show", "run", "effects").stdout + evalkit("show", "run", "choice").stdout
    for word in ("What each parameter does", "In short", "Recommendation for creative"):
        assert word in shown
    found = json.loads((tmp_path / "run/choice.json").read_text(encoding="utf-8"))
    assert (tmp_path / "run/recommended.yaml").exists() == (found["chosen"] is not None)
    assert bool(found["confirmed"]) == (found["chosen"] is not None)
    power = evalkit("plan", "mine/experiment.yaml", "--pilot", "run")
    assert power.returncode == 0, power.stderr
    assert "length_tokens" in power.stdout
    own = [
        "--set",
        'checks=[{regex: "[aeiou]{3}"}]',
        "--set",
        "choose={prefer: {rep_2: {goal: minimize}, regex: {goal: minimize}, cost: {goal: minimize}}}",
    ]
    decisive = evalkit("plan", "mine/experiment.yaml", "--pilot", "run", *own).stdout
    assert [line.split()[0] for line in decisive.splitlines()[1:4]] == ["rep_2", "regex", "length_tokens"], "what decides comes first"
    assert "cost decides too; this pilot does not tell how it varies." in decisive
    unforeseen = evalkit("plan", "mine/experiment.yaml", "--power", *own).stdout
    assert "regex and cost decide here: how that varies only a pilot tells." in unforeseen
    one_at_a_time = evalkit("plan", "mine/experiment.yaml", "--set", "design=one_at_a_time")
    assert "beware: one parameter is changed at a time" in one_at_a_time.stdout
