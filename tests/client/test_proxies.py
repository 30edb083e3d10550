"""Which proxy a call goes through, held against the rules that curl tells of ``NO_PROXY`` and that other clients keep to."""

from __future__ import annotations

import pytest

from evalkit.client.proxies import proxy_for

NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
PROXY = "http://proxy:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*NAMES, *map(str.upper, NAMES), "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("told", "url", "expected"),
    [
        ({}, "https://a.example/v1", None),
        ({"https_proxy": PROXY}, "https://a.example/v1", PROXY),
        ({"HTTPS_PROXY": PROXY}, "HTTPS://a.example/v1", PROXY),
        ({"https_proxy": PROXY}, "http://a.example/v1", None),
        ({"all_proxy": PROXY}, "http://a.example/v1", PROXY),
        ({"all_proxy": "http://other:1", "http_proxy": PROXY}, "http://a.example/v1", PROXY),
        ({"http_proxy": "proxy:3128"}, "http://a.example/v1", PROXY),
        ({"http_proxy": ""}, "http://a.example/v1", None),
        ({"https_proxy": "http://me:secret@proxy:3128"}, "https://a.example/v1", "http://me:secret@proxy:3128"),
    ],
)
def test_the_environment_says_which_proxy(monkeypatch: pytest.MonkeyPatch, told: dict[str, str], url: str, expected: str | None) -> None:
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(url) == expected


@pytest.mark.parametrize(
    ("entries", "host", "spared"),
    [
        ("*", "a.example", True),
        ("other, *", "a.example", True),
        ("a.example", "a.example", True),
        ("A.Example", "a.example", True),
        ("example", "a.example", True),
        ("example", "aexample", False),
        (".example", "a.example", True),
        (".a.example", "a.example", False),
        ("*.example", "a.example", True),
        ("*.a.example", "a.example", False),
        ("b.example,c.example", "a.example", False),
        ("", "a.example", False),
        (" a.example ", "a.example", True),
        ("localhost", "localhost", True),
        ("localhost", "a.localhost", False),
        ("10.0.0.1", "10.0.0.1", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "a.example", False),
        ("::1", "[::1]", True),
        ("[::1]", "[::1]", True),
        ("fd00::/8", "[fd12::1]", True),
        ("a.example:8000", "a.example:8000", True),
        ("a.example:8000", "a.example", False),
        ("a.example:80", "a.example", True),
        ("https://a.example", "a.example", False),
        ("http://a.example", "a.example", True),
        ("http://a.example", "b.a.example", False),
        ("a.example:x", "a.example", False),
    ],
)
def test_no_proxy_spares_hosts_those_under_them_and_networks(monkeypatch: pytest.MonkeyPatch, entries: str, host: str, spared: bool) -> None:
    monkeypatch.setenv("http_proxy", PROXY)
    monkeypatch.setenv("no_proxy", entries)
    assert (proxy_for(f"http://{host}/v1") is None) == spared


@pytest.mark.parametrize("proxy", ["socks5://proxy:1080", "ftp://proxy"])
def test_a_proxy_that_does_not_speak_http_is_refused_without_its_words(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("https_proxy", proxy)
    with pytest.raises(ValueError, match="speaks neither http nor https"):
        proxy_for("https://a.example")
