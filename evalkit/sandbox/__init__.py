"""Runs code that nobody trusts, on Linux, behind walls that are tried first.

`within` is what runs behind them, with the standard library alone. It says itself what it holds against and what not: `evalkit.sandbox.within.asking`
is the process of the tests and decides, `answering` the one of the answer, and nothing but plain values goes from the second to the first.
"""
