"""What a sweep would send, and what it could see: told before anything is spent."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from evalkit.client.outcome import limit_of
from evalkit.errors import RecordError
from evalkit.experiment import judges
from evalkit.experiment.experiment import Experiment
from evalkit.plan.requests import Plan, Request, Tokens
from evalkit.store.folder import is_run, load_experiment, seeds_of
from evalkit.store.records import Standing, read, standing


def pending(experiment: Experiment, folder: Path | None = None, *, retry_failed: bool = False) -> Tokens:
    """What a sweep would send now, given what stands in its folder, if anything does. Raises `RecordError`."""
    folder = folder or Path("results") / experiment.name
    if not is_run(folder):
        return Plan(experiment).tokens()
    plan = Plan(experiment.with_seeds(seeds_of(folder)))
    return plan.tokens_of(unsent(plan, standing(folder), retry_failed))


def judged(plan: Plan, left: Tokens, folder: Path) -> list[Tokens]:
    """What each judge may be asked: once for each different answer that is to come or has no score, and once more for a reply that cannot be read.

    `Tokens.requests` is the most that are asked for the first time; the lower bounds are of one try each, the upper ones of two.

    Raises:
        RecordError: the records or judgements in `folder` cannot be read.
    """
    from evalkit.scoring.judging import unjudged  # numpy, which a plan without judges needs not

    experiment = plan.experiment
    there = unjudged(folder, plan, experiment.judges) if experiment.judges and is_run(folder) else [0] * len(experiment.judges)
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


def outlook(experiment: Experiment, pilot: Path | None, variances: Sequence[str], effects: Sequence[str]) -> list[str]:
    """What `experiment` can see, from given variances (``METRIC=BETWEEN,WITHIN``) or a pilot's folder: lines of text.

    Raises:
        ExperimentError: a variance or an effect makes no sense.
        RecordError: there is no pilot, or it has fewer than two cells or prompts.
    """
    from evalkit.analysis import power  # scipy, which a plan needs not

    seen = power.given(variances, experiment.replicates)
    if not seen:
        folder = pilot or Path("results") / experiment.name
        if not folder.is_dir():
            raise RecordError(f"{folder}: no such run; sweep a pilot (the option limit with 5), or give variance METRIC=BETWEEN,WITHIN")
        seen = power.of_pilot(load_experiment(folder), lambda: read(folder))
        if not seen:
            raise RecordError(f"{folder}: tells no variance; a pilot needs two cells and two prompts with answers")
    return power.told(experiment, power.outlook(experiment, seen, power.wanted(effects)))


def narrowed(experiment: Experiment, limit: int | None) -> Experiment:
    """The experiment with its first `limit` prompts only."""
    return experiment if limit is None else experiment.model_copy(update={"prompts": experiment.prompts[:limit]})


def unsent(plan: Plan, there: Standing, retry_failed: bool) -> Iterator[Request]:
    """The requests of `plan`, anchors among them, that are to be sent, given what stands there."""
    return (request for request in plan.sequence() if there.wants(request.key, retry_failed))
