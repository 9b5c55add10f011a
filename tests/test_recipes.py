"""The recipes of CONTRIBUTING.md work, followed in a package outside the source tree."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from importlib import import_module, invalidate_caches
from pathlib import Path

import pytest

import dsir_core
from dsir_core.config.methods import METHODS
from tests.integration.conftest import DEMO

SPEECHES = DEMO / "targets" / "speeches.jsonl"

METHOD = '''
    """Short documents first."""

    import numpy as np


    def shortest_keys(rows, ranking):
        return -rows.n_tokens.astype(np.float64)
'''

REGISTRATION = """
    from dsir_core.config.methods import Method, register

    register(Method("shortest", "fewest tokens", "outside.shortest:shortest_keys"))
"""


@pytest.fixture(autouse=True)
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that registers a method when it is imported."""
    package = tmp_path / "packages" / "outside"
    package.mkdir(parents=True)
    for name, code in (("__init__", REGISTRATION), ("shortest", METHOD)):
        (package / f"{name}.py").write_text(textwrap.dedent(code).lstrip())
    monkeypatch.syspath_prepend(package.parent)
    invalidate_caches()
    methods = dict(METHODS)
    import_module("outside")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "outside"]:
        del sys.modules[name]
    METHODS.clear()
    METHODS.update(methods)


def test_a_method_from_outside_selects_by_its_keys(tmp_path: Path) -> None:
    settings = {"raw": DEMO / "raw", "target": SPEECHES, "count": 50, "workdir": tmp_path / "work"}
    found = dsir_core.select(**settings, method="shortest", output=tmp_path / "output")
    weights = dsir_core.score(**settings).read()
    eligible = sorted(n for n in weights.column("n_tokens").to_pylist() if n >= 100)
    rows = found.selected()
    assert sorted(rows.column("n_tokens").to_pylist()) == eligible[:50]
    assert rows.column("key").to_pylist() == [-float(n) for n in rows.column("n_tokens").to_pylist()]
    assert found.figures["config"]["method"] == "shortest"
    with pytest.raises(dsir_core.RequestError, match=r"no method 'longest', only .*shortest"):
        dsir_core.select(**settings, method="longest", output=tmp_path / "other")
