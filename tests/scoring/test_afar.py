"""Groups that are cut and measured in other processes: the very same scores, whoever dies on the way."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from support.records import experiment, records

from evalkit.engine.processes import ProcessLostError
from evalkit.errors import ExperimentError
from evalkit.metrics.custom import Scorer
from evalkit.plan.requests import Plan
from evalkit.scoring.scores import Scores, score


class Here:
    """A process that is none, but for what travels: all is packed on its way. It dies at its call number `dies`."""

    def __init__(self, made: Any, dies: int) -> None:
        self._made, self._dies, self._calls = made, dies, 0
        self.ended = False

    def call(self, method: str, *given: Any) -> Any:
        self._calls += 1
        return None if self._calls == self._dies else (method, pickle.dumps(given))

    def result(self, call: Any) -> Any:
        if call is None:
            raise ProcessLostError("killed")
        return pickle.loads(pickle.dumps(getattr(self._made, call[0])(*pickle.loads(call[1]))))  # noqa: S301 (packed above)

    def end(self) -> None:
        self.ended = True


class There:
    """Processes, of which the first ones die at the calls of those numbers."""

    def __init__(self, workers: int, *dies: int) -> None:
        self.workers, self._dies = workers, list(dies)
        self.made: list[Here] = []

    def process(self, kind: type, *given: Any) -> Here:
        self.made.append(Here(kind(*pickle.loads(pickle.dumps(given))), self._dies.pop(0) if self._dies else 0))  # noqa: S301
        return self.made[-1]


def text(request: object) -> str:
    rng = np.random.default_rng([request.cell_index, request.prompt_index, request.replicate])  # type: ignore[attr-defined]
    return " ".join(rng.choice(list("abcdefgh"), size=30))


def odd(texts: Sequence[str]) -> object:
    return {texts[0][0]: 1.0} if texts[0] < "d" else len(texts) / 0


PLAN = Plan(experiment({"temperature": [0.2, 0.5, 1]}, prompts=["p", "q", "r"], replicates=3))


def scored(there: There | None) -> Scores:
    def vectors(texts: Sequence[str]) -> Any:
        return np.array([[len(one), one.count("a"), 1.0] for one in texts])

    return score(PLAN, records(PLAN, text), scorers=[Scorer("odd", "texts", odd, None)], vectors=vectors, sizes=True, there=there)


@pytest.mark.parametrize("there", [There(1), There(2), There(40), There(2, 1), There(3, 3, 0, 2)], ids=lambda one: f"{one.workers}-{one._dies}")
def test_no_value_depends_on_where_it_is_taken_nor_on_who_dies(there: There) -> None:
    here, afar = scored(None), scored(there)
    assert afar.complaints == here.complaints
    assert list(afar.by_metric) == list(here.by_metric)
    assert afar.lengths[0].lengths.tolist() == here.lengths[0].lengths.tolist()
    for name, one in here.by_metric.items():
        for field, its, other in zip(one._fields, one, afar.by_metric[name], strict=True):
            assert its is other is None or np.array_equal(its, other, equal_nan=True), (name, field)
    assert all(one.ended for one in there.made[-1:])


def test_who_dies_twice_over_the_same_ends_it() -> None:
    with pytest.raises(ExperimentError, match="a worker died twice over the same groups"):
        scored(There(1, 1, 1))
