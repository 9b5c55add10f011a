"""Fuzzing of what users write: conditions, files of settings, list files, words of the command."""

from __future__ import annotations

import contextlib
import io
import json
import os

from dsir_core.config.predicate import parse_predicate
from dsir_core.config.request import parse_config
from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.listing import list_corpus
from dsir_core.errors import RequestError
from flows.cli import COMMANDS, parse_words
from flows.cluster_options import cluster_of
from flows.config_file import read_config
from flows.options import config_of
from tests.fuzzing.files import folder

RECORD = {"lang": "en", "score": 0.5, "n": 3, "tags": ["a", "b"], "meta": {"source": "wiki"}, "none": None, "yes": True}


def check_predicate(data: bytes) -> bool:
    """A condition is one, or refused with a message; it never fails on a record."""
    try:
        predicate = parse_predicate(data.decode(errors="replace"))
    except ValueError:
        return False
    for record in (RECORD, {}, {"lang": [{}], "score": "x", "n": 10**400, "meta": 1, "tags": {}}):
        values = field_decoder(predicate.fields)(json.dumps(record).encode())
        if values is not None:
            predicate.holds(values)
    return True


PREDICATES = [
    b'lang == "en" and (score >= 0.5 or meta.source in ["books", "wiki"]) and not meta.blocked',
    b'0.4 < score <= n and "a" in tags or none == null and yes != false',
    b'meta["source"] not in ("a", "b") and n != -1e300',
]
PREDICATE_WORDS = (
    *(b" and ", b" or ", b" not ", b" in ", b" == ", b" < ", b" >= ", b"(", b")", b"[", b"]", b'"', b"'", b"null"),
    *(
        b"true",
        b"score",
        b"meta",
        b".",
        b"tags",
        b"1e999",
        b"-",
        b"0x1f",
        b"10" * 40,
        b"lambda: 0",
        b"__class__",
        b"**",
    ),
    *(b"1_000", b"{", b"}", b"f''", b"\\", b"\x00", b"#", b"\n", b"is", b"if", b"else", b"await", b"*", b":=", b"..."),
)


def check_yaml(data: bytes) -> bool:
    """A file of settings is a request, or refused with a message."""
    path = folder() / "config.yaml"
    path.write_bytes(data)
    try:
        file = read_config(str(path))
        parse_config(file.values)
    except RequestError as error:
        return not str(error)
    return True


YAMLS = [
    b"raw: [data/*.jsonl, more]\ntarget: {a: t.jsonl, b: [u.jsonl]}\noutput: out\ncount: 1000\nseed: 3\n",
    b"raw: x\ntarget: y\noutput: z\ntokens: 1e6\nmethod: top-k\nngrams: 3\nchunk: {words: 128}\n",
    b'raw: x\ntarget: y\noutput: z\ncount: 1\ninclude: lang == "en"\n',
    b"raw: x\ntarget: y\noutput: z\nfraction: 0.1\nstrata: lang\nquotas: {en: 0.5, de: 0.5}\n",
]
YAML_WORDS = (
    *(
        b"count",
        b"raw",
        b"target",
        b"quotas",
        b": ",
        b"- ",
        b"[",
        b"]",
        b"{",
        b"}",
        b"&a ",
        b"*a",
        b"!!python/object:x ",
    ),
    *(
        b"null",
        b".inf",
        b".nan",
        b"1e400",
        b"-1",
        b"0x10",
        b"2024-01-01",
        b"\n  ",
        b"\t",
        b"|\n",
        b"'",
        b'"',
        b"<<: ",
        b"%",
    ),
    *(
        b"cluster",
        b"method",
        b"seed",
        b"smoothing",
        b"strata",
        b"yes",
        b"\x00",
        b"\xff",
        b"---\n",
        b"? ",
        b"@",
        b"\xe2\x80\xa8",
    ),
)


def check_list(data: bytes) -> bool:
    """A list file names files, or is refused with a message."""
    place = folder()
    path = place / "list.txt"
    (place / "b.jsonl").write_bytes(b'{"text": "a"}\n')
    # Neither globs and folders of the whole disk nor what is on other machines: all are slow, and right.
    lines = data.replace(b"*", b"_").replace(b"://", b":/").splitlines(keepends=True)
    path.write_bytes(b"".join(b"_" + line if _is_folder_elsewhere(line) else line for line in lines))
    try:
        corpus = list_corpus([f"@{path}"])
    except RequestError:
        return False
    assert corpus.files
    return True


def _is_folder_elsewhere(line: bytes) -> bool:
    path = os.fsdecode(line).strip().removeprefix("file:")
    if not path:
        return False
    with contextlib.suppress(ValueError, OSError):
        return any(os.path.isdir(one) for one in (path, os.path.expanduser(path), folder() / path)) and not (
            os.path.realpath(path).startswith(f"{folder()}/")
        )
    return False


def list_seeds() -> list[bytes]:
    """Lists of files."""
    name = str(folder() / "b.jsonl").encode()
    return [name + b"\n# comment\n\n" + name + b"\n", b"\xef\xbb\xbf" + name, b"missing.jsonl\n", b"s3:/x"]


LIST_WORDS = (
    b"../",
    b"./",
    b"//",
    b"#",
    b"\n",
    b"\r",
    b"@",
    b"::",
    b"file://",
    b"?",
    b"[",
    b"\x00",
    b"\xff",
    b"~",
    b" ",
)


def check_arguments(data: bytes) -> bool:
    """Words after `dsir`, one a line, are a request, or refused with one line and status 2; help ends with 0."""
    words = [os.fsdecode(word) for word in data.replace(b"\0", b"").split(b"\n")]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed), contextlib.redirect_stdout(io.StringIO()):
            parsed = parse_words(words)
            if parsed.command in ("select", "score", "compare"):
                config_of(parsed)
                cluster_of(parsed)
    except SystemExit as ended:
        status = ended.code
    except RequestError as error:
        return not str(error)
    else:
        return True
    assert status in (0, 2, None), words
    assert status != 2 or ": error: " in printed.getvalue(), words
    return False


ARGUMENTS = [
    b"select\n--raw\na.jsonl\nb.parquet\n--target\nwiki=w.jsonl\n--count\n10k\n--output\nout",
    b"select\nrun.yaml\n--raw=x\n--target\na=b\n--tokens\n1e6\n--seed\n3\n--output\no\n--chunk\nwords=128",
    b"score\n--raw\nx\n--target\ny\n--workdir\nw\n--quotas\nen=0.5\nde=0.5\n--strata\nlang\n--hash\nsha256",
    b"compare\n--raw\nx\n--target\ny\n--fraction\n0.1\n--output\no\n--cluster\ntype=local\nworkers=2",
    *(name.encode() for name in COMMANDS),
    b"--completion\nbash",
]
ARGUMENT_WORDS = (
    *(b"\n", b"\n--", b"=", b"\n--count\n", b"\n--include\n", b"\n--exclude\n", b"\n--smoothing\nauto", b"\n--help"),
    *(b"\n--preset\nreference", b"\n--min-tokens\n", b"\n--proportions\n", b"\n--s3-endpoint\n", b"\n--inline"),
    *(
        b"\n--dedup\nexact",
        b"\n--keep-bytes\n",
        b"\n--temperature\n",
        b"\n--target-ess\n",
        b"\n--ngrams\n",
        b"-1",
        b"1e400",
    ),
    *(
        b"nan",
        b"inf",
        b"\xff",
        "\u202e\u2066é".encode(),
        b"%s",
        b"{",
        b"[",
        b"~",
        b"@",
        b"s3://k:s@b/c",
        b" ",
        b"0x1",
        b"1_0",
    ),
)
