"""The first mistakes of a new user: each is answered by one line that says what to do next, and by an exit status."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest

from flows.cli import main
from tests.integration.conftest import DEMO

OF = "--target target.jsonl --count 5 --output out --inline"
REQUEST = f"--raw raw {OF}"

MISTAKES = {
    "no command": ("", 2, "say what to do: select, plan"),
    "no settings": ("select", 2, "give a CONFIG.yaml, or --raw, --target, --output and --count"),
    "typo in a command": ("selct", 2, "no command 'selct'; did you mean select?"),
    "typo in a flag": (f"select {REQUEST} --min-token 3", 2, "no option --min-token; did you mean --min-tokens?"),
    "typo in a value": (f"select {REQUEST} --method importence", 2, "did you mean importance?"),
    "typo in a word": (
        f"select {REQUEST} --smoothing atuo",
        2,
        "must be auto|raw_prior=N|N (got 'atuo'); did you mean",
    ),
    "no target": ("select --raw raw --count 5 --output out", 2, "--target: required, and not given"),
    "no output": ("select --raw raw --target target.jsonl --count 5", 2, "--output: required, and not given"),
    "no size": (
        "select --raw raw --target target.jsonl --output out",
        2,
        "give one of --count, --tokens and --fraction",
    ),
    "two sizes": (f"select {REQUEST} --fraction 5%", 2, "count, tokens and fraction exclude each other: give one"),
    "a size in words": (f"select {REQUEST} --count many", 2, "--count: must be a whole number (got 'many')"),
    "a size of zero": (f"select {REQUEST} --count 0", 2, "--count: must be greater than or equal to 1"),
    "percent above 100": (
        "select --raw raw --target target.jsonl --output o --fraction 150%",
        2,
        "--fraction: must be",
    ),
    "a corpus in place of settings": ("select raw/a.jsonl", 2, "name corpora by --raw and --target"),
    "two corpora in place of settings": (f"select {REQUEST} --seed 1 raw/a.jsonl b", 2, "name corpora by --raw"),
    "no such raw": (f"select {OF} --raw nothing", 2, "raw: nothing: no such file or directory"),
    "no such target": (f"select {REQUEST} --target s=nothing.jsonl", 2, "target s: nothing.jsonl: no such file"),
    "a glob that matches nothing": (f"select {OF} --raw 'raw/*.gz'", 2, "/raw holds a.jsonl; read are JSON lines"),
    "a glob in no folder": (
        f"select {OF} --raw 'rwa/*.jsonl'",
        2,
        "rwa/*.jsonl: matches no file: there is no folder /",
    ),
    "a folder without a corpus": (f"select {OF} --raw empty", 2, "/empty holds nothing; read are JSON lines"),
    "a file of no known kind": (f"select {OF} --raw notes.txt", 2, 'Write each text as a line {"text": "..."} of a'),
    "a share as a size": (f"select {OF} --raw raw --count 2%", 2, "a share of the eligible documents is given by frac"),
    "percent as a number": (
        "select --raw raw --target target.jsonl --output o --fraction 2",
        2,
        "--fraction: must be at most 1; 2 percent is 2%",
    ),
    "all help of all commands": ("--help-all", 2, "each command has its own: dsir select --help-all"),
    "one equals sign": (f"select {REQUEST} --include 'id = 3'", 2, "equality is =="),
    "a text without quotes": (f"select {REQUEST} --include 'id == d-3'", 2, "texts stand in quotes"),
    "another field of the target": (
        f"select {OF} --raw body.jsonl --text-field body",
        2,
        "(raw and targets are read by",
    ),
    "a file that is not what its name says": (f"select {OF} --raw a.parquet", 1, "rename it to what it is"),
    "another text field": (f"select {OF} --raw body.jsonl", 2, "is it 'body'? Set --text-field"),
    "another column": (f"select {OF} --raw body.csv", 2, "no column 'text'; is it 'body'? Set --text-field"),
    "short documents": (f"select {OF} --raw short.jsonl", 1, "lower --min-tokens"),
    "an output that is there": (f"select {REQUEST} --output done", 2, "choose another --output, or replace it with"),
    "an output that is a file": (
        f"select {REQUEST} --output notes.txt",
        2,
        "notes.txt is a file, not a folder: choose",
    ),
    "a workdir in a file": (f"select {REQUEST} --workdir notes.txt/w", 2, "notes.txt is a file, not a folder: choose"),
    "no such settings": ("select run.yml", 2, "run.yml: No such file or directory"),
    "settings that are not YAML": ("select broken.yaml", 2, "broken.yaml:4: not YAML: expected"),
    "typo in a key": ("select typo.yaml", 2, "typo.yaml:4: min_token: no such setting; did you mean min_tokens?"),
    "wrong value of a key": ("select value.yaml", 2, "value.yaml:3: count: must be a whole number (got 'lots')"),
    "a key given twice": ("select twice.yaml", 2, "twice.yaml:2: raw: given twice, first in line 1"),
    "inline and workers": (f"select {REQUEST} --workers 2", 2, "inline and workers exclude each other"),
    "plan of no raw": ("plan --target target.jsonl", 2, "--raw: required, and not given"),
    "nothing to resample": (f"resample {REQUEST}", 2, "run dsir score (or dsir select"),
    "status of nothing": ("status nothing", 2, "nothing: no workdir there, or nothing in it yet"),
    "status of no place": (
        "status",
        2,
        "the following arguments are required: WORKDIR|OUTPUT (see dsir status --help)",
    ),
    "report of nothing": ("report nothing", 2, "nothing: no report.json there, so no finished selection"),
    "explain of nothing": ("explain nothing --file a --position 0", 2, "nothing: no report.json there"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of someone who has just begun."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw").mkdir()
    (tmp_path / "empty").mkdir()
    text = "a document that is long enough " * 30
    (tmp_path / "raw" / "a.jsonl").write_text((json.dumps({"text": text}) + "\n") * 20)
    (tmp_path / "target.jsonl").symlink_to(DEMO / "targets" / "speeches.jsonl")
    (tmp_path / "notes.txt").write_text("notes\n")
    (tmp_path / "a.parquet").write_text("{}\n")
    (tmp_path / "short.jsonl").write_text('{"text": "short"}\n')
    (tmp_path / "body.jsonl").write_text(json.dumps({"body": text, "id": 1}) + "\n")
    (tmp_path / "body.csv").write_text(f"body\n{text}\n")
    (tmp_path / "broken.yaml").write_text("raw: raw\ntarget: [\ncount: 5\n")
    (tmp_path / "typo.yaml").write_text("raw: raw\ntarget: target.jsonl\ncount: 5\nmin-token: 5\noutput: out\n")
    (tmp_path / "value.yaml").write_text("raw: raw\ntarget: target.jsonl\ncount: lots\noutput: out\n")
    (tmp_path / "twice.yaml").write_text("raw: raw\nraw: other\n")
    (tmp_path / "done").mkdir()
    (tmp_path / "done" / "report.json").write_text('{"documents": {"selected": 1}, "parts": []}')
    return tmp_path


@pytest.mark.parametrize(("words", "status", "said"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_answered_by_the_next_step(
    words: str, status: int, said: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(home.rglob("*"))
    try:
        found = main(shlex.split(words))
    except SystemExit as ended:
        found = ended.code
    shown = capsys.readouterr()
    lines = [line for line in shown.err.splitlines() if line.startswith("dsir")]
    assert (found, len(lines), shown.out) == (status, 1, ""), shown
    assert said in lines[0]
    assert "Traceback" not in shown.err
    if status == 2:
        assert shown.err.splitlines() == lines, "a wrong request is answered before anything else is said"
        assert sorted(home.rglob("*")) == before, "a wrong request leaves nothing behind"
