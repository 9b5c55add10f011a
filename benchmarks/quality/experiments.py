"""What is tried: each experiment is a table of settings by what is asked; a new setting is one line here."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.quality.trial import REFERENCE, SHARES, Ask

Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Column:
    """What is asked, once or several times for the mean."""

    title: str
    asks: tuple[Ask, ...]


@dataclass(frozen=True)
class Experiment:
    """A table: a row a setting, a column an ask, a cell the mean over its asks and the draws."""

    name: str
    title: str
    rows: Mapping[str, Settings]
    columns: Sequence[Column]
    figures: tuple[str, ...] = ("precision",)
    """Of each cell; each makes a table."""


KINDS = {
    "demo": ("speeches", "sqlite_manual", "go_code", "jargon"),
    "technical": ("man_pages", "release_notes", "speeches", "go_code", "perl_manual"),
    "languages": ("zh-cn", "ja", "ko", "th", "km", "ar", "de"),
    "japanese": ("spreadsheet", "administration", "music", "reference"),
}


def of_kind(pool: str, kind: str, n: int = 0) -> Ask:
    """Documents of one kind of a pool as the target."""
    return Ask(pool, ((kind, n),))


def by_pool(*pools: str) -> list[Column]:
    """A column a pool, over its kinds."""
    return [Column(pool, tuple(of_kind(pool, kind) for kind in KINDS[pool])) for pool in pools]


def by_kind(pool: str, *kinds: str) -> list[Column]:
    """A column a kind of one pool."""
    return [Column(kind, (of_kind(pool, kind),)) for kind in kinds or KINDS[pool]]


def by_size(pool: str, *sizes: int) -> list[Column]:
    """A column a number of target documents, over the pool's kinds."""
    return [Column(f"{n} documents", tuple(of_kind(pool, kind, n) for kind in KINDS[pool])) for n in sizes]


def few(*pools: str, n: int = 10) -> list[Column]:
    """A column a pool, over its kinds, with few target documents."""
    return [Column(f"{pool}, {n} documents", tuple(of_kind(pool, kind, n) for kind in KINDS[pool])) for pool in pools]


def mixed(pool: str, **documents: int) -> list[Column]:
    """One column: a target of several kinds."""
    title = " and ".join(f"{n} {kind}" for kind, n in documents.items())
    return [Column(title, (Ask(pool, tuple(documents.items())),))]


def product(*parts: Mapping[str, Settings]) -> dict[str, Settings]:
    """Rows of all combinations."""
    rows: dict[str, Settings] = {}
    for chosen in itertools.product(*(part.items() for part in parts)):
        title = ", ".join(name for name, _ in chosen if name)
        rows[title] = {key: value for _, settings in chosen for key, value in settings.items()}
    return rows


DEFAULTS: dict[str, Settings] = {"defaults": {}}
ANY_LENGTH: dict[str, Settings] = {"": {"min_tokens": 0}}
SMOOTHING: dict[str, Settings] = {
    "unsmoothed": {"smoothing": 0.0},
    "smoothing 1": {"smoothing": 1.0},
    "raw_prior=10000": {},
}
LENGTH: dict[str, Settings] = {
    "whole": {"length_normalise": "none"},
    "sqrt": {"length_normalise": "sqrt"},
    "per token": {},
}
TOKENIZER: dict[str, Settings] = {"wordpunct": {"tokenizer": "wordpunct"}, "unicode": {}}
FEATURES: dict[str, Settings] = {
    **DEFAULTS,
    "hash sha256": {"hash": "sha256"},
    "1-grams": {"ngrams": 1},
    "3-grams": {"ngrams": 3},
    "1,000 buckets": {"buckets": 1_000},
    "100,000 buckets": {"buckets": 100_000},
}
METHODS: dict[str, Settings] = {
    "importance": {},
    "top-k": {"method": "top-k"},
    "random": {"method": "random"},
    "heuristic": {"method": "heuristic"},
    "heuristic-top-k": {"method": "heuristic-top-k"},
}
PIECES: dict[str, Settings] = {"whole documents": {}, "pieces of 128 words": {"chunk": {"words": 128}}}
SPREAD: dict[str, Settings] = {
    **DEFAULTS,
    **{f"temperature {n}": {"temperature": n} for n in (10, 100, 1000)},
    **{f"target_ess {share}": {"target_ess": share} for share in (0.001, 0.01, 0.1)},
    "whole": {"length_normalise": "none"},
    "whole, target_ess 0.001": {"length_normalise": "none", "target_ess": 0.001},
    "whole, target_ess 0.01": {"length_normalise": "none", "target_ess": 0.01},
}
MIXTURES: dict[str, Settings] = {
    "pooled": {},
    "pooled, target_ess 0.01": {"target_ess": 0.01},
    "separate": {"separate": True},
    "separate, proportions as asked": {"separate": True, "proportions": SHARES},
    "match": {"match": True},
    "match, whole": {"match": True, "length_normalise": "none"},
}


def small(pool: str, *sizes: int, base: Mapping[str, Settings] = {"": {}}) -> Experiment:
    """What smoothing and length normalisation do for targets of few documents."""
    return Experiment(
        f"small-{pool}", f"small targets, pool {pool}", product(base, SMOOTHING, LENGTH), by_size(pool, *sizes)
    )


PRESETS: dict[str, Settings] = {
    "reference": REFERENCE,
    "defaults": {},
    "auto": {"smoothing": "auto", "length_normalise": "auto"},
    "smoothing 1": {"smoothing": 1.0},
    "raw_prior=1000": {"smoothing": {"raw_prior": 1e3}},
    "raw_prior=100000": {"smoothing": {"raw_prior": 1e5}},
    "sqrt": {"length_normalise": "sqrt"},
    "whole documents": {"length_normalise": "none"},
    "wordpunct": {"tokenizer": "wordpunct"},
}

EXPERIMENTS = (
    Experiment(
        "presets",
        "the reference's settings, the defaults, and settings near them",
        PRESETS,
        [
            Column(f"{pool}, {n or 'all'}", tuple(of_kind(pool, kind, n) for kind in KINDS[pool]))
            for n in (0, 30, 10)
            for pool in ("demo", "technical", "languages", "japanese")
        ],
    ),
    Experiment(
        "methods",
        "methods",
        METHODS,
        [*by_pool("demo", "technical"), *few("demo", "technical")],
        ("precision", "kl_reduction"),
    ),
    small("technical", 300, 100, 30, 10),
    small("demo", 60, 30, 10),
    small("japanese", 100, 30, 10, base=ANY_LENGTH),
    Experiment(
        "languages",
        "one manual in twenty languages",
        product(ANY_LENGTH, TOKENIZER, LENGTH),
        by_kind("languages"),
    ),
    Experiment(
        "japanese",
        "kinds of Japanese text",
        product(ANY_LENGTH, TOKENIZER, LENGTH),
        [*by_kind("japanese"), Column("mean", by_pool("japanese")[0].asks)],
    ),
    Experiment(
        "tokenizer",
        "the tokenizer, other text",
        product(ANY_LENGTH, TOKENIZER),
        [*by_kind("demo", "tang_poetry"), *by_pool("demo", "technical")],
    ),
    Experiment(
        "eligible",
        "short documents: eligible documents under min_tokens 100 and 0",
        product(TOKENIZER, {"min_tokens 100": {}, "min_tokens 0": {"min_tokens": 0}}),
        by_pool("languages", "japanese"),
        ("eligible",),
    ),
    Experiment(
        "spread",
        "temperature, effective sample size, length",
        SPREAD,
        by_pool("demo", "technical"),
        ("precision", "ess", "overlap", "length"),
    ),
    Experiment(
        "pieces",
        "documents cut into pieces; k is of pieces then",
        PIECES,
        by_pool("demo", "technical"),
        ("precision", "ess", "overlap"),
    ),
    Experiment(
        "mixtures",
        "a target of two kinds, 70 to 30",
        MIXTURES,
        [
            *mixed("technical", man_pages=70, release_notes=30),
            *mixed("technical", man_pages=210, release_notes=90),
            *mixed("technical", man_pages=210, speeches=90),
            *mixed("demo", jargon=42, sqlite_manual=18),
        ],
        ("share of the first", "share of the second"),
    ),
    Experiment("features", "features", FEATURES, by_pool("demo", "technical"), ("precision",)),
)
SMOKE = (
    Experiment(
        "smoke",
        "a look at every figure",
        {
            **DEFAULTS,
            "random": METHODS["random"],
            "separate": {"separate": True, "proportions": SHARES, "smoothing": "auto"},
            "reference": REFERENCE,
        },
        [*by_kind("demo", "speeches"), *mixed("demo", speeches=14, go_code=6)],
        ("precision", "share of the first", "kl_reduction", "ess", "overlap", "length", "eligible"),
    ),
)
