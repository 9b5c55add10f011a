"""`python -m tests.simulation FIRST LAST`: simulate a range of seeds; which fail, and all faults by kind.

`python -m tests.simulation SEED` replays one.
"""

from __future__ import annotations

import sys

from tests.simulation.scenario import simulate
from tests.simulation.search import search

if __name__ == "__main__":
    if len(sys.argv) == 2:
        told = simulate(int(sys.argv[1]))
        print(dict(told.faults), *told.phases, sep="\n")
    else:
        sys.exit(search(int(sys.argv[1]), int(sys.argv[2])))
