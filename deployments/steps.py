"""Steps of prefect.yaml."""

from __future__ import annotations

from importlib import metadata


def package() -> dict[str, str]:
    """Name and version of the installed package, for versions of deployments and tags of images."""
    found = metadata.metadata("dsir-pipeline")
    return {"name": found["Name"], "version": found["Version"]}
