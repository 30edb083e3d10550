"""What a parameter means at an endpoint: not whether it is listened to, but how it samples.

Most is asked with answers of one token, which cost almost nothing:

- Where answers repeat under one seed, two requests that mean the same bring the same texts, and one that means something else brings others.
  The noise of plain repeats is counted on the way, and a difference has to be more than that (Fisher's exact test).
- What decides between two orders or two sets of tokens is sampled, on prompts where the two keep different tokens: a likelihood ratio grows
  call by call, and asking stops where it is sure (`evalkit.stats.sequential`).

Log probabilities, where they are given, choose the prompts; they decide nothing but whose they are.
"""
