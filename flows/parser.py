"""The command's parser."""

from __future__ import annotations

import argparse
from typing import Any, NoReturn

from dsir_core.config.described import did_you_mean


class Parser(argparse.ArgumentParser):
    """A parser whose help is short unless all of it is asked for, and whose errors are one line.

    Args:
        shows_all: list rare options, too.
        completes: say what the words of options are, for the completion of a shell. Parses nothing.
    """

    def __init__(self, *, shows_all: bool = False, completes: bool = False, **options: Any) -> None:
        super().__init__(
            add_help=False, allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **options
        )
        self.shows_all = shows_all
        self.completes = completes
        self._has_rare = False

    def rare(self, text: str) -> str:
        """The help of an option that only the long help lists."""
        self._has_rare = True
        return text if self.shows_all else argparse.SUPPRESS

    def add_examples(self, *examples: str) -> None:
        """Show command lines below the description."""
        self.description = "\n  ".join([f"{self.description}\n\nexamples:", *examples])

    def add_help_options(self) -> None:
        """Add `--help`, and `--help-all` where there are rare options; call it last."""
        group = self.add_argument_group("help")
        group.add_argument("-h", "--help", action="help", help="show this help")
        if self._has_rare:
            group.add_argument("--help-all", action="help", help="show all options, in groups")

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """See argparse; what is not known is answered by what may be meant."""
        parsed, unknown = self.parse_known_args(args, namespace)
        flags = [word.partition("=")[0] for word in unknown if word.startswith("-")]
        if flags:
            self.error(f"no option {flags[0]}{did_you_mean(flags[0], self._option_string_actions)}")
        if unknown:
            self.error(f"{unknown[0]!r} belongs to no option: name corpora by --raw and --target")
        return parsed

    def error(self, message: str) -> NoReturn:
        """Print what is wrong and exit with status 2."""
        self.exit(2, f"{self.prog}: error: {message} (see {self.prog} --help)\n")


def command_parser(name: str, description: str, *, shows_all: bool) -> Parser:
    """The parser of one command, without its options."""
    text = f"{description[0].upper()}{description[1:]}."
    return Parser(prog=f"dsir {name}", description=text, shows_all=shows_all)
