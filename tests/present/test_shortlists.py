"""What is shown where nobody names a metric exists."""

from __future__ import annotations

import pytest

from evalkit.metrics import CATALOGUE
from evalkit.present import shortlists

LISTS = {name: found for name, found in vars(shortlists).items() if name.isupper()}


@pytest.mark.parametrize("name", LISTS)
def test_every_metric_of_a_shortlist_is_in_the_catalogue_once(name: str) -> None:
    assert set(LISTS[name]) <= set(CATALOGUE)
    assert len(set(LISTS[name])) == len(LISTS[name])


def test_what_a_trade_off_shows_has_a_better_direction() -> None:
    assert all(CATALOGUE[name].better for name in shortlists.TRADE_OFF)
