"""What a provider asks for its models, by the table that genai-prices carries: nothing is fetched."""

from __future__ import annotations

from importlib.metadata import version
from urllib.parse import urlsplit

_TOKENS = 1_000
"""Of a call that is priced: some providers ask more of one that is very long."""


def known(base_url: str, model: str) -> tuple[dict[str, float], str]:
    """Prices in USD of a million tokens, ``input``, ``output`` and where it is told ``cached_input``; and the table they stand in, with its version.

    Raises:
        ValueError: genai-prices is not installed, or knows no such model at this address.
    """
    try:
        from genai_prices import Usage, calc_price
    except ImportError:
        raise ValueError(
            "found 'known'; the table of prices needs genai-prices; run: pip install genai-prices, or write {input: ..., output: ...}"
        ) from None
    table = f"genai-prices {version('genai-prices')}"
    try:
        found = calc_price(Usage(input_tokens=_TOKENS, output_tokens=_TOKENS), model_ref=model, provider_api_url=base_url)
    except LookupError:
        where = urlsplit(base_url).hostname or base_url
        raise ValueError(f"found 'known'; {table} has no price of {model!r} at {where}; write {{input: ..., output: ...}}") from None
    million = 1_000_000 / _TOKENS
    prices = {"input": float(found.input_price) * million, "output": float(found.output_price) * million}
    if getattr(found.model_price, "cache_read_mtok", None) is not None:
        cached = calc_price(Usage(input_tokens=_TOKENS, cache_read_tokens=_TOKENS), model_ref=model, provider_api_url=base_url)
        prices["cached_input"] = float(cached.input_price) * million
    return prices, table
