"""Mutants that no test can kill: what they do is what the module does, at most a little slower."""

from __future__ import annotations

from tests.mutation.mutants import Mutant

GROUPS = "how much work one task is given"
BUFFER = "the size of a buffer: the same bytes come, in other pieces"

EQUIVALENT: dict[str, dict[str, dict[str, str]]] = {
    "checkpoints/store": {
        "READ_BYTES = 2**20": {"operator Mult: 2 ** 20": BUFFER, "one more: 2": BUFFER, "one more: 20": BUFFER},
        "size = -1": {"one more: 1": "any negative size stands for a file that has gone"},
        "mask = os.umask(0)": {"one more: 0": "the mask is set for an instant, only to ask for the one before"},
    },
    "checkpoints/manifest": {
        'self._store.write(f"{self._folder}/{HEAD}", json.dumps(head, indent=1).encode())': {
            "one more: 1": "the layout of a JSON file"
        },
    },
    "model/importance": {
        "return smoothed(counts, np.empty(0), NONE)": {"one more: 0": "without smoothing raw is not looked at"},
    },
    "shards/score": {
        "ROW_GROUP_ROWS = 128 * 1024": dict.fromkeys(
            ("operator FloorDiv: 128 * 1024", "one more: 128", "one more: 1024"), "the same rows, in other row groups"
        ),
    },
    "resampling/quotas": {
        "path, places, before = [start], {start: 0}, -1": {"one more: 1": "no place is negative"},
        "is_open = [share > 0 and room > 0 for share, room in zip(shares, available, strict=True)]": {
            "comparison GtE: room > 0": "a stratum without room is full in the first round"
        },
    },
    "resampling/thresholds": {
        "GROUP_DOCUMENTS = 10_000_000": {"one more: 10000000": GROUPS},
        "GROUP_SHARDS = 128": {"one more: 128": GROUPS},
        "POOLS_AT_ONCE = 32": {"one more: 32": GROUPS},
        "QUANTILE_LEVELS = 2": {"one more: 2": "more digits of a figure that is right to a millionth"},
        "limit = min(GROUP_SHARDS, -(-len(self.shards) // (2 * self.executor.n_workers)))": dict.fromkeys(
            (
                "min swapped: min(GROUP_SHARDS, -(-len(self.shards) // (2 * self.executor.n_workers)))",
                "minus removed: -(-len(self.shards) // (2 * self.executor.n_workers))",
                "operator Mult: -len(self.shards) // (2 * self.executor.n_workers)",
                "minus removed: -len(self.shards)",
                "operator FloorDiv: 2 * self.executor.n_workers",
                "one more: 2",
            ),
            GROUPS,
        ),
        "tasks = LazySequence(-(-len(shards) // GROUP_SHARDS), task)": {
            "operator Mult: -len(shards) // GROUP_SHARDS": "groups without shards add nothing"
        },
        "return [total.effective_sample_size for total in totals], totals[0].n": {
            "one more: 0": "all are of the same documents"
        },
        "return [0.0 for _ in temperatures], 0": {"one more: 0.0": "of no documents no size is wanted"},
    },
    "shards/count": {
        "room = NGRAM_CACHE.room(task.workdir, task.keep_bytes) if task.keeps else 0": {
            "one more: 0": "nothing fits into one byte"
        },
        "recorder = NgramRecorder(room) if room > 0 else None": {
            "comparison GtE: room > 0": "nothing fits into no byte",
            "one more: 0": "nothing fits into one byte",
        },
    },
    "shards/select": {
        "target_of = np.array([cut.ranking.target for cut in task.cuts] + [-1], np.int32)": {
            "one more: 1": "any negative target stands for none"
        },
    },
    "corpus/tally": {
        "SPOOL_BYTES = 4 * 2**20": dict.fromkeys(
            ("operator FloorDiv: 4 * 2 ** 20", "one more: 4", "operator Mult: 2 ** 20", "one more: 2", "one more: 20"),
            "from which size on a list is kept on disk",
        ),
        "tally.parents += int((np.diff(batch.positions, prepend=-1) != 0).sum())": {
            "one more: 1": "no position is negative"
        },
    },
}
"""By module and by line of its source: mutant, and why nothing can tell it from the module."""


def is_equivalent(module: str, source: str, mutant: Mutant) -> bool:
    """Whether a mutant is known to mean the same as its module."""
    line = source.splitlines()[mutant.line - 1].strip()
    return mutant.what in EQUIVALENT.get(module, {}).get(line, {})
