"""Texts of others in Markdown, by the parser that GitHub itself uses."""

from __future__ import annotations

import html
import re

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st

from evalkit.text.escaping import markdown_cell, markdown_prose, visible

HOSTILE = (
    *("a\\|b <b>x</b>", "`|`", "\\| @everyone <img src=x onerror=alert(1)>", "[x](javascript:alert(1))", "[-1](javascript:alert(1))", "[1][1]"),
    *("![i](http://evil.example)", "see http://evil.example now", "a | http://evil.example", "@all", "x@evil.example", "x@evil.example |"),
    *("www.evil.example", "| www.evil.example", "\u202egnp.exe", "**b** _i_ ~~s~~ <!-- x", "a|\nb", "| a | b |", "&lt;b&gt;", "# h", "<details>"),
    *("`", "``x`", "\x1b[31mred", "$`x`$", "</code></td></tr></table><script>alert(1)</script>", "\ud800", "a_b _c_ __d__", "--- | ---", "\x00"),
    *("<!-- evalkit compare -->", "javascript:alert(1)", "!1 #2 ~3"),
)  # fmt: skip
OURS = re.compile(r"</?(?:table|thead|tbody|tr|t[dh](?: align=\"\w+\")?|p|ul|li|code)>|<!-- -->")


def page(text: str) -> str:
    whole = f"| a | b |\n|---|---|\n| {text} | z |\n\nOf {text}\n\n- of {text}\n"
    return str(cmarkgfm.github_flavored_markdown_to_html(whole, options=Options.CMARK_OPT_UNSAFE))


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("way", [markdown_cell, markdown_prose])
def test_nothing_in_a_text_is_a_mark_a_link_or_html(text: str, way: object) -> None:
    shown = page(way(text))
    assert shown.count("<td>z</td>") == 1
    left = OURS.sub("", shown)
    assert "<" not in left, left
    read = html.unescape(left).replace("\u2060", "")
    assert max(read.count(visible(text).replace("\n", end)) for end in ("⟦U+000A⟧", " ")) == 3


@given(st.text(st.sampled_from("|\\`<>[]()!_*~#@:&;$w./ a1\n-=\u202e"), max_size=12).filter(str.strip))
def test_no_text_breaks_out_of_a_table_or_gets_a_tag(text: str) -> None:
    for way in (markdown_cell, markdown_prose):
        shown = page(way(f"x{text}x"))
        assert shown.count("<td>z</td>") == 1
        assert "<" not in OURS.sub("", shown)
