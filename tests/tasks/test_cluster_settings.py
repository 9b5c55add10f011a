"""The value of the key `cluster`: what is accepted, and what the errors say."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from dsir_core.errors import RequestError
from flows.cluster_options import add_cluster_option, cluster_of
from flows.parser import Parser
from tasks.cluster_settings import HERE, Adaptive, Address, Local, LocalSettings, SchedulerFile, Started, parse_cluster


@pytest.mark.parametrize(
    ("value", "settings"),
    [
        ({"local": None}, HERE),
        ({"local": {"workers": 2, "memory": 2**30}}, Local(local=LocalSettings(workers=2, memory="1073741824 B"))),
        ({"address": "tcp://scheduler:8786"}, Address(address="tcp://scheduler:8786")),
        ({"scheduler_file": "s.json"}, SchedulerFile(scheduler_file="s.json")),
        (
            {"class": "a.B", "options": {"x": 1}, "adaptive": {"maximum": 3}},
            Started(class_="a.B", options={"x": 1}, adaptive=Adaptive(maximum=3)),
        ),
    ],
    ids=str,
)
def test_one_key_names_a_cluster(value: Any, settings: Any) -> None:
    assert parse_cluster(value) == settings
    assert parse_cluster(settings) == settings


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "cluster: give one of local, address, scheduler_file and class"),
        ("tcp://a:1", "cluster: give one of"),
        ({"address": "a:1"}, "cluster.address: "),
        ({"address": "tcp://a:1", "local": {}}, "no such setting"),
        ({"local": {"workers": 0}}, "cluster.local.workers: "),
        ({"local": {"memory": "much"}}, "cluster.local.memory: "),
        ({"address": "tls://a:1", "tls": {"ca_file": "a"}}, "cluster.tls.cert_file: required, and not given"),
        ({"class": "a.B; import os"}, "cluster.class: "),
        ({"class": "a.B", "adaptive": {"minimum": 1}}, "cluster.adaptive.maximum: required, and not given"),
        ({"class": "a.B", "adaptive": {"minimum": 4, "maximum": 2}}, "minimum is above maximum"),
        ({"class": "a.B", "workers": 3, "adaptive": {"maximum": 2}}, "exclude each other"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_in_one_line(value: Any, said: str) -> None:
    with pytest.raises(RequestError) as failure:
        parse_cluster(value)
    assert said in str(failure.value)
    assert "\n" not in str(failure.value)


def arguments(*words: str) -> argparse.Namespace:
    parser = Parser()
    parser.add_argument("--inline", action="store_true")
    parser.add_argument("config", nargs="?")
    add_cluster_option(parser)
    return parser.parse_args(words)


def test_flags_win_over_the_file_and_without_either_it_is_this_machine(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("cluster: {address: 'tcp://a:1'}\n")
    assert cluster_of(arguments()) == HERE
    assert cluster_of(arguments(str(file))) == Address(address="tcp://a:1")
    assert cluster_of(arguments(str(file), "--cluster", "local.workers=3")) == Local(local=LocalSettings(workers=3))
    assert cluster_of(
        arguments("--cluster", "class=a.B", "options.queue=long", "options.cores=4", "adaptive.maximum=7")
    ) == Started(class_="a.B", options={"queue": "long", "cores": 4}, adaptive=Adaptive(maximum=7))


@pytest.mark.parametrize("words", [["address"], ["local=1", "local.workers=2"]])
def test_flags_that_are_no_settings_are_refused(words: list[str]) -> None:
    with pytest.raises(RequestError, match="--cluster"):
        cluster_of(arguments("--cluster", *words))
