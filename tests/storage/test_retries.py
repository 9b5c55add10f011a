"""Which failures of storage are tried again."""

from __future__ import annotations

import pytest

from dsir_core.storage.retries import is_transient


def _raised(error: OSError, while_handling: Exception) -> OSError:
    try:
        try:
            raise while_handling
        except type(while_handling):
            raise error  # noqa: B904
    except OSError as raised:
        return raised


@pytest.mark.parametrize("kind", [FileNotFoundError, PermissionError, FileExistsError])
def test_what_is_missing_or_forbidden_is_so_whatever_was_being_handled(kind: type[OSError]) -> None:
    assert not is_transient(_raised(kind("no"), TimeoutError()))


def test_a_translated_error_is_what_it_was_translated_from() -> None:
    assert is_transient(_raised(OSError("storage"), TimeoutError()))
    assert not is_transient(_raised(OSError("storage"), PermissionError()))
