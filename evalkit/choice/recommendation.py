"""The chosen setting, ready to paste: as a file and as a call of the openai client."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from evalkit.choice.choice import Choice, unproved_in_words
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import OF_OPENAI
from evalkit.text.escaping import harmless


def recommended_yaml(choice: Choice, experiment: Experiment, digest: str) -> str:
    """The text of ``recommended.yaml``: the request's parameters, ready to paste, below comments that say where they come from."""
    import yaml

    lines = [
        f"# Recommended by evalkit for {json.dumps(experiment.name)} ({digest}), profile {choice.profile or 'of its own'}.",
        f"# Best as measured in {choice.resample_share or 0:.0%} of resampled prompt sets; {len(choice.tied)} settings cannot be told from the best.",
        *([f"# The cell {json.dumps(choice.chosen_name, ensure_ascii=False)}."] if isinstance(choice.chosen_name, str) else []),
        "# Values of a winner are optimistic: confirm the choice on fresh answers.",
        *(f"# {harmless(one.metric)} {unproved_in_words(one)}." for one in choice.unproved),
        *(f"# Mind: {harmless(note)}" for note in choice.notes),
    ]
    return "\n".join(lines) + "\n" + yaml.safe_dump(_plain(choice.parameters), sort_keys=False, allow_unicode=True)


def _plain(value: Any) -> Any:
    """`value` in dicts and lists alone."""
    match value:
        case Mapping():
            return {key: _plain(one) for key, one in value.items()}
        case list() | tuple():
            return [_plain(one) for one in value]
        case _:
            return value


def call_of(parameters: Mapping[str, Any]) -> str:
    """The call of the openai client with these parameters; what that client does not know goes by ``extra_body``."""
    plain = _plain(parameters)
    known = {name: value for name, value in plain.items() if name in OF_OPENAI}
    other = {name: value for name, value in plain.items() if name not in OF_OPENAI}
    lines = [f"    model={known.pop('model')!r},", "    messages=messages,"]
    lines += [f"    {name}={value!r}," for name, value in known.items()]
    lines += [f"    extra_body={other!r},"] if other else []
    return "client.chat.completions.create(\n" + "\n".join(lines) + "\n)"
