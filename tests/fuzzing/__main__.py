"""`python -m tests.fuzzing SECONDS [TARGET ...]`: mutated inputs for so long each; what breaks a promise is kept.

The first seed is drawn, or given by DSIR_FUZZ_SEED; an input that fails goes to `tests/fuzzing/corpus/TARGET/`.
"""

from __future__ import annotations

import hashlib
import os
import random
import sys
import time
from pathlib import Path

from tests.fuzzing.mutations import mutate
from tests.fuzzing.targets import TARGETS, Target

CORPUS = Path(__file__).parent / "corpus"


def failing(target: Target, inputs: list[bytes]) -> list[tuple[bytes, BaseException]]:
    """Inputs that break a promise."""
    found: list[tuple[bytes, BaseException]] = []
    for data in inputs:
        try:
            target.check([data])
        except Exception as error:
            found.append((data, error))
    return found


def fuzz(name: str, seconds: float, seed: int) -> tuple[int, int, int]:
    """Cases, those of the ordinary kind, and failures."""
    target, rng = TARGETS[name], random.Random(seed)
    seeds, end = target.seeds(), time.monotonic() + seconds
    cases = ordinary = failures = 0
    while time.monotonic() < end:
        inputs = [mutate(rng, rng.choice(seeds), target.words, seeds) for _ in range(target.at_once)]
        cases += len(inputs)
        try:
            ordinary += target.check(inputs)
        except Exception:
            for data, error in failing(target, inputs):
                failures += 1
                path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
                path.parent.mkdir(parents=True, exist_ok=True)
                if failures < 20:
                    path.write_bytes(data)
                    print(f"{name}: {path.name}: {type(error).__name__}: {str(error)[:300]}", flush=True)
    return cases, ordinary, failures


def main(seconds: float, names: list[str]) -> int:
    """See the module."""
    seed = int(os.environ.get("DSIR_FUZZ_SEED", time.time_ns() % 2**32))
    print(f"seed {seed}", flush=True)
    failed = 0
    for name in names or list(TARGETS):
        cases, ordinary, failures = fuzz(name, seconds, seed)
        failed += failures
        print(f"{name:<12}{cases:>12,} cases {ordinary:>12,} accepted {failures:>6} failures", flush=True)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]), sys.argv[2:]))
