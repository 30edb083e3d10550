"""Prompt sets: what is read, what is sent, and one clear message for whatever is wrong."""

from __future__ import annotations

import json
import math
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from support.process import ROOT

from evalkit.errors import PromptError
from evalkit.experiment.files.reading import read_prompts
from evalkit.experiment.prompts import Message, Prompt, check_prompts, text_of

CALL = {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}
RESULT = {"role": "tool", "tool_call_id": "c1", "content": "42"}

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(str.strip)
IDS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20).filter(lambda text: text == text.strip() and text.isprintable())
SHORT = st.fixed_dictionaries({"user": TEXTS}, optional={"system": TEXTS})
LONG = st.fixed_dictionaries(
    {
        "messages": st.lists(
            st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": TEXTS}), min_size=1, max_size=4
        )
    }
)
EXTRAS = st.fixed_dictionaries({}, optional={"tags": st.lists(TEXTS, max_size=3)})
PROMPTS = st.lists(st.builds(lambda form, extras: form | extras, SHORT | LONG, EXTRAS), min_size=1, max_size=5).flatmap(
    lambda forms: st.lists(IDS, min_size=len(forms), max_size=len(forms), unique=True).map(
        lambda ids: [{"id": name} | form for name, form in zip(ids, forms, strict=True)]
    )
)

ROLES = "expected 'system', 'developer', 'user', 'assistant' or 'tool'"
ALL_KEYS = "id, messages, response_format, system, tags, tests, tool_choice, tools, user, vars"


def one(**prompt):
    return check_prompts([{"id": "a"} | prompt])[0]


def refused(*prompts):
    with pytest.raises(PromptError) as caught:
        check_prompts(list(prompts), "p")
    return str(caught.value)


def fault(**prompt):
    """The message for one prompt, without where it stands."""
    lines = refused({"id": "a"} | prompt).split("\n")
    assert all(line.startswith("p: [0]") for line in lines)
    return "\n".join(line.removeprefix("p: [0]").lstrip(".").removeprefix(": ") for line in lines)


@pytest.fixture
def message(tmp_path, monkeypatch):
    """Write a prompt file and give the message that loading it ends with."""
    monkeypatch.chdir(tmp_path)

    def of(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(PromptError) as caught:
            read_prompts(path.relative_to(tmp_path))
        return str(caught.value)

    return of


@pytest.fixture
def loaded(tmp_path):
    """Write a prompt file and give its prompts."""

    def of(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_prompts(path).prompts

    return of


# What is read and sent


@given(PROMPTS)
def test_a_set_is_read_alike_from_json_lines_and_from_yaml_and_back(tmp_path_factory, prompts):
    lines, yaml = tmp_path_factory.getbasetemp() / "p.jsonl", tmp_path_factory.getbasetemp() / "p.yaml"
    lines.write_text("\n".join(json.dumps(prompt) for prompt in prompts))
    yaml.write_text(json.dumps(prompts))
    read = read_prompts(lines).prompts
    assert read == read_prompts(yaml).prompts == check_prompts(prompts)
    assert check_prompts([prompt.plain() for prompt in read]) == read
    assert check_prompts(list(read)) == read


@given(PROMPTS)
def test_what_is_written_is_what_is_sent(prompts):
    for written, prompt in zip(prompts, check_prompts(prompts), strict=True):
        short = [{"role": key, "content": written[key]} for key in ("system", "user") if key in written]
        assert prompt.conversation() == (written.get("messages") or short)
        assert prompt.id == written["id"]
        assert prompt.tags == tuple(written.get("tags", ()))


def test_the_short_form_is_a_system_and_a_user_message():
    assert one(system="Be brief.", user="Hello").conversation() == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert one(system=None, user="Hello").conversation() == [{"role": "user", "content": "Hello"}]
    assert Prompt(id="a", user="Hello").conversation() == [{"role": "user", "content": "Hello"}]


def test_a_tool_s_call_and_its_result_are_sent_as_the_api_takes_them():
    messages = [{"role": "user", "content": "What is six times seven?"}, CALL, RESULT, {"role": "user", "content": "Sure?", "name": "ada"}]
    assert one(messages=messages).conversation() == [messages[0], CALL | {"content": None}, RESULT, messages[3]]
    said = CALL | {"content": "Let me see."}
    assert one(messages=[said, RESULT]).conversation() == [said, RESULT]


def test_variables_are_filled_in_once_and_only_where_vars_is_given():
    text = "{{ a }}{{b}}, {{c d}} {x} {{{a}}}"
    assert one(user=text).conversation()[0]["content"] == text
    assert one(user=text, vars={"a": "{{b}}", "b": 2}).conversation()[0]["content"] == "{{b}}2, {{c d}} {x} {{{b}}}"
    assert one(user=text, vars={"a": r"\1", "b": ""}).conversation()[0]["content"] == r"\1, {{c d}} {x} {\1}"
    assert one(messages=[CALL, RESULT | {"content": "{{a}}"}], vars={"a": "x"}).conversation()[1]["content"] == "x"


def test_whole_numbers_are_texts_where_a_text_is_meant():
    prompt = one(id=7, user="{{n}}", vars={"n": -3})
    assert prompt.id == "7"
    assert prompt.conversation()[0]["content"] == "-3"


def test_the_shipped_set_uses_every_form():
    prompts = read_prompts(ROOT / "experiments/prompts/quickstart.yaml").prompts
    assert len(prompts) == 10
    assert {message.role for prompt in prompts for message in prompt.messages} == {"system", "user", "assistant", "tool"}
    assert any(prompt.vars for prompt in prompts)


# One prompt


HALF = r"holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself"
EMPTY = "the message is empty; expected a 'content' with text"


@pytest.mark.parametrize(
    ("prompt", "told"),
    [
        ({}, "neither 'messages' nor 'user' is given; expected one of them"),
        ({"system": "x"}, "neither 'messages' nor 'user' is given; expected one of them"),
        ({"user": ""}, "user: the message is empty; expected a text"),
        ({"user": " \n\t"}, "user: the message is empty; expected a text"),
        ({"user": None}, "user: found nothing (null); expected a text"),
        ({"user": 42}, "user: found 42; expected a text; put it in quotes"),
        ({"user": True}, "user: found true; expected a text; put it in quotes"),
        ({"user": ["x"]}, "user: found a list; expected a text"),
        ({"user": "\ud800"}, f"user: {HALF}"),
        ({"user": "x", "system": ""}, "system: the message is empty; expected a text"),
        ({"user": "x", "system": 3}, "system: found 3; expected a text; put it in quotes"),
        (
            {"user": "x", "messages": []},
            "'messages' and 'user' stand side by side; use one of the two forms\nmessages: the list is empty; expected at least one message",
        ),
        (
            {"system": "x", "messages": [RESULT | {"role": "user"}]},
            "'messages' and 'system' stand side by side; use one of the two forms\n"
            "messages[0]: tool_call_id stands in a message of role 'user'; expected role 'tool'",
        ),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, f"messages[0].content: {HALF}"),
        ({"messages": [CALL | {"name": "\ud800"}]}, f"messages[0].name: {HALF}"),
        (
            {"messages": [CALL | {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "\udc00"}}]}]},
            f"messages[0].tool_calls[0].function.arguments: {HALF}",
        ),
        ({"user": "x", "tags": ["\ud800"]}, f"tags[0]: {HALF}"),
        ({"user": "{{a}}", "vars": {"a": "\ud800"}}, f"vars.a: {HALF}"),
        ({"messages": []}, "messages: the list is empty; expected at least one message"),
        ({"messages": None}, "messages: found nothing (null); expected a list"),
        ({"messages": "hello"}, "messages: found 'hello'; expected a list"),
        ({"messages": {"role": "user"}}, "messages: found a mapping; expected a list"),
        ({"messages": ["hello"]}, "messages[0]: found 'hello'; expected a mapping"),
        ({"messages": [{"content": "x"}]}, "messages[0].role: is missing; add it"),
        (
            {"messages": [{"role": "usr", "content": "x"}]},
            f"messages[0].role: found 'usr'; {ROLES}",
        ),
        (
            {"messages": [{"role": "User", "content": "x"}]},
            f"messages[0].role: found 'User'; {ROLES}",
        ),
        (
            {"messages": [{"role": "function", "content": "x"}]},
            f"messages[0].role: found 'function'; {ROLES}",
        ),
        (
            {"messages": [{"role": None, "content": "x"}]},
            f"messages[0].role: found nothing (null); {ROLES}",
        ),
        ({"messages": [{"role": "user"}]}, f"messages[0]: {EMPTY}"),
        ({"messages": [{"role": "user", "content": ""}]}, f"messages[0]: {EMPTY}"),
        ({"messages": [{"role": "assistant", "content": "\n"}]}, f"messages[0]: {EMPTY}"),
        ({"messages": [CALL, RESULT | {"content": ""}]}, f"messages[1]: {EMPTY}"),
        ({"messages": [{"role": "user", "content": []}]}, f"messages[0]: {EMPTY}"),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": " "}, {"type": "text", "text": ""}]}]}, f"messages[0]: {EMPTY}"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]: found 'x'; expected a mapping"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text: is missing; add it"),
        ({"messages": [{"role": "user", "content": [{"text": 3}]}]}, "messages[0].content[0].text: found 3; expected a string"),
        ({"messages": [{"role": "user", "content": [{"text": "\ud800"}]}]}, f"messages[0].content[0].text: {HALF}"),
        ({"messages": [{"role": "user", "content": [{"text": "x", "txt": "y"}]}]}, "messages[0].content[0].txt: unknown key; did you mean 'text'?"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}, {"type": "input_audio", "input_audio": {}}]}]},
            "messages[0].content[1].type: found 'input_audio'; expected 'text' or 'image_url', for nothing else is sent",
        ),
        ({"messages": [{"role": "user", "content": {"text": "x"}}]}, "messages[0].content: found a mapping; expected a string"),
        (
            {"messages": [{"role": "user", "content": [{"text": "{{it}}"}, {"text": "{{it}} {{that}}"}]}], "vars": {"that": " "}},
            "messages[0]: {{it}} has no value; vars gives that; add it to vars, or mend the name",
        ),
        (
            {"messages": [{"role": "user", "content": [{"text": "{{that}}"}, {"text": " "}]}], "vars": {"that": " "}},
            "messages[0]: the message is empty once its variables are filled in; expected a text",
        ),
        ({"messages": [{"role": "user", "content": 3}]}, "messages[0].content: found 3; expected a string"),
        ({"messages": [{"role": "user", "contnet": "x"}]}, "messages[0].contnet: unknown key; did you mean 'content'?"),
        (
            {"messages": [{"role": "user", "content": "x", "weight": 1}]},
            "messages[0].weight: unknown key; expected one of content, name, role, tool_call_id, tool_calls",
        ),
        (
            {"messages": [{"role": "user", "content": "x"} | {"tool_calls": CALL["tool_calls"]}]},
            "messages[0]: tool_calls stand in a message of role 'user'; expected role 'assistant'",
        ),
        (
            {"messages": [{"role": "user", "content": "x", "tool_call_id": "c1"}]},
            "messages[0]: tool_call_id stands in a message of role 'user'; expected role 'tool'",
        ),
        ({"messages": [CALL, {"role": "tool", "content": "x"}]}, "messages[1]: a tool message must name the call it answers in 'tool_call_id'"),
        ({"messages": [CALL | {"tool_calls": []}]}, "messages[0].tool_calls: found an empty list; expected at least one entry"),
        ({"messages": [CALL | {"tool_calls": [{"id": "c"}]}]}, "messages[0].tool_calls[0].function: is missing; add it"),
        (
            {"messages": [CALL | {"tool_calls": [{"id": "", "function": {"name": "f", "arguments": "{}"}}]}]},
            "messages[0].tool_calls[0].id: found ''; expected a text that is not empty",
        ),
        (
            {"messages": [CALL | {"tool_calls": [{"id": "c", "function": {"name": "f", "arguments": {}}}]}]},
            "messages[0].tool_calls[0].function.arguments: found an empty mapping; expected a string",
        ),
        (
            {"messages": [CALL | {"tool_calls": [{"id": "c", "function": {"nmae": "f", "name": "f", "arguments": ""}}]}]},
            "messages[0].tool_calls[0].function.nmae: unknown key; did you mean 'name'?",
        ),
        (
            {"messages": [CALL | {"tool_calls": [{"id": "c", "type": "tool", "function": {"name": "f", "arguments": ""}}]}]},
            "messages[0].tool_calls[0].type: found 'tool'; expected 'function'",
        ),
        ({"user": "x", "tags": "one"}, "tags: found 'one'; expected a list"),
        ({"user": "x", "tags": [1]}, "tags[0]: found 1; expected a string"),
        ({"user": "x", "vars": ["a"]}, "vars: found a list; expected a mapping"),
        ({"user": "x", "vars": {"a": None}}, "vars.a: found nothing (null); expected a string"),
        ({"user": "x", "vars": {"a": 3.1}}, "vars.a: found 3.1; expected a text; put it in quotes: as a number, 1.10 is 1.1"),
        ({"user": "x", "vars": {"a": True}}, "vars.a: found true; expected a text; put it in quotes"),
        ({"user": "x", "vars": {"a b": "c"}}, "vars.a b: cannot stand in {{...}}; expected a name of letters, digits and '_', the first no digit"),
        (
            {"user": "{{x}} {{y}} {{x}}", "vars": {}},
            "messages[0]: {{x}} has no value; vars gives none; add it to vars, or mend the name\n"
            "messages[0]: {{y}} has no value; vars gives none; add it to vars, or mend the name",
        ),
        (
            {"user": "{{ drfat }}", "vars": {"draft": "x", "b": "c"}},
            "messages[0]: {{drfat}} has no value; vars gives b, draft; add it to vars, or mend the name",
        ),
        ({"user": """say {{ 'a' }} {{"a"}} {{"b"}}""", "vars": {"a": "x"}}, "messages[0]: {{...}} takes a name without quotes: write {{a}}"),
        ({"user": " {{a}} ", "vars": {"a": ""}}, "messages[0]: the message is empty once its variables are filled in; expected a text"),
        (
            {"user": f"{{{{{'x' * 61}}}}}", "vars": {f"v{n}": "" for n in range(12)}},
            f"messages[0]: {{{{{'x' * 57}...}}}} has no value; vars gives v0, v1, v10, v11, v2, v3, v4, v5, v6, v7, ...; "
            "add it to vars, or mend the name",
        ),
        ({"user": "x", "usr": "y"}, "usr: unknown key; did you mean 'user'?"),
        (
            {"user": "x", "prompt": "y"},
            "prompt: unknown key; expected one of expect, id, messages, response_format, system, tags, tests, tool_choice, tools, user, vars",
        ),
        (
            {"user": "x", "\x1b[2J": "y"},
            r"'\x1b[2J': unknown key; expected one of expect, id, messages, response_format, system, tags, tests, tool_choice, tools, user, vars",
        ),
    ],
    ids=lambda value: None if isinstance(value, str) else repr(value)[:80],
)
def test_what_is_wrong_with_a_prompt_is_told(prompt, told):
    assert fault(**prompt) == told


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "found ''; expected a text that is not empty"),
        (" a", "found ' a'; expected an id without spaces around it, line breaks and control characters"),
        ("a\nb", r"found 'a\nb'; expected an id without spaces around it, line breaks and control characters"),
        ("\x00", r"found '\x00'; expected an id without spaces around it, line breaks and control characters"),
        ("\ud800", HALF),
        ("x" * 201, "found '" + "x" * 57 + "...'; expected at most 200 characters"),
        (None, "found nothing (null); expected a string"),
        (True, "found true; expected a text; put it in quotes"),
        (1.1, "found 1.1; expected a text; put it in quotes: as a number, 1.10 is 1.1"),
        (math.nan, "found .nan; expected a text; put it in quotes: as a number, 1.10 is 1.1"),
        ([], "found an empty list; expected a string"),
        ({"a": 1}, "found a mapping; expected a string"),
    ],
    ids=repr,
)
def test_an_id_is_a_short_plain_text(name, told):
    assert fault(id=name, user="x") == f"id: {told}"


def test_a_prompt_that_is_none_is_told():
    told = "expected a mapping with an id and messages, or an id and a user text"
    for value, found in (("hello", "'hello'"), (3, "3"), (None, "nothing (null)"), ([], "an empty list"), (math.inf, ".inf")):
        assert refused(value) == f"p: [0]: found {found}; {told}"


def test_a_result_needs_its_call_before_it():
    told = "which no assistant message before it makes; add the assistant message with its tool_calls, or mend the tool_call_id"
    assert fault(messages=[RESULT]) == f"messages[0]: the tool message answers the call 'c1', {told}"
    assert fault(messages=[RESULT, CALL]) == f"messages[0]: the tool message answers the call 'c1', {told}"
    assert fault(messages=[CALL, RESULT | {"tool_call_id": "c2"}]) == f"messages[1]: the tool message answers the call 'c2', {told}"


def test_content_in_parts_is_sent_in_parts_with_its_variables_filled_in():
    parts = [{"type": "text", "text": "{{who}} asks"}, {"type": "text", "text": "Why, {{ who }}?"}]
    messages = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": parts}]
    plain = one(messages=messages)
    assert plain.conversation() == messages
    assert check_prompts([plain.plain()])[0] == plain
    assert json.loads(json.dumps(plain.plain())) == plain.plain()
    filled = one(messages=messages, vars={"who": "Ada"})
    assert filled.conversation()[1]["content"] == [{"type": "text", "text": "Ada asks"}, {"type": "text", "text": "Why, Ada?"}]
    assert filled.conversation()[1]["content"] == filled.conversation()[1]["content"], "filling in changes nothing of the prompt itself"
    assert one(messages=[{"role": "user", "content": [{"text": "x"}]}]).conversation()[0]["content"] == [{"type": "text", "text": "x"}]
    assert text_of(filled.conversation()[1]["content"]) == "Ada asks\nWhy, Ada?"
    assert (text_of("x"), text_of(None)) == ("x", "")


def test_a_message_made_in_python_is_checked_too():
    with pytest.raises(ValidationError, match="the message is empty"):
        Message(role="user")
    with pytest.raises(ValidationError, match="neither 'messages' nor 'user'"):
        Prompt(id="a")


# The whole set


def test_all_faults_of_a_set_are_told_at_once():
    lines = refused(
        {"user": ""},
        {"id": "b", "user": "x", "tgas": []},
        "hello",
        {"id": "b", "user": "{{x}}", "vars": {}},
        {"id": 4, "messages": [{"role": "user"}, {"role": "none", "content": 1}]},
        {"id": "4", "user": "x"},
    )
    assert lines.split("\n") == [
        "p: [0].user: the message is empty; expected a text",
        "p: [0].id: is missing; add it",
        "p: [1].tgas: unknown key; did you mean 'tags'?",
        "p: [2]: found 'hello'; expected a mapping with an id and messages, or an id and a user text",
        "p: [3].messages[0]: {{x}} has no value; vars gives none; add it to vars, or mend the name",
        "p: [3].id: the id 'b' stands twice, first at [1]; ids must differ",
        f"p: [4].messages[0]: {EMPTY}",
        "p: [4].messages[1].role: found 'none'; expected 'system', 'developer', 'user', 'assistant' or 'tool'",
        "p: [4].messages[1].content: found 1; expected a string",
        "p: [5].id: the id '4' stands twice, first at [4]; ids must differ",
    ]


def test_a_set_is_a_list_of_at_least_one():
    for value, found in (({}, "an empty mapping"), ("x.yaml", "'x.yaml'"), (None, "nothing (null)"), (3, "3")):
        with pytest.raises(PromptError) as caught:
            check_prompts(value, "p")
        assert str(caught.value) == f"p: found {found}; expected a list of prompts"
    assert refused() == "p: the prompt set is empty; expected at least one prompt"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["id", "messages", "user", "system", "role", "content", "vars", "tags", "tool_calls", "tool_call_id"]) | st.text(),
                inner,
            )
        ),
    )
)
def test_any_junk_is_read_or_told_line_by_line(value):
    try:
        check_prompts([value], "p")
    except PromptError as error:
        lines = str(error).split("\n")
        assert all(line.startswith("p: [0]") and line.isprintable() for line in lines)


# Files


@pytest.mark.parametrize("name", ["p.yaml", "p.yml", "p.jsonl", "p.csv", "P.CSV"])
def test_every_format_gives_the_same_prompts(loaded, name):
    contents = {
        "csv": 'id,system,user,tags\n1,Be brief.,"Hello, you",a; b\n',
        "jsonl": '{"id": "1", "system": "Be brief.", "user": "Hello, you", "tags": ["a", "b"]}\n',
        "yaml": "- id: 1\n  system: Be brief.\n  user: Hello, you\n  tags: [a, b]\n",
    }
    content = contents["yaml" if "y" in name.lower().split(".")[1] else name.lower().split(".")[1]]
    expected = check_prompts([{"id": "1", "system": "Be brief.", "user": "Hello, you", "tags": ["a", "b"]}])
    assert loaded(name, content) == expected
    assert loaded(name, b"\xef\xbb\xbf" + content.replace("\n", "\r\n").encode()) == expected


def test_a_csv_file_may_have_any_order_blank_lines_and_long_cells(loaded):
    prompts = loaded("p.csv", 'user,id\n\n"two\nlines, and ""quotes""", a \n , \n{{x}},007\n')
    assert [(prompt.id, prompt.conversation()) for prompt in prompts] == [
        ("a", [{"role": "user", "content": 'two\nlines, and "quotes"'}]),
        ("007", [{"role": "user", "content": "{{x}}"}]),
    ]
    assert prompts[0].tags == ()


def test_json_lines_may_have_blank_lines_and_signs_that_end_lines_elsewhere(loaded):
    prompts = loaded("p.jsonl", '\n{"id": "a", "user": "x\u2028y\x85z"}\n \n{"id": 2, "user": "\\ud83d\\ude00"}')
    assert [prompt.messages[0].content for prompt in prompts] == ["x\u2028y\x85z", "😀"]


KNOWN_FILES = "expected a prompt set in a .yaml, .yml, .json, .jsonl, .ndjson, .csv, .tsv, .txt or .parquet file"
A_QUESTION = "expected one that holds the question, like user, prompt or question; name yours: prompts: {file: FILE, user: NAME}"
EMPTY_SET = "the prompt set is empty; expected at least one prompt"


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("p.md", "hello", f"p.md: found a name that ends in '.md'; {KNOWN_FILES}"),
        ("p.xlsx", "PK", f"p.xlsx: found a spreadsheet; save it as CSV; {KNOWN_FILES}"),
        ("p.json", "[]", f"p.json: {EMPTY_SET}"),
        ("prompts", "[]", f"prompts: found a name without an ending; {KNOWN_FILES}"),
        ("p.yaml", "", f"p.yaml: {EMPTY_SET}"),
        ("p.yaml", "\n# later\n", f"p.yaml: {EMPTY_SET}"),
        ("p.yaml", "---\n", f"p.yaml: {EMPTY_SET}"),
        ("p.yaml", "[]", f"p.yaml: {EMPTY_SET}"),
        ("p.yaml", "null", f"p.yaml: {EMPTY_SET}"),
        ("p.jsonl", "", f"p.jsonl: {EMPTY_SET}"),
        ("p.jsonl", "\n \n", f"p.jsonl: {EMPTY_SET}"),
        ("p.csv", "", f"p.csv: {EMPTY_SET}"),
        ("p.csv", "id,user\n", f"p.csv: {EMPTY_SET}"),
        ("p.yaml", "prompts: []", f"p.yaml: {EMPTY_SET}"),
        ("p.yaml", "{id: a, user: b}", "p.yaml: found a mapping; expected a list of prompts"),
        ("p.yaml", "endpoint: {}\nprompts: []", "p.yaml: this is an experiment, which holds or names a prompt set; give the set itself"),
        (
            "p.yaml",
            "- id: a\n  user: x: y",
            "p.yaml: line 2, column 10: not valid YAML: a ':' where none is expected; put a text that holds ': ' in quotes, or mend the indentation",
        ),
        (
            "p.yaml",
            "- id: a\n  user: x\n- id: a\n  user: y",
            "p.yaml: [1].id: the id 'a' stands twice, first at [0], line 1; ids must differ (line 3)",
        ),
        (
            "p.yaml",
            "- id: a\n  user: {{x}}",
            "p.yaml: [0].user: a key must be a plain word; put a text that begins with '{' or '[' in quotes (line 2)",
        ),
        ("p.yaml", "- id: 1.10\n  user: x", "p.yaml: [0].id: found 1.1; expected a text; put it in quotes: as a number, 1.10 is 1.1 (line 1)"),
        (
            "p.yaml",
            "- !!python/object:os.system\n  id: a",
            "p.yaml: [0]: found a tag ('!...') that does not belong here; remove it, or put a text that begins with '!' in quotes (line 1)",
        ),
        ("p.yaml", "- id: " + "9" * 10_000, "p.yaml: [0].id: found a number of 10,000 digits; expected at most 40 (line 1)"),
        ("p.yaml", b"- id: caf\xe9", "p.yaml: line 1: a byte here is not UTF-8; save the file as UTF-8"),
        ("p.jsonl", b'{"id": "a",\n"\xff"}', "p.jsonl: line 2: a byte here is not UTF-8; save the file as UTF-8"),
        ("p.csv", b"id,user\na,\x81", "p.csv: line 2: a byte here is not UTF-8; save the file as UTF-8"),
        ("p.csv", b"\xff\xfeid,", "p.csv: the file begins as UTF-16 and goes on as something else; save it as UTF-8"),
        ("p.jsonl", '{"id": "a"}'.encode("utf-16"), "p.jsonl: the file is UTF-16; save it as UTF-8"),
        (
            "p.jsonl",
            "{'id': 'a'}",
            "p.jsonl: [0]: not valid JSON at column 2: expecting property name enclosed in double quotes; expected one JSON object a line (line 1)",
        ),
        ("p.jsonl", "\n[1]", "p.jsonl: [0]: found a list; expected a mapping with an id and messages, or an id and a user text (line 2)"),
        ("p.jsonl", '{"id": "a", "id": "b"}', "p.jsonl: [0]: the key 'id' stands twice; keep one (line 1)"),
        (
            "p.jsonl",
            '{"id": "a", "user": "b"} {"id": "c"}',
            "p.jsonl: [0]: not valid JSON at column 26: extra data; expected one JSON object a line (line 1)",
        ),
        ("p.jsonl", '{"id": ' + "9" * 10_000 + "}", "p.jsonl: [0]: found a number of 10,000 digits; expected at most 40 (line 1)"),
        ("p.jsonl", '{"id": 1.1, "user": "x"}', "p.jsonl: [0].id: found 1.1; expected a text; put it in quotes: as a number, 1.10 is 1.1 (line 1)"),
        ("p.jsonl", "[" * 100_000, "p.jsonl: [0]: nested too deeply to read; expected one prompt as a JSON object (line 1)"),
        (
            "p.jsonl",
            '{"id": "a", "user": "\\ud800"}',
            r"p.jsonl: [0].user: holds half a character (a lone \ud800 to \udfff), which cannot be sent; write the character itself (line 1)",
        ),
        ("p.csv", "name,words\na,x", f"p.csv: found the columns 'name', 'words'; {A_QUESTION}"),
        ("p.csv", "id\na", f"p.csv: found the column 'id'; {A_QUESTION}"),
        ("p.csv", "id,user,user\na,x,y", "p.csv: line 1: the column 'user' stands twice; rename one"),
        ("p.jsonl", '{"words": "x"}', f"p.jsonl: [0]: found the key 'words'; {A_QUESTION} (line 1)"),
        ("p.jsonl", '{"id": "a", "user": "x", "expct": "y"}', "p.jsonl: [0].expct: unknown key; did you mean 'expect'? (line 1)"),
        ("p.csv", "id,user\na,x, y", "p.csv: [0]: found 3 columns; expected 2; put a text that holds a comma in double quotes (line 2)"),
        ("p.csv", 'id,user\na,"x', "p.csv: [0]: not valid CSV: a quote in this row is never closed (line 2)"),
        ("p.csv", 'id,user\na,"x"y', "p.csv: [0]: not valid CSV: ',' expected after '\"'; write a '\"' within quotes twice (line 2)"),
        (
            "p.csv",
            "id,user\na," + "x" * 200_000,
            "p.csv: [0]: a cell is longer than 131,072 characters; put texts this long into a .jsonl file (line 2)",
        ),
        ("p.csv", "id,user\na,", "p.csv: [0].user: the message is empty; expected a text (line 2)"),
        ("p.csv", 'id,user\na,"x\ny"\na,z', "p.csv: [1].id: the id 'a' stands twice, first at [0], line 2; ids must differ (line 4)"),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_a_file_that_is_no_prompt_set_is_told(message, name, content, told):
    assert message(name, content) == told


def test_all_faulty_lines_of_a_file_are_told_at_once(message):
    assert message("p.jsonl", '{"id": "a"}\nhello\n{"id": "b", "user": "x"}\n{"id": "b", "user": 3}').split("\n") == [
        "p.jsonl: [0]: neither 'messages' nor 'user' is given; expected one of them (line 1)",
        "p.jsonl: [1]: not valid JSON at column 1: expecting value; expected one JSON object a line (line 2)",
        "p.jsonl: [3].user: found 3; expected a text; put it in quotes (line 4)",
        "p.jsonl: [3].id: the id 'b' stands twice, first at [2], line 3; ids must differ (line 4)",
    ]
    assert message("p.csv", 'id,user\na\nb,\nc,x\n"d",x,y\ne,"x').split("\n") == [
        "p.csv: [0]: found 1 column; expected 2; put a text that holds a comma in double quotes (line 2)",
        "p.csv: [1].user: the message is empty; expected a text (line 3)",
        "p.csv: [3]: found 3 columns; expected 2; put a text that holds a comma in double quotes (line 5)",
        "p.csv: [4]: not valid CSV: a quote in this row is never closed (line 6)",
    ]


def test_what_is_no_file_is_told(tmp_path):
    def told(path):
        with pytest.raises(PromptError) as caught:
            read_prompts(path)
        return str(caught.value)

    assert told(tmp_path / "p.yaml") == f"{tmp_path}/p.yaml: no such file; check the path"
    (tmp_path / "folder.csv").mkdir()
    assert told(tmp_path / "folder.csv") == f"{tmp_path}/folder.csv: this is a folder; expected a file"
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert told(tmp_path / "pipe.jsonl") == f"{tmp_path}/pipe.jsonl: this is a pipe or a device; expected a file"
    for name, most in (("p.jsonl", "500 MB"), ("p.csv", "500 MB"), ("p.yaml", "20 MB; a prompt set this big reads better from a .jsonl file")):
        with (tmp_path / name).open("wb") as file:
            file.truncate(10_000_000_000)
        assert told(tmp_path / name) == f"{tmp_path}/{name}: the file has 10,000 MB; expected at most {most}"
