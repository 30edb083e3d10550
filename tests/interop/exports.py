"""Give runs to other tools and let each read them: ``python exports.py PART... FOLDER``, in an environment that holds the tool.

The runs are real sweeps of the embedded model, which is served on loopback meanwhile: a plain one, a race, one joined from shards, a search, and
one whose names, texts and parameters are as hostile as an experiment takes them. Every part fails by an assertion.
"""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

import evalkit as ek
from evalkit.exports.settings import all_of, exported

PROMPTS = [
    {"id": "plain", "user": "Say something about lists.", "expect": "list"},
    {"id": "templates", "system": "Be brief.", "user": "What do {{ x }} and {% if %} mean?", "expect": "{{ x }}"},
    {"id": "quotes", "user": 'A "quoted" word, a \\ and\na line end: what of it?'},
]


@contextmanager
def serving() -> Iterator[str]:
    """The embedded model on loopback; its base URL."""
    command = [sys.executable, "-m", "evalkit", "serve", "--port", "0", "--until-input-ends"]
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    try:
        yield child.stdout.readline().strip()
    finally:
        child.communicate()  # its input ends, and so does it


def _endpoint(url: str) -> dict[str, Any]:
    return {"base_url": url, "model": "babbler", "api_key_env": "INTEROP_KEY"}


def swept(url: str, folder: Path) -> ek.Run:
    """Every cell asked everything."""
    experiment = ek.Experiment.build(
        name="for-other-tools",
        endpoint=_endpoint(url),
        prompts=PROMPTS,
        parameters={"temperature": [0.3, 1.1], "top_p": ["default", 0.8]},
        request={"max_tokens": 30, "frequency_penalty": 0.5, "stop": ["\n\n"]},
        replicates=4,
        checks=["contains", {"words": {"max": 200}}, "refusal", {"facts": ["list"]}],
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    return ek.sweep(experiment, folder / "run", quiet=True)


_TWELVE = [{"id": f"q{at}", "user": f"Say something about the number {at}.", "tags": ["even" if at % 2 == 0 else "odd"]} for at in range(12)]


def raced(url: str, folder: Path) -> ek.Run:
    """Settings that left on the way have fewer prompts."""
    experiment = ek.Experiment.build(
        name="a-race",
        endpoint=_endpoint(url),
        prompts=_TWELVE,
        parameters={"temperature": [0, 0.4, 0.8, 1.2], "frequency_penalty": [0, 1]},
        request={"max_tokens": 20},
        replicates=2,
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    return ek.sweep(experiment, folder / "run", quiet=True, race_budget="0.6")


def merged(url: str, folder: Path) -> ek.Run:
    """Two shards of one experiment, joined."""
    experiment = ek.Experiment.build(
        name="of-shards",
        endpoint=_endpoint(url),
        prompts=_TWELVE[:4],
        parameters={"temperature": [0.2, 1]},
        request={"max_tokens": 20},
        replicates=4,
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.json").write_text(json.dumps(experiment.resolved()), encoding="utf-8")
    evalkit = [sys.executable, "-m", "evalkit"]
    for shard in ("1/2", "2/2"):
        command = [*evalkit, "sweep", str(folder / "x.json"), "--shard", shard, "-q", "-o", str(folder / shard[0])]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    subprocess.run([*evalkit, "merge", str(folder / "1"), str(folder / "2"), "-o", str(folder / "run")], check=True, stdout=subprocess.DEVNULL)
    return ek.rescore(folder / "run")


def searched(url: str, folder: Path) -> ek.Run:
    """Settings that were proposed on the way, with levels that nobody listed."""
    experiment = ek.Experiment.build(
        name="a-search",
        endpoint=_endpoint(url),
        prompts=_TWELVE,
        parameters={"temperature": {"min": 0, "max": 1.2}, "top_p": {"min": 0.3, "max": 1}},
        request={"max_tokens": 20},
        search={"method": "bayes", "rounds": 1, "proposals": 4, "budget": 0.7},
        design={"kind": "sobol", "points": 8},
        replicates=2,
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    return ek.sweep(experiment, folder / "run", quiet=True)


_PIXEL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
_TOOL = {"type": "function", "function": {"name": "look", "description": "{{ x }}", "parameters": {"type": "object", "properties": {}}}}
_HOSTILE_PROMPTS = [
    {"id": '=HYPERLINK("http://h.example","x")', "user": "=1+1", "expect": "=1+1", "tags": ["=cmd|' /C calc'!A0", "a,b", "[x]", "two\nlines"]},
    {"id": "a, b [c] {{7*7}} ünïcode 😀", "user": "{{7*7}} {% raw %} {# x #} {#}", "expect": "{{7*7}}", "tags": ["ü" * 300]},
    {"id": "../../etc/passwd", "user": "file:///etc/passwd", "expect": "file:///etc/passwd"},
    {"id": ("long " * 40).strip(), "system": "short " * 60, "user": "words " * 60},
    {
        "id": "<script>alert(1)</script>",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "{{x}} What is it?"}, {"type": "image_url", "image_url": {"url": _PIXEL}}]},
            {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function", "function": {"name": "look", "arguments": "{}"}}]},
            {"role": "tool", "tool_call_id": "c", "content": "{{ env.HOME }}"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [_TOOL],
    },
]
_HOSTILE_CELLS: dict[str, dict[str, Any]] = {
    "=1+1": {"temperature": 0.2},
    "{{ env.HOME }} {% if %}": {"temperature": 0.4},
    'a/b: c, d=e [f] "g" #h': {"temperature": 0.6},
    "ü" * 300: {"temperature": 0.8},
    "ö" * 300: {"temperature": 1, "stop": ["{{x}}", "file://a", "'", "long " * 1500]},
}
_LONG_NAME = "m" * 248
_SCORERS = "\n".join(f"def {name}(text): return {value}" for name, value in (("_hidden", 1.0), (f"{_LONG_NAME}a", 3.0), (f"{_LONG_NAME}b", 4.0)))


def hostile(url: str, folder: Path) -> ek.Run:
    """Names of all kinds that mean something elsewhere: to a spreadsheet, a template, a file system, a tracker; images, tools, several turns."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "interop_scorers.py").write_text(_SCORERS, encoding="utf-8")
    sys.path.insert(0, str(folder))
    experiment = ek.Experiment.build(
        name="hostile.names-1",
        endpoint=_endpoint(url),
        prompts=_HOSTILE_PROMPTS,
        cells=_HOSTILE_CELLS,
        request={"max_tokens": 20, "response_format": {"type": "text"}},
        replicates=2,
        scorers=[f"interop_scorers:{name}" for name in ("_hidden", f"{_LONG_NAME}a", f"{_LONG_NAME}b")],
        checks=["contains", {"regex": "{{x}}|file://"}, {"json_schema": {"$ref": "#/definitions/{{x}}", "definitions": {"{{x}}": {}}}}],
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    return ek.sweep(experiment, folder / "run", quiet=True)


RUNS = {"plain": swept, "raced": raced, "merged": merged, "searched": searched, "hostile": hostile}


def part_promptfoo(run: ek.Run, folder: Path) -> None:
    config = folder / "promptfooconfig.yaml"
    config.write_text(ek.export(run, "promptfoo", cells=_cells(run)), encoding="utf-8")
    written = yaml.safe_load(config.read_text(encoding="utf-8"))
    node = os.environ.get("PROMPTFOO") or shutil.which("promptfoo")
    assert node, "promptfoo is not there"
    quiet = {"PROMPTFOO_DISABLE_TELEMETRY": "1", "PROMPTFOO_DISABLE_UPDATE": "1", "PROMPTFOO_CONFIG_DIR": str(folder / "pf"), "INTEROP_KEY": "none"}
    validated = subprocess.run([node, "validate", "-c", str(config)], env=os.environ | quiet, capture_output=True, text=True, check=False)
    print(validated.stdout[-500:], validated.stderr[-500:])
    assert validated.returncode == 0
    command = [node, "eval", "-c", str(config), "--no-cache", "--no-progress-bar", "--no-table", "--no-share", "-o", str(folder / "out.json")]
    done = subprocess.run(command, env=os.environ | quiet, capture_output=True, text=True, check=False)
    print(done.stdout[-1500:], done.stderr[-1500:])
    results = json.loads((folder / "out.json").read_text(encoding="utf-8"))["results"]["results"]
    prompts = {_untemplated(one.id): one for one in run.experiment.prompts}
    assert len(results) == len(written["providers"]) * len(prompts) * run.experiment.replicates
    for one in results:
        prompt = prompts[one["testCase"]["description"]]
        assert json.loads(one["prompt"]["raw"]) == prompt.conversation(), "it is asked what evalkit asked"
        if any(message.images() for message in prompt.messages):
            continue  # the embedded model refuses those
        assert not one.get("error") or one.get("failureReason") == 1, one["error"]  # 1: an assertion, and no fault
        assert one["response"]["output"]
    assert {one["provider"]["label"] for one in results} == {one["label"] for one in written["providers"]}
    kinds = {check["assertion"]["type"] for one in results for check in (one.get("gradingResult") or {}).get("componentResults", ())}
    wanted = {
        "for-other-tools": {"contains", "word-count", "not-is-refusal", "icontains-all"},
        "hostile.names-1": {"contains", "regex", "is-json"},
    }
    assert kinds == wanted.get(run.experiment.name, set()), kinds


def _cells(run: ek.Run) -> list[int]:
    """The settings that are exported: some, all of those with hostile names, else the chosen one and those tied with it."""
    return {"for-other-tools": [0, 3], "hostile.names-1": list(range(5))}.get(run.experiment.name, [])


def _untemplated(text: str) -> str:
    """A name as a configuration of promptfoo shows it."""
    return text.replace("{{", "{ {").replace("{%", "{ %").replace("{#", "{ #").replace("#}", "# }")


def part_mlflow(run: ek.Run, folder: Path) -> None:
    import mlflow

    place = f"sqlite:///{folder}/mlflow.db"
    os.chdir(folder)  # artefacts go below it
    print(ek.export(run, "mlflow", place=place))
    client = mlflow.MlflowClient(place)
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    children = [one for one in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" in one.data.tags]
    (parent,) = [one for one in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in one.data.tags]
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} >= {"analysis.json", "choice.json", "recommended.yaml"}
    assert sorted(len(one.data.metrics) for one in children) == sorted(map(len, _figures(run)))
    assert sorted(one.data.metrics["distinct_2"] for one in children) == sorted(one["distinct_2"] for one in _figures(run))
    assert {float(one.data.params["temperature"]) for one in children} == _temperatures(run)
    assert {one.data.tags["evalkit.role"] for one in children} >= {"recommended"}
    print(ek.export(run, "mlflow", place=place))  # and again: a run of its own


def _figures(run: ek.Run) -> list[dict[str, float]]:
    """What a tracker is to hold of each setting: means and the ends of their intervals, as far as there are any, and how desirable it is."""
    out: dict[int, dict[str, float]] = {at: {} for at in range(len(run.choice.desirability))}
    for row in run.analysis.by_cell:
        ends = {"": row.mean, ".low": row.ci_low, ".high": row.ci_high}
        out[row.cell_index] |= {row.metric + ending: value for ending, value in ends.items() if math.isfinite(value)}
    for at, worth in enumerate(run.choice.desirability):
        out[at] |= {} if worth is None or not math.isfinite(worth) else {"desirability": worth}
    return list(out.values())


def _temperatures(run: ek.Run) -> set[float]:
    return {float(one.parameters["temperature"]) for one in all_of(run)}


def part_wandb(run: ek.Run, folder: Path) -> None:
    import wandb
    from wandb.proto import wandb_internal_pb2

    print(ek.export(run, "wandb", place=str(folder / "tracked")))
    wandb.teardown()  # what its service still holds is written
    every = list((folder / "tracked" / "wandb").glob("offline-run-*"))
    logged, temperatures = [], set()
    for one in every:
        (log,) = one.glob("*.wandb")
        config: dict[str, Any] = {}
        seen: dict[str, float] = {}
        for content in _logged(log.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            for item in record.run.config.update if record.HasField("run") else ():
                config[item.key] = json.loads(item.value_json)
            for item in record.history.item if record.HasField("history") else ():
                seen[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
        logged.append({name: value for name, value in seen.items() if name not in ("_step", "_runtime", "_timestamp")})
        temperatures.add(float(config["temperature"]))
        assert (one / "files" / "analysis.json").exists()
    assert temperatures == _temperatures(run)
    assert sorted(map(len, logged)) == sorted(map(len, _figures(run)))
    assert sorted(one["distinct_2"] for one in logged) == sorted(one["distinct_2"] for one in _figures(run))


def _logged(content: bytes) -> Iterator[bytes]:
    """The records of a W&B log: LevelDB's form of a log, blocks of 32 KiB whose pieces have a head of 7 bytes, behind 7 bytes of its own."""
    block, at, whole = 32768, 7, b""
    while at + 7 <= len(content):
        left = block - at % block
        if left < 7:
            at += left
            continue
        size, kind = int.from_bytes(content[at + 4 : at + 6], "little"), content[at + 6]
        if kind == 0:
            return
        whole += content[at + 7 : at + 7 + size]
        at += 7 + size
        if kind in (1, 4):  # a whole one, or the last piece
            yield whole
            whole = b""


def part_litellm(run: ek.Run, folder: Path) -> None:
    config = folder / "litellm.yaml"
    config.write_text(ek.export(run, "litellm", cells=_cells(run)), encoding="utf-8")
    names = [one["model_name"] for one in yaml.safe_load(config.read_text(encoding="utf-8"))["model_list"]]
    key = f"sk-{secrets.token_hex(16)}"
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(config), "--port", "8797", "--host", "127.0.0.1"]
    with (folder / "litellm.txt").open("w") as log:
        proxy = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"LITELLM_MASTER_KEY": key})
    try:
        for name in names:
            body = json.dumps({"model": name, "messages": [{"role": "user", "content": "Hello"}]}).encode()
            headers = {"Content-Type": "application/json", "Authorization": f"Bearer {key}"}
            request = urllib.request.Request("http://127.0.0.1:8797/v1/chat/completions", body, headers)
            answer = json.loads(_patiently(request, proxy))
            assert answer["choices"][0]["message"]["content"]
            assert answer["usage"]["completion_tokens"] <= run.experiment.request["max_tokens"], (
                "the setting's max_tokens holds where the request names none"
            )
    finally:
        proxy.terminate()
        proxy.wait()


def part_batches(run: ek.Run, folder: Path) -> None:
    """A sweep by batches through LiteLLM's proxy, which hands files and batches on to the embedded endpoint."""
    url, key = run.experiment.endpoint.base_url, f"sk-{secrets.token_hex(16)}"
    files = {"custom_llm_provider": "openai", "api_base": url, "api_key": "none"}
    models = [{"model_name": "babbler", "litellm_params": {"model": "openai/babbler", "api_base": url, "api_key": "none"}}]
    (folder / "proxy.yaml").write_text(yaml.safe_dump({"model_list": models, "files_settings": [files]}), encoding="utf-8")
    command = [str(Path(sys.executable).with_name("litellm")), "--config", str(folder / "proxy.yaml"), "--port", "8798", "--host", "127.0.0.1"]
    with (folder / "proxy.txt").open("w") as log:
        proxy = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"LITELLM_MASTER_KEY": key})
    try:
        _patiently(urllib.request.Request("http://127.0.0.1:8798/v1/models", headers={"Authorization": f"Bearer {key}"}), proxy)
        data = run.experiment.resolved()
        data |= {"name": "batched", "endpoint": {"base_url": "http://127.0.0.1:8798/v1", "model": "babbler", "api_key_env": "INTEROP_BATCH_KEY"}}
        (folder / "batched.json").write_text(json.dumps(data), encoding="utf-8")
        sweep = [sys.executable, "-m", "evalkit", "sweep", str(folder / "batched.json"), "--batch", "--wait", "-q", "-o", str(folder / "batched")]
        subprocess.run(sweep, env=os.environ | {"INTEROP_BATCH_KEY": key}, check=True, timeout=300)
    finally:
        proxy.terminate()
        proxy.wait()
    found = ek.load(folder / "batched")
    assert found.complete
    assert key not in (folder / "batched" / "batches.jsonl").read_text(encoding="utf-8")


def _patiently(request: urllib.request.Request, server: subprocess.Popen[bytes]) -> bytes:
    """What a server answers that is starting."""
    for _ in range(180):
        assert server.poll() is None, "the proxy has ended"
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 (loopback)
                content: bytes = answer.read()
                return content
        except OSError:
            time.sleep(1)
    raise AssertionError("the proxy does not answer")


def part_vllm(run: ek.Run, _: Path) -> None:
    import shlex

    from vllm.engine.arg_utils import EngineArgs
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    for one in exported(run, [str(at) for at in _cells(run)]):
        command = ek.export(run, "vllm", cells=[one.index]).splitlines()[-1]
        parser = EngineArgs.add_cli_args(FlexibleArgumentParser())
        model, *rest = shlex.split(command)[2:]
        found = EngineArgs.from_cli_args(parser.parse_args(["--model", model, *rest]))
        wanted = {name: value for name, value in one.parameters.items() if name not in ("stop", "max_tokens", "response_format")}
        assert found.override_generation_config == wanted | {"max_new_tokens": one.parameters["max_tokens"]}


ALONE = ("batches",)
"""Parts that are about the tool and not about a run's form."""


def main() -> None:
    """Run the parts that are named."""
    *parts, place = sys.argv[1:]
    os.environ["INTEROP_KEY"] = "none"
    folder = Path(place).absolute()
    with serving() as url:
        for name, made in RUNS.items():
            run = made(url, folder / name)
            for part in parts:
                if name == "plain" or part not in ALONE:
                    globals()[f"part_{part}"](run, folder / name)
                    print(f"{part}: {name} read back")


if __name__ == "__main__":
    main()
