"""Which parameters does an endpoint honour? Found out by asking it, not by reading about it.

First the endpoint's own noise is measured (A/A: the same request again). Then each parameter is sent at a strong, non-default value where
it must show, beside the same requests without it:

- Where answers repeat under one seed, or at temperature 0, requests are compared pair by pair: the same text in every pair is 'ignored'
  by identity; a different one more often than the endpoint's own noise explains (Fisher's exact test) is 'honoured'.
- Where nothing repeats, two samples of answers are compared by a permutation test of their distances; 'ignored' is then said only where an
  equivalence test shows it, and 'inconclusive' otherwise.
- What has an outcome of its own (max_tokens, stop, n, logprobs, stream, tools, ...) is judged by that.
"""

from __future__ import annotations

from evalkit.probe.findings import KNOWN, VERSION, Finding, LeftOut, Probe, Verdict, objections, only_model
from evalkit.probe.meaning.survey import MOST_CALLS_OF_MEANING, USUAL_CALLS_OF_MEANING
from evalkit.probe.survey import MOST_CALLS, probe, probe_meaning, usual_calls

__all__ = [
    "KNOWN",
    "MOST_CALLS",
    "MOST_CALLS_OF_MEANING",
    "USUAL_CALLS_OF_MEANING",
    "VERSION",
    "Finding",
    "LeftOut",
    "Probe",
    "Verdict",
    "objections",
    "only_model",
    "probe",
    "probe_meaning",
    "usual_calls",
]
