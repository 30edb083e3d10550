"""The chosen setting, ready to paste: as a file and as a call of the openai client."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from evalkit.experiment.parameters import OF_OPENAI
from evalkit.text.escaping import harmless


def recommended_yaml(parameters: Mapping[str, Any], comments: Sequence[str]) -> str:
    """The text of ``recommended.yaml``: the request's parameters, ready to paste, below what is said of them."""
    import yaml

    lines = [f"# {harmless(line)}" for comment in comments for line in comment.splitlines() or [""]]
    return "\n".join(lines) + "\n" + yaml.safe_dump(plain(parameters), sort_keys=False, allow_unicode=True)


def plain(value: Any) -> Any:
    """`value` in dicts and lists, for a format that knows no other."""
    match value:
        case Mapping():
            return {key: plain(one) for key, one in value.items()}
        case list() | tuple():
            return [plain(one) for one in value]
        case _:
            return value


def call_of(parameters: Mapping[str, Any]) -> str:
    """The call of the openai client with these parameters; what that client does not know goes by ``extra_body``."""
    every = plain(parameters)
    known = {name: value for name, value in every.items() if name in OF_OPENAI}
    other = {name: value for name, value in every.items() if name not in OF_OPENAI}
    lines = [f"    model={known.pop('model')!r},", "    messages=messages,"]
    lines += [f"    {name}={value!r}," for name, value in known.items()]
    lines += [f"    extra_body={other!r},"] if other else []
    return "client.chat.completions.create(\n" + "\n".join(lines) + "\n)"
