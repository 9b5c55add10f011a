"""`python -m tests.fuzzing.guided TARGET [libFuzzer's options]`: fuzzing guided by coverage of the Python code.

Needs the package atheris (https://github.com/google/atheris), which has wheels for Python 3.11 and 3.12. Code that
Numba compiles is not seen. An input that fails is written to the working directory; it belongs into
`tests/fuzzing/corpus/TARGET/`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris  # type: ignore[import-not-found]

with atheris.instrument_imports(include=["dsir_core", "flows"]):
    from tests.fuzzing.targets import TARGETS


def main(name: str, options: list[str]) -> None:
    """See the module."""
    target = TARGETS[name]
    with tempfile.TemporaryDirectory() as folder:
        corpus, words = Path(folder) / "corpus", Path(folder) / "words"
        corpus.mkdir()
        for index, data in enumerate(target.seeds()):
            (corpus / str(index)).write_bytes(data)
        escaped = ("".join(f"\\x{byte:02x}" for byte in word) for word in target.words)
        words.write_text("".join(f'"{word}"\n' for word in escaped))
        atheris.Setup(
            [sys.argv[0], f"-dict={words}", *options, str(corpus)], lambda data: target.check([data]) and None
        )
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
