"""A setting as the configuration of what answers: vLLM, Ollama, a LiteLLM proxy."""

from __future__ import annotations

import json
import re
import shlex
from collections import Counter
from collections.abc import Sequence
from typing import Any

from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import LOCAL
from evalkit.experiment.parameters import OF_OPENAI
from evalkit.exports.settings import Exported, without_place
from evalkit.run import Run
from evalkit.text.escaping import harmless

_OF_VLLM = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "presence_penalty", "frequency_penalty")
"""What vLLM takes as defaults of a server (``ModelConfig.get_diff_sampling_param`` of vLLM 0.32), beside ``max_new_tokens``."""
_OF_OLLAMA = {
    **{name: name for name in ("temperature", "top_p", "top_k", "min_p", "seed", "presence_penalty", "frequency_penalty", "typical_p")},
    "max_tokens": "num_predict",
    "max_completion_tokens": "num_predict",
    "repetition_penalty": "repeat_penalty",
    "repeat_penalty": "repeat_penalty",
}


def for_vllm(run: Run, settings: Sequence[Exported]) -> str:
    """The option of ``vllm serve`` that makes the setting the server's default; whoever sends a value overrides it.

    Raises:
        ExperimentError: the model's name would be an option.
    """
    one = settings[0]
    if one.model.startswith("-"):
        raise ExperimentError(f"{harmless(one.model)}: no name of a model that vLLM takes; it would be an option")
    taken = {name: one.parameters[name] for name in _OF_VLLM if name in one.parameters}
    limit = one.parameters.get("max_tokens", one.parameters.get("max_completion_tokens"))
    taken |= {} if limit is None else {"max_new_tokens": limit}
    left = [name for name in one.parameters if name not in (*_OF_VLLM, "max_tokens", "max_completion_tokens")]
    text = json.dumps(taken, ensure_ascii=True)
    return "\n".join([*_about(run, one, left), f"vllm serve {shlex.quote(one.model)} --override-generation-config {shlex.quote(text)}"]) + "\n"


def for_ollama(run: Run, settings: Sequence[Exported]) -> str:
    """A Modelfile whose model answers with the setting where a request names nothing."""
    one = settings[0]
    if not re.fullmatch(r"[A-Za-z0-9._:/@-]+", one.model):
        raise ExperimentError(f"{harmless(one.model)}: no name of a model that a Modelfile can hold; write it behind FROM yourself")
    lines, left = [f"FROM {one.model}"], []
    for name, value in one.parameters.items():
        texts = ([value] if isinstance(value, str) else value) if name == "stop" else []
        if texts and all(map(_quotable, texts)):
            lines += [f"PARAMETER stop {_quoted(text)}" for text in texts]
        elif name in _OF_OLLAMA and isinstance(value, int | float) and not isinstance(value, bool):
            lines.append(f"PARAMETER {_OF_OLLAMA[name]} {value}")
        else:
            left.append(name)
    return "\n".join([*_about(run, one, left), *lines]) + "\n"


def _quotable(text: object) -> bool:
    """Whether a Modelfile can hold it: nothing in it ends the three quotation marks, and no control character stands there."""
    return isinstance(text, str) and '"""' not in text and not text.endswith('"') and text.replace("\n", "").isprintable()


def _quoted(text: str) -> str:
    """A text as a Modelfile holds it: in three quotation marks, where it may hold one or a line end."""
    return f'"""{text}"""' if '"' in text or "\n" in text else f'"{text}"'


def for_litellm(run: Run, settings: Sequence[Exported]) -> str:
    """The ``model_list`` of a LiteLLM proxy: a model a setting, whose defaults it sends where a request names nothing."""
    import yaml

    if any(one.endpoint.base_url == LOCAL for one in settings):
        raise ExperimentError(f"{run.folder}: the embedded model has no address that a proxy could call; export a run of another endpoint")
    slugs = Counter(one.slug for one in settings)
    models, missing = [], list[str]()
    for one in settings:
        endpoint = one.endpoint
        base, _, version = endpoint.base_url.partition("?")
        missing += without_place(endpoint) + (["the version in the address"] if version else [])
        known = {name: value for name, value in one.parameters.items() if name in OF_OPENAI}
        other = {name: value for name, value in one.parameters.items() if name not in OF_OPENAI}
        entry: dict[str, Any] = {"model": f"openai/{one.model}", "api_base": base}
        entry |= {"api_key": f"os.environ/{endpoint.api_key_env}" if endpoint.api_key_env else "none"}
        entry |= known | ({"extra_body": other} if other else {})
        named = f"{one.model}-{one.slug}" + (f"-{one.index}" if slugs[one.slug] > 1 else "")  # of two models of one name a proxy takes either
        models.append({"model_name": named if len(settings) > 1 else one.model, "litellm_params": entry})
    about = _about(run, settings[0], [], list(dict.fromkeys(missing)))
    return "\n".join(about) + "\n" + yaml.safe_dump({"model_list": models}, sort_keys=False, allow_unicode=False)


def _about(run: Run, one: Exported, left: Sequence[str], missing: Sequence[str] = ()) -> list[str]:
    """Comments: whence it comes, and what of the setting finds no place here."""
    said = [f"# {harmless(run.experiment.name)}: {harmless(one.name)}, chosen by evalkit"]
    said += [f"# Not here: {harmless(', '.join(missing))}."] if missing else []
    return said + ([f"# No place here for {', '.join(map(harmless, left))}: send it with each request."] if left else [])
