"""The page, in a real browser: nothing clipped, nothing foreign, light and dark, wide and narrow, full and empty."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dsir_core.config.request import parse_config
from dsir_core.report.html import render
from dsir_core.report.rates import share_chart
from dsir_core.report.sections import SECTIONS
from dsir_core.report.settings import as_yaml
from tests.browser import ask
from tests.integration.conftest import DEMO
from tests.report.conftest import Figures, Select

Page = Callable[[Figures], Path]

LAYOUT = """
const wrong = [];
if (document.scrollingElement.scrollWidth > window.innerWidth) wrong.push("the page scrolls sideways");
for (const details of document.querySelectorAll("details")) details.open = true;
if (document.scrollingElement.scrollWidth > window.innerWidth) wrong.push("the page with all details scrolls sideways");
let smallest = 99;
for (const svg of document.querySelectorAll("svg")) {
  const box = svg.getBoundingClientRect(), scale = box.width / svg.viewBox.baseVal.width;
  for (const text of svg.querySelectorAll("text")) {
    const place = text.getBoundingClientRect();
    if (!text.textContent) continue;
    smallest = Math.min(smallest, parseFloat(getComputedStyle(text).fontSize) * scale);
    const inside = place.left >= box.left - 1 && place.right <= box.right + 1
      && place.top >= box.top - 1 && place.bottom <= box.bottom + 1;
    if (!inside)
      wrong.push(svg.getAttribute("aria-label") + " clips " + text.textContent);
  }
  const labels = [...svg.querySelectorAll(".axis.x text")].map(t => t.getBoundingClientRect());
  labels.sort((a, b) => a.left - b.left);
  for (let i = 1; i < labels.length; i++)
    if (labels[i].left < labels[i - 1].right) wrong.push(svg.getAttribute("aria-label") + ": labels overlap");
}
return {wrong, smallest, charts: document.querySelectorAll("svg").length};
"""

FOREIGN = """
return {
  ran: "hacked" in window,
  elements: [...document.querySelectorAll("script, img, iframe, link, object, embed, form, [onerror], [onload]")]
    .map(e => e.outerHTML),
  requests: window.performance.getEntriesByType("resource").map(e => e.name),
  text: document.body.innerText,
};
"""

COLOURS = """
const light = colour => {
  const linear = v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
  const [r, g, b] = colour.match(/[0-9.]+/g).map(v => linear(Number(v) / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
const contrast = (a, b) => (Math.max(light(a), light(b)) + .05) / (Math.min(light(a), light(b)) + .05);
const background = getComputedStyle(document.body).backgroundColor;
const least = elements => Math.min(...[...document.querySelectorAll(elements)]
  .map(e => contrast(getComputedStyle(e).fill, background)));
return {
  background: light(background),
  text: contrast(getComputedStyle(document.body).color, background),
  labels: least("svg text"),
  bars: least("svg .series .rect"),
};
"""


@pytest.fixture(scope="session")
def ten_targets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Ten targets, one of them with a long name of many scripts."""
    lines = (DEMO / "targets" / "speeches.jsonl").read_text(encoding="utf-8").splitlines()
    folder = tmp_path_factory.mktemp("targets")
    targets = {}
    for i in range(10):
        path = folder / f"{i}.jsonl"
        path.write_text("\n".join(lines[i::10]) + "\n", encoding="utf-8")
        targets[f"target {i}" if i else "a target with a long name: \u6f22\u5b57 <b>&amp;</b>"] = str(path)
    return targets


CASES: dict[str, dict[str, Any]] = {
    "plain": {"count": 100},
    "all": {"count": 10**6},
    "nothing selected": {"tokens": 1},
    "random": {"count": 50, "method": "random"},
    "a temperature": {"count": 50, "target_ess": 0.1, "length_normalise": "sqrt"},
    "one document": {"count": 1},
    "strata": {"count": 60, "strata": "shelf", "quotas": {"shelf 0": 1, "shelf 2": 3}},
    "ten targets": {"count": 100},
    "ten separate targets": {"count": 100, "separate": True},
}


@pytest.fixture(scope="session", params=CASES)
def case(request: pytest.FixtureRequest, run_select: Select, ten_targets: dict[str, str]) -> tuple[str, Figures]:
    """The report of each kind of run."""
    more = {"target": ten_targets} if "ten" in request.param else {}
    report = run_select(request.param, **CASES[request.param], **more)
    # Strict JSON: other languages know no NaN.
    return request.param, json.loads(json.dumps(report, allow_nan=False))


@pytest.mark.browser
@pytest.mark.parametrize("width", [360, 1400])
def test_nothing_is_clipped_on_a_phone_or_a_wide_window(case: tuple[str, Figures], page: Page, width: int) -> None:
    name, figures = case
    found = ask(page(figures), LAYOUT, width=width)
    assert found["wrong"] == []
    assert found["smallest"] >= 10.5
    assert found["charts"] >= (4 if name == "nothing selected" else 7)


def test_the_contents_lead_to_every_section(figures: Figures) -> None:
    page = render(figures)
    links = re.findall(r'<a href="#(\w+)">([^<]+)</a>', page)
    assert links == re.findall(r'id="(\w+)"><summary><h2>([^<]+)</h2>', page)
    assert {"recovery", "examples", "settings"} <= {name for name, _ in links}


def test_the_first_lines_say_what_was_selected_for_whom_and_whether_it_looks_right(figures: Figures) -> None:
    first, _, _ = render(figures).partition("<dl")
    targets, config = figures["targets"], figures["config"]
    assert f"{figures['documents']['selected']:,} of {figures['documents']['raw']:,} documents selected for" in first
    assert all(name in first for name in list(targets)[:3])
    assert config["output"] in first
    assert figures["time"]["ended"] in first
    assert 'class="verdict' in first


def test_the_settings_of_a_report_run_the_same_request_again(figures: Figures) -> None:
    copied = yaml.safe_load(as_yaml(figures["config"]))
    assert parse_config(copied).model_dump(mode="json") == figures["config"]
    assert len(copied) < len(figures["config"]) / 2


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_text_and_bars_stand_out_in_light_and_dark(figures: Figures, page: Page, dark: bool) -> None:
    found = ask(page(figures), COLOURS, dark=dark)
    assert found["background"] < 0.05 if dark else found["background"] > 0.9
    assert found["text"] > 7
    assert found["labels"] > 4.5
    assert found["bars"] > 3


HIDDEN = """
const wrong = [];
for (const link of document.querySelectorAll("nav a")) {
  const place = link.getBoundingClientRect();
  if (place.left < 0 || place.right > window.innerWidth) wrong.push(link.textContent);
}
for (const nav of document.querySelectorAll("nav")) if (nav.scrollWidth > nav.clientWidth) wrong.push("nav");
if (window.innerWidth > 1000)
  for (const box of document.querySelectorAll(".wide"))
    if (box.scrollWidth > box.clientWidth) wrong.push(box.innerText);
return wrong;
"""


@pytest.mark.browser
@pytest.mark.parametrize("width", [375, 1400])
def test_contents_and_tables_are_seen_whole(figures: Figures, page: Page, width: int) -> None:
    figures = copy.deepcopy(figures)
    figures["recovery"]["speeches"]["smoothing"] = "raw_prior=10000"
    assert ask(page(figures), HIDDEN, width=width) == []


@pytest.mark.browser
def test_long_values_of_example_fields_wrap_on_a_phone(figures: Figures, page: Page) -> None:
    figures = copy.deepcopy(figures)
    for example in figures["examples"]:
        example["fields"] = {"path": "/usr/share/" + "a_long_name_without_spaces/" * 5}
    assert ask(page(figures), LAYOUT, width=375)["wrong"] == []


HOSTILE = (
    "</pre></svg></style><script>window.hacked = 1</script>"
    '<img src="x" onerror="window.hacked = 1">{{ 7 * 7 }}\x00\x0b\x1b'
)


@pytest.mark.browser
def test_whatever_documents_hold_is_text(figures: Figures, page: Page) -> None:
    hostile = _with_text(copy.deepcopy(figures), HOSTILE)
    found = ask(page(hostile), FOREIGN)
    assert not found["ran"]
    assert found["elements"] == []
    assert found["requests"] == []
    assert "{{ 7 * 7 }}" in found["text"]
    assert ask(page(hostile), LAYOUT, width=360)["wrong"] == []


def _with_text(value: Any, text: str) -> Any:
    """All strings that come from documents, names and settings, and keys that do, replaced or added to."""
    if isinstance(value, str):
        return value + text
    if isinstance(value, list):
        return [_with_text(one, text) for one in value]
    if isinstance(value, dict):
        named = {"targets", "quantiles", "histograms", "reasons", "damaged", "corpus", "config", "versions", "stages"}
        return {
            key: {name + text: _with_text(one, text) for name, one in inner.items()}
            if key in named and key != "config"
            else (inner if key in ("kind", "config") else _with_text(inner, text))
            for key, inner in value.items()
        }
    return value


@pytest.mark.browser
def test_the_page_names_the_figures_of_the_report(figures: Figures, page: Page) -> None:
    shown = ask(page(figures), "for (const d of document.querySelectorAll('details')) d.open = true; "
                               "return document.body.innerText")  # fmt: skip
    target = figures["targets"]["speeches"]
    expected = [
        "100 of 2,732 documents selected", f"{figures['kl_reduction']:.3f} nats", f"{target['kl_raw']:.3f}",
        f"{target['kl_selected']:.3f}", f"{figures['weights']['effective_sample_size']:.1f}",
        "bad: text is null", "invalid JSON", "pool-3.jsonl", "Just missed",
        figures["selection_digest"],
        figures["model_digest"], figures["workdir"], f"{figures['tokens']['selected']:,}",
        figures["stages"]["count"]["slowest"][0]["shard"],
    ]  # fmt: skip
    assert [text for text in expected if text not in shown] == []
    assert all(example["text"].split()[0] in shown for example in figures["examples"])


def test_reports_of_older_versions_lack_keys_and_still_make_a_page(figures: Figures) -> None:
    whole = render(figures)
    assert whole.count("<h2>") >= len(SECTIONS) - 3
    for key in figures:
        page = render({name: value for name, value in figures.items() if name != key})
        assert page.count("<h2>") >= whole.count("<h2>") - 6
    counted = ("raw", "eligible", "selected", "rejected", "ineligible", "bad")
    first = {  # what version 0.1.0 had at first
        "documents": {key: figures["documents"][key] for key in counted},
        "tokens": figures["tokens"], "targets": figures["targets"], "kl_reduction": figures["kl_reduction"],
        "weights": figures["weights"], "bad": figures["bad"], "damaged": {}, "fit": figures["fit"],
        "selection_digest": "0", "notes": [], "corpus": figures["corpus"], "config": figures["config"],
        "versions": figures["versions"], "storage": {"retries": 0},
        "examples": [{"file": "a", "position": 0, "target": "t", "log_weight": 1.0, "text": "words"}],
        "stages": {"count": {"seconds": 1.0, "bytes": 10, "shards": 1, "reused": 0}},
    }  # fmt: skip
    assert "words" in render(first)
    assert render({"documents": {"selected": 1, "raw": 2}})


def test_the_same_figures_give_the_same_page(figures: Figures) -> None:
    assert render(figures) == render(json.loads(json.dumps(figures)))


def test_strata_stand_in_the_order_of_their_share_with_their_lift() -> None:
    groups = [
        {"name": "a", "documents": 900, "eligible": 800, "selected": 10},
        {"name": "b", "documents": 100, "eligible": 100, "selected": 30},
        {"name": "c", "documents": 100, "eligible": 100, "selected": 0},
    ]
    found = share_chart("stratum", {"groups": groups, "others": None})["groups"]
    assert [(group["name"], group["share"], group["lift"]) for group in found] == [
        ("b", 0.75, pytest.approx(7.5)),
        ("a", 0.25, pytest.approx(0.3125)),
        ("c", 0.0, 0.0),
    ]


def test_the_weight_by_rank_shows_the_cut_and_what_raw_seems_to_hold(figures: Figures, page: Page) -> None:
    text = page(figures).read_text()
    assert "Log weight by rank for speeches" in text
    for legend in ("100 selected", "about 81 like the target"):
        assert f">{legend}</li>" in text
    assert re.search(r">threshold \u2212?[\d.,]+</text>", text)
    older = json.loads(json.dumps(figures))
    del older["histograms"]["speeches"]["positive"]
    assert "about 86 like the target" in page(older).read_text()
