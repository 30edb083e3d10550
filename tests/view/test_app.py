"""The app from outside: what it shows, to whom, and what nobody gets out of it or into it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest
from support import process
from support.hostile import HOSTILE
from support.viewing import Viewed, small

from evalkit.run import Run
from evalkit.store.records import read

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("view")]

HOSTILE_NAME = "<script>alert(1)<\"'&>"


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("results")


@pytest.fixture(scope="module")
def run(results: Path) -> Run:
    found = small(results / "first")
    shutil.copytree(results / "first", results / HOSTILE_NAME)
    broken = {"newer": '{"v": 7, "experiment": 1}', "cut": (results / "first" / "run.json").read_text()[:200]}
    for name, text in broken.items():
        (results / name).mkdir()
        (results / name / "run.json").write_text(text)
    (results / "half").mkdir()
    (results / "half" / "responses.jsonl").touch()
    (results / "secret.txt").write_text("nobody sees this")
    (results / "linked").mkdir()
    (results / "linked" / "run.json").symlink_to(results / "secret.txt")
    (results / "away").symlink_to(results / "first")
    (results / "no run").mkdir()
    about = json.loads((results / "first" / "run.json").read_text())
    about["experiment"]["prompts"] = str(results / "secret.txt")
    (results / "reaching").mkdir()
    (results / "reaching" / "run.json").write_text(json.dumps(about))
    return found


@pytest.fixture(scope="module")
def viewed(results: Path, run: Run) -> Iterator[Viewed]:  # noqa: ARG001 (which is to be there)
    with Viewed(results, "--raters", "ann,bob") as found:
        found.enter()
        yield found


def state(results: Path) -> dict[str, tuple[int, int]]:
    """All files under the folder, with when they were written last and how large they are."""
    files = (path for path in results.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path): (path.stat().st_mtime_ns, path.stat().st_size) for path in files}


def test_the_list_shows_every_run_and_what_is_wrong_with_some(viewed: Viewed) -> None:
    page = viewed.text("/")
    assert page.count("<tr class=") == 7
    assert '<a href="/run/first">first</a>' in page
    assert "4 × 3 × 3" in page
    assert "written by a newer evalkit (format 7, this one reads 1): update evalkit" in page
    assert "run.json is cut off or not evalkit&#39;s" in page
    assert "half a run, whose sweep was ended before it began" in page
    assert "run.json is a link, which is not followed" in page
    assert 'data-name="away"' not in page
    assert page.count('<svg class="spark"') == 2
    assert "<script>alert" not in page


def test_what_a_run_is_called_is_text_everywhere(viewed: Viewed) -> None:
    place = f"/run/{quote(HOSTILE_NAME, safe='')}"
    for page in ("", "/answers", "/rate", "/ratings", "/live"):
        text = viewed.text(place + page)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text


def test_answers_are_read_from_the_records_whole_and_beside_each_other(viewed: Viewed, run: Run) -> None:
    text = viewed.text("/run/first/answers?prompt=1&cell=0&cell=3")
    wanted = [one for one in read(run.folder) if one.prompt_id == "p1" and one.cell in (run.analysis.cells[0], run.analysis.cells[3])]
    assert len(wanted) == 6
    assert text.count('<article class="answer') == 6
    plain = " ".join(re.sub(r"<[^>]+>", "", text).split())
    for one in wanted:
        first = one.outcome.text.split()[0]
        assert first.replace("'", "&#39;").replace('"', "&#34;") in plain


def test_a_search_finds_each_answer_that_holds_it(viewed: Viewed, run: Run) -> None:
    word = "the"
    count = sum(word in one.outcome.text.casefold() for one in read(run.folder) if one.role == "sweep")
    assert f"{count} answer" in viewed.text(f"/run/first/answers?find={word.upper()}")
    assert "0 answers with" in viewed.text("/run/first/answers?find=" + quote("zzz<script>"))


def test_two_answers_are_shown_with_what_differs(viewed: Viewed) -> None:
    text = viewed.text("/run/first/answers?cell=1&cell=3&a=1.0&b=3.1")
    assert "What differs" in text
    assert "<ins>" in text
    assert "What differs" not in viewed.text("/run/first/answers?cell=1&a=1.0&b=9999.1")


def test_the_report_is_made_anew_and_never_the_folders_own(viewed: Viewed, results: Path, run: Run) -> None:
    for folder in (results / HOSTILE_NAME, run.folder):
        (folder / "report.html").write_text("<script>document.title='theirs'</script>")
        (folder / "evil.svg").write_text("<svg onload='alert(1)'/>")
    before = state(results)
    found = viewed.get(f"/run/{quote(HOSTILE_NAME, safe='')}/report")
    assert found.status == 200
    assert state(results) == before
    assert b"theirs" not in found.body
    assert b"All settings" in found.body
    assert b"<script>alert" not in found.body
    assert b"&lt;script&gt;alert(1)" in found.body
    assert re.search(r"script-src 'sha256-[\w+/=]+'; style-src 'sha256-", found.headers["content-security-policy"])
    for path in ("/run/first/report.html", "/run/first/evil.svg", "/static/evil.svg", "/static/base.html.j2", "/static/../app.py"):
        assert viewed.get(path).status == 404


def test_two_runs_are_compared(viewed: Viewed) -> None:
    page = viewed.text(f"/compare?run=first&run={quote(HOSTILE_NAME, safe='')}")
    assert "What is judged" in page
    assert "<script>" not in page
    assert viewed.get("/compare?run=first&run=first").status == 404


def test_only_the_browser_with_the_cookie_is_let_in(viewed: Viewed) -> None:
    assert viewed.raw("GET", "/").status == 403
    assert viewed.raw("GET", "/run/first/answers", Cookie=viewed.cookie + "x").status == 403
    assert viewed.raw("GET", "/?token=wrong").status == 403
    found = viewed.raw("GET", viewed.first.replace("/?", "/run/first/answers?prompt=1&"))
    assert found.status == 303
    assert found.headers["location"] == "/run/first/answers?prompt=1"
    assert "HttpOnly; SameSite=Strict" in found.headers["set-cookie"]
    assert viewed.raw("GET", viewed.first).status == 403  # it is good once
    viewed.first = "/" + viewed.again().partition("//")[2].partition("/")[2]


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", "127.0.0.1.nip.io", ""])
def test_a_name_that_is_bound_anew_to_this_machine_gets_nothing(viewed: Viewed, host: str) -> None:
    found = viewed.get("/", Host=host)
    assert found.status in (400, 421)
    assert b"first" not in found.body


def test_other_origins_get_nothing_and_share_nothing(viewed: Viewed) -> None:
    for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}):
        assert viewed.get("/", **headers).status == 403
    found = viewed.get("/", Origin=viewed.origin)
    assert not [name for name in found.headers if name.startswith("access-control")]
    assert found.headers["referrer-policy"] == "no-referrer"
    assert "unsafe" not in found.headers["content-security-policy"]
    assert "default-src 'none'" in found.headers["content-security-policy"]
    assert viewed.raw("OPTIONS", "/", Cookie=viewed.cookie, Origin=viewed.origin).status == 405


@pytest.mark.parametrize(
    "path",
    ["..", "%2e%2e", "..%2f..%2fetc", "first%2f..%2fsecret.txt", ".", "away", "linked", "reaching", "no run", "secret.txt", "%00", "first%00", "%ff"],
)
def test_no_path_and_no_link_leads_out(viewed: Viewed, path: str) -> None:
    for page in ("", "/answers", "/report", "/events"):
        found = viewed.get(f"/run/{path.replace(' ', '%20')}{page}")
        assert found.status in (400, 404), (path, page, found.status)
        assert b"nobody sees this" not in found.body


def test_a_rating_needs_origin_value_and_name(viewed: Viewed, run: Run) -> None:
    csrf = viewed.csrf("/run/first/rate")
    place = "/run/first/rate"
    deal = viewed.get(f"{place}/next?rater=ann").json["deal"]
    said = {"deal": deal, "verdict": "left", "rater": "ann"}
    for headers in ({"X_Evalkit_CSRF": ""}, {"X_Evalkit_CSRF": "0" * 64}, {"Origin": ""}, {"Origin": "http://evil.example"}, {"Cookie": ""}):
        assert viewed.post(place, said, csrf, **headers).status == 403
    assert viewed.post(place, said, csrf, Content_Type="text/plain").status == 415
    for wrong in ({"rater": "eve"}, {"rater": ""}, {"verdict": "both"}, {"verdict": None}):
        assert viewed.post(place, said | wrong, csrf).status == 400
    assert viewed.post(place, said | {"deal": "made up"}, csrf).status == 409
    assert viewed.post(place, said | {"more": "x" * 5000}, csrf).status == 413
    assert not (run.folder / "ratings.jsonl").exists()
    assert viewed.post(place, said, csrf).json["count"] == 1
    (kept,) = map(json.loads, (run.folder / "ratings.jsonl").read_text().splitlines())
    assert (kept["rater"], kept["verdict"]) == ("ann", "left")
    assert {kept["left"], kept["right"]} <= {one.key for one in read(run.folder)}


def test_a_torn_rating_is_mended_and_told_and_scores_wait_until_settings_are_connected(viewed: Viewed, run: Run) -> None:
    csrf, place, file = viewed.csrf("/run/first/rate"), "/run/first/rate", run.folder / "ratings.jsonl"
    file.write_bytes(file.read_bytes() + b'{"v":1,"at":"2026')
    assert "no score is told yet" in viewed.text("/run/first/ratings") or "<svg" in viewed.text("/run/first/ratings")
    state: dict[str, object] = {}
    for _ in range(12):
        shown = viewed.get(f"{place}/next?rater=bob").json
        assert set(shown) == {"count", "joined", "wanted", "mended", "deal", "prompt", "texts"}  # and not a word of settings
        state = viewed.post(place, {"deal": shown["deal"], "verdict": "tie", "rater": "bob"}, csrf).json
    assert "was torn" in str(state["mended"])
    assert state["joined"] == state["wanted"]
    assert b'{"v":1,"at":"2026\n' not in file.read_bytes()
    page = viewed.text("/run/first/ratings")
    assert "strength (logits)" in page
    assert page.count('<svg class="interval"') == state["wanted"]
    before = len(file.read_bytes().splitlines())
    viewed.post(place, {"deal": shown["deal"], "verdict": "left", "rater": "bob"}, csrf)
    assert len(file.read_bytes().splitlines()) == before + 1
    assert viewed.get(f"{place}/next?rater=bob").json["count"] == 12  # the same again counts once


def test_hostile_answers_stay_text(results: Path, run: Run, viewed: Viewed) -> None:
    folder = results / "hostile"
    shutil.copytree(run.folder, folder)
    lines = []
    for number, line in enumerate((folder / "responses.jsonl").read_bytes().splitlines()):
        record = json.loads(line)
        record["outcome"]["text"] = HOSTILE[number % len(HOSTILE)] + ("x" * 300_000 if number == 3 else "")
        lines.append(json.dumps(record).encode())
    (folder / "responses.jsonl").write_bytes(b"\n".join([*lines, b'{"v":1', b"not json", b""]))
    for page in ("answers?cell=0&cell=1&cell=2&cell=3", "answers?find=script", "live", "rate/next?rater=ann", "answers?cell=0&cell=1&a=0.0&b=1.0"):
        found = viewed.get(f"/run/hostile/{page}")
        assert found.status == 200
        ours = re.sub(rb'<script src="/static/\w+\.js" defer></script>', b"", found.body)
        assert page.startswith("rate") or not re.search(rb"<(script|img|iframe|svg|a href=.javascript)", ours), page
        assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\u202a-\u202e]", found.body.decode())
    assert "2 lines of the records cannot be read" in viewed.text("/run/hostile/answers")
    assert "more characters" in "".join(viewed.text(f"/run/hostile/answers?prompt={n}&cell=0&cell=1&cell=2&cell=3") for n in range(3))


def test_a_folder_that_vanishes_takes_nobody_else_with_it(results: Path, run: Run, viewed: Viewed) -> None:
    shutil.copytree(run.folder, results / "short")
    assert viewed.get("/run/short/answers").status == 200
    shutil.rmtree(results / "short")
    found = viewed.get("/run/short/answers")
    assert (found.status, b"moved or deleted" in found.body) == (404, True)
    assert viewed.get("/").status == 200


def test_it_writes_nothing_but_ratings(results: Path, run: Run, viewed: Viewed) -> None:
    before = state(results)
    for path in ("/", "/run/first", "/run/first/answers?find=a", "/run/first/live", "/run/first/rate", "/run/first/ratings"):
        assert viewed.get(path).status == 200
    assert state(results) == before
    assert str(run.folder / "ratings.jsonl") in before


def test_no_such_folder_no_run_and_a_taken_port(tmp_path: Path, viewed: Viewed) -> None:
    done = process.run(["view", "nowhere", "--no-open"], tmp_path, process.environment({"PYTHONPATH": str(process.ROOT)}))
    assert done.returncode == 2
    assert "no such folder; expected one with runs in it" in done.stderr
    (tmp_path / "results").mkdir()
    with Viewed(tmp_path / "results", port=viewed.port) as other:
        assert f"Port {viewed.port} is taken" in other.told
        assert other.port > viewed.port
        other.enter()
        assert "There are no runs in this folder yet" in other.text("/")
