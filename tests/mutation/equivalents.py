"""Mutants that no test can kill: what they do is what the module does."""

from __future__ import annotations

from tests.mutation.mutants import Mutant

EQUIVALENT: dict[str, dict[str, tuple[tuple[str, str], ...]]] = {}
"""By module and by line of its source: (mutant, why nothing can tell it from the module)."""


def is_equivalent(module: str, source: str, mutant: Mutant) -> bool:
    """Whether a mutant is known to mean the same as its module."""
    line = source.splitlines()[mutant.line - 1].strip()
    return any(what == mutant.what for what, _ in EQUIVALENT.get(module, {}).get(line, ()))
