"""Half a character (a lone surrogate), as servers cut them: from the wire through records, tables, metrics and judges, with nothing lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.endpoints import Answer, Asked, serving
from support.streams import chunk, stream
from support.sweeps import sweep

from evalkit.experiment.experiment import check
from evalkit.metrics import METRICS, OPTIONAL, tokenise, values
from evalkit.store.records import Completion, read

JSON = {"Content-Type": "application/json"}
CUT = {"text": "one two \\ud83d three \\udc00 four five \\ud83d\\ude00 six", "role": "assistant"}
MENDED = "one two \ufffd three \ufffd four five \U0001f600 six"


def answer(asked: Asked) -> Any:
    if asked.path.endswith("/embeddings"):
        rows = [{"index": at, "embedding": [1, at]} for at in range(len(asked.body["input"]))]
        return Answer(200, JSON, json.dumps({"data": rows}).encode())
    if asked.body["model"] == "judge":
        return Answer(
            200, JSON, b'{"choices": [{"message": {"content": "{\\"score\\": 3, \\"reason\\": \\"half \\ud83d\\"}"}, "finish_reason": "stop"}]}'
        )
    if asked.body.get("stream"):
        whole = stream(chunk("HERE"), chunk(finish="stop"), "[DONE]").replace(b"HERE", CUT["text"].encode())
        return Answer(200, {"Content-Type": "text/event-stream"}, whole)
    body = f'{{"model": "t\\ud800", "choices": [{{"message": {{"content": "{CUT["text"]}"}}, "finish_reason": "stop\\udfff"}}]}}'
    return Answer(200, JSON, body.encode())


@pytest.mark.parametrize("streamed", [False, True])
def test_half_characters_from_a_server_come_through_all_of_it(tmp_path: Path, streamed: bool) -> None:
    with serving(answer) as server:
        data = {
            "name": "halves",
            "endpoint": {"base_url": server.url, "model": "tiny", "stream": streamed},
            "prompts": [{"id": "a", "user": "Say a."}],
            "parameters": {"temperature": [0.5, 1]},
            "replicates": 2,
            "checks": [{"contains": "\ufffd"}],
            "judges": [{"name": "good", "rubric": "Is it?", "scale": {"min": 1, "max": 5}, "endpoint": {"base_url": server.url, "model": "judge"}}],
            "embeddings": {"base_url": server.url, "model": "vectors"},
        }
        result = sweep(check(data), tmp_path)
    assert result is not None
    assert result.complete
    found = list(read(tmp_path))
    assert len(found) == 4
    for record in found:
        assert isinstance(record.outcome, Completion)
        assert (record.outcome.text, record.outcome.repaired) == (MENDED, True)
    means = {row.metric: row.mean for row in result.analysis.by_cell if row.cell_index == 0}
    expected = tokenise([MENDED, MENDED])
    for metric in METRICS:
        if metric.name in ("length_words", "length_chars", "exact_duplicates", "mattr_50"):
            assert means[metric.name] == pytest.approx(values(metric, expected)[0], nan_ok=True)
    assert (means["contains"], means["good"]) == (1, 3)
    assert means["embedding_distance"] == pytest.approx(0, abs=1e-9)
    rows = duckdb.sql(f"SELECT DISTINCT text FROM '{tmp_path}/responses.parquet'").fetchall()  # noqa: S608
    assert rows == [(MENDED,)]
    for path in tmp_path.iterdir():
        if path.suffix in (".jsonl", ".json", ".csv"):
            path.read_bytes().decode("utf-8")


def test_the_engine_itself_takes_half_characters() -> None:
    texts = [f"\ud83d {number} a b c d \udc00\ud83d e f \ud800" * 30 for number in range(3)]
    for metric in (*METRICS, *OPTIONAL):
        found = values(metric, tokenise(texts))
        assert ((metric.low - 1e-9 <= found) & (found <= metric.high + 1e-9) | (found != found)).all(), metric.name
