"""The command `dsir`. Exit status: 0 done, 1 the run failed, 2 the request is wrong, 130 interrupted."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module, metadata

from dsir_core.corpus.urls import without_credentials
from dsir_core.errors import DsirError, RequestError
from flows.parser import Parser

COMMANDS = {
    "select": "choose documents from raw that are distributed like target, and write them with a report",
    "plan": "forecast a run: sizes, time, memory, what is reused, access, and what looks wrong; reads a small sample",
    "score": "only compute the importance weights of the raw documents, into the workdir",
    "resample": "choose again (another size, seed or method) from the weights in the workdir",
    "compare": "show what each method would select, side by side, from weights that are computed once",
    "report": "make report.html anew, of an output or of all outputs of a workdir",
    "explain": "show how much each n-gram adds to a document's importance weight",
    "status": "show what is complete in a workdir, what is missing, and what it takes",
    "clean": "remove from a workdir what no output's last run needs",
}

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: words after `dsir`; those of the process when None.

    Returns:
        The exit status.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    command, handler = _parse(words)
    try:
        return handler()
    except RequestError as error:
        print(f"dsir {command}: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except DsirError as error:
        print(f"dsir {command}: failed: {_one_line(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if "--verbose" in words:
            raise
        print(
            f"dsir {command}: failed: {type(error).__name__}: {without_credentials(_one_line(error))} "
            f"(--verbose shows where)",
            file=sys.stderr,
        )
        return 1
    except KeyboardInterrupt:
        print(
            f"dsir {command}: interrupted. What is finished is kept: run the same command again to go on.",
            file=sys.stderr,
        )
        return INTERRUPTED


def command() -> None:
    """The program `dsir`.

    Once Prefect is imported, leaving by way of the interpreter's own end costs a second, and a minute where a server
    has died that Prefect still has something to tell: by then all is closed and said.
    """
    status = main()
    if "prefect" in sys.modules:
        logging.shutdown()
        with contextlib.suppress(BrokenPipeError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _parse(words: list[str]) -> tuple[str, Callable[[], int]]:
    parser = Parser(prog="dsir", description="Data selection by importance resampling (DSIR).", allow_abbrev=False)
    parser.add_argument("--version", action=_Version)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text.capitalize() + ".", allow_abbrev=False)
        if name in words[:1]:  # the options of the others are not needed, and cost time to make
            import_module(f"flows.commands.{name}").add_arguments(command)
    parsed = parser.parse_args(words)
    module = import_module(f"flows.commands.{parsed.command}")
    return parsed.command, lambda: int(module.run(parsed))


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
