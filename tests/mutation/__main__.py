"""`python -m tests.mutation [NAME[:LINE,LINE...] ...]`: put one error after the other into modules, or into some of
their lines; which do their tests not notice?

Works in a copy of the repository. A mutant runs in a fork of this process, which has imported the libraries. Mutants
that mean the same as the module are listed in `equivalents.py`.
"""

from __future__ import annotations

import compileall
import importlib
import os
import resource
import shutil
import signal
import sys
import tempfile
import time
from math import ceil
from pathlib import Path
from py_compile import PycInvalidationMode

from tests.mutation.equivalents import is_equivalent
from tests.mutation.mutants import Mutant, mutants_of

REPOSITORY = Path(__file__).parents[2]
COPIED = ("dsir_core", "tests", "flows", "tasks", "demo", "pyproject.toml")
LIMIT = 4
"""A mutant that takes so many times the processor time of the module itself has been noticed."""

OVER_SHARDS = [
    f"resampling/test_thresholds.py::test_{name}"
    for name in (
        "ties_are_shared_out_over_groups_of_shards",
        "a_fraction_is_of_the_eligible_documents",
        "one_document_is_taken_when_it_fits",
        "quantiles_are_those_of_the_eligible_documents",
        "no_shards_and_no_documents_give_nothing",
        "documents_that_are_all_equal_go_by_file_and_position",
        "a_temperature_does_not_depend_on_shards_or_workers",
        "each_pool_takes_its_own_amount",
    )
]
"""The fast ones."""

TESTS: dict[str, list[str]] = {
    "resampling/radix": ["resampling/test_radix.py"],
    "resampling/quotas": ["resampling/test_quotas.py"],
    "resampling/ranks": ["resampling/test_ranks.py"],
    "resampling/scaling": ["resampling/test_scaling.py"],
    "resampling/pareto": ["resampling/test_pareto.py"],
    "resampling/keys": ["resampling/test_keys.py"],
    "resampling/thresholds": OVER_SHARDS,
    "resampling/passes": OVER_SHARDS,
    "model/importance": ["model/test_importance.py"],
    "model/smoothing": ["model/test_smoothing.py", "model/test_importance.py"],
    "model/metrics": ["model/test_metrics.py"],
    "model/noise": ["model/test_noise.py"],
    "corpus/tally": ["corpus/test_tally.py"],
    "checkpoints/cached": ["checkpoints/test_cached.py"],
    "checkpoints/receipts": ["checkpoints/test_cached.py", "checkpoints/test_store.py"],
    "checkpoints/incoming": ["checkpoints/test_incoming.py"],
    "storage/locks": ["checkpoints/test_incoming.py"],
    "checkpoints/store": ["checkpoints/test_store.py"],
    "checkpoints/manifest": ["checkpoints/test_manifest.py"],
    "shards/count": ["shards/test_count.py", "shards/test_ngram_cache.py"],
    "shards/score": ["shards/test_score.py", "shards/test_ngram_cache.py"],
    "shards/select": ["shards/test_select.py"],
    "stages/report": ["stages/test_account.py"],
    "checkpoints/cleaning": ["checkpoints/test_manifest.py"],
}
"""Modules whose errors would be silent, and their own tests; of `stages/report` the account, `_documents`."""

LIBRARIES = ("pytest", "hypothesis.strategies", "numpy", "pyarrow.parquet", "numba", "fsspec", "msgspec", "tenacity")


def survives(root: Path, module: Path, mutant: Mutant, tests: list[str], seconds: int = 600) -> bool:
    """Whether tests pass though a module is a mutant, in so many seconds of the processor."""
    original = module.read_text()
    module.write_text(mutant.source)
    try:
        child = os.fork()
        if not child:
            _run_tests(root, tests, seconds)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        module.write_text(original)


def _run_tests(root: Path, tests: list[str], seconds: int) -> None:
    """Run tests in a fork, and end it."""
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    signal.alarm(30 * seconds)
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    for name in [name for name in sys.modules if name.partition(".")[0] in ("tests", "dsir_core")]:
        del sys.modules[name]
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    import pytest
    from hypothesis import Phase, settings

    settings.register_profile(
        "mutants", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
    )
    arguments = ["-x", "-q", "--assert=plain", "--hypothesis-profile=mutants"]
    arguments += [f"-p{name}" for name in ("no:cacheprovider", "pytest_timeout", "_hypothesis_pytestplugin")]
    os._exit(int(pytest.main([*arguments, *(f"tests/{test}" for test in tests)])))


def main(names: list[str]) -> None:
    """See the module."""
    for library in LIBRARIES:
        importlib.import_module(library)
    sys.dont_write_bytecode = True
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in COPIED:
            copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
            copy(REPOSITORY / name, root / name)
        compileall.compile_dir(root, quiet=2, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
        for name in names or list(TESTS):
            measure(root, *name.split(":"))


def measure(root: Path, name: str, lines: str = "") -> None:
    """Print which mutants of a module survive, and how many are killed.

    Args:
        root: a copy of the repository.
        lines: only the mutants of these, separated by commas.
    """
    module, begin = root / "dsir_core" / f"{name}.py", time.monotonic()
    source, tests = module.read_text(), TESTS[name]
    wanted = {int(line) for line in lines.split(",") if line}
    used = _seconds_of_children()
    if not survives(root, module, Mutant(0, "", source), tests):
        print(f"{name}: its tests fail without any change", flush=True)
        return
    limit = 1 + ceil(LIMIT * (_seconds_of_children() - used))
    mutants = [mutant for mutant in mutants_of(source) if not wanted or mutant.line in wanted]
    same = [mutant for mutant in mutants if is_equivalent(name, source, mutant)]
    left = 0
    for mutant in mutants:
        if mutant not in same and survives(root, module, mutant, tests, limit):
            left += 1
            print(f"  {name}.py:{mutant.line}: {mutant.what}", flush=True)
    n, seconds = len(mutants) - len(same), time.monotonic() - begin
    print(f"{name}: {n - left} of {n} killed, {len(same)} equivalent, {seconds:.0f} s", flush=True)


def _seconds_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main(sys.argv[1:])
