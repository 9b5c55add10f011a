"""The frozen table is Unicode 14's, whatever Python runs: exactly that of the Python whose Unicode it is."""

from __future__ import annotations

import functools
import re
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.tokenize import WordPunctTokenizer

from dsir_core.features import TOKENIZER_VERSION
from dsir_core.features.reference import lower, tokenize
from dsir_core.features.unicode_table import (
    CLASS_SHIFT,
    DELTA_MASK,
    DELTA_ZERO,
    DOTTED_I,
    SINGLE,
    UNICODE_VERSION,
    WORD,
    entry,
)
from dsir_core.features.unspaced import unspaced_bytes
from tests.features.texts import TEXTS, buffers

FROZEN = (14, 0, 0)
IS_WORD, IS_SPACE = re.compile(r"\w").match, re.compile(r"\s").match


@functools.cache
def different() -> set[int]:
    """Code points that the running Python sees otherwise than the table."""
    return {
        code for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000 and code != DOTTED_I and differs(code)
    }


def differs(code: int) -> bool:
    lowered = chr(code).lower()
    found = entry(code)
    kind = 1 if IS_WORD(lowered) else 0 if IS_SPACE(lowered) else 2
    return code + (found & DELTA_MASK) - DELTA_ZERO != ord(lowered) or found >> CLASS_SHIFT & 3 != kind


def test_the_version_is_named() -> None:
    assert UNICODE_VERSION == "14.0.0"
    assert UNICODE_VERSION in TOKENIZER_VERSION


def test_every_code_point_is_that_of_the_running_python_unless_unicode_changed_it() -> None:
    running = tuple(map(int, unicodedata.unidata_version.split(".")))
    if running == FROZEN:
        assert not different()
        return
    # What differs elsewhere was unassigned in Unicode 14: no class but punctuation, no case.
    assert len(different()) < 20_000
    for code in different():
        assert entry(code) & DELTA_MASK == DELTA_ZERO
        assert entry(code) >> CLASS_SHIFT & 3 != WORD


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Mix 我们a的2024年!。", ["mix", "我", "们", "a", "的", "2024", "年", "!。"]),
        ("カナ ひら한글", ["カ", "ナ", "ひ", "ら", "한", "글"]),
        ("ไทย ລາວ", ["ไ", "ท", "ย", "ລ", "າ", "ວ"]),
        ("ខ្មែរ", ["ខ", "្", "ម", "ែ", "រ"]),
        ("Привет, мир: हिन्दी", tokenize("Привет, мир: हिन्दी")),
    ],
)
def test_unicode_makes_tokens_of_the_letters_of_scripts_without_spaces(text: str, tokens: list[str]) -> None:
    assert tokenize(text, "unicode") == tokens


@given(TEXTS)
def test_the_tokenizers_differ_in_nothing_else(text: str) -> None:
    spaced = "".join(char for char in text if entry(ord(char), "unicode") >> CLASS_SHIFT & 3 != SINGLE)
    assert tokenize(spaced, "unicode") == tokenize(spaced)
    assert "".join(tokenize(text, "unicode")) == "".join(tokenize(text))


@given(TEXTS)
def test_bytes_in_scripts_without_spaces_are_those_of_their_letters(text: str) -> None:
    letters = [char for char in text if entry(ord(char), "unicode") >> CLASS_SHIFT & 3 == SINGLE]
    assert unspaced_bytes(*buffers([text, "x"])) == len("".join(letters).encode())


@given(TEXTS)
def test_lower_is_that_of_str(text: str) -> None:
    known = "".join(char for char in text if ord(char) not in different())
    assert lower(known) == known.lower()


@given(TEXTS)
def test_tokens_are_those_of_nltk(text: str) -> None:
    known = "".join(char for char in text if ord(char) not in different())
    assert tokenize(known) == WordPunctTokenizer().tokenize(known.lower())


@given(st.text(st.sampled_from("\u03a3\u03c3aA.\u0301' \u00ad1\u4e00\u02b0"), max_size=12))
def test_final_sigma_is_that_of_str(text: str) -> None:
    assert lower(text) == text.lower()
