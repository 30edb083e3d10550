"""Files of prompts as people have them: read right, with a word on what was made of them, or refused with the way out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import PromptError
from evalkit.experiment.files.columns import PromptFile, Sample
from evalkit.experiment.files.draw import drawn
from evalkit.experiment.files.reading import Read, read_prompts
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.writing import write_prompts
from evalkit.experiment.prompts import Prompt, check_prompts

Reading = Callable[..., Read]


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reading:
    """Reads a file of that name and content, in a folder of its own."""
    monkeypatch.chdir(tmp_path)

    def reading(name: str, content: str | bytes | Any, **how: Any) -> Read:
        data = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
        Path(name).write_bytes(data)
        return read_prompts(Path(name), PromptFile.model_validate({"file": name, **how}))

    return reading


def asked(found: Read) -> list[str]:
    """What the last message of each prompt asks."""
    return [str(prompt.conversation()[-1]["content"]) for prompt in found.prompts]


QUESTIONS = ["What is a list?", "Qu'est-ce qu'une liste ? Déjà vu"]

TABLES: dict[str, tuple[str, bytes, str]] = {
    "commas": ("q.csv", b"Question,Answer\n" + f'"{QUESTIONS[0]}",one\n{QUESTIONS[1]},two\n'.encode(), ""),
    "semicolons": ("q.csv", f"Question;Answer\n{QUESTIONS[0]};one\n{QUESTIONS[1]};two\n".encode(), "';'"),
    "semicolons that Excel names": ("q.csv", f"sep=;\r\nQuestion;Answer\r\n{QUESTIONS[0]};one\r\n{QUESTIONS[1]};two\r\n".encode(), "';'"),
    "tabs": ("q.tsv", f"question\tanswer\n{QUESTIONS[0]}\tone\n{QUESTIONS[1]}\ttwo\n".encode(), "tabs"),
    "tabs in a csv": ("q.csv", f"question\tanswer\n{QUESTIONS[0]}\tone\n{QUESTIONS[1]}\ttwo\n".encode(), "tabs"),
    "bars": ("q.csv", f"prompt|expected\n{QUESTIONS[0]}|one\n{QUESTIONS[1]}|two\n".encode(), "'|'"),
    "a byte order mark": ("q.csv", f"\ufeffQuestion,Answer\n{QUESTIONS[0]},one\n{QUESTIONS[1]},two\n".encode(), ""),
    "Windows": ("q.csv", f"Question;Answer\r\n{QUESTIONS[0]};one\r\n{QUESTIONS[1]};two\r\n".encode("cp1252"), "cp1252"),
    "Unicode text of a spreadsheet": ("q.csv", f"Question\tAnswer\r\n{QUESTIONS[0]}\tone\r\n{QUESTIONS[1]}\ttwo\r\n".encode("utf-16"), "UTF-16"),
    "commas at line ends": ("q.csv", f"input,target,\n{QUESTIONS[0]},one,\n{QUESTIONS[1]},two,\n,,\n".encode(), ""),
    "other columns": ("q.csv", f"Nr.,USER PROMPT,Ground truth,notes\n1,{QUESTIONS[0]},one,x\n2,{QUESTIONS[1]},two,\n".encode(), "left out"),
}


@pytest.mark.parametrize("table", TABLES)
def test_tables_are_read_as_spreadsheets_write_them(read: Reading, table: str) -> None:
    name, content, told = TABLES[table]
    found = read(name, content)
    assert asked(found) == QUESTIONS
    assert [prompt.expect for prompt in found.prompts] == ["one", "two"]
    assert all(prompt.id.startswith(("what-is-a-list-", "qu-est-ce-qu-une-")) for prompt in found.prompts)
    assert told in " ".join(found.told)


def test_a_parquet_file_is_a_table(read: Reading) -> None:
    row = "SELECT 7 AS qid, 'What is a list?' AS question, DATE '2026-01-02' AS day, ['x', 'y'] AS tags"
    duckdb.execute(f"COPY ({row}) TO 'q.parquet' (FORMAT parquet)")
    (prompt,) = read("q.parquet", Path("q.parquet").read_bytes()).prompts
    assert (prompt.id, prompt.messages[0].content, prompt.tags) == ("7", "What is a list?", ("x", "y"))
    with pytest.raises(PromptError, match=r"^q.parquet: not a Parquet file that can be read"):
        read("q.parquet", b"PAR1 no more")


def test_columns_can_be_named_and_put_into_a_template(read: Reading) -> None:
    rows = "frage,land,antwort,art\nHauptstadt?,France,Paris,geo;easy\n"
    (prompt,) = read("q.csv", rows, user="frage", expect="antwort", tags="art").prompts
    assert (prompt.messages[0].content, prompt.expect, prompt.tags) == ("Hauptstadt?", "Paris", ("geo", "easy"))
    (filled,) = read("q.csv", rows, template="{{frage}} In one word, for {{land}}.", expect="antwort").prompts
    assert filled.conversation() == [{"role": "user", "content": "Hauptstadt? In one word, for France."}]
    assert filled.expect == "Paris"
    with pytest.raises(PromptError, match=r"q.csv: no column is called 'frge', which 'user' names; unknown column; did you mean 'frage'\?"):
        read("q.csv", rows, user="frge")
    with pytest.raises(PromptError, match="the column 'frage' is named for both 'user' and 'expect'; name it once"):
        read("q.csv", rows, user="frage", expect="frage")


def test_a_template_s_places_are_columns_whatever_their_names(read: Reading) -> None:
    rows = "Question,Country Name,Größe,Notes\nCapital?,{{France}},2,x\n"
    (prompt,) = read("q.csv", rows, template='{{ question }} Of {{Country Name}} ({{größe}}), {{"a": 1}}.').prompts
    assert prompt.conversation()[0]["content"] == 'Capital? Of {{France}} (2), {{"a": 1}}.'
    (again,) = read("q.csv", rows.replace(",x", ",another note"), template="{{question}}").prompts
    assert again.id == read("q.csv", rows, template="{{question}}").prompts[0].id
    assert "left out: the columns 'Country Name', 'Größe', 'Notes'" in " ".join(read("q.csv", rows, template="{{question}}").told)
    with pytest.raises(PromptError, match="template: no column is called 'Qestion'; unknown column; did you mean 'Question'"):
        read("q.csv", rows, template="{{Qestion}}")
    with pytest.raises(ValueError, match="'user' and 'template' stand side by side"):
        read("q.csv", rows, template="{{Question}}", user="Notes")


def test_a_column_called_user_beside_a_question_is_asked_about(read: Reading) -> None:
    rows = "user,question,answer\nalice,What is 1+1?,2\n"
    with pytest.raises(PromptError, match="found the columns 'user' and 'question', either of which may hold the question; say which"):
        read("q.csv", rows)
    assert asked(read("q.csv", rows, user="question")) == ["What is 1+1?"]
    (named,) = read("q.csv", "question,expect,gold\nA?,,yes\n", expect="gold").prompts
    assert named.expect == "yes"
    assert asked(read("q.csv", "user,answer\nWho?,me\n")) == ["Who?"]


ASK, GOLD = {"role": "user", "content": "Capital of France?"}, {"role": "assistant", "content": "Paris."}

ENTRIES: dict[str, dict[str, Any]] = {
    "OpenAI's training format": {"messages": [{"role": "system", "content": "Be brief."}, ASK, GOLD]},
    "OpenAI's batch format": {
        "custom_id": "r1",
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": "m", "temperature": 0.2, "max_tokens": 9, "user": "u7", "messages": [ASK, GOLD]},
    },
    "ShareGPT": {"id": "x1", "conversations": [{"from": "human", "value": "Capital of France?"}, {"from": "gpt", "value": "Paris."}]},
    "ShareGPT with a system": {
        "system": "Be brief.",
        "conversations": [{"from": "human", "value": "Capital of France?"}, {"from": "gpt", "value": "Paris."}],
    },
    "question and answer": {"question": "Capital of France?", "answer": "Paris."},
    "prompt and completion": {"prompt": "Capital of France?", "completion": "Paris."},
    "Inspect's sample": {"id": 3, "input": "Capital of France?", "target": "Paris.", "metadata": {"a": 1}},
    "Inspect's conversation": {"input": [ASK | {"source": "input"}], "target": ["Paris."]},
    "a logged sample of lm-evaluation-harness": {
        "doc_id": 4,
        "doc": {"question": "France?"},
        "target": "Paris.",
        "arguments": {"gen_args_0": {"arg_0": "Capital of France?", "arg_1": {"until": ["\n"]}}},
        "resps": [["Paris"]],
    },
    "a log of Inspect": {"id": 3, "epoch": 1, "input": "Capital of France?", "target": "Paris.", "messages": [ASK, GOLD | {"content": "Lyon"}]},
    "OpenAI's evals": {"input": [ASK], "ideal": "Paris."},
    "a training set with weights": {"messages": [ASK | {"name": None, "refusal": None}, GOLD | {"weight": 1, "annotations": []}]},
    "an answer in parts": {"messages": [ASK, GOLD | {"content": [{"type": "text", "text": "Paris."}]}]},
    "a preference set": {"prompt": [ASK], "chosen": [GOLD], "expect": "Paris."},
    "a logged chat of lm-evaluation-harness": {
        "doc_id": 4,
        "doc": {},
        "target": "Paris.",
        "arguments": {"gen_args_0": {"arg_0": json.dumps([ASK | {"type": "text"}]), "arg_1": {}}},
    },
    "an older logged sample": {"doc_id": 4, "doc": {}, "target": "Paris.", "arguments": [["Capital of France?", {"until": ["\n"]}]]},
}


@pytest.mark.parametrize("name", ["q.jsonl", "q.json"])
@pytest.mark.parametrize("shape", ENTRIES)
def test_entries_of_other_tools_are_read(read: Reading, shape: str, name: str) -> None:
    found = read(name, json.dumps(ENTRIES[shape]) if name == "q.jsonl" else [ENTRIES[shape]])
    (prompt,) = found.prompts
    assert prompt.conversation()[-1] == ASK
    assert prompt.expect == "Paris."
    given = ENTRIES[shape].get("id", ENTRIES[shape].get("custom_id", ENTRIES[shape].get("doc_id")))
    assert prompt.id == str(given) if given is not None else prompt.id.startswith("capital-of-france-")
    assert found.told or shape == "a preference set"


def test_columns_are_named_for_conversations_too(read: Reading) -> None:
    entry = {"messages": [ASK], "nr": "n7", "gold": "Paris.", "kind": "geo", "rule": "Be brief.", "plain": "Which?"}
    (prompt,) = read("q.jsonl", entry, id="nr", expect="gold", tags="kind", system="rule").prompts
    assert (prompt.id, prompt.expect, prompt.tags, [one.role for one in prompt.messages]) == ("n7", "Paris.", ("geo",), ["system", "user"])
    assert asked(read("q.jsonl", entry, user="plain")) == ["Which?"]
    with pytest.raises(PromptError, match="no column is called 'nope', which 'tags' names"):
        read("q.jsonl", entry, tags="nope")


def test_later_epochs_of_a_log_ask_nothing_new(read: Reading) -> None:
    samples = [{"id": 1, "epoch": epoch, "input": "Which?", "target": "A", "messages": []} for epoch in (1, 2)]
    found = read("q.json", {"version": 2, "eval": {}, "samples": samples})
    assert asked(found) == ["Which?"]
    assert "left out: 1 sample of epochs after the first" in " ".join(found.told)


def test_a_number_that_is_missing_is_not_expected(read: Reading) -> None:
    assert [prompt.expect for prompt in read("q.jsonl", '{"question": "A?", "answer": NaN}\n{"question": "B?", "answer": 4}').prompts] == [None, "4"]


def test_what_is_expected_is_told_and_can_be_sent_instead(read: Reading) -> None:
    lines = "\n".join(json.dumps({"messages": [ASK | {"content": f"Question {at}?"}, GOLD]}) for at in range(3))
    assert "the assistant's answer at the end of 3 conversations is taken as what is expected ('expect')" in read("q.jsonl", lines).told[0]
    sent = read("q.jsonl", lines, keep_last=True)
    assert [prompt.messages[-1].role for prompt in sent.prompts] == ["assistant"] * 3
    own = json.dumps({"id": "a", "messages": [ASK, GOLD]})
    assert read("q.jsonl", own).prompts[0].messages[-1].role == "assistant"
    assert read("q.jsonl", own, keep_last=False).prompts[0].expect == "Paris."


def test_alpaca_s_input_stands_behind_its_instruction(read: Reading) -> None:
    rows = [{"instruction": "Translate.", "input": "Hello", "output": "Bonjour"}, {"instruction": "Say hello.", "input": "", "output": "Hello"}]
    found = read("q.json", rows)
    assert asked(found) == ["Translate.\n\nHello", "Say hello."]
    assert [prompt.expect for prompt in found.prompts] == ["Bonjour", "Hello"]
    assert "left out" not in " ".join(found.told)
    assert asked(read("q.json", rows[:1], user="output", expect="instruction")) == ["Bonjour"]


def test_plain_lines_and_blocks(read: Reading) -> None:
    assert asked(read("q.txt", "One?\n\n Two? \nThree?")) == ["One?", "Two?", "Three?"]
    assert asked(read("q.txt", "One?\nStill one.\n---\nTwo?\n-----\n\n")) == ["One?\nStill one.", "Two?"]
    assert asked(read("q.json", ["One?", "Two?"])) == ["One?", "Two?"]
    found = read("q.json", {"first": "One?", "second": "Two?"})
    assert [prompt.id for prompt in found.prompts] == ["first", "second"]
    assert asked(read("q.json", {"data": [{"question": "One?"}], "version": 2})) == ["One?"]
    assert asked(read("q.json", '{"question": "One?"}\n{"question": "Two?"}\n')) == ["One?", "Two?"]


PROMPTFOO = """
description: capitals
prompts:
  - 'Capital of {{country}}?'
  - '[{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name the capital of {{ country }}."}]'
providers: [openai:gpt-4o]
defaultTest: {vars: {country: Spain}}
tests:
  - vars: {country: [France, Italy]}
    assert: [{type: contains, value: 'in {{country}}'}, {type: javascript, value: 'output.length < 9'}]
  - description: the default
"""


def test_promptfoo_s_configuration_is_read_with_its_variables(read: Reading) -> None:
    found = read("promptfooconfig.yaml", PROMPTFOO)
    assert asked(found) == [
        *(text for country in ("France", "Italy", "Spain") for text in (f"Capital of {country}?", f"Name the capital of {country}."))
    ]
    assert [prompt.expect for prompt in found.prompts] == ["in France"] * 2 + ["in Italy"] * 2 + [None] * 2
    assert any("'providers'" in one for one in found.told)
    assert any("1 assertion of type 'javascript'" in one for one in found.told)


def test_promptfoo_s_values_may_hold_values(read: Reading) -> None:
    found = read(
        "p.yaml", "prompts: ['{{a}}']\nproviders: [x]\ntests: [{vars: {a: 'In {{b}}?', b: [Rome, Bonn]}, assert: {type: equals, value: '{{a}}'}}]"
    )
    assert asked(found) == ["In Rome?", "In Bonn?"]
    assert [prompt.expect for prompt in found.prompts] == ["In Rome?", "In Bonn?"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("prompts: [file://prompt.txt]\ntests: []", "prompts[0]: 'file://prompt.txt' stands elsewhere, which is neither read nor run"),
        ("prompts: [ask.js]\ntests: []", "prompts[0]: 'ask.js' stands elsewhere"),
        ("prompts: ['{{ env.NAME }}?']\ntests: []", "prompts[0]: '{{ env.NAME }}' is a template's command, which is not run"),
        ("prompts: ['{% if a %}x{% endif %}']\ntests: []", "is a template's command"),
        ("prompts: [x]\ntests: tests.csv", "tests: stand in another file, which is not read"),
        ("prompts: [x]\ntests: [{vars: vars.yaml}]", "tests[0]: vars: stand elsewhere"),
        ("prompts: ['{{a}}']\ntests: [{vars: {a: 'file://a.txt'}}]", "tests[0]: vars.a: 'file://a.txt' stands elsewhere"),
        ("prompts: ['{{a}}']\ntests: [{vars: {a: []}}]", "tests[0]: vars.a: the list is empty, so the test asks nothing"),
        ("prompts: [x]\ndefaultTest: file://d.yaml", "defaultTest: 'file://d.yaml' stands elsewhere"),
        ("prompts: [x]\nscenarios: [{config: []}]", "scenarios have no counterpart here"),
    ],
)
def test_what_promptfoo_would_run_or_fetch_is_named_and_neither_run_nor_fetched(read: Reading, change: str, told: str) -> None:
    with pytest.raises(PromptError) as caught:
        read("promptfooconfig.yaml", change)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"input": "Which?", "target": "A", "choices": ["a", "b"]}, "q.jsonl: [0].choices: has no counterpart in a prompt"),
        ({"question": "Which?", "answer": 1, "choices": ["a", "b"]}, "q.jsonl: [0].choices: a question to choose an answer to has no counterpart"),
        ({"question": "Which?", "answer": "\ud800"}, "q.jsonl: [0].expect: holds half a character"),
        ({"input": "Which?", "target": ["a", "b"]}, "q.jsonl: [0].target: found 2 answers; expected one text"),
        ({"conversations": [{"from": "narrator", "value": "x"}]}, "q.jsonl: [0].conversations[0].from: found 'narrator'; expected one of"),
        ({"conversations": ["x"]}, "q.jsonl: [0].conversations[0]: found 'x'; expected a turn with 'from' and 'value'"),
        ({"doc": {}, "arguments": [["a", "b"], ["a", "c"]], "target": 0}, "compared by their likelihood, which no chat tells"),
        ({"messages": [ASK], "mesages": []}, "q.jsonl: [0].mesages: unknown key; did you mean 'messages'?"),
    ],
)
def test_what_has_no_counterpart_is_told(read: Reading, entry: dict[str, Any], told: str) -> None:
    with pytest.raises(PromptError) as caught:
        read("q.jsonl", entry)
    assert told in str(caught.value)


# Names from content

TEXTS = st.lists(st.text(min_size=1).filter(lambda text: text.strip() and "\ud800" not in text), min_size=1, max_size=6, unique=True)


@given(TEXTS, st.randoms())
def test_an_id_from_content_stays_wherever_the_prompt_stands(texts: list[str], random: Any) -> None:
    def ids(order: list[str]) -> dict[str, str]:
        from evalkit.experiment.files.reading import listed_prompts

        found = listed_prompts([{"user": text} for text in order], "", {}, ()).prompts
        return {str(prompt.messages[0].content): prompt.id for prompt in found}

    shuffled = list(texts)
    random.shuffle(shuffled)
    before = ids(texts)
    assert len(set(before.values())) == len(texts)
    assert ids([*shuffled, "and one more"]) | before == ids([*shuffled, "and one more"])


def test_the_same_prompt_twice_is_taken_once_and_with_another_answer_twice(read: Reading) -> None:
    found = read("q.csv", "question,answer\nA?,1\nA?,1\nA?,2\n")
    first, second = (prompt.id for prompt in found.prompts)
    assert second == f"{first}-2"
    assert any("left out: 1 prompt that the file holds before" in one for one in found.told)


# Written clean

SAID = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(lambda text: bool(text.strip()))


@given(st.lists(st.tuples(SAID, SAID | st.none(), st.lists(SAID, max_size=2)), min_size=1, max_size=4), st.sampled_from([".yaml", ".jsonl"]))
def test_what_is_written_reads_back(tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str | None, list[str]]], ending: str) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "in.jsonl").write_text("\n".join(json.dumps({"user": user, "expect": expect, "tags": tags}) for user, expect, tags in rows))
    found = write_prompts(PromptFile(file=str(folder / "in.jsonl")), folder / f"out{ending}", over=True)
    assert read_prompts(folder / f"out{ending}").prompts == found.prompts


def test_a_set_is_made_of_a_spreadsheet(tmp_path: Path, evalkit: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    (tmp_path / "q.csv").write_text("Frage;Antwort;Thema\nCapital of France?;Paris;geo\n", encoding="utf-8")
    done = evalkit("import", "q.csv", "--user", "frage", "--expect", "Antwort", "--tags", "Thema")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "q.csv: its columns are parted by ';'",
        "q.csv: taken: 'Frage' as user, 'Antwort' as expect, 'Thema' as tags",
        "Wrote 1 prompt to prompts.yaml. In an experiment: prompts: prompts.yaml",
        "1 has an expected answer. To measure whether answers are right:",
        *done.stdout.splitlines()[-4:],
    ]
    (prompt,) = read_prompts(tmp_path / "prompts.yaml").prompts
    assert (prompt.expect, prompt.tags) == ("Paris", ("geo",))
    again = evalkit("import", "q.csv", "--user", "frage")
    assert (again.returncode, again.stderr) == (2, "error: prompts.yaml: is there already; give another name, or --force to write over it\n")
    (tmp_path / "odd.csv").write_text("nummer,wort\n1,x\n", encoding="utf-8")
    unknown = evalkit("import", "odd.csv", "-o", "new.yaml")
    assert (unknown.returncode, unknown.stderr.strip().endswith("question; name yours: --user NAME")) == (2, True), unknown.stderr
    beside = evalkit("import", "q.csv", "--template", "Frage", "--sample", "1")
    assert (beside.returncode, beside.stderr.splitlines()) == (
        *(2, ["error: --template: found 'Frage'; expected a text with a column in double braces, like {{question}}"]),
    )


# A part of them


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=40), st.integers(1, 45), st.integers(0, 3))
def test_a_sample_is_drawn_by_tags_in_proportion(tags: list[str], n: int, seed: int) -> None:
    prompts = check_prompts([{"id": str(at), "user": "x", "tags": [tag]} for at, tag in enumerate(tags)])
    found = drawn(prompts, Sample(n=n, seed=seed, by="tags"), Said())
    assert len(found) == min(n, len(prompts))
    assert [int(prompt.id) for prompt in found] == sorted({int(prompt.id) for prompt in found})
    assert found == drawn(prompts, Sample(n=n, seed=seed, by="tags"), Said())
    for tag in set(tags):
        there, taken = tags.count(tag), sum(prompt.tags == (tag,) for prompt in found)
        assert taken <= there
        if n >= len(set(tags)):
            assert taken >= 1
        if n < len(prompts):
            assert abs(taken - there * n / len(tags)) <= max(1, len(set(tags)) - 1)


def test_a_sample_is_told(read: Reading) -> None:
    found = read("q.txt", "\n".join(f"Question {at}?" for at in range(30)), sample={"n": 5, "seed": 3})
    assert len(found.prompts) == 5
    assert "q.txt: sample: 5 of 30 prompts are taken" in found.told
    assert isinstance(found.prompts[0], Prompt)
