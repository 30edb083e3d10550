"""Files as they lie on people's disks, each with the oddity of the program that wrote it: read as was meant, or refused with the way out."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import duckdb
import pytest

from evalkit.errors import PromptError
from evalkit.experiment.experiment import load
from evalkit.experiment.files.columns import PromptFile
from evalkit.experiment.files.reading import read_prompts
from evalkit.experiment.files.writing import write_prompts
from evalkit.plan.requests import Plan

AB = [("A?", "1"), ("B?", "2")]
ROWS = [{"question": "A?", "answer": "1"}, {"question": "B?", "answer": "2"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}


def lines(*entries: Any) -> str:
    return "".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in entries)


READ: dict[str, tuple[str, Any, list[tuple[str, str | None]], str]] = {
    # a name, its content, each question with what is expected, and what is told
    "Excel in German": (
        "q.csv",
        "\ufeffsep=;\r\nFrage;Antwort\r\nWie teuer?;3,50\r\n",
        [("Wie teuer?", "3,50")],
        "'Frage' as user, 'Antwort' as expect",
    ),
    "Excel in German, of Windows": (
        "q.csv",
        "Nr;FRAGE;Antwort\r\n1;Köln „groß“?;405,2\r\n".encode("cp1252"),
        [("Köln „groß“?", "405,2")],
        "right, the first in 'Köln' on line 2",
    ),
    "Excel's Unicode text": (
        "q.txt",
        'Question\tAnswer\r\n"A ""x""?"\t1\r\nB?\t2\r\n'.encode("utf-16"),
        [('A "x"?', "1"), ("B?", "2")],
        "parted by tabs",
    ),
    "tabs around quotes of the text": (
        "q.tsv",
        'question\tanswer\n"A" is?\t1\n5" or 6"?\t2\n',
        [('"A" is?', "1"), ('5" or 6"?', "2")],
        "quotes are part",
    ),
    "cells of several lines": ("q.csv", 'question,answer\n"A\n\nb?","1\n2"\n,\n,\n', [("A\n\nb?", "1\n2")], ""),
    "the same name twice": ("q.csv", "question,answer,note,note\nA?,1,x,y\nB?,2,x,y\n", AB, "left out: the columns 'note', 'note (2)'"),
    "columns without names": ("q.csv", ",question,,answer\n0,A?,,1\n1,B?,,2\n", AB, "left out: 2 columns without a name"),
    "an index of pandas": ("q.csv", "Unnamed: 0,QUESTION,Expected Answer\n0,A?,1\n1,B?,2\n", AB, "left out: the column 'Unnamed: 0'"),
    "spaces that do not break": ("q.csv", "Question\u00a0,\u00a0Expected\u00a0answer\nA?,1\nB?,2\n", AB, "as user"),
    "a title above": ("q.csv", "My questions,,\n,,\nquestion,answer,topic\nA?,1,x\nB?,2,x\n", AB, "left out: 1 row above the names"),
    "a comment above": ("q.csv", "# mine, of May\nquestion;answer\nA?;1\nB?;2\n", AB, "left out: 1 row above the names"),
    "one column with commas": ("q.csv", "prompt\nIs A, or B?\nC?\n", [("Is A, or B?", None), ("C?", None)], "the file has one column"),
    "ends of lines of an old Mac": ("Q.CSV", "question,answer\rA?,1\rB?,2\r", AB, ""),
    "Spanish": ("q.csv", "Pregunta,Respuesta\nA?,1\nB?,2\n", AB, "'Pregunta' as user"),
    "a list with a head": ("q.json", {"version": 2, "data": ROWS}, AB, "left out: 'version' beside the list"),
    "a list of texts with a head": ("q.json", {"questions": ["A?", "B?"]}, [("A?", None), ("B?", None)], "those under 'questions'"),
    "short names": ("q.json", {"questions": [{"q": "A?", "a": "1"}, {"q": "B?", "a": "2"}]}, AB, "'q' as user, 'a' as expect"),
    "entries by their ids": ("q.json", dict(zip("xy", ROWS, strict=True)), AB, "each key is an id"),
    "entries by their ids, in YAML": ("q.yaml", "x: {user: 'A?', expect: '1'}\ny:\n  user: B?\n  expect: '2'\n", AB, "each key is an id"),
    "columns of pandas": ("q.json", {"question": {"0": "A?", "1": "B?"}, "answer": {"0": "1", "1": "2"}}, AB, "each row of them is a prompt"),
    "columns as lists": ("q.json", {"question": ["A?", "B?"], "answer": ["1", "2"]}, AB, "each row of them is a prompt"),
    "columns split from data": ("q.json", {"columns": ["question", "answer"], "data": [["A?", 1], ["B?", 2]]}, AB, "each row of them is a prompt"),
    "rows below a head": ("q.json", [["question", "answer"], ["A?", "1"], ["B?", "2"]], AB, "the first list holds the names"),
    "rows of a viewer": ("q.json", {"rows": [{"row_idx": at, "row": one} for at, one in enumerate(ROWS)]}, AB, "those under 'rows'"),
    "lines with comments and commas": (
        "q.jsonl",
        f"// mine\r\n\r\n{json.dumps(ROWS[0])},\r\n# and\r\n{json.dumps(ROWS[1])}",
        AB,
        "comments: 2 lines",
    ),
    "lines that are texts": ("q.jsonl", lines('"A?"', '"B?"'), [("A?", None), ("B?", None)], "each line is a prompt"),
    "entries over several lines": ("q.jsonl", "\n".join(json.dumps(one, indent=2) for one in ROWS), AB, "over several lines"),
    "a list in a file of lines": ("q.jsonl", json.dumps(ROWS, indent=1), AB, "it is one list"),
    "Dolly": (
        "q.jsonl",
        lines({"instruction": "When?", "context": "In 1900.", "response": "1900"}),
        [("When?\n\nIn 1900.", "1900")],
        "'context' stands behind",
    ),
    "a chat in a cell": ("q.csv", 'id,messages\nx,"[{""role"": ""user"", ""content"": ""A?""}]"\n', [("A?", None)], ""),
    "a preference set of OpenAI": ("q.jsonl", lines({"input": {"messages": [{"role": "user", "content": "A?"}], "tools": []}}), [("A?", None)], ""),
    "batches of responses": (
        *("q.jsonl", lines({"custom_id": "r", "body": {"model": "m", "input": "A?", "instructions": "Be brief."}}), [("A?", None)]),
        "left out: 'model'",
    ),
    "batches of Anthropic": (
        *(
            "q.jsonl",
            lines({"custom_id": "r", "params": {"system": "Be brief.", "messages": [{"role": "user", "content": "A?"}]}}),
            [("A?", None)],
            "",
        ),
    ),
    "traces of LangSmith": ("q.jsonl", lines({"inputs": {"question": "A?"}, "outputs": {"answer": "1"}}), AB[:1], "'question' as user"),
    "traces of Langfuse": ("q.jsonl", lines({"id": "x", "input": {"question": "A?"}, "expectedOutput": "1"}), AB[:1], "'expectedOutput' as expect"),
    "samples of several filters": (
        "q.jsonl",
        lines(*({"doc_id": 0, "doc": {}, "target": "1", "filter": one, "arguments": [["A?", {}]]} for one in ("strict", "loose"))),
        *(AB[:1], "left out: 1 prompt that the file holds before"),
    ),
    "answers of several models": (
        "q.csv",
        "prompt,response\nA?,1\nA?,2\n",
        [("A?", "1"), ("A?", "2")],
        "with something else expected or beside it: 1 prompt",
    ),
    "the same row twice": ("q.csv", "id,question,answer\n1,A?,1\n1,A?,1\n2,B?,2\n", AB, "left out: 1 prompt that the file holds before"),
    "questions in YAML": ("q.yaml", "- {question: 'A?', answer: 1}\n- {question: 'B?', answer: 2}\n", AB, "'question' as user"),
    "texts in YAML": ("q.yaml", "prompts:\n  - A?\n  - B?\n", [("A?", None), ("B?", None)], ""),
    "a list with bullets": ("q.txt", "- A?\n\n* B?\n• C?", [("A?", None), ("B?", None), ("C?", None)], "bullets before all lines are left out"),
    "a list with numbers": ("q.txt", "1. A?\n2. B?\n3) C?\n", [("A?", None), ("B?", None), ("C?", None)], "numbers before all lines are left out"),
    "lines that begin with numbers": (
        "q.txt",
        "1. FC Köln: since?\n1984: by whom?\n",
        [("1. FC Köln: since?", None), ("1984: by whom?", None)],
        "each line",
    ),
    "paragraphs": ("q.txt", "A?\nmore\n\nB?\n", [("A?", None), ("more", None), ("B?", None)], "put a line of '---' between them"),
    "promptfoo's table": (
        "q.csv",
        "question,__expected,__description\nA?,equals:1,x\nB?,icontains:2,\n",
        AB,
        "left out: '__description' of promptfoo",
    ),
    "promptfoo's other checks": (
        "q.csv",
        "question,__expected1,__expected2\nA?,javascript:x,1\nB?,fn:y,2\n",
        AB,
        "left out: 1 assertion of type 'javascript'",
    ),
    "promptfoo's chat in YAML": (
        "q.yaml",
        "prompts:\n- |\n  - role: system\n    content: S\n  - role: user\n    content: '{{q}}'\nproviders: [x]\ntests: [{vars: {q: 'A?'}}]\n",
        *([("A?", None)], "'providers'"),
    ),
}

REFUSED: dict[str, tuple[str, Any, str]] = {
    "the answer twice": ("q.csv", "question,answer,answer\nA?,1,2\n", "the column 'answer' stands twice; rename one"),
    "no names at all": ("q.csv", "What is it?,Paris\nWho?,Ann\n", "the first row may be one of the prompts; put a row with names above it"),
    "a slip in a name": ("q.csv", "questoin,anser\nA?,1\n", "did you mean 'question' by 'questoin'?"),
    "a slip in a key": ("q.jsonl", '{"questoin": "A?"}', "did you mean 'question' by 'questoin'?"),
    "answers to choose from": ("q.csv", "question,A,B,C,D,answer\nA?,x,y,z,w,B\n", "template: '... A) {{A}} B) {{B}} C) {{C}} D) {{D}}'"),
    "answers to choose from, named": (
        "q.jsonl",
        lines({"question": "A?", "choices": {"text": ["x"], "label": ["A"]}}),
        "[0].choices: a question to choose",
    ),
    "an image beside its place": (
        "q.json",
        [{"image": "a.jpg", "conversations": [{"from": "human", "value": "<image>\nA?"}]}],
        "[0].image: an image stands in",
    ),
    "what holds for all": ("q.yaml", "system: Be brief\nprompts: ['A?']\n", "'system' stands beside the list"),
    "texts that are files": ("q.yaml", "prompts: ['file://a.txt']\n", "'file://a.txt' stands elsewhere, which is neither read nor run"),
    "a comma too many": ("q.json", '[{"question": "A?"},\n]', "line 2: not valid JSON at column 1: a comma stands before it"),
    "promptfoo's variables": (
        "q.csv",
        "language,text,__expected\nFrench,Hi,Salut\n",
        "'language' is a variable of promptfoo's prompt, which stands elsewhere",
    ),
    "promptfoo's tests": (
        "q.yaml",
        "- {vars: {language: French, text: Hi}, assert: [{type: contains, value: S}]}\n",
        "is a variable of promptfoo's prompt",
    ),
    "promptfoo's environment": (
        "q.yaml",
        "prompts: ['{{a}}']\nproviders: [x]\ntests: [{vars: {a: '{{env.HOME}}'}}]",
        "'{{env.HOME}}' is a template's command",
    ),
    "promptfoo's lost value": (
        "q.yaml",
        "prompts: ['{{a}} {{b}}']\nproviders: [x]\ntests: [{vars: {a: x}}]",
        "tests[0]: a prompt has {{b}}, for which the test has",
    ),
    "promptfoo's files as keys": ("q.yaml", "prompts: {'file://p.txt': x}\nproviders: [x]\n", "prompts[0]: 'file://p.txt' stands elsewhere"),
    "promptfoo's prefix": ("q.csv", "question,__expected,__prefix\nA?,1,Please\n", "[0].__prefix: has no counterpart"),
    "a workbook by another name": (
        "q.csv",
        b"PK\x03\x04\x14\x00",
        "this is a zip archive or a spreadsheet, whatever its name; save the sheet as CSV",
    ),
    "compressed by another name": ("q.jsonl", b"\x1f\x8b\x08\x00", "this is compressed by gzip; unpack it"),
    "compressed": ("q.jsonl.gz", b"\x1f\x8b\x08\x00", "found a compressed file; unpack it"),
    "a pointer": ("q.parquet", "version https://git-lfs.github.com/spec/v1\noid x\n", "Git LFS's pointer to a file"),
    "a web page": ("q.json", "\n<!DOCTYPE html><html></html>", "this is a web page, and not the data"),
    "a table of Parquet by another name": ("q.csv", b"PAR1\x15", "this is a Parquet file; call it .parquet"),
    "UTF-16 without its mark": (
        "q.csv",
        "question,answer\nA?,1\n".encode("utf-16-le"),
        "line 1: a NUL stands here, so this is no text, or UTF-16 without",
    ),
    "bytes in lines": ("q.jsonl", b'{"question": "A\x00?"}', "line 1: a NUL stands here"),
    "turns of tools": ("q.json", [{"conversations": [{"from": "function_call", "value": "{}"}]}], "found 'function_call'; expected one of assistant"),
    "responses that call": (
        "q.jsonl",
        lines({"custom_id": "r", "body": {"input": [{"type": "function_call"}]}}),
        "[0].body.input: found a list; expected a text, or",
    ),
    "a number that no tool sends": ("q.jsonl", '{"user": "A?", "tools": [{"x": NaN}]}', "[0].tools: found .nan; expected a finite number (line 1)"),
    "half a character in a schema": ("q.jsonl", '{"user": "A?", "response_format": {"\\ud800": 1}}', "[0].response_format: holds half a character"),
    "an infinite answer": ("q.jsonl", '{"question": "A?", "answer": 1e400}', "[0].answer: found .inf; expected a text or a number that is finite"),
    "a schema that is too deep": (
        "q.jsonl",
        '{"user": "A?", "response_format": ' + '{"a": ' * 400 + "1" + "}" * 401,
        "[0]: nested over 64 deep; expected plain lists and mappings (line 1)",
    ),
    "thousands of columns": ("q.csv", "x," * 5_000 + "\nA?\n", "found 5,000 columns; expected at most 2,000: are the ends of its lines lost?"),
    "other text behind one id": ("q.csv", "id,question\n1,A?\n1,B?\n", "the id '1' stands twice, first at [0], line 2; ids must differ (line 3)"),
}


def written(folder: Path, name: str, content: Any) -> Path:
    data = content if isinstance(content, bytes) else (content if isinstance(content, str) else json.dumps(content)).encode()
    (folder / name).write_bytes(data)
    return folder / name


def keys(folder: Path, prompts: str) -> list[tuple[str, str]]:
    (folder / "x.yaml").write_text(f"name: x\nendpoint: {{base_url: local, model: babbler}}\nprompts: {prompts}\n", encoding="utf-8")
    return [(one.key, one.prompt_id) for one in Plan(load(folder / "x.yaml"))]


@pytest.mark.parametrize("kind", READ)
def test_it_is_read_as_was_meant_and_a_clean_set_of_it_asks_the_same(tmp_path: Path, kind: str) -> None:
    name, content, wanted, told = READ[kind]
    found = read_prompts(written(tmp_path, name, content))
    texts = [one.conversation()[-1]["content"] for one in found.prompts]
    assert [(text if isinstance(text, str) else text[0]["text"], one.expect) for text, one in zip(texts, found.prompts, strict=True)] == wanted
    assert told in " / ".join(found.told)
    write_prompts(PromptFile(file=str(tmp_path / name)), tmp_path / "clean.yaml")
    assert read_prompts(tmp_path / "clean.yaml")[:2] == (found.prompts, ())
    assert keys(tmp_path, name) == keys(tmp_path, "clean.yaml")


@pytest.mark.parametrize("kind", REFUSED)
def test_it_is_refused_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.chdir(tmp_path)
    name, content, told = REFUSED[kind]
    written(tmp_path, name, content)
    with pytest.raises(PromptError) as caught:
        read_prompts(Path(name))
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"{name}: ")
    assert len(str(caught.value).split("\n")) == 1


def test_a_template_gives_promptfoo_s_tests_their_prompt(tmp_path: Path) -> None:
    table = written(tmp_path, "q.csv", "language,text,__expected\nFrench,Hi,contains:Salut\n")
    tests = written(tmp_path, "q.yaml", "- {vars: {language: French, text: Hi}, assert: [{type: contains, value: Salut}]}\n")
    for file in (table, tests):
        (prompt,) = read_prompts(file, PromptFile(file=str(file), template="Say {{text}} in {{language}}.")).prompts
        assert (prompt.conversation()[0]["content"], prompt.expect) == ("Say Hi in French.", "Salut")


def test_a_column_that_is_needed_is_named(tmp_path: Path) -> None:
    found = read_prompts(written(tmp_path, "q.csv", "question,context,answer\nA?,It is so.,1\n"))
    assert "where the question needs 'context', put both into one text: template: '{{context}} ...'" in found.told[-1]


@pytest.mark.parametrize("tags", ["['geo', 'easy']", '["geo", "easy"]', "geo; easy", "geo,easy"])
def test_tags_that_a_program_wrote_into_a_cell(tmp_path: Path, tags: str) -> None:
    cell = tags.replace('"', '""')
    (prompt,) = read_prompts(written(tmp_path, "q.csv", f'question,tags\nA?,"{cell}"\n')).prompts
    assert prompt.tags == ("geo", "easy")


def parquet(folder: Path, select: str, name: str = "q.parquet") -> Path:
    duckdb.execute(f"COPY ({select}) TO '{folder / name}' (FORMAT parquet)")
    return folder / name


def test_parquet_as_other_libraries_write_it(tmp_path: Path) -> None:
    turns = (("system", "S"), ("user", "A?"), ("assistant", "1"))
    chat = str([{"role": role, "content": text, "x": None} for role, text in turns]).replace("None", "NULL")
    (prompt,) = read_prompts(parquet(tmp_path, f"SELECT {chat} AS messages, 'web' AS source")).prompts
    assert ([one.role for one in prompt.messages], prompt.expect) == (["system", "user"], "1")
    parts = (
        "[{'type': 'text', 'text': 'A?', 'image_url': NULL}, {'type': 'image_url', 'text': NULL, 'image_url': {'url': 'https://h.example/a.png'}}]"
    )
    (prompt,) = read_prompts(parquet(tmp_path, f"SELECT [{{'role': 'user', 'content': {parts}, 'tool_calls': NULL}}] AS messages")).prompts
    assert prompt.conversation()[0]["content"] == [
        {"type": "text", "text": "A?"},
        {"type": "image_url", "image_url": {"url": "https://h.example/a.png"}},
    ]
    whole = "SELECT * FROM (VALUES ('A?'::BLOB, 1::DOUBLE, 'x'), ('B?'::BLOB, NULL, 'y')) AS t(question, answer, __index_level_0__)"
    found = read_prompts(parquet(tmp_path, whole))
    assert [(one.messages[0].content, one.expect) for one in found.prompts] == [("A?", "1"), ("B?", None)]
    assert "the numbers of 'answer' are taken as the whole ones that they are" in found.told[0]
    with pytest.raises(PromptError, match=r"\[0\].image: an image stands in the message that shows it"):
        read_prompts(parquet(tmp_path, "SELECT 'A?' AS question, {'bytes': '\\x89PNG'::BLOB, 'path': NULL} AS image"))


def test_a_name_with_the_signs_of_a_pattern_names_one_file(tmp_path: Path) -> None:
    parquet(tmp_path, "SELECT 'no' AS question", "ab.parquet")
    (prompt,) = read_prompts(parquet(tmp_path, "SELECT 'yes' AS question", "a[b]*?.parquet")).prompts
    assert prompt.messages[0].content == "yes"


def test_a_small_parquet_file_that_unpacks_to_gigabytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.experiment.files.parquet._MOST_CHARACTERS", 5_000_000)
    bomb = parquet(tmp_path, "SELECT repeat('x', 20000) AS question FROM range(600)")
    assert bomb.stat().st_size < 200_000
    with pytest.raises(PromptError, match="unpacks to over 5,000,000 rows or 5 MB of text; draw a part of its rows"):
        read_prompts(bomb)


def test_a_configuration_of_promptfoo_with_millions_of_combinations_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evalkit.experiment.files.promptfoo._MOST", 100)
    values = {name: [str(at) for at in range(99)] for name in "abcde"}
    file = written(tmp_path, "q.json", {"prompts": ["{{a}}{{b}}{{c}}{{d}}{{e}}"], "tests": [{"vars": values}]})
    with pytest.raises(PromptError, match="make over 100 combinations; leave some out"):
        read_prompts(file)


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("a long line.txt", "x" * 2_000_000 + "\ny\n", 2),
        ("braces.yaml", 'prompts: ["' + "{{" * 50_000 + '"]\nproviders: [x]\n', 1),
        ("one behind the other.json", "\n".join(json.dumps({"question": f"{at}?"}, indent=1) for at in range(2_000)), 2_000),
        ("keys of its own each.jsonl", lines(*({"question": f"{at}?", f"key{at}": 1} for at in range(300))), 300),
    ],
    ids=lambda value: value if isinstance(value, str) and len(value) < 40 else "",
)
def test_the_time_to_read_grows_with_the_file_and_not_faster(tmp_path: Path, name: str, content: str, count: int) -> None:
    """Each took minutes or for ever where reading it was quadratic."""
    found = read_prompts(written(tmp_path, name, content))
    assert len(found.prompts) == count
    assert len(found.told) <= 31, "and no more is told of it than a screen holds"


def test_a_set_that_yaml_would_take_minutes_to_read_is_written_as_lines(tmp_path: Path) -> None:
    file = written(tmp_path, "q.jsonl", lines(*({"id": str(at), "user": f"{at}?"} for at in range(3)), {"user": "x" * 10_000_001}))
    with pytest.raises(PromptError, match=r"clean\.yaml: too much for YAML, which .* minutes to read; name a \.jsonl file, like clean\.jsonl"):
        write_prompts(PromptFile(file=str(file)), tmp_path / "clean.yaml")
    found = write_prompts(PromptFile(file=str(file)), tmp_path / "clean.jsonl")
    assert read_prompts(tmp_path / "clean.jsonl").prompts == found.prompts


def test_a_million_prompts_take_about_a_kilobyte_each(tmp_path: Path) -> None:
    """Held against a few thousand, for each takes as much."""
    count = 1_000
    rows = [{"question": f"What is the number {at} called?", "answer": str(at), "category": f"t{at % 7}"} for at in range(count)]
    file = written(tmp_path, "q.jsonl", lines(*rows))
    read_prompts(file)
    tracemalloc.start()
    try:
        found = read_prompts(file)
        kept, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found.prompts) == count
    assert kept / count < 1_200
    assert peak / count < 1_600
