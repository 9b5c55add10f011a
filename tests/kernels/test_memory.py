"""Kernels work on addresses, which no check of indices sees: here the page behind each buffer cannot be touched."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

GUARDED = """
import ctypes, mmap, random
import numpy as np

def guarded(n, data=b""):
    \"\"\"n bytes, behind which lies a page that can be neither read nor written.\"\"\"
    pages = -(-n // mmap.PAGESIZE)
    whole = np.frombuffer(mmap.mmap(-1, (pages + 1) * mmap.PAGESIZE), np.uint8)
    end = pages * mmap.PAGESIZE
    guard = ctypes.c_void_p(whole.ctypes.data + end)
    assert ctypes.CDLL(None, use_errno=True).mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    found = whole[end - n : end]
    found[: len(data)] = np.frombuffer(data, np.uint8)
    return found

rng = random.Random(0)
"""

JSON = """
from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.json_lines import take_texts
from dsir_core.kernels.json_values import BLOCK
from tests.fuzzing.mutations import mutate
from tests.fuzzing.texts import JSON_WORDS, json_seeds

seeds = json_seeds()
key = guarded(4, b"text")
for case in range(1500):
    line = mutate(rng, rng.choice(seeds), JSON_WORDS, seeds) if case >= 2 * len(seeds) else seeds[case % len(seeds)]
    line = line.decode(errors="ignore").encode()
    line = line if case % 2 else line[: rng.randrange(len(line) + 1)].decode(errors="ignore").encode()
    if not line:
        continue
    data = guarded(len(line), line)
    text = guarded(len(line) + BLOCK)
    ends = np.array([len(line)])
    take_texts(read_only(data, np.uint8), np.array([0]), ends, key, 2**20, text, np.empty(2, np.int64), guarded(1))
print("done")
"""

FEATURES = """
from dsir_core.config.features import FeatureSettings
from dsir_core.features import count_ngrams, score_ngrams
from dsir_core.features.text_hashes import text_hashes
from tests.fuzzing.mutations import mutate
from tests.fuzzing.texts import TEXT_WORDS, text_seeds

seeds = [seed for seed in text_seeds() if seed]
cases = [b"a" * n for n in range(1, 200)] + [b"a " * n + b"b." for n in range(1, 100)]
cases += [mutate(rng, rng.choice(seeds), TEXT_WORDS, seeds).decode(errors="replace").encode() for _ in range(600)]
settings = [FeatureSettings(hash=name, tokenizer=tokenizer, ngrams=3, buckets=11)
            for name in ("xxh3", "sha256") for tokenizer in ("wordpunct", "unicode")]
for case, text in enumerate(cases):
    if not text:
        continue
    data, half = guarded(len(text), text), len(text) // 2
    while half and text[half] & 0xC0 == 0x80:
        half -= 1
    offsets = np.array([0, half, len(text)])
    features = settings[case % len(settings)]
    count_ngrams(data, offsets, features, np.zeros(11, np.int64))
    score_ngrams(data, offsets, features, np.zeros((2, 11)))
    text_hashes(data, offsets)
print("done")
"""


@pytest.mark.parametrize("kernels", [JSON, FEATURES], ids=["json", "features"])
def test_nothing_behind_a_buffer_is_read_or_written(kernels: str) -> None:
    done = subprocess.run([sys.executable, "-c", GUARDED + kernels], capture_output=True, text=True, cwd=ROOT)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


def test_the_guard_is_one() -> None:
    code = GUARDED + 'guarded(5)\nctypes.string_at(guarded(5).ctypes.data, 6)\nprint("done")'
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, cwd=ROOT).returncode < 0
