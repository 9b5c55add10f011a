"""Fixtures of reports and of runs."""

from tests.report.conftest import figures as figures
from tests.report.conftest import pool as pool
from tests.report.conftest import run_select as run_select
