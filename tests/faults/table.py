"""`make faults`: inject faults into whole runs, print what was survived and what it cost, as a table for the docs.

    python -m tests.faults.table [--rate 0.15] [--json runs/faults.json]

Storage faults are made by the proxy, in one stage at a time; processes are killed by the tests of `test_processes.py`,
each of which compares the output byte for byte with that of an undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from tests.faults.harness import STAGES, Lake, credentials, fill, rule, run_with_faults
from tests.faults.proxy import Mode, Rule
from tests.s3 import s3_server

Row = dict[str, Any]


def storage_rows(lake: Lake, rate: float) -> list[Row]:
    """One row for each fault and stage."""
    whole = run_with_faults(lake, "whole", [])
    expected = lake.output("whole")
    rows = []
    for mode in get_args(Mode):
        for stage in STAGES:
            name = f"{mode}-{stage}"
            # At least one fault in each stage, though some make only a handful of requests.
            rules = [Rule(mode, 1.0, count=1, seconds=0.3), rule(mode, rate)]
            done = run_with_faults(lake, name, rules, stages=[stage], seed=len(rows))
            same = done.error is None and lake.output(name) == expected
            resumed = False
            if done.error is not None:
                run_with_faults(lake, name, [])
                resumed = lake.output(name) == expected
            rows.append(
                {
                    "fault": mode,
                    "stage": stage,
                    "injected": done.injected,
                    "tried again": done.retries,
                    "outcome": "same bytes" if same else ("failed, resumed" if resumed else "LOST"),
                    "extra s": round(done.seconds - whole.seconds, 1),
                }
            )
            print(line(rows[-1]), flush=True)
    return rows


class _Collector:
    """A pytest plugin that makes a row of every test."""

    def __init__(self) -> None:
        self.rows: list[Row] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See pytest."""
        if report.when == "call":
            name, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
            self.rows.append(
                {
                    "fault": name.removeprefix("test_").replace("_", " "),
                    "stage": parameters.rstrip("]"),
                    "outcome": "same bytes" if report.passed else "FAILED",
                    "seconds": round(report.duration, 1),
                }
            )
            print(line(self.rows[-1]), flush=True)


def process_rows() -> list[Row]:
    """One row for each process that is killed."""
    collector = _Collector()
    pytest.main(["-q", "--no-header", str(Path(__file__).with_name("test_processes.py"))], plugins=[collector])
    return collector.rows


def line(row: Row) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(str(value) for value in row.values()) + " |"


def matrix(rows: list[Row]) -> Iterator[str]:
    """Storage faults as a table: injected by stage, made again and extra seconds for all stages together."""
    head = {"fault": "fault", **{stage: stage for stage in STAGES}, "again": "made again", "extra": "extra s"}
    yield line(head)
    yield line(dict.fromkeys(head, "---"))
    for mode in get_args(Mode):
        mine = [row for row in rows if row["fault"] == mode]
        injected = {row["stage"]: row["injected"] for row in mine}
        again, extra = sum(row["tried again"] for row in mine), round(sum(row["extra s"] for row in mine))
        yield line({"fault": f"`{mode}`", **injected, "again": again, "extra": extra})


def main() -> int:
    """Print both tables; 1 when something was lost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=0.15, help="share of the requests of a stage that fail")
    parser.add_argument("--json", type=Path, default=Path("runs/faults.json"))
    parser.add_argument("--only", choices=["storage", "processes"])
    chosen = parser.parse_args()
    found: dict[str, list[Row]] = {}
    if chosen.only != "processes":
        with tempfile.TemporaryDirectory() as folder, s3_server(Path(folder)) as server, credentials(server):
            found["storage"] = storage_rows(fill(server), chosen.rate)
    if chosen.only != "storage":
        found["processes"] = process_rows()
    chosen.json.parent.mkdir(parents=True, exist_ok=True)
    chosen.json.write_text(json.dumps(found, indent=1))
    rows = [row for some in found.values() for row in some]
    lost = [row for row in rows if row["outcome"].isupper()]
    print("", *matrix(found.get("storage", [])), sep="\n")
    print(f"\n{len(rows)} cases, {sum(row.get('injected', 1) for row in rows)} faults, {len(lost)} lost")
    return 1 if lost else 0


if __name__ == "__main__":
    raise SystemExit(main())
