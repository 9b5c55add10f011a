"""What is compiled ahead is all that a selection with the defaults needs."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

from tests.integration.conftest import TARGET

PROGRAM = textwrap.dedent("""
    import sys

    from dsir_core import select
    from dsir_core.shards.warm_up import warm_up

    def compiled():
        modules = [module for name, module in sys.modules.items() if name.startswith("dsir_core.")]
        found = {id(value): value for module in modules for value in vars(module).values()}.values()
        kernels = [value for value in found if hasattr(value, "nopython_signatures")]
        return sorted(f"{kernel.__name__}{kernel.signatures}" for kernel in kernels if kernel.signatures)

    warm_up()
    before = compiled()
    raw, target, output = sys.argv[1:]
    select(raw=raw, target={"speeches": target}, count=5, output=output)
    assert before
    print(set(compiled()) - set(before))
""")


def test_a_selection_compiles_nothing_more(pool: Path, tmp_path: Path) -> None:
    (tmp_path / "raw.jsonl").write_bytes(b"".join(pool.read_bytes().splitlines(keepends=True)[:200]))
    words = [sys.executable, "-c", PROGRAM, tmp_path / "raw.jsonl", TARGET["speeches"], tmp_path / "output"]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
