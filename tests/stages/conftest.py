"""Runs over the demo corpus."""

from tests.integration.conftest import pool as pool  # the fixture
from tests.integration.conftest import run_select as run_select
