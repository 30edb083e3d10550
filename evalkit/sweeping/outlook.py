"""What a sweep would send, and what it could see: told before anything is spent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from evalkit.client.outcome import limit_of
from evalkit.collect.budget import least_cost, most_cost
from evalkit.errors import RecordError
from evalkit.experiment import judges
from evalkit.experiment.endpoint import Endpoint, Prices
from evalkit.experiment.experiment import Experiment, own_metrics
from evalkit.experiment.goals import metric_names, wishes
from evalkit.experiment.several import endpoint_name
from evalkit.metrics import RECORDED, Metric, checks
from evalkit.plan.requests import Plan, Request, Tokens
from evalkit.store.folder import is_run, load_experiment, reworded, seeds_of
from evalkit.store.records import Standing, read, standing
from evalkit.sweeping.advice import PlannedRace, course_ahead, planned_race, tokens_ahead, ways
from evalkit.text.numbers import counted

_TYPICAL_REPLICATES = 8


def pending(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Tokens:
    """What a sweep would send now, given what stands in its folder, if anything does. Raises `RecordError`."""
    folder = folder or Path("results") / experiment.name
    if (course := course_ahead(experiment, folder)) is not None:
        return tokens_ahead(course, standing(folder), retry_failed)
    if not is_run(folder):
        return Plan(experiment).tokens()
    plan = Plan(experiment.with_seeds(seeds_of(folder)))
    return plan.tokens_of(unsent(plan, standing(folder), retry_failed))


def said_of_prompts(experiment: Experiment, folder: Path) -> list[str]:
    """What was made of the file of the prompts, and which say something else than when they were asked before. Raises `RecordError`."""
    names = reworded(folder, experiment)
    said = list(experiment.read)
    if names:
        which = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        one = len(names) == 1
        said.append(
            f"{'the prompt' if one else 'the prompts'} {which} changed since {'it was' if one else 'they were'} asked: "
            f"asked anew; the earlier answers stay in the file and are left out"
        )
    return said


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of what an endpoint is still to be asked, and of what that costs.

    Attributes:
        name: ``sweep``, or of several endpoints this one's; or a judge's; or ``embeddings``.
        requests: at most so many; of a judge each may be asked once more; of embeddings texts, several of which go in a call.
        tokens_in, tokens_out: at most; None where nothing bounds them.
        cost_least, cost_most: in `currency`; None where no prices are given, or nothing bounds it.
    """

    name: str
    model: str
    requests: int
    tokens_in: int
    tokens_out: int | None
    cost_least: float | None
    cost_most: float | None
    currency: str | None


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep would send.

    Attributes:
        requests: of the whole plan; `anchors` beside them.
        asked: what is still to be sent, the sweep's own requests first.
        warnings: what stands against the experiment as it is written.
        race: its course, where it is a race.
    """

    v: int = 1
    name: str
    model: str
    base_url: str
    parameters: dict[str, list[Any]]
    settings: int
    prompts: int
    replicates: int
    requests: int
    anchors: int
    asked: list[Asked]
    warnings: list[str]
    race: PlannedRace | None = None


def planned(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Planned:
    """What a sweep of `experiment` into `folder` would send, given what stands there, if anything does. Raises `RecordError`."""
    plan = Plan(experiment)
    left = pending(experiment, folder, retry_failed=retry_failed)
    course = course_ahead(experiment, folder or Path("results") / experiment.name)
    asked_of = left_of_each(experiment, folder, left, retry_failed=retry_failed)
    beside = judged(plan, left, folder or Path("results") / experiment.name)
    vectors = embedded(plan, left, folder or Path("results") / experiment.name)
    asked_of += [_left(judge.name, "", judge.endpoint, asked) for judge, asked in zip(experiment.judges, beside, strict=True)]
    asked_of += [] if vectors is None else [vectors]
    return Planned(
        name=experiment.name,
        model=experiment.models,
        base_url=experiment.addresses,
        parameters={name: list(levels) for name, levels in experiment.parameters.items()},
        settings=len(plan.cells),
        prompts=len(experiment.prompts),
        replicates=experiment.replicates,
        requests=len(plan),
        anchors=plan.anchor_count,
        asked=[_asked(one) for one in asked_of],
        warnings=[*experiment.warnings(), *plan.design.beware],
        race=None if course is None else planned_race(course),
    )


class Left(NamedTuple):
    """What is still to be asked of an endpoint.

    Attributes:
        name: ``sweep``, or of several endpoints this one's; or a judge's; or ``embeddings``.
        where: the key under which it stands in the experiment.
        cheapest, dearest: its prices; where it is not known which of several is asked what, the lowest and the highest ones.
        answers: whether it answers in tokens; one for embeddings does not.
    """

    name: str
    where: str
    model: str
    cheapest: Prices | None
    dearest: Prices | None
    tokens: Tokens
    answers: bool = True

    @property
    def cost_least(self) -> float | None:
        """The least that it costs; None where no prices are given."""
        tokens = self.tokens
        said = tokens.requests + tokens.anchors if self.answers else 0
        return None if self.cheapest is None else least_cost(self.cheapest, tokens.prompts_least, said)

    @property
    def cost_most(self) -> float | None:
        """The most that it costs; None where no prices are given, or nothing bounds it."""
        tokens = self.tokens
        return None if self.dearest is None or tokens.answers_most is None else most_cost(self.dearest, tokens.prompts_most, tokens.answers_most)


def _left(name: str, where: str, endpoint: Endpoint, tokens: Tokens) -> Left:
    return Left(name, where, endpoint.model, endpoint.prices, endpoint.prices, tokens)


def left_of_each(experiment: Experiment, folder: Path | None, left: Tokens, *, retry_failed: bool = False) -> list[Left]:
    """What is `left` of a sweep, by the endpoint that is asked; of a race that asks several, which decides that later, all together."""
    every = experiment.asked_at()
    if len(every) == 1:
        where, endpoint = every[0]
        return [_left("sweep", where, endpoint, left)]
    place = folder or Path("results") / experiment.name
    if experiment.search is not None:
        prices = [one.prices for _, one in every if one.prices is not None]
        if len(prices) < len(every):
            return [Left("sweep", "endpoints", experiment.models, None, None, left)]
        return [Left("sweep", "endpoints", experiment.models, _each(min, prices), _each(max, prices), left)]
    begun = is_run(place)
    plan = Plan(experiment.with_seeds(seeds_of(place)) if begun else experiment)
    there = standing(place) if begun else Standing()
    parts = {endpoint_name(part.endpoint): part for part in plan.parts}
    return [
        _left(name, where, one, parts[name].tokens_of(unsent(parts[name], there, retry_failed)))
        for where, one in every
        if (name := endpoint_name(one)) in parts
    ]


def _each(of: Callable[[list[float]], float], prices: Sequence[Prices]) -> Prices:
    """Prices each of which is the lowest, or the highest, of several."""
    cached = [one.input if one.cached_input is None else one.cached_input for one in prices]
    hidden = [one.output if one.reasoning is None else one.reasoning for one in prices]
    asked, said = of([one.input for one in prices]), of([one.output for one in prices])
    return Prices(input=asked, output=said, cached_input=of(cached), reasoning=of(hidden), currency=prices[0].currency)


def _asked(left: Left) -> Asked:
    return Asked(
        name=left.name,
        model=left.model,
        requests=left.tokens.requests + left.tokens.anchors,
        tokens_in=left.tokens.prompts_most,
        tokens_out=left.tokens.answers_most,
        cost_least=left.cost_least,
        cost_most=left.cost_most,
        currency=None if left.cheapest is None else left.cheapest.currency,
    )


def judged(plan: Plan, left: Tokens, folder: Path) -> list[Tokens]:
    """What each judge may be asked: once for each different answer that is to come or has no score, and once more for a reply that cannot be read.

    `Tokens.requests` is the most that are asked for the first time; the lower bounds are of one try each, the upper ones of two.

    Raises:
        RecordError: the records or judgements in `folder` cannot be read.
    """
    experiment = plan.experiment
    if not experiment.judges:
        return []
    from evalkit.scoring.judging import unjudged  # asyncio and more, which a plan without judges needs not

    there = unjudged(folder, plan, experiment.judges) if is_run(folder) else [0] * len(experiment.judges)
    longest = plan.most_tokens()
    out = []
    for judge, unscored in zip(experiment.judges, there, strict=True):
        asked = left.requests + unscored
        sizes = [judges.sizes(judge, judges.Case(prompt.conversation(), prompt.expect)) for prompt in experiment.prompts]
        first, again = (sum(size[place] for size in sizes) / len(sizes) for place in (0, 1))
        answer = None if longest is None else longest / len(plan)
        limit = limit_of(judge.body())
        bounded = None if limit is None or answer is None else 2 * limit * asked
        out.append(Tokens(asked, 0, int(first / 8 * asked), int((first + again + 64 + 2 * (answer or 0)) * asked), bounded))
    return out


def embedded(plan: Plan, left: Tokens, folder: Path) -> Left | None:
    """What may be asked of the endpoint for embeddings: each different answer that is to come or has no vector; None where there is no such endpoint.

    `Tokens.requests` is the most texts that are sent, several in a call; a token there is taken to be one of the model's that answered.

    Raises:
        RecordError: the records or vectors in `folder` cannot be read.
    """
    endpoint = plan.experiment.embeddings
    if endpoint is None:
        return None
    there = 0
    if is_run(folder):
        from evalkit.scoring.embedding import unembedded  # asyncio and more, as above

        there = unembedded(folder, plan, endpoint)
    texts, longest = left.requests + there, plan.most_tokens()
    most = None if longest is None else math.ceil(longest / max(1, len(plan)) * texts)
    tokens = Tokens(texts, 0, 0, most or 0, None if most is None else 0)
    return Left("embeddings", "embeddings", endpoint.model, endpoint.prices, endpoint.prices, tokens, answers=False)


def outlook(experiment: Experiment, pilot: Path | None, variances: Sequence[str], effects: Sequence[str]) -> list[str]:
    """What `experiment` can see, from given variances (``METRIC=BETWEEN,WITHIN``), a pilot's folder, else typical ones: lines of text.

    Raises:
        ExperimentError: a variance or an effect makes no sense.
        RecordError: there is no pilot, or it has fewer than two cells or prompts.
    """
    from evalkit.analysis import power  # scipy, which a plan needs not

    own, decisive = own_metrics(experiment), list(wishes(experiment.choose))
    effect = power.wanted(effects, own)
    seen = power.given(variances, experiment.replicates, own)
    said: list[str] = []
    if not seen:
        folder = pilot or Path("results") / experiment.name
        if pilot is None and not folder.is_dir():
            return _typical(experiment, effect, decisive)
        if not folder.is_dir():
            raise RecordError(f"{folder}: no such run; sweep a pilot (the option limit with 5), or give variance METRIC=BETWEEN,WITHIN")
        seen = power.of_pilot(_judged_as(experiment, load_experiment(folder)), lambda: read(folder), _beside(experiment, decisive))
        if not seen:
            raise RecordError(f"{folder}: tells no variance; a pilot needs two settings and two prompts with answers")
        if unseen := [name for name in decisive if name not in seen]:
            said = [f"{_listed(unseen)} {'decides' if len(unseen) == 1 else 'decide'} too; this pilot does not tell how it varies."]
    seen = {name: seen[name] for name in (*(name for name in decisive if name in seen), *(name for name in seen if name not in decisive))}
    return [*power.told(experiment, power.outlook(experiment, seen, effect)), *said, *ways(experiment, seen)]


def _beside(experiment: Experiment, decisive: Sequence[str]) -> list[Metric]:
    """The metrics of an experiment's checks, and of those that records tell the ones that decide."""
    own = checks.metrics(experiment.checks, any(prompt.expect is not None for prompt in experiment.prompts))
    return [*own, *(one for one in RECORDED if one.name in decisive)]


def _judged_as(experiment: Experiment, pilot: Experiment) -> Experiment:
    """The experiment of a pilot with what `experiment` says of its answers: its checks, its margins, and what its prompts expect."""
    expected = {prompt.id: prompt.expect for prompt in experiment.prompts}
    prompts = tuple(one.model_copy(update={"expect": expected.get(one.id, one.expect)}) for one in pilot.prompts)
    return pilot.model_copy(update={"checks": experiment.checks, "margins": experiment.margins, "prompts": prompts})


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def _typical(experiment: Experiment, wanted: Mapping[str, float], decisive: Sequence[str]) -> list[str]:
    """The outlook by variances that were seen elsewhere: lines of text that fit into 80 columns."""
    from evalkit.analysis import power, typical  # scipy, as above

    found = [{row.metric: row for row in power.outlook(experiment, source.variances, wanted)} for source in typical.SOURCES]
    size = f"{counted(len(experiment.prompts), 'prompt')} × {counted(experiment.replicates, 'replicate')}"
    lines = [f"With {size}, a setting is told from another (80 % power, 5 % level) by,", "if yours vary as typical ones do:"]
    lines.append(f"  {'':<22} {'  '.join(f'{source.name:<14}' for source in typical.SOURCES)}".rstrip())
    for metric in found[0]:
        seen = [rows[metric].detectable for rows in found]
        lines.append(
            f"  {metric:<22} {'  '.join(f'{one:<14.3g}' for one in seen)}".rstrip()
            if not any(map(math.isnan, seen))
            else f"  {metric:<22} not at all"
        )
    lines += [f"{source.name}: {source.what}" for source in typical.SOURCES]
    if experiment.replicates != _TYPICAL_REPLICATES:
        lines.append("Metrics over the replicates together were seen at 8 of them; at another number they are others.")
    usual = metric_names()
    if unseen := [name for name in decisive if name not in usual or name == "cost"]:
        lines.append(f"{_listed(unseen)} {'decides' if len(unseen) == 1 else 'decide'} here: how that varies only a pilot tells.")
    lines += ways(experiment, typical.SOURCES[0].variances)
    return [*lines, "A pilot tells how yours vary: sweep with the option limit with 5, then plan again."]


def race_lines(experiment: Experiment, folder: Path) -> list[str]:
    """The course of a race in words; none of a full grid. Raises as a sweep does."""
    course = course_ahead(experiment, folder)
    return [] if course is None else planned_race(course).lines()


def narrowed(experiment: Experiment, limit: int | None) -> Experiment:
    """The experiment with its first `limit` prompts only."""
    return experiment if limit is None else experiment.model_copy(update={"prompts": experiment.prompts[:limit]})


def unsent(plan: Plan, there: Standing, retry_failed: bool) -> Iterator[Request]:
    """The requests of `plan`, anchors among them, that are to be sent, given what stands there."""
    return (request for request in plan.sequence() if there.wants(request.key, retry_failed))
