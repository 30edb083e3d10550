"""By which rules an endpoint samples, as far as it says so itself or a probe found out, where that bears on a decision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.client.defaults import OwnDefaults, defaults_in
from evalkit.experiment.endpoint import Endpoint
from evalkit.experiment.experiment import Experiment
from evalkit.experiment.parameters import DEFAULT
from evalkit.experiment.several import endpoint_name
from evalkit.store.folder import PROBE_FILE, read_run
from evalkit.store.meanings import Corner, Meaning, read_corners, read_meanings
from evalkit.text.notes import Note, warning

_NO_CUT = {"top_p": 1.0, "top_k": 0.0, "min_p": 0.0}
"""Values that cut nothing, as which they are sent to switch something off."""


def rules(folder: Path, experiment: Experiment) -> Iterator[Note]:
    """What must be known of how the endpoint samples, beside a decision on this experiment: from the last look, and from ``probe.json``."""
    if len(experiment.asked) > 1:  # a probe is of one of them, and nobody says of which
        for endpoint in experiment.asked:
            name = endpoint_name(endpoint)
            if (own := defaults_in(read_run(folder), name)) is not None:
                yield from (said._replace(text=f"{name}: {said.text}") for said in _of_defaults(own, _sent(experiment, endpoint), {}))
        return
    sent = _sent(experiment, experiment.asked[0])
    meanings = read_meanings(folder / PROBE_FILE)
    defaults = defaults_in(read_run(folder))
    if defaults is not None:
        yield from _of_defaults(defaults, sent, meanings)
    for question, one in meanings.items():
        bears = _BEARS.get(question)
        if one.standing == "own" and bears is not None and bears(sent, one.answer or ""):
            yield warning(f"{_upper(one.says)} (evalkit probe)")
    far = [one for one in read_corners(folder / PROBE_FILE) if one.standing == "own" and _there(one, sent)]
    if far:
        yield warning(f"{_upper('; '.join(one.says for one in far))}: there these values mean something else than by the definition (evalkit probe)")


def _there(corner: Corner, sent: Mapping[str, list[Any]]) -> bool:
    """Whether the experiment has a setting at that corner."""
    levels = {"temperature": corner.temperature, "top_p": corner.top_p}
    return all(_left_out(sent, name) if level is None else level in _numbers(sent, name) for name, level in levels.items())


def _sent(experiment: Experiment, endpoint: Endpoint) -> dict[str, list[Any]]:
    """What is sent of each parameter, level by level; `DEFAULT` where it is left out."""
    fixed = {**experiment.request, **endpoint.extra_body}
    return {**{name: [value] for name, value in fixed.items()}, **{name: list(levels) for name, levels in experiment.parameters.items()}}


def _of_defaults(defaults: OwnDefaults, sent: Mapping[str, list[Any]], meanings: Mapping[str, Meaning]) -> Iterator[Note]:
    """What the server has on where nothing is sent, and that it cuts first."""
    on = {name: value for name, value in defaults.values.items() if _left_out(sent, name) and value != _NO_CUT.get(name)}
    if on:
        values = [f"{name} {value:g}" for name, value in on.items()]
        listed = " and ".join([", ".join(values[:-1]), values[-1]] if len(values) > 1 else values)
        off = ", ".join(f"{name}: {_NO_CUT[name]:g}" for name in on if name in _NO_CUT)
        fix = f"; request: {{{off}}} switches {'them' if off.count(':') > 1 else 'it'} off" if off else "; put it under request to be sure"
        yield warning(f"Where nothing is sent the server itself has {listed} on: part of every setting here{fix}")
    if defaults.cuts_first and "order_top_p" not in meanings and _both(sent, "temperature", "top_p"):
        yield warning("The server cuts with top_p before the temperature acts, as it says itself: the values may not carry over to another server")


def _left_out(sent: Mapping[str, list[Any]], name: str) -> bool:
    return name not in sent or DEFAULT in sent[name]


def _both(sent: Mapping[str, list[Any]], *names: str) -> bool:
    """All are sent, and at least one of them at more than one level."""
    return all(name in sent for name in names) and any(len(sent[name]) > 1 for name in names)


def _any(*names: str) -> Callable[[Mapping[str, list[Any]], str], bool]:
    return lambda sent, _: any(_numbers(sent, name) and any(_numbers(sent, name)) for name in names)


def _out(name: str) -> Callable[[Mapping[str, list[Any]], str], bool]:
    return lambda sent, _: _left_out(sent, name)


def _numbers(sent: Mapping[str, list[Any]], name: str) -> list[float]:
    return [level for level in sent.get(name, []) if isinstance(level, int | float) and not isinstance(level, bool)]


def _above(sent: Mapping[str, list[Any]], answer: str) -> bool:
    """Levels above a ceiling; 'refused' is one at 1."""
    try:
        ceiling = float(answer)
    except ValueError:
        ceiling = 1.0
    return any(level > ceiling for level in _numbers(sent, "temperature"))


def _upper(text: str) -> str:
    """As a sentence begins, unless with the name of a parameter."""
    return text if "_" in text.split(" ", 1)[0] else text[:1].upper() + text[1:]


_BEARS: dict[str, Callable[[Mapping[str, list[Any]], str], bool]] = {
    "order_top_p": lambda sent, _: _both(sent, "temperature", "top_p"),
    "order_min_p": lambda sent, _: _both(sent, "temperature", "min_p"),
    "hidden_top_p": _out("top_p"),
    "hidden_top_k": _out("top_k"),
    "hidden_min_p": _out("min_p"),
    "left_out_temperature": _out("temperature"),
    "temperature_0": lambda sent, _: 0 in _numbers(sent, "temperature"),
    "temperature_small": lambda sent, _: any(0 < level < 0.3 for level in _numbers(sent, "temperature")),
    "temperature_ceiling": _above,
    "temperature_beyond": lambda sent, answer: answer == "clamped" and any(level > 2 for level in _numbers(sent, "temperature")),
    "top_p_0": lambda sent, _: 0 in _numbers(sent, "top_p"),
    "penalties_kind": _any("frequency_penalty"),
    "penalties_apart": _any("presence_penalty"),
    "penalties_at_0": lambda sent, _: 0 in _numbers(sent, "temperature") and _any("frequency_penalty", "presence_penalty")(sent, ""),
    "penalties_count": _any("frequency_penalty", "presence_penalty"),
    "penalties_window": _any("frequency_penalty", "presence_penalty"),
    "seed_repeats": lambda sent, _: "seed" in sent,
    "seed_beside": lambda sent, _: "seed" in sent,
    "seed_none": lambda sent, _: "seed" not in sent,
    "seed_choices": lambda sent, _: "seed" in sent and "n" in sent,
    "limit_both": lambda sent, _: "max_tokens" in sent and "max_completion_tokens" in sent,
    "limit_0": lambda sent, _: 0 in [*_numbers(sent, "max_tokens"), *_numbers(sent, "max_completion_tokens")],
    "stop_cut": lambda sent, _: "stop" in sent,
}
"""Which questions bear on a decision, given what is sent."""
