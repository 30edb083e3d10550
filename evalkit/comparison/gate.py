"""What a gate is told: the margins that somebody gives, and what it fails on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from evalkit.errors import ExperimentError
from evalkit.experiment.margins import fault_of_margin
from evalkit.experiment.problems import nearest, shown
from evalkit.experiment.strict_yaml import named, parse, read_text

FailOn = Literal["worse", "inconclusive", "differs", "failures", "incomplete", "nothing"]
FAIL_ON: tuple[FailOn, ...] = ("worse", "inconclusive", "differs", "failures", "incomplete", "nothing")


class Margins(NamedTuple):
    """For a metric the difference that is too small to matter, a number in its unit or a text like ``5 %``, and where that was said."""

    values: Mapping[str, float | str] = {}
    sources: Mapping[str, str] = {}

    def check(self, known: Iterable[str]) -> None:
        """Raise `ExperimentError` where a metric is none of the `known`."""
        known = list(known)
        for name in self.values:
            if name not in known:
                near = nearest(name, known)
                raise ExperimentError(
                    f"{self.sources.get(name, 'margins')}: {shown(name)}: these runs do not measure that; "
                    + (f"did you mean '{near}'?" if near else f"expected one of {', '.join(sorted(known))}")
                )


def margins(file: Path | None, texts: Sequence[str] = ()) -> Margins:
    """The margins of a YAML file, ``metric: 0.02`` or ``metric: 5 %``, and behind them, going before, those of `texts`, each ``METRIC=MARGIN``.

    Raises:
        ExperimentError: with every fault of the file, a line each; or of the first text that is no margin.
    """
    values: dict[str, float | str] = {}
    sources: dict[str, str] = {}
    if file is not None:
        where = named(file)
        data = parse(read_text(file), where).data
        if not isinstance(data, dict):
            raise ExperimentError(f"{where}: expected a mapping from metrics to margins, like distinct_2: 0.02")
        faults = [f"{where}: {shown(str(name))}: {fault}" for name, given in data.items() if (fault := fault_of_margin(given))]
        if faults:
            raise ExperimentError("\n".join(faults))
        values = {str(name): given for name, given in data.items()}
        sources = dict.fromkeys(values, where)
    for text in texts:
        name, equals, value = (part.strip() for part in text.partition("="))
        given: Any = parse(value, "--margin").data if equals else None
        fault = fault_of_margin(given)
        if not name or fault:
            wanted = "expected METRIC=MARGIN, like distinct_2=0.02 or length_words=5%"
            raise ExperimentError(f"--margin {name[:60]}: {fault}" if name and equals else f"--margin {shown(text)}: {wanted}")
        values[name] = given
        sources[name] = "--margin"
    return Margins(values, sources)


def fail_on(names: Sequence[str], *, strict: bool = False) -> tuple[FailOn, ...]:
    """What a gate fails on, by names, with commas between or one at a time; ``worse`` where there are none. Raises `ExperimentError`.

    Args:
        strict: fail on ``inconclusive`` too, which people may call ``unclear``.
    """
    wanted = [part.strip() for name in names for part in name.split(",") if part.strip()] or ["worse"]
    wanted = ["inconclusive" if one == "unclear" else one for one in wanted]  # as people read it
    for one in wanted:
        if one not in FAIL_ON:
            raise ExperimentError(f"fail_on: found {shown(one)}; expected {', '.join(FAIL_ON).replace('inconclusive', 'unclear')}")
    if "nothing" in wanted and (len(set(wanted)) > 1 or strict):
        raise ExperimentError("fail_on: 'nothing' stands beside something else; give one of the two")
    return tuple(one for one in FAIL_ON if one in wanted or (strict and one == "inconclusive"))
