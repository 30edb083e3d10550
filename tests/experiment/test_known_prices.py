"""Prices from a table: of the model at its provider's own address, never of another's."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from evalkit.errors import ExperimentError
from evalkit.experiment.endpoint import Prices
from evalkit.experiment.experiment import Experiment, check
from evalkit.summary.quantities import measured, named


def with_prices(base_url: str, model: str) -> Experiment:
    endpoint: dict[str, Any] = {"base_url": base_url, "model": model, "prices": "known"}
    return check({"name": "x", "endpoint": endpoint, "prompts": [{"id": "a", "user": "b"}]}, "x.yaml")


def test_a_providers_model_has_its_price_and_says_whose_table_it_is() -> None:
    found = with_prices("https://api.openai.com/v1", "gpt-4o-mini")
    prices = found.endpoint.prices
    assert isinstance(prices, Prices)
    assert 0 < prices.input < prices.output
    assert prices.currency == "USD"
    assert str(prices.source).startswith("genai-prices ")
    assert check(found.resolved()).endpoint.prices == prices


@pytest.mark.parametrize(
    ("base_url", "model"), [("http://localhost:8000/v1", "gpt-4o-mini"), ("https://api.openai.com/v1", "mine"), ("local", "babbler")]
)
def test_what_the_table_lacks_is_told(base_url: str, model: str) -> None:
    with pytest.raises(ExperimentError, match=rf"x.yaml: endpoint.prices: found 'known'; genai-prices .* has no price of '{model}' at "):
        with_prices(base_url, model)


def test_without_the_table_it_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(ExperimentError, match="needs genai-prices; run: pip install genai-prices, or write"):
        with_prices("https://api.openai.com/v1", "gpt-4o-mini")


def test_money_is_told_of_a_thousand_answers() -> None:
    assert named("cost an answer", "money") == "cost of 1,000 answers"
    assert measured(0.0005, 0.0004, 0.0006, "money") == "0.50 ±0.10"
