"""The command `dsir`.

Exit status: 0 done, 1 the run failed, 2 the request is wrong, 130 after Ctrl-C, 141 where nobody
reads its output any more, 143 after SIGTERM.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import select
import shlex
import shutil
import signal
import sys
from collections.abc import Sequence
from importlib import import_module, metadata
from typing import NoReturn, TextIO

from dsir_core.config.described import did_you_mean
from dsir_core.errors import DsirError, RequestError
from dsir_core.urls import without_credentials
from flows.parser import Parser, command_parser

DESCRIPTION = "Data selection by importance resampling (DSIR)."

COMMANDS = {
    "select": "choose documents from raw that are distributed like target, and write them with a report",
    "plan": "forecast a run: sizes, time, memory, what is reused, access, and what looks wrong; reads a small sample",
    "score": "only compute the importance weights of the raw documents, into the workdir",
    "resample": "choose again (another size, seed or method) from the weights in the workdir",
    "compare": "show what each method would select, side by side, from weights that are computed once",
    "diff": "compare two finished selections: documents, figures, strata, settings",
    "report": "make report.html anew, of an output or of all outputs of a workdir",
    "explain": "show how much each n-gram adds to a document's importance weight",
    "status": "show what is complete in a workdir, what is missing, and what it takes",
    "clean": "remove from a workdir what no output's last run needs",
}

GO_ON = ("select", "score", "resample", "compare")
"""Commands that, typed again, go on from what is finished."""

AGAIN = "run the same command again"
"""What errors say that going on may cure."""

INTERRUPTED, CLOSED, TERMINATED = 130, 141, 143
"""128 and the number of the signal, as a shell has it: SIGINT, SIGPIPE, SIGTERM."""


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, from systemd, Slurm or kill: a run ends as by Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words after `dsir`; those of the process when None.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    parsed = parse_words(words)
    try:
        return int(import_module(f"flows.commands.{parsed.command}").run(parsed))
    except RequestError as error:
        return _fail(parsed, 2, f"error: {_one_line(error)}", words)
    except DsirError as error:
        return _fail(parsed, 1, f"failed: {_one_line(error)}", words)
    except Exception as error:
        if "--verbose" in words or (isinstance(error, BrokenPipeError) and _is_closed(sys.stdout)):
            raise
        said = without_credentials(_one_line(error))
        return _fail(parsed, 1, f"failed: {type(error).__name__}: {said} (--verbose shows where)", words)
    except TerminatedError:
        return _fail(parsed, TERMINATED, "terminated. What is finished is kept.", words)
    except KeyboardInterrupt:
        return _fail(parsed, INTERRUPTED, "interrupted. What is finished is kept.", words)


def _fail(parsed: argparse.Namespace, status: int, text: str, words: Sequence[str]) -> int:
    """Say what went wrong; the exit status.

    Args:
        words: of the command; typed again, it goes on where that may help.
    """
    print(f"dsir {parsed.command}: {text}", file=sys.stderr)
    if parsed.command in GO_ON and (status in (INTERRUPTED, TERMINATED) or AGAIN in text):
        print(f"to go on: {shlex.join([_program(), *map(without_credentials, words)])}", file=sys.stderr)
    if getattr(parsed, "log_format", None) == "json":
        from flows.watching.terminal import say_json

        say_json("run_fails", status=status, error=text)
    return status


def _program() -> str:
    """How the user can call the program again."""
    called = sys.argv[0]
    return called if os.path.basename(called) == "dsir" and shutil.which("dsir") is None else "dsir"


def _is_closed(stream: TextIO) -> bool:
    """Whether nobody reads any more what is printed, as behind `| head`."""
    try:
        descriptor = stream.fileno()
    except (OSError, ValueError):  # what a test captures
        return False
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return any(event & select.POLLERR for _, event in poll.poll(0))


def command() -> None:
    """The program `dsir`.

    Once Prefect is imported, leaving by way of the interpreter's own end costs a second, and a minute where a server
    has died that Prefect still has something to tell: by then all is closed and said.
    """
    signal.signal(signal.SIGTERM, _terminate)
    try:
        try:
            status = main()
        except SystemExit as done:  # argparse has shown help, or what is wrong
            status = int(done.code or 0)
        sys.stdout.flush()
    except BrokenPipeError:
        status = CLOSED
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if "prefect" in sys.modules:
        logging.shutdown()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        if "tasks.scratch" in sys.modules:
            import_module("tasks.scratch").remove_scratch_folder()
        os._exit(status)
    sys.exit(status)


def _terminate(*_: object) -> NoReturn:
    """Handle SIGTERM; a second one does not interrupt what the first has begun."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise TerminatedError


SHELLS = ("bash", "zsh", "tcsh")


def parse_words(words: Sequence[str]) -> argparse.Namespace:
    """The words after `dsir` as the options of a command; ends the process with status 2 where they are wrong.

    Help, version and completions are printed, and end it with status 0.
    """
    name = words[0] if words else ""
    if name not in COMMANDS:
        _answer_without_command(words)
    parser = command_parser(name, COMMANDS[name], shows_all="--help-all" in words)
    _add_arguments(parser, name)
    parsed: argparse.Namespace = parser.parse_args(words[1:], argparse.Namespace(command=name))
    return parsed


def _answer_without_command(words: Sequence[str]) -> NoReturn:
    """Show help, version or completions, or say what is missing."""
    parser = Parser(prog="dsir", description=DESCRIPTION)
    parser.usage = "dsir COMMAND [options]"
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", parser_class=Parser)
    for name, text in COMMANDS.items():
        commands.add_parser(name, help=text)
    _add_own_options(parser)
    if not words:
        parser.error(f"say what to do: {', '.join(COMMANDS)}")
    if words[0] == "--help-all":
        parser.error("each command has its own: dsir select --help-all")
    if not words[0].startswith("-"):
        meant = did_you_mean(words[0], COMMANDS)
        parser.error(f"no command {words[0]!r}{meant}; the commands are {', '.join(COMMANDS)}")
    shell = parser.parse_args(words).completion
    if shell not in SHELLS:
        parser.error(f"--completion: must be one of {', '.join(SHELLS)}")
    print(_completion(shell))
    parser.exit()


def _add_own_options(parser: Parser) -> None:
    """Options that come without a command."""
    parser.add_argument("--version", action=_Version)
    shells = ", ".join(SHELLS)
    action = parser.add_argument("--completion", metavar="SHELL", help=f"print completions for {shells} and exit")
    if parser.completes:
        action.choices = SHELLS
    parser.add_help_options()


def _add_arguments(parser: Parser, name: str) -> None:
    import_module(f"flows.commands.{name}").add_arguments(parser)
    parser.add_help_options()


def _completion(shell: str) -> str:
    """The script that completes `dsir` in a shell."""
    import shtab

    parser = Parser(prog="dsir", description=DESCRIPTION, completes=True)
    _add_own_options(parser)
    commands = parser.add_subparsers(parser_class=Parser)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text, shows_all=True, completes=True)
        _add_arguments(command, name)
    return str(shtab.complete(parser, shell))


class _Version(argparse.Action):
    """Prints the version, looked up only when it is asked for."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show the version and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        """See argparse."""
        parser.exit(message=f"dsir {metadata.version('dsir-pipeline')}\n")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


if __name__ == "__main__":
    command()
