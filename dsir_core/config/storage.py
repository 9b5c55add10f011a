"""Where S3 is and who asks: what the environment and the usual configuration files do not say."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class StorageSettings(BaseModel):
    """How object storage is reached. Keys and secrets are never set here: they come from the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
    GROUP: ClassVar = "object storage"

    s3_endpoint: str | None = None
    """URL of an S3-compatible server; default: AWS_ENDPOINT_URL, or Amazon's own."""

    s3_profile: str | None = None
    """Profile of the AWS configuration files to take credentials from; default: AWS_PROFILE, or the keys in the
    environment."""

    s3_region: str | None = None
    """Region of the buckets; default: AWS_DEFAULT_REGION, or the profile's."""

    s3_anonymous: bool = False
    """Ask without credentials, for public buckets."""
