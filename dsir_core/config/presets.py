"""Named sets of settings. A setting that is given wins over its preset."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from dsir_core.config.described import Mark

Preset = Literal["reference"]

PRESETS: dict[Preset, dict[str, Any]] = {
    "reference": {"hash": "sha256", "tokenizer": "wordpunct", "smoothing": 0.0, "length_normalise": "none"},
}
"""reference: the answer of the paper and of the authors' package, `data-selection` 1.0.3."""


class PresetSettings(BaseModel):
    """A named set of settings."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    GROUP: ClassVar = "preset"

    preset: Annotated[Preset | None, Mark.COMMON] = None
    """reference: the answer of the paper and of the authors' package: sha256 buckets, wordpunct tokens, no smoothing,
    weights of whole documents. Settings that are given as well override it."""


def with_preset(values: dict[str, Any]) -> dict[str, Any]:
    """Fill in what the preset, and what scores from elsewhere, say of settings that are not given."""
    filled = dict(values)
    preset = values.get("preset")
    if isinstance(preset, str):
        for name, value in PRESETS.get(preset, {}).items():  # type: ignore[call-overload]
            filled.setdefault(name, value)
    if values.get("weights") is not None:
        # A score from elsewhere is not a sum over n-grams.
        filled.setdefault("length_normalise", "none")
    return filled
