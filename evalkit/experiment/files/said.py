"""What reading a file did to it: counted, and told in a sentence each."""

from __future__ import annotations

from collections import Counter

from evalkit.text.numbers import counted

_MOST_TOLD = 30


class Said:
    """Sentences about many entries of a file alike, each told once with how many there are."""

    def __init__(self) -> None:
        self._seen: Counter[tuple[str, str]] = Counter()

    def add(self, sentence: str, noun: str = "", times: int = 1) -> None:
        """Take one more; ``{n}`` in the sentence becomes how many of `noun` there are in the end."""
        self._seen[sentence, noun] += times

    def told(self) -> tuple[str, ...]:
        """The sentences, in the order they first came up; past the first thirty only how many more there are."""
        every = tuple(sentence.replace("{n}", counted(times, noun)) if noun else sentence for (sentence, noun), times in self._seen.items())
        return every if len(every) <= _MOST_TOLD + 1 else (*every[:_MOST_TOLD], f"and {len(every) - _MOST_TOLD:,} more sentences like these")
