"""What the records of a run show of the endpoint that whoever decides on them must know: copies, caches, other models, thoughts without answers."""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from evalkit.client.outcome import ending, limit_of
from evalkit.experiment.parameters import DEFAULT, PER_REPLICATE
from evalkit.experiment.several import endpoint_name
from evalkit.plan.requests import Plan
from evalkit.store.records import Completion, Record
from evalkit.text.notes import Note, warning
from evalkit.text.numbers import counted

_LONG_ENOUGH = 5
"""Words from which two answers are hardly ever alike by chance: labels and numbers are."""
_FEWEST = 3
_MOST_NAMES = 2
_MANY_MARKED = 0.2
_MARK = re.compile(
    r"<\|(?:im_(?:start|end)|eot_id|(?:start|end)_header_id|user|assistant|system|end)\|>|</?(?:start|end)_of_turn>|\[/?INST\]|<</?SYS>>"
)
_LIMITS = ("max_tokens", "max_completion_tokens")


class Noticed:
    """What was seen of a run's answers, one after the other; a few bytes an answer."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._first: dict[tuple[int, int], int] = {}
        self._differ: set[tuple[int, int]] = set()
        self._words: dict[tuple[int, int], int] = {}
        self._answers: Counter[tuple[int, int]] = Counter()
        self._ids, self._texts = array("q"), array("q")
        self._models: Counter[tuple[str, str]] = Counter()
        self._thoughts_only = 0
        self._marks: Counter[str] = Counter()
        self._longest, self._lowest = 0.0, math.inf  # tokens of an answer, none known where it may be as long as it likes; and of a limit

    def see(self, cell: int, prompt: int, record: Record) -> None:
        """Take one answer of the sweep."""
        answer = record.outcome
        if not isinstance(answer, Completion):
            return
        where, text = (cell, prompt), hash(answer.text)
        self._answers[where] += 1
        if self._first.setdefault(where, text) != text:
            self._differ.add(where)
        self._words[where] = max(self._words.get(where, 0), len(answer.text.split()))
        if answer.id and answer.usage_shared_by == 1:
            self._ids.append(hash((endpoint_name(self._plan.experiment.endpoint_of(self._plan.cells[cell])), answer.id)))
            self._texts.append(text)
        if answer.model:
            self._models[record.model, answer.model] += 1
        self._bounded(answer, record.request)
        if (mark := _MARK.search(answer.text)) is not None:
            self._marks[mark[0]] += 1
        self._thoughts_only += bool(answer.reasoning) and not answer.text.strip() and not answer.tool_calls

    def _bounded(self, answer: Completion, body: Mapping[str, Any]) -> None:
        """Take how long an answer is, and how long it might have been."""
        tokens = None if answer.usage is None or answer.usage_shared_by > 1 else answer.usage.completion_tokens
        known = tokens is not None and (tokens > 0 or not answer.text) and ending(answer, body) != "cut"
        self._longest = max(self._longest, tokens if known and tokens is not None else math.inf)
        self._lowest = min(self._lowest, limit_of(body) or math.inf)

    def notes(self) -> Iterator[Note]:
        """What must be known, if anything."""
        yield from self._copies()
        yield from self._other_models()
        yield from self._idle_limit()
        yield from self._marked()
        if self._thoughts_only:
            many = counted(self._thoughts_only, "answer")
            yield warning(
                f"{many} of {self._answers.total():,} hold thoughts alone and no answer: reasoning used up the limit of tokens; raise max_tokens"
            )

    def _same_ids(self) -> int:
        """Answers that carry the id of one before; 0 where one of them says something else."""
        ids, texts = np.array(self._ids, dtype=np.int64), np.array(self._texts, dtype=np.int64)
        order = np.argsort(ids, kind="stable")
        again = ids[order][1:] == ids[order][:-1]
        if (texts[order][1:] != texts[order][:-1])[again].any():
            return 0
        return int(again.sum())

    def _copies(self) -> Iterator[Note]:
        same = self._same_ids()
        if same >= _FEWEST:
            yield warning(
                f"{same:,} of {self._answers.total():,} answers carry the same id as another and repeat it letter by letter: "
                "a cache before the endpoint answers, and replicates are no replicates. Turn it off, or send seed: per_replicate"
            )
            return
        copied, hot = [], 0
        for index, cell in enumerate(self._plan.cells):
            if not _is_hot(self._plan, cell):
                continue
            groups = [where for where in self._answers if where[0] == index and self._answers[where] > 1]
            told = [where for where in groups if self._words[where] >= _LONG_ENOUGH]
            hot += bool(told)
            if told and not any(where in self._differ for where in told):
                copied.append(index)
        if copied:
            seed = self._plan.experiment.request.get("seed")
            why = "the seed is fixed" if seed is not None and seed != PER_REPLICATE else "the endpoint's seed is fixed, or a cache answers"
            where = f"all replicates are copies, letter by letter, in {len(copied)} of {counted(hot, 'setting')} above temperature 0"
            if len(copied) < hot and why.startswith("the endpoint's"):  # a fixed seed would show in each
                yield warning(f"{where}: little may be left to draw from there (a low temperature or top_p), or a cache answers")
                return
            yield warning(f"{where}: {why}. Variety over replicates cannot be measured so; send seed: per_replicate")

    def _idle_limit(self) -> Iterator[Note]:
        swept = next((name for name in _LIMITS if len(self._plan.experiment.parameters.get(name, ())) > 1), None)
        if swept is not None and self._longest < self._lowest < math.inf:
            yield warning(
                f"{swept} changed nothing: no answer came near its lowest level, {self._lowest:g} (the longest has {self._longest:g} tokens), "
                "and what differs between its levels is chance"
            )

    def _marked(self) -> Iterator[Note]:
        """Marks of a template as text in many answers: who asks for such a text gets it in a few prompts alone."""
        count = self._marks.total()
        if count >= max(_FEWEST, self._answers.total() * _MANY_MARKED):
            mark = self._marks.most_common(1)[0][0]
            yield warning(
                f"{count:,} of {self._answers.total():,} answers hold marks of a chat template as text, like {mark}: the server wraps prompts in a "
                "template that is not this model's, or it is a base model, which was never taught to answer. Give the server the model's own template"
            )

    def _other_models(self) -> Iterator[Note]:
        levels = [level for level in self._plan.experiment.parameters.get("model", ()) if level != DEFAULT]
        answered = {name for _, name in self._models}
        if len(levels) > 1 and len(answered) == 1 and len({asked for asked, _ in self._models}) > 1:
            yield warning(f"every level of model is answered by one model, {next(iter(answered))!r}: the endpoint does not heed the name")
            return
        others: dict[str, Counter[str]] = {}
        for (asked, name), count in self._models.items():
            if not _alike(asked, name):
                others.setdefault(asked, Counter())[name] += count
        for asked, names in others.items():
            said = ", ".join(repr(name) for name, _ in names.most_common(_MOST_NAMES))
            more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
            which = "another model" if len(names) == 1 else f"{len(names)} other models"
            yield warning(f"{counted(names.total(), 'answer')} to {asked!r} came from {which}: the endpoint says {said}{more}")


def _is_hot(plan: Plan, cell: Mapping[str, object]) -> bool:
    """Whether a cell draws its answers: its temperature is above 0, or left to the endpoint."""
    level = cell.get("temperature", plan.experiment.request.get("temperature"))
    return not (isinstance(level, int | float) and level == 0)


def _alike(asked: str, answered: str) -> bool:
    """Whether two names may mean one model: versions, paths, tags and suffixes stand in one and not in the other."""
    one, other = (re.sub(r"[^a-z0-9]", "", name.lower().rsplit("/", 1)[-1].split(":")[0].removesuffix(".gguf")) for name in (asked, answered))
    return not one or not other or one in other or other in one
