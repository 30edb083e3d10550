"""Images in prompts: sent as they are written, read from below the prompt set alone, told by what they are."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from support.endpoints import JSON, Answer, completion, serving
from support.sweeps import sweep

from evalkit.errors import ExperimentError, PromptError
from evalkit.experiment.experiment import Experiment, check, load
from evalkit.experiment.files.reading import read_prompts
from evalkit.experiment.prompts import text_of
from evalkit.plan.requests import Plan
from evalkit.present.html.report import page
from evalkit.run import load as load_run

PNG = b"\x89PNG\r\n\x1a\n" + bytes(2_000)
KINDS = {"a.png": PNG, "b.jpg": b"\xff\xd8\xff\xe0" + bytes(20), "c.gif": b"GIF89a" + bytes(20), "d.webp": b"RIFF\x00\x00\x00\x00WEBPVP8 "}
HEAD = "name: seen\nendpoint: {base_url: 'http://127.0.0.1:9/v1', model: m}\nprompts: prompts.yaml\n"


def written(folder: Path, part: str) -> Path:
    """An experiment whose one prompt holds `part`."""
    (folder / "pictures").mkdir(exist_ok=True)
    for name, content in KINDS.items():
        (folder / "pictures" / name).write_bytes(content)
    text = f"- id: look\n  messages:\n    - role: user\n      content:\n        - {{type: text, text: 'What is this?'}}\n        - {part}\n"
    (folder / "prompts.yaml").write_text(text)
    (folder / "x.yaml").write_text(HEAD)
    return folder / "x.yaml"


@pytest.mark.parametrize(("name", "kind"), [("a.png", "png"), ("b.jpg", "jpeg"), ("c.gif", "gif"), ("d.webp", "webp")])
def test_a_file_is_sent_as_its_bytes(tmp_path: Path, name: str, kind: str) -> None:
    experiment = load(written(tmp_path, f"{{type: image, file: pictures/{name}, detail: low}}"))
    (request,) = list(Plan(experiment).sequence())
    image = request.messages[0]["content"][1]
    assert image == {
        "type": "image_url",
        "image_url": {"url": f"data:image/{kind};base64,{base64.b64encode(KINDS[name]).decode()}", "detail": "low"},
    }
    assert check(experiment.resolved()) == experiment, "and stands whole in the run's file"
    assert any("1 prompt holds images" in one for one in experiment.warnings())


def test_an_address_is_sent_as_it_stands_and_never_fetched(tmp_path: Path) -> None:
    with serving(lambda _: Answer(200, JSON, completion("A cat."))) as server:
        place = f"{server.url}/cat.png?size=big"
        data = Experiment.load(written(tmp_path, f"{{type: image_url, image_url: {{url: '{place}'}}}}")).resolved()
        data |= {"endpoint": {"base_url": server.url, "model": "m"}, "parameters": {"temperature": [0, 1]}, "anchor": {"every": 0}}
        run = sweep(check(data), tmp_path / "run")
        assert {asked.path for asked in server.seen} <= {"/v1/chat/completions", "/v1/models"}
        assert server.seen[-1].body["messages"][0]["content"][1] == {"type": "image_url", "image_url": {"url": place}}
    assert run.complete
    shown = page(load_run(tmp_path / "run"))
    assert "[image: http://127.0.0.1" in shown
    assert "<img" not in shown.replace("<img alt", ""), "it is told, and not shown: the page fetches nothing"


def test_plain_texts_keep_their_keys() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    prompts = [{"id": "p", "messages": [{"role": "user", "content": parts}]}]
    experiment = check({"name": "x", "endpoint": {"base_url": "http://h/v1", "model": "m"}, "prompts": prompts})
    assert next(iter(Plan(experiment))).messages[0]["content"] == parts
    assert next(iter(Plan(experiment))).key == "bff4fc44461ab49aaf161537ca58e09f", "as it was before there were images"


def test_what_an_image_is_called() -> None:
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert text_of([{"type": "text", "text": "See:"}, {"type": "image_url", "image_url": {"url": url}}]) == "See:\n[image: png, 2 kB]"


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ("{type: image, file: pictures/none.png}", "the image 'pictures/none.png': no such file below the prompt set's folder"),
        ("{type: image, file: ../outside.png}", "the image '../outside.png' is not below the prompt set's folder"),
        ("{type: image, file: link.png}", "the image 'link.png' is not below the prompt set's folder"),
        ("{type: image, file: pictures}", "the image 'pictures' is no file"),
        ("{type: image, file: prompts.yaml}", "'prompts.yaml' is no image that can be sent; expected PNG, JPEG, GIF or WebP"),
        ("{type: image, file: large.png}", "the image 'large.png' has 20 MB; expected at most 20 MB"),
        ("{type: image, file: circle.png}", "the image 'circle.png': links that lead in a circle"),
        ('{type: image, file: "a\\0b"}', "the image 'a\\x00b': no name of a file"),
        ("{type: image}", "expected {type: image, file: NAME}"),
        ("{type: image_url, image_url: {url: 'file:///etc/passwd'}}", "expected an http address of an image"),
        ("{type: image_url, image_url: {url: 'https://ada:secret@host/x.png'}}", "the address holds a user name or password"),
        ("{type: image_url, image_url: {url: 'data:text/html;base64,AAAA'}}", "not an image that can be sent"),
        ("{type: input_audio, input_audio: {}}", "found 'input_audio'; expected 'text' or 'image_url'"),
    ],
)
def test_what_cannot_be_sent_is_told_with_its_place(tmp_path: Path, part: str, told: str) -> None:
    folder = tmp_path / "set"
    folder.mkdir()
    (tmp_path / "outside.png").write_bytes(PNG)
    (folder / "link.png").symlink_to(tmp_path / "outside.png")
    (folder / "circle.png").symlink_to("circle.png")
    with (folder / "large.png").open("wb") as file:
        file.write(PNG)
        file.truncate(20_000_001)
    with pytest.raises(PromptError) as fault:
        load(written(folder, part))
    assert told in str(fault.value)
    assert "messages[0].content[1]" in str(fault.value)
    assert "secret" not in str(fault.value)


def test_a_results_folder_reads_no_file() -> None:
    """Who gave it may have put the name of one there."""
    prompts = [{"id": "p", "messages": [{"role": "user", "content": [{"type": "image", "file": "a.png"}]}]}]
    with pytest.raises((ExperimentError, PromptError), match="there is no folder of a prompt set to look in"):
        check({"name": "x", "endpoint": {"base_url": "local", "model": "babbler"}, "prompts": prompts})


def test_an_image_belongs_to_the_user(tmp_path: Path) -> None:
    text = "- id: look\n  messages:\n    - role: system\n      content: [{type: image, file: a.png}]\n    - {role: user, content: 'Well?'}\n"
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "prompts.yaml").write_text(text)
    (tmp_path / "x.yaml").write_text(HEAD)
    with pytest.raises(PromptError, match="an image stands in a message of role 'system'; expected role 'user'"):
        load(tmp_path / "x.yaml")


def test_all_images_of_a_set_are_held_once_and_within_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = '{"messages": [{"role": "user", "content": [{"type": "text", "text": "%d?"}, {"type": "image", "file": "%s.png"}]}]}\n'
    for name in "ab":
        (tmp_path / f"{name}.png").write_bytes(PNG)
    (tmp_path / "same.jsonl").write_text("".join(line % (at, "a") for at in range(9)))
    (tmp_path / "both.jsonl").write_text("".join(line % (at, name) for at, name in enumerate("ab")))
    monkeypatch.setattr("evalkit.experiment.images.MOST_OF_A_SET", 2 * len(PNG))
    urls = {id(one.messages[0].images()[0]) for one in read_prompts(tmp_path / "same.jsonl").prompts}
    assert len(urls) == 1, "nine prompts hold one text"
    with pytest.raises(PromptError, match=r"\[1\].messages\[0\].content\[1\]: with the image 'b.png' the prompts have over 4 kB of images"):
        read_prompts(tmp_path / "both.jsonl")
