"""The experiment file: what to ask, of whom, with which settings. All validation of it happens here, before anything is sent."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from evalkit.errors import ExperimentError, PromptError
from evalkit.experiment.endpoint import LOCAL, Endpoint, Prices, Strict, a_table, whole
from evalkit.experiment.files.columns import PromptFile, Sample
from evalkit.experiment.files.reading import Read, listed_prompts, read_prompts
from evalkit.experiment.goals import Choose, Own, Preference, Requirement, faults_of_choose, faults_of_margins, metric_names
from evalkit.experiment.judges import Judge, Scale, faults_of_names
from evalkit.experiment.levels import levels_of, with_levels_of_cells
from evalkit.experiment.parameters import (
    DEFAULT,
    ENDPOINT,
    KNOWN,
    NO_KEY_HERE,
    OF_OPENAI,
    PER_REPLICATE,
    REFUSED,
    VOID_AT_TEMPERATURE_0,
    canonical,
    fault_of_fixed,
    fault_of_name,
    is_secret,
    same_level,
    schema_of_fixed,
    schema_of_swept,
    settled_fields,
)
from evalkit.experiment.problems import Faults, Marks, Path, from_pydantic, shown, told, unknown
from evalkit.experiment.prompts import Prompt
from evalkit.experiment.sampled import schema_of_design, searched, with_sampled, with_searched
from evalkit.experiment.search import Search
from evalkit.experiment.settings import changed
from evalkit.experiment.several import FIRST, NamedEndpoint, faults_of_each, faults_of_endpoints, faults_of_exclude, with_endpoint_levels
from evalkit.experiment.strict_yaml import named, parse, read_text
from evalkit.metrics import checks, code, custom
from evalkit.text.numbers import counted

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

Seeds = Literal["hashed", "consecutive"]
"""How ``seed: per_replicate`` makes its seeds: spread over all there are, or, in results of an older evalkit, one after the other."""
SEEDS: tuple[Seeds, ...] = get_args(Seeds)


class Anchor(Strict):
    """One cell repeated through the run: after every so many requests; 0: never."""

    every: Annotated[int, Field(ge=0), BeforeValidator(whole)] = 100


def _or_a_path(schema: dict[str, Any]) -> None:
    """The schema of the prompts: themselves, or the path of a file, with or without what its columns hold."""
    items, least = schema.pop("items"), schema.pop("minItems")
    del schema["type"]
    path = {"type": "string", "minLength": 1, "description": "path of a prompt set, from this file"}
    file = PromptFile.model_json_schema() | {"description": "a prompt set, and which of its columns hold what"}
    file["properties"]["sample"] = file.pop("$defs")["Sample"] | {"description": "a part of the prompts alone"}
    schema["anyOf"] = [path, file, {"type": "array", "minItems": least, "items": items, "description": "the prompts themselves"}]


def _first(value: object, info: ValidationInfo) -> object:
    """The endpoint as it is written, or of several the first."""
    if value is not FIRST:
        return a_table(value)
    several = info.data.get("endpoints")
    return several[0] if several else Endpoint(base_url=LOCAL, model="placeholder")  # what is wrong with them is told


def _one_or_several(schema: dict[str, Any]) -> None:
    """One of the keys for endpoints is needed, whichever it is."""
    schema["required"].remove("endpoint")
    schema["anyOf"] = [{"required": ["endpoint"]}, {"required": ["endpoints"]}]


class Experiment(Strict):
    """A sweep: every cell of `parameters` is asked every prompt, `replicates` times.

    Attributes:
        name: names the results folder.
        endpoints: several endpoints in place of `endpoint`, each with a name: which of them is asked is swept like a parameter, all of them, or
            those that ``parameters: {endpoint: [NAME, NAME]}`` lists, or each cell under `cells` names. Each has a pace and prices of its own; one
            that fails leaves its cells to be asked later, and the others go on.
        endpoint: where the requests go; of several the first.
        prompts: the conversations, at least one.
        parameters: for each swept parameter its levels, in order; ``default`` leaves the parameter out of the request.
        request: sent with every call; ``seed: per_replicate`` sends a seed of each prompt's and replicate's own, alike in every cell.
        replicates: answers for each prompt in each cell.
        seed: orders the run, and is the root of all randomness of the analysis.
        anchor: how often the reference cell is asked again, to show a drift of the endpoint; left out: every 100 requests, not at all on the
            embedded endpoint and in short runs.
        checks: what answers must be, as metrics: ``is_json``, ``contains: a text`` and so on (`evalkit.metrics.checks`).
        scorers: functions of your own, each ``package.module:function``, or a mapping of ``call`` and ``better``.
        judges: models that give each answer a number by a rubric (`evalkit.experiment.judges`).
        embeddings: an endpoint whose ``/embeddings`` tell how far answers are apart in meaning; left out: that is not measured.
        design: which combinations are cells: all (``grid``), those under `cells` (``list``), the reference and every other level by
            itself (``one_at_a_time``), or for two levels each a fraction that keeps effects and pairs apart (``fractional``); or so many
            points drawn from levels and ranges ``{min, max}``, like ``{kind: sobol, points: 24}`` (``random``, ``sobol`` or ``lhs``).
        cells: the named cells of a list; a parameter that a cell does not hold is left out of its requests.
        exclude: combinations of levels that are not asked, like ``{endpoint: small, max_tokens: 4000}``: a cell that has them all is left out.
        reference: the cell that others are compared with, by its levels or its name; left out: the one nearest to all defaults.
        margins: for a metric the difference that is too small to matter: a number in its unit, or a share of the reference like ``5 %``.
        interval: of the means of cells and levels: Student's ``t`` (Wilson's of shares), or ``bootstrap_t`` for what is skewed over prompts.
        choose: how to choose among the cells.
        search: how to ask less than the full grid (`evalkit.experiment.search`); left out: every setting is asked every prompt.

    Raises:
        pydantic.ValidationError: built with values that do not fit; `load` and `check` raise `ExperimentError` instead.
    """

    model_config = ConfigDict(json_schema_extra=_one_or_several)

    name: Annotated[str, Field(json_schema_extra={"pattern": f"^{_NAME.pattern}$", "maxLength": 100})]
    endpoints: Annotated[tuple[Annotated[NamedEndpoint, BeforeValidator(a_table)], ...], Field(strict=False)] | None = None
    endpoint: Annotated[Endpoint, BeforeValidator(_first)]
    prompts: Annotated[tuple[Prompt, ...], Field(min_length=1, strict=False, json_schema_extra=_or_a_path)]
    parameters: Annotated[Mapping[str, tuple[Any, ...]], WithJsonSchema(schema_of_swept())] = Field(default_factory=dict)
    request: Annotated[Mapping[str, Any], WithJsonSchema(schema_of_fixed())] = Field(default_factory=dict)
    replicates: Annotated[int, Field(ge=1, le=1_000_000), BeforeValidator(whole)] = 1
    seed: Annotated[int, Field(ge=0, lt=2**53), BeforeValidator(whole)] = 0
    anchor: Anchor | None = None
    checks: Annotated[tuple[str | Mapping[str, Any], ...], Field(strict=False)] = ()
    scorers: Annotated[tuple[str | Mapping[str, Any], ...], Field(strict=False)] = ()
    judges: Annotated[tuple[Judge, ...], Field(strict=False)] = ()
    embeddings: Annotated[Endpoint, BeforeValidator(a_table)] | None = None
    design: Annotated[Literal["grid", "list", "one_at_a_time", "fractional"], WithJsonSchema(schema_of_design())] = "grid"
    cells: Mapping[str, Mapping[str, Any]] | None = None
    exclude: Annotated[tuple[Mapping[str, Any], ...], Field(strict=False)] = ()
    reference: Mapping[str, Any] | str | None = None
    margins: Mapping[str, float | str] = Field(default_factory=dict)
    interval: Literal["t", "bootstrap_t"] = "t"
    choose: Choose | None = None
    search: Search | None = None
    _seeds: Seeds = PrivateAttr(default="hashed")
    _read: tuple[str, ...] = PrivateAttr(default=())

    @property
    def seeds(self) -> Seeds:
        """How the seeds of replicates are made. No choice of whoever writes an experiment: a results folder keeps the way it was begun with."""
        return self._seeds

    @property
    def read(self) -> tuple[str, ...]:
        """What was made of the file of its prompts, a sentence each; none of a file in evalkit's own form."""
        return self._read

    def stored(self) -> Experiment:
        """The same as read from a results folder: no command in it is run."""
        judges = tuple(judge.model_copy(update={"endpoint": judge.endpoint.stored()}) for judge in self.judges)
        embeddings = None if self.embeddings is None else self.embeddings.stored()
        several = None if self.endpoints is None else tuple(one.stored() for one in self.endpoints)
        changes = {"endpoint": self.endpoint.stored(), "endpoints": several, "judges": judges, "embeddings": embeddings}
        return self.model_copy(update=changes)

    @property
    def asked(self) -> tuple[Endpoint, ...]:
        """The endpoints that settings are asked of, in the order of their levels; most often one."""
        if self.endpoints is None:
            return (self.endpoint,)
        named = {one.name: one for one in self.endpoints}
        return tuple(named[name] for name in self.parameters.get(ENDPOINT, ()) if name in named) or (self.endpoint,)

    def endpoint_of(self, cell: Mapping[str, Any], model: str | None = None) -> Endpoint:
        """The endpoint that a setting is asked of.

        Args:
            cell: where it names none, as in what was recorded while there was one endpoint, the first with this `model` counts, else the first.
        """
        if self.endpoints is None:
            return self.endpoint
        name = cell.get(ENDPOINT)
        fitting = (one for one in self.endpoints if (one.name == name if name is not None else one.model == model))
        return next(fitting, self.endpoint)

    @property
    def models(self) -> str:
        """The models that are asked, as people read it."""
        return ", ".join(dict.fromkeys(one.model for one in self.asked))

    @property
    def addresses(self) -> str:
        """The base URLs that are asked, as people read it."""
        return ", ".join(dict.fromkeys(address for one in self.asked for address in one.addresses))

    @property
    def embedded(self) -> bool:
        """Whether nothing is asked but the embedded model."""
        return all(one.base_url == LOCAL for one in self.asked)

    @property
    def priced(self) -> Prices | None:
        """The prices that stand for all in what they have in common, their currency; None where no endpoint has any."""
        return next((one.prices for one in self.asked if one.prices is not None), None)

    def asked_at(self) -> list[tuple[str, Endpoint]]:
        """Each endpoint that settings are asked of, with the key under which it stands in the file."""
        if self.endpoints is None:
            return [("endpoint", self.endpoint)]
        return [(f"endpoints[{at}]", one) for at, one in enumerate(self.endpoints) if one in self.asked]

    def called_at(self) -> list[tuple[str, Endpoint]]:
        """Each endpoint that is called for the experiment, judges and embeddings among them, with the key under which it stands in the file."""
        judges = [(f"judges[{at}].endpoint", one.endpoint) for at, one in enumerate(self.judges)]
        return [*self.asked_at(), *judges, *([("embeddings", self.embeddings)] if self.embeddings is not None else [])]

    def with_seeds(self, seeds: Seeds) -> Experiment:
        """The same experiment, whose seeds of replicates are made in this way."""
        if seeds == self._seeds:
            return self
        changed = self.model_copy()
        changed._seeds = seeds
        return changed

    @field_validator("endpoints", mode="after")
    @classmethod
    def _at_least_one(cls, value: tuple[NamedEndpoint, ...] | None) -> tuple[NamedEndpoint, ...] | None:
        if value is not None and not value:
            raise ValueError("the list is empty; expected endpoints, each with name, base_url and model")
        return value

    @field_validator("margins", mode="before")
    @classmethod
    def _sound_margins(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Mapping) and (faults := faults_of_margins(value, _own_metrics(info.data))):
            raise Faults(faults)
        return value

    @field_validator("choose", mode="before")
    @classmethod
    def _known_aims(cls, value: object, info: ValidationInfo) -> object:
        if isinstance(value, Mapping) and (faults := faults_of_choose(value, _own_metrics(info.data))):
            raise Faults(faults)
        return value

    @field_validator("judges", mode="after")
    @classmethod
    def _names_of_their_own(cls, value: tuple[Judge, ...], info: ValidationInfo) -> tuple[Judge, ...]:
        taken = [*metric_names(), *_own_metrics(info.data).names()]
        if faults := faults_of_names(value, taken):
            raise Faults(faults)
        return value

    @field_validator("search", mode="before")
    @classmethod
    def _some_search(cls, value: object) -> object:
        return Search.model_validate(value) if value is None else value  # which tells what to write

    @field_validator("name")
    @classmethod
    def _safe_name(cls, value: str) -> str:
        if not _NAME.fullmatch(value) or len(value) > 100:
            raise ValueError(f"found {shown(value)}; expected letters, digits, '.', '_' and '-', the first a letter or digit, 100 at most")
        return value

    @field_validator("parameters", mode="before")
    @classmethod
    def _levels(cls, value: object) -> object:
        return levels_of(value) if isinstance(value, Mapping) else value

    @field_validator("request", mode="before")
    @classmethod
    def _fixed(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value

        def fault_of(name: str, given: Any) -> str | None:
            fault = fault_of_name(name, "request")
            if fault is None and not (name == "seed" and given == PER_REPLICATE):
                fault = fault_of_fixed(name, given)
                if fault and name == "seed" and "expected" in fault:
                    fault += f", or {PER_REPLICATE}"
            return fault

        return settled_fields(value, fault_of)

    @field_validator("checks", mode="after")
    @classmethod
    def _known_checks(cls, value: tuple[str | Mapping[str, Any], ...], info: ValidationInfo) -> tuple[str | Mapping[str, Any], ...]:
        prompts = info.data.get("prompts", ())
        # Where the prompts themselves are at fault nobody knows what they expect, and nothing is wrong with a check that needs it.
        expects, tests = ("prompts" not in info.data or any(getattr(prompt, name) is not None for prompt in prompts) for name in ("expect", "tests"))
        faults: list[tuple[Path, str]] = [
            ((index,), fault) for index, one in enumerate(value) if (fault := _fault_of_check(one, expects, tests, info))
        ]
        if not faults and any(kind == "runs" and code.runs(argument).then is None for kind, argument in checks.with_arguments(value, False)):
            wrong = ((prompt.id, code.fault_of(prompt.tests)) for prompt in prompts if prompt.tests is not None)
            faults = [((), f"the tests of prompt {shown(name)} are not Python: {fault}") for name, fault in wrong if fault]
        if faults:
            raise Faults(faults)
        return value

    @field_validator("scorers", mode="after")
    @classmethod
    def _sound_scorers(cls, value: tuple[str | Mapping[str, Any], ...], info: ValidationInfo) -> tuple[str | Mapping[str, Any], ...]:
        faults: list[tuple[Path, str]] = []
        taken = {*metric_names(), *_own_metrics({name: given for name, given in info.data.items() if name in ("prompts", "checks")}).names()}
        for index, one in enumerate(value):
            name = custom.name_of(one)
            if fault := custom.fault(one):
                faults.append(((index,), fault))
            elif name in taken:
                faults.append(((index,), f"gives a metric {name}, which another metric is called; give the function another name"))
            taken.add(name or "")
        if faults:
            raise Faults(faults)
        return value

    @model_validator(mode="before")
    @classmethod
    def _levels_of_cells(cls, data: Any) -> Any:
        data = with_endpoint_levels(data) if isinstance(data, Mapping) else data
        if isinstance(data, Mapping) and searched(data):
            data = with_searched(data)
        elif isinstance(data, Mapping) and isinstance(data.get("design"), Mapping):
            data = with_sampled(data)
        if not isinstance(data, Mapping) or not isinstance(data.get("cells"), Mapping):
            return data
        return with_levels_of_cells(data)

    @model_validator(mode="after")
    def _each_in_one_place(self) -> Experiment:
        faults = _standing_twice(self.parameters, self.request)
        ids = [prompt.id for prompt in self.prompts]
        if len(set(ids)) < len(ids):
            faults.append((("prompts",), "two prompts have the same id; ids must differ"))
        if self.endpoints is not None and self.endpoint != self.endpoints[0]:
            faults.append((("endpoints",), "stands beside endpoint; keep one of the two"))
        faults += faults_of_endpoints(self.endpoints, self.parameters, self.cells)
        faults += faults_of_exclude(self.exclude, self.parameters, self.design)
        every: list[tuple[Path, Endpoint]] = [(("endpoint",), self.endpoint)]
        every = every if self.endpoints is None else [(("endpoints", at), one) for at, one in enumerate(self.endpoints)]
        for where, one in every:
            faults += faults_of_each(one, where, self.parameters, self.request, DEFAULT)
        taken = {*self.parameters, *self.request, *(name for _, one in every for name in one.extra_body)}
        for index, prompt in enumerate(self.prompts):
            own = [name for name in prompt.fields() if name in taken]
            faults += [(("prompts", index, name), "stands under 'parameters', 'request' or 'extra_body' too; keep one of them") for name in own]
        faults += self._faults_of_reference() + self._faults_of_design()
        if self.search is not None and self.choose is None:
            what = "a search" if self.search.bayes else "a race"
            faults.append((("search",), f"{what} needs to know what is better; add choose: {{profile: balanced}}, or take search out"))
        if faults:
            raise Faults(faults)
        return self

    def _faults_of_design(self) -> list[tuple[Path, str]]:
        if self.design == "list" and self.cells is None:
            return [(("design",), "list needs named settings; add cells: {NAME: {temperature: 0.7}}")]
        if self.design != "fractional":
            return []
        faults: list[tuple[Path, str]] = [
            (("parameters", name), f"has {len(levels)} levels; design: fractional takes two of each swept parameter, its ends")
            for name, levels in self.parameters.items()
            if len(levels) > 2
        ]
        swept = sum(len(levels) == 2 for levels in self.parameters.values())
        if swept > 8:
            faults.append((("design",), f"fractional takes at most eight swept parameters, and there are {swept}; sweep fewer"))
        return faults

    def _faults_of_reference(self) -> list[tuple[Path, str]]:
        if isinstance(self.reference, str) and self.cells is not None:
            return (
                []
                if self.reference in self.cells
                else [(("reference",), f"found {shown(self.reference)}; {unknown('setting', self.reference, self.cells)}")]
            )
        if isinstance(self.reference, str):
            return [(("reference",), f"found {shown(self.reference)}; expected levels of the swept parameters, like {{temperature: 0.7}}")]
        faults: list[tuple[Path, str]] = []
        for name, level in (self.reference or {}).items():
            levels = self.parameters.get(name)
            if levels is None:
                faults.append((("reference", name), unknown("swept parameter", name, self.parameters)))
            elif not any(same_level(level, one) for one in levels):
                faults.append((("reference", name), f"found {shown(level)}; expected one of its levels: {', '.join(map(str, levels))}"))
        return faults

    @classmethod
    def load(cls, path: FilePath | str, settings: Sequence[str] = ()) -> Experiment:
        """The experiment of a file.

        Args:
            settings: changes for this time, each ``PATH=VALUE`` like ``parameters.temperature=[0, 1]``.

        Raises:
            ExperimentError, PromptError: it cannot be run as written; all faults are told at once.
        """
        return load(FilePath(path), list(settings))

    @classmethod
    def build(cls, **fields: Any) -> Experiment:
        """An experiment from its fields, as a file would hold them.

        Raises:
            ExperimentError, PromptError: it cannot be run as given; all faults are told at once.

        Examples:
            >>> experiment = Experiment.build(
            ...     name="tones",
            ...     endpoint={"base_url": "local", "model": "babbler"},
            ...     prompts=[{"id": "hello", "user": "Say hello."}],
            ...     parameters={"temperature": [0, 0.7]},
            ... )
            >>> experiment.parameters["temperature"]
            (0, 0.7)
        """
        return check(fields, "Experiment.build")

    def warnings(self) -> list[str]:
        """What is legal and probably not meant, a sentence each."""
        out = [
            f"{section}.{name} is not one of OpenAI's parameters; it is sent as it stands, and a server may ignore or refuse it"
            for section, names in (("parameters", self.parameters), ("request", self.request))
            for name in names
            if name not in OF_OPENAI and name != ENDPOINT
        ]
        temperatures = self.parameters.get("temperature", (self.request.get("temperature"),))
        if any(isinstance(level, int | float) and level == 0 for level in temperatures):
            void = [name for name in VOID_AT_TEMPERATURE_0 if name in self.request]
            out += [f"request.{name} has no effect at temperature 0, and is left out of the requests there" for name in void]
        fixed = any(isinstance(level, int) for level in (*self.parameters.get("seed", ()), self.request.get("seed")))
        if fixed and self.replicates > 1:
            out.append(
                f"a fixed seed with {self.replicates} replicates: a server that honours it gives the same answer {self.replicates} times; "
                f"write seed: {PER_REPLICATE} under 'request'"
            )
        without = [prompt.id for prompt in self.prompts if prompt.expect is None]
        kinds = checks.of_expected(self.checks, len(without) < len(self.prompts))
        if kinds and without:
            names = ", ".join(map(shown, without[:3])) + (", ..." if len(without) > 3 else "")
            out.append(
                f"{' and '.join(kinds)}: of {counted(len(self.prompts), 'prompt')}, {len(without):,} ({names}) have no 'expect' to compare with; "
                "their answers are left out there"
            )
        out += self._untested()
        seen = [prompt.id for prompt in self.prompts if any(message.images() for message in prompt.messages)]
        if seen:
            out.append(
                f"{counted(len(seen), 'prompt')} {'holds' if len(seen) == 1 else 'hold'} images: what they take in tokens is not foreseen in plans "
                "and budgets, and a model without eyes refuses them or answers as if they were not there"
            )
        answered = [prompt.id for prompt in self.prompts if prompt.messages[-1].role == "assistant"]
        if answered:
            names = ", ".join(map(shown, answered[:5])) + (", ..." if len(answered) > 5 else "")
            out.append(
                f"of {counted(len(self.prompts), 'prompt')}, {len(answered):,} ({names}) end with a message of the assistant, which the model is "
                "asked to go on with; where that is the answer you want, take it out of the messages, and write it under 'expect'"
            )
        return out

    def _untested(self) -> list[str]:
        """Which prompts have nothing that a check ``runs`` could run."""
        out = []
        for argument in [argument for kind, argument in checks.with_arguments(self.checks, False) if kind == "runs"]:
            found = code.runs(argument)
            if without := [prompt.id for prompt in self.prompts if found.tests(prompt.tests, prompt.vars or {}) is None]:
                names = ", ".join(map(shown, without[:3])) + (", ..." if len(without) > 3 else "")
                lack = "have no 'tests'" if found.then is None else "lack a variable of its tests under 'vars'"
                out.append(f"runs: of {counted(len(self.prompts), 'prompt')}, {len(without):,} ({names}) {lack}; their answers are left out there")
        return out

    def resolved(self) -> dict[str, Any]:
        """The experiment as plain data that reads back as an equal one, prompts and environment filled in."""
        out = self.model_dump(mode="json", exclude={"prompts", "endpoint" if self.endpoints is not None else "endpoints"}, exclude_none=True)
        out = {name: value for name, value in out.items() if value or name not in ("checks", "scorers", "judges", "exclude")}
        return out | {"prompts": [prompt.plain() for prompt in self.prompts]}

    def digest(self) -> str:
        """Hash of all that decides which requests are sent, 16 hexadecimal digits."""
        data = {key: value for key, value in self.resolved().items() if key not in _JUDGEMENT}
        data["prompts"] = [{key: value for key, value in prompt.items() if key not in ("expect", "tests")} for prompt in data["prompts"]]
        if self.endpoints is None:
            data["endpoint"] = _telling(data["endpoint"], self.endpoint)
        else:
            data["endpoints"] = [{"name": one.name, **_telling(told, one)} for told, one in zip(data["endpoints"], self.endpoints, strict=True)]
        text = json.dumps(canonical(data), ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def _telling(resolved: Mapping[str, Any], endpoint: Endpoint) -> dict[str, Any]:
    """Of an endpoint what decides which requests are sent, and what is scored of their answers."""
    return {"base_url": endpoint.known_as, **{key: value for key, value in resolved.items() if key in ("model", "extra_body", "strip")}}


_JUDGEMENT = frozenset(("reference", "margins", "interval", "choose", "checks", "scorers", "judges", "embeddings", "anchor"))
"""Keys that decide what is made of the answers, not which are asked for."""


def own_metrics(experiment: Experiment) -> Own:
    """The metrics of an experiment's checks, scorers and judges, as far as they are known before anything has run."""
    return _own_metrics({name: getattr(experiment, name) for name in ("checks", "prompts", "scorers", "judges")})


def _own_metrics(data: Mapping[str, Any]) -> Own:
    """The metrics of an experiment's checks, scorers and judges, as far as `data` could be read: what is at fault is not in it."""
    kinds = {one if isinstance(one, str) else str(next(iter(one), "")) for one in data.get("checks", ())}
    if "prompts" not in data or any(prompt.expect is not None for prompt in data["prompts"]):
        kinds.add("contains")
    functions = frozenset(name for one in data.get("scorers", ()) if (name := custom.name_of(one)))
    judges = {judge.name: (judge.scale.min, judge.scale.max) for judge in data.get("judges", ())}
    return Own(frozenset(kinds), functions, judges, whole=data.keys() >= {"checks", "scorers", "judges"})


def _fault_of_check(spec: object, expects: bool, tests: bool, info: ValidationInfo) -> str | None:
    """What is wrong with a check as it is written; of a kind that there is not, what was meant."""
    kind = next(iter(spec)) if isinstance(spec, Mapping) and len(spec) == 1 else spec
    if isinstance(kind, str) and kind not in checks.KINDS:
        return unknown("check", kind, checks.KINDS)
    return checks.fault(spec, expects, tests, **(info.context or {}))


def _standing_twice(parameters: Mapping[str, Any], request: Mapping[str, Any]) -> list[tuple[Path, str]]:
    return [(("parameters", name), "stands under 'request' too; keep one of the two") for name in parameters if name in request]


_FIELDS: dict[str, list[str]] = {
    "": list(Experiment.model_fields),
    "endpoint": list(Endpoint.model_fields),
    "endpoints[]": list(NamedEndpoint.model_fields),
    "judges[]": list(Judge.model_fields),
    "judges[].scale": list(Scale.model_fields),
    "judges[].endpoint": list(Endpoint.model_fields),
    "embeddings": list(Endpoint.model_fields),
    "choose": list(Choose.model_fields),
    "search": list(Search.model_fields),
    **{f"choose.require.{name}": list(Requirement.model_fields) for name in metric_names()},
    **{f"choose.prefer.{name}": list(Preference.model_fields) for name in metric_names()},
}


def _misplaced(path: Path) -> str | None:
    """Why a key that is unknown where it stands was likely written there."""
    name = str(path[-1])
    if is_secret(name):
        return NO_KEY_HERE
    if len(path) == 1 and name in Endpoint.model_fields:
        return "unknown key here; it belongs under 'endpoint'"
    if len(path) == 2 and name in Experiment.model_fields:
        return "unknown key here; it belongs at the top level"
    if name in REFUSED:
        return REFUSED[name]
    if name in KNOWN:
        return "unknown key here; it belongs under 'parameters' (swept) or 'request' (fixed)"
    return None


def load(path: FilePath | str, settings: Iterable[str] = ()) -> Experiment:
    """The experiment in a YAML file.

    Args:
        settings: changes to it, each ``a.dotted.path=value`` with the value in YAML.

    Raises:
        ExperimentError: with every fault of the file, a line each.
        PromptError: where only the prompt set is at fault.
    """
    path = FilePath(path)
    document = parse(read_text(path), named(path))
    data: Any = document.data
    marks: Marks = document.marks
    if not isinstance(data, dict):
        found = "nothing" if data is None else "a text" if isinstance(data, str) else shown(data)
        raise ExperimentError(f"{named(path)}: found {found}; expected a mapping with name, endpoint, prompts and parameters")
    for setting in settings:
        data, marks = changed(data, marks, setting)
    return check(data, named(path), marks, path.parent)


_PLACEHOLDER = Prompt.model_validate({"id": "placeholder", "user": "placeholder", "expect": "placeholder", "tests": "pass"})
"""Stands for prompts that are at fault, so that all else is looked at: it has whatever a check may need, for what prompts lack is not known then."""


def check(data: Mapping[str, Any], source: str = "", marks: Marks | None = None, folder: FilePath | None = None) -> Experiment:
    """The experiment in plain `data`; a prompt file is looked for in `folder`. Raises as `load` does."""
    marks, data = marks or {}, dict(data)
    lines: list[str] = []
    prompts_fault: PromptError | None = None
    read: tuple[str, ...] = ()
    context: dict[str, str] = {}
    if "prompts" in data:
        try:
            found_prompts = _prompts(data["prompts"], source, marks, folder)
            context = _to_expect(data["prompts"], found_prompts)
            data["prompts"], read = found_prompts.prompts, found_prompts.told
        except PromptError as fault:
            prompts_fault = fault
            data["prompts"] = (_PLACEHOLDER,)
    experiment: Experiment | None = None
    try:
        experiment = Experiment.model_validate(data, context=context)
    except ValidationError as error:
        found = from_pydantic(error, _FIELDS, _misplaced)
        swept, fixed = data.get("parameters"), data.get("request")
        if isinstance(swept, Mapping) and isinstance(fixed, Mapping):
            # Pydantic looks at the whole only where every part is sound.
            found += [fault for fault in _standing_twice(swept, fixed) if fault not in found]
        lines.append(told(found, source, marks))
    if prompts_fault is not None and not lines:
        raise prompts_fault
    if prompts_fault is not None:
        lines.insert(0, str(prompts_fault))
    if lines or experiment is None:
        raise ExperimentError("\n".join(lines))
    experiment._read = read
    return experiment


def _to_expect(written: object, found: Read) -> dict[str, str]:
    """What to write so that prompts which stand in columns say what is expected; nothing of others."""
    file = written if isinstance(written, str) else written.get("file") if isinstance(written, Mapping) else None
    if not isinstance(file, str) or FilePath(file).suffix.lower() in (".yaml", ".yml", ".txt"):
        return {}
    column = "COLUMN" if found.missed is None else shown(found.missed)
    return {"expected": f"prompts: {{file: {file if file.isprintable() else shown(file)}, expect: {column}}}"}


def _prompts(written: object, source: str, marks: Marks, folder: FilePath | None) -> Read:
    if isinstance(written, str) and written.strip():
        return _of_file(PromptFile(file=written), source, folder or FilePath())
    if isinstance(written, Mapping):
        try:
            how = PromptFile.model_validate(written)
        except ValidationError as error:
            found = [(("prompts", *path), message) for path, message in from_pydantic(error, _FIELDS_OF_A_FILE)]
            raise PromptError(told(found, source, marks)) from None
        return _of_file(how, source, folder or FilePath())
    if isinstance(written, list):
        return listed_prompts(written, source, marks, ("prompts",), folder)
    expected = "expected a file's path, a mapping with one, or a list of prompts"
    raise PromptError(told([(("prompts",), f"found {shown(written)}; {expected}")], source, marks))


_FIELDS_OF_A_FILE = {"": list(PromptFile.model_fields), "sample": list(Sample.model_fields)}


def _of_file(how: PromptFile, source: str, folder: FilePath) -> Read:
    try:
        return read_prompts(folder / how.file, how)
    except PromptError as fault:
        raise PromptError(f"{fault} (named by {source}: prompts)" if "no such file" in str(fault) else str(fault)) from None
