"""Images in prompts: an address that is sent as it stands, or a file beside the prompts that is sent as its bytes."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any
from urllib.parse import urlsplit

from evalkit.experiment.problems import Faults, Path, shown
from evalkit.text.numbers import in_bytes

MOST_BYTES = 20_000_000
MOST_OF_A_SET = 1_000_000_000
"""Characters of all images of a prompt set, each as it is sent and counted once; they stand in memory."""
_LONGEST_URL = 8_000
_DATA = re.compile(r"data:(image/(?:png|jpeg|gif|webp));base64,[A-Za-z0-9+/]+={0,2}")
_KINDS = (("image/png", b"\x89PNG\r\n\x1a\n"), ("image/jpeg", b"\xff\xd8\xff"), ("image/gif", b"GIF8"))


def check_url(url: str) -> str:
    """The address of an image, as it may be sent; raises ValueError where it may not."""
    if url.startswith("data:"):
        if len(url) > MOST_BYTES * 4 // 3 + 100 or not _DATA.fullmatch(url):
            raise ValueError("not an image that can be sent: expected data:image/png;base64,..., or jpeg, gif or webp, of 20 MB at the most")
        return url
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or not url.isprintable() or len(url) > _LONGEST_URL:
        raise ValueError(f"found {shown(url)}; expected an http address of an image, or a file: {{type: image, file: pictures/cat.png}}")
    if "@" in parts.netloc:
        raise ValueError("the address holds a user name or password, which would be recorded; use one without")
    return url


def in_words(url: str) -> str:
    """An image as people are told of it: its address, or what kind it is and how large."""
    if url.startswith("data:"):
        kind, _, content = url.removeprefix("data:").partition(";base64,")
        return f"[image: {kind.removeprefix('image/')}, {in_bytes(len(content) * 3 // 4)}]"
    return f"[image: {url if len(url) <= 200 else url[:197] + '...'}]"


class Images:
    """The images of one prompt set, each read once.

    Attributes:
        folder: that of the prompt set, below which the files are; None where there is none, and no file is read.
    """

    def __init__(self, folder: FilePath | None) -> None:
        self.folder = folder
        self._read: dict[str, str] = {}
        self._size = 0

    def url(self, name: str) -> str:
        """The image in that file as a data URL; raises ValueError where it cannot be sent, or with the others is too much to hold."""
        if self.folder is None:
            said = "is a file, and there is no folder of a prompt set to look in; load the experiment from its file"
            raise ValueError(f"the image {shown(name)} {said}")
        if name not in self._read:
            url = _read(name, self.folder)
            self._size += len(url)
            if self._size > MOST_OF_A_SET:
                most = in_bytes(MOST_OF_A_SET)
                raise ValueError(f"with the image {shown(name)} the prompts have over {most} of images; make them smaller, or ask for a part of them")
            self._read[name] = url
        return self._read[name]


def with_images(prompt: dict[str, Any], images: Images) -> dict[str, Any]:
    """A prompt as it is written, with the bytes of each image that it names as a file, ``{type: image, file: NAME}``, in its place.

    Raises:
        Faults: a file is missing, elsewhere, too large or no image; each at its part.
    """
    messages = prompt.get("messages")
    if not isinstance(messages, list | tuple):
        return prompt
    faults: list[tuple[Path, str]] = []
    out = []
    for at, message in enumerate(messages):
        content = message.get("content") if isinstance(message, Mapping) else None
        if not isinstance(content, list | tuple):
            out.append(message)
            continue
        parts = []
        for index, part in enumerate(content):
            if not (isinstance(part, Mapping) and part.get("type") == "image"):
                parts.append(part)
                continue
            try:
                parts.append(_part(part, images))
            except ValueError as fault:
                faults.append((("messages", at, "content", index), str(fault)))
        out.append({**message, "content": parts})
    if faults:
        raise Faults(faults)
    return {**prompt, "messages": out}


def _part(part: Mapping[str, Any], images: Images) -> dict[str, Any]:
    name, detail = part.get("file"), part.get("detail")
    if not isinstance(name, str) or not name.strip() or set(part) - {"type", "file", "detail"}:
        raise ValueError("expected {type: image, file: NAME}, or for an address {type: image_url, image_url: {url: ...}}")
    return {"type": "image_url", "image_url": {"url": images.url(name)} | ({} if detail is None else {"detail": detail})}


def _read(name: str, folder: FilePath) -> str:
    """The image in a file below `folder` as a data URL; raises ValueError."""
    root = folder.resolve()
    if "\0" in name:
        raise ValueError(f"the image {shown(name)}: no name of a file")
    try:
        path = (root / name).resolve(strict=True)
        if not path.is_relative_to(root):
            raise ValueError(f"the image {shown(name)} is not below the prompt set's folder; put it there")
        if not path.is_file():
            raise ValueError(f"the image {shown(name)} is no file")
        if (size := path.stat().st_size) > MOST_BYTES:
            raise ValueError(f"the image {shown(name)} has {in_bytes(size)}; expected at most {in_bytes(MOST_BYTES)}")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)[:MOST_BYTES]  # what grows meanwhile is not read for ever
    except UnicodeError:
        raise ValueError(f"the image {shown(name)}: no name of a file") from None
    except RuntimeError:
        raise ValueError(f"the image {shown(name)}: links that lead in a circle") from None
    except FileNotFoundError:
        raise ValueError(f"the image {shown(name)}: no such file below the prompt set's folder") from None
    except OSError as fault:
        raise ValueError(f"the image {shown(name)} cannot be read: {fault.strerror}") from None
    kind = next((kind for kind, begins in _KINDS if content.startswith(begins)), None)
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise ValueError(f"{shown(name)} is no image that can be sent; expected PNG, JPEG, GIF or WebP")
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
