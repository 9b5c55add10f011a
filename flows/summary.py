"""The closing lines of a run."""

from __future__ import annotations

from typing import Any

from dsir_core.config import SelectConfig


def print_summary(request: SelectConfig, figures: dict[str, Any]) -> None:
    """Print what was selected, whether it worked, and where it lies."""
    config = request.shown()
    documents, tokens, weights = figures["documents"], figures["tokens"], figures["weights"]
    print(f"selected {documents['selected']:,} of {documents['raw']:,} documents, {tokens['selected']:,} tokens")
    print(
        f"not selected: {documents['rejected']:,} rejected, {documents['ineligible']:,} under "
        f"{config.min_tokens} tokens, {documents['bad']:,} bad"
        + (f", {documents['excluded']:,} excluded" if documents["excluded"] else "")
    )
    for name, target in figures["targets"].items():
        if target["kl_selected"] is not None:
            print(
                f"KL reduction for {name}: {target['kl_reduction']:.3f} nats "
                f"({target['kl_raw']:.3f} raw, {target['kl_selected']:.3f} selected)"
            )
    print(
        f"effective sample size {weights['effective_sample_size']:.1f}, "
        f"overlap with plain top-k {weights['top_k_overlap']:.1%}"
    )
    reused = sum(stage["reused"] for stage in figures["stages"].values())
    seconds = sum(stage["seconds"] for stage in figures["stages"].values())
    print(f"{seconds:.1f} s in all stages, {reused:,} results reused from {config.workdir_url}")
    if figures["storage"]["retries"]:
        print(f"{figures['storage']['retries']:,} requests to storage were made again")
    if not figures["fit"]["refitted"]:
        print(f"model of an earlier run; raw has drifted by {figures['fit']['drift_nats']:.2g} nats since")
    print(f"selection {config.output}")
    print(f"report    {config.output.rstrip('/')}/report.html")
