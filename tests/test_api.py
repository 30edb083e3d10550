"""What `import evalkit` offers: its names, sweeping beside a loop, interrupting, reading back, and that its types hold for a user's file."""

from __future__ import annotations

import asyncio
import doctest
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from support.comparing import repetitive, varied
from support.comparing import run as recorded
from support.endpoints import Answer, completion, serving
from support.hostile import HOSTILE
from support.process import ROOT, environment
from support.reports import hostile

import evalkit as ek
from evalkit.present.notebook.cards import Html

NAMES = {
    *("Analysis", "AuthError", "Budget", "Choice", "Comparison", "EndpointError", "EvalkitError", "Experiment", "ExperimentError"),
    *("MissingExtraError", "Prompt", "PromptError", "RecordError", "Run", "__version__"),
    *("asweep", "compare", "export", "load", "metrics", "plots", "rescore", "sweep", "write_report"),
}
DOCUMENTED = (
    "evalkit.experiment.experiment",
    "evalkit.run",
    "evalkit.api",
    "evalkit.metrics.engine",
    "evalkit.comparison.comparison",
    "evalkit.choice.choice",
)


def built(url: str, **more: Any) -> ek.Experiment:
    fields: dict[str, Any] = {
        "name": "asked",
        "endpoint": {"base_url": url, "model": "tiny", "concurrency": 4},
        "prompts": [{"id": f"p{number}", "user": f"Question {number}?"} for number in range(4)],
        "parameters": {"temperature": [0.2, 1.0]},
        "replicates": 3,
    }
    return ek.Experiment.build(**(fields | more))


def answers(asked: Any) -> Answer:
    return Answer(body=completion(f"answer {asked.number} of many words that are not all the same as the last one was"))


def answers_slowly(asked: Any) -> Answer:
    return Answer(body=completion(f"answer {asked.number}"), delay_s=0.0 if asked.number < 12 else 0.3)


def test_the_public_names_are_these() -> None:
    assert sorted(ek.__all__) == sorted(NAMES)
    for name in ek.__all__:
        assert getattr(ek, name) is not None
    assert set(dir(ek)) >= NAMES
    with pytest.raises(AttributeError, match="no attribute 'swep'"):
        ek.swep  # noqa: B018


def test_the_import_alone_loads_nothing_heavy() -> None:
    code = "import sys, evalkit; print([name for name in ('numpy', 'pydantic', 'pandas', 'matplotlib', 'openai', 'scipy') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment())
    assert done.stdout.strip() == "[]"


def test_a_sweep_works_where_no_loop_runs_and_inside_one(tmp_path: Path) -> None:
    with serving(answers) as endpoint:
        alone = ek.sweep(built(endpoint.url), tmp_path / "alone", quiet=True)

        async def cell() -> ek.Run:
            return ek.sweep(built(endpoint.url), tmp_path / "inside", quiet=True)

        inside = asyncio.run(cell())
        again = ek.sweep(built(endpoint.url), str(tmp_path / "inside"), quiet=True)
    assert alone.complete
    assert inside.complete
    assert len(inside.responses()) == 24
    assert again.sent is not None
    assert again.sent.planned == 0


def test_an_error_inside_a_loop_is_the_same_as_outside(tmp_path: Path) -> None:
    async def cell() -> None:
        ek.sweep(built("http://127.0.0.1:9/v1"), tmp_path / "run", quiet=True, patience_s=0)

    with pytest.raises(ek.EndpointError):
        asyncio.run(cell())


def test_other_tasks_go_on_beside_asweep(tmp_path: Path) -> None:
    async def beside() -> tuple[ek.Run, int]:
        ticks, over = 0, asyncio.Event()

        async def tick() -> None:
            nonlocal ticks
            while not over.is_set():
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.ensure_future(tick())
        with serving(answers) as endpoint:
            run = await ek.asweep(built(endpoint.url), tmp_path / "run", quiet=True, confirm=0)
        over.set()
        await ticking
        return run, ticks

    run, ticks = asyncio.run(beside())
    assert run.complete
    assert ticks > 1


def lines(folder: Path) -> int:
    path = folder / "responses.jsonl"
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def test_asweep_cancelled_keeps_what_arrived_and_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    async def cancelled(url: str) -> None:
        task = asyncio.ensure_future(ek.asweep(built(url, replicates=8), folder, quiet=True))
        while lines(folder) < 5:
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with serving(answers_slowly) as endpoint:
        asyncio.run(cancelled(endpoint.url))
        kept = lines(folder)
        asked = len(endpoint.seen)
    assert 5 <= kept < 64
    records = [json.loads(line) for line in (folder / "responses.jsonl").read_text(encoding="utf-8").splitlines()]
    assert all(record["outcome"]["text"].startswith("answer") for record in records)
    assert len({record["key"] for record in records}) == kept
    assert asked >= kept


def test_an_interrupt_while_it_waits_inside_a_loop_keeps_what_arrived(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program = textwrap.dedent("""
        import asyncio, sys
        import evalkit as ek

        async def cell():
            fields = dict(name="asked", endpoint={"base_url": sys.argv[1], "model": "tiny", "concurrency": 4}, parameters={"temperature": [0.2, 1.0]},
                          prompts=[{"id": f"p{n}", "user": f"Question {n}?"} for n in range(4)], replicates=8)
            try:
                ek.sweep(ek.Experiment.build(**fields), sys.argv[2])
            except KeyboardInterrupt:
                print("interrupted", flush=True)

        asyncio.new_event_loop().run_until_complete(cell())
    """)
    with serving(answers_slowly) as endpoint:
        child = subprocess.Popen(
            [sys.executable, "-c", program, endpoint.url, str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        try:
            until = time.monotonic() + 60
            while lines(folder) < 5 and child.poll() is None and time.monotonic() < until:
                time.sleep(0.01)
            child.send_signal(signal.SIGINT)
            out, said = child.communicate(timeout=60)
        finally:
            child.kill()
    assert child.returncode == 0, said
    assert out.strip() == "interrupted"
    assert "Traceback" not in said
    assert "interrupt" in said.lower(), said
    assert 5 <= lines(folder) < 64
    assert all(json.loads(line)["outcome"]["text"] for line in (folder / "responses.jsonl").read_text(encoding="utf-8").splitlines())


def test_a_script_is_told_of_progress_and_a_quiet_one_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ipykernel", sys)  # as where a library has imported it
    with serving(answers) as endpoint:
        ek.sweep(built(endpoint.url), tmp_path / "told")
        told = capsys.readouterr()
        ek.sweep(built(endpoint.url), tmp_path / "quiet", quiet=True)
        quiet = capsys.readouterr()
    assert "24 of 24 requests" in told.err
    assert told.out == ""
    assert "requests" not in quiet.err


def test_a_notebook_shows_one_place_that_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import IPython.display

    class Handle:
        def __init__(self) -> None:
            self.shown: list[str] = []

        def update(self, html: Any) -> None:
            self.shown.append(html.data)

    handle = Handle()
    monkeypatch.setitem(sys.modules, "ipykernel", sys)
    monkeypatch.setattr(IPython, "get_ipython", object)
    monkeypatch.setattr(IPython.display, "display", lambda *_, **__: handle)
    hostile_model = "<script>alert(1)</script>"
    with serving(answers) as endpoint:
        ek.sweep(built(endpoint.url, endpoint={"base_url": endpoint.url, "model": hostile_model, "concurrency": 4}), tmp_path / "run")
    assert any("<progress" in html for html in handle.shown)
    assert "24 of 24 requests" in handle.shown[-1]
    assert not any("<script" in html for html in handle.shown)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[ek.Run, ek.Run]:
    place = tmp_path_factory.mktemp("pair")
    return ek.rescore(recorded(place / "sound", varied)), ek.rescore(recorded(place / "broken", repetitive))


def test_two_runs_compare_by_run_or_by_folder(pair: tuple[ek.Run, ek.Run]) -> None:
    one, other = pair
    found = ek.compare(one, str(other.folder), margins={"distinct_2": 0.01, "length_words": "5 %"}, metrics=["distinct_2", "length_words"])
    assert [row.metric for row in found.metrics] == ["distinct_2", "length_words"]
    assert found.metrics[0].verdict == "worse"
    assert found.metrics[0].margin == 0.01
    within = ek.compare(one, cells=[0, "temperature=1.0"], metrics=["distinct_2"])
    assert len(within.cells) == 1
    with pytest.raises(ek.ExperimentError, match="distinct_9"):
        ek.compare(one, other, margins={"distinct_9": 0.1})


def test_a_run_is_scored_anew_with_what_is_asked_for(pair: tuple[ek.Run, ek.Run], tmp_path: Path) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(pair[0].folder, folder)
    found = ek.rescore(folder, metrics=["distinct_2"], tokenizer="whitespace")
    assert [one.name for one in found.analysis.metrics] == ["distinct_2"]
    with pytest.raises(ek.ExperimentError, match="no_such"):
        ek.rescore(folder, metrics=["no_such"])


def test_a_report_is_written_where_the_run_is(pair: tuple[ek.Run, ek.Run]) -> None:
    paths = ek.write_report(pair[0].folder)
    assert {path.name for path in paths} >= {"report.html", "report.md"}
    assert all(path.is_file() and path.parent == pair[0].folder for path in paths)


def test_tables_have_a_column_a_parameter_and_answer_to_sql(pair: tuple[ek.Run, ek.Run]) -> None:
    run = pair[0]
    for table in (run.responses(), run.scores(), run.summary()):
        assert set(table["temperature"]) == {0.5, 1.0}
    assert len(run.failures()) == 0
    assert run.query("SELECT count(*) AS n FROM responses")["n"][0] == 48
    with pytest.raises(ek.RecordError, match="query"):
        run.query("SELECT nothing FROM nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parameters": {"temprature": [0, 1]}, "replicates": -1}, ["temprature", "temperature", "replicates"]),
        ({"prompts": []}, ["prompts"]),
        ({"nonsense": 1}, ["nonsense"]),
        ({"checks": ["is_jsn"]}, ["checks", "is_json"]),
    ],
)
def test_an_experiment_that_cannot_be_built_says_all_that_is_wrong(change: dict[str, Any], said: list[str]) -> None:
    with pytest.raises(ek.EvalkitError) as fault:
        built("local", **change)
    assert "Experiment.build" in str(fault.value)
    for word in said:
        assert word in str(fault.value)
    assert "pydantic" not in str(fault.value)


@pytest.mark.parametrize("module", DOCUMENTED)
def test_examples_in_docstrings_are_true(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module), raise_on_error=False).failed == 0


def test_there_are_examples_to_try() -> None:
    assert sum(doctest.testmod(importlib.import_module(module)).attempted for module in DOCUMENTED) >= 4


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> ek.Run:
    return hostile(tmp_path_factory.mktemp("run") / "hostile")


def test_nothing_of_others_gets_out_of_what_a_notebook_shows(bad: ek.Run) -> None:
    ours = {"div", "b", "i", "table", "tr", "th", "td", "span", "pre", "progress"}
    shown = [bad.show(prompt, cells=list(range(len(bad.analysis.cells)))) for prompt in range(len(bad.experiment.prompts))]
    shown += [Html(bad._repr_html_()), ek.compare(bad, bad)._repr_html_()]
    assert bad.choice is not None
    shown.append(bad.choice._repr_html_())
    for html in shown:
        page = Tags(html)
        assert page.tags <= ours
        assert page.attributes <= {"style", "dir"}
        assert not any(sign in html for sign in ("\x1b", "\x00", "\x9b", "\u202e", "\u2066"))
    assert any("&lt;script&gt;" in html for html in shown)
    assert not any(sign in repr(bad) for sign in ("\x1b", "\x00", "\x9b", "\u202e", "\u2066"))
    assert "Use   " in repr(bad)
    assert len(repr(bad)) < 10_000
    assert len(HOSTILE) >= 60


USER = """
import evalkit as ek
import pandas as pd
from matplotlib.axes import Axes


def study(path: str) -> pd.DataFrame:
    run: ek.Run = ek.sweep(path, "results/mine", budget=ek.Budget(requests=100), quiet=True)
    ax: Axes = ek.plots.heatmap(run, "distinct_2", "temperature", "top_p")
    ek.plots.save(ax, "heatmap.png")
    choice: ek.Choice | None = run.choice
    if choice is not None and choice.chosen is not None:
        print(choice.parameters, run.analysis.counts.completions)
    found: ek.Comparison = ek.compare(run, "results/other", margins={"distinct_2": 0.02})
    ek.plots.compare(found, ax=ax)
    ek.metrics.score([["a b", "b c"]])
    return run.summary()


async def beside(experiment: ek.Experiment) -> ek.Run:
    return await ek.asweep(experiment, quiet=True)


experiment = ek.Experiment.build(name="a", endpoint={"base_url": "local", "model": "babbler"}, prompts=[{"id": "a", "user": "b"}])
try:
    study("x.yaml")
except ek.EvalkitError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_a_users_file_is_typed_strictly(checker: str, tmp_path: Path) -> None:
    tool = Path(sys.executable).parent / checker
    if not tool.exists():
        pytest.skip(f"{checker} is not installed")
    (tmp_path / "mine.py").write_text(USER, encoding="utf-8")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "strict", "pythonVersion": "3.11"}), encoding="utf-8")
    options = {
        "mypy": ["--strict", "--warn-unreachable", "--python-version", "3.11", "mine.py"],
        "pyright": ["--pythonpath", sys.executable, "-p", "."],
    }[checker]
    done = subprocess.run(
        [str(tool), *options],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_types_are_shipped() -> None:
    import tomllib

    assert (ROOT / "evalkit/py.typed").is_file()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"] == ["evalkit"]  # whole, py.typed among it
