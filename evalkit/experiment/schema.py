"""JSON Schema of the experiment file, for editors."""

from __future__ import annotations

from typing import Any

from evalkit.experiment.experiment import Experiment


def json_schema() -> dict[str, Any]:
    """JSON Schema of the experiment file, for editors."""
    schema = Experiment.model_json_schema()
    _drop_titles(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "evalkit experiment", **schema}


def _drop_titles(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("title"), str):
            del schema["title"]
        for value in schema.values():
            _drop_titles(value)
    elif isinstance(schema, list):
        for value in schema:
            _drop_titles(value)
