"""The command: names, help, errors in one line, exit status."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.cli import CLOSED, COMMANDS, _program, main
from tests.integration.conftest import DEMO, without_notes

SPEECHES = str(DEMO / "targets" / "speeches.jsonl")


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """The command in this process, for words and the working directory."""

    def inside(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        if cwd:
            monkeypatch.chdir(cwd)
        try:
            status = main(words)
        except SystemExit as refused:
            status = int(refused.code or 0)
        said = capsys.readouterr()
        return subprocess.CompletedProcess(words, status, said.out, said.err)

    return inside


def test_the_program_ends_with_the_status_of_the_command() -> None:
    program = "import sys; from flows.cli import command; command()"
    done = subprocess.run([sys.executable, "-c", program, "status", "/none"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


PRINTS = """
import sys, types
from flows.cli import command
sys.modules["flows.commands.status"] = types.SimpleNamespace(add_arguments=id, run=lambda arguments: print("x") or 0)
command()
"""


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    ("program", "word", "statuses"),
    [
        (
            "from flows.cli import command; command()",
            "--help",
            {0, CLOSED},
        ),  # argparse ignores a closed pipe
        (PRINTS, "status", {CLOSED}),
    ],
    ids=["help", "run"],
)
def test_a_reader_that_has_enough_is_no_error(program: str, word: str, statuses: set[int], unbuffered: str) -> None:
    words = [sys.executable, "-c", program, word]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()  # before anything is printed
        assert process.stderr.read() == ""
    assert process.returncode in statuses


def test_to_go_on_the_program_is_called_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "dsir"
    program.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    monkeypatch.setattr("sys.argv", [str(program), "select"])
    assert _program() == str(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _program() == "dsir"


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


def test_plan_and_status_do_not_import_prefect_or_dask(tmp_path: Path) -> None:
    program = (
        "import sys; from flows.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'prefect', 'distributed', 'dask'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else status)"
    )
    (tmp_path / "counts").mkdir()
    (tmp_path / "counts" / f"{'0' * 64}.json").touch()
    plan = ["plan", "--raw", str(DEMO / "raw"), "--target", SPEECHES, "--workdir", str(tmp_path)]
    for words in (plan, ["status", str(tmp_path)]):
        done = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True)
        assert (done.returncode, without_notes(done.stderr)) == (0, [])
        assert done.stdout


@pytest.mark.parametrize(
    "change",
    [["--raw", "/none/x.jsonl"], ["--raw", str(DEMO / "SOURCES.md")], ["--text-field", "body"], ["--output", "."]],
    ids=" ".join,
)
def test_a_wrong_request_is_refused_before_prefect_and_dask_are_imported(change: list[str], tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text('{"documents": {"selected": 1}, "parts": []}')
    program = (
        "import sys; from flows.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "heavy = {'prefect', 'distributed', 'dask'} & set(sys.modules)\n"
        "sys.exit(f'imports {heavy}' if heavy else status)"
    )
    words = ["--raw", str(DEMO / "raw"), "--target", SPEECHES, "--count", "5", "--output", "out", *change]
    if "--raw" in change:
        words = words[2:]
    done = subprocess.run(
        [sys.executable, "-c", program, "select", *words], capture_output=True, text=True, cwd=tmp_path
    )
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr


def test_select_inline_from_a_yaml_file_with_flags_over_it(run: Run, tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(
        f"raw: [{DEMO}/raw/*]\ntarget:\n  speeches: {SPEECHES}\ncount: 70\n"
        f"output: {tmp_path}/out\nmin-tokens: 50\ninline: true\n"
    )
    done = run("select", str(config), "--tokens", "2e4")
    assert (done.returncode, without_notes(done.stderr)) == (0, [])
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["config"]["tokens"] == 20_000
    assert report["config"]["count"] is None
    assert report["config"]["min_tokens"] == 50
    assert f"report    {tmp_path}/out/report.html" in done.stdout
    (tmp_path / "out" / "report.html").unlink()
    assert run("report", str(tmp_path / "out")).returncode == 0
    assert (tmp_path / "out" / "report.html").exists()
    status = run("status", f"{tmp_path}/out.work")
    assert "1  shards scored" in status.stdout


def test_resample_refuses_a_workdir_without_weights(run: Run, tmp_path: Path) -> None:
    request = ["--raw", f"{DEMO}/raw/*", "--target", SPEECHES, "--count", "70", "--inline"]
    places = ["--output", str(tmp_path / "out"), "--workdir", str(tmp_path / "work")]
    done = run("resample", *request, *places)
    assert done.returncode == 2
    assert f"{tmp_path}/work holds no weights" in done.stderr
    assert "dsir score" in done.stderr
    assert not (tmp_path / "work").exists()


@pytest.fixture
def scored(run: Run, tmp_path: Path) -> Path:
    """A folder with a raw corpus of two files, the selection `first` and its workdir `work`."""
    (tmp_path / "raw").mkdir()
    for name in ("pool-1.jsonl", "pool-4.parquet"):
        (tmp_path / "raw" / name).write_bytes((DEMO / "raw" / name).read_bytes())
    request = ["--raw", "raw", "--target", f"speeches={SPEECHES}", "--count", "20", "--shard-bytes", "300000"]
    assert run("select", *request, "--output", "first", "--workdir", "work", "--inline", cwd=tmp_path).returncode == 0
    return tmp_path


def digests(folder: Path) -> dict[str, str]:
    """Of what the workdir holds, without the records of runs."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (folder / "work").rglob("*")
        if path.is_file() and path.parent.parent.name != "runs"
    }


def test_resample_computes_no_weights_that_are_missing(run: Run, scored: Path) -> None:
    receipts = sorted((scored / "work" / "weights").glob("*.json"))
    receipts[0].unlink()
    before = digests(scored)
    again = ["--count", "10", "--output", "second", "--inline"]
    done = run("resample", "first", *again, cwd=scored)
    assert done.returncode == 2
    assert f"lacks the weights of 1 of {len(receipts)} shards for this request, first pool-" in done.stderr
    assert "run dsir score or dsir select with the same request" in done.stderr
    assert digests(scored) == before
    # As many shards as may be left out have no weights after a whole run either.
    assert run("resample", "first", *again, "--max-bad-shards", "1", cwd=scored).returncode == 0


def test_resample_counts_no_new_file(run: Run, scored: Path) -> None:
    (scored / "raw" / "new.jsonl").write_bytes((DEMO / "raw" / "pool-1.jsonl").read_bytes()[:100_000])
    before = digests(scored)
    done = run("resample", "first", "--count", "10", "--output", "second", "--inline", cwd=scored)
    assert done.returncode == 2
    assert "lacks the counts of " in done.stderr
    assert digests(scored) == before


def test_resample_refuses_before_prefect_starts_and_leaves_the_selection_complete(run: Run, scored: Path) -> None:
    (scored / "raw" / "new.jsonl").write_bytes((DEMO / "raw" / "pool-1.jsonl").read_bytes()[:100_000])
    done = run("resample", "first", "--count", "10", "--output", "first", "--overwrite", "--workers", "1", cwd=scored)
    assert done.returncode == 2
    assert "lacks the counts of " in done.stderr
    assert "Prefect" not in done.stderr
    shown = run("status", "first", cwd=scored)
    assert "not complete" not in shown.stdout


def test_an_output_stands_for_its_settings_and_its_workdir(run: Run, tmp_path: Path) -> None:
    corpora = ["--raw", str(DEMO / "raw" / "pool-1.jsonl"), "--target", f"speeches={SPEECHES}"]
    first = ["--count", "20", "--min-tokens", "50", "--output", "first", "--workdir", "kept"]
    assert run("select", *corpora, *first, "--inline", cwd=tmp_path).returncode == 0
    done = run("resample", "first", "--count", "10", "--output", "second", "--inline", cwd=tmp_path)
    assert (done.returncode, without_notes(done.stderr)) == (0, [])
    report = json.loads((tmp_path / "second" / "report.json").read_text())
    assert (report["documents"]["selected"], report["config"]["min_tokens"]) == (10, 50)
    assert report["stages"]["score"]["reused"] == 1
    assert "workdir kept\n" in run("status", "second", cwd=tmp_path).stdout
    assert run("clean", "second", "--dry-run", cwd=tmp_path).stdout.startswith("kept: 0 of ")
    done = run("resample", "kept", "--count", "10", "--output", "third", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "kept: neither a CONFIG.yaml nor the output of a finished run" in done.stderr


def test_compare_takes_an_output_and_refuses_labels_without_a_field_at_once(
    run: Run, scored: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    done = run("compare", "first", "--target-label", "a", "--output", "second", "--workers", "1", cwd=scored)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--target-label: name the field of raw that the labels are in with --strata" in done.stderr
    done = run("compare", "first", "--output", "second", "--inline", cwd=scored)
    assert done.returncode == 0
    assert "\nheuristic-top-k  " in done.stdout
    assert "..." not in done.stdout
    assert "…" not in done.stdout
    figures = json.loads((scored / "second" / "compare.json").read_text())
    assert figures["methods"]["importance"]["documents"] == 20
    assert figures["workdir"] == "work"


def test_random_from_an_output_has_no_note_on_settings_that_nobody_gave(run: Run, tmp_path: Path) -> None:
    corpora = ["--raw", str(DEMO / "raw" / "pool-1.jsonl"), "--target", f"speeches={SPEECHES}", "--inline"]
    assert run("select", *corpora, "--count", "20", "--output", "first", cwd=tmp_path).returncode == 0
    more = ["--method", "random", "--count", "10", "--output", "second", "--inline"]
    assert "makes no use of" not in run("resample", "first", *more, cwd=tmp_path).stderr


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["select", "--raw", "x"], 2, "target: required"),
        (["select", "no-such.yaml"], 2, "no-such.yaml: No such file"),
        (["select", "--raw", "x", "--target", "y", "--output", "o", "--count", "many"], 2, "count"),
        (
            [
                "select",
                "--raw",
                "/none/*.jsonl",
                "--target",
                "y",
                "--output",
                "o",
                "--count",
                "1",
                "--inline",
            ],
            2,
            "/none",
        ),
        (["frobnicate"], 2, "frobnicate"),
        (["select", "--frobnicate"], 2, "--frobnicate"),
        (["status", "/no/such/place"], 2, "/no/such/place"),
        (["report", "/no/such/place"], 2, "/no/such/place"),
    ],
)
def test_a_wrong_request_ends_with_2_and_one_line(
    run: Run, words: list[str], status: int, said: str, tmp_path: Path
) -> None:
    done = run(*words, cwd=tmp_path)
    assert done.returncode == status
    assert said in done.stderr
    assert len(without_notes(done.stderr)) == 1
    assert "Traceback" not in done.stderr


def test_a_failed_run_ends_with_1_and_one_line(run: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    raw.write_text('{"text": "short"}\n')
    words = [
        "--raw",
        str(raw),
        "--target",
        SPEECHES,
        "--output",
        str(tmp_path / "o"),
        "--count",
        "1",
        "--inline",
    ]
    done = run("select", *words)
    assert done.returncode == 1
    assert "--min-tokens" in done.stderr
    assert len(without_notes(done.stderr)) == 1


@pytest.mark.parametrize("content", ["a: [", "- 1\n", "!!python/object/apply:os.system ['true']\n"])
def test_a_settings_file_that_is_not_settings_is_refused(run: Run, tmp_path: Path, content: str) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(content)
    done = run("select", str(config))
    assert done.returncode == 2
    assert "c.yaml" in done.stderr
    assert len(without_notes(done.stderr)) == 1


def test_plan_in_words_and_as_json(run: Run, tmp_path: Path) -> None:
    words = ["plan", "--raw", f"{DEMO}/raw", "--target", f"speeches={SPEECHES}", "--count", "70"]
    done = run(*words, "--output", str(tmp_path / "out"))
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("2,730", "1,661,895", "about 70", "eligible", "ok    write workdir", "hidden in raw"):
        assert shown in done.stdout
    told = json.loads(run(*words, "--json", "--output", str(tmp_path / "out")).stdout)
    assert told["raw"]["documents"] == {"value": 2730, "low": 2730, "high": 2730}
    assert told["can_run"]
    assert set(told["stages"]) == {"count", "recover", "score", "resample", "write", "report"}
    assert not list(tmp_path.iterdir())


def test_plan_of_what_cannot_run_says_so_and_fails(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = run("plan", "--raw", f"{DEMO}/raw", "--target", SPEECHES, "--workdir", str(tmp_path / "file" / "work"))
    assert (done.returncode, done.stderr) == (1, "")
    assert "FAIL  write workdir: NotADirectoryError" in done.stdout


def test_plan_needs_no_place_to_write_to(run: Run) -> None:
    done = run("plan", "--raw", f"{DEMO}/raw", "--target", SPEECHES)
    assert (done.returncode, done.stderr) == (0, "")
    assert "write" not in done.stdout


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"output": "x", "stages": 3}'])
def test_a_damaged_record_of_a_run_is_named_and_nothing_is_removed(run: Run, tmp_path: Path, content: str) -> None:
    record = tmp_path / "runs" / ("0" * 16) / "head.json"
    record.parent.mkdir(parents=True)
    record.write_text(content)
    checkpoint = tmp_path / "counts" / f"{'0' * 64}.json"
    checkpoint.parent.mkdir()
    checkpoint.touch()
    for words in (["status"], ["clean", "--hours", "0"]):
        done = run(*words, str(tmp_path))
        assert done.returncode == 1
        assert f"{record} is damaged: run the command that wrote it again" in done.stderr
    assert checkpoint.exists()
