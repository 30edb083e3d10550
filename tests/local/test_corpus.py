"""What the local model reads, and what it reads where that is missing."""

from __future__ import annotations

import re
import sys

import pytest
from support.local import in_child, real_sections

from evalkit.local import corpus
from evalkit.local.model import END, Model

PROSE = "This sentence is long enough to be taken for prose by the reader of it."
NO_MANUAL = "import sys; sys.modules['pydoc_data.topics'] = None\n"


def _paragraphs(sections):
    return [paragraph for section in sections for paragraph in section.paragraphs]


def test_the_text_is_pythons_own_manual():
    pytest.importorskip("pydoc_data.topics")
    titles = {section.title.split()[0] for section in real_sections()}
    assert {"assert", "slicings", "lambda"} <= titles
    assert len(_paragraphs(real_sections())) > 500


def test_every_paragraph_reads_as_one_line_of_prose():
    for section in real_sections():
        assert section.title
        assert section.paragraphs
        for text in section.paragraphs:
            assert text == " ".join(text.split())
            assert len(text.split(" ")) >= 12
            assert text[-1] in ".:!?);"
            assert "::=" not in text
            assert ">>>" not in text


def test_reading_twice_gives_the_same():
    assert corpus.sections() == list(real_sections())


def test_reading_is_the_same_whatever_the_hash_seed():
    code = "import hashlib; from evalkit.local.corpus import sections; print(hashlib.sha256(repr(sections()).encode()).hexdigest())"
    assert in_child(code, hash_seed="1") == in_child(code, hash_seed="2")


def test_underlined_headings_part_the_text_and_join_the_title():
    code = "   >>> answer = 1 + 1 and more of it that goes on and on and on for quite a while."
    blocks = [PROSE, "The heading\n***********", f"{PROSE}\n{PROSE}", code, f"Another one\n===\n{PROSE}"]
    assert list(corpus._sections("topic", "\n\n".join(blocks))) == [
        ("topic", (PROSE,)),
        ("topic The heading", (f"{PROSE} {PROSE}",)),
        ("topic Another one", (PROSE,)),
    ]


@pytest.mark.parametrize(
    ("block", "kept"),
    [
        (f"* {PROSE}", PROSE),
        (f"12. {PROSE}", PROSE),
        (f"{PROSE}\n    {PROSE}", f"{PROSE} {PROSE}"),
        ("Too short a line.", ""),
        ("A line without an end that goes on and on and on and on for very long", ""),
        ("Changed in version 3.9: words and words and words and words and words and words.", ""),
        ('stmt ::= "a" and words and words and words and words and words and words.', ""),
        ("x = f(1) + g(2) * h[3] - 4 / 5 ** 6 // 7 % 8 << 9 >> 10 & 11 | 12.", ""),
    ],
)
def test_only_prose_is_kept(block, kept):
    assert corpus._prose(block.splitlines()) == kept


@pytest.fixture
def without_manual(monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)


@pytest.mark.usefixtures("without_manual")
def test_without_the_manual_docstrings_are_read():
    found = corpus.sections()
    assert len(_paragraphs(found)) >= 100
    assert {section.title.split()[0] for section in found} <= set(corpus._DOCSTRING_MODULES)


@pytest.mark.usefixtures("without_manual")
def test_the_docstring_of_a_type_is_not_read_again_at_each_of_its_constants(monkeypatch):
    monkeypatch.setattr(corpus, "_DOCSTRING_MODULES", ("logging",))
    read = [section.paragraphs[0] for section in corpus._docstrings()]
    assert len(read) > 10
    assert sum(text.startswith("Convert a number or string to an integer") for text in read) <= 1


@pytest.mark.usefixtures("without_manual")
def test_without_docstrings_either_our_own_page_is_read(monkeypatch):
    monkeypatch.setattr(corpus, "_DOCSTRING_MODULES", ("a_module_that_is_nowhere",))
    (own,) = corpus.sections()
    assert own.title == "lists, functions and exceptions"
    assert len(own.paragraphs) == 5
    assert re.sub(r"\s+", " ", corpus._OWN_PAGE).strip() == " ".join(own.paragraphs)


@pytest.mark.parametrize("source", ["docstrings", "own page"])
@pytest.mark.usefixtures("without_manual")
def test_a_model_can_be_trained_on_any_source(monkeypatch, source):
    if source == "own page":
        monkeypatch.setattr(corpus, "_DOCSTRING_MODULES", ())
    model = Model(corpus.sections())
    conditioned = model.condition([("What is a list?", 1.0)])
    assert conditioned.probabilities([END]).sum() == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("flag", ["-O", "-OO"])
def test_a_python_without_docstrings_and_manual_still_has_something_to_read(flag):
    code = NO_MANUAL + "from evalkit.local.corpus import sections; print(sum(len(section.paragraphs) for section in sections()))"
    assert int(in_child(code, flag)) >= 5
