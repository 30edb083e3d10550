"""Files and batches of the embedded endpoint: in OpenAI's form, with the trouble that is rehearsed."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any

import pytest
from support.local import BODY, Port, Reply, api, in_thread

from evalkit.local.rehearsal import RehearsalError
from evalkit.local.rehearsal import check as rehearse
from evalkit.local.server import app

URL = "/v1/chat/completions"


def line(name: str, **changes: Any) -> dict[str, Any]:
    return {"custom_id": name, "method": "POST", "url": URL, "body": {**BODY, "max_tokens": 4, "seed": 1}} | changes


def upload(server: Port, content: bytes, purpose: str = "batch", field: str = "file") -> Reply:
    parts = f'--xx\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n--xx\r\nContent-Disposition: form-data; name="{field}"; '
    body = parts.encode() + b'filename="in.jsonl"\r\nContent-Type: application/jsonl\r\n\r\n' + content + b"\r\n--xx--\r\n"
    return server.ask("POST", "/v1/files", body, **{"Content-Type": "multipart/form-data; boundary=xx"})


def started(server: Port, *rows: Any, **changes: Any) -> Reply:
    content = b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)
    body = {"input_file_id": upload(server, content).json["id"], "endpoint": URL, "completion_window": "24h", "metadata": {"a": "b"}}
    return server.ask("POST", "/v1/batches", body | changes)


def ended(server: Port, *rows: Any) -> dict[str, Any]:
    batch = started(server, *rows).json
    until = time.monotonic() + 20
    while batch["status"] in ("validating", "in_progress", "finalizing", "cancelling"):
        assert time.monotonic() < until
        time.sleep(0.01)
        batch = server.ask("GET", f"/v1/batches/{batch['id']}").json
    return dict(batch)


def lines(server: Port, file: str | None) -> list[dict[str, Any]]:
    if file is None:
        return []
    return [json.loads(one) for one in server.ask("GET", f"/v1/files/{file}/content").body.splitlines()]


def faulty(*faults: dict[str, Any]) -> Any:
    return in_thread(app(api(), rehearsal=rehearse({"seed": 1, "batches": list(faults)})))


def test_a_batch_answers_what_a_call_answers() -> None:
    with in_thread(app(api())) as server:
        file = upload(server, json.dumps(line("x")).encode()).json
        assert (file["object"], file["filename"], file["purpose"]) == ("file", "in.jsonl", "batch")
        batch = ended(server, line("x"), b"\n", line("y", body={**BODY, "temperature": 9}), line("z", body={**BODY, "stream": True}))
        assert (batch["status"], batch["endpoint"], batch["metadata"]) == ("completed", URL, {"a": "b"})
        assert batch["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
        (one,) = lines(server, batch["output_file_id"])
        assert (one["custom_id"], one["error"], one["response"]["status_code"]) == ("x", None, 200)
        live = server.ask("POST", URL, line("x")["body"]).json
        assert one["response"]["body"]["choices"] == live["choices"]
        assert one["response"]["body"]["usage"] == live["usage"]
        errors = {row["custom_id"]: row["response"] for row in lines(server, batch["error_file_id"])}
        assert {name: row["status_code"] for name, row in errors.items()} == {"y": 400, "z": 400}
        assert errors["y"]["body"]["error"]["param"] == "temperature"
        names = [row["filename"] for row in server.ask("GET", "/v1/files").json["data"]]
        assert names.count("in.jsonl") == 2
        assert server.ask("DELETE", f"/v1/files/{file['id']}").json["deleted"] is True
        assert server.ask("GET", f"/v1/files/{file['id']}").status == 404


def test_lists_come_in_pages_the_newest_first() -> None:
    with in_thread(app(api())) as server:
        ids = [started(server, line("x")).json["id"] for _ in range(3)]
        page = server.ask("GET", "/api/v2/batches?limit=2").json
        assert ([row["id"] for row in page["data"]], page["has_more"]) == (ids[:0:-1], True)
        page = server.ask("GET", f"/v1/batches?limit=2&after={page['last_id']}").json
        assert ([row["id"] for row in page["data"]], page["has_more"]) == (ids[:1], False)
        assert server.ask("GET", "/v1/batches?limit=x").error["param"] == "limit"


def test_what_is_no_file_of_requests_fails_with_its_lines() -> None:
    with in_thread(app(api())) as server:
        batch = ended(server, line("x"), line("x"), b"{\n", line("y", url="/v1/embeddings"), {"custom_id": 1})
        assert (batch["status"], batch["output_file_id"]) == ("failed", None)
        found = [(one["line"], one["code"]) for one in batch["errors"]["data"]]
        assert found == [(2, "duplicate_custom_id"), (3, "invalid_json_line"), (4, "mismatched_endpoint"), (5, "invalid_request")]
        assert ended(server, b"\n")["errors"]["data"][0]["code"] == "empty_file"


def test_requests_that_make_no_sense_are_refused() -> None:
    with in_thread(app(api())) as server:
        for changes, param in [
            ({"endpoint": "/v1/embeddings"}, "endpoint"),
            ({"completion_window": "1h"}, "completion_window"),
            ({"metadata": {"a": 1}}, "metadata"),
            ({"metadata": []}, "metadata"),
        ]:
            assert started(server, line("x"), **changes).error["param"] == param
        assert started(server, line("x"), input_file_id="file-0").status == 404
        assert upload(server, b"x", purpose="fine-tune").error["param"] == "purpose"
        assert upload(server, b"").error["param"] == "file"
        assert upload(server, b"x", field="other").error["param"] == "file"
        assert server.ask("POST", "/v1/files", b"{}").status == 400
        assert server.ask("POST", "/v1/batches", b"[]").status == 400
        for path in ("/v1/batches/x", "/v1/files/x", "/v1/files/x/content"):
            assert server.ask("GET", path).status == 404
        assert server.ask("POST", "/v1/batches/x/cancel").status == 404


def test_a_key_guards_files_and_batches_too() -> None:
    with in_thread(app(api(), key="k" * 20)) as server:
        for method, path in [("POST", "/v1/files"), ("GET", "/v1/files"), ("POST", "/v1/batches"), ("GET", "/v1/batches/x")]:
            assert server.ask(method, path).status == 401


def test_trouble_with_batches_is_as_it_is_rehearsed() -> None:
    rows = [line(f"r{number}") for number in range(12)]
    with faulty({"fault": "out_of_order"}, {"fault": "line_twice", "share": 0.5}, {"fault": "failed", "share": 0.3}) as server:
        batch = ended(server, *rows)
        found = [one["custom_id"] for one in lines(server, batch["output_file_id"])]
        errors = [one["custom_id"] for one in lines(server, batch["error_file_id"])]
        assert sorted({*found, *errors}) == sorted(row["custom_id"] for row in rows)
        assert not set(found) & set(errors)
        assert errors
        assert found != sorted(found, key=lambda name: int(name[1:]))
        assert set(Counter(found).values()) == {1, 2}
    with faulty({"fault": "expired", "share": 0.5}, {"fault": "unlisted"}) as server:
        batch = ended(server, *rows)
        assert (batch["status"], batch["request_counts"]["completed"]) == ("expired", 6)
        assert [one["error"]["code"] for one in lines(server, batch["error_file_id"])] == ["batch_expired"] * 6
        assert server.ask("GET", "/v1/batches").status == server.ask("GET", "/v1/files").status == 404
    with faulty({"fault": "refused"}) as server:
        assert ended(server, *rows)["errors"]["data"][0]["code"] == "token_limit_exceeded"
    with faulty({"fault": "late", "seconds": 0.3}) as server:
        batch = started(server, *rows).json
        assert server.ask("POST", f"/v1/batches/{batch['id']}/cancel").json["status"] == "cancelling"
        time.sleep(0.4)
        while (found := server.ask("GET", f"/v1/batches/{batch['id']}").json)["status"] == "cancelling":
            time.sleep(0.01)
        assert (found["status"], found["output_file_id"]) == ("cancelled", None)


def test_faults_of_batches_are_checked_like_others() -> None:
    with pytest.raises(RehearsalError) as told:
        rehearse({"batches": [{"fault": "laet"}, {"fault": "failed"}, {"fault": "late", "seconds": -1}, {"fault": "out_of_order", "share": 1}, 7]})
    words = str(told.value).split("\n")
    assert words[0] == "batches[0].fault: found 'laet'; did you mean 'late'?"
    assert [one.partition(":")[0] for one in words] == [
        "batches[0].fault",
        "batches[1].share",
        "batches[2].seconds",
        "batches[3].share",
        "batches[4]",
    ]
