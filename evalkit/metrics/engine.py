"""Groups of texts in, a table of numbers out; one group at a time, so that memory does not grow with their number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from evalkit.metrics import tokens
from evalkit.metrics.catalogue import METRICS, named
from evalkit.metrics.group import Floats, Group, tokenise
from evalkit.metrics.metric import Metric
from evalkit.metrics.tokens import UAX29, Tokenizer

if TYPE_CHECKING:
    import pandas


def values(metric: Metric, group: Group) -> Floats:
    """The metric of a group: an array of shape (k,), NaN for empty texts where it is about content; or for level ``group`` of shape (1,).

    There, empty texts leave the group before, and fewer than two that stay give NaN.
    """
    if metric.level == "response":
        found = np.asarray(metric.of(group), dtype=float)
        return np.where(group.lengths > 0, found, math.nan) if metric.content else found
    kept = group.with_text if metric.content else group
    return np.array([metric.of(kept) if len(kept) > 1 else math.nan], dtype=float)


def score(
    groups: Iterable[Sequence[str]] | Mapping[str, Sequence[str]],
    metrics: Sequence[str | Metric] = METRICS,
    tokenizer: Tokenizer | str = UAX29,
    prefix: int | None = None,
) -> pandas.DataFrame:
    """Score groups of texts, each the answers to one prompt in one setting.

    Args:
        groups: lists of strings, or a mapping from names to them; an iterator is taken one by one, and never held as a whole.
        metrics: metrics or their names; ``default`` stands for the default ones.
        tokenizer: a `Tokenizer`, or the name of one, like ``uax29`` or ``icu:ja``.
        prefix: score the first so many tokens of each text, and leave out texts that have fewer: what makes lengths comparable.

    Returns:
        A row a group, in their order and under their names: ``k``, the texts that are not empty, and a column a metric, the mean over the
        texts where it is defined for a text alone. NaN where undefined. What strings do not tell is NaN: ``length_tokens``,
        ``truncation_rate``. Metrics of level ``group`` compare only over groups of the same ``k``.

    Raises:
        ValueError: no metric or tokeniser has that name, or a group is a single string.

    >>> found = score({"alike": ["a b c", "a b c"], "apart": ["a b c", "d e f"]}, ["distinct_2"])
    >>> found["distinct_2"].to_dict()
    {'alike': 0.5, 'apart': 1.0}
    """
    import pandas

    chosen = [one if isinstance(one, Metric) else named([one]) for one in metrics]
    flat = {one.name: one for given in chosen for one in ([given] if isinstance(given, Metric) else given)}
    cut = tokens.tokenizer(tokenizer) if isinstance(tokenizer, str) else tokenizer
    if prefix is not None and prefix < 1:
        raise ValueError(f"found prefix={prefix}; expected at least 1 token")
    names: list[str] = []
    rows: list[Floats] = []
    for name, texts in groups.items() if isinstance(groups, Mapping) else enumerate(groups):
        if isinstance(texts, str):
            raise ValueError(f"group {name!r} is one string; expected a list of strings")
        group = tokenise(list(texts), cut)
        if prefix is not None:
            group = group.take(np.flatnonzero(group.lengths >= prefix), prefix)
        names.append(str(name))
        rows.append(np.array([np.count_nonzero(group.lengths), *(mean(values(one, group)) for one in flat.values())], dtype=float))
        group.let_go()
    table = pandas.DataFrame(np.array(rows).reshape(len(rows), 1 + len(flat)), columns=["k", *flat])
    table["k"] = table["k"].astype("int64")
    if isinstance(groups, Mapping):
        table.index = pandas.Index(names, name="group")
    return table


def mean(found: Floats) -> float:
    """Mean of what is defined, exactly summed, so that the order changes nothing; NaN where nothing is."""
    defined = found[~np.isnan(found)]
    return math.fsum(defined) / len(defined) if len(defined) else math.nan
