"""What calls cost, and how much may be spent: requests, tokens, money, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from evalkit.collect.allowance import Budget
from evalkit.experiment.endpoint import Prices
from evalkit.store.records import Usage
from evalkit.text.numbers import money

_PER = 1_000_000


class Used(NamedTuple):
    """Counts of what was used, as `Spent` has them."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    thought: int = 0
    uncounted: int = 0

    def since(self, before: Used) -> Used:
        """What came to it since it was `before`."""
        return Used(*(now - then for now, then in zip(self, before, strict=True)))


@dataclass
class Spent:
    """What was spent so far.

    Attributes:
        requests: calls made, each try counted.
        tokens_in, tokens_out: as the endpoint counts them; of these `cached` had been read before, and `thought` are not shown.
        uncounted: answers whose usage the endpoint did not tell, so that tokens and cost are higher than what stands here.
        earlier: what was or is spent elsewhere, of the same budget.
        parts: what it is the sum of, where several endpoints are asked; brought up to date by `add_up`.
    """

    prices: Prices | None = None
    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cached: int = 0
    thought: int = 0
    uncounted: int = 0
    earlier: tuple[Spent, ...] = ()
    parts: tuple[Spent, ...] = ()

    def add_up(self) -> None:
        """Count anew what the parts have come to."""
        for name in Used._fields:
            setattr(self, name, sum(getattr(one, name) for one in self.parts))

    def add(self, usage: Usage | None, *, answered: bool) -> None:
        """Count what one call used, by what is billed of it; a call that brought no answer and tells no usage is taken to have used nothing."""
        if usage is None or usage.prompt_tokens is None or usage.billed_tokens is None:
            self.uncounted += answered
            return
        self.tokens_in += usage.prompt_tokens
        self.tokens_out += usage.billed_tokens
        self.cached += min(usage.cached_tokens or 0, usage.prompt_tokens)
        self.thought += min(usage.reasoning_tokens or 0, usage.billed_tokens)

    @property
    def used(self) -> Used:
        """All that was counted."""
        return Used(self.requests, self.tokens_in, self.tokens_out, self.cached, self.thought, self.uncounted)

    def take(self, used: Used) -> None:
        """Count what was used and counted elsewhere."""
        for name, count in used._asdict().items():
            setattr(self, name, getattr(self, name) + count)

    @property
    def tokens(self) -> int:
        """In and out."""
        return self.tokens_in + self.tokens_out

    @property
    def cost(self) -> float | None:
        """Money; None where it is not known: no prices, or an answer without usage."""
        if self.parts:
            return total_cost(self.parts)
        if self.prices is None or self.uncounted:
            return None
        return cost_of(self.prices, self.tokens_in, self.tokens_out, cached=self.cached, thought=self.thought)

    def committed(self, budget: Budget, in_flight: int, beside: Sequence[tuple[Spent, int]] = ()) -> bool:
        """Whether what is under way is likely to use up a budget of tokens or money, by what a call has used so far: then it is waited for.

        Args:
            in_flight: calls under way; nothing is known of one before the first has come.
            beside: what is spent at other endpoints that are asked meanwhile, with the calls under way there; it stands in `earlier` too.
        """
        if budget.tokens is None and budget.cost is None:
            return False
        every = [(self, in_flight), *beside]
        if not any(count for _, count in every) or self.requests <= in_flight:
            return False
        shares = [(one, count / (one.requests - count) if one.requests > count else 0.0) for one, count in every]
        known = (self, *self.earlier)
        if budget.tokens is not None and sum(one.tokens for one in known) + sum(one.tokens * share for one, share in shares) >= budget.tokens:
            return True
        cost, costs = total_cost(known), [(one.cost, share) for one, share in shares]
        if budget.cost is None or cost is None or any(one is None for one, _ in costs):
            return False
        return cost + sum((one or 0.0) * share for one, share in costs) >= budget.cost

    def over(self, budget: Budget, seconds: float) -> str | None:
        """Why nothing more may be sent, or None."""
        every = (self, *self.earlier)
        requests, tokens = sum(one.requests for one in every), sum(one.tokens for one in every)
        if budget.requests is not None and requests >= budget.requests:
            return f"the {budget.requests:,} requests of budget.requests are used up"
        if budget.seconds is not None and seconds >= budget.seconds:
            return "the time of budget.seconds is used up"
        if (budget.tokens is not None or budget.cost is not None) and any(one.uncounted for one in every):
            return "the endpoint does not tell the tokens it used, so that budget.tokens and budget.cost cannot be kept"
        if budget.tokens is not None and tokens >= budget.tokens:
            return f"the {budget.tokens:,} tokens of budget.tokens are used up: {tokens:,}"
        cost = total_cost(every) if budget.cost is not None else None
        if budget.cost is not None and cost is not None and cost >= budget.cost:
            return f"the {priced(budget.cost, self.prices)} of budget.cost are used up: {priced(cost, self.prices)}"
        return None


class Besides(NamedTuple):
    """Who was asked beside the sweep's own endpoint, and what that took."""

    name: str
    spent: Spent


def total_cost(every: Sequence[Spent]) -> float | None:
    """Money of all together; None where one's is not known, or currencies differ."""
    used = [one for one in every if one.requests or one.tokens]
    costs = [one.cost for one in used]
    currencies = {one.prices.currency for one in used if one.prices is not None}
    return None if None in costs or len(currencies) > 1 else sum(cost for cost in costs if cost is not None)


def cost_of(prices: Prices, tokens_in: float, tokens_out: float, *, cached: float = 0, thought: float = 0) -> float:
    """Money for so many tokens, of which `cached` of the prompts had been read before, and `thought` of the answers are not shown."""
    read_before = prices.input if prices.cached_input is None else prices.cached_input
    hidden = prices.output if prices.reasoning is None else prices.reasoning
    asked = (tokens_in - cached) * prices.input + cached * read_before
    return (asked + (tokens_out - thought) * prices.output + thought * hidden) / _PER


def least_cost(prices: Prices, tokens_in: float, tokens_out: float) -> float:
    """The least that so many tokens can cost, whichever of them had been read before or are only thought."""
    return min(_corners(prices, tokens_in, tokens_out))


def most_cost(prices: Prices, tokens_in: float, tokens_out: float) -> float:
    """The most that so many tokens can cost, as `least_cost`."""
    return max(_corners(prices, tokens_in, tokens_out))


def _corners(prices: Prices, tokens_in: float, tokens_out: float) -> list[float]:
    return [cost_of(prices, tokens_in, tokens_out, cached=cached, thought=thought) for cached in (0, tokens_in) for thought in (0, tokens_out)]


def priced(cost: float | None, prices: Prices | None) -> str:
    """A sum in the currency of `prices`; ``unknown`` where it is."""
    return money(cost, None if prices is None else prices.currency)
