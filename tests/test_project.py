"""What the documents say of the project is true."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from support.process import ROOT

from evalkit import __version__


def test_the_readme_starts_with_two_commands_that_set_themselves_up() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = re.findall(r"```sh\n(python3 -m venv [^\n]+)\n```", text)
    assert len(commands) == 2
    assert commands[0].endswith("-m evalkit sweep experiments/quickstart.yaml")
    assert commands[1].endswith("-m pytest")
    assert len(text.splitlines()) <= 100


def test_every_file_that_a_document_links_to_exists() -> None:
    for document in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md"):
        text = (ROOT / document).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (ROOT / target).exists(), f"{document}: {target}"


BARE_INSTALL = re.compile(
    r"""(?:(?:pip3?|uv|poetry|conda|mamba)\s+(?:install|add)\b|\buvx(?!\s+--from\s+[./])|\bpipx\s+(?:run|install))[^#&;|\n]*?[\s"'`]evalkit(?![\w/@.-]|\s*@)"""
    r"""|EVALKIT\s*[:=]\s*["']?evalkit\b(?!\s*@)"""
)
"""An install of evalkit by its name, which on the public index is another project's package."""


@pytest.mark.parametrize(
    ("how", "what", "bare"),
    [
        ("pip install ", "evalkit", True),
        ("python -m pip install -U ", "'evalkit[checks]'", True),
        ("uvx ", "evalkit sweep x.yaml", True),
        ("uvx ", "--from evalkit evalkit", True),
        ("uvx ", "--from ./evalkit-0.1.0-py3-none-any.whl evalkit", False),
        ("pipx run ", "evalkit", True),
        ("  EVALKIT: ", "evalkit==0.2.0", True),
        ("pip install ", '"evalkit>=1"', True),
        ("uv add ", "evalkit", True),
        ("pip install ", "-e .", False),
        ("pip install ", "./evalkit/", False),
        ("pip install ", "dist/evalkit-0.1.0-py3-none-any.whl", False),
        ("pip install ", "'evalkit @ git+https://git.example.com/evalkit'", False),
        ("pip install ", "git+https://git.example.com/your-team/evalkit@v0.1.0", False),
        ("pip install ", "-e . && python -m evalkit sweep", False),
        ("pip install ", "jsonschema", False),
    ],
)
def test_a_bare_install_is_known_from_others(how: str, what: str, bare: bool) -> None:
    assert bool(BARE_INSTALL.search(how + what)) is bare


def test_nothing_tells_people_to_install_the_name_evalkit_from_the_index() -> None:
    endings = {".py", ".md", ".yml", ".yaml", ".toml", ".j2", ".js", ".ipynb", ".sh", ".cfg", ".txt"}
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    files = [ROOT / name for name in tracked if name and (Path(name).suffix in endings or name.startswith(".ci/"))]
    assert len(files) > 100
    told = []
    for path in files:
        if path != Path(__file__):
            text = path.read_text(encoding="utf-8")
            told += [f"{path.relative_to(ROOT)}: {found.group()}" for found in BARE_INSTALL.finditer(text)]
    assert told == []


def test_contributing_says_where_new_things_go_and_those_places_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for kind in ("metric", "statistic", "command", "report section", "finish reason or error"):
        (line,) = re.findall(rf"- \*\*A new {kind}\*\* goes into .*", text)
        places = re.findall(r"`(evalkit/[^`]+)`", line)
        assert places, kind
        assert all((ROOT / place).exists() for place in places), line


def test_the_architecture_is_one_screen() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").splitlines()) <= 70


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    rooms = {path.name for path in (ROOT / "evalkit").iterdir() if path.suffix == ".py"} - {"__init__.py", "__main__.py", "_version.py", "errors.py"}
    rooms |= {f"{path.name}/" for path in (ROOT / "evalkit").iterdir() if (path / "__init__.py").exists()}
    assert {room for room in rooms if room not in text} == set()


def test_each_example_names_its_schema_and_loads() -> None:
    from evalkit.experiment.experiment import load
    from evalkit.experiment.schema import json_schema

    examples = sorted((ROOT / "experiments").glob("*.yaml"))
    assert {path.name for path in examples} >= {"quickstart.yaml", "paradigm.yaml", "race.yaml", "search.yaml"}
    for path in examples:
        first = path.read_text(encoding="utf-8").splitlines()[0]
        assert first == "# yaml-language-server: $schema=experiment.schema.json"
        load(path)
    stored = json.loads((ROOT / "experiments/experiment.schema.json").read_text(encoding="utf-8"))
    assert stored == json_schema(), "out of date: evalkit schema > experiments/experiment.schema.json"


def test_the_example_in_the_readme_is_a_legal_experiment() -> None:
    from evalkit.experiment.experiment import check

    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    data = yaml.safe_load(example) | {"prompts": [{"id": "a", "user": "b"}]}
    assert check(data).name == "support-tone"


def test_paradigm_runs_with_a_key_alone(monkeypatch) -> None:
    from evalkit.experiment.experiment import load

    experiment = load(ROOT / "experiments/paradigm.yaml")
    assert experiment.endpoint.base_url == "https://paradigm.lighton.ai/api/v2"
    assert experiment.endpoint.model == "alfred-4"
    assert experiment.endpoint.api_key_env == "PARADIGM_API_KEY"
    monkeypatch.setenv("PARADIGM_BASE_URL", "https://private.example/api/v2/")
    assert load(ROOT / "experiments/paradigm.yaml").endpoint.base_url == "https://private.example/api/v2"


def test_the_changelog_knows_this_version() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## Unreleased" in text or f"## {__version__}" in text


def test_the_layers_hold_every_module() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    assert "exhaustive = true" in text


def test_the_page_of_metrics_is_that_of_the_code() -> None:
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("metrics_page", ROOT / "docs/metrics.py")
    assert spec is not None
    assert spec.loader is not None
    page = module_from_spec(spec)
    spec.loader.exec_module(page)
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8") == page.text(), "out of date: python docs/metrics.py"


def test_the_documents_show_the_profiles_as_they_are() -> None:
    from evalkit.experiment.goals import PROFILES

    text = (ROOT / "docs/choice.md").read_text(encoding="utf-8")
    for name in PROFILES:
        body = (ROOT / f"evalkit/experiment/profiles/{name}.yaml").read_text(encoding="utf-8").rstrip()
        assert f"### {name}\n\n```yaml\n{body}\n```\n" in text, f"docs/choice.md: {name}"


def test_the_judge_in_the_documents_is_a_legal_one() -> None:
    from evalkit.experiment.experiment import check

    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    data = {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}]}
    found = [yaml.safe_load(one) for one in re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)]
    assert [list(one) for one in found] == [["embeddings"], ["judges"]]
    for one in found:
        assert check(data | one).name == "x"
