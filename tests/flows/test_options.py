"""Flags of the command: what their help shows, what they take, and what wins when a file says otherwise."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from dsir_core.config.described import Mark, marked
from dsir_core.config.request import SelectConfig
from dsir_core.config.settings import RawPrior
from dsir_core.config.storage import StorageSettings
from flows.cli import main, parse_words
from flows.config_file import read_config
from flows.options import add_options, add_storage_options, config_of, request_values, storage_of
from flows.parser import Parser

CORPORA = ["--raw", "r", "--target", "t", "--output", "o"]
SIZED = [*CORPORA, "--count", "1"]


@pytest.fixture(scope="module")
def parser() -> Parser:
    parser = Parser(shows_all=True)
    add_options(parser)
    return parser


@pytest.fixture(scope="module")
def actions(parser: Parser) -> dict[str, argparse.Action]:
    return {action.dest: action for action in parser._actions if action.dest != "help"}


def command(name: str, *words: str) -> argparse.Namespace:
    """What the command takes from words."""
    return parse_words([name, *words])


def values(parser: Parser, *words: str) -> dict[str, Any]:
    parsed = parser.parse_args(list(words))
    return request_values(parsed, read_config(parsed.config) if parsed.config else None)


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
    is_off = default is None or default is False or default in ("", ())
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
        (["--count", "10k"], {"count": 10_000}),
        (["--count", "1,234,567"], {"count": 1_234_567}),
        (["--count", "1.5B"], {"count": 1_500_000_000}),
        (["--tokens", "2e9"], {"tokens": 2_000_000_000}),
        (["--fraction", "5%"], {"fraction": 0.05}),
        (["--shard-bytes", "64MB"], {"shard_bytes": 64_000_000}),
        (["--keep-bytes", "1.5 GiB"], {"keep_bytes": 3 * 2**29}),
        (["--max-record-bytes", "1M"], {"max_record_bytes": 1_000_000}),
        (["--separate"], {"separate": True}),
        (["--no-separate"], {"separate": False}),
        (["--target", "a=x=y.jsonl", "a=z"], {"target": {"target": ("t",), "a": ("x=y.jsonl", "z")}}),
        (["--strata", "kind", "--quotas", "raw"], {"quotas": "raw"}),
        (["--strata", "kind", "--quotas", "a=2", "--quotas", "b=0.5"], {"quotas": {"a": 2, "b": 0.5}}),
    ],
    ids=" ".join,
)
def test_a_flag_takes_all_that_its_help_shows(parser: Parser, words: list[str], meant: dict[str, Any]) -> None:
    sized = {"count", "tokens", "fraction"} & set(meant)
    config = config_of(parser.parse_args([*(CORPORA if sized else SIZED), *words]))
    assert {name: getattr(config, name) for name in meant} == meant


def test_what_is_not_given_is_not_in_the_request(parser: Parser) -> None:
    assert values(parser) == {}
    assert values(parser, *SIZED) == {"raw": ["r"], "target": ["t"], "output": "o", "count": 1}


def test_a_pair_without_a_share_is_refused(parser: Parser, capsys: pytest.CaptureFixture[str]) -> None:
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


def test_flags_win_over_the_file_and_zero_is_a_value(parser: Parser, config_file: str) -> None:
    found = values(parser, config_file, "--seed", "0", "--raw", "c")
    assert found == {"raw": ["c"], "target": "t", "output": "o", "count": 5, "min_tokens": 7, "seed": 0}


@pytest.mark.parametrize(("flag", "size"), [("--tokens", {"tokens": 9}), ("--fraction", {"fraction": 0.5})])
def test_a_size_replaces_that_of_the_file_whatever_its_unit(
    parser: Parser, config_file: str, flag: str, size: dict[str, Any]
) -> None:
    (given,) = size.values()
    found = values(parser, config_file, flag, str(given))
    assert {name: found[name] for name in ("count", "tokens", "fraction") if name in found} == size


@pytest.mark.parametrize(
    ("words", "kept"),
    [(["--inline"], {"inline": True}), (["--workers", "2"], {"workers": 2}), (["--cluster", "a=b"], {})],
    ids=" ".join,
)
def test_who_works_is_said_by_the_command_line_where_it_contradicts_the_file(
    words: list[str], kept: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "request.yaml"
    path.write_text("inline: true\nworkers: 8\n" if "--inline" in words else "inline: true\n")
    parsed = command("select", *map(str, (path, *words)))
    found = request_values(parsed, read_config(str(path)))
    assert {name: found[name] for name in ("inline", "workers") if name in found} == kept


@pytest.mark.parametrize("words", [["--workers", "2"], ["--cluster", "address=tcp://h:1"], ["--dask-report", "f"]])
def test_inline_with_an_option_of_the_cluster_is_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["select", *SIZED, "--inline", *words]) == 2
    assert "exclude each other: with" in capsys.readouterr().err


COMMON = {f"--{name.replace('_', '-')}" for name in marked(SelectConfig, Mark.COMMON)}


def shown(words: str, capsys: pytest.CaptureFixture[str]) -> tuple[str, set[str]]:
    """The help of a command, and the flags in it."""
    with pytest.raises(SystemExit) as ended:
        main(words.split())
    assert ended.value.code == 0
    text = capsys.readouterr().out
    return text, set(re.findall(r"^  (?:-h, )?(--[a-z0-9-]+)", text, re.MULTILINE))


def test_the_help_shows_a_dozen_common_settings_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    text, flags = shown("select --help", capsys)
    assert text.startswith("usage: dsir select [CONFIG.yaml] [options]\n")
    assert text.count("\n  dsir select ") == 2
    assert flags - {"--help", "--help-all"} == COMMON
    assert 8 <= len(COMMON) <= 14


def test_the_long_help_shows_every_setting_in_groups(capsys: pytest.CaptureFixture[str]) -> None:
    text, flags = shown("select --help-all", capsys)
    assert flags > {f"--{name.replace('_', '-')}" for name in SelectConfig.model_fields}
    assert "\nobject storage:\n" in text
    assert "Seed of the Gumbel noise. [0]" in text


def test_each_command_shows_what_it_uses(capsys: pytest.CaptureFixture[str]) -> None:
    choosing = {"--count", "--tokens", "--fraction", "--seed", "--temperature", "--target-ess", "--quotas"}
    writing = {"--compression", "--whole-documents"}
    assert shown("select --help-all", capsys)[1] >= choosing | writing
    assert not shown("score --help-all", capsys)[1] & (choosing | writing | {"--output", "--overwrite"})
    compare = shown("compare --help-all", capsys)[1]
    assert compare >= choosing
    assert not compare & (writing | {"--method"})
    assert "--inline" not in shown("plan --help-all", capsys)[1]


def test_score_accepts_the_request_of_select(parser: Parser) -> None:
    parsed = command("score", *SIZED, "--seed", "1")
    assert config_of(parsed, sized=False, output=False).count == 1


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("dsir sel", "select"),
        ("dsir --ver", "--version"),
        ("dsir select --cou", "--count"),
        ("dsir select --hash s", "sha256"),
        ("dsir select --method imp", "importance"),
    ],
)
def test_bash_completes_commands_flags_and_values(
    typed: str, offered: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--completion", "bash"])
    script = tmp_path / "dsir.bash"
    script.write_text(capsys.readouterr().out)
    ask = f"COMP_WORDS=({typed}); COMP_CWORD={len(typed.split()) - 1}; _shtab_dsir; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", f"source {script}; {ask}"], capture_output=True, text=True)
    assert done.stdout.split() == [offered]


def test_storage_flags_alone_give_storage_settings() -> None:
    parser = Parser()
    add_storage_options(parser)
    assert storage_of(parser.parse_args([])) == StorageSettings()
    given = storage_of(parser.parse_args(["--s3-endpoint", "http://127.0.0.1:9", "--s3-anonymous"]))
    assert given == StorageSettings(s3_endpoint="http://127.0.0.1:9", s3_anonymous=True)
