"""The file that tells which trouble to rehearse: faults with their shares, and quirks.

    seed: 1
    faults:
      - {fault: rate_limited, share: 0.1, retry_after_s: 1}
    quirks:
      - {quirk: ignore, parameter: presence_penalty}

Everything wrong in it is told at once: where, what was found, what was expected.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from evalkit.local import embeddings, validation
from evalkit.local.errors import ApiError
from evalkit.local.fields import NUMBERS
from evalkit.local.quirks import OF_OTHERS, Quirk

_LARGEST_FILE = 1_000_000


class RehearsalError(ValueError):
    """The file cannot be used as written; the message has a line for each thing that is wrong."""


class Fault(NamedTuple):
    """A fault and the share of requests that it strikes; which of the times counts depends on its name."""

    name: str
    share: float
    seconds: float = 0.0
    retry_after_s: float = 0.0


class Rehearsal(NamedTuple):
    """What to rehearse; the draws follow from `seed` and the number of the request. `batches`: faults that batches meet."""

    seed: int = 0
    faults: tuple[Fault, ...] = ()
    quirks: tuple[Quirk, ...] = ()
    batches: tuple[Fault, ...] = ()


class _Number(NamedTuple):
    """A field's range; a field without a default must be given."""

    low: float
    high: float
    default: float | None = None


_SHARE = _Number(0, 1)
_A_DAY = 86_400
FAULTS: dict[str, dict[str, _Number]] = {
    "rate_limited": {"share": _SHARE, "retry_after_s": _Number(0, _A_DAY, 1)},
    "server_error": {"share": _SHARE},
    "slow_first_token": {"share": _SHARE, "seconds": _Number(0, _A_DAY, 2)},
    "stall": {"share": _SHARE, "seconds": _Number(0, _A_DAY, 30)},
    "disconnect": {"share": _SHARE},
    "malformed_json": {"share": _SHARE},
    "wrong_content_type": {"share": _SHARE},
}
OF_BATCHES: dict[str, dict[str, _Number]] = {
    "late": {"seconds": _Number(0, _A_DAY, 2)},
    "failed": {"share": _SHARE},
    "expired": {"share": _SHARE},
    "line_twice": {"share": _SHARE},
    "out_of_order": {},
    "refused": {},
    "unlisted": {},
}
"""Faults of batches: answered late; a share of the requests fail; a share is not answered before it expires; lines of the output stand twice, or in
another order; refused as a whole; the server lists neither files nor batches."""
QUIRKS: dict[str, tuple[str, ...]] = {
    "ignore": ("parameter",),
    "reject": ("parameter",),
    "clamp": ("parameter", "low", "high"),
    "default": ("parameter", "value"),
    "no_done": (),
    "no_usage": (),
    "noisy": ("share",),
}
_WHOLE = (1, 100_000)
MANNERS: dict[str, dict[str, tuple[str, ...] | tuple[float, float] | type[bool]]] = {
    "filters": {},
    "order": {"value": ("temperature_first", "top_p_first")},
    "hidden": {"top_k": _WHOLE, "min_p": (0.0, 1.0), "top_p": (0.0, 1.0)},
    "penalties": {"count": ("answer", "prompt", "both"), "window": _WHOLE, "kind": ("additive", "multiplicative"), "apart": bool, "at_zero": bool},
    "ends": {
        "zero": ("greedy", "unset", "least"),
        "least": (0.0, 2.0),
        "most": (0.0, 2.0),
        "beyond": ("refused", "taken", "clamped"),
        "top_p_zero": ("one", "all", "refused"),
    },
    "seeding": {"value": ("neighbours", "alone", "copies")},
    "counting": {
        "end": bool,
        "trimmed": bool,
        "hidden": _WHOLE,
        "wins": ("max_completion_tokens", "max_tokens", "smaller"),
        "zero": ("refused", "none", "one", "unlimited"),
    },
    "stopping": {"value": ("trimmed", "kept", "missed"), "most": _WHOLE},
    "probabilities": {"of": ("drawn", "tempered", "raw")},
}
"""The quirks that change what a parameter means, and what each of their fields may hold: one of some words, a number of a range (a whole one
where the range is of whole numbers), true or false. `value` must be given, of the others those that differ from the definition."""
_PARAMETERS = validation.PARAMETERS | embeddings.PARAMETERS | OF_OTHERS
_ALONE = frozenset(NUMBERS) - {"top_logprobs"} | {"stop", "stream", "logit_bias", "logprobs", "response_format", "user"}
"""Parameters that may stand without another, and so may have a default."""

_NEEDED = ("model", "messages", "input")


def load(path: Path) -> Rehearsal:
    """The rehearsal in the file at `path`; raises `RehearsalError`."""
    if path.is_file() and path.stat().st_size > _LARGEST_FILE:
        raise RehearsalError(f"{path}: the file is larger than {_LARGEST_FILE} bytes")
    try:
        data = yaml.load(path.read_text(encoding="utf-8-sig"), _Loader)  # noqa: S506 (a SafeLoader that knows of keys that stand twice)
    except OSError as fault:
        raise RehearsalError(f"{path}: cannot be read: {fault.strerror}; check the path") from None
    except UnicodeDecodeError:
        raise RehearsalError(f"{path}: the file is not UTF-8; save it as UTF-8") from None
    except yaml.MarkedYAMLError as fault:
        mark = fault.problem_mark or fault.context_mark
        where = f": line {mark.line + 1}" if mark else ""
        raise RehearsalError(f"{path}{where}: not valid YAML: {fault.problem}") from None
    except (yaml.YAMLError, ValueError, RecursionError):
        raise RehearsalError(f"{path}: not valid YAML") from None
    try:
        return check(data)
    except RehearsalError as error:
        raise RehearsalError("\n".join(f"{path}: {line}" for line in str(error).split("\n"))) from None


def check(data: object) -> Rehearsal:
    """The rehearsal in plain data; raises `RehearsalError`."""
    checker = _Checker()
    rehearsal = checker.rehearsal(data)
    if checker.found:
        raise RehearsalError("\n".join(checker.found))
    return rehearsal


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice, of which YAML's own loaders keep the last in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value!r} stands twice; keep one", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class _Checker:
    """Reads what it can and gathers what is wrong."""

    def __init__(self) -> None:
        self.found: list[str] = []

    def rehearsal(self, data: object) -> Rehearsal:
        table = self._table("", data, ("seed", "faults", "quirks", "batches"))
        seed = table.get("seed", 0)
        if isinstance(seed, bool) or not isinstance(seed, int) or abs(seed) >= 2**63:
            self._wrong("seed", seed, "a whole number")
        faults = tuple(fault for at, one in self._list("faults", table) if (fault := self._fault(f"faults[{at}]", one, FAULTS)))
        quirks = tuple(quirk for at, one in self._list("quirks", table) if (quirk := self._quirk(f"quirks[{at}]", one)))
        whole = math.fsum(fault.share for fault in faults)
        if whole > 1 + 1e-9:
            self.found.append(f"faults: their shares add up to {whole:g}; expected at most 1")
        batches = tuple(fault for at, one in self._list("batches", table) if (fault := self._fault(f"batches[{at}]", one, OF_BATCHES)))
        return Rehearsal(seed if isinstance(seed, int) else 0, faults, quirks, batches)

    def _list(self, name: str, table: dict[str, Any]) -> Iterator[tuple[int, object]]:
        value = table.get(name, [])
        if not isinstance(value, list):
            self._wrong(name, value, "a list")
            return
        yield from enumerate(value)

    def _fault(self, where: str, data: object, known: dict[str, dict[str, _Number]]) -> Fault | None:
        named = self._named(where, data, "fault", known)
        if named is None:
            return None
        name, table = named
        self._only(where, table, ("fault", *known[name]))
        numbers = {field: self._number(f"{where}.{field}", table.get(field), expected) for field, expected in known[name].items()}
        return Fault(name, **({"share": 1.0} | numbers))

    def _quirk(self, where: str, data: object) -> Quirk | None:
        named = self._named(where, data, "quirk", QUIRKS | MANNERS)
        if named is None:
            return None
        name, table = named
        if name in MANNERS:
            return self._manner(where, name, table)
        self._only(where, table, ("quirk", *QUIRKS[name]))
        parameter = self._parameter(f"{where}.parameter", table.get("parameter")) if "parameter" in QUIRKS[name] else ""
        if parameter is None:
            return None
        if name == "clamp":
            return self._clamp(where, parameter, table)
        if name == "default":
            return self._default(where, parameter, table)
        share = self._number(f"{where}.share", table.get("share"), _Number(0, 1, 1)) if name == "noisy" else 1.0
        return Quirk(name, parameter, share=share)

    def _manner(self, where: str, name: str, table: dict[str, Any]) -> Quirk | None:
        wanted = MANNERS[name]
        self._only(where, table, ("quirk", *wanted))
        given = {field: table[field] for field in wanted if table.get(field) is not None}
        if wanted and not given:
            self.found.append(f"{where}: has nothing but its name; expected {' or '.join(wanted)}")
            return None
        for field, value in given.items():
            expected = wanted[field]
            if expected is bool:
                if not isinstance(value, bool):
                    self._wrong(f"{where}.{field}", value, "true or false")
            elif isinstance(expected, tuple) and isinstance(expected[0], str):
                if value not in expected:
                    self._wrong(f"{where}.{field}", value, f"one of {', '.join(map(str, expected))}")
            elif isinstance(expected, tuple):
                low, high = float(expected[0]), float(expected[1])
                whole = isinstance(expected[0], int)
                if isinstance(value, bool) or not isinstance(value, int if whole else int | float) or not low <= value <= high:
                    self._wrong(f"{where}.{field}", value, f"a {'whole ' if whole else ''}number{_range(low, high)}")
        return Quirk(name, value=given)

    def _clamp(self, where: str, parameter: str, table: dict[str, Any]) -> Quirk | None:
        if parameter not in NUMBERS:
            self._wrong(f"{where}.parameter", parameter, f"a number to clamp: {', '.join(sorted(NUMBERS))}")
            return None
        kind, low, high = NUMBERS[parameter]
        ends: dict[str, float | None] = {}
        for end in ("low", "high"):
            ends[end] = value = table.get(end)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high or value != kind(value):
                self._wrong(f"{where}.{end}", value, f"{'a whole number' if kind is int else 'a number'}{_range(low, high)}")
                return None
            ends[end] = kind(value)
        if ends["low"] is None and ends["high"] is None:
            self.found.append(f"{where}: has neither low nor high; expected one or both")
        elif ends["low"] is not None and ends["high"] is not None and ends["low"] > ends["high"]:
            self.found.append(f"{where}: low is {ends['low']:g} and high {ends['high']:g}; expected low to be at most high")
        return Quirk("clamp", parameter, low=ends["low"], high=ends["high"])

    def _default(self, where: str, parameter: str, table: dict[str, Any]) -> Quirk | None:
        if parameter not in _ALONE:
            self._wrong(f"{where}.parameter", parameter, f"one that may stand alone: {', '.join(sorted(_ALONE))}")
            return None
        if table.get("value") is None:
            self.found.append(f"{where}.value: is missing; add it")
            return None
        try:  # a value that the endpoint itself would refuse is no default of any server
            if parameter in embeddings.PARAMETERS - validation.PARAMETERS:
                embeddings.read({"model": embeddings.EMBEDDING_MODEL, "input": "a", parameter: table["value"]})
            else:
                spoken = [{"role": "user", "content": "JSON"}]
                validation.chat({"model": "any", "messages": spoken, parameter: table["value"]}, ("any",), 2**31)
        except ApiError as error:
            self.found.append(f"{where}.value: {error}")
            return None
        return Quirk("default", parameter, value=table["value"])

    def _parameter(self, where: str, name: object) -> str | None:
        if name is None:
            self.found.append(f"{where}: is missing; add it")
        elif not isinstance(name, str):
            self._wrong(where, name, "the name of a parameter")
        elif name in _NEEDED:
            self._wrong(where, name, "a parameter that a request may leave out")
        elif name in _PARAMETERS:
            return name
        else:
            self.found.append(f"{where}: found {_shown(name)}; {_known('parameter', name, _PARAMETERS)}")
        return None

    def _named(self, where: str, data: object, key: str, known: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        if not isinstance(data, dict):
            self._wrong(where, data, f"a mapping, like {{{key}: {next(iter(known))}, ...}}")
            return None
        name = data.get(key)
        if name is None:
            self.found.append(f"{where}.{key}: is missing; expected one of {', '.join(known)}")
        elif not isinstance(name, str) or name not in known:
            self.found.append(f"{where}.{key}: found {_shown(name)}; {_known(key, str(name), known)}")
        else:
            return name, data
        return None

    def _table(self, where: str, data: object, known: Collection[str]) -> dict[str, Any]:
        if not isinstance(data, dict):
            self._wrong(where or "top level", data, f"a mapping with {', '.join(known)}")
            return {}
        self._only(where, data, known)
        return {key: value for key, value in data.items() if value is not None}

    def _only(self, where: str, table: dict[Any, Any], known: Collection[str]) -> None:
        for key in table:
            if key not in known:
                name = f"{where}.{key}" if where else str(key)
                self.found.append(f"{name[:80]}: unknown key; {_known('key', str(key), known)}")

    def _number(self, where: str, value: object, expected: _Number) -> float:
        if value is None:
            if expected.default is None:
                self.found.append(f"{where}: is missing; expected a number{_range(expected.low, expected.high)}")
            return expected.default or 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not expected.low <= value <= expected.high:
            self._wrong(where, value, f"a number{_range(expected.low, expected.high)}")
            return 0.0
        return float(value)

    def _wrong(self, where: str, value: object, expected: str) -> None:
        self.found.append(f"{where}: found {_shown(value)}; expected {expected}")


def _known(kind: str, name: str, known: Collection[str]) -> str:
    near = get_close_matches(name, known, 1)
    return f"did you mean '{near[0]}'?" if near else f"expected a {kind}, one of {', '.join(sorted(known))}"


def _range(low: float, high: float) -> str:
    return f" of at least {low:g}" if math.isinf(high) else f" from {low:g} to {high:g}"


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else "true" if value is True else "false" if value is False else repr(value)[:60]
