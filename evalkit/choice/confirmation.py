"""The winner's curse, mended: what was chosen, measured again on answers that had no part in choosing it."""

from __future__ import annotations

import msgspec

from evalkit.choice.choice import Choice, Confirmed
from evalkit.metrics import METRICS
from evalkit.scoring.scores import Scores
from evalkit.stats.intervals import t_interval, within_range


def confirmed(choice: Choice, scores: Scores, fresh: Scores) -> Choice:
    """`choice` with the value of its best cell and the runner-up on `fresh` replicates."""
    rows, notes = [], list(choice.notes)
    measured = {metric.name: metric for metric in fresh.metrics}
    group = {metric.name for metric in METRICS if metric.level == "group"}
    if fresh.k != scores.k:
        notes.append(f"metrics over replicates compare only at one number of them: confirm with {scores.k} fresh replicates")
    for index in dict.fromkeys(one for one in (choice.chosen, choice.best, choice.runner_up) if one is not None):
        for name in dict.fromkeys([*(one.metric for one in choice.weights), *(one.metric for one in choice.constraints)]):
            if name not in fresh.by_metric or (name in group and fresh.k != scores.k):
                continue
            one = within_range(fresh.by_metric[name].value[index], measured[name].low, measured[name].high)
            if one.n >= 2:
                rows.append(
                    Confirmed(
                        cell_index=index,
                        metric=name,
                        selected_on=t_interval(scores.by_metric[name].value[index]).mean,
                        fresh=one.mean,
                        ci_low=one.low,
                        ci_high=one.high,
                        n_prompts=one.n,
                        replicates=round(int(fresh.by_metric[name].n_texts[index].sum()) / one.n),
                    )
                )
    return msgspec.structs.replace(choice, confirmed=rows, notes=notes)
