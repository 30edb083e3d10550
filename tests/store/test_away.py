"""Runs in an object store: what is stored is never written over, one writes at a time, and nothing that came is lost.

The store here is a folder by fsspec's own backend; the same laws are held against a real S3 server outside the suite.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.endpoints import JSON, Answer, completion, serving
from support.sweeps import sweep

import evalkit as ek
from evalkit.errors import MissingExtraError, RecordError
from evalkit.experiment.experiment import Experiment, check
from evalkit.store import away, claim
from evalkit.store.away import stored
from evalkit.store.bucket import Bucket, Stored
from evalkit.store.claim import Claim
from evalkit.store.mirror import Mirror, at_hand, mirror_of
from evalkit.store.records import RESPONSES, read
from evalkit.sweeping.by_hand import write_batches

FINE = Answer(200, JSON, completion("fine"))


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the run is; whoever works on it does so as on one machine, until `elsewhere`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "here"))
    return os.environ.get("EVALKIT_TEST_STORE", f"file://{tmp_path}/bucket") + f"/run{time.monotonic_ns()}"


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str = "there") -> None:
    """From now on on another machine."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / name))


def experiment(base_url: str, levels: int = 2, replicates: int = 3) -> Experiment:
    return check(
        {
            "name": "away",
            "endpoint": {"base_url": base_url, "model": "m", "concurrency": 4, "identity": "the store's tests"},
            "prompts": [{"id": "a", "user": "Say it."}, {"id": "b", "user": "Say it again."}],
            "parameters": {"temperature": [0.2, 0.4, 0.6, 0.8][:levels]},
            "replicates": replicates,
            "anchor": {"every": 0},
        }
    )


def keys(folder: Path) -> list[str]:
    return [record.key for record in read(folder)]


def line(key: str, text: str, at: str = "2026-01-01T00:00:00Z") -> bytes:
    """A record as it stands in a file."""
    outcome = {"type": "completion", "text": text, "finish_reason": "stop", "usage": None, "latency_s": 0.1, "tries": 1}
    about = {"v": 1, "key": key, "role": "sweep", "prompt_id": "a", "cell": {}, "replicate": 0, "seed": None, "model": "m", "request": {}, "at": at}
    return json.dumps({**about, "outcome": outcome}).encode() + b"\n"


def test_a_run_is_swept_there_and_read_from_another_machine(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda _: FINE) as server:
        first = ek.sweep(experiment(server.url), url, quiet=True)
        assert len(server.seen) == 12
        elsewhere(tmp_path, monkeypatch)
        found = ek.load(url)
        assert found.analysis == first.analysis
        assert found.folder != first.folder
        again = ek.sweep(experiment(server.url, levels=3), url, quiet=True)
        assert len(server.seen) == 18, "only the level that is new"
        assert again.complete
    elsewhere(tmp_path, monkeypatch, "a third")
    assert len(ek.load(url).scores()) > 0, "tables too"
    assert len(set(keys(at_hand(url)))) == 18 == len(keys(at_hand(url)))
    assert ek.compare(url, url).differs == []


def test_what_was_stored_is_never_written_over(url: str) -> None:
    with serving(lambda _: FINE) as server:
        ek.sweep(experiment(server.url), url, quiet=True)
        before = {name: about for name, about in Bucket(url).listed().items() if name.startswith(f"{RESPONSES}/")}
        ek.sweep(experiment(server.url, levels=3), url, quiet=True)
    after = Bucket(url).listed()
    assert before
    assert {name: after[name] for name in before} == before
    assert sum(name.startswith(f"{RESPONSES}/") for name in after) > len(before)


def test_answers_come_to_the_store_while_the_sweep_goes_on(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "STORED_EVERY_S", 0.05)
    halfway: list[int] = []

    def answer(_: object) -> Answer:
        if len(server.seen) == 30:
            time.sleep(0.4)
            stored_now = Bucket(url).listed()
            halfway.append(sum(Bucket(url).fetched(name).count(b"\n") for name in stored_now if name.startswith(f"{RESPONSES}/")))
        return FINE

    with serving(answer) as server:
        ek.sweep(experiment(server.url, replicates=20), url, quiet=True)
    assert halfway
    assert halfway[0] >= 20
    assert "run.json" in Bucket(url).listed()


def test_two_cannot_write_at_once(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with stored(at_hand(url)):
        elsewhere(tmp_path, monkeypatch)
        with pytest.raises(RecordError, match=r"another sweep \(process \d+ on .* since .*\) is writing there"), stored(at_hand(url)):
            pytest.fail("nobody else may write")
        with stored(at_hand(url), lock=False):
            pass
    with stored(at_hand(url)):
        pass


def test_of_many_that_begin_at_once_one_writes(url: str) -> None:
    claims = [Claim(Bucket(url)) for _ in range(2)]
    numbers = [one._last() for one in claims]
    assert numbers == [0, 0]
    claims[0].take()
    monkey = claims[1]
    monkey._last = lambda: 0  # type: ignore[method-assign]  # it looked before the other one took it
    with pytest.raises(RecordError, match="another sweep has just begun to write there"):
        monkey.take()


def test_a_claim_of_one_that_was_killed_runs_out_and_is_followed(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "LASTS_S", 0.2)
    killed = Claim(Bucket(url))
    killed.take()
    time.sleep(0.3)
    other = Claim(Bucket(url))
    other.take()
    killed.renew()
    assert killed.lost
    other.renew()
    assert not other.lost


def test_a_claim_of_a_process_that_was_killed_here_is_followed_at_once(url: str) -> None:
    held = f"from evalkit.store.bucket import Bucket; from evalkit.store.claim import Claim; Claim(Bucket({url!r})).take()"
    subprocess.run([sys.executable, "-c", held], check=True)
    Claim(Bucket(url)).take()


def test_what_was_not_stored_when_a_machine_stopped_is_stored_later(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = at_hand(url)
    here.mkdir(parents=True, exist_ok=True)
    (here / RESPONSES).write_bytes(line("a" * 32, "one"))
    mirror_of(here).push(whole=False)
    with (here / RESPONSES).open("ab") as file:  # and then the power went off
        file.write(line("b" * 32, "mine") + line("c" * 32, "mine alone") + b'{"v":1,"key":"torn')
    elsewhere(tmp_path, monkeypatch)
    there = at_hand(url)
    assert keys(there) == ["a" * 32]
    with (there / RESPONSES).open("ab") as file:
        file.write(line("b" * 32, "theirs") + line("d" * 32, "theirs"))
    mirror_of(there).push(whole=False)
    elsewhere(tmp_path, monkeypatch, "here")
    told: list[str] = []
    with stored(at_hand(url, lambda one: told.append(str(one)))):
        pass
    assert keys(here) == [letter * 32 for letter in "abdc"], "each key once, and nothing lost"
    assert [record.outcome.text for record in read(here)][1] == "theirs"
    assert any("another answer is stored there by now" in one for one in told)
    conflicts = [json.loads(one) for one in (here / "conflicts.jsonl").read_text().splitlines()]
    assert [(one["key"], one["kept"]["outcome"]["text"], one["other"]["outcome"]["text"]) for one in conflicts] == [("b" * 32, "theirs", "mine")]
    elsewhere(tmp_path, monkeypatch, "a third")
    assert keys(at_hand(url)) == [letter * 32 for letter in "abdc"]


def test_killed_between_storing_and_noting_it_nothing_stands_twice(url: str) -> None:
    here = at_hand(url)
    here.mkdir(parents=True, exist_ok=True)
    (here / RESPONSES).write_bytes(line("a" * 32, "one"))
    mirror = mirror_of(here)
    mirror._keep = lambda: None  # type: ignore[method-assign]  # killed before it could
    mirror.push(whole=False)
    with stored(at_hand(url)):
        assert keys(here) == ["a" * 32]
    assert sum(name.startswith(f"{RESPONSES}/") for name in Bucket(url).listed()) == 1


@pytest.mark.parametrize(
    "last",
    ["29991231T235959.999999-abcdef01.jsonl", "99991231T235959.999999-abcdef01.jsonl", "zzz.jsonl", "zzz", "2999.jsonl~"],
    ids=["a clock set back", "the last moment there is", "none of ours", "without an ending", "with another"],
)
def test_what_is_stored_comes_behind_what_was_whatever_the_clock_says(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: str) -> None:
    Bucket(url).put(f"{RESPONSES}/{last}", line("a", "first"))
    folder = at_hand(url)
    for key in "bcd":
        with (folder / RESPONSES).open("ab") as file:
            file.write(line(key, "later"))
        Mirror(url).push(whole=True)
    elsewhere(tmp_path, monkeypatch)
    assert keys(at_hand(url)) == ["a", "b", "c", "d"]
    assert all(len(name) < 100 for name in Bucket(url).listed())


def test_a_segment_that_was_torn_costs_its_last_line_alone(url: str) -> None:
    bucket, told = Bucket(url), list[str]()
    bucket.put(f"{RESPONSES}/1.jsonl", line("a", "first") + line("b", "torn")[:-9])
    bucket.put(f"{RESPONSES}/2.jsonl", line("c", "second"))
    assert keys(at_hand(url, lambda one: told.append(str(one)))) == ["a", "c"]
    assert len([one for one in told if "torn off" in one]) == 1


def test_what_two_machines_stored_has_one_answer(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bucket = Bucket(url)
    bucket.put(f"{RESPONSES}/1.jsonl", line("aa", "first") + line("bb", "alone"))
    folder = at_hand(url)
    bucket.put(f"{RESPONSES}/2.jsonl", line("cc", "new") + line("aa", "second"))
    for known in (True, False):
        if not known:
            elsewhere(tmp_path, monkeypatch)
        folder = at_hand(url)
        assert [(record.key, record.outcome.text) for record in read(folder)][:3] == [("aa", "first"), ("bb", "alone"), ("cc", "new")]
        assert len((folder / "conflicts.jsonl").read_bytes().splitlines()) == 1
        Mirror(url).push(whole=True)
        bucket.put(f"{RESPONSES}/{3 + known}.jsonl", line("dd", "new") if known else line("ee", "new"))
        folder = at_hand(url)
        assert len((folder / "conflicts.jsonl").read_bytes().splitlines()) == 1, "told once"


def test_what_holds_runs_and_is_none_is_not_fetched(url: str) -> None:
    Bucket(url).put("monday/run.json", b"{}")
    with pytest.raises(RecordError, match="other objects lie there and no run"):
        at_hand(url)
    assert not Mirror(url).folder.exists()


def test_locks_of_others_are_not_fetched(url: str) -> None:
    for name in ("run.json", ".lock", ".holder", "run.json.123.tmp"):
        Bucket(url).put(name, b"{}")
    assert [path.name for path in at_hand(url).iterdir()] == ["run.json"]


@pytest.mark.parametrize("name", ["figures/a.png", f"{RESPONSES}/1.jsonl"])
def test_what_does_not_fit_what_stands_here_is_told(url: str, name: str) -> None:
    bucket, folder = Bucket(url), Mirror(url).folder
    bucket.put("run.json", b"{}")
    bucket.put(name, line("a", "b"))
    folder.mkdir(parents=True)
    if name.startswith(RESPONSES):
        (folder / RESPONSES).mkdir()
    else:
        (folder / "figures").write_text("a file")
    with pytest.raises(RecordError, match="cannot be made like what is stored"):
        at_hand(url)


def test_who_has_slept_past_its_claim_stores_nothing_more(url: str) -> None:
    Bucket(url).put("run.json", b"{}")
    folder = at_hand(url)

    def asleep() -> None:
        with stored(folder):
            (mine,) = [name for name in Bucket(url).listed() if name.startswith(claim.FOLDER)]
            Bucket(url).put(f"{claim.FOLDER}/{int(mine.split('/')[1][:12]) + 1:012}.json", b"{}")
            (folder / RESPONSES).write_bytes(line("a", "late"))

    with pytest.raises(RecordError, match="another sweep writes there now"):
        asleep()
    assert not [name for name in Bucket(url).listed() if name.startswith(RESPONSES)]
    assert (folder / RESPONSES).is_file(), "it is kept"


def test_a_store_that_is_gone_costs_nothing(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "STORED_EVERY_S", 0.05)
    put = Bucket.put
    ill = True

    def refusing(self: Bucket, name: str, content: bytes) -> None:
        if ill and not name.startswith(claim.FOLDER):
            raise RecordError(f"{self.url}: cannot be written: no route")
        put(self, name, content)

    monkeypatch.setattr(Bucket, "put", refusing)
    with serving(lambda _: FINE) as server:
        with pytest.raises(RecordError, match=r"cannot be written: no route\. All is kept in .*; the same command stores it"):
            ek.sweep(experiment(server.url), url, quiet=True)
        ill = False
        run = ek.sweep(experiment(server.url), url, quiet=True)
        assert len(server.seen) == 12, "nothing is asked again"
    assert run.complete
    assert "analysis.json" in Bucket(url).listed()


def test_what_does_not_go_with_a_store_is_told(url: str) -> None:
    with serving(lambda _: FINE) as server:
        ek.sweep(experiment(server.url), url, quiet=True)
        with pytest.raises(RecordError, match="to start over does not go with a run in an object store"):
            ek.sweep(experiment(server.url), url, quiet=True, fresh=True)
        with pytest.raises(RecordError, match="to write batches by hand does not go with a run in an object store"):
            write_batches(experiment(server.url), at_hand(url))


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("s3://key:secret@bucket/run", "the place of a run holds '@'"),
        ("s3://bucket/run?versionId=secret", "the place of a run holds '@'"),
        ("s3://bucket", "s3://bucket: this is no place for a run; expected one like s3://bucket/run"),
        ("s3://bucket/../run", "this is no place for a run"),
        ("nothing://bucket/run", "nothing://bucket/run: Protocol not known: nothing; expected a place like s3://bucket/run"),
    ],
)
def test_places_that_are_none(place: str, told: str) -> None:
    with pytest.raises(RecordError) as fault:
        at_hand(place)
    assert str(fault.value).startswith(told) or told in str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_backend_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r'needs fsspec and its backend; run: pip install -e "\.\[s3\]"'):
        Mirror("gs://bucket/run")


def test_names_in_the_store_that_lead_elsewhere_are_refused(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    evil = {"../../outside": 5, "run.json": 2}
    monkeypatch.setattr(Bucket, "listed", lambda _: {name: Stored(size, "x") for name, size in evil.items()})
    monkeypatch.setattr(Bucket, "fetched", lambda _, __: b"{}")
    with pytest.raises(RecordError, match="has a name that no file of a run has"):
        at_hand(url)
    assert not (tmp_path / "outside").exists()


def test_a_folder_of_ones_own_is_left_alone(tmp_path: Path) -> None:
    assert at_hand(tmp_path) == tmp_path
    assert at_hand(str(tmp_path)) == tmp_path
    assert mirror_of(tmp_path) is None
    with serving(lambda _: FINE) as server:
        sweep(experiment(server.url), tmp_path / "run")
    assert not list(tmp_path.glob("*.away.json"))
