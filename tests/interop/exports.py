"""Give a run to other tools and let each read it: ``python exports.py PART... FOLDER``, in an environment that holds the tool.

The run is a real sweep of the embedded model, which is served on loopback meanwhile; every part fails by an assertion.
"""

from __future__ import annotations

import json
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


def swept(url: str, folder: Path) -> ek.Run:
    experiment = ek.Experiment.build(
        name="for-other-tools",
        endpoint={"base_url": url, "model": "babbler", "api_key_env": "INTEROP_KEY"},
        prompts=PROMPTS,
        parameters={"temperature": [0.3, 1.1], "top_p": ["default", 0.8]},
        request={"max_tokens": 30, "frequency_penalty": 0.5, "stop": ["\n\n"]},
        replicates=4,
        checks=["contains", {"words": {"max": 200}}, "refusal", {"facts": ["list"]}],
        choose={"prefer": {"distinct_2": {"goal": "maximize"}}},
    )
    return ek.sweep(experiment, folder / "run", quiet=True)


def part_promptfoo(run: ek.Run, folder: Path) -> None:
    config = folder / "promptfooconfig.yaml"
    config.write_text(ek.export(run, "promptfoo", cells=[0, 3]), encoding="utf-8")
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
    assert len(results) == 2 * 3 * 4, "settings × prompts × replicates"
    asked = {one["id"]: [{"role": "system", "content": one["system"]}] if "system" in one else [] for one in PROMPTS}
    asked = {one["id"]: [*asked[one["id"]], {"role": "user", "content": one["user"]}] for one in PROMPTS}
    for one in results:
        assert not one.get("error") or one.get("failureReason") == 1, one["error"]  # 1: an assertion, and no fault
        assert json.loads(one["prompt"]["raw"]) == asked[one["testCase"]["description"]], "it is asked what evalkit asked"
        assert one["response"]["output"]
    assert {one["provider"]["label"] for one in results} == {one["label"] for one in written["providers"]}
    kinds = {check["assertion"]["type"] for one in results for check in one["gradingResult"]["componentResults"]}
    assert kinds == {"contains", "word-count", "not-is-refusal", "icontains-all"}, kinds


def part_mlflow(run: ek.Run, folder: Path) -> None:
    import mlflow

    place = f"sqlite:///{folder}/mlflow.db"
    os.chdir(folder)  # artefacts go below it
    print(ek.export(run, "mlflow", place=place))
    client = mlflow.MlflowClient(place)
    (experiment,) = [one for one in client.search_experiments() if one.name != "Default"]
    children = [one for one in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" in one.data.tags]
    (parent,) = [one for one in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in one.data.tags]
    assert len(children) == 4
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} >= {"analysis.json", "choice.json", "recommended.yaml"}
    means = {(row.cell_index, row.metric): row.mean for row in run.analysis.by_cell}
    found = {(one.data.params["temperature"], one.data.params.get("top_p")): one.data.metrics for one in children}
    assert found[("0.3", None)]["distinct_2"] == means[(0, "distinct_2")]
    assert {one.data.tags["evalkit.role"] for one in children} >= {"recommended"}
    print(ek.export(run, "mlflow", place=place))  # and again: a run of its own


def part_wandb(run: ek.Run, folder: Path) -> None:
    import wandb
    from wandb.proto import wandb_internal_pb2

    print(ek.export(run, "wandb", place=str(folder / "tracked")))
    wandb.teardown()  # what its service still holds is written
    every = list((folder / "tracked" / "wandb").glob("offline-run-*"))
    assert len(every) == 4, every
    means = {row.mean for row in run.analysis.by_cell if row.metric == "distinct_2"}
    seen = set()
    for one in every:
        (log,) = one.glob("*.wandb")
        config: dict[str, Any] = {}
        for content in _logged(log.read_bytes()):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(content)
            for item in record.run.config.update if record.HasField("run") else ():
                config[item.key] = json.loads(item.value_json)
            for item in record.history.item if record.HasField("history") else ():
                if "distinct_2" in (item.key, *item.nested_key):
                    seen.add(json.loads(item.value_json))
        assert config["temperature"] in (0.3, 1.1), config
        assert (one / "files" / "analysis.json").exists()
    assert seen == means


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
    config.write_text(ek.export(run, "litellm", cells=[0, 3]), encoding="utf-8")
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
            assert answer["usage"]["completion_tokens"] <= 30, "the setting's max_tokens holds where the request names none"
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

    command = ek.export(run, "vllm", cells=[3]).splitlines()[-1]
    parser = EngineArgs.add_cli_args(FlexibleArgumentParser())
    model, *rest = shlex.split(command)[2:]
    found = EngineArgs.from_cli_args(parser.parse_args(["--model", model, *rest]))
    assert found.override_generation_config == {"temperature": 1.1, "top_p": 0.8, "frequency_penalty": 0.5, "max_new_tokens": 30}


def main() -> None:
    """Run the parts that are named."""
    *parts, place = sys.argv[1:]
    os.environ["INTEROP_KEY"] = "none"
    folder = Path(place).absolute()
    with serving() as url:
        run = swept(url, folder)
        for part in parts:
            globals()[f"part_{part}"](run, folder)
            print(f"{part}: read back")


if __name__ == "__main__":
    main()
