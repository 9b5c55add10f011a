"""What decides a selection has the same bits on every processor."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FITS = """
import hashlib
import numpy as np
from dsir_core.model.classifier import fit_classifier
from dsir_core.model.compact_sample import SparseDocuments
from dsir_core.model.noise import random_bits, uniform

def documents(name, n, shift):
    chance = uniform(random_bits(np.arange(n * 300), name)).reshape(n, 300)
    drawn = (chance * chance * chance * 2000).astype(np.int64) + (chance * 1e6 % 3 < 1) * shift
    rows = [np.unique(row, return_counts=True) for row in drawn]
    starts = np.cumsum([0, *(len(buckets) for buckets, _ in rows)])
    buckets, counts = (np.concatenate(side).astype(np.int32) for side in zip(*rows))
    return SparseDocuments(np.arange(n).astype(np.uint64), starts, buckets, counts)

found = hashlib.sha256()
for i in range(6):
    fitted = fit_classifier(documents(f"target{i}", 30, 40), documents(f"raw{i}", 600, 0), 3000)
    found.update(fitted.coefficients.tobytes() + fitted.intercepts.tobytes())
print(found.hexdigest())
"""

SIZES = """
import numpy as np
from dsir_core.model.metrics import WeightSums
from dsir_core.model.noise import random_bits, uniform
from dsir_core.resampling.scaling import find_temperature

weights = uniform(random_bits(np.arange(100_000), "weights")) * 300 - 400
sizes = lambda temperatures: [WeightSums.of(weights / t).effective_sample_size for t in temperatures]
print([size.hex() for size in sizes([1.0, 7.0, 60.0])])
print(WeightSums.of(weights[::2]).merge(WeightSums.of(weights[1::2])))
tried = []
find_temperature(0.1, lambda temperatures: (tried.extend(temperatures), (sizes(temperatures), len(weights)))[1])
print([temperature.hex() for temperature in tried])
"""


def settings_of_processors() -> list[dict[str, str]]:
    """What OpenBLAS, NumPy, Numba and the C library are told: nothing; another processor; the oldest one."""
    from numpy._core import _multiarray_umath as numpy

    features = " ".join(name for name in numpy.__cpu_dispatch__ if numpy.__cpu_features__[name])
    oldest = {
        "OPENBLAS_CORETYPE": "Prescott",
        "NPY_DISABLE_CPU_FEATURES": features,
        "NUMBA_CPU_NAME": "generic",
        "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-FMA,-FMA4,-AVX512F",
    }
    return [{}, {"OPENBLAS_CORETYPE": "Haswell"}, oldest]


@pytest.mark.parametrize("script", [FITS, SIZES], ids=["classifier", "effective sample size"])
def test_another_processor_gives_the_same_bits(script: str) -> None:
    processors = settings_of_processors()
    bare = {name: value for name, value in os.environ.items() if name not in processors[-1]}
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script], env={**bare, **settings}, cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        for settings in processors
    ]
    printed = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert len(set(printed)) == 1
