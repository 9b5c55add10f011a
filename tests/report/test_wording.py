"""What the page says: figures in one form, settings as YAML, and nothing that does not hold for the method."""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml

from dsir_core.config.request import parse_config
from dsir_core.report.charts import shorten, signed
from dsir_core.report.formatting import as_sentence, decimal, speed
from dsir_core.report.html import render
from dsir_core.report.rates import rate_chart, share_chart
from dsir_core.report.sections import key_and_threshold
from flows.summary import print_summary
from tests.report.conftest import Figures


def _group(name: str, eligible: int, selected: int) -> Figures:
    return {"name": name, "documents": 10, "eligible": eligible, "selected": selected}


def test_a_colour_means_the_same_in_every_chart(figures: Figures) -> None:
    found = {text: colour for colour, text in re.findall(r'<li class="(\w+)">([^<]+)</li>', render(figures))}
    assert found == {
        "held-out target documents": "target", "random selection": "random", "size of this selection": "selected",
        "raw": "raw", "target": "target", "selected": "selected", "threshold": "threshold",
        "documents of raw": "raw", "100 selected": "selected", "about 81 like the target": "target",
    }  # fmt: skip
    assert "color-0" not in render(figures)


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["short", "as they are"], ["short", "as they are"]),
        (["batch1/part-0.parquet", "batch2/part-1.parquet"], ["batch1/part-0…", "batch2/part-1…"]),
        (["corpus/2024/part-00001.jsonl.gz", "corpus/2024/part-00002.jsonl.gz"],
         ["…00001.jsonl.gz", "…00002.jsonl.gz"]),
        (["a/long/common/folder/one/and/a/long/common/name", "a/long/common/folder/two/and/a/long/common/name"],
         ["…one…", "…two…"]),
        (["one label that is far too long"], ["one labe…too long"]),
        (["one label that is far too long", ""], ["one labe…too long", ""]),
    ],
)  # fmt: skip
def test_long_labels_keep_what_tells_them_apart(labels: list[str], shown: list[str]) -> None:
    assert shorten(labels) == shown


@pytest.mark.parametrize("chart", [share_chart, rate_chart])
def test_groups_of_which_none_has_documents_are_shown(chart: Any) -> None:
    groups = [_group("a", 0, 0), _group("b", 0, 0)]
    shown = chart("stratum", {"groups": groups, "others": _group("others", 5, 2)})
    assert "no data" not in shown["chart"].svg
    assert [group["name"] for group in shown["groups"]] == ["a", "b"]


def test_charts_leave_out_groups_without_documents_and_say_how_many() -> None:
    groups = [_group("none eligible", 0, 0), _group("none selected", 5, 0), _group("some", 5, 2)]
    lengths = rate_chart("length", {"groups": groups, "others": None})
    assert lengths["summary"] == "3 groups, 1 of them without eligible documents and not in the chart"
    assert "none eligible" not in lengths["chart"].svg
    assert "none selected" in lengths["chart"].svg
    strata = share_chart("stratum", {"groups": groups, "others": None})
    assert strata["summary"] == "3 groups, 2 of them without selected documents and not in the chart"
    assert "none selected" not in strata["chart"].svg
    assert [group["name"] for group in strata["groups"]] == ["some", "none selected", "none eligible"]


def test_all_settings_are_yaml_with_the_workdir_that_was_used(figures: Figures) -> None:
    report = copy.deepcopy(figures)
    report["config"] |= {"workdir": "", "smoothing": {"raw_prior": 10000.0}}
    _, _, rest = render(report).partition("<h3>All settings</h3>\n<pre>")
    settings = yaml.safe_load(rest.partition("</pre>")[0].replace("&#39;", "'").replace("&#34;", '"'))
    assert settings == {**report["config"], "workdir": report["workdir"]}


def test_positions_can_be_pasted(figures: Figures) -> None:
    report = copy.deepcopy(figures)
    report["examples"][0] |= {"position": 8147649, "offset": 12345}
    report["bad"]["first"][0]["position"] = 7654321
    page = render(report)
    assert "at 8147649, from byte 12345 of" in page
    assert "<td>7654321</td>" in page


@pytest.mark.parametrize(
    ("key", "threshold", "shown"),
    [
        (559.43, 559.24, ("559.4", "559.2")),
        (410.4213, 410.4196, ("410.421", "410.420")),
        (1.1639744, 1.1639738, ("1.1639744", "1.1639738")),
        (1.0, 1.0, ("1.0", "1.0")),
    ],
)
def test_a_key_is_told_apart_from_the_threshold(key: float, threshold: float, shown: tuple[str, str]) -> None:
    assert key_and_threshold(key, threshold) == shown


def test_what_rounds_to_zero_has_no_sign() -> None:
    assert decimal(-0.0004) == "0.000"
    assert decimal(-0.0006) == "\N{MINUS SIGN}0.001"
    assert signed(-0.0004, lambda value: f"{value:.3f}") == "0.000"


def test_notes_are_sentences() -> None:
    assert as_sentence("copies in the selection: 3") == "Copies in the selection: 3."
    assert as_sentence("is --min-tokens 1500 meant?") == "Is --min-tokens 1500 meant?"
    assert as_sentence("target_ess: no temperature") == "target_ess: no temperature."


def test_a_random_selection_of_everything_recovers_all_of_it(figures: Figures) -> None:
    report = copy.deepcopy(figures)
    report["recovery"]["speeches"]["share"] = 1.0
    assert "selected; 100% by a random selection" in render(report)


def test_the_page_and_the_terminal_say_the_same_speed(figures: Figures, capsys: pytest.CaptureFixture) -> None:
    print_summary(parse_config(figures["config"]), figures)
    assert f"in all stages ({speed(figures)}), " in capsys.readouterr().out
    assert f"<small>{speed(figures)}</small>" in render(figures)
    reused = {**figures, "stages": {name: {**stage, "bytes": 0} for name, stage in figures["stages"].items()}}
    assert speed(figures).endswith("/s of raw, as stored")
    assert speed(reused) == ""


@pytest.mark.parametrize("method", ["random", "heuristic", "heuristic-top-k"])
def test_nothing_is_said_of_weights_by_which_nothing_was_selected(
    figures: Figures, method: str, capsys: pytest.CaptureFixture
) -> None:
    report = copy.deepcopy(figures)
    report["config"]["method"] = method
    report["recovery"] = {}
    page = render(report)
    print_summary(parse_config(report["config"]), report)
    printed = capsys.readouterr().out
    sentence = f"dsir compare also measures it for the method {method}."
    for text in (page, printed):
        assert sentence in text
        assert "ffective sample size" not in text
    for text in ("Log weights for", "log weight ", "weigh most", 'class="plus-', "Quantiles"):
        assert text not in page, text
    assert f"The method {method} selects the documents with the largest keys." in page
    assert sentence not in render(figures)


def test_the_page_says_what_a_key_is(figures: Figures) -> None:
    page = render(figures)
    assert page.count("The documents with the largest keys are selected.") == 1
    assert "key is its log weight" in page
    assert ", plus Gumbel noise." in page
    top = {**figures, "config": {**figures["config"], "method": "top-k"}}
    assert "Gumbel" not in render(top)
