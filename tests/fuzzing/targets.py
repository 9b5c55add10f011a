"""What is fuzzed: a function of bytes for each, which raises where a promise is broken."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import xxhash

from dsir_core.config.features import FeatureSettings
from dsir_core.config.predicate import parse_predicate
from dsir_core.config.reading import ReadSettings
from dsir_core.config.request import parse_config
from dsir_core.corpus.fields import field_decoder
from dsir_core.corpus.listing import list_corpus
from dsir_core.corpus.sharding import plan_shards
from dsir_core.errors import DamagedFileError, RequestError
from dsir_core.features import count_ngrams
from dsir_core.features import reference as oracle
from dsir_core.kernels.cache_key import read_only
from dsir_core.kernels.json_lines import BLANK, LEFT, TAKEN, take_texts
from dsir_core.kernels.json_values import BLOCK
from flows.config_file import read_config
from tests.corpus.files import PACK, lines, read_all

SETTINGS = ReadSettings(max_record_bytes=2**20)


@dataclass(frozen=True)
class Target:
    """One input of the program."""

    check: Callable[[Sequence[bytes]], int]
    """Look at inputs, many at once where that is faster: how many were of the ordinary kind."""
    seeds: Callable[[], list[bytes]]
    words: tuple[bytes, ...] = ()
    at_once: int = 1


def each(check: Callable[[bytes], bool]) -> Callable[[Sequence[bytes]], int]:
    """A check of inputs from that of one."""
    return lambda inputs: sum(check(data) for data in inputs)


# JSON lines and UTF-8: the compiled reader against json.loads.


def check_json(inputs: Sequence[bytes]) -> int:
    """What the compiled reader takes is what the standard library reads; an error is never taken."""
    rows = [data.replace(b"\n", b" ") for data in inputs]
    valid = [data for data in rows if _decodes(data)]
    if not valid:
        return 0
    data = np.frombuffer(b"\n".join(valid), np.uint8)
    ends = np.cumsum([len(line) + 1 for line in valid]) - 1
    starts = np.array([0, *(ends[:-1] + 1)], np.int64)
    text, offsets = np.full(len(data) + BLOCK, 255, np.uint8), np.empty(len(valid) + 1, np.int64)
    status = np.full(len(valid), 255, np.uint8)
    key = np.frombuffer(b"text", np.uint8)
    take_texts(data, read_only(starts, np.int64), read_only(ends, np.int64), key, 2**20, text, offsets, status)
    filled = text.tobytes()
    taken = 0
    for line, found, (begin, end) in zip(valid, status.tolist(), pairwise(offsets.tolist()), strict=True):
        if found == TAKEN:
            taken += 1
            assert json.loads(line.decode())["text"].encode() == filled[begin:end], line
        else:
            assert begin == end, line
            assert found == LEFT or (found == BLANK and not line.strip(b" \t\r")), line
    return taken


def _decodes(data: bytes) -> bool:
    with contextlib.suppress(UnicodeDecodeError):
        data.decode()
        return True
    return False


def json_seeds() -> list[bytes]:
    """Records of every kind."""
    records: list[Any] = [
        {"text": "plain words"},
        {"id": 1, "text": "é 漢字 😀 \u2028", "x": [1, -2.5e-3, None, True, {"a": "b"}]},
        {"a": {"text": "inner"}, "text": 'quote " slash \\ \n\t\u0000', "b": "x" * 70},
        {"text": "y" * 130, "n": 10**30},
    ]
    packed = [json.dumps(record, ensure_ascii=escape).encode() for record in records for escape in (True, False)]
    return [*packed, b'{"text": "\\ud83d\\ude00 \\u00e9"}', b' { "text" : "a" , "b" : [ ] } ', b"", b"[1]"]


JSON_WORDS = (
    *(b'"text"', b'"', b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"\\u0000", b"{", b"}", b"[", b"]", b",", b":", b"null"),
    *(b"true", b"false", b"NaN", b"-", b"0", b"1e5", b".5", b" ", b"\t", b"\x00", b"\x1f", b"\x7f", b"\xc3\xa9"),
    *(b"\xf0\x9f\x98\x80", b"\xed\xa0\x80", b"\xc0\x80", b"\xef\xbb\xbf", b"x" * 64, b"\r", b"\xf4\x90\x80\x80"),
)


# Tokens and hashes: the kernels against re, hashlib, xxhash and the oracle.

WORD = re.compile(r"\w+|[^\w\s]+")


def check_features(inputs: Sequence[bytes]) -> int:
    """Counts of buckets and tokens are those of the oracle, and on ASCII those of `re`."""
    texts = [data.decode(errors="replace") for data in inputs]
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    data = np.frombuffer(b"".join(encoded) + b"\0", np.uint8)
    for name in ("xxh3", "sha256"):
        features = FeatureSettings(hash=name, ngrams=2, buckets=509)
        counts = np.zeros(509, np.int64)
        n_tokens = count_ngrams(data, offsets, features, counts)
        expected = np.zeros(509, np.int64)
        for text, n in zip(texts, n_tokens.tolist(), strict=True):
            for found in oracle.buckets_of(text, features, xxhash.xxh3_64_intdigest):
                np.add.at(expected, found, 1)
            tokens = oracle.tokenize(text, features.tokenizer)
            assert n == len(tokens), text
            if text.isascii():
                assert tokens == WORD.findall(text.lower()), text
        assert np.array_equal(counts, expected), texts
    return len(texts)


def text_seeds() -> list[bytes]:
    """Texts that are hard on tokenizers."""
    texts = [
        *("Plain words, and punctuation... (yes)! x_1 2.5", "İ Σ ΑΣ σς ẞ K ſ ŉ ǅ", "a" * 63 + "É" + "." * 70 + " b"),
        *(
            "漢字かな交じり文 한국어 ไทย हिन्दी",
            "\u00ad\u200d\u0301\u0345 \u2028\u0085\x1c\x1f",
            "\U00010400\U0001f600\uffff",
        ),
        *("ΑΣ\u0345\u00adΑ ΑΣ\u0345\u00ad", "x" * 300, " \t\n " * 40, ""),
    ]
    return [text.encode() for text in texts]


TEXT_WORDS = tuple(
    word.encode()
    for word in (
        "Σ",
        "İ",
        "\u0345",
        "\u00ad",
        "\u200d",
        "\u0301",
        ".",
        "_",
        " ",
        "\u3000",
        "É",
        "ß",
        "漢",
        "\U0001f600",
        "a" * 64,
        "\x1c",
    )
)


# Files of every format.


def check_file(suffix: str) -> Callable[[bytes], bool]:
    """A file is read whole, or named as damaged; read in one shard and in several it says the same."""

    def check(data: bytes) -> bool:
        path = _folder() / f"a{suffix}"
        path.write_bytes(data)
        try:
            corpus = list_corpus([str(path)])
            once = [read_all(*shard.ranges, settings=SETTINGS) for shard in plan_shards(corpus.files, 2**30)]
            cut = [read_all(*shard.ranges, settings=SETTINGS) for shard in plan_shards(corpus.files, 1024)]
        except (DamagedFileError, RequestError) as error:
            refused = str(error)
        else:
            refused = ""
        if refused:
            assert f"a{suffix}" in refused, refused
            return False
        assert _joined(once) == _joined(cut)
        return True

    return check


def _joined(found: list[tuple[list[Any], list[int]]]) -> tuple[list[Any], list[int]]:
    return sorted(one for documents, _ in found for one in documents), sorted(one for _, bad in found for one in bad)


@cache
def _folder() -> Path:
    base = Path("/dev/shm")
    return Path(tempfile.mkdtemp(prefix="dsir-fuzz-", dir=base if base.is_dir() else None))


TEXTS = [f"document {i} of some é words, and more" for i in range(40)]


def packed_seeds(suffix: str) -> Callable[[], list[bytes]]:
    """JSON lines in a codec: one member, two, and none."""
    return lambda: [PACK[suffix](lines(TEXTS)), PACK[suffix](lines(TEXTS[:2])) * 2, PACK[suffix](b"")]


def _table() -> pa.Table:
    return pa.table({"text": [*TEXTS[:-1], None], "n": list(range(len(TEXTS))), "tags": [["a", "b"]] * len(TEXTS)})


def parquet_seeds() -> list[bytes]:
    """Parquet in several encodings."""

    def written(**options: Any) -> bytes:
        buffer = pa.BufferOutputStream()
        pq.write_table(_table(), buffer, row_group_size=15, **options)
        return buffer.getvalue().to_pybytes()

    return [
        written(),
        written(compression="zstd", write_page_checksum=True, data_page_version="2.0"),
        written(compression="none", use_dictionary=False),
    ]


def arrow_seeds() -> list[bytes]:
    """Arrow files and streams."""
    feather, stream = io.BytesIO(), pa.BufferOutputStream()
    pyarrow.feather.write_feather(_table(), feather, compression="zstd", chunksize=15)
    with pa.ipc.new_file(plain := pa.BufferOutputStream(), _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=15)
    with pa.ipc.new_stream(stream, _table().schema) as writer:
        writer.write_table(_table(), max_chunksize=15)
    return [feather.getvalue(), plain.getvalue().to_pybytes(), stream.getvalue().to_pybytes()]


def csv_seeds() -> list[bytes]:
    """CSV with and without quotes."""
    plain, quoted = io.StringIO(), io.StringIO()
    rows = [["id", "text"], *([str(i), text] for i, text in enumerate(TEXTS)), ["x", 'a "b"\nc, d']]
    csv.writer(plain).writerows(rows)
    csv.writer(quoted, quoting=csv.QUOTE_ALL, lineterminator="\n").writerows(rows)
    return [plain.getvalue().encode(), quoted.getvalue().encode(), b"\xef\xbb\xbftext\r\nx\r\n", b"text\n"]


# What users write.

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
    path = _folder() / "config.yaml"
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
    folder = _folder()
    path = folder / "list.txt"
    (folder / "b.jsonl").write_bytes(b'{"text": "a"}\n')
    # Neither globs of the whole disk nor what is elsewhere: both are slow, and right.
    path.write_bytes(data.replace(b"*", b"_").replace(b"://", b":/"))
    try:
        corpus = list_corpus([f"@{path}"])
    except RequestError:
        return False
    assert corpus.files
    return True


def list_seeds() -> list[bytes]:
    """Lists of files."""
    name = str(_folder() / "b.jsonl").encode()
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

TARGETS: dict[str, Target] = {
    "json": Target(check_json, json_seeds, JSON_WORDS, 2000),
    "features": Target(check_features, text_seeds, TEXT_WORDS, 20),
    **{
        f"jsonl{suffix}": Target(each(check_file(f".jsonl{suffix}")), packed_seeds(suffix)) for suffix in PACK if suffix
    },
    "jsonl": Target(each(check_file(".jsonl")), packed_seeds(""), JSON_WORDS),
    "parquet": Target(each(check_file(".parquet")), parquet_seeds),
    "arrow": Target(each(check_file(".arrow")), arrow_seeds),
    "csv": Target(
        each(check_file(".csv")), csv_seeds, (b'"', b",", b"\n", b"\r\n", b"\r", b'""', b"\x00", b"\xff", b"text")
    ),
    "predicate": Target(each(check_predicate), lambda: PREDICATES, PREDICATE_WORDS),
    "yaml": Target(each(check_yaml), lambda: YAMLS, YAML_WORDS),
    "list": Target(each(check_list), list_seeds, LIST_WORDS),
}
