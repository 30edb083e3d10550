"""From an experiment to its requests: which there are, what identifies each, and in what order they are sent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, islice
from typing import Any, Literal, NamedTuple
from zlib import crc32

from evalkit.experiment.endpoint import LOCAL, Endpoint, as_sent
from evalkit.experiment.experiment import Experiment, Seeds
from evalkit.experiment.parameters import DEFAULT, PER_REPLICATE, canonical
from evalkit.experiment.prompts import text_of
from evalkit.plan.design import Cell, Design, body_of, design_of
from evalkit.plan.shard import Shard

Role = Literal["sweep", "anchor", "confirm"]
"""What a request is for: the sweep itself; the reference repeated through it, which shows a drift; a choice looked at again."""

KEY_VERSION = 1

_ANCHOR_EVERY, _FEWEST_ANCHORS = 100, 3
_MOST_KEPT = 50_000
"""Pairs of a cell and a prompt whose hash is kept: with more of them, memory would grow with the plan."""


KEY_BYTES = 16
_NO_KEY = bytes(KEY_BYTES)


class Request(NamedTuple):
    """One call to be made.

    Attributes:
        key: what identifies it for ever, 32 hexadecimal digits.
        cell_index, prompt_index: its place in the plan.
        cell: level of each swept parameter, None where void.
        replicate: counted from 0.
        body: the request's fields without the messages.
        messages: the conversation as sent.
    """

    key: str
    cell_index: int
    prompt_index: int
    prompt_id: str
    cell: Cell
    replicate: int
    seed: int | None
    model: str
    body: Mapping[str, Any]
    messages: list[dict[str, Any]]
    role: Role = "sweep"


class Tokens(NamedTuple):
    """Bounds of the tokens that requests use.

    Attributes:
        requests: how many of them are the sweep's.
        anchors: how many are anchors; the bounds hold for both.
        prompts_least, prompts_most: of the prompts.
        answers_most: of the answers; None where one has no bound.
    """

    requests: int
    anchors: int
    prompts_least: int
    prompts_most: int
    answers_most: int | None


class _Pair(NamedTuple):
    """What all replicates of a prompt in a cell have in common; `begun` is the hash of their keys up to the replicate."""

    begun: Any
    tools: str
    model: str
    body: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The requests of an experiment, made as they are asked for: of each there is kept its key alone, sixteen bytes.

    Attributes:
        role: ``sweep``, or ``confirm`` for fresh replicates of what was chosen.
        only: these cells alone; None for all.
        first, count: the replicates; a count of None takes the experiment's.
        blocks: these pairs of a cell and a prompt alone, by their numbers; None for all.
        shard: the part of it that is asked; its anchors are a part of the whole plan's. None for all.
    """

    experiment: Experiment
    role: Role = "sweep"
    only: tuple[int, ...] | None = None
    first: int = 0
    count: int | None = None
    blocks: frozenset[tuple[int, int]] | None = None
    shard: Shard | None = None

    @cached_property
    def design(self) -> Design:
        """The cells, in grid order."""
        return design_of(self.experiment)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """The cells, in grid order."""
        return self.design.cells

    @property
    def selected(self) -> Sequence[int]:
        """The cells that this plan is of, by their numbers."""
        return range(len(self.cells)) if self.only is None else self.only

    @property
    def endpoint(self) -> Endpoint:
        """The endpoint that is asked; where there are several, each of `parts` has one of its own, and this is the first cell's."""
        return self.experiment.endpoint_of(self.cells[self.selected[0]] if self.selected else {})

    @cached_property
    def parts(self) -> tuple[Plan, ...]:
        """A plan for each endpoint that is asked, in the order of their levels; most often this one alone."""
        if len(self.experiment.asked) < 2:
            return (self,)
        cells: dict[int, list[int]] = {}
        of = {id(endpoint): number for number, endpoint in enumerate(self.experiment.asked)}
        for index in self.selected:
            cells.setdefault(of[id(self.experiment.endpoint_of(self.cells[index]))], []).append(index)
        return (self,) if len(cells) < 2 else tuple(replace(self, only=tuple(cells[number])) for number in sorted(cells))

    @property
    def _replicates(self) -> int:
        return self.experiment.replicates if self.count is None else self.count

    def __len__(self) -> int:
        if self._of_the_shard is not None or (self.blocks is not None and self.only is not None):
            pairs = sum(1 for _ in self._pairs())
        else:
            pairs = len(self.selected) * len(self.experiment.prompts) if self.blocks is None else len(self.blocks)
        return pairs * self._replicates

    def has(self, cell_index: int, prompt_index: int) -> bool:
        """Whether a cell is asked a prompt."""
        return (self.only is None or cell_index in self.only) and self._falls(cell_index, prompt_index)

    def _falls(self, cell_index: int, prompt_index: int) -> bool:
        """Whether a pair is in, be the cell what it may."""
        if self.blocks is not None and (cell_index, prompt_index) not in self.blocks:
            return False
        return self._of_the_shard is None or bool(self._of_the_shard[cell_index * len(self.experiment.prompts) + prompt_index])

    @cached_property
    def _of_the_shard(self) -> bytes | None:
        """For each pair of a cell and a prompt whether it falls to the shard; a byte each, so that a large plan stays small."""
        if self.shard is None:
            return None
        cells = [_hashed(self._told_of(cell)) for cell in self.cells]
        prompts = [_hashed([name, messages, own]) for name, own, messages, _ in self._identities]
        return bytes(self.shard.has(hashlib.sha256(cell + prompt).digest()) for cell in cells for prompt in prompts)

    def _told_of(self, cell: Cell) -> Any:
        """What tells a cell from others wherever it stands: the fields of its requests, and which of several endpoints it is asked of."""
        endpoint = self.experiment.endpoint_of(cell)
        body = body_of(cell, {**endpoint.extra_body, **self.experiment.request})
        return body if self.experiment.endpoints is None else [endpoint.known_as, endpoint.model, body]

    def _pairs(self) -> Iterator[tuple[int, int]]:
        """The pairs of a cell and a prompt that are asked, by their numbers."""
        if self.blocks is not None and self.shard is None and self.only is None:
            return iter(self.blocks)
        return ((cell, prompt) for cell in self.selected for prompt in range(len(self.experiment.prompts)) if self._falls(cell, prompt))

    @cached_property
    def common_prompts(self) -> tuple[int, ...]:
        """The prompts, by their numbers, that every cell is asked: all but in a race and in a shard."""
        prompts = range(len(self.experiment.prompts))
        if self.blocks is None and self.shard is None:
            return tuple(prompts)
        return tuple(prompt for prompt in prompts if all(self._falls(cell, prompt) for cell in self.selected))

    def asks(self, cell_index: int) -> bool:
        """Whether a cell is asked anything."""
        return next(self.prompts_of(cell_index), None) is not None

    def prompts_of(self, cell_index: int) -> Iterator[int]:
        """The prompts that a cell is asked, by their numbers."""
        return (prompt for prompt in range(len(self.experiment.prompts)) if self.has(cell_index, prompt))

    def __iter__(self) -> Iterator[Request]:
        """Every request of the sweep once, in the order of sending.

        Replicate by replicate, prompts in random order; the cells of one prompt's replicate stand together in random order
        (randomised complete blocks), so a server that drifts over time drifts alike in all cells. The order depends on the
        experiment's seed alone.
        """
        import numpy as np

        experiment = self.experiment
        pairs: dict[tuple[int, int], _Pair] = {}
        many = len(experiment.prompts) > 1 or len(self.cells) > 1
        together = max(part.endpoint.replicates_per_call for part in self.parts)
        end = self.first + self._replicates
        wanted = range(len(self.cells)) if self.only is None else frozenset(self.only)
        whole = self.blocks is None and self.shard is None
        for first in range(self.first, end, together):
            rng = np.random.default_rng([experiment.seed, first]) if many else None
            for prompt_index in _order(rng, len(experiment.prompts)):
                for cell_index in filter(wanted.__contains__, _order(rng, len(self.cells))):
                    where = (cell_index, prompt_index)
                    if not whole and not self._falls(*where):
                        continue
                    pair = pairs.get(where)
                    if pair is None:
                        pair = self._pair(*where)
                        if len(pairs) < _MOST_KEPT and first + together < end:
                            pairs[where] = pair
                    for replicate in range(first, min(first + together, end)):
                        yield self._request(pair, cell_index, prompt_index, replicate, self.role)

    def request(self, cell_index: int, prompt_index: int, replicate: int) -> Request:
        """One request of the plan by itself."""
        return self._request(self._pair(cell_index, prompt_index), cell_index, prompt_index, replicate, self.role)

    @property
    def plainest(self) -> int:
        """The cell nearest to the defaults: the one that leaves most parameters out."""
        return max(self.selected, key=lambda index: (sum(level == DEFAULT or level is None for level in self.cells[index].values()), -index))

    def anchors(self) -> Iterator[Request]:
        """One cell on one prompt again and again: the plainest, on the first prompt; of several endpoints one of each."""
        if len(self.parts) > 1:
            yield from chain.from_iterable(part.anchors() for part in self.parts)
            return
        cell_index = self.plainest
        pair = self._pair(cell_index, 0)
        for replicate in range(self._anchors_of_all):
            if self.shard is None or self.shard.has_number(replicate):
                yield self._request(pair, cell_index, 0, replicate, "anchor")

    @property
    def anchor_count(self) -> int:
        """How many anchors stand in the sequence; too few to show a drift are none."""
        if len(self.parts) > 1:
            return sum(part.anchor_count for part in self.parts)
        if self.shard is None:
            return self._anchors_of_all
        return sum(map(self.shard.has_number, range(self._anchors_of_all)))

    @cached_property
    def _anchors_of_all(self) -> int:
        """How many anchors the whole plan has, of which a shard's are a part."""
        return self.anchors_among(len(self if self.shard is None else replace(self, shard=None)))

    def anchors_among(self, requests: int) -> int:
        """How many anchors would stand among so many requests, spread over several endpoints as those of this plan are."""
        if self.role != "sweep":
            return 0
        if len(self.parts) > 1:
            return sum(part.anchors_among(round(requests * len(part) / max(1, len(self)))) for part in self.parts)
        anchor = self.experiment.anchor
        every = anchor.every if anchor is not None else 0 if self.endpoint.base_url == LOCAL else _ANCHOR_EVERY
        count = requests // every if every else 0
        return count if count >= _FEWEST_ANCHORS or anchor is not None else 0

    def sequence(self) -> Iterator[Request]:
        """The requests of the sweep with the anchors, spread evenly among them; of several endpoints one after the other."""
        if len(self.parts) > 1:
            yield from chain.from_iterable(part.sequence() for part in self.parts)
            return
        count = self.anchor_count
        if not count:
            yield from self
            return
        anchors, every = self.anchors(), max(1, len(self) // count)
        requests = iter(self)
        together = self.endpoint.replicates_per_call
        every = max(together, every // together * together)  # a call's requests stay together
        while block := list(islice(requests, every)):
            yield from islice(anchors, 1)
            yield from block
        if self.shard is not None:
            yield from anchors  # of a small part there may be more than it has blocks

    @cached_property
    def _identities(self) -> list[tuple[str, dict[str, Any], list[dict[str, Any]], Any]]:
        out = []
        for prompt in self.experiment.prompts:
            messages = prompt.conversation()
            out.append((prompt.id, prompt.fields(), messages, canonical(messages)))
        return out

    def _pair(self, cell_index: int, prompt_index: int) -> _Pair:
        cell = self.cells[cell_index]
        endpoint = self.experiment.endpoint_of(cell)
        prompt_id, own, _, identity = self._identities[prompt_index]
        fields = {**body_of(cell, {**endpoint.extra_body, **self.experiment.request}), **own}
        model = fields.pop("model", endpoint.model)
        begun = _begun(endpoint.known_as, model, prompt_id, identity, fields)
        # How an answer is fetched, and what an endpoint is called, is no part of what identifies it.
        return _Pair(begun, _json(canonical(fields.get("tools"))), model, {"model": model, **as_sent(fields, endpoint)})

    def _request(self, pair: _Pair, cell_index: int, prompt_index: int, replicate: int, role: Role) -> Request:
        body = pair.body
        seed = body.get("seed")
        if seed == PER_REPLICATE:
            seed = seed_of(self.experiment.seed, self.experiment.prompts[prompt_index].id, replicate, self.experiment.seeds)
            body = {**body, "seed": seed}
        key = self._key(pair, cell_index, prompt_index, replicate, role, seed)
        prompt_id, _, messages, _ = self._identities[prompt_index]
        return Request(key, cell_index, prompt_index, prompt_id, self.cells[cell_index], replicate, seed, pair.model, body, messages, role)

    def _key(self, pair: _Pair, cell_index: int, prompt_index: int, replicate: int, role: Role, seed: Any) -> str:
        """The request's key, hashed once however often the plan is gone through."""
        if role != self.role or not self.first <= replicate < self.first + self._replicates:
            return _ended(pair.begun, replicate, role, seed, pair.tools)
        at = KEY_BYTES * (((replicate - self.first) * len(self.experiment.prompts) + prompt_index) * len(self.cells) + cell_index)
        known = self._keys[at : at + KEY_BYTES]
        if known != _NO_KEY:
            return known.hex()
        key = _ended(pair.begun, replicate, role, seed, pair.tools)
        self._keys[at : at + KEY_BYTES] = bytes.fromhex(key)
        return key

    def keys(self) -> bytes:
        """The keys of all requests, `KEY_BYTES` each, by replicate, prompt and cell; zeros where the plan has no request."""
        for _ in self:
            pass  # each is hashed as it is made
        return bytes(self._keys)

    @cached_property
    def _keys(self) -> bytearray:
        """The keys by replicate, prompt and cell, as far as they were asked for."""
        return bytearray(KEY_BYTES * len(self.cells) * len(self.experiment.prompts) * self._replicates)

    def tokens_in(self) -> tuple[int, int]:
        """Bounds of the tokens that prompts have, over all requests of the sweep.

        A token is taken to be one to eight bytes of UTF-8, and a message to add up to sixteen tokens.
        """
        if self.blocks is not None or self.shard is not None:
            found = [self._prompt_tokens[prompt] for _, prompt in self._pairs()]
            return self._replicates * sum(low for low, _ in found), self._replicates * sum(high for _, high in found)
        each = len(self.selected) * self._replicates
        return each * sum(low for low, _ in self._prompt_tokens), each * sum(high for _, high in self._prompt_tokens)

    def most_tokens(self) -> int | None:
        """Upper bound of the tokens that answers can have, over all requests of the sweep; None where a cell sets no bound."""
        bounds = {cell: bound for cell in self.selected if (bound := self._answer_tokens[cell]) is not None}
        if len(bounds) < len(self.selected):
            return None
        if self.blocks is not None or self.shard is not None:
            return self._replicates * sum(bounds[cell] for cell, _ in self._pairs())
        return sum(bounds.values()) * len(self.experiment.prompts) * self._replicates

    def tokens(self) -> Tokens:
        """As `tokens_of` gives them for all requests, the anchors included."""
        anchors = self.tokens_of(self.anchors())
        (low, high), most = self.tokens_in(), self.most_tokens()
        whole = None if most is None or anchors.answers_most is None else most + anchors.answers_most
        return Tokens(len(self), anchors.anchors, low + anchors.prompts_least, high + anchors.prompts_most, whole)

    def tokens_of(self, requests: Iterable[Request]) -> Tokens:
        """How many `requests` there are, anchors among them, and bounds of their tokens, as `tokens_in` and `most_tokens` take them."""
        sweep = anchors = low = high = most = 0
        bounded = True
        for request in requests:
            sweep += request.role != "anchor"
            anchors += request.role == "anchor"
            low += self._prompt_tokens[request.prompt_index][0]
            high += self._prompt_tokens[request.prompt_index][1]
            bound = self._answer_tokens[request.cell_index]
            most += bound or 0
            bounded = bounded and bound is not None
        return Tokens(sweep, anchors, low, high, most if bounded else None)

    @cached_property
    def _prompt_tokens(self) -> list[tuple[int, int]]:
        bounds = []
        for _, own, messages, _ in self._identities:
            size = sum(len(_json(part).encode()) for part in (*messages, own))
            text = sum(len(text_of(message.get("content")).encode()) for message in messages)
            bounds.append((text // 8, size + 16 * len(messages)))
        return bounds

    @cached_property
    def _answer_tokens(self) -> list[int | None]:
        bounds: list[int | None] = []
        for cell in self.cells:
            body = body_of(cell, self.experiment.request)
            said = [int(body[name]) for name in ("max_tokens", "max_completion_tokens") if name in body]
            bounds.append(min(said) if said else None)
        return bounds


def seed_of(root: int, prompt_id: str, replicate: int, seeds: Seeds = "hashed") -> int:
    """The seed that ``per_replicate`` sends, in [0, 2³¹): alike in every cell, so that cells are compared under the same luck.

    Each prompt has its own: servers draw the same numbers for one seed whatever the prompt, and prompts that share their luck would be no
    independent evidence. They are spread, for on some servers neighbouring seeds give copies.
    """
    name = prompt_id.encode("utf-8", "surrogatepass")
    if seeds == "consecutive":
        return (root + crc32(name) + replicate) % 2**31
    return int.from_bytes(hashlib.sha256(b"%d %d %b" % (root, replicate, name)).digest()[:4]) % 2**31


def _hashed(value: Any) -> bytes:
    return hashlib.sha256(_json(canonical(value)).encode("utf-8", "surrogatepass")).digest()


def _order(rng: Any, count: int) -> list[int]:
    """Numbers in random order; a single one needs no generator."""
    return [0] if count == 1 else list(rng.permutation(count).tolist())


def key_of(base_url: str, model: str, prompt_id: str, messages: Any, fields: Mapping[str, Any], replicate: int, role: str) -> str:
    """What identifies a request for ever, 32 hexadecimal digits: the hash of all that decides its answer, in a canonical JSON text.

    Args:
        messages: the conversation as sent, canonical already (it is the same for many requests).
        fields: all else of the body, without the model; numbers count by value, and the order does not matter.
    """
    seed = fields.get("seed")
    return _ended(_begun(base_url, model, prompt_id, messages, fields), replicate, role, seed, _json(canonical(fields.get("tools"))))


def _begun(base_url: str, model: str, prompt_id: str, messages: Any, fields: Mapping[str, Any]) -> Any:
    """The hash of the part that replicates have in common: the names before ``replicate`` in the alphabet."""
    shared = {
        "base_url": base_url,
        "messages": messages,
        "model": model,
        "parameters": canonical({name: value for name, value in fields.items() if name not in ("seed", "tools")}),
        "prompt_id": prompt_id,
    }
    return hashlib.sha256(_json(shared)[:-1].encode())


def _ended(begun: Any, replicate: int, role: str, seed: Any, tools: str) -> str:
    whole = begun.copy()
    said = "null" if seed is None else str(seed) if type(seed) is int else _json(canonical(seed))
    whole.update(f',"replicate":{replicate},"role":"{role}","seed":{said},"tools":{tools},"v":{KEY_VERSION}}}'.encode())
    return str(whole.hexdigest()[:32])


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
