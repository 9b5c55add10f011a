"""Flags say what they take: every kind of value that a setting allows stands in its help."""

from __future__ import annotations

import argparse

import pytest

from dsir_core.config.request import parse_config
from dsir_core.config.settings import RawPrior
from flows.cli import main
from flows.options import add_options, request_values


@pytest.mark.parametrize(
    ("flag", "metavar"),
    [
        ("--smoothing", "auto|raw_prior=N|N"),
        ("--count", "N"),
        ("--fraction", "N"),
        ("--fit-ngrams", "all|auto|N"),
        ("--quotas", "raw|target|NAME=SHARE"),
        ("--method", "heuristic|heuristic-top-k|importance|random|top-k"),
        ("--include", "INCLUDE"),
        ("--chunk", "KEY=VALUE"),
        ("--proportions", "NAME=SHARE"),
    ],
)
def test_help_shows_what_a_flag_takes(flag: str, metavar: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["select", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert f" {flag} {metavar} " in shown


@pytest.mark.parametrize(
    ("given", "meant"),
    [("auto", "auto"), ("1", 1.0), ("0.5", 0.5), ("raw_prior=1e4", RawPrior(raw_prior=10_000.0))],
)
def test_smoothing_takes_all_that_its_help_shows(given: str, meant: object) -> None:
    parser = argparse.ArgumentParser()
    add_options(parser)
    words = ["--raw", "r", "--target", "t", "--output", "o", "--count", "1", "--smoothing", given]
    assert parse_config(request_values(parser.parse_args(words))).smoothing == meant
