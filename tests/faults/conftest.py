"""The corpus of the integration tests, for runs that meet faults."""

from tests.integration.conftest import pool

__all__ = ["pool"]
