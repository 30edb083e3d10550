"""How large an effect an experiment can see, and how large an experiment an effect needs."""

from __future__ import annotations

import math

import numpy as np

from evalkit.stats.conventions import ALPHA, POWER

_MOST = 10_000_000


def _power(df: float, noncentral: float, alpha: float) -> float:
    """Chance that |t| of a noncentral Student's t passes its two-sided edge: the normal chance averaged over the standard deviation seen.

    By the trapezoidal rule over the logarithm of χ², which holds where the series of noncentral distributions fail.
    """
    from scipy.special import gammaln, ndtr, stdtrit

    width = 10 * math.sqrt(2 / df)
    x = np.linspace(math.log(df) - width - 75 / df, math.log(df) + math.log1p(width + 80 / df), 2001)
    density = np.exp(df / 2 * (x - math.log(2)) - np.exp(x) / 2 - gammaln(df / 2))
    edge = float(stdtrit(df, 1 - alpha / 2)) * np.exp(x / 2) / math.sqrt(df)
    chance = ndtr(noncentral - edge) + ndtr(-noncentral - edge)
    return float((density * chance).sum() / density.sum())


def power_paired(n: float, effect: float, alpha: float = ALPHA) -> float:
    """Chance that a two-sided paired t test of `n` differences finds a mean of `effect` standard deviations. Cohen 1988, chapter 2."""
    return _power(n - 1, abs(effect) * math.sqrt(n), alpha) if n >= 2 else 0.0


def detectable(n: int, sd: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """The smallest mean difference that `n` prompts find with `power`, differences between prompts having the standard deviation `sd`.

    NaN where n < 2.
    """
    from scipy.optimize import brentq

    if n < 2 or math.isnan(sd):
        return math.nan
    if sd == 0:
        return 0.0
    high = 1.0
    while power_paired(n, high, alpha) < power and high < 1e4:
        high *= 2
    return sd * float(brentq(lambda effect: power_paired(n, effect, alpha) - power, 1e-9, high))


def prompts_to_detect(effect: float, sd: float, alpha: float = ALPHA, power: float = POWER) -> float:
    """Prompts, as a real number, that a paired two-sided t test needs to find a mean difference of `effect` > 0 with `power`.

    Dupont & Plummer 1990, "Power and Sample Size Calculations"; infinite past ten million.
    """
    from scipy.optimize import brentq

    scaled = abs(effect) / sd if sd > 0 else math.inf
    if math.isinf(scaled):
        return 2.0

    def lacks(n: float) -> float:
        return power_paired(n, scaled, alpha) - power

    if lacks(2.0) >= 0:
        return 2.0
    normal = normal_prompts(sd**2, 0.0, 0.0, 1, 1, effect, alpha, power)
    return math.inf if normal > _MOST else float(brentq(lacks, 2.0, 2 * normal + 10))


def normal_prompts(
    between: float, within_a: float, within_b: float, k_a: float, k_b: float, delta: float, alpha: float = ALPHA, power: float = POWER
) -> float:
    """Prompts for a paired comparison by the normal approximation: (z_{α/2} + z_β)² (ω² + σ²_A/K_A + σ²_B/K_B) / δ².

    Miller 2024, "Adding Error Bars to Evals", section 5.

    Args:
        between: ω², the variance over prompts of the true difference.
        within_a, within_b: σ², the variance of one replicate about its prompt's mean, in each arm.
        k_a, k_b: replicates of a prompt in each arm.
        delta: the difference to be found, in the metric's unit.
    """
    from scipy.special import ndtri

    z = float(ndtri(1 - alpha / 2) + ndtri(power))
    return z**2 * (between + within_a / k_a + within_b / k_b) / delta**2


def prompts_to_settle(sd: float, margin: float, alpha: float = ALPHA, power: float = POWER) -> int | None:
    """Prompts after which an experiment says 'no effect' with `power` where there is none, and finds an effect as large as `margin`.

    Two one-sided t tests need z_{1-α} + z_{1-β/2} where the truth is 0; the larger of both counts. None past ten million.
    """
    from scipy.special import stdtrit

    if sd == 0 or math.isnan(sd) or not margin > 0:
        return None
    n = 2
    for _ in range(50):  # the quantiles depend on n a little
        df = max(n - 1, 1)
        z = max(float(stdtrit(df, 1 - alpha) + stdtrit(df, 0.5 + power / 2)), float(stdtrit(df, 1 - alpha / 2) + stdtrit(df, power)))
        needed = (z * sd / margin) ** 2
        if needed > _MOST:
            return None
        following = max(3, math.ceil(needed))
        if abs(following - n) <= 1 and following >= n:
            return following
        n = following if following > n else (n + following) // 2  # small n have huge quantiles: come down slowly
    return n
