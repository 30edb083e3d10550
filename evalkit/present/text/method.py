"""How a run was measured, in plain words, with its limits."""

from __future__ import annotations

import zlib

from evalkit.metrics.rarefaction import WINDOW
from evalkit.present.text.words import levels
from evalkit.run import Run
from evalkit.store.folder import PROBE_FILE
from evalkit.store.meanings import read_corners, read_meanings
from evalkit.summary.racing import race_of
from evalkit.text.escaping import visible
from evalkit.text.numbers import between


def lines(run: Run) -> list[str]:
    """What was done and what it cannot show, a sentence or two each."""
    analysis, counts = run.analysis, run.analysis.counts
    swept = "; ".join(f"{name}: {there}" for name, there in levels(run)) or "none"
    out = [
        f"Swept: {swept}. {_asked(run)}, {counts.replicates} times each, in an order that mixes "
        "settings, so that a server that changes over time does not look like a parameter's effect.",
        f"The unit of evidence is the prompt: each number is first a mean per prompt, and intervals ({analysis.confidence:.0%}, "
        f"{'Student’s t, of shares Wilson’s' if run.experiment.interval == 't' else 'bootstrap-t'}) say how far the mean would move with other "
        "prompts of the same kind. They say nothing of other kinds of prompts.",
        f"Words are cut by {analysis.tokenizer}; numbers made with another tokeniser cannot be compared with these.",
    ]
    out += _samples(run)
    out += _prefix(run)
    if counts.k:
        ks = analysis.sampled_on.k if analysis.sampled_on is not None and max(analysis.sampled_on.k) > 1 else []
        left = f" {counts.groups_left_out} groups have fewer and are left out." if counts.groups_left_out else ""
        each = between(min(ks, default=counts.k), max(ks, default=counts.k))
        out.append(
            f"Metrics over the answers to one prompt are taken over {each} answers each, as many in every setting, for they move with that number "
            f"alone.{left}"
        )
    cut = [one.n_truncated / one.n for one in analysis.natural_length if one.n]
    if cut:
        out.append(
            f"Answers cut off by max_tokens: {min(cut):.0%} to {max(cut):.0%} by setting. Lengths are shown as sent; the natural length is estimated "
            "by Kaplan–Meier, which counts a cut answer as longer than its limit."
        )
    out.append(
        "An effect is called so where the interval over all pairs of a parameter’s levels is clear of 0; no effect, where an equivalence test puts "
        "every pair within the margin; all else is inconclusive, which is not the same as no effect. p values are sign flips, adjusted: "
        + "; ".join(f"{name.replace('_', ' ')}: {how}" for name, how in analysis.families.items())
        + "."
    )
    if counts.prompts < 6:
        out.append("With fewer than 6 prompts no sign-flip test can reach p < .05, so none is given.")
    if run.choice is not None and run.choice.chosen is not None:
        out.append(
            "The recommended setting was picked because its numbers were good, so they are a little too good: fresh answers (sweep --confirm N) "
            + ("were asked for, and stand in the decision." if run.choice.confirmed else "would tell how much.")
        )
    out += _sampling(run)
    failed = sum(counts.failures.values())
    out.append(f"Failures are counted ({failed:,}) and never scored. Undefined numbers are left out of means, not taken as 0.")
    out.append(f"Compression by zlib {zlib.ZLIB_RUNTIME_VERSION} where this page was made.")
    return [visible(one) for one in out]


def _sampling(run: Run) -> list[str]:
    """How the endpoint samples, where a probe of it stands in the folder."""
    found = read_meanings(run.folder / PROBE_FILE)
    said = [[one.says for one in found.values() if one.standing == standing] for standing in ("own", "defined")]
    heads = ("How the endpoint samples, by a probe, where that is its own manner", "As one would expect it")
    out = [f"{head}: {'; '.join(sentences)}." for head, sentences in zip(heads, said, strict=True) if sentences]
    corners = [one.says for one in read_corners(run.folder / PROBE_FILE)]
    if corners:
        out.append(f"How far first tokens are from what the definition says (total variation, by the probe): {'; '.join(corners)}.")
    return out


def _asked(run: Run) -> str:
    race, prompts = race_of(run.analysis), run.analysis.counts.prompts
    if race is None:
        return f"Every setting was asked the same {prompts} prompts"
    return (
        f"A race: every setting was asked the same {race.common} prompts, and only those that could still be chosen the others, up to {prompts}; "
        "effects of parameters, and means by level, are of what every setting was asked. Settings were asked"
    )


def _samples(run: Run) -> list[str]:
    on = run.analysis.sampled_on
    names = [one.name for one in run.analysis.metrics if one.on == "sample"]
    if on is None or not names:
        return []
    windows = [min(one, WINDOW) for one in on.window]
    return [
        f"What longer answers alone move is compared as if the answers had the same lengths in every setting where it can be ({', '.join(names)}): "
        f"its expected value for {between(min(on.words), max(on.words))} words of a prompt’s answers and, of repetition, for stretches of "
        f"{between(min(windows), max(windows))} words. Where answers are of very mixed length, length may still play a part."
    ]


def _prefix(run: Run) -> list[str]:
    on = run.analysis.compared_on
    confounded = [one.name for one in run.analysis.metrics if one.confounded and one.on != "sample"]
    if not confounded:
        return []
    uncompared = [one.name for one in run.analysis.metrics if one.confounded and not one.compared]
    if len(uncompared) == len(confounded) and on is not None:
        return [f"{', '.join(uncompared)}: the answers are too short to compare settings by them; shown on whole answers, never tested."]
    if on is None:
        return [f"Too few answers are long enough for a common beginning: {', '.join(uncompared)} move with length alone and are not compared."]
    known = [share for share in on.eligible if share == share]
    text = (
        f"What has no such value ({', '.join(name for name in confounded if name not in uncompared)}) is compared on the first {on.tokens} "
        f"tokens of every answer; {min(known):.0%} to {max(known):.0%} of a setting’s answers are that long."
    )
    if on.left_out:
        text += f" {len(on.left_out)} settings have too few and are left out there."
    if on.biased:
        text += f" In {len(on.biased)} settings markedly fewer answers reach it: what is left of them is a selection."
    out = [text]
    if uncompared:
        out.append(f"{', '.join(uncompared)} need longer beginnings than all settings have: shown on whole answers, never tested.")
    return out
