"""Who leaves a race, and why: by a bound, by a test against the leader, or set aside; and who comes back."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.race.contest import Contest, run
from evalkit.race.look import LEAST_TESTED, Bound, Seen, look
from evalkit.race.schedule import Schedule, schedule
from evalkit.stats.selection import Aim

AIM = (Aim("maximize", 0.0, 1.0),)
LOOPS = Bound("loop_rate", 0.05, True, 0.0, 1.0)


def world(means: list[float], prompts: int, noise: float = 0.02, loops: list[float] | None = None, seed: int = 1) -> Seen:
    rng = np.random.default_rng(seed)
    wanted = np.array(means)[:, None] + noise * rng.normal(size=(len(means), prompts))
    bounded = np.zeros((0, len(means), prompts)) if loops is None else rng.binomial(8, np.array(loops)[:, None], (len(means), prompts))[None] / 8
    return Seen(wanted[None], bounded)


def part(whole: Seen, contest: Contest) -> Seen:
    hidden = np.arange(contest.prompts)[None] >= contest.asked[:, None]
    return Seen(*(np.where(hidden[None], np.nan, values[:, :, : contest.prompts]) for values in whole))


def raced(whole: Seen, budget: float | None, bounds: tuple[Bound, ...] = (), reference: int | None = None) -> Contest:
    cells, prompts = whole.wanted.shape[1:]
    course = schedule(cells, prompts, budget)
    assert course is not None
    contest = Contest(course, cells, bounds, reference=reference, proof=budget is None)

    def satisfying(finalists):
        return [one for one in finalists if all(values[one].mean() <= bound.at for bound, values in zip(bounds, whole.bounded, strict=True))]

    run(contest, lambda one: part(whole, one), lambda *_: AIM, satisfying)
    return contest


def test_the_best_finishes_and_the_two_kinds_of_leaving_are_told_apart() -> None:
    whole = world([0.9, 0.88, *np.linspace(0.2, 0.8, 28)], 20)
    contest = raced(whole, None)
    assert {one.why for one, _ in contest.left.values()} == {"worse"}
    assert 0 in contest.staying
    assert all(prompts >= LEAST_TESTED and one.p <= one.level for one, prompts in contest.left.values())
    few = raced(whole, 1 / 3)
    assert 0 in few.staying
    assert {one.why for one, _ in few.left.values()} <= {"worse", "aside"}
    assert all((one.p is None) == (one.why == "aside") for one, _ in few.left.values())


def test_a_setting_that_loops_is_excluded_by_its_bound_whatever_it_is_worth() -> None:
    contest = raced(world([0.95, *[0.7] * 9], 20, loops=[0.9, *[0.0] * 9]), None, (LOOPS,))
    left, _ = contest.left[0]
    assert (left.why, left.metric) == ("bound", "loop_rate")
    assert 0 not in contest.staying


def test_nothing_is_tested_by_means_before_five_prompts() -> None:
    seen = world([0.9, 0.1, 0.1, 0.1], 4, noise=0.001)
    assert look(seen, AIM, (), range(4), 0, None).leaving == ()
    assert len(look(world([0.9, 0.1, 0.1, 0.1], 8, noise=0.001), AIM, (), range(4), 0, None).leaving) == 3


def test_who_was_beaten_by_a_leader_that_falls_by_a_bound_comes_back_in_a_proof() -> None:
    contest = Contest(Schedule((6, 14, 20), (3, 3), 0, 60, 60), 3, (LOOPS,), proof=True)
    contest.aims = AIM
    whole = world([0.9, 0.5, 0.5], 20, noise=0.001)
    loops = np.zeros((1, 3, 20))
    loops[0, 0, 6:] = 1.0  # the leader begins to loop once it has beaten the others
    seen = Seen(whole.wanted, loops)
    contest.take(contest.decide(part(seen, contest), lambda *_: AIM))
    assert contest.staying == (0,)
    contest.take(contest.decide(part(seen, contest), lambda *_: AIM))
    assert contest.staying == (1, 2)
    assert contest.asked.tolist() == [14, 20, 20]
    assert set(contest.left) == {0}


def test_where_no_finalist_keeps_to_the_bounds_the_likeliest_set_aside_are_asked_everything() -> None:
    # The better, the more it loops, by little enough that no test shows it.
    whole = world(list(np.linspace(0.9, 0.4, 30)), 10, noise=0.001)
    loops = np.zeros((1, 30, 10))
    loops[0, :4, 6:] = 0.25
    contest = raced(Seen(whole.wanted, loops), 0.5, (LOOPS,))
    assert contest.asked.max() == 10
    assert set(contest.staying) >= {0, 4}, contest.left
    assert contest.asked.sum() <= contest.schedule.worst


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([1 / 3, 0.5, None]), st.integers(0, 39))
def test_a_race_asks_no_more_than_promised_and_its_reference_everything(seed: int, budget: float | None, reference: int) -> None:
    rng = np.random.default_rng(seed)
    whole = world(list(rng.random(40)), 24, noise=0.2, loops=list(rng.random(40) * 0.2), seed=seed)
    contest = raced(whole, budget, (LOOPS,), reference)
    assert contest.asked.sum() <= contest.schedule.worst
    assert contest.asked[reference] == 24
    assert all(contest.asked[one] == 24 for one in contest.staying)
    assert set(contest.staying).isdisjoint(contest.left)
    assert len(contest.staying) + len(contest.left) == 40


def test_an_answer_that_nobody_ranks_is_set_aside_first() -> None:
    whole = world([0.9, 0.5, 0.8, 0.7, 0.6], 2)
    whole.wanted[0, 0] = math.nan
    found = look(whole, AIM, (), range(5), 0, 4)
    assert [one.setting for one in found.leaving] == [0]
    assert found.leader == 2


def test_the_true_best_is_seldom_dropped_by_a_test_where_all_are_nearly_alike() -> None:
    dropped = 0
    for seed in range(60):
        rng = np.random.default_rng([9, seed])
        means = 0.5 + rng.normal(0, 0.01, 20)
        contest = raced(world(list(means), 20, noise=0.05, seed=seed), None)
        dropped += int(np.argmax(means)) in contest.left
    assert dropped <= 6
