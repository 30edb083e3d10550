"""A run in the forms of other tools: what each holds, and that no text of a model does anything there.

That the tools themselves take the forms is held outside the suite, where they are installed.
"""

from __future__ import annotations

import csv
import io
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.endpoints import JSON, Answer, Asked, Endpoint, completion, serving
from support.process import environment
from support.sweeps import sweep

import evalkit as ek
from evalkit.errors import ExperimentError, MissingExtraError
from evalkit.experiment.experiment import check
from evalkit.exports.answers import _cell
from evalkit.exports.formats import FORMATS, TEXTS, text_of, tracked
from evalkit.exports.trackers import name_for
from evalkit.run import Run

HOSTILE = '=HYPERLINK("http://evil.example","x")'


@pytest.fixture(scope="module")
def served() -> Iterator[Endpoint]:
    def answer(asked: Asked) -> Answer:
        hot = asked.body.get("temperature") == 1
        return Answer(200, JSON, completion(HOSTILE if hot else f"Paris it is, {asked.number}."))

    with serving(answer) as server:
        yield server


@pytest.fixture(scope="module")
def run(served: Endpoint, tmp_path_factory: pytest.TempPathFactory) -> Run:
    experiment = check(
        {
            "name": "capitals",
            "endpoint": {"base_url": served.url, "model": "m-1", "concurrency": 4, "api_key_env": None},
            "prompts": [
                {"id": "france", "system": "Be brief.", "user": "The capital of France?", "expect": "Paris"},
                {"id": "braces", "user": "What does {{x}} mean in {% raw %}?"},
                {"id": "third", "user": "Name one {city}."},
            ],
            "parameters": {"temperature": [0.2, 1], "top_k": ["default", 40]},
            "request": {"max_tokens": 50, "stop": ["END", 'a "quoted" one']},
            "replicates": 4,
            "checks": ["contains", {"words": {"max": 40}}, {"json_schema": {"type": "object"}}, "python", {"facts": ["Paris"]}],
            "choose": {"prefer": {"contains": {"goal": "maximize"}}},
        }
    )
    found = sweep(experiment, tmp_path_factory.mktemp("export") / "run")
    assert found is not None
    assert found.choice.chosen is not None
    return found


def test_what_is_sent_by_the_call_in_python_and_by_curl_is_the_setting(run: Run, served: Endpoint) -> None:
    for name in ("python", "curl"):
        text = text_of(run, name)
        command = [sys.executable, "-c", text] if name == "python" else ["sh", "-c", text]
        seen = len(served.seen)
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), timeout=60)
        assert done.returncode == 0, done.stderr
        body = dict(served.seen[seen].body)
        assert body.pop("messages") == [{"role": "user", "content": "Hello"}]
        assert body == dict(run.choice.parameters)


def test_the_call_in_javascript_is_a_module_that_sends_the_setting(run: Run) -> None:
    text = text_of(run, "js")
    body = text[text.index("JSON.stringify(") + len("JSON.stringify(") : text.index("),\n});")]
    assert {name: value for name, value in json.loads(body).items() if name != "messages"} == dict(run.choice.parameters)


def test_a_key_is_named_and_never_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAPITALS_KEY", "a-secret-0123456789")
    endpoint = run.experiment.endpoint.model_copy(update={"api_key_env": "CAPITALS_KEY"})
    named = Run(run.folder, run.experiment.model_copy(update={"endpoint": endpoint}), run.analysis, choice=run.choice)
    for name in TEXTS:
        text = text_of(named, name)
        assert "a-secret" not in text
        assert ("CAPITALS_KEY" in text) == (name in ("python", "curl", "js", "litellm", "promptfoo"))


def test_vllm_is_given_what_it_takes_and_told_what_not(run: Run) -> None:
    *comments, command = text_of(run, "vllm", ["temperature=0.2,top_k=40"]).splitlines()
    words = shlex.split(command)
    assert words[:4] == ["vllm", "serve", "m-1", "--override-generation-config"]
    assert json.loads(words[4]) == {"temperature": 0.2, "top_k": 40, "max_new_tokens": 50}
    assert comments[-1] == "# No place here for stop: send it with each request."


def test_a_modelfile_holds_the_setting_by_the_names_of_ollama(run: Run) -> None:
    lines = [line for line in text_of(run, "ollama", ["temperature=0.2,top_k=40"]).splitlines() if not line.startswith("#")]
    assert lines[0] == "FROM m-1"
    assert set(lines[1:]) == {
        "PARAMETER num_predict 50",
        'PARAMETER stop "END"',
        'PARAMETER stop """a "quoted" one"""',
        "PARAMETER temperature 0.2",
        "PARAMETER top_k 40",
    }


def test_litellm_has_a_model_a_setting(run: Run) -> None:
    models = yaml.safe_load(text_of(run, "litellm", ["0", "temperature=0.2,top_k=40"]))["model_list"]
    assert len({one["model_name"] for one in models}) == 2
    assert models[1]["litellm_params"] == {
        "model": "openai/m-1",
        "api_base": run.experiment.endpoint.base_url,
        "api_key": "none",
        "max_tokens": 50,
        "stop": ["END", 'a "quoted" one'],
        "temperature": 0.2,
        "extra_body": {"top_k": 40},
    }


def test_promptfoo_has_a_provider_a_setting_and_a_test_a_prompt(run: Run) -> None:
    text = text_of(run, "promptfoo", ["temperature=0.2,top_k=40"])
    assert text.splitlines()[1] == "# No counterpart: the check python."
    config: dict[str, Any] = yaml.safe_load(text)
    (provider,) = config["providers"]
    assert provider["id"] == "openai:chat:m-1"
    assert provider["config"]["omitDefaults"] is True
    assert provider["config"]["passthrough"] == {"top_k": 40}
    assert (provider["config"]["temperature"], provider["config"]["max_tokens"]) == (0.2, 50)
    france, braces, third = config["tests"]
    assert json.loads(france["vars"]["messages"]) == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "The capital of France?"},
    ]
    assert france["assert"] == [
        {"type": "contains", "value": "Paris"},
        {"type": "word-count", "value": {"max": 40}},
        {"type": "is-json", "value": {"type": "object"}},
        {"type": "icontains-all", "value": ["Paris"]},
    ]
    assert "{{x}}" in braces["vars"]["messages"], "which promptfoo does not fill in, as it does in what an assertion says"
    assert [one["type"] for one in third["assert"]] == ["word-count", "is-json", "icontains-all"], "it expects nothing itself"
    assert config["evaluateOptions"] == {"repeat": 4, "cache": False}


def test_the_table_holds_every_answer_and_no_formula(run: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(text_of(run, "csv"))))
    assert len(rows) == 4 * 3 * 4
    assert {row["prompt_id"] for row in rows} == {"france", "braces", "third"}
    hot = [row["text"] for row in rows if row["temperature"] in ("1", "1.0")]
    assert hot
    assert set(hot) == {f"'{HOSTILE}"}


@given(st.text())
def test_no_cell_of_the_table_is_a_formula(text: str) -> None:
    assert not str(_cell(text)).lstrip(" \t\n\r'\"").startswith(("=", "@")) or str(_cell(text)).startswith("'")


@given(st.text())
def test_names_for_trackers_hold_what_they_take(text: str) -> None:
    name = name_for(text)
    assert name
    assert not set(name) & set("[]()=,%@{}\n")
    assert ".." not in name or "/" not in name or not name.startswith("..")


def test_without_a_choice_a_setting_must_be_named(served: Endpoint, tmp_path: Path) -> None:
    experiment = check(
        {
            "name": "unasked",
            "endpoint": {"base_url": served.url, "model": "m-1"},
            "prompts": [{"id": "a", "user": "a"}, {"id": "b", "user": "b"}],
            "parameters": {"temperature": [0.2, 0.4]},
            "anchor": {"every": 0},
        }
    )
    found = sweep(experiment, tmp_path / "run")
    with pytest.raises(ExperimentError, match=r"no setting was chosen \(the experiment has no 'choose:'\); name one: --cell 0"):
        text_of(found, "python")
    assert "temperature=0.4" in text_of(found, "python", ["1"])
    assert len(list(csv.DictReader(io.StringIO(text_of(found, "csv"))))) == 4


def test_the_embedded_model_has_no_address_for_other_tools(run: Run) -> None:
    local = run.experiment.model_copy(update={"endpoint": run.experiment.endpoint.model_copy(update={"base_url": "local"})})
    for name in ("litellm", "promptfoo"):
        with pytest.raises(ExperimentError, match="the embedded model has no address"):
            text_of(Run(run.folder, local, run.analysis, choice=run.choice), name)


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_named(run: Run, name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingExtraError, match=rf'pip install -e "\.\[{name}\]"'):
        tracked(run, name, str(tmp_path))


def test_the_command_knows_the_formats() -> None:
    from evalkit.cli.exporting import FORMATS as OFFERED  # late: the command line is not loaded for all else

    assert OFFERED == FORMATS


def test_it_is_offered_to_python_too(run: Run) -> None:
    assert ek.export(run, "vllm") == text_of(run, "vllm")
    with pytest.raises(ExperimentError, match="unknown format; did you mean 'vllm'"):
        ek.export(run, "vlm")
