"""Texts: both languages say the same things."""

import re
from importlib.resources import files

import pytest

from cmfm_hmi.texts import LANGUAGES, preferred, texts
from cmfm_protocol.wire.verdict import Reason, Verdict


def test_languages_have_the_same_keys_and_values() -> None:
    """A key of one language without its sentence in the other would be an error page for half of the readers."""
    english, german = texts("en"), texts("de")
    assert english.keys() == german.keys()
    for key, sentence in english.items():
        assert set(re.findall(r"\{\w+\}", sentence)) == set(re.findall(r"\{\w+\}", german[key])), key


@pytest.mark.parametrize("language", LANGUAGES)
def test_verdicts_and_reasons_have_words(language: str) -> None:
    """Whatever the wire can say has a word for the operator."""
    words = texts("de" if language == "de" else "en")
    assert {f"base.verdict.{verdict}" for verdict in Verdict} <= words.keys()
    assert {f"base.reason.{reason}" for reason in Reason} <= words.keys()


def test_templates_use_keys_that_are_there() -> None:
    """Every literal key of a template has a sentence."""
    words = texts("en")
    for template in files("cmfm_hmi").joinpath("templates").iterdir():
        for key in re.findall(r"\bt\('([\w.]+)'[,)]", template.read_text(encoding="utf-8")):
            assert key in words, f"{template.name}: {key}"


@pytest.mark.parametrize(
    ("header", "expected"),
    [("de-AT,de;q=0.9", "de"), ("fr,en;q=0.5", "en"), ("", "en"), ("fr", "en"), ("," * 5000, "en")],
)
def test_the_browser_chooses_the_language(header: str, expected: str) -> None:
    """The first language of Accept-Language that we have; else the default."""
    assert preferred(header, "en") == expected
