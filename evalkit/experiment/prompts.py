"""Prompt sets: lists of conversations, checked before anything is sent."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    StringConstraints,
    ValidationError,
    WithJsonSchema,
    model_validator,
)

from evalkit.errors import PromptError
from evalkit.experiment.endpoint import Strict
from evalkit.experiment.images import check_url, in_words
from evalkit.experiment.parameters import not_json
from evalkit.experiment.problems import HALF_A_CHARACTER, Faults, Marks, Path, from_pydantic, half_a_character, shown, spelled, told

_VARIABLE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_]*)\s*\}\}")
_QUOTED = re.compile(r"\{\{\s*([\"'])([A-Za-z_][A-Za-z0-9_]*)\1\s*\}\}")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class _Told(Strict):
    """As `Strict`, but an error may show the value: what stands in a prompt set is no secret."""

    model_config = ConfigDict(hide_input_in_errors=False)

    def _keep_little(self) -> None:
        """Keep the set of fields that were given once for all that were given the same: pydantic makes one each, and there may be millions."""
        fields = self.__pydantic_fields_set__
        object.__setattr__(self, "__pydantic_fields_set__", _FIELDS_GIVEN.setdefault(frozenset(fields), fields))


_FIELDS_GIVEN: dict[frozenset[str], set[str]] = {}
"""Of models that are frozen, so that nobody adds to one."""


def _whole_characters(value: str) -> str:
    if half_a_character(value):
        raise ValueError(HALF_A_CHARACTER)
    return value


_Text = Annotated[str, AfterValidator(_whole_characters)]
_Named = Annotated[_Text, StringConstraints(min_length=1)]


class Function(_Told):
    """The function that a tool call names, with its arguments as a JSON text."""

    name: _Named
    arguments: _Text


class ToolCall(_Told):
    """A call of a tool, made in an assistant message.

    Attributes:
        id: the name by which a message of role ``tool`` answers this call.
    """

    id: _Named
    type: Literal["function"] = "function"
    function: Function


class ContentPart(_Told):
    """A part of a message that is text."""

    type: Literal["text"] = "text"
    text: _Text


class ImageAddress(_Told):
    """Where an image is: an address, which is sent as it stands and never fetched here, or a data URL."""

    url: Annotated[_Text, AfterValidator(check_url)]
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(_Told):
    """A part of a message that is an image."""

    type: Literal["image_url"]
    image_url: ImageAddress


def _content(value: object) -> object:
    """What a message says: a text, or parts of text. Raises `Faults`, each at its part."""
    if value is None:
        return None
    if isinstance(value, str):
        return _whole_characters(value)
    if not isinstance(value, list | tuple):
        raise ValueError(f"found {shown(value)}; expected a string")
    faults: list[tuple[Path, str]] = []
    parts: list[ContentPart | ImagePart] = []
    for index, one in enumerate(value):
        kind = one.get("type", "text") if isinstance(one, dict) else "text"
        if kind not in ("text", "image_url"):
            faults.append(((index, "type"), f"found {shown(kind)}; expected 'text' or 'image_url', for nothing else is sent"))
            continue
        part = ContentPart if kind == "text" else ImagePart
        try:
            parts.append(one if isinstance(one, part) else part.model_validate(one))
        except ValidationError as error:
            fields = {"": list(part.model_fields), "image_url": list(ImageAddress.model_fields)}
            faults += [((index, *path), message) for path, message in from_pydantic(error, fields)]
    if faults:
        raise Faults(faults)
    return tuple(parts)


_OF_CONTENT: dict[str, Any] = {
    "anyOf": [
        {"type": "string"},
        {
            "type": "array",
            "minItems": 1,
            "items": {
                "anyOf": [
                    {
                        "type": "object",
                        "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
                        "required": ["text"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {
                            "type": {"const": "image_url"},
                            "image_url": {
                                "type": "object",
                                "properties": {"url": {"type": "string"}, "detail": {"enum": ["auto", "low", "high"]}},
                                "required": ["url"],
                                "additionalProperties": False,
                            },
                        },
                        "required": ["type", "image_url"],
                        "additionalProperties": False,
                    },
                    {
                        "type": "object",
                        "properties": {"type": {"const": "image"}, "file": {"type": "string"}, "detail": {"enum": ["auto", "low", "high"]}},
                        "required": ["type", "file"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        {"type": "null"},
    ]
}


def text_of(content: object) -> str:
    """What a message says as one text, a line for each part, given its ``content`` as it is sent; of an image what it is."""
    if isinstance(content, list | tuple):
        return "\n".join(in_words(str(one["image_url"]["url"])) if one.get("type") == "image_url" else str(one["text"]) for one in content)
    return "" if content is None else str(content)


class Message(_Told):
    """One message of a conversation.

    Attributes:
        role: who speaks; ``system`` or ``developer`` gives context and rules, ``tool`` the result of a tool.
        content: the text, or a list of its parts, ``{type: text, text: ...}``, ``{type: image_url, image_url: {url: ...}}`` or, of a file below the
            prompt set's folder, ``{type: image, file: NAME}``; it may be missing only beside `tool_calls`.
        name: of the speaker, where several have one role.
        tool_calls: what an assistant message calls.
        tool_call_id: the call that a message of role ``tool`` answers.
    """

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: Annotated[str | tuple[ContentPart | ImagePart, ...] | None, BeforeValidator(_content), WithJsonSchema(_OF_CONTENT)] = None
    name: _Text | None = None
    tool_calls: Annotated[list[ToolCall], Field(min_length=1)] | None = None
    tool_call_id: _Text | None = None

    @model_validator(mode="after")
    def _whole(self) -> Message:
        if not "".join(self.texts()).strip() and not self.tool_calls and not self.images():
            raise ValueError("the message is empty; expected a 'content' with text")
        if self.images() and self.role != "user":
            raise ValueError(f"an image stands in a message of role '{self.role}'; expected role 'user'")
        if self.tool_calls and self.role != "assistant":
            raise ValueError(f"tool_calls stand in a message of role '{self.role}'; expected role 'assistant'")
        if self.role == "tool" and not self.tool_call_id:
            raise ValueError("a tool message must name the call it answers in 'tool_call_id'")
        if self.role != "tool" and self.tool_call_id is not None:
            raise ValueError(f"tool_call_id stands in a message of role '{self.role}'; expected role 'tool'")
        self._keep_little()
        return self

    def texts(self) -> list[str]:
        """What the message says, each part of it."""
        if self.content is None:
            return []
        return [self.content] if isinstance(self.content, str) else [part.text for part in self.content if isinstance(part, ContentPart)]

    def images(self) -> list[str]:
        """Where its images are."""
        if self.content is None or isinstance(self.content, str):
            return []
        return [part.image_url.url for part in self.content if isinstance(part, ImagePart)]

    def body(self) -> dict[str, Any]:
        """The message as the API takes it."""
        out = self.model_dump(exclude_none=True, exclude={"content"} if isinstance(self.content, tuple) else None)
        if isinstance(self.content, tuple):
            out["content"] = [part.model_dump(exclude_none=True) for part in self.content]
        if self.tool_calls and self.content is None:
            out["content"] = None
        return out


def _text(value: object) -> object:
    if isinstance(value, bool | float):
        why = ": as a number, 1.10 is 1.1" if isinstance(value, float) else ""
        raise ValueError(f"found {shown(value)}; expected a text; put it in quotes{why}")
    return str(value) if isinstance(value, int) else value


def _usable_id(value: str) -> str:
    if value != value.strip() or not value.isprintable():
        raise ValueError(f"found {shown(value)}; expected an id without spaces around it, line breaks and control characters")
    return value


def _usable_names(values: Mapping[str, str]) -> Mapping[str, str]:
    odd = [name for name in values if not _VARIABLE_NAME.fullmatch(name)]
    if odd:
        raise Faults([((name,), "cannot stand in {{...}}; expected a name of letters, digits and '_', the first no digit") for name in odd])
    return values


def _together(value: object) -> object:
    """Tests as one text, where they are given one by one."""
    return "\n".join(value) if isinstance(value, list | tuple) and all(isinstance(one, str) for one in value) else value


_OfTexts = WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]})
_OfAnyText = WithJsonSchema({"type": ["string", "integer"]})
_Id = Annotated[
    str,
    BeforeValidator(_text),
    StringConstraints(min_length=1, max_length=200),
    AfterValidator(_whole_characters),
    AfterValidator(_usable_id),
    WithJsonSchema({"type": ["string", "integer"], "minLength": 1, "maxLength": 200}),
]
_SHORT_TEXT: dict[str, Any] = {"pattern": r"\S"}


def _of_a_prompt(schema: dict[str, Any]) -> None:
    """Either form will do, and in files the id may be left out: it is then made from the content."""
    schema["anyOf"] = [{"required": ["messages"]}, {"required": ["user"]}]
    schema.pop("required", None)


class Prompt(_Told):
    """One conversation to be answered: an `id` and its `messages`, or the short form `system` and `user`.

    Attributes:
        id: names the prompt in all results; one that changes its words wants another. Left out in a file, it is made from what is asked.
        messages: the conversation so far; the last message is what is answered.
        system, user: the short form of a conversation of one question.
        tags: words of your own, kept beside the prompt.
        tools, tool_choice, response_format: sent with this prompt, as the API takes them.
        expect: never sent; checks compare answers with it.
        tests: never sent; Python that the check ``runs`` runs with the code of an answer, like ``assert median([1, 3]) == 2``; or a list of such.
        vars: each ``{{name}}`` in the texts stands for its value; without, braces are plain text.
    """

    model_config = ConfigDict(json_schema_extra=_of_a_prompt)

    id: _Id
    messages: Annotated[tuple[Message, ...], Field(json_schema_extra={"minItems": 1})] = Field(default=(), strict=False)
    system: str | None = Field(default=None, json_schema_extra=_SHORT_TEXT)
    user: str | None = Field(default=None, json_schema_extra=_SHORT_TEXT)
    tags: tuple[_Text, ...] = Field(default=(), strict=False)
    tools: Annotated[list[dict[str, Any]], Field(min_length=1)] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    response_format: dict[str, Any] | None = None
    expect: _Text | None = None
    tests: Annotated[_Text, BeforeValidator(_together), _OfTexts] | None = None
    vars: Annotated[Mapping[str, Annotated[_Text, BeforeValidator(_text), _OfAnyText]], AfterValidator(_usable_names)] | None = None

    @model_validator(mode="wrap")
    @classmethod
    def _all_at_once(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        if isinstance(data, cls):
            return data
        if not isinstance(data, dict):
            raise ValueError(f"found {shown(data)}; expected a mapping with an id and messages, or an id and a user text")
        long, faults = _long_form(data)
        for key in _FREE:
            if (fault := not_json(long.get(key))) is not None:
                faults.append(((key,), fault))
        try:
            prompt = handler(long)
        except ValidationError as error:
            raise Faults([*faults, *from_pydantic(error, _FIELDS)]) from None
        faults = faults or [*_answers_without_calls(prompt.messages), *_unknown_variables(prompt)]
        if faults:
            raise Faults(faults)
        prompt._keep_little()
        # The short form stands in the messages now; with two keys fewer a prompt takes a sixth less memory, and there may be millions.
        object.__setattr__(prompt, "__dict__", {name: value for name, value in prompt.__dict__.items() if name not in ("system", "user")})
        return prompt

    def fields(self) -> dict[str, Any]:
        """What this prompt adds to the request beside its messages."""
        own = {"tools": self.tools, "tool_choice": self.tool_choice, "response_format": self.response_format}
        return {name: value for name, value in own.items() if value is not None}

    def conversation(self) -> list[dict[str, Any]]:
        """The messages as sent, variables filled in."""
        bodies = [message.body() for message in self.messages]
        values = self.vars
        if values is not None:
            for body in bodies:
                if isinstance(body.get("content"), str):
                    body["content"] = _filled(body["content"], values)
                for part in body["content"] if isinstance(body.get("content"), list) else ():
                    if "text" in part:
                        part["text"] = _filled(part["text"], values)
        return bodies

    def plain(self) -> dict[str, Any]:
        """The prompt as plain data that reads back as an equal one."""
        out = self.model_dump(exclude_none=True, exclude={"system", "user"}, mode="json")
        return out if out.get("tags") else {key: value for key, value in out.items() if key != "tags"}


def _filled(text: str, values: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: values[match[1]], text)


_FIELDS: dict[str, list[str]] = {
    "": list(Prompt.model_fields),
    "messages[]": list(Message.model_fields),
    "messages[].tool_calls[]": list(ToolCall.model_fields),
    "messages[].tool_calls[].function": list(Function.model_fields),
}
_FREE = ("tools", "tool_choice", "response_format")
"""Keys whose values are sent as they stand, whatever they hold."""
_ANY_MESSAGE = ({"role": "user", "content": "stands for one that is at fault, so that the rest is checked"},)


def _long_form(data: dict[str, Any]) -> tuple[dict[str, Any], list[tuple[Path, str]]]:
    """The prompt with `messages` instead of the short form, and what is wrong with either."""
    faults: list[tuple[Path, str]] = []
    long = {key: value for key, value in data.items() if key not in ("system", "user")}
    short = [key for key in ("system", "user") if data.get(key) is not None]
    if "messages" in data:
        if short:
            faults.append(((), f"'messages' and '{short[0]}' stand side by side; use one of the two forms"))
        if isinstance(data["messages"], list | tuple) and not data["messages"]:
            faults.append((("messages",), "the list is empty; expected at least one message"))
            long["messages"] = _ANY_MESSAGE
        return long, faults
    if "user" not in data:
        faults.append(((), "neither 'messages' nor 'user' is given; expected one of them"))
    for key in short if data.get("user") is not None or "user" not in data else [*short, "user"]:
        if not isinstance(data[key], str):
            quotes = "; put it in quotes" if isinstance(data[key], bool | int | float) else ""
            faults.append(((key,), f"found {shown(data[key])}; expected a text{quotes}"))
        elif not data[key].strip():
            faults.append(((key,), "the message is empty; expected a text"))
        elif half_a_character(data[key]):
            faults.append(((key,), HALF_A_CHARACTER))
    return long | {"messages": _ANY_MESSAGE if faults else [{"role": key, "content": data[key]} for key in short]}, faults


def _answers_without_calls(messages: Sequence[Message]) -> list[tuple[Path, str]]:
    faults: list[tuple[Path, str]] = []
    calls: set[str] = set()
    for index, message in enumerate(messages):
        calls |= {call.id for call in message.tool_calls or ()}
        if message.role == "tool" and message.tool_call_id not in calls:
            what = f"the tool message answers the call {shown(message.tool_call_id)}, which no assistant message before it makes"
            faults.append((("messages", index), f"{what}; add the assistant message with its tool_calls, or mend the tool_call_id"))
    return faults


def _unknown_variables(prompt: Prompt) -> list[tuple[Path, str]]:
    values = prompt.vars
    if values is None:
        return []
    given = ", ".join(sorted(values)[:10]) + (", ..." if len(values) > 10 else "") or "none"
    faults: list[tuple[Path, str]] = []
    for index, message in enumerate(prompt.messages):
        text = "".join(message.texts())
        unknown = [name for one in message.texts() for name in dict.fromkeys(_VARIABLE.findall(one)) if name not in values]
        for name in dict.fromkeys(unknown):
            said = name if len(name) <= 60 else f"{name[:57]}..."
            faults.append((("messages", index), f"{{{{{said}}}}} has no value; vars gives {given}; add it to vars, or mend the name"))
        quoted = dict.fromkeys(found[2] for one in message.texts() for found in _QUOTED.finditer(one) if found[2] in values)
        faults += [(("messages", index), f"{{{{...}}}} takes a name without quotes: write {{{{{name}}}}}") for name in quoted]
        if text and not unknown and not "".join(_filled(one, values) for one in message.texts()).strip():
            faults.append((("messages", index), "the message is empty once its variables are filled in; expected a text"))
    return faults


class Unread(NamedTuple):
    """Stands for a prompt that could not be read."""

    message: str
    path: Path = ()


def check_prompts(data: object, source: str = "", marks: Marks | None = None, at: Path = ()) -> tuple[Prompt, ...]:
    """The prompts in plain `data`; raises `PromptError` with every fault found. `at` is the path of `data` in its document."""
    marks = marks or {}
    if not isinstance(data, list):
        raise PromptError(told([(at, f"found {shown(data)}; expected a list of prompts")], source, marks))
    if not data:
        raise PromptError(told([(at, "the prompt set is empty; expected at least one prompt")], source, marks))
    faults: list[tuple[Path, str]] = []
    prompts: list[Prompt] = []
    first_at: dict[object, int] = {}
    for index, one in enumerate(data):
        where: Path = (*at, index)
        if isinstance(one, Unread):
            faults.append(((*where, *one.path), one.message))
            continue
        try:
            prompts.append(one if isinstance(one, Prompt) else Prompt.model_validate(one))
        except ValidationError as error:
            faults += [((*where, *path), message) for path, message in from_pydantic(error, _FIELDS)]
        name = _id_of(one)
        if name in first_at:
            first_place: Path = (*at, first_at[name])
            first = spelled(first_place) + (f", line {line}" if (line := marks.get(first_place)) else "")
            faults.append(((*where, "id"), f"the id {shown(name)} stands twice, first at {first}; ids must differ"))
        elif name is not None:
            first_at[name] = index
    if faults:
        raise PromptError(told(faults, source, marks))
    return tuple(prompts)


def _id_of(one: object) -> str | None:
    name = one.get("id") if isinstance(one, dict) else one.id if isinstance(one, Prompt) else None
    return str(name) if isinstance(name, str | int) and not isinstance(name, bool) else None
