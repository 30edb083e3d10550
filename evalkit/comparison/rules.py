"""Were two runs sampled by the same rules, as far as probes or the servers themselves have told?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from evalkit.client.defaults import defaults_in
from evalkit.store.folder import PROBE_FILE, read_run
from evalkit.store.meanings import read_meanings

_MOST = 4


def other_rules(baseline: Path, candidate: Path) -> Iterator[str]:
    """A sentence where the two are known to have been sampled by different rules; nothing where they are one run, or nobody knows."""
    if baseline == candidate:
        return
    found = [read_meanings(folder / PROBE_FILE) for folder in (baseline, candidate)]
    known = [question for question in found[0] if question in found[1] and None not in (found[0][question].answer, found[1][question].answer)]
    differ = [question for question in known if found[0][question].answer != found[1][question].answer]
    told = [f"{found[0][question].says}, there {found[1][question].says}" for question in differ]
    if told:
        more = f"; and {len(told) - _MOST} more (evalkit probe --compare)" if len(told) > _MOST else ""
        yield f"The two were sampled by different rules: in the baseline {'; in the baseline '.join(told[:_MOST])}{more}"
    own = [{} if (one := defaults_in(read_run(folder))) is None else one.values for folder in (baseline, candidate)]
    if own[0] and own[1] and own[0] != own[1]:
        yield f"Where nothing is sent the baseline's server has {_listed(own[0])} on, the candidate's {_listed(own[1])}"


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
