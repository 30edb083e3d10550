"""A run in the forms of other tools: what each holds, and that no text of a model does anything there.

That the tools themselves take the forms is held outside the suite, where they are installed.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
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
from evalkit.experiment.files.reading import read_prompts
from evalkit.experiment.prompts import Prompt
from evalkit.exports.answers import _cell
from evalkit.exports.formats import FORMATS, TEXTS, text_of, tracked
from evalkit.exports.promptfoo import _assertions, _raw
from evalkit.exports.servers import for_litellm, for_ollama, for_vllm
from evalkit.exports.settings import Exported
from evalkit.exports.trackers import name_for, names_for
from evalkit.run import Run

TEMPLATES = ("{{", "{%", "{#", "#}")
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
                {"id": "braces", "user": "What does {{x}} mean in {% raw %} {#}?"},
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
    assert text.splitlines()[1:3] == [
        "# That makes 12 calls: 1 provider × 3 tests × 4 repeats. It needs Node 22.22 or newer.",
        "# No counterpart: the check python.",
    ]
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
    assert not any(mark in braces["vars"]["messages"] for mark in TEMPLATES), "nothing that promptfoo could fill in"
    assert json.loads(braces["vars"]["messages"])[0]["content"] == "What does {{x}} mean in {% raw %} {#}?"
    assert [one["type"] for one in third["assert"]] == ["word-count", "is-json", "icontains-all"], "it expects nothing itself"
    assert config["evaluateOptions"] == {"repeat": 4, "cache": False}


def test_promptfoo_is_told_of_numbers_that_longer_ones_hold(run: Run) -> None:
    numbers = run.experiment.model_copy(update={"checks": ({"facts": ["12", "2024-118", "Paris"]},)})
    told = text_of(Run(run.folder, numbers, run.analysis, choice=run.choice), "promptfoo").splitlines()
    assert "# icontains-all finds parts of words too: 12 in 129 and in 112, which the check 'facts' does not count." in told
    assert not any("icontains-all finds" in line for line in text_of(run, "promptfoo").splitlines())


def test_a_file_is_written_over_with_force_alone(run: Run, tmp_path: Path, evalkit: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    command = ("export", run.folder, "--to", "vllm", "-o", "x.sh")
    assert evalkit(*command).stdout == "Wrote x.sh\n"
    (tmp_path / "x.sh").write_text("mine", encoding="utf-8")
    refused = evalkit(*command)
    assert (refused.returncode, refused.stderr) == (2, "error: x.sh: is there already; give another name, or --force to write over it\n")
    assert (tmp_path / "x.sh").read_text(encoding="utf-8") == "mine"
    assert evalkit(*command, "--force").returncode == 0
    assert "vllm serve" in (tmp_path / "x.sh").read_text(encoding="utf-8")


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


@given(st.lists(st.text() | st.sampled_from(["größe", "grässe", "a,b", "a;b", "a,b_2", "n" * 300 + "a", "n" * 300 + "b"]), unique=True))
def test_no_two_names_for_trackers_are_one(texts: list[str]) -> None:
    names = names_for(texts)
    assert list(names) == texts
    assert len({name.casefold() for name in names.values()}) == len(texts), "MLflow's files are on disks that do not tell A from a"
    assert all(name_for(name) == name for name in names.values())


def filled_in(template: str) -> str:
    """What a template comes to that holds nothing but pieces of text."""
    return re.sub(r'\{\{ "(.)" \}\}', r"\1", template)


@given(st.text() | st.lists(st.sampled_from([*TEMPLATES, "{", "}}", "file://", "package:", "{% endraw %}", "a.js", "env.KEY"])).map("".join))
def test_what_an_answer_is_held_against_is_a_text_and_neither_a_template_nor_a_program(text: str) -> None:
    template = _raw(text)
    assert filled_in(template) == text
    assert not template.startswith(("file:", "package:"))
    assert not any(mark in piece for piece in re.split(r'\{\{ "[{#fp]" \}\}', template) for mark in TEMPLATES)


def test_a_schema_that_refers_is_no_part_of_promptfoos_own_configuration() -> None:
    schema = {"properties": {"a": {"$ref": "#/definitions/{{b}}"}}}
    (said,) = _assertions(Prompt(id="a", messages=({"role": "user", "content": "a"},)), [{"json_schema": schema}], [])
    assert json.loads(filled_in(said["value"])) == schema


def with_endpoint(run: Run, **changes: Any) -> Run:
    endpoint = run.experiment.endpoint.model_copy(update=changes)
    return Run(run.folder, run.experiment.model_copy(update={"endpoint": endpoint}), run.analysis, choice=run.choice)


def test_what_a_call_needs_and_has_no_place_is_named_without_its_value(run: Run) -> None:
    several = ("http://a.example/v1", "http://b.example/v1")
    changed = with_endpoint(run, headers={"X-Team": "the-value"}, base_url=several[0], base_urls=several, organization="the-org")
    for name in ("python", "curl", "js", "litellm", "promptfoo"):
        head = "\n".join(line for line in text_of(changed, name).splitlines() if line.startswith(("#", "//")))
        assert "the header X-Team, the organization, 1 further address" in head
        assert "the-value" not in text_of(changed, name)


def test_a_version_in_the_address_is_kept_or_named(run: Run) -> None:
    azure = with_endpoint(run, base_url="https://host.example/v1?api-version=2024-10-21")
    assert "default_query={'api-version': '2024-10-21'}" in text_of(azure, "python")
    assert "https://host.example/v1/chat/completions?api-version=2024-10-21" in text_of(azure, "curl")
    for name in ("litellm", "promptfoo"):
        text = text_of(azure, name)
        assert any("the version in the address" in line for line in text.splitlines() if line.startswith("#"))
        assert "?" not in text.partition("https://")[2].splitlines()[0], "a path would be put behind it"


def test_settings_of_one_spelling_have_names_of_their_own(run: Run) -> None:
    alike = [Exported(number, name, "m", {"user": name}, run.experiment.endpoint) for number, name in enumerate(["user=a b", "user=a-b", "user=c"])]
    models = yaml.safe_load(for_litellm(run, alike))["model_list"]
    assert [one["model_name"] for one in models] == ["m-user-a-b-0", "m-user-a-b-1", "m-user-c"]


def test_no_name_of_a_model_is_an_option(run: Run) -> None:
    with pytest.raises(ExperimentError, match="it would be an option"):
        for_vllm(run, [Exported(0, "a", "--trust-remote-code", {}, run.experiment.endpoint)])


@pytest.mark.parametrize("stop", ['a"""\nFROM evil', 'ends with "', "a\rb"])
def test_a_modelfile_holds_no_text_that_would_end_its_quotes(run: Run, stop: str) -> None:
    text = for_ollama(run, [Exported(0, "a", "m", {"stop": [stop]}, run.experiment.endpoint)])
    assert "No place here for stop" in text
    assert text.splitlines()[-1] == "FROM m"


def test_what_has_no_shape_is_not_lost_in_the_table() -> None:
    assert _cell("a\u00a0b\u3000c\x1bd") == "a\u00a0b\u3000c⟦U+001B⟧d"
    assert _cell("＝1+1") == "'＝1+1"


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


def test_a_configuration_of_promptfoo_reads_back_as_the_prompts_that_were_asked(run: Run, tmp_path: Path) -> None:
    (tmp_path / "promptfooconfig.yaml").write_text(text_of(run, "promptfoo"), encoding="utf-8")
    found = read_prompts(tmp_path / "promptfooconfig.yaml").prompts
    asked = run.experiment.prompts
    assert [one.conversation() for one in found] == [one.conversation() for one in asked]
    assert found[0].expect == asked[0].expect
