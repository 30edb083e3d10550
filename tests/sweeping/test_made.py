"""A run is read and not made again where nothing changed that it comes of; whatever does change is seen."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.endpoints import Asked, completion, serving
from support.sweeps import sweep

from evalkit.cli.shown import show_run
from evalkit.cli.terminal import console
from evalkit.experiment.experiment import Experiment, check
from evalkit.metrics import UAX29
from evalkit.plan.requests import Plan
from evalkit.run import Run, load
from evalkit.scoring.metric_set import measures
from evalkit.sweeping import made, rescoring
from evalkit.sweeping.sources import digest_of

SCORER = """
    def vowels(text: str) -> float:
        return sum(letter in "aeiou" for letter in text)

    def picky(text: str) -> float:
        raise ValueError("not today")
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a module of scorers, importable, and a run in ``run`` that was scored by it."""
    folder = tmp_path_factory.mktemp("made")
    (folder / "own_scorers_of_a_test.py").write_text(textwrap.dedent(SCORER))
    sys.path.insert(0, str(folder))
    with serving(lambda asked: (200, {}, completion(f"An answer at {asked.body.get('temperature')} to {len(asked.raw)}"))) as server:
        assert sweep(experiment(server.url), folder / "run") is not None
        (folder / "url").write_text(server.url)
    yield folder
    sys.path.remove(str(folder))


def experiment(url: str, **changes: Any) -> Experiment:
    data: dict[str, Any] = {
        "name": "made",
        "endpoint": {"base_url": url, "model": "m", "concurrency": 4},
        "prompts": [{"id": "a", "user": "Say it."}, {"id": "b", "user": "Say that."}],
        "parameters": {"temperature": [0.2, 0.9]},
        "replicates": 2,
        "checks": [{"contains": "answer"}],
        "scorers": ["own_scorers_of_a_test:vowels", "own_scorers_of_a_test:picky"],
        "choose": {"profile": "precise"},
    }
    return check(data | changes)


@pytest.fixture
def run(place: Path, tmp_path: Path) -> Path:
    """A run of one's own, with nothing left to send: the server has gone."""
    shutil.copytree(place / "run", tmp_path / "run")
    return tmp_path / "run"


def again(place: Path, folder: Path, told: list[str] | None = None, **changes: Any) -> Run:
    found = sweep(experiment((place / "url").read_text(), **changes), folder, note=(told if told is not None else []).append)
    assert found is not None
    return found


def state(folder: Path) -> dict[str, tuple[int, bytes]]:
    return {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.iterdir() if not path.name.startswith(".")}


def test_where_nothing_changed_no_file_is_touched(place: Path, run: Path) -> None:
    before = state(run)
    again(place, run)
    assert state(run) == before


def test_the_same_is_shown_and_told_as_by_making_it_again(place: Path, run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def shown(found: Run) -> str:
        show_run(found, console(), "EXPERIMENT", None)
        return capsys.readouterr().out

    told: list[list[str]] = [[], []]
    read = shown(again(place, run, told[0]))
    (run / "summary.csv").unlink()
    assert shown(again(place, run, told[1])) == read
    assert told[0] == told[1]
    assert "not today" in read


@pytest.mark.parametrize(
    ("name", "harm"),
    [
        ("responses.parquet", Path.unlink),
        ("scores.parquet", lambda path: path.write_bytes(b"{}")),
        ("analysis.json", lambda path: path.write_bytes(path.read_bytes() + b" ")),
        ("summary.csv", lambda path: path.write_bytes(b"")),
        ("choice.json", Path.unlink),
        ("recommended.yaml", Path.unlink),
    ],
)
def test_a_table_that_is_gone_or_altered_is_made_again(place: Path, run: Path, name: str, harm: Callable[[Path], Any]) -> None:
    path = run / name
    if not path.exists():
        path.write_text("left behind")
        again(place, run)
        assert not path.exists()
        return
    before = path.read_bytes()
    harm(path)
    again(place, run)
    if name != "responses.parquet":
        assert path.read_bytes() == before
    assert path.stat().st_size >= len(before) - 1_000


CHANGES: dict[str, dict[str, Any]] = {
    "a margin": {"margins": {"length_words": 3}},
    "a profile": {"choose": {"profile": "creative"}},
    "a requirement": {"choose": {"profile": "precise", "require": {"truncation_rate": {"max": 0.5}}}},
    "a check": {"checks": [{"contains": "else"}]},
    "one scorer less": {"scorers": ["own_scorers_of_a_test:vowels"]},
    "its direction": {"scorers": [{"call": "own_scorers_of_a_test:vowels", "better": "lower"}]},
    "the reference": {"reference": {"temperature": 0.9}},
    "what is expected": {"prompts": [{"id": "a", "user": "Say it.", "expect": "answer"}, {"id": "b", "user": "Say that."}]},
    "a tag": {"prompts": [{"id": "a", "user": "Say it.", "tags": ["x"]}, {"id": "b", "user": "Say that."}]},
    "fewer prompts": {"prompts": [{"id": "a", "user": "Say it."}]},
    "fewer replicates": {"replicates": 1},
    "fewer levels": {"parameters": {"temperature": [0.2]}},
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_read_of_the_experiment_changes_the_hash(place: Path, run: Path, change: str) -> None:
    before = kept(run)
    again(place, run, **CHANGES[change])
    assert kept(run) != before
    again(place, run)
    assert kept(run) == before, "and back again"


def kept(folder: Path) -> str:
    return str(json.loads((folder / "run.json").read_text())["made"]["inputs"])


def inputs(place: Path, folder: Path, **changes: Any) -> str | None:
    wanted = experiment((place / "url").read_text(), **changes)
    return made.inputs_of(folder, Plan(wanted), measures(wanted))


@pytest.mark.parametrize("name", ["responses.jsonl", "judgements.jsonl", "embeddings.jsonl"])
def test_every_file_of_answers_is_an_input(place: Path, run: Path, name: str) -> None:
    before = inputs(place, run)
    with (run / name).open("ab") as file:
        file.write(b"\n")
    assert inputs(place, run) != before


def test_an_answer_that_was_altered_gives_new_tables(place: Path, run: Path) -> None:
    path = run / "responses.jsonl"
    before = (run / "analysis.json").read_bytes()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for line in lines:
        line["outcome"]["text"] = "Quite another text, and a long one."
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    again(place, run)
    assert (run / "analysis.json").read_bytes() != before


def test_a_run_read_back_says_where_its_records_are_no_longer_those_that_were_scored(place: Path, run: Path) -> None:
    assert load(run).notes == ()
    with (run / "responses.jsonl").open("ab") as file:
        file.write(b"\n")
    (told,) = load(run).notes
    assert told.urgent
    assert told.text.startswith("responses.jsonl changed after these tables were made")
    again(place, run)
    assert load(run).notes == ()


def test_a_run_read_back_says_where_a_sweep_has_not_come_to_its_end(run: Path) -> None:
    about = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**about, "made": None}))
    (told,) = load(run).notes
    assert told.text.startswith("a sweep was begun after these tables were made")


def test_another_version_or_tokeniser_is_an_input(place: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = inputs(place, run)
    wanted = experiment((place / "url").read_text())
    whitespace = UAX29._replace(name="whitespace")
    assert made.inputs_of(run, Plan(wanted), measures(wanted), whitespace) != before
    monkeypatch.setattr(made, "package_versions", lambda: {"regex": "0"})
    assert inputs(place, run) != before


def test_evalkit_s_own_sources_and_profiles_are_inputs() -> None:
    names = {path.name for path in made.own_files()}
    assert {"made.py", "precise.yaml", "catalogue.py"} <= names


def test_a_score_by_other_metrics_is_not_taken_for_the_sweep_s_own(place: Path, run: Path) -> None:
    before = (run / "summary.csv").read_bytes()
    rescoring.rescore(run, metrics=["length_words"])
    assert (run / "summary.csv").read_bytes() != before
    again(place, run)
    assert (run / "summary.csv").read_bytes() == before


def test_a_hash_that_cannot_be_read_is_none(place: Path, run: Path) -> None:
    data = json.loads((run / "run.json").read_text())
    for wrong in ({"inputs": 5}, [], "x", {"inputs": data["made"]["inputs"], "tables": []}):
        (run / "run.json").write_bytes(msgspec.json.encode(data | {"made": wrong}))
        again(place, run)
        assert kept(run) == data["made"]["inputs"]


# --- scorers

SOURCES: dict[str, tuple[str, bool]] = {
    "plain": ("import re\nWORDS = re.compile('a')\ndef score(text): return len(WORDS.findall(text))\n", True),
    "a file": ("def score(text): return len(open('x').read())\n", False),
    "a path": ("from pathlib import Path\ndef score(text): return 1\n", False),
    "the clock": ("import time\ndef score(text): return time.time()\n", False),
    "chance": ("def score(text):\n    import random\n    return random.random()\n", False),
    "a name made up": ("import importlib\ndef score(text): return importlib.import_module(text)\n", False),
    "a state": (
        "def made():\n    n = []\n    def score(text):\n        n.append(1)\n        return len(n)\n    return score\nscore = made()\n",
        False,
    ),
    "an object": ("class One:\n    def __call__(self, text): return 1\nscore = One()\n", False),
    "a file by another module": ("import codecs\ndef score(text): return len(codecs.open('x').read())\n", False),
    "a library": ("import numpy\ndef score(text): return numpy.random.default_rng().random()\n", False),
    "another's": ("from math import sqrt\ndef score(text): return sqrt(len(text))\n", True),
}


@pytest.mark.parametrize("name", SOURCES)
def test_a_scorer_that_may_look_elsewhere_always_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    source, can = SOURCES[name]
    assert (digest_of(loaded(tmp_path, monkeypatch, source)) is not None) == can


def test_a_change_in_a_scorer_or_in_what_it_imports_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "words_beside_it.py").write_text("WORDS = {'a'}\n")
    score = loaded(tmp_path, monkeypatch, "from words_beside_it import WORDS\ndef score(text): return text in WORDS\n")
    found = [digest_of(score)]
    (tmp_path / "words_beside_it.py").write_text("WORDS = {'b'}\n")
    found.append(digest_of(score))
    (tmp_path / "scorer_alone.py").write_text("from words_beside_it import WORDS\ndef score(text): return text not in WORDS\n")
    found.append(digest_of(score))
    assert None not in found
    assert len(set(found)) == 3
    (tmp_path / "words_beside_it.py").write_text("import os\nWORDS = {os.sep}\n")
    assert digest_of(score) is None


def test_a_module_that_is_imported_when_it_is_needed_is_seen_and_which_function_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pack_beside_it").mkdir()
    (tmp_path / "pack_beside_it/__init__.py").touch()
    (tmp_path / "pack_beside_it/sub.py").write_text("VALUE = 1\n")
    source = "def first(text):\n    from pack_beside_it import sub\n    return sub.VALUE\ndef second(text): return 2\nscore = first\n"
    score = loaded(tmp_path, monkeypatch, source)
    before = digest_of(score)
    (tmp_path / "pack_beside_it/sub.py").write_text("VALUE = 2\n")
    assert None not in (before, digest_of(score))
    assert digest_of(score) != before
    assert digest_of(score) != digest_of(score.__globals__["second"])
    monkeypatch.delitem(sys.modules, "pack_beside_it", raising=False)


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str) -> Any:
    """The function ``score`` of a module with that source."""
    (folder / "scorer_alone.py").write_text(source)
    monkeypatch.syspath_prepend(folder)
    for name in ("scorer_alone", "words_beside_it"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    module = __import__("scorer_alone")
    for name in ("scorer_alone", "words_beside_it"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return module.score


def test_a_scorer_typed_in_always_runs() -> None:
    assert digest_of(eval("lambda text: 1", {"__name__": "__main__"})) is None  # noqa: S307
    assert digest_of(len) is None


def test_a_server_that_answers_differently_is_not_asked_again(place: Path, run: Path) -> None:
    def answer(_: Asked) -> Any:
        raise AssertionError("nothing was to be sent")

    with serving(answer):
        assert again(place, run).sent is not None
