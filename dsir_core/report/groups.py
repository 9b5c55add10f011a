"""How often documents of some group are selected: by source file, by length, by whatever has a name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

N_GROUPS = 100
"""Groups that are reported by name."""


@dataclass(frozen=True)
class Group:
    """Documents with something in common."""

    name: str
    documents: int
    eligible: int
    selected: int


def by_file(files: Mapping[str, npt.NDArray[np.int64]]) -> dict[str, Any]:
    """Selection by source file, as report.json has it.

    Args:
        files: int64[3] by path: documents, those eligible, those selected.
    """
    return largest([Group(path, *(int(n) for n in counts)) for path, counts in files.items()])


def by_length(lengths: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Selection by number of tokens, as report.json has it.

    Args:
        lengths: int64[3, bins]: documents, those eligible, those selected, by binary digits of their tokens.
    """
    some = np.flatnonzero(lengths[0])
    bins = range(int(some[0]), int(some[-1]) + 1) if len(some) else range(0)
    return {"groups": [asdict(Group(_range(i), *(int(n) for n in lengths[:, i]))) for i in bins], "others": None}


def _range(digits: int) -> str:
    if digits < 2:
        return str(digits)
    return f"{2 ** (digits - 1):,}\u2013{2**digits - 1:,}"


def largest(groups: Iterable[Group], n: int = N_GROUPS) -> dict[str, Any]:
    """The groups of most documents, in order of their names, and the sum of the others where there are more."""
    ordered = sorted(groups, key=lambda group: (-group.documents, group.name))
    shown, rest = sorted(ordered[:n], key=lambda group: group.name), ordered[n:]
    return {"groups": [asdict(group) for group in shown], "others": _sum(rest) if rest else None}


def _sum(groups: Sequence[Group]) -> dict[str, Any]:
    return {
        "groups": len(groups),
        "documents": sum(group.documents for group in groups),
        "eligible": sum(group.eligible for group in groups),
        "selected": sum(group.selected for group in groups),
    }
