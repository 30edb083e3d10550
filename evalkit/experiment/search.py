"""``search:``: asking less than the full grid, and saying so."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, field_validator, model_validator

from evalkit.experiment.endpoint import Strict, whole
from evalkit.experiment.problems import Faults, shown, unknown

PROOF = "proof"
METHODS = ("race", "bayes")
DEFAULT_BUDGET = "1/3"
ROUNDS, PROPOSALS = 3, 8
_EXPECTED = "expected a share of the full grid's requests above 0 and below 1, like 1/3 or 0.25, or proof"


def share_in(value: object) -> float | None:
    """The share of the full grid that a budget means, None for a proof; raises ValueError where it means none."""
    if value == PROOF:
        return None
    try:
        share = float(Fraction(value)) if isinstance(value, str) else float(value) if isinstance(value, int | float) else -1.0
    except (ValueError, ZeroDivisionError, OverflowError):
        share = -1.0
    if isinstance(value, bool) or not 0 < share < 1:
        raise ValueError(f"found {shown(value)}; {_EXPECTED}")
    return share


def _budget(value: object) -> object:
    share_in(value)
    return value if isinstance(value, str) else float(value) if isinstance(value, int | float) else value


def _first(value: object) -> object:
    found = value if value == "auto" else whole(value)
    if found != "auto" and (isinstance(found, bool) or not isinstance(found, int) or found < 1):
        raise ValueError(f"found {shown(value)}; expected auto, or a number of prompts of at least 1")
    return found


_OF_BAYES = ("rounds", "proposals", "over")


class Search(Strict):
    """How settings are sought where not all are asked everything.

    Attributes:
        method: ``race``: all settings are asked a few prompts, and only those that may still be chosen are asked the others. ``bayes``: so many
            settings are drawn from levels and ranges ``{min, max}`` and race; then settings are proposed where those that were seen make better ones
            likely (Optuna's TPE), a batch at a time, and race against who is still in.
        budget: the share of the requests that is spent at most, of those that asking every setting everything takes, like ``1/3`` or ``0.25``;
            ``proof``: no budget, and a setting leaves only where a test shows that it misses a bound or is worse.
        confidence: the chance that the best setting is not dropped by a test.
        first: prompts that every setting is asked; ``auto``: 2 of up to 12, 3 of up to 30, else 5. Effects of parameters need 6.
        finalists: settings that are asked every prompt, at least.
        rounds: batches of proposals, of ``bayes`` alone; 3 where left out.
        proposals: settings in a batch, of ``bayes`` alone; 8 where left out.
        over: what proposals are made from, by parameter its levels or its range; filled in from ``parameters:``.
    """

    method: Literal["race", "bayes"]
    budget: Annotated[
        float | str,
        BeforeValidator(_budget),
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
                    {"type": "string", "pattern": r"^([1-9][0-9]*/[1-9][0-9]*|0?\.[0-9]+|proof)$"},
                ]
            }
        ),
    ] = DEFAULT_BUDGET
    confidence: Annotated[float, Field(ge=0.5, lt=1, allow_inf_nan=False)] = 0.95
    first: Annotated[
        Any,
        BeforeValidator(_first),
        WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"const": "auto"}]}),
    ] = "auto"
    finalists: Annotated[int, Field(ge=2, le=1000), BeforeValidator(whole)] = 3
    rounds: Annotated[int, Field(ge=1, le=100), BeforeValidator(whole)] | None = None
    proposals: Annotated[int, Field(ge=2, le=1000), BeforeValidator(whole)] | None = None
    over: Mapping[str, Any] | None = None

    @model_validator(mode="before")
    @classmethod
    def _a_mapping(cls, value: object) -> object:
        if value is None or isinstance(value, str):
            wanted = "{method: race}" if value is None or value in METHODS else f"{{method: NAME}}, where NAME is one of {', '.join(METHODS)}"
            raise ValueError(f"found {'nothing' if value is None else shown(value)}; write {wanted}, or take search out for the full grid")
        if isinstance(value, Mapping) and "method" not in value:
            raise ValueError("holds no method; write {method: race}")
        if isinstance(value, Mapping) and value["method"] == "bayes":
            return {"rounds": ROUNDS, "proposals": PROPOSALS} | {name: one for name, one in value.items() if one is not None or name not in _OF_BAYES}
        if isinstance(value, Mapping) and (alien := [name for name in _OF_BAYES if value.get(name) is not None]):
            raise Faults([((alien[0],), "goes with method: bayes, which makes proposals; take it out of a race")])
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _known_method(cls, value: Any) -> Any:
        if value not in METHODS:
            raise ValueError(f"found {shown(value)}; {unknown('method', str(value), METHODS)}")
        return value

    @property
    def bayes(self) -> bool:
        """Whether settings are proposed on the way."""
        return self.method == "bayes"

    @property
    def proof(self) -> bool:
        """Whether settings leave by tests alone."""
        return self.budget == PROOF

    @property
    def share(self) -> float | None:
        """Of the full grid's requests, at most; None for a proof."""
        return share_in(self.budget)
