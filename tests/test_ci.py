"""The files for CI in the documents: sound YAML, known actions, and steps that do what the page says when a shell runs them."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
import yaml
from support.process import ROOT, environment

from evalkit.present.markdown.comparison import MARK

GITHUB = yaml.safe_load((ROOT / "docs/ci/github-actions.yml").read_text(encoding="utf-8"))
ACTION = yaml.safe_load((ROOT / "docs/ci/action.yml").read_text(encoding="utf-8"))
SPEC, COMPONENT = yaml.safe_load_all((ROOT / "docs/ci/component.yml").read_text(encoding="utf-8"))
GITLAB = yaml.safe_load((ROOT / "docs/ci/gitlab-ci.yml").read_text(encoding="utf-8"))

EXPERIMENT = """
name: ci
endpoint: {{base_url: local, model: babbler}}
prompts:
{prompts}
parameters: {{temperature: [0.7]}}
request: {{max_tokens: {most}, seed: per_replicate, stop: ["\\n\\n"]}}
replicates: 2
"""
ABOUT = ("slicing", "exceptions", "iterators", "dictionaries", "modules", "closures", "strings", "sets")


def experiment(most: int) -> str:
    return EXPERIMENT.format(prompts="\n".join(f"  - {{id: {one}, user: Explain {one}.}}" for one in ABOUT), most=most)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A repository with an experiment in it."""
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository/experiment.yaml").write_text(experiment(200), encoding="utf-8")
    return tmp_path / "repository"


def shell(script: str, place: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a step as a runner does: in a shell that stops at the first command that fails."""
    search = os.pathsep.join([str(place.parent / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]])
    whole = environment({**env, "PATH": search, "EVALKIT": "pip"})  # a requirement that is met already, so that nothing is fetched
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(command, cwd=place, env=whole, capture_output=True, text=True, timeout=240, check=False)


def steps(job: str) -> dict[str, str]:
    """The shell steps of a job for GitHub, by name."""
    return {step["name"]: step["run"] for step in GITHUB["jobs"][job]["steps"] if "run" in step}


def test_every_action_is_one_of_githubs_own_at_a_major_version() -> None:
    used = [step["uses"] for job in (*GITHUB["jobs"].values(), ACTION["runs"]) for step in job["steps"] if "uses" in step]
    assert used
    assert all(re.fullmatch(r"actions/(checkout|setup-python|upload-artifact|cache/(save|restore))@v\d+", one) for one in used)


def test_a_workflow_writes_nothing_but_a_comment_and_takes_no_text_of_others_into_a_command() -> None:
    assert GITHUB["permissions"] == {"contents": "read", "pull-requests": "write"}
    assert not [run for job in GITHUB["jobs"] for run in steps(job).values() if "${{" in run]
    assert not [step["run"] for step in ACTION["runs"]["steps"] if "${{" in step.get("run", "")]


def test_the_action_and_the_component_use_every_input_that_they_offer_and_no_other() -> None:
    action = (ROOT / "docs/ci/action.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"inputs\.([a-z-]+)", action)) == set(ACTION["inputs"])
    component = (ROOT / "docs/ci/component.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"\$\[\[ inputs\.([a-z_]+) \]\]", component)) == set(SPEC["spec"]["inputs"])
    assert all("shell" in step for step in ACTION["runs"]["steps"] if "run" in step), "which a composite action wants of each"


def test_the_component_does_what_the_file_for_gitlab_does_within_a_budget() -> None:
    for job in ("evalkit-baseline", "evalkit"):
        scripts = [one.replace(' --max-requests "$MAX_REQUESTS"', "").replace(' --fail-on "$FAIL_ON"', "") for one in COMPONENT[job]["script"]]
        assert scripts == GITLAB[job]["script"]
        assert COMPONENT[job]["artifacts"] == GITLAB[job]["artifacts"]
        assert COMPONENT[job]["cache"] == GITLAB[job]["cache"]


def test_what_the_merge_request_reads_is_what_the_main_branch_wrote() -> None:
    save = next(step for step in GITHUB["jobs"]["baseline"]["steps"] if step.get("uses", "").startswith("actions/cache/save"))
    restore = next(step for step in GITHUB["jobs"]["compare"]["steps"] if step.get("uses", "").startswith("actions/cache/restore"))
    assert save["with"]["path"] == restore["with"]["path"] == "baseline"
    assert save["with"]["key"].startswith(restore["with"]["restore-keys"])
    pushed, pulled = (next(one for one in GITLAB[job]["cache"] if one["paths"] == ["baseline/"]) for job in ("evalkit-baseline", "evalkit"))
    assert (pushed["key"], pushed["policy"], pulled["policy"]) == (pulled["key"], "push", "pull")
    assert pushed["unprotect"]
    assert pulled["unprotect"]


def test_every_file_that_is_kept_is_written_by_a_step() -> None:
    for text, kept in ((steps("compare")["Compare"], "compare.xml"), ("\n".join(GITLAB["evalkit"]["script"]), "compare.xml")):
        assert all(name in text for name in (kept, "compare.md", "compare.html", "compare.json"))
    assert GITLAB["evalkit"]["artifacts"]["reports"]["junit"] == "compare.xml"


@pytest.mark.slow
def test_the_steps_for_github_pass_fail_and_comment_once(place: Path) -> None:
    _write_gh(place.parent / "bin")
    summary = place.parent / "summary.md"
    env = {**{name: value for name, value in GITHUB["env"].items() if "${{" not in value}, "GITHUB_STEP_SUMMARY": str(summary)}
    env |= {"GITHUB_REPOSITORY": "us/ours", "PULL_REQUEST": "7", "GH_TOKEN": "none", "GH_STATE": str(place.parent / "state.json")}
    compare = steps("compare")
    assert shell(compare["Is there a baseline?"], place, env).returncode == 1
    for script in steps("baseline").values():
        assert (out := shell(script, place, env)).returncode == 0, out.stderr

    def run() -> dict[str, int]:
        found: dict[str, int] = {}
        for name, script in compare.items():
            if name == "Comment" or not any(found.values()):  # the step of if: always()
                found[name] = shell(script, place, env).returncode
        return found

    assert run() == dict.fromkeys(compare, 0)
    assert summary.read_text(encoding="utf-8").startswith("**PASSED**: ")
    (place / "experiment.yaml").write_text(experiment(8), encoding="utf-8")
    subprocess.run(["rm", "-rf", str(place / "candidate")], check=True)  # each job starts from a clean checkout
    assert run() == {**dict.fromkeys(compare, 0), "Compare": 1}
    assert "**FAILED**: truncation\\_rate is worse: " in summary.read_text(encoding="utf-8")
    action = next(step["run"] for step in ACTION["runs"]["steps"] if step.get("id") == "compare")
    told = shell(action, place, {**env, "GITHUB_OUTPUT": str(place.parent / "output"), "FAIL_ON": "worse"})
    assert told.returncode == 1
    assert [line for line in told.stdout.splitlines() if line.startswith("::error title=evalkit::truncation_rate is worse: ")], told.stdout
    assert (place.parent / "output").read_text(encoding="utf-8") == "passed=false\n"
    comments = json.loads((place.parent / "state.json").read_text(encoding="utf-8"))
    assert [one["id"] for one in comments] == [1]
    assert comments[0]["body"].startswith("**FAILED**")


def _write_gh(folder: Path) -> None:
    """A stand-in for GitHub's own command, which keeps comments in a file: it understands the two calls of the step."""
    folder.mkdir()
    path = folder / "gh"
    path.write_text(
        f"""#!{sys.executable}
import json, os, pathlib, sys
state = pathlib.Path(os.environ["GH_STATE"])
comments = json.loads(state.read_text()) if state.exists() else []
arguments = sys.argv[1:]
assert arguments.pop(0) == "api" and os.environ["GH_TOKEN"]
if "--method" not in arguments:
    assert "--jq" in arguments and "repos/us/ours/issues/7/comments" in arguments and {MARK!r} in arguments[-1]
    print(*(one["id"] for one in comments if {MARK!r} in one["body"]), sep="\\n")
    sys.exit()
method, where = arguments[1], arguments[2]
name, _, file = arguments[4].partition("=@")
assert (arguments[3], name) == ("--field", "body")
body = pathlib.Path(file).read_text()
if method == "POST":
    assert where == "repos/us/ours/issues/7/comments"
    comments.append(dict(id=len(comments) + 1, body=body))
else:
    assert method == "PATCH"
    next(one for one in comments if where == f"repos/us/ours/issues/comments/{{one['id']}}")["body"] = body
state.write_text(json.dumps(comments))
print("{{}}")
""",
        encoding="utf-8",
    )
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.slow
def test_the_scripts_for_gitlab_pass_fail_and_note_once(place: Path) -> None:
    base = GITLAB[".evalkit"]
    env = {name: str(value) for name, value in base["variables"].items() if name == "EXPERIMENT"}

    def job(name: str, more: Mapping[str, str]) -> int:
        """The scripts in one shell, then what comes after in another, as the runner has it."""
        script = "\n".join([*base["before_script"], *GITLAB[name]["script"]])
        status = shell(script, place, {**env, **more}).returncode
        after: Sequence[str] = GITLAB[name].get("after_script", ())
        if after:
            out = shell("\n".join(after), place, {**env, **more})
            assert out.returncode == 0, out.stderr
        return status

    with notes() as (url, kept):
        about = {"CI_API_V4_URL": url, "CI_PROJECT_ID": "3", "CI_MERGE_REQUEST_IID": "7", "EVALKIT_TOKEN": "none"}
        assert job("evalkit", about) == 1  # no baseline yet
        assert kept == []
        assert job("evalkit-baseline", {}) == 0
        assert job("evalkit", about) == 0
        assert [one["body"].partition(":")[0] for one in kept[1:]] == ["**PASSED**"]
        (place / "experiment.yaml").write_text(experiment(8), encoding="utf-8")
        subprocess.run(["rm", "-rf", str(place / "candidate")], check=True)
        assert job("evalkit", about) == 1
        assert [one["body"].partition(":")[0] for one in kept[1:]] == ["**FAILED**"]
        assert kept[0] == {"id": 1, "body": "a note of somebody else"}
        without_token = shell("\n".join(GITLAB["evalkit"]["after_script"]), place, env)
        assert without_token.returncode == 0, without_token.stderr
        assert len(kept) == 2
    assert (place / "compare.xml").read_text(encoding="utf-8").count("<failure ") == 1


@contextmanager
def notes() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """GitLab's notes of a merge request, as far as the script uses them."""
    kept: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, data: Any) -> None:
            content = json.dumps(data).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def _body(self) -> str:
            assert self.headers["PRIVATE-TOKEN"] == "none"
            return parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())["body"][0]

        def do_GET(self) -> None:
            self._answer(200 if self.path == "/projects/3/merge_requests/7/notes?per_page=100" else 404, kept)

        def do_POST(self) -> None:
            if not kept:
                kept.append({"id": 1, "body": "a note of somebody else"})
            kept.append({"id": len(kept) + 1, "body": self._body()})
            self._answer(201, kept[-1])

        def do_PUT(self) -> None:
            number = int(self.path.removeprefix("/projects/3/merge_requests/7/notes/"))
            next(one for one in kept if one["id"] == number)["body"] = self._body()
            self._answer(200, {})

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", kept
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
