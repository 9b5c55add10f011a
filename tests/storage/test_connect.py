"""Filesystems: what settings become of them, and which package a missing one comes in."""

from __future__ import annotations

import pytest

from dsir_core.config.storage import StorageSettings
from dsir_core.corpus.listing import list_corpus
from dsir_core.errors import RequestError
from dsir_core.storage.connect import connect, storage_settings


def test_settings_reach_the_filesystem() -> None:
    settings = StorageSettings(s3_endpoint="http://127.0.0.1:1", s3_region="mars-1", s3_anonymous=True)
    with storage_settings(settings):
        filesystem, path = connect("s3://bucket/key")
    assert (filesystem.endpoint_url, filesystem.anon, filesystem.retries, path) == (
        "http://127.0.0.1:1", True, 1, "bucket/key",
    )  # fmt: skip
    assert filesystem.client_kwargs == {"region_name": "mars-1"}
    config = filesystem.config_kwargs
    assert min(config["connect_timeout"], config["read_timeout"]) > 0
    assert config["retries"]["total_max_attempts"] == 1


@pytest.mark.parametrize(
    ("url", "package"),
    [("gs://b/a.jsonl", "gcsfs"), ("abfs://b/a.jsonl", "adlfs"), ("hf://datasets/a/b.jsonl", "huggingface_hub")],
)
def test_a_filesystem_that_is_not_installed_is_named_with_its_package(url: str, package: str) -> None:
    with pytest.raises(RequestError, match=package):
        list_corpus([url])
