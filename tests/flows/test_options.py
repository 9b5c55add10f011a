"""Flags of the command: what their help shows, what they take, and what wins when a file says otherwise."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.request import SelectConfig, parse_config
from dsir_core.config.settings import RawPrior
from dsir_core.config.storage import StorageSettings
from flows.options import add_options, add_storage_options, request_values, storage_of

CORPORA = ["--raw", "r", "--target", "t", "--output", "o"]
SIZED = [*CORPORA, "--count", "1"]


@pytest.fixture(scope="module")
def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser()
    add_options(parser)
    return parser


@pytest.fixture(scope="module")
def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def values(parser: argparse.ArgumentParser, *words: str) -> dict[str, Any]:
    return request_values(parser.parse_args(list(words)))


def test_every_setting_has_a_flag_of_its_name_with_its_description(actions: dict[str, argparse.Action]) -> None:
    assert set(actions) - {"config"} == set(SelectConfig.model_fields)
    for name, field in SelectConfig.model_fields.items():
        assert "--" + name.replace("_", "-") in actions[name].option_strings
        assert field.description
        assert (actions[name].help or "").replace("%%", "%").startswith(field.description)


@pytest.mark.parametrize("name", SelectConfig.model_fields)
def test_help_shows_the_default_of_every_setting_that_has_one(name: str, actions: dict[str, argparse.Action]) -> None:
    field = SelectConfig.model_fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    is_off = default is None or default is False or default == ""
    shown = (actions[name].help or "").removeprefix((field.description or "").replace("%", "%%"))
    text = " ".join(default) if isinstance(default, tuple) else str(default)
    assert shown == ("" if is_off else f" [{text}]")


def test_a_default_of_zero_is_a_default(actions: dict[str, argparse.Action]) -> None:
    for name, shown in (("seed", "[0]"), ("max_bad_shards", "[0]")):
        assert str(actions[name].help).endswith(f" {shown}")


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
        ("--raw", "GLOB"),
        ("--target", "[NAME=]GLOB"),
    ],
)
def test_help_shows_what_a_flag_takes(flag: str, metavar: str, actions: dict[str, argparse.Action]) -> None:
    assert actions[flag.removeprefix("--").replace("-", "_")].metavar == metavar


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["--smoothing", "auto"], {"smoothing": "auto"}),
        (["--smoothing", "1"], {"smoothing": 1.0}),
        (["--smoothing", "0.5"], {"smoothing": 0.5}),
        (["--smoothing", "raw_prior=1e4"], {"smoothing": RawPrior(raw_prior=10_000.0)}),
        (["--fit-ngrams", "1e6"], {"fit_ngrams": 1_000_000}),
        (["--fit-ngrams", "all"], {"fit_ngrams": "all"}),
        (["--seed", "9223372036854775807"], {"seed": 2**63 - 1}),
        (["--separate"], {"separate": True}),
        (["--no-separate"], {"separate": False}),
        (["--target", "a=x=y.jsonl", "a=z"], {"target": {"target": ("t",), "a": ("x=y.jsonl", "z")}}),
        (["--strata", "kind", "--quotas", "raw"], {"quotas": "raw"}),
        (["--strata", "kind", "--quotas", "a=2", "--quotas", "b=0.5"], {"quotas": {"a": 2, "b": 0.5}}),
    ],
    ids=" ".join,
)
def test_a_flag_takes_all_that_its_help_shows(
    parser: argparse.ArgumentParser, words: list[str], meant: dict[str, Any]
) -> None:
    config = parse_config(values(parser, *SIZED, *words))
    assert {name: getattr(config, name) for name in meant} == meant


def test_what_is_not_given_is_not_in_the_request(parser: argparse.ArgumentParser) -> None:
    assert values(parser) == {}
    assert values(parser, *SIZED) == {"raw": ["r"], "target": ["t"], "output": "o", "count": 1}


def test_a_pair_without_a_share_is_refused(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parser.parse_args([*CORPORA, "--proportions", "a=1", "b"])
    assert ended.value.code == 2
    assert "--proportions: 'b' is not NAME=SHARE" in capsys.readouterr().err


@pytest.fixture
def config_file(tmp_path: Path) -> str:
    path = tmp_path / "request.yaml"
    path.write_text(
        "raw: [a, b]\ntarget: t\noutput: o\ncount: 5\nmin-tokens: 7\nseed: 3\ncluster: {address: 'tcp://x:1'}\n"
    )
    return str(path)


def test_flags_win_over_the_file_and_zero_is_a_value(parser: argparse.ArgumentParser, config_file: str) -> None:
    found = values(parser, config_file, "--seed", "0", "--raw", "c")
    assert found == {"raw": ["c"], "target": "t", "output": "o", "count": 5, "min_tokens": 7, "seed": 0}


@pytest.mark.parametrize(("flag", "size"), [("--tokens", {"tokens": 9}), ("--fraction", {"fraction": 0.5})])
def test_a_size_replaces_that_of_the_file_whatever_its_unit(
    parser: argparse.ArgumentParser, config_file: str, flag: str, size: dict[str, Any]
) -> None:
    (given,) = size.values()
    found = values(parser, config_file, flag, str(given))
    assert {name: found[name] for name in ("count", "tokens", "fraction") if name in found} == size


def test_storage_flags_alone_give_storage_settings() -> None:
    parser = argparse.ArgumentParser()
    add_storage_options(parser)
    assert storage_of(parser.parse_args([])) == StorageSettings()
    given = storage_of(parser.parse_args(["--s3-endpoint", "http://127.0.0.1:9", "--s3-anonymous"]))
    assert given == StorageSettings(s3_endpoint="http://127.0.0.1:9", s3_anonymous=True)
