"""Every command, with its arguments that are no settings, and the exit statuses."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from importlib import import_module

from dsir_core.config.request import SelectConfig
from dsir_core.config.storage import StorageSettings
from flows.cli import CLOSED, COMMANDS, INTERRUPTED, TERMINATED
from flows.parser import command_parser
from scripts.reference import cell


def commands_page() -> str:
    """Every command, with the options that are no settings, and the exit statuses."""
    lines = [
        "# Commands\n",
        "`dsir --version` shows the version, `dsir COMMAND --help` the common options of a command, `--help-all` all",
        "of them. `dsir --completion SHELL` prints completions for bash, zsh or tcsh.\n",
    ]
    for name, summary in COMMANDS.items():
        lines += _command(name, summary)
    statuses = {
        0: "Done.",
        1: "The run failed, or a check of `dsir plan` failed. Finished work is kept.",
        2: "The request is wrong: a setting, a path, an output that exists.",
        INTERRUPTED: "Interrupted by Ctrl-C. Finished work is kept.",
        CLOSED: "Nobody reads the output any more, as behind `head`.",
        TERMINATED: "Terminated by SIGTERM (systemd, `scancel`). Finished work is kept.",
    }
    lines += ["## Exit status\n", "| status | meaning |", "|---|---|"]
    lines += [f"| {status} | {text} |" for status, text in statuses.items()]
    lines.append(
        "\nEvery failure prints one line on standard error, and for a run that can continue the command to type.\n"
    )
    return "\n".join(lines)


def _command(name: str, summary: str) -> Iterator[str]:
    parser = command_parser(name, summary, shows_all=True)
    import_module(f"flows.commands.{name}").add_arguments(parser)
    settings = _settings(parser)
    own = [
        action
        for action in parser._actions
        if action.help != argparse.SUPPRESS and (action.dest not in settings or not action.option_strings)
    ]
    yield f"## dsir {name}\n"
    yield f"{summary[0].upper()}{summary[1:]}.\n"
    placed = [f"[{one.metavar}]" if one.nargs == "?" else str(one.metavar) for one in own if not one.option_strings]
    yield f"```text\n{' '.join(['dsir', name, *placed, '[options]'])}\n```\n"
    missing = [setting for setting in SelectConfig.model_fields if setting not in settings]
    if not missing:
        yield "Takes all [settings](settings.md).\n"
    elif len(missing) < len(settings):
        yield f"Takes all [settings](settings.md) but {_linked(missing)}.\n"
    else:
        yield f"Takes the settings {_linked(settings)}.\n"
    if own:
        yield "| argument | meaning |\n|---|---|"
        yield from (f"| {_flag(action)} | {cell(action.help or '')} |" for action in own)
        yield ""


def _settings(parser: argparse.ArgumentParser) -> list[str]:
    """Settings among a command's options: names like theirs mean other things where no request is made."""
    options = [action.dest for action in parser._actions if action.option_strings and action.help != argparse.SUPPRESS]
    makes_request = any(action.dest == "config" for action in parser._actions)
    fields = SelectConfig.model_fields if makes_request else StorageSettings.model_fields
    return [name for name in options if name in fields]


def _linked(names: list[str]) -> str:
    return ", ".join(f"[`--{name.replace('_', '-')}`](settings.md#{name})" for name in names)


def _flag(action: argparse.Action) -> str:
    if not action.option_strings:
        return " or ".join(f"`{name}`" for name in str(action.metavar).split("|"))
    flag = action.option_strings[-1]
    if action.choices:
        return f"`{flag}` followed by " + " or ".join(f"`{choice}`" for choice in action.choices)
    value = action.metavar or ("" if action.nargs == 0 else action.dest.upper())
    return f"`{f'{flag} {value}'.strip()}`"
