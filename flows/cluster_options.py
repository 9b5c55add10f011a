"""The key `cluster` of a request on the command line: `--cluster KEY=VALUE ...`, over the one in the YAML file."""

from __future__ import annotations

import argparse
from typing import Any

import yaml

from dsir_core.errors import RequestError
from flows.config_file import read_config
from flows.parser import Parser
from tasks.cluster_settings import HERE, Cluster, parse_cluster

HELP = (
    "Dask cluster that does the work: address=tcp://HOST:8786, scheduler_file=PATH, or class=DOTTED.PATH "
    "options.NAME=VALUE ... with workers=N or adaptive.maximum=N; default: one on this machine"
)


def add_cluster_option(parser: Parser) -> None:
    """Add `--cluster`."""
    group = parser.add_argument_group("cluster")
    group.add_argument("--cluster", nargs="+", action="extend", metavar="KEY=VALUE", help=parser.rare(HELP))


def cluster_of(arguments: argparse.Namespace) -> Cluster:
    """The cluster that flags name, or the YAML file, or the one on this machine.

    Raises:
        RequestError: the settings are wrong.
    """
    if arguments.cluster:
        if arguments.inline:
            raise RequestError("--inline and --cluster exclude each other: with --inline this process does the work")
        return parse_cluster(_nested(arguments.cluster))
    if arguments.inline or not arguments.config:
        return HERE
    given = read_config(arguments.config).values.get("cluster")
    return HERE if given is None else parse_cluster(given)


def _nested(words: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator:
            raise RequestError(f"--cluster: {word!r} is not KEY=VALUE")
        *parents, name = key.split(".")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
            if not isinstance(inner, dict):
                raise RequestError(f"--cluster: {parent} is given a value, and keys of its own")
        try:
            inner[name] = yaml.safe_load(value)
        except yaml.YAMLError:
            inner[name] = value
    return found
