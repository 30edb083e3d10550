"""How the parts of a recommendation become rows."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from evalkit.present.text.decision import About, Passage, labelled

parts = st.lists(st.builds(Passage, st.sampled_from(get_args(About)), st.lists(st.text(min_size=1), min_size=1, max_size=3)), max_size=5)


@given(parts)
def test_each_part_has_its_label_once_and_all_its_texts_in_order(found: list[Passage]) -> None:
    rows = list(labelled(found))
    assert [text for _, text in rows] == [text for part in found for text in part.texts]
    assert [label for label, _ in rows if label] == [part.label for part in found]


def test_every_part_has_a_label_of_its_own() -> None:
    labels = [Passage(about, ["a text"]).label for about in get_args(About)]
    assert all(labels)
    assert len(set(labels)) == len(labels)
