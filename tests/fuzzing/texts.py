"""Fuzzing of texts: compiled JSON lines and UTF-8 against `json`; tokens and hashes against plain Python."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import xxhash

from dsir_core.config.features import FeatureSettings
from dsir_core.features import count_ngrams
from dsir_core.features import reference as oracle
from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.json_lines import BLANK, LEFT, TAKEN, take_texts
from dsir_core.kernels.json_values import BLOCK

# JSON lines and UTF-8: the compiled reader against json.loads.


def check_json(inputs: Sequence[bytes]) -> int:
    """What the compiled reader takes is what the standard library reads; an error is never taken."""
    rows = [data.replace(b"\n", b" ") for data in inputs]
    valid = [data for data in rows if _decodes(data)]
    if not valid:
        return 0
    data = np.frombuffer(b"\n".join(valid), np.uint8)
    ends = np.cumsum([len(line) + 1 for line in valid]) - 1
    starts = np.array([0, *(ends[:-1] + 1)], np.int64)
    text, offsets = np.full(len(data) + BLOCK, 255, np.uint8), np.empty(len(valid) + 1, np.int64)
    status = np.full(len(valid), 255, np.uint8)
    key = np.frombuffer(b"text", np.uint8)
    take_texts(data, read_only(starts, np.int64), read_only(ends, np.int64), key, 2**20, text, offsets, status)
    filled = text.tobytes()
    taken = 0
    for line, found, (begin, end) in zip(valid, status.tolist(), pairwise(offsets.tolist()), strict=True):
        if found == TAKEN:
            taken += 1
            assert json.loads(line.decode())["text"].encode() == filled[begin:end], line
        else:
            assert begin == end, line
            assert found == LEFT or (found == BLANK and not line.strip(b" \t\r")), line
    return taken


def _decodes(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def json_seeds() -> list[bytes]:
    """Records of every kind."""
    records: list[Any] = [
        {"text": "plain words"},
        {"id": 1, "text": "é 漢字 😀 \u2028", "x": [1, -2.5e-3, None, True, {"a": "b"}]},
        {"a": {"text": "inner"}, "text": 'quote " slash \\ \n\t\u0000', "b": "x" * 70},
        {"text": "y" * 130, "n": 10**30},
    ]
    packed = [json.dumps(record, ensure_ascii=escape).encode() for record in records for escape in (True, False)]
    return [*packed, b'{"text": "\\ud83d\\ude00 \\u00e9"}', b' { "text" : "a" , "b" : [ ] } ', b"", b"[1]"]


JSON_WORDS = (
    *(b'"text"', b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"null"),
    *(b"true", b"false", b"NaN", b"-", b"0", b"1e5", b".5", b" ", b"\t", b"\x00", b"\x1f", b"\x7f", b"\xc3\xa9"),
    *(b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"x" * 64, b"\r", b"\xf4\x90\x80\x80"),
)


# Tokens and hashes: the kernels against re, hashlib, xxhash and the oracle.

WORD = re.compile(r"\w+|[^\w\s]+")


def check_features(inputs: Sequence[bytes]) -> int:
    """Counts of buckets and tokens are those of the oracle, and on ASCII those of `re`."""
    texts = [data.decode(errors="replace") for data in inputs]
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(b"".join(encoded) + b"\0", np.uint8)
    for name in ("xxh3", "sha256"):
        features = FeatureSettings(hash=name, ngrams=2, buckets=509)
        counts = np.zeros(509, np.int64)
        n_tokens = count_ngrams(data, offsets, features, counts)
        expected = np.zeros(509, np.int64)
        for text, n in zip(texts, n_tokens.tolist(), strict=True):
            for found in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest):
                np.add.at(expected, found, 1)
            tokens = oracle.tokenize(text, features.tokenizer)
            assert n == len(tokens), text
            if text.isascii():
                assert tokens == WORD.findall(text.lower()), text
        assert np.array_equal(counts, expected), texts
    return len(texts)


def text_seeds() -> list[bytes]:
    """Texts that are hard on tokenizers."""
    texts = [
        *("Plain words, and punctuation... (yes)! x_1 2.5", "İ Σ ΑΣ σς ẞ K ſ ŉ ǅ", "a" * 63 + "É" + "." * 70 + " b"),
        *(
            "漢字かな交じり文 한국어 ไทย हिन्दी",
            "\u00ad\u200d\u0301\u0345 \u2028\u0085\x1c\x1f",
            "\U00010400\U0001f600\uffff",
        ),
        *("ΑΣ\u0345\u00adΑ ΑΣ\u0345\u00ad", "x" * 300, " \t\n " * 40, ""),
    ]
    return [text.encode() for text in texts]


TEXT_WORDS = tuple(
    word.encode()
    for word in (
        "Σ",
        "İ",
        "\u0345",
        "\u00ad",
        "\u200d",
        "\u0301",
        ".",
        "_",
        " ",
        "\u3000",
        "É",
        "ß",
        "漢",
        "\U0001f600",
        "a" * 64,
        "\x1c",
    )
)
