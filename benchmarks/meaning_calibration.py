"""How often does `evalkit probe --depth meaning` say what is planted in an endpoint, and how often does it blame a plain one?

    python benchmarks/meaning_calibration.py [--seeds 5] [--combinations 200] [--plain 1000] [--outcomes FILE] [--smallest]

Every manner alone, random combinations of two to seven, and the plain endpoint; each with and without log probabilities, in this process, without
sockets. Of what is planted an answer is right, wrong or inconclusive, question by question; 'there is nothing to find out' counts as a finding
only where there is something. Promised, and the script fails where it is not kept:

- of the answers that were given, 97 % are right;
- inconclusive are at most 10 % with log probabilities, and 25 % without;
- at the plain endpoint at most 1 % of the findings are wrong, and at most 5 % of the probes hold a wrong one.

Beside the questions the distance from the definition is measured at two corners: with log probabilities, and at the plain endpoint without them too
(`--corners`). There 'inconclusive' counts where nothing moves first tokens.

Where one manner hides another (no temperature is above 1, so no order shows), 'inconclusive' is right.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from meaning_worlds import MANNERS, NO_LOGPROBS, combined, expected, judged, judged_corners, probed_whole

from evalkit.local.api import Api
from evalkit.local.corpus import sections
from evalkit.local.model import Model
from evalkit.probe.meaning.corners import CALLS_OF_CORNERS
from evalkit.probe.meaning.survey import MOST_CALLS_OF_MEANING

RIGHT, UNSURE, FALSE_FINDINGS, FALSE_PROBES = 0.97, {True: 0.10, False: 0.25}, 0.01, 0.05


def planned(seeds: int, combinations: int, plain: int) -> Iterator[tuple[str, Sequence[str], int, bool]]:
    """Each trial: what sort it is, the manners, its seed, and whether log probabilities are given."""
    for logprobs in (True, False):
        yield from (("alone", [name], seed, logprobs) for seed in range(seeds) for name in MANNERS)
        yield from (("together", combined(seed), 1000 + seed, logprobs) for seed in range(combinations))
    yield from (("plain", [], seed, seed % 2 == 0) for seed in range(plain))


def trial(model: Model, names: Sequence[str], seed: int, logprobs: bool) -> dict[str, Any]:
    """One probe: of each question, and of each corner, whether it is right, and how wrong it is where it is not."""
    api = Api(model, draw=random.Random(f"{names}/{seed}").getrandbits)
    sampled = not (logprobs or names)
    quirks = [*(MANNERS[name][0] for name in names), *([] if logprobs else [NO_LOGPROBS])]
    whole, calls = probed_whole(api, quirks, seed, MOST_CALLS_OF_MEANING + CALLS_OF_CORNERS * sampled, sampled)
    found, right = {one.question: one for one in whole.meaning}, expected(names, logprobs)
    verdicts, corners = judged(found, right), judged_corners(whole, names)
    wrong = {question: f"{found[question].answer}, not {right[question]}" for question, verdict in verdicts.items() if verdict == "wrong"}
    wrong |= {name: one.says for (name, verdict), one in zip(corners.items(), whole.corners, strict=True) if verdict == "wrong"}
    return {"calls": calls, "verdicts": verdicts | corners, "wrong": wrong}


def table(outcomes: Sequence[dict[str, Any]]) -> bool:
    """Print the rates; whether every limit is kept."""
    kept = True
    for sort, logprobs in dict.fromkeys((one["sort"], one["logprobs"]) for one in outcomes):
        trials = [one for one in outcomes if (one["sort"], one["logprobs"]) == (sort, logprobs)]
        counts = Counter(verdict for one in trials for verdict in one["verdicts"].values())
        decided = counts["right"] + counts["wrong"]
        share = counts["right"] / max(1, decided)
        unsure = counts["inconclusive"] / max(1, decided + counts["inconclusive"])
        blamed = sum(bool(one["wrong"]) for one in trials) / len(trials)
        good = share >= RIGHT and unsure <= UNSURE[logprobs]
        if sort == "plain":
            good = 1 - share <= FALSE_FINDINGS and blamed <= FALSE_PROBES and good
        kept &= good
        calls = sorted(one["calls"] for one in trials)
        print(
            f"{sort:9} {'with' if logprobs else 'without':7} logprobs: {len(trials):5} probes, {decided:6} decided, {share:.2%} right, {unsure:.2%} "
            f"inconclusive, {blamed:.2%} of the probes hold a wrong one; calls {calls[0]}-{calls[-1]}, half up to {calls[len(calls) // 2]}: "
            f"{'PASS' if good else 'FAIL'}"
        )
        for verdict in ("wrong", "inconclusive"):
            worst = Counter(question for one in trials for question, is_ in one["verdicts"].items() if is_ == verdict)
            print(f"  {verdict}: {', '.join(f'{question} {count}' for question, count in worst.most_common(8)) or 'none'}")
    return kept


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="trials with each manner alone")
    parser.add_argument("--combinations", type=int, default=200)
    parser.add_argument("--plain", type=int, default=1000, help="trials without any")
    parser.add_argument("--outcomes", type=Path, help="append each outcome there as a line of JSON")
    parser.add_argument("--smallest", action="store_true", help="two probes")
    options = parser.parse_args()
    if options.smallest:
        options.seeds, options.combinations, options.plain = 0, 0, 2
    model = Model(sections())
    outcomes: list[dict[str, Any]] = []
    for sort, names, seed, logprobs in planned(options.seeds, options.combinations, options.plain):
        one = {"sort": sort, "manners": list(names), "seed": seed, "logprobs": logprobs, **trial(model, names, seed, logprobs)}
        outcomes.append(one)
        if one["wrong"]:
            print(f"{', '.join(names) or 'plain'}, seed {seed}, {'with' if logprobs else 'without'} logprobs: {one['wrong']}", flush=True)
        if options.outcomes:
            with options.outcomes.open("a") as file:
                file.write(json.dumps(one) + "\n")
    return 0 if table(outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
