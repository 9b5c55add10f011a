"""Methods of selection and what is known of each without computing anything: one entry a method.

Documents are chosen by keys, the largest first. Everything that differs between methods stands in their entries: help,
checks of a request, columns that are read, the notes and the figures of reports. To add one, register an entry and
write its key function (see `dsir_core/resampling/methods.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

DIALS = ("temperature", "target_ess", "length_normalise")
"""Settings of which a method may make use, or not."""

BASELINE = "top-k"
"""The method that reports compare each selection with."""


@dataclass(frozen=True)
class Method:
    """A method of selection.

    Functions are named as `module:function`, since a request must be checked without NumPy. All are pure.
    """

    name: str
    summary: str
    """What it selects, in one line."""
    keys: str
    """(rows: Rows, ranking: Ranking) -> float64[n]: keys of documents; the largest are chosen."""
    uses_classifier: bool = False
    """Whether documents need log odds by a classifier, whose column its keys are made of."""
    dials: tuple[str, ...] = ()
    """Those of `DIALS` that change what it selects."""
    by_weight: bool = False
    """Whether a key is a log weight (divided by the temperature, and with noise, where the method has these): a
    threshold then has a place in the histogram of log weights."""
    chances: str | None = None
    """(rows: Rows, ranking: Ranking) -> float64[n]: log of what the chances of documents are in proportion to; None
    for a method without chance."""
    note: str | None = None
    """(selector: str, thresholds: Sequence[float]) -> str | None: what a run should know of its thresholds."""

    @property
    def is_sampled(self) -> bool:
        """Whether importance weights decide by chance, so that temperature and effective sample size matter."""
        return self.by_weight and self.chances is not None

    @property
    def ignores(self) -> tuple[str, ...]:
        """Those of `DIALS` that change nothing in what it selects."""
        return tuple(dial for dial in DIALS if dial not in self.dials)


_FUNCTIONS = "dsir_core.resampling.methods"

METHODS: dict[str, Method] = {}
"""By name, in the order in which comparisons show them: from chance to what is asked for by default."""


def register(method: Method) -> None:
    """Add a method.

    Raises:
        ValueError: there is one of that name.
    """
    if method.name in METHODS:
        raise ValueError(f"there is a method {method.name!r}")
    METHODS[method.name] = method


register(
    Method(
        "random",
        "uniform",
        f"{_FUNCTIONS}:random_keys",
        chances=f"{_FUNCTIONS}:equal_chances",
    )
)
register(
    Method(
        "heuristic",
        "what a classifier of target against raw keeps under Pareto noise",
        f"{_FUNCTIONS}:heuristic_keys",
        uses_classifier=True,
        chances=f"{_FUNCTIONS}:heuristic_chances",
        note=f"{_FUNCTIONS}:note_rounds",
    )
)
register(
    Method(
        "heuristic-top-k",
        "largest scores of that classifier",
        f"{_FUNCTIONS}:heuristic_top_k_keys",
        uses_classifier=True,
    )
)
register(
    Method(
        "top-k",
        "largest weights",
        f"{_FUNCTIONS}:top_k_keys",
        dials=("length_normalise",),
        by_weight=True,
    )
)
register(
    Method(
        "importance",
        "resample by importance weight (Gumbel top-k)",
        f"{_FUNCTIONS}:importance_keys",
        dials=DIALS,
        by_weight=True,
        chances=f"{_FUNCTIONS}:importance_chances",
    )
)


def method_of(name: str) -> Method:
    """The method of a name.

    Raises:
        ValueError: there is none.
    """
    if name in METHODS:
        return METHODS[name]
    raise ValueError(f"must be one of {', '.join(METHODS)}")


def methods_help() -> str:
    """All methods in words, the default first."""
    return "; ".join(f"{method.name}: {method.summary}" for method in reversed(METHODS.values())) + "."
