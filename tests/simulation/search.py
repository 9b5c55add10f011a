"""Simulate a range of seeds on all cores."""

from __future__ import annotations

import multiprocessing
import os
import time
import traceback
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.scenario import simulate

PER_TASK = 20


def simulate_range(seeds: range) -> tuple[Counter[str], Counter[str], dict[int, str]]:
    """Faults by kind, phases by outcome, and failures by seed."""
    faults, phases, failures = Counter[str](), Counter[str](), dict[int, str]()
    for seed in seeds:
        try:
            story = simulate(seed)
        except BaseException as error:
            failures[seed] = "".join(traceback.format_exception_only(error)).strip()
            continue
        faults += story.faults
        phases.update(phase.split()[1].rstrip(":") for phase in story.phases)
    return faults, phases, failures


def search(first: int, last: int) -> bool:
    """Print which seeds fail, and all faults by kind; whether any fails."""
    begin = time.perf_counter()
    ranges = [range(start, min(start + PER_TASK, last)) for start in range(first, last, PER_TASK)]
    faults, phases, failures = Counter[str](), Counter[str](), dict[int, str]()
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for some_faults, some_phases, some_failures in pool.map(simulate_range, ranges):
            faults, phases = faults + some_faults, phases + some_phases
            failures.update(some_failures)
            for seed, what in some_failures.items():
                print(f"{seed}: {what}", flush=True)
    seconds = time.perf_counter() - begin
    print(f"{last - first:,} seeds, {len(failures)} failed, {seconds:,.0f} s; disturbed runs: {dict(phases)}")
    for kind, n in sorted(faults.items()):
        print(f"{n:>10,}  {kind}")
    return bool(failures)
