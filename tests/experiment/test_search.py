"""What ``search:`` may say, and what each slip of it is told."""

from __future__ import annotations

import pytest

from evalkit.errors import ExperimentError
from evalkit.experiment.experiment import check
from evalkit.experiment.search import share_in
from evalkit.sweeping.racing import raced

BASE = {
    "name": "x",
    "endpoint": {"base_url": "local", "model": "babbler"},
    "prompts": [{"id": "a", "user": "b"}],
    "parameters": {"temperature": [0, 1]},
    "choose": {"profile": "brief"},
}


@pytest.mark.parametrize(("budget", "share"), [("1/3", 1 / 3), (0.25, 0.25), ("0.4", 0.4), ("proof", None)])
def test_a_budget_is_a_share_or_a_proof(budget: object, share: float | None) -> None:
    found = check(BASE | {"search": {"method": "race", "budget": budget}})
    assert found.search is not None
    assert found.search.share == share
    assert found.search.proof == (share is None)
    assert check(found.resolved()).search == found.search


@pytest.mark.parametrize("budget", [0, 1, 2, -0.5, "4/3", "1/0", "a third", None, True, [1]])
def test_what_is_no_budget_is_told(budget: object) -> None:
    with pytest.raises(ValueError, match=r"expected a share of the full grid's requests above 0 and below 1, like 1/3 or 0\.25, or proof"):
        share_in(budget)
    with pytest.raises(ExperimentError, match=r"search\.budget: found"):
        check(BASE | {"search": {"method": "race", "budget": budget}})


@pytest.mark.parametrize(
    ("search", "said"),
    [
        (None, r"^search: found nothing; write \{method: race\}, or take search out for the full grid$"),
        ("race", r"^search: found 'race'; write \{method: race\}"),
        ({}, r"^search: holds no method; write \{method: race\}$"),
        ({"method": "rase"}, r"^search.method: found 'rase'; unknown method; did you mean 'race'"),
        ({"method": "bays"}, r"^search.method: found 'bays'; unknown method; did you mean 'bayes'"),
        ({"method": "grid"}, r"^search.method: found 'grid'; unknown method; expected one of bayes, race$"),
        ({"method": "race", "rounds": 2}, r"^search.rounds: goes with method: bayes, which makes proposals; take it out of a race$"),
        ({"method": "race", "budjet": 1}, r"^search.budjet: unknown key; did you mean 'budget'\?$"),
        ({"method": "race", "first": 0}, r"^search.first: found 0; expected auto, or a number of prompts of at least 1$"),
        ({"method": "race", "first": "soon"}, r"^search.first: found 'soon'; expected auto, or a number"),
        ({"method": "race", "finalists": 1}, r"^search.finalists: found 1; expected a number of at least 2$"),
        ({"method": "race", "confidence": 1}, r"^search.confidence: found 1; expected"),
        ([1], r"^search: found a list; expected a mapping$"),
    ],
)
def test_each_slip_has_one_line(search: object, said: str) -> None:
    with pytest.raises(ExperimentError, match=said):
        check(BASE | {"search": search})


def test_a_race_without_goals_is_refused_in_the_file_and_by_the_option() -> None:
    bare = {name: value for name, value in BASE.items() if name != "choose"}
    with pytest.raises(ExperimentError, match="a race needs to know what is better; add choose"):
        check(bare | {"search": {"method": "race"}})
    with pytest.raises(ExperimentError, match="needs to know what is better; add choose"):
        raced(check(bare), race=True, budget=None)


def test_the_options_ask_for_a_race_and_change_its_budget() -> None:
    plain = check(BASE)
    assert raced(plain, race=False, budget=None) is plain
    assert raced(plain, race=True, budget=None).search.budget == "1/3"
    own = check(BASE | {"search": {"method": "race", "budget": 0.5, "finalists": 4}})
    assert raced(own, race=True, budget=None).search == own.search
    changed = raced(own, race=False, budget="1/4").search
    assert (changed.budget, changed.finalists) == ("1/4", 4)
    with pytest.raises(ExperimentError, match=r"race_budget: found 'all'; expected a share"):
        raced(own, race=False, budget="all")
