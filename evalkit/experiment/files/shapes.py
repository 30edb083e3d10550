"""The shapes that entries of other people's files have, each read into a prompt: chats, batches, training sets, other harnesses' samples.

OpenAI's chat format and its batches (``messages``, ``body``), ShareGPT (``conversations`` of ``from`` and ``value``), Alpaca (``instruction``,
``input``, ``output``), Inspect's samples (``input``, ``target``), the samples that lm-evaluation-harness logs (``doc``, ``arguments``, ``target``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.errors import PromptError
from evalkit.experiment.files.beside import further, refuse, refuse_choices, refuse_lost_image
from evalkit.experiment.files.bodies import body_of, unnested, with_lists, without_nothing
from evalkit.experiment.files.columns import PromptFile, nearest_usual, placed, plain, say_columns, tags_of
from evalkit.experiment.files.promptfoo_tests import of_test
from evalkit.experiment.files.said import Said
from evalkit.experiment.files.template import Template
from evalkit.experiment.files.values import chat_in, expected, held, is_text, missing, target
from evalkit.experiment.parameters import KNOWN
from evalkit.experiment.problems import Faults, nearest, shown, unknown
from evalkit.experiment.prompts import Message, Prompt, text_of

_OF_A_PROMPT = frozenset(Prompt.model_fields)
_OF_A_MESSAGE = frozenset(Message.model_fields)
_OF_A_REQUEST = frozenset((*KNOWN, "model", "stream", "stream_options", "n", "user", "metadata", "store", "parallel_tool_calls", "service_tier"))
_SPEAKERS = {
    "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant", "chatgpt": "assistant", "bot": "assistant", "model": "assistant",
    "system": "system", "developer": "developer",
}  # fmt: skip
_OF_AN_ANSWER = frozenset(("weight", "annotations", "reasoning", "reasoning_content"))
"""Keys of messages in training sets and stored answers that are not sent."""
_LONGEST_NAME = 60
_ANSWERED = "the assistant's answer at the end of {n} is taken as what is expected ('expect'), and not sent; keep_last: true sends it"


class Shapes:
    """Reads the entries of one file, and counts what it made of them."""

    def __init__(self, how: PromptFile, where: str, said: Said, *, table: bool) -> None:
        """`table`: its columns are whatever a table has; else an unknown key that is near one of a prompt's is a fault."""
        self._how, self._where, self._said, self._table = how, where, said, table
        self._names = how.names()
        self._columns: dict[tuple[str, ...], dict[str, str]] = {}
        self._simple: set[tuple[str, ...]] = set()
        """Keys of entries that are flat where no value is a list or a mapping: most files hold one kind alone."""
        self._template = Template(how, where, said)
        self.missed: str | None = None
        """A column that was left out, and likely holds what is expected, which no other does."""

    def own(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry in evalkit's own form; without an id its last message may be the answer, as in files that others wrote."""
        return dict(entry) if entry.get("id") is not None and self._how.keep_last is None else self._answered(dict(entry))

    def prompt(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """The prompt that an entry is, as plain data that is yet to be checked.

        Raises:
            Faults: it holds what has no counterpart in a prompt.
            PromptError: a column that was named is not there.
        """
        keys = tuple(entry)
        if keys in self._simple and not any(isinstance(one, dict | list) for one in entry.values()):
            return self._flat(entry)
        return self._shaped(entry, keys)

    def _shaped(self, entry: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
        entry = of_test(entry, self._said, self._where, known=self._how.template is not None or "user" in self._names)
        if self._how.template is not None:
            return self._template.filled(entry)
        if "user" in self._names:
            return self._flat(entry)
        if (body := body_of(entry)) is not None:
            return self._answered(self._own(body))
        entry = with_lists(unnested(entry))
        refuse_lost_image(entry)
        if "doc" in entry and "arguments" in entry:
            return self._logged(entry)
        for key in ("conversations", "conversation"):
            if isinstance(entry.get(key), list):
                return self._spoken(entry, key)
        if isinstance(entry.get("input"), list) or ("input" in entry and "target" in entry and "messages" in entry):
            return self._sample(entry)
        if "messages" in entry:
            own = self._own(entry)
            return own if own.get("id") is not None and self._how.keep_last is None else self._answered(own)
        if tuple(entry) == keys and not any(isinstance(one, dict | list) for one in entry.values()):
            self._simple.add(keys)
        return self._flat(entry)

    def _own(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """What of an entry with messages is a prompt's; the rest is told."""
        names = self._names
        named = {name: what for name, what in placed(tuple(map(str, entry)), names, self._where).items() if what in names} if names else {}
        out: dict[str, Any] = {what: held(what, entry[name], name) for name, what in named.items() if entry[name] not in (None, "")}
        for key, value in entry.items():
            if key in named or out.get(key) is not None:
                continue
            if key == "messages" and isinstance(value, list):
                out[key] = [self._message(one) for one in value]
            elif key in _OF_A_PROMPT:
                out[key] = value
            elif key in _OF_A_REQUEST:
                self._said.add(f"left out: {shown(key)} of {{n}}: what is sent beside the messages stands under 'parameters' or 'request'", "entry")
            elif plain(key) in ("name", "customid", "qid", "uid", "uuid") and "id" not in entry:
                out["id"] = value
            elif "did you mean" in (fault := unknown("key", key, _OF_A_PROMPT)):
                raise Faults([((key,), fault)])
            else:
                self._said.add(f"left out: {shown(key)} of {{n}}", "entry")
        if "system" in named.values() and isinstance(out.get("system"), str) and isinstance(out.get("messages"), list):
            out["messages"] = [{"role": "system", "content": out.pop("system")}, *out["messages"]]
        return out

    def _message(self, message: Any) -> Any:
        """A message without what training sets and APIs add to it: empty fields, and what is said of an answer."""
        if not isinstance(message, Mapping):
            return message
        out: dict[str, Any] = {}
        for key, value in message.items():
            if key in _OF_AN_ANSWER and value not in (None, [], ""):
                self._said.add(f"left out: {shown(key)} of {{n}}", "message")
            elif key in _OF_A_MESSAGE or (key not in _OF_AN_ANSWER and value not in (None, [], "")):
                out[key] = without_nothing(value)
        return out

    def _answered(self, prompt: dict[str, Any]) -> dict[str, Any]:
        """The prompt without the answer that its last message is, which becomes what is expected."""
        messages = prompt.get("messages")
        if self._how.keep_last or not isinstance(messages, list) or prompt.get("expect") is not None:
            return prompt
        if not any(isinstance(one, Mapping) and one.get("role") == "user" for one in messages[:-1]):
            return prompt
        last = messages[-1]
        if not isinstance(last, Mapping) or last.get("role") != "assistant" or last.get("tool_calls") or not is_text(last.get("content")):
            return prompt
        self._said.add(_ANSWERED, "conversation")
        return {**prompt, "messages": messages[:-1], "expect": text_of(last["content"])}

    def _spoken(self, entry: Mapping[str, Any], key: str) -> dict[str, Any]:
        messages = []
        for number, turn in enumerate(entry[key]):
            if not isinstance(turn, Mapping):
                raise Faults([((key, number), f"found {shown(turn)}; expected a turn with 'from' and 'value'")])
            speaker, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
            if not isinstance(speaker, str) or plain(speaker) not in _SPEAKERS:
                raise Faults([((key, number, "from"), f"found {shown(speaker)}; expected one of {', '.join(sorted(_SPEAKERS))}")])
            messages.append({"role": _SPEAKERS[plain(speaker)], "content": text})
        rest = {name: value for name, value in entry.items() if name != key}
        if isinstance(rest.get("system"), str) and rest["system"].strip() and all(one["role"] != "system" for one in messages):
            messages.insert(0, {"role": "system", "content": rest["system"]})
        rest.pop("system", None)
        return self._answered(self._own({**rest, "messages": messages}))

    def _logged(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """A sample that lm-evaluation-harness logged: what it asked, and what it held right."""
        arguments = entry["arguments"]
        first = next(iter(arguments.values()), None) if isinstance(arguments, Mapping) else arguments[0] if isinstance(arguments, list) else None
        text = first.get("arg_0") if isinstance(first, Mapping) else first[0] if isinstance(first, list) and first else None
        if not isinstance(text, str):
            raise Faults([(("arguments",), f"found {shown(arguments)}; expected the text that was asked")])
        if (isinstance(arguments, Mapping | list) and len(arguments) > 1) or isinstance(entry.get("target"), int):
            raise Faults([((), "a question whose answers were compared by their likelihood, which no chat tells; take tasks that generate text")])
        chat = chat_in(text)
        out: dict[str, Any] = {"user": text} if chat is None else {"messages": chat}
        if isinstance(entry.get("target"), str):
            out["expect"] = entry["target"]
        if isinstance(entry.get("doc_id"), int | str):
            out["id"] = entry["doc_id"]
        self._said.add("what lm-evaluation-harness asked is taken from 'arguments' of {n}, and 'target' as what is expected", "sample")
        return out

    def _sample(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An Inspect sample whose input is a conversation, or one of its logs, whose messages hold the model's answer too; OpenAI's evals alike."""
        others = ("target", "ideal", "metadata", "choices", "files", "setup", "sandbox", "messages", "tools")
        out = {key: value for key, value in entry.items() if key != "input" and key not in others}
        refuse(entry, ("choices", "files", "setup", "sandbox"))
        given = entry["input"] if isinstance(entry["input"], list) else [{"role": "user", "content": entry["input"]}]
        out["messages"] = [
            {key: value for key, value in one.items() if key not in ("id", "source", "model")} if isinstance(one, Mapping) else one for one in given
        ]
        name = "target" if "target" in entry or "ideal" not in entry else "ideal"
        out.update(target(entry, name))
        self._said.add(f"'input' of {{n}} is the conversation, and '{name}' what is expected", "sample")
        return self._answered(self._own(out))

    def _flat(self, entry: Mapping[str, Any]) -> dict[str, Any]:
        """An entry of plain columns, by their names."""
        keys = tuple(map(str, entry))
        if keys not in self._columns:
            self._look_at(keys)
        if "target" in entry and "input" in entry:
            refuse(entry, ("choices", "files", "setup", "sandbox"))
        if "user" not in self._names:
            refuse_choices(entry)
        columns = self._columns[keys]
        if "user" not in columns.values() and (self._table or columns.keys() != set(keys)):
            self._refuse_columns(keys)
        out = _values(entry, columns)
        own = _OF_A_PROMPT - columns.keys() - set(columns.values()) - ({"messages"} if "user" in self._names else set())
        out.update({key: value for key, value in entry.items() if key in own and value is not None})
        more = further(keys, columns)
        if more is not None and isinstance(entry[more], str) and entry[more].strip() and isinstance(out.get("user"), str):
            out["user"] = f"{out['user']}\n\n{entry[more]}"
            self._said.add(f"{shown(more)} stands behind the instruction, in {{n}}", "row")
        return out

    def _look_at(self, keys: tuple[str, ...]) -> None:
        """Find what each column holds, and tell it; raise `Faults` for one that is a slip."""
        self._columns[keys] = found = placed(keys, self._names, self._where)
        self._refuse_two_questions(keys, found)
        left = [key for key in keys if key not in found and (key not in _OF_A_PROMPT or key in found.values())]
        missed = say_columns([*found, *(key for key in left if key != further(keys, found))], found, self._said)
        self.missed = self.missed or missed
        if not self._table and (near := [key for key in left if nearest(key, _OF_A_PROMPT)]):
            raise Faults([((key,), unknown("key", key, _OF_A_PROMPT)) for key in near])

    def _refuse_two_questions(self, keys: Sequence[str], found: Mapping[str, str]) -> None:
        """Raise where a table's column ``user`` may be whose question stands beside it."""
        others = [key for key in keys if plain(key) in ("question", "prompt", "query", "userprompt")]
        mine = next((name for name, what in found.items() if what == "user"), None)
        if self._table and others and mine is not None and plain(mine) == "user" and "user" not in self._names:
            both = f"found the columns {shown(mine)} and {shown(others[0])}, either of which may hold the question"
            raise PromptError(f"{self._where}: {both}; say which: prompts: {{file: FILE, user: NAME}}")

    def _refuse_columns(self, keys: Sequence[str]) -> None:
        hint = "expected one that holds the question, like user, prompt or question; name yours: prompts: {file: FILE, user: NAME}"
        if near := nearest_usual(keys):
            hint = f"none holds the question; did you mean {shown(near[1])} by {shown(near[0])}? Else name yours: prompts: {{file: FILE, user: NAME}}"
        elif self._table and any(len(key) > _LONGEST_NAME or key.endswith("?") for key in keys):
            hint = "none is a name, so the first row may be one of the prompts; put a row with names above it, like question and answer"
        there = ", ".join(map(shown, keys[:8])) + (" and more" if len(keys) > 8 else "")
        if self._table:
            raise PromptError(f"{self._where}: found the {'column' if len(keys) == 1 else 'columns'} {there}; {hint}")
        raise Faults([((), f"found the {'key' if len(keys) == 1 else 'keys'} {there}; {hint}")])


def _values(entry: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, Any]:
    """What the columns of an entry hold of a prompt."""
    out: dict[str, Any] = {}
    for name, what in columns.items():
        value = entry[name]
        if what == "tags":
            out["tags"] = tags_of(value)
        elif missing(value) and not (isinstance(value, str) and what == "user"):
            continue
        elif what == "expect":
            out["expect"] = expected(value, name)
        else:
            out[what] = value.strip() if what == "id" and isinstance(value, str) else value
    return out
