"""What the documents show is what evalkit takes, and the pages that are written by a program are up to date."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.process import ROOT
from typer.main import get_command

import evalkit
from evalkit.cli import app
from evalkit.comparison import gate
from evalkit.experiment import experiment
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.files import reading
from evalkit.local import rehearsal
from evalkit.present import plots
from evalkit.run import Run

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BASE = {"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": [{"id": "a", "user": "b"}]}


def _blocks(language: str) -> Iterator[Any]:
    for page in PAGES:
        for number, text in enumerate(re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE), 1):
            yield pytest.param(text, id=f"{page.name}-{number}")


def _kind(text: str, data: Any) -> str:
    """What a block of YAML is: by its first line where that names a file, else by its keys."""
    if named := re.match(r"# (\w+)\.yaml\n", text):
        return named[1]
    if "about" in data:
        return "profile"  # which tests/test_project.py holds against its file
    return "experiment" if "name" in data else "part"


@pytest.mark.parametrize("text", [*_blocks("yaml")])
def test_yaml_in_the_documents_is_legal(text: str, tmp_path: Path) -> None:
    data = yaml.safe_load(text)
    path = tmp_path / "shown.yaml"
    path.write_text(text, encoding="utf-8")
    (tmp_path / "prompts").mkdir()
    for name in ("prompts.yaml", "prompts/quickstart.yaml"):
        (tmp_path / name).write_text(yaml.safe_dump(BASE["prompts"]), encoding="utf-8")
    (tmp_path / "q.csv").write_text("Frage;Antwort;Thema\nWhat is it?;A thing;x\n", encoding="utf-8")
    match _kind(text, data):
        case "experiment":
            assert experiment.load(path, []).name == data["name"]
        case "part":
            assert experiment.check(BASE | data, "shown", None, tmp_path).name == "x"
        case "prompts":
            assert len(reading.read_prompts(path).prompts) == len(data)
        case "margins":
            assert gate.margins(path, [])
        case "faults":
            assert rehearsal.load(path).faults
        case "profile":
            assert set(data) <= {"about", "require", "prefer"}
        case other:
            pytest.fail(f"no test knows what {other} is")


def _words(line: str) -> Iterator[str]:
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
    words.whitespace_split = True
    return words


def _commands(text: str) -> Iterator[list[str]]:
    """The arguments of each call of evalkit in a block of shell."""
    for line in text.replace("\\\n", " ").splitlines():
        command: list[str] = []
        for word in [*_words(line), ";"]:
            if not set(word) <= set("&|;"):
                command.append(word)
                continue
            if command[1:3] == ["-m", "evalkit"]:
                yield command[3:]
            elif command and Path(command[0]).name == "evalkit":
                yield command[1:]
            command = []


@pytest.mark.parametrize("text", [*_blocks("sh")])
def test_commands_in_the_documents_are_legal(text: str) -> None:
    root: Any = get_command(app)
    for words in _commands(text):
        context = root.make_context("evalkit", list(words))
        root.commands[words[0]].make_context(words[0], words[1:], parent=context)


def test_commands_are_found_in_the_documents() -> None:
    found = [words[0] for text in _blocks("sh") for words in _commands(str(text.values[0]))]
    assert set(found) >= {"init", "plan", "sweep", "report", "compare", "probe", "score"}


def test_the_experiment_for_paradigm_is_shown_as_it_is() -> None:
    page = (ROOT / "docs/paradigm.md").read_text(encoding="utf-8")
    (shown,) = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(name:.*?)```", page, flags=re.DOTALL)]
    assert shown == yaml.safe_load((ROOT / "experiments/paradigm.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("text", [*_blocks("python")])
def test_python_in_the_documents_uses_what_there_is(text: str) -> None:
    """Names of evalkit, its figures and its runs; the notebooks and the doctests run the code itself."""
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Attribute):
            continue
        match ast.unparse(node).split("."):
            case ["ek", "plots", name]:
                assert name in plots.__all__
            case ["ek", name]:
                assert name in evalkit.__all__
            case ["run", name]:
                assert hasattr(Run, name) or name in Run.__dataclass_fields__


def _written(name: str) -> Any:
    """A program of ``docs/``, which is no package."""
    spec = spec_from_file_location(f"docs_{name}", ROOT / f"docs/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    program = module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


@pytest.mark.parametrize("name", ["commands", "experiment"])
def test_a_written_page_is_up_to_date(name: str) -> None:
    assert (ROOT / f"docs/{name}.md").read_text(encoding="utf-8") == _written(name).text(), f"out of date: python docs/{name}.py"


def test_what_help_prints_is_up_to_date() -> None:
    assert (ROOT / "evalkit/cli/front.py").read_text(encoding="utf-8") == _written("commands").front(), "out of date: python docs/commands.py"


def test_the_page_of_the_experiment_tells_of_every_key() -> None:
    text = (ROOT / "docs/experiment.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .+ \| (.*) \|$", text, flags=re.MULTILINE)
    told = {name for name, meaning in rows if meaning.strip()}
    assert set(Experiment.model_fields) <= told


def test_the_page_of_python_shows_every_public_name() -> None:
    shown = set(re.findall(r"^::: evalkit\.(?:\w+\.)*(\w+)$", (ROOT / "docs/api.md").read_text(encoding="utf-8"), flags=re.MULTILINE))
    errors = {name for name in evalkit.__all__ if name.endswith("Error")}
    assert set(evalkit.__all__) - errors - {"__version__", "metrics", "plots"} <= shown
    assert set(plots.__all__) <= shown
    assert "errors" in shown


def test_every_page_stands_in_the_navigation() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert {page.name for page in PAGES[1:]} == set(re.findall(r": ([\w-]+\.md)$", text, flags=re.MULTILINE))


def test_what_a_page_fetches_from_other_hosts_is_found(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="comes with the extra docs")
    page = tmp_path / "page.html"
    page.write_text(
        '<link rel="stylesheet" href="https://a.example/x.css"><link rel="canonical" href="https://here.example/">'
        '<script src="//b.example/x.js"></script><img src="own.png" srcset="https://c.example/1.png 1x, https://c.example/2.png 2x">'
        '<a href="https://d.example/">read</a><style>@import "https://e.example/f.css"; p { background: url(own.png) }</style>',
        encoding="utf-8",
    )
    found = _written("hooks").fetched(page)
    assert found == ["https://a.example/x.css", "//b.example/x.js", "https://c.example/1.png", "https://c.example/2.png", "https://e.example/f.css"]
