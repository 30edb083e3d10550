"""The shape of the code and of its tests: what may import what, what its names are, and what is looked up beside what is written down."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from support.process import ROOT, environment

import evalkit

CODE = ROOT / "evalkit"
FUNCTIONS = ("asweep", "compare", "export", "load", "rescore", "sweep", "write_report")


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def trees() -> dict[str, ast.Module]:
    """Each module of evalkit by its name, read."""
    return {module_of(path): ast.parse(path.read_text(encoding="utf-8")) for path in sorted(CODE.rglob("*.py"))}


def imports_of(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Wherever they stand: also in functions, and for type checkers alone."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def targets(node: ast.Import | ast.ImportFrom) -> set[str]:
    """The modules of evalkit that a line imports: ``from a import b`` imports a.b where that is a module, else a."""
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names} & trees().keys()
    assert node.level == 0, "imports are absolute"
    found = {f"{node.module}.{alias.name}" for alias in node.names}
    return {one if one in trees() else str(node.module) for one in found} & trees().keys()


# The tests


def test_no_test_imports_another() -> None:
    names = {path.stem for path in (ROOT / "tests").rglob("test_*.py")}
    for path in (ROOT / "tests").rglob("*.py"):
        for node in imports_of(ast.parse(path.read_text(encoding="utf-8"))):
            asked = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            assert not {part for name in asked for part in name.split(".")} & names, f"{path.relative_to(ROOT)}:{node.lineno}"


PRIVATE = {
    "_count": "the sampler is told what it drew, so that each step's probabilities can be held against the definition",
    "_docstrings": "one of the two sources of the corpus by itself, which the corpus does not tell from the other",
    "_hash": "where a feature falls, to count by hand what the embeddings are made of",
    "_idf": "the weights that embeddings are made with, held against those counted by hand",
    "_next": "which token follows at each position that the model was trained on",
    "_paragraph": "which paragraph each position belongs to: the weights of a condition are given by it",
    "_penalised": "one implementation of penalties is held against the other",
    "_postings": "that no trained array depends on the hash seed is told of all of them",
    "_prose": "what is left out of a manual is told on made-up blocks, for Python's own differ by its version",
    "_remembered": "that a cache stays bounded is seen in no answer",
    "_sections": "what is left out of a manual is told on made-up blocks, for Python's own differ by its version",
    "_weights": "that no trained array depends on the hash seed is told of all of them",
}
"""Private names of the embedded model that tests look at, and why no public one serves."""
OF_NAMED_TUPLES = {"_replace", "_asdict", "_fields"}


def test_tests_look_at_no_private_name_of_the_embedded_model_without_a_reason() -> None:
    looked_at = set()
    for path in (ROOT / "tests").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "evalkit.local" in text and path != Path(__file__):
            # Not only in the syntax tree: child processes are given code as text.
            looked_at |= {found for owner, found in re.findall(r"(\w+|\))\.(_[a-z]\w*)", text) if owner not in ("self", "cls")}
    assert looked_at - OF_NAMED_TUPLES == PRIVATE.keys()


# The names


def test_nothing_replaces_a_public_name_however_much_is_imported() -> None:
    code = f"""
import importlib, pkgutil
import evalkit
for module in pkgutil.walk_packages(evalkit.__path__, "evalkit."):
    if module.name != "evalkit.__main__":
        importlib.import_module(module.name)
for name in evalkit.__all__:
    getattr(evalkit, name)
print([name for name in {FUNCTIONS!r} if not callable(getattr(evalkit, name))])
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_no_module_at_the_root_bears_the_name_of_a_public_function() -> None:
    assert set(FUNCTIONS) <= set(evalkit.__all__)
    functions = {name for name in evalkit.__all__ if callable(getattr(evalkit, name)) and not isinstance(getattr(evalkit, name), type)}
    assert functions == set(FUNCTIONS)
    assert not functions & {path.stem for path in CODE.iterdir()}


# The shape


def test_few_modules_stand_at_the_root() -> None:
    assert len(list(CODE.glob("*.py"))) <= 10


def test_no_module_imports_itself_by_way_of_others() -> None:
    """Counting what is imported in functions and for type checkers alone; but not the look-up of the public names, which is nobody's need."""
    graph = {name: set().union(*map(targets, imports_of(tree))) - {name} if name != "evalkit" else set() for name, tree in trees().items()}
    assert sum(map(len, graph.values())) > 300
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join((*way[way.index(name) :], name))
        if name not in done:
            for other in sorted(graph[name]):
                visit(other, (*way, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def functions_of(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


@pytest.mark.parametrize("most", [60])
def test_functions_are_short(most: int) -> None:
    lengths = {f"{name}.{one.name}": one.end_lineno - one.lineno + 1 for name, tree in trees().items() for one in functions_of(tree)}
    assert {name: length for name, length in lengths.items() if length > most} == {}


def test_what_is_our_own_is_called_by_its_name() -> None:
    renamed = [
        f"{name}:{node.lineno}: {alias.name} as {alias.asname}"
        for name, tree in trees().items()
        for node in imports_of(tree)
        if targets(node)
        for alias in node.names
        if alias.asname not in (None, alias.name)
    ]
    assert renamed == []


def test_an_import_of_our_own_inside_a_function_says_why() -> None:
    silent = []
    for name, tree in trees().items():
        path = ROOT / Path(*name.split("."))
        lines = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8").splitlines()
        inside = {node for function in functions_of(tree) for node in imports_of(function)}
        said = {number for number, line in enumerate(lines, 1) if "#" in line}
        # The line, the one above it, or that above a block of imports.
        blocks = {node.end_lineno: node for node in inside}
        for node in sorted(inside, key=lambda one: one.lineno):
            first = node
            while first.lineno - 1 in blocks and first.lineno - 1 not in said:
                first = blocks[first.lineno - 1]
            if targets(node) and not {node.lineno, first.lineno, first.lineno - 1} & said:
                silent.append(f"{name}:{node.lineno}")
    assert silent == []
