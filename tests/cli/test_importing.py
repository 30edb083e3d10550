"""A spreadsheet of questions with right answers, brought to an experiment that measures whether answers are right."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from evalkit.cli.importing import as_options, end_of_import
from evalkit.cli.program import program
from evalkit.experiment import starter
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.files import writing
from evalkit.experiment.files.answers import right_answers
from evalkit.experiment.files.reading import read_prompts

Command = Callable[..., subprocess.CompletedProcess[str]]

RIGHT = "Question,Answer\nCapital of France?,Paris\nCapital of Italy?,\n"
SLIP = RIGHT.replace("Answer", "Anwser")


def lines_of(told: str) -> list[str]:
    return told.removesuffix("\n").split("\n")


def test_import_says_what_to_write_so_that_right_answers_are_measured(evalkit: Command, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(RIGHT, encoding="utf-8")
    assert lines_of(evalkit("import", "q.csv").stdout) == [
        "q.csv: taken: 'Question' as user, 'Answer' as expect",
        "Wrote 2 prompts to prompts.yaml. In an experiment: prompts: prompts.yaml",
        "1 has an expected answer, 1 of 2 has none. To measure whether answers are right:",
        "  checks: [facts]",
        "  choose: {prefer: {facts: {goal: maximize}}}",
        "Next, an experiment that asks them:",
        "  python -m evalkit init my-sweep --prompts prompts.yaml",
    ]
    assert evalkit("init", "my-sweep", "--prompts", "prompts.yaml").returncode == 0
    again = lines_of(evalkit("import", "q.csv", "-o", "my-sweep/prompts.yaml", "--force").stdout)
    assert again[-1] == "  choose: {prefer: {facts: {goal: maximize}}}"  # an experiment stands there, and nothing is to be done next


def test_import_says_where_no_column_holds_right_answers(evalkit: Command, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(SLIP, encoding="utf-8")
    told = lines_of(evalkit("import", "q.csv").stdout)
    assert "q.csv: left out: the column 'Anwser'; did you mean 'answer' by 'Anwser'? Name it: --expect 'Anwser'" in told
    assert "No column holds the right answers (--expect COLUMN)." in told
    named = evalkit("import", "q.csv", "--expect", "Anwser", "--force").stdout
    assert "1 has an expected answer" in named
    assert "did you mean" not in named


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("q.txt", "Hello?\n", ["No prompt has an expected answer (expect: under a prompt)."]),
        ("q.tsv", "question\treference id\nHello?\ta\n", ["No column holds the right answers (--expect COLUMN)."]),
        (
            "q.csv",
            "question,tests\nDouble it.,assert double(2) == 4\n",
            ["1 has tests of code. To run them, with 'sweep --run-code':", "  checks: [runs]", "  choose: {prefer: {runs: {goal: maximize}}}"],
        ),
        (
            "q.csv",
            f"question,answer\nWhy?,{'because ' * 9}\n",
            [
                "1 has an expected answer. To measure whether answers are right:",
                "  checks: [facts]",
                "  choose: {prefer: {facts: {goal: maximize}}}",
                "1 of the expected answers has a line of over 8 words, which few answers repeat as it stands:",
                f"  write down the facts alone, a line each, or let a judge compare ({program()} docs scoring).",
            ],
        ),
    ],
)
def test_what_is_said_of_right_answers_fits_the_file(tmp_path: Path, name: str, text: str, expected: list[str]) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    (tmp_path / "x.yaml").write_text("endpoint: {}\n", encoding="utf-8")
    found = read_prompts(file)
    assert end_of_import(found, file, tmp_path / "prompts.yaml") == expected
    assert found.missed is None


def test_init_asks_the_prompts_of_a_file_and_measures_their_answers(evalkit: Command, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(RIGHT, encoding="utf-8")
    done = evalkit("init", "mine", "--prompts", "q.csv")
    assert (done.returncode, done.stderr) == (0, "")
    told = lines_of(done.stdout)
    assert told[0] == "q.csv: taken: 'Question' as user, 'Answer' as expect"
    assert told[1] == "Wrote mine/experiment.yaml, which asks 2 prompts of q.csv."
    assert told[2].startswith("1 has an expected answer, 1 of 2 has none: 'checks: [facts]' measures")
    assert told[-1] == "  python -m evalkit sweep mine/experiment.yaml"
    found = Experiment.load(tmp_path / "mine/experiment.yaml")
    assert (found.name, found.checks) == ("mine", ("facts",))
    assert "stop" not in found.request, "an answer may have several paragraphs"
    assert found.choose is not None
    assert (found.choose.profile, found.choose.prefer["facts"].goal) == (None, "maximize")
    assert "# cost: {goal: minimize}" in (tmp_path / "mine/experiment.yaml").read_text(encoding="utf-8")
    evalkit("import", "q.csv", "-o", "same.yaml")
    assert (tmp_path / "mine/prompts.yaml").read_bytes() == (tmp_path / "same.yaml").read_bytes()
    ran = evalkit("sweep", "mine/experiment.yaml", "--set", "request.max_tokens=5", "--set", "replicates=1")
    assert ran.returncode == 0, ran.stderr
    assert "Only form was judged" not in ran.stdout


@pytest.mark.parametrize("use", ["", *starter.USES])
@pytest.mark.parametrize("text", [RIGHT, SLIP])
def test_every_use_case_takes_prompts_of_ones_own(tmp_path: Path, use: str, text: str) -> None:
    file = tmp_path / "q.csv"
    file.write_text(text, encoding="utf-8")
    own = read_prompts(file).prompts
    found = Experiment.load(starter.write(tmp_path / "mine", use, own, file))
    assert [prompt.id for prompt in found.prompts] == [prompt.id for prompt in own]
    assert ("facts" in found.checks) == (text is RIGHT)
    assert found.choose is not None
    written = yaml.safe_load((tmp_path / "mine/experiment.yaml").read_text(encoding="utf-8"))
    assert written["prompts"] == "prompts.yaml"


def test_init_says_where_no_column_holds_right_answers(evalkit: Command, tmp_path: Path) -> None:
    (tmp_path / "q.csv").write_text(SLIP, encoding="utf-8")
    told = evalkit("init", "mine", "--prompts", "q.csv").stdout
    assert "No column holds the right answers, so form alone is judged (profile: balanced).\n" in told
    assert "To name one: python -m evalkit import q.csv --expect Anwser, and init another folder" in told
    (tmp_path / "bad.csv").write_text("qestion,x\nHello?,y\n", encoding="utf-8")
    wrong = evalkit("init", "other", "--prompts", "bad.csv")
    assert (wrong.returncode, (tmp_path / "other").exists()) == (2, False)
    assert "did you mean 'question' by 'qestion'? Else name yours: python -m evalkit import FILE --user NAME" in wrong.stderr


def test_prompts_that_stand_in_the_folder_already_stay(tmp_path: Path) -> None:
    file = tmp_path / "prompts.yaml"
    file.write_text("# mine\n- {id: a, user: Hello}\n", encoding="utf-8")
    starter.write(tmp_path, "", read_prompts(file).prompts, file)
    assert file.read_text(encoding="utf-8").startswith("# mine")
    assert [prompt.id for prompt in Experiment.load(tmp_path / "experiment.yaml").prompts] == ["a"]


def test_prompts_that_are_too_much_for_yaml_stand_in_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "q.jsonl"
    file.write_text("".join(json.dumps({"user": f"{n}?"}) + "\n" for n in range(3)), encoding="utf-8")
    monkeypatch.setattr(writing, "MOST_VALUES", 5)
    found = Experiment.load(starter.write(tmp_path / "mine", "", read_prompts(file).prompts, file))
    assert len(found.prompts) == len((tmp_path / "mine/prompts.jsonl").read_text(encoding="utf-8").splitlines()) == 3


def test_options_stand_for_the_keys_of_an_experiment() -> None:
    told = 'q.csv: name it: prompts: {file: FILE, expect: "it\'s"}; keep_last: true'
    assert as_options(told) == 'q.csv: name it: --expect "it\'s"; --keep-last'
    assert as_options(told, "evalkit import FILE ").count("evalkit import FILE --") == 2


def test_right_answers_are_counted(tmp_path: Path) -> None:
    file = tmp_path / "q.yaml"
    long = " ".join(["word"] * 9)
    file.write_text(
        f'- {{id: a, user: x, expect: "one\\n{long}"}}\n- {{id: b, user: x, expect: "one\\ntwo"}}\n- {{id: c, user: x}}\n', encoding="utf-8"
    )
    assert right_answers(read_prompts(file).prompts) == (3, 2, 1, 0)
