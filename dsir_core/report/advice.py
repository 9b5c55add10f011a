"""Every piece of advice on settings, size and target that the program gives, in one table, with what backs it.

A piece stands here only if following it selects better on text with known labels, or no worse: each names an experiment
of `benchmarks.quality.advising`, and what that experiment measured. Facts, and errors with their way out, are not
advice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Advice:
    """One piece of advice."""

    name: str
    """Also of the experiment that backs it."""
    text: str
    """For `str.format`."""
    when: str
    """When it is given."""
    figure: str
    """What the experiment measures, from 0 to 1; more is better."""
    ignored: float
    """That figure where the advice is not followed, on the demo corpus."""
    followed: float
    """That figure where it is."""


ADVICE = {
    advice.name: advice
    for advice in (
        Advice(
            "smoothing",
            "target {target!r} is small: {ngrams} for {buckets:,} buckets, and what it lacks by chance counts "
            "heavily against a document: try --smoothing auto",
            "a small target without smoothing",
            "precision at k, four targets of ten documents",
            ignored=0.78,
            followed=0.88,
        ),
        Advice(
            "tokenizer",
            "target {target!r}: {unspaced:.0%} of it is in scripts without spaces between words (Chinese, Japanese, "
            "Korean, Thai, ...), whose sentences wordpunct takes for single words: try --tokenizer unicode",
            "a target in such scripts, with the tokenizer `wordpunct`",
            "precision at k, Chinese poems",
            ignored=0.1,
            followed=1.0,
        ),
        Advice(
            "min-tokens",
            "raw: of {documents} in the sample, {eligible:,} with {min_tokens:,} tokens or more, and no others can be "
            "selected: is --min-tokens {min_tokens} meant?",
            "less than a tenth of raw is long enough",
            "share of the speeches in raw that are selected, `min_tokens` 1500 and the default",
            ignored=0.0,
            followed=0.97,
        ),
        Advice(
            "target-copies",
            "copies of target documents, word for word, in {where}: {found:,} of {documents}. Copies come before all "
            "others: --exclude-target-copies leaves them out",
            "raw holds documents of a target",
            "share of the selection that is of the kind and in no target",
            ignored=0.57,
            followed=0.97,
        ),
        Advice(
            "dedup",
            "copies of other selected documents in the selection: {found:,} of {documents}, one text up to {largest:,} "
            "times: --dedup exact keeps one of each",
            "the selection holds a text more than once",
            "share of the selection that is of the kind and no copy",
            ignored=0.49,
            followed=0.97,
        ),
        Advice(
            "target-size",
            "{target}: {documents} in the target, too few for a precise figure; add some if you can",
            "a target of fewer than 20 documents",
            "precision at k, four targets of 10 and of 60 documents",
            ignored=0.9,
            followed=0.94,
        ),
        Advice(
            "outliers",
            "{target}: less like the other target documents than half of raw is: {outliers:,} of {documents:,}, first "
            "{file} at {position}; look whether they belong to it",
            "a few target documents are unlike the others",
            "precision at k, 57 speeches with three Go files and without",
            ignored=0.97,
            followed=0.97,
        ),
        Advice(
            "match",
            "{pooled}: {low:.0%} of {least} would have been selected and {high:.0%} of {most}, since they share one "
            "model: --match gives each target its share",
            "one of several targets is recovered less than half as much as another",
            "share of a selection for two targets that is of the rarer of the two kinds",
            ignored=0.08,
            followed=0.49,
        ),
        Advice(
            "fewer",
            "{target}: {holds}; what is selected beyond that is likely to be of another kind: select fewer",
            "1.5 times what raw seems to hold, or more, is asked for",
            "precision, 210 speeches and as many as raw seems to hold",
            ignored=0.33,
            followed=0.85,
        ),
        Advice(
            "more",
            "{target}: {about} {enough} would recover 95%{twice}. More documents of other kinds then come with them",
            "less is asked for than recovers 95 %, and raw seems to hold more",
            "share of the speeches in raw that are selected, 35 documents and as many as advised",
            ignored=0.5,
            followed=0.91,
        ),
        Advice(
            "method",
            "recommended: {method}",
            "a comparison finds a method that selects better than chance",
            "precision at k, mean of the other methods and the recommended one",
            ignored=0.61,
            followed=0.97,
        ),
        Advice(
            "refit",
            "raw has drifted by {drift:.2g} nats from what its model was fitted on: the weights are no longer those of "
            "this corpus; fit anew with --refit always",
            "`refit: never`, and raw is no longer like what its model was fitted on",
            "precision at k, raw grown by other kinds",
            ignored=0.26,
            followed=0.97,
        ),
    )
}
"""By name."""


def advise(name: str, **values: Any) -> str:
    """The text of a piece of advice.

    Args:
        values: what its text has places for.

    Raises:
        KeyError: there is no such advice, or a value is missing.
    """
    return ADVICE[name].text.format(**values)
