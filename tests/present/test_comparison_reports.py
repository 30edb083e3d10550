"""A comparison in its four forms: Markdown as agreed, JUnit XML that others read, a page without a script, a table that fits; hostile names."""

from __future__ import annotations

import html.parser
import io
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import cmarkgfm
import junitparser
import msgspec
import pytest
import xmlschema
from cmarkgfm.cmark import Options
from rich.console import Console
from support.comparing import PROMPTS, repetitive, run, varied
from support.process import ROOT
from support.records import completion, failure

from evalkit.comparison.comparison import Comparison, compare, objections
from evalkit.comparison.gate import Margins
from evalkit.comparison.verdict import in_words
from evalkit.plan.requests import Request
from evalkit.present import junit
from evalkit.present.html import comparison as comparison_html
from evalkit.present.markdown import comparison as comparison_markdown
from evalkit.present.terminal import comparison as comparison_terminal
from evalkit.store.records import Outcome
from evalkit.text.numbers import signed_figure

Command = Callable[..., subprocess.CompletedProcess[str]]
GOLDEN = ROOT / "tests/golden/comparison.md"
SCHEMA = xmlschema.XMLSchema(str(ROOT / "tests/golden/junit.xsd"))
HOSTILE = "a`b|c\\|<script>alert(1)</script>\x1b[31m\u202egnp ]]> @all http://evil.example =1+1"


def made(folder: Path) -> Comparison:
    """A comparison with a verdict of each kind, and nothing of the day or the machine in it."""

    def before(request: Request) -> Outcome:
        return completion(varied(request).text, "length")

    def after(request: Request) -> Outcome:
        if (request.prompt_index, request.replicate) == (0, 0):
            return failure("timeout")
        twin = request._replace(replicate=1) if request.prompt_index < 3 else request
        return repetitive(twin) if request.prompt_index else varied(twin)

    levels = {"temperature": [0.3, 0.5, 0.7, 1.0]}
    one = run(folder / "a", before, levels, [*PROMPTS, "old"])
    margins = Margins({"rep_2": 0.1}, {"rep_2": "--margin"})
    found = compare(one, run(folder / "b", after, levels, request={"max_tokens": 80}), margins=margins, fail_on=("worse", "failures"))
    sides = [msgspec.structs.replace(side, folder=f"results/{name}", sent="then", evalkit="0") for name, side in
             (("a", found.baseline), ("b", found.candidate))]  # fmt: skip
    differs = [row for row in found.differs if row.what != "sent"]
    return msgspec.structs.replace(found, evalkit="0", tokenizer="some-words", baseline=sides[0], candidate=sides[1], differs=differs)


def hostile(found: Comparison) -> Comparison:
    """The same with a name that would break out, wherever a name comes from somebody else."""
    change = msgspec.structs.replace
    metrics = [change(one, metric=HOSTILE, verdict="worse", reason=HOSTILE) if at == 0 else one for at, one in enumerate(found.metrics)]
    sides = [change(side, folder=HOSTILE, name=HOSTILE, model=HOSTILE, base_url=HOSTILE) for side in (found.baseline, found.candidate)]
    cells = [change(one, cell=HOSTILE) for one in found.by_cell]
    changed = change(
        found, metrics=[change(metrics[0], gated=True), *metrics[1:]], baseline=sides[0], candidate=sides[1], by_cell=cells, cells=[HOSTILE, "b"],
        prompts=[HOSTILE], notes=[HOSTILE], left_out=[HOSTILE], not_compared={HOSTILE: HOSTILE},
        differs=[change(one, what=HOSTILE, baseline=HOSTILE, candidate=HOSTILE) for one in found.differs],
    )  # fmt: skip
    return change(changed, objections=objections(changed))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    return made(tmp_path_factory.mktemp("reports"))


def shown(found: Comparison, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False, legacy_windows=False)
    console.print(comparison_terminal.comparison_table(found, console))
    return console.file.getvalue()


def test_the_markdown_is_as_agreed(found: Comparison) -> None:
    assert {one.verdict for one in found.metrics} >= {"worse", "better", "equivalent", "inconclusive"}
    assert comparison_markdown.comparison_markdown(found) == GOLDEN.read_text(encoding="utf-8"), (
        "changed: python tests/present/test_comparison_reports.py"
    )


def test_the_markdown_begins_with_the_line_to_act_on_and_ends_with_its_mark(found: Comparison) -> None:
    lines = comparison_markdown.comparison_markdown(found).splitlines()
    assert lines[0].startswith("**FAILED**: ")
    assert "is worse" in lines[0]
    assert lines[-1] == comparison_markdown.MARK
    assert len(lines) <= 120


@pytest.mark.parametrize("bad", [False, True])
def test_the_markdown_is_what_github_reads_whatever_the_names(found: Comparison, bad: bool) -> None:
    text = comparison_markdown.comparison_markdown(hostile(found) if bad else found)
    page = cmarkgfm.github_flavored_markdown_to_html(text, options=Options.CMARK_OPT_UNSAFE)
    tags = set(re.findall(r"<[^>]*>", page))
    allowed = r"</?(p|strong|em|code|table|thead|tbody|tr|t[dh]( align=\"right\")?|ul|li|details|summary)>|<!-- (evalkit compare )?-->"
    assert [tag for tag in tags if not re.fullmatch(allowed, tag)] == []
    rows = re.findall(r"<tr>(.*?)</tr>", page, flags=re.DOTALL)
    assert {len(re.findall("<t[dh]", row)) for row in rows} == {3, 10}
    assert "\x1b" not in text
    assert "\u202e" not in text


@pytest.mark.parametrize("bad", [False, True])
def test_the_junit_file_is_valid_and_two_parsers_read_the_same(found: Comparison, bad: bool) -> None:
    found = hostile(found) if bad else found
    text = junit.comparison_junit(found)
    SCHEMA.validate(text)
    (suite,) = junitparser.JUnitXml.fromstring(text.encode())
    cases = {case.name: case for case in suite}
    assert len(cases) == len(found.metrics) + 1  # and one for the answers
    assert suite.tests == len(cases)
    assert suite.failures == sum(case.is_failure for case in cases.values()) == len(found.objections)
    assert suite.skipped == sum(case.is_skipped for case in cases.values())
    by_verdict = {one.metric: one for one in found.metrics if one.gated and one.metric != HOSTILE}
    for name, one in by_verdict.items():
        assert cases[name].is_failure == (one.verdict == "worse")
        assert cases[name].is_skipped == (one.verdict == "inconclusive")
    assert cases["answers"].is_failure


def test_a_strict_gate_fails_what_is_inconclusive_in_the_junit_file_too(found: Comparison) -> None:
    strict = msgspec.structs.replace(found, fail_on=["worse", "inconclusive"])
    cases = {case.name: case for case in next(iter(junitparser.JUnitXml.fromstring(junit.comparison_junit(strict).encode())))}
    assert all(cases[one.metric].is_failure for one in found.gated if one.verdict == "inconclusive")
    assert "answers" not in cases


class _Page(html.parser.HTMLParser):
    """Tags with their attributes, and the text between them."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "rect", "line", "circle"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("rect", "line", "circle"):  # which close themselves
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("bad", [False, True])
def test_the_page_has_no_script_no_link_and_a_policy_that_allows_its_own_style_alone(found: Comparison, bad: bool) -> None:
    text = comparison_html.comparison_page(hostile(found) if bad else found)
    page = _Page()
    page.feed(text)
    assert page.open == []
    names = {tag for tag, _ in page.tags}
    assert not names & {"script", "a", "img", "link", "iframe", "form", "object", "embed", "base"}
    attributes = {name for tag, given in page.tags for name in given if tag != "meta"}
    assert not {name for name in attributes if name.startswith("on") or name in ("style", "src", "href")}
    (policy,) = (given["content"] for tag, given in page.tags if given.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "prefers-color-scheme: dark" in text
    assert text.isprintable() or "\x1b" not in text
    assert "\u202e" not in text
    if bad:
        assert "<script>alert(1)</script>" in page.text  # read, not run


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("bad", [False, True])
def test_the_table_fits_the_terminal_and_obeys_no_name(found: Comparison, width: int, bad: bool) -> None:
    text = shown(hostile(found) if bad else found, width)
    assert max(map(len, text.splitlines())) <= width
    assert text.replace("\n", "").isprintable()
    assert "FAILED" in text
    for one in found.metrics[1:]:
        assert re.search(rf"^{one.metric} .*\b{in_words(one.verdict)}\b", text, flags=re.MULTILINE)


def test_the_command_writes_each_file_and_ends_with_the_gates_word(tmp_path: Path, evalkit: Command) -> None:
    one, other = run(tmp_path / "a"), run(tmp_path / "b", repetitive)
    names = {form: tmp_path / f"out.{form}" for form in ("markdown", "json", "junit", "html")}
    out = evalkit("compare", one, other, *(part for form, path in names.items() for part in (f"--{form}", path)))
    assert out.returncode == 1, out.stderr
    assert "FAILED: " in out.stdout
    assert all(path.stat().st_size for path in names.values())
    assert msgspec.json.decode(names["json"].read_bytes())["objections"]
    assert list(tmp_path.glob("*.tmp")) == []
    quiet = evalkit("compare", one, other, "-q", "--fail-on", "nothing")
    assert (quiet.returncode, len(quiet.stdout.splitlines())) == (0, 1)
    assert quiet.stdout.startswith("PASSED: ")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("a", "c"), 0, "unclear"),
        (("a", "c", "--strict"), 1, "FAILED"),
        (("a", "nowhere"), 2, "no such results folder"),
        (("a", "a", "--margin", "rep_4"), 2, "expected METRIC=MARGIN"),
        (("a", "a", "--json", "nowhere/x.json"), 2, "cannot be written"),
        (("a", "a", "--html", "."), 2, "cannot be written: Is a directory"),
        (("a", "a", "--html", "a/run.json/x"), 2, "cannot be written: Not a directory"),
        (("a", "a", "--html", "x" * 300), 2, "cannot be written: File name too long"),
        (("a", "a", "--json", "a/responses.jsonl"), 2, "records a run and is not written over"),
        (("a", "--cell", "0", "--cell", "temperature=1"), 0, "temperature=0.5"),
    ],
)
def test_exit_statuses(comparable: Path, evalkit: Command, arguments: tuple[str, ...], status: int, words: str) -> None:
    out = evalkit("compare", *arguments, cwd=comparable)
    assert out.returncode == status, out.stderr
    assert words in out.stdout + out.stderr
    assert "Traceback" not in out.stderr


def test_a_pipe_is_written_to_and_not_replaced(comparable: Path, evalkit: Command) -> None:
    pipe = comparable / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        out = evalkit("compare", "a", "c", "--metrics", "distinct_2", "-q", "--markdown", "pipe", cwd=comparable)
        assert out.returncode == 0, out.stderr
        assert pipe.is_fifo()
        assert comparison_markdown.MARK in os.read(reader, 1 << 16).decode()
    finally:
        os.close(reader)
        pipe.unlink()


def test_a_folder_whose_name_is_no_unicode_is_refused_in_one_line(comparable: Path, evalkit: Command) -> None:
    odd = comparable / os.fsdecode(b"caf\xe9")
    shutil.copytree(comparable / "a", odd)
    for arguments in (("compare", "a", odd), ("report", odd), ("score", odd)):
        out = evalkit(*arguments, cwd=comparable)
        assert out.returncode == 2
        assert "this name is not in UTF-8" in out.stderr
        assert len(out.stderr.splitlines()) == 1


@pytest.fixture(scope="module")
def comparable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A baseline `a`, and a run `c` that is the same but for a few answers."""
    folder = tmp_path_factory.mktemp("comparable")
    run(folder / "a")
    run(folder / "c", lambda request: repetitive(request) if request.prompt_index == 3 else varied(request))
    return folder


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as place:
        GOLDEN.write_text(comparison_markdown.comparison_markdown(made(Path(place))), encoding="utf-8")


def test_what_rounding_leaves_of_no_difference_is_no_difference() -> None:
    assert signed_figure(-3.5e-18) == signed_figure(0.0) == "+0.000"
    assert signed_figure(-2.5e-6) == "-2.5e-06"


def test_json_to_standard_output_stands_there_alone(tmp_path: Path, evalkit: Command) -> None:
    out = evalkit("compare", run(tmp_path / "a"), run(tmp_path / "b"), "--json", "-")
    assert (out.returncode, json.loads(out.stdout)["v"]) == (0, 1)
    assert not (tmp_path / "-").exists()
