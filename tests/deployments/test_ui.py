"""A run on demand from Prefect's UI, in a real browser: what the form shows and refuses, and the run it starts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser import live_page
from tests.deployments.conftest import DEMO, Served, request
from tests.waiting import until

pytestmark = [pytest.mark.browser, pytest.mark.server]

WIDE, NARROW = 1400, 390


@pytest.fixture
def form(served: Served, tmp_path: Path) -> Iterator[Callable[[int], Page]]:
    """Opens the form of the deployment `select` in a window of some width; its last view is kept as page.png."""
    with ExitStack() as stack:

        def opened(width: int) -> Page:
            page = stack.enter_context(live_page(width=width, height=1700))
            stack.callback(lambda: page.screenshot(path=tmp_path / "page.png"))
            if width == WIDE:
                page.goto(f"{served.url}/deployments")
                page.get_by_role("link", name="select", exact=True).first.click()
                page.get_by_role("button", name="Run", exact=True).click()
                page.get_by_text("Custom run").click()
            else:
                page.goto(f"{served.url}/deployments/deployment/{served.deployment('select')['id']}/run")
            expect(page.get_by_text("The raw corpus to choose from")).to_be_visible()
            return page

        yield opened


def field(page: Page, label: str) -> Locator:
    """The part of the form for one setting: the innermost that has its label."""
    named = page.locator(".schema-form-property__label", has_text=re.compile(rf"^\s*{label}( \(Optional\))?\s*$"))
    return page.locator(".schema-form-property").filter(has=named).last


def open_groups(page: Page, *names: str) -> None:
    """Open some groups of advanced settings."""
    field(page, "Advanced").get_by_role("button", name="Settings", exact=True).click()
    for name in names:
        page.get_by_role("button", name=name, exact=True).click()


def fill(page: Page, wanted: dict[str, Any]) -> None:
    """Put a request into the form, as a person does."""
    for path in wanted["raw"]:
        field(page, "Raw").get_by_role("button", name="Add item").click()
        field(page, "Raw").get_by_role("textbox").last.fill(path)
    field(page, "Target").get_by_role("textbox").fill(json.dumps(wanted["target"]))
    field(page, "Output").get_by_role("textbox").fill(wanted["output"])


def fill_number(page: Page, label: str, value: int) -> None:
    """Give an optional number, which has no value until one says that it shall have one."""
    field(page, label).get_by_role("button", name="int").click()
    field(page, label).get_by_role("spinbutton").fill(str(value))


def fill_text(page: Page, label: str, value: str) -> None:
    """Give a number as a person writes it."""
    field(page, label).get_by_role("button", name=re.compile("^as ")).click()
    field(page, label).get_by_role("textbox").fill(value)


def submit(page: Page) -> None:
    page.get_by_role("button", name="Submit").click()


@pytest.mark.parametrize("width", [WIDE, NARROW])
def test_the_form_explains_itself_and_has_defaults_and_choices(form: Callable[[int], Page], width: int) -> None:
    page = form(width)
    expect(page.get_by_text("Seed of the Gumbel noise.")).to_be_hidden()
    open_groups(page, "Sample", "Features")
    expect(page.get_by_text("Seed of the Gumbel noise.")).to_be_visible()
    expect(field(page, "Seed").get_by_role("spinbutton")).to_have_value("0")
    field(page, "Hash").locator(".p-select-button__control").press("Space")
    expect(page.get_by_text("sha256", exact=True).last).to_be_visible()
    page.keyboard.press("Escape")
    for kind in ("Local", "Address", "File", "Class"):
        button = page.get_by_role("button", name=kind, exact=True)
        expect(button).to_be_visible()
        box = button.bounding_box()
        assert box is not None
        assert box["x"] + box["width"] <= width, "clipped"


def test_wrong_values_are_refused_in_the_form(served: Served, form: Callable[[int], Page], tmp_path: Path) -> None:
    before = served.call("/flow_runs/count", {})
    page = form(WIDE)
    submit(page)
    for name in ("raw", "target", "output"):
        expect(field(page, name.title()).get_by_text(f"'{name}' is a required property")).to_be_visible()
    fill(page, request(tmp_path))
    submit(page)
    expect(page.get_by_text("Validation failed for field 'config.count'").first).to_be_visible()
    fill_number(page, "Count", 0)
    submit(page)
    expect(field(page, "Count").locator(".p-label__message--failed").first).to_be_visible()
    fill_number(page, "Count", 5)
    fill_number(page, "Tokens", 5)
    submit(page)
    expect(page.get_by_text("5 is not of type 'null'").first).to_be_visible()
    assert served.call("/flow_runs/count", {}) == before


def large(folder: Path) -> str:
    """A corpus of so many shards that it takes a while on any machine."""
    folder.mkdir()
    text = (DEMO / "raw" / "pool-1.jsonl").read_bytes()
    for i in range(8):
        (folder / f"{i}.jsonl").write_bytes(text * 5)
    return str(folder)


def shards_done(page: Page) -> tuple[int, int] | None:
    """What the progress artifact of counting says: shards done, and shards in all; None while there is none."""
    for tab in ("Details", "Artifacts"):  # a tab that is opened asks the server anew
        page.get_by_text(tab, exact=True).last.click()
        page.wait_for_timeout(500)
    told = re.search(r"dsir-count\s[^/]*?([0-9,]+) of ([0-9,]+) shards", page.locator("body").inner_text())
    return (int(told[1].replace(",", "")), int(told[2].replace(",", ""))) if told else None


@contextmanager
def paused(served: Served, run: str) -> Iterator[None]:
    """A run whose processes stand still inside the block: from when its counting has begun, and has not ended."""
    counting = {"artifacts": {"flow_run_id": {"any_": [run]}, "key": {"any_": ["dsir-count"]}}}
    until(lambda: [one for one in served.call("/artifacts/filter", counting) if one["data"] > 0])
    processes = [one for one in psutil.Process(served.process.pid).children(recursive=True) if _is_of(one, run)]
    for process in processes:
        process.suspend()
    try:
        yield
    finally:
        for process in processes:
            process.resume()


def _is_of(process: psutil.Process, run: str) -> bool:
    with suppress(psutil.NoSuchProcess):
        return process.environ().get("PREFECT__FLOW_RUN_ID") == run
    return False


def test_the_form_is_filled_in_the_run_moves_completes_and_links_its_report(
    served: Served, form: Callable[[int], Page], tmp_path: Path
) -> None:
    wanted = request(tmp_path, raw=[large(tmp_path / "raw")])
    page = form(WIDE)
    fill(page, wanted)
    fill_number(page, "Count", wanted["count"])
    open_groups(page, "Shards")
    fill_text(page, "Shard Bytes", "20kB")
    drawn = page.get_by_role("textbox").first.input_value()
    submit(page)
    # It is called as the form has drawn by lot until it begins, then by what it does.
    drawn_link = page.get_by_role("link", name=drawn, exact=True)
    own_link = page.get_by_role("link", name=f"select to {tmp_path}/output at ")
    drawn_link.or_(own_link).first.click()
    page.wait_for_url(re.compile("/runs/flow-run/"))
    run = page.url.split("/runs/flow-run/")[1].split("?")[0]

    with paused(served, run):  # so that there is time to look
        done, of_shards = until(lambda: shards_done(page))
        page.screenshot(path=tmp_path / "progress.png")
    assert 0 < done < of_shards
    assert served.wait(run) == "COMPLETED"
    until(lambda: shards_done(page) == (of_shards, of_shards))

    expect(page.locator("[class*=page-heading-flow-run]").get_by_text("Completed")).to_be_visible()
    expect(page.get_by_text(f"select to {tmp_path}/output").first).to_be_visible()
    page.get_by_text("dsir-page", exact=True).last.click()
    link = page.get_by_role("link", name=f"{tmp_path}/output/report.html")
    expect(link).to_be_visible()
    assert (tmp_path / "output" / "report.html").is_file()
    assert json.loads((tmp_path / "output" / "report.json").read_text())["documents"]["selected"] == wanted["count"]
