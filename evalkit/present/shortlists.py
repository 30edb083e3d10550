"""Which metrics are shown where nobody names any, and there is no room for all: those that say most first, of them the ones that a run has."""

from __future__ import annotations

TERMINAL = ("distinct_1", "distinct_2", "rep_2", "rep_4", "exact_duplicates", "truncation_rate", "length_tokens", "length_words")
"""In a terminal's tables; ``summary.csv`` holds all."""

CURVES = ("distinct_2", "length_words")
"""Beside what a choice rests on and what parameters move."""

TRADE_OFF = ("distinct_2", "vendi_ngram", "truncation_rate", "loop_rate", "rep_w_16")
"""Against each other, beside what a choice rests on: variety first, then what goes wrong."""

PARALLEL = ("distinct_2", "truncation_rate", "length_words")
"""On parallel axes, where there is no choice."""
