"""The summary as lines above the parameters of ``recommended.yaml``."""

from __future__ import annotations

import json
from collections.abc import Iterator

from evalkit.summary import Row, Summary
from evalkit.summary.quantities import changed, measured, named


def comments(found: Summary, digest: str) -> list[str]:
    """What is said of the recommended setting, a line each, without signs before it."""
    return list(_said(found, digest))


def _said(found: Summary, digest: str) -> Iterator[str]:
    yield f"Recommended by evalkit for {json.dumps(found.name)} ({digest}), {found.purpose}."
    if found.use is not None and found.use.name is not None:
        yield f"The setting {json.dumps(found.use.name, ensure_ascii=False)}."
    if found.where:
        yield f"Asked of {found.where}."
    yield from (_row(row) for row in found.rows)
    yield from (f"Found by a {found.raced_label.lower()}: {one}" for one in found.raced)
    yield from (f"How sure: {one}" for one in found.sure)
    yield from (f"What matters: {one}." for one in found.matters)
    yield from (f"Keep in mind: {one.text.rstrip('.')}." for one in found.mind)


def _row(row: Row) -> str:
    reference = "" if row.reference is None else f", reference {measured(row.reference, row.reference_low, row.reference_high, row.unit)}"
    change = ", ".join(filter(None, [changed(row), row.verdict]))
    return f"{named(row.label, row.unit)}: {measured(row.mean, row.low, row.high, row.unit)}{reference}{f': {change}' if change else ''}"
