"""Stage write: the chosen records, as they were, and the list of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from dsir_core.checkpoints.kinds import HASHES
from dsir_core.corpus.formats.registry import ENTRIES
from dsir_core.errors import RunFailedError
from dsir_core.report.advice import advise
from dsir_core.report.formatting import counted
from dsir_core.resampling.copies import CopyCounts
from dsir_core.runtime.executor import LazySequence
from dsir_core.shards.bucket_names import SAMPLE_PIECES
from dsir_core.shards.excerpts import evenly
from dsir_core.shards.extract import Extracted, ExtractTask, extract_shard
from dsir_core.shards.parts import PartResult, PartTask, plan_parts, write_part
from dsir_core.shards.selection_list import SelectedResult, SelectedTask, write_selected
from dsir_core.stages.count import Counts
from dsir_core.stages.mark import index_targets, match, total
from dsir_core.stages.output_dir import begin_output
from dsir_core.stages.plan import Plan
from dsir_core.stages.resample import ResampleResult
from dsir_core.stages.run import Run
from dsir_core.stages.score import Scores
from dsir_core.stages.work import StageWork, describe


@dataclass(frozen=True)
class Written:
    """Result of the stage."""

    parts: tuple[PartResult, ...]
    selected: SelectedResult
    counts: npt.NDArray[np.int64]
    """int64[targets, buckets]: n-grams of the chosen documents, by who chose them."""
    extracts: tuple[str, ...]
    """Names of some files in the workdir that hold chosen records, spread over all."""
    place: str
    """URL where all this is, until the report is there too."""
    copies: CopyCounts
    """Of the chosen documents."""


def write(run: Run, plan: Plan, counts: Counts, scores: Scores, sample: ResampleResult) -> Written:
    """Write parts and `selected.parquet`, to the output or beside the selection that is there.

    Raises:
        RunFailedError: what was written is not what was chosen.
        StageFailedError: shards failed for a reason that may pass.
    """
    work = StageWork(run, "write")
    config = run.config
    picked = [i for i, mark in enumerate(sample.marks) if mark.n_selected]
    shards = [scores.shards[i] for i in picked]
    work.announce(shards)

    def task(index: int) -> ExtractTask:
        i = picked[index]
        receipt, read = sample.marks[i].receipt, config.read.unconditional
        return ExtractTask(
            config.workdir_url,
            scores.shards[i],
            read,
            config.features,
            receipt,
            sample.selectors,
            config.chunk,
            config.whole_documents,
        )

    tasks = LazySequence(len(picked), task)
    found: dict[int, Extracted] = {}
    ngrams = np.zeros((len(sample.selectors), config.buckets), np.int64)
    hashes: dict[int, str] = {}
    run.manifest.need("write", [HASHES.name(each.hashes_key) for each in tasks])
    for index, result in work.map(extract_shard, tasks, shards):
        found[index] = result.extracted
        hashes[index] = result.hashes.name
        ngrams += result.counts
    if work.damaged:
        raise RunFailedError(f"write: {next(iter(work.damaged.values()))}; the file changed during the run")
    work.judge()
    for index, extracted in found.items():
        wanted = sample.marks[picked[index]].n_selected
        if extracted.chosen != wanted:
            raise RunFailedError(
                f"write: {describe(shards[index])}: {wanted:,} documents were chosen, {extracted.chosen:,} "
                f"found; the file changed during the run"
            )
    copies = _copies(work, plan, counts, [hashes[index] for index in range(len(tasks))], sample.account.n_selected)
    extracts = [file for index in range(len(tasks)) for file in found[index].files]
    compression = output_compression(run, plan)
    parts = plan_parts(extracts, compression)
    place = begin_output(run, [name for name, _ in parts])
    listed = SelectedTask(config.workdir_url, place, tuple(sample.marks[i].receipt.name for i in picked), sample.schema)
    (joined,) = work.all(write_selected, [listed])
    tasks_of_parts = [PartTask(config.workdir_url, place, name, compression, group) for name, group in parts]
    written = work.all(write_part, tasks_of_parts)
    total = sum(part.documents for part in written)
    n_records = sum(shard.documents for shard in found.values())
    if total != n_records or joined.documents != sample.account.n_selected:
        raise RunFailedError(
            f"write: {sample.account.n_selected:,} documents were chosen, {total:,} of {n_records:,} written, "
            f"{joined.documents:,} listed"
        )
    work.finish()
    some = tuple(extracts[i].name for i in evenly(len(extracts), SAMPLE_PIECES))
    return Written(tuple(written), joined, ngrams, some, place, copies)


def _copies(work: StageWork, plan: Plan, counts: Counts, hashes: list[str], selected: int) -> CopyCounts:
    """Copies of each other, and of target documents, among the chosen documents; noted where there are any."""
    found = total(match(work, hashes, index_targets(work, plan, counts), selected)) if hashes else CopyCounts()
    documents = counted(selected, "document")
    if found.copies:
        work.run.note(advise("dedup", found=found.copies, documents=documents, largest=found.largest))
    if found.in_target:
        work.run.note(advise("target-copies", where="the selection", found=found.in_target, documents=documents))
    return found


def output_compression(run: Run, plan: Plan) -> str:
    """Compression of parts of text: as asked, or as all raw files that codecs may wrap have it, else zstd."""
    if run.config.compression != "auto":
        return run.config.compression
    kinds = {file.compression for file in plan.raw.corpus.files if ENTRIES[file.format].packed}
    if len(kinds) == 1 and (kind := kinds.pop()) in ("none", "gzip"):
        return kind
    return "zstd"
