"""The pages in a real browser: no errors on the console, nothing foreign runs, everything can be used.

Needs Debian's Chromium (or any other on the path) and Playwright; the accessibility check needs
axe-playwright-python. Skipped where they are absent.
"""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from synthetic_run import Size, write_run

from observe_r1.report.compare import compare_runs
from observe_r1.report.compare_page import write_comparison
from observe_r1.report.pages import write_report
from observe_r1.report.server import make_server

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(
    (
        found
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (found := shutil.which(name))
    ),
    None,
)
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on the path"),
]

FLAGS = [
    "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", *(["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
]  # fmt: skip
PATIENCE = 120
"""Seconds for what is quick where nothing else runs."""
PHONE = {"width": 390, "height": 844}
LAPTOP = {"width": 1280, "height": 800}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        found = running.chromium.launch(
            executable_path=CHROMIUM, args=FLAGS, timeout=1000 * PATIENCE
        )
        yield found
        found.close()


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens an address, waits until the page is ready, and fails on anything on the console."""
    contexts, complaints = [], []

    def open_page(address: str, size: dict[str, int] = LAPTOP, theme: str = "light") -> Any:
        context = browser.new_context(viewport=size, color_scheme=theme)
        context.set_default_timeout(1000 * PATIENCE)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def draw_curves(page: Any) -> None:
    for place in range(page.locator(".plot").count()):
        plot = page.locator(".plot").nth(place)
        if plot.is_visible():
            plot.scroll_into_view_if_needed()
    drawn = """[...document.querySelectorAll('.plot')].filter(plot => {
        const box = plot.getBoundingClientRect();
        return plot.checkVisibility() && box.top < innerHeight && box.bottom > 0;
    }).every(plot => plot.querySelector('.main-svg')) && document.querySelector('.plot .main-svg') !== null"""
    until(page, drawn)


def until(page: Any, condition: str) -> None:
    """Waits for a condition in the page; Playwright's own way would need ``eval``, which is forbidden."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


def serious(page: Any) -> list[str]:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [
        f"{one['id']}: {one['nodes'][0]['html'][:200]} {one['nodes'][0].get('failureSummary', '')}"
        for one in found if one["impact"] in ("serious", "critical")
    ]  # fmt: skip


@pytest.fixture(scope="module")
def report(good_run: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(good_run, tmp_path_factory.mktemp("page") / "report.html").as_uri()


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        (LAPTOP, "light"),
        (PHONE, "dark"),
        pytest.param(LAPTOP, "dark", marks=pytest.mark.slow),
        pytest.param(PHONE, "light", marks=pytest.mark.slow),
    ],
    ids=["laptop-light", "phone-dark", "laptop-dark", "phone-light"],
)
def test_the_report_is_accessible_and_fits(
    opened: Any, report: str, size: dict[str, int], theme: str
) -> None:
    page = opened(report, size, theme)
    draw_curves(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    assert serious(page) == []


def test_groups_are_filtered_sorted_and_opened(opened: Any, report: str) -> None:
    page = opened(report)
    assert "96 groups" in page.text_content(".status")
    page.select_option("select[name=outcome]", "mixed")
    page.select_option("select[name=sort]", "hardest")
    page.fill("input[name=text]", "let me check")
    until(page, "!document.querySelector('.status').textContent.startsWith('96 ')")
    shown = page.locator(".item .itemend").all_text_contents()
    assert shown and all("of 6 right" in text for text in shown)
    page.locator(".item").nth(1).click()
    page.wait_for_selector(".item[aria-current]")
    assert page.locator(".completion").count() == 6
    assert page.locator(".response .answer").count() > 0
    assert page.locator(".question img").evaluate("image => image.naturalWidth") > 0
    page.fill("input[name=text]", "no such text anywhere")
    until(page, "document.querySelector('.status').textContent.startsWith('No group')")


def test_a_question_is_followed_across_steps(opened: Any, report: str) -> None:
    page = opened(report)
    page.wait_for_selector(".steps button")
    first = page.locator(".steps button").first
    step = first.locator("small").text_content()
    about = page.locator(".about").first
    assert not about.text_content().startswith(f"step {step} ")
    first.click()
    until(page, f"document.querySelector('.about').textContent.startsWith('step {step} ')")
    assert about.text_content().startswith(f"step {step} ")


def test_the_list_is_walked_with_the_keyboard(opened: Any, report: str) -> None:
    page = opened(report)
    page.locator(".item").first.focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    until(page, "document.querySelectorAll('.item')[2].hasAttribute('aria-current')")
    assert page.evaluate("document.activeElement === document.querySelectorAll('.item')[2]")


def test_a_cell_of_the_heat_map_opens_its_groups(opened: Any, report: str) -> None:
    page = opened(report)
    page.locator(".heat .scroll").focus()
    page.keyboard.press("ArrowRight")
    assert page.text_content(".readout").startswith("rung 0, step 1: ")
    rated = page.text_content(".readout")
    page.keyboard.press("Enter")
    until(page, "!document.querySelector('.status').textContent.startsWith('96 ')")
    groups = rated.split(" right, ")[1]  # ``4 groups``
    assert page.text_content(".status").startswith(groups)
    assert all(
        text.startswith("step 1rung 0") for text in page.locator(".itemtop").all_text_contents()
    )


def test_a_group_has_an_address_and_its_answers_at_a_glance(opened: Any, report: str) -> None:
    page = opened(report)
    page.locator(".item").nth(3).click()
    until(page, "location.hash.startsWith('#group=24.')")
    asked = page.text_content(".question h3")
    answers = page.text_content(".answers")
    assert re.search(r"(correct|wrong): ", answers)
    again = opened(report + "#" + page.url.partition("#")[2])
    until(again, f"document.querySelector('.question h3').textContent === {json.dumps(asked)}")
    assert again.text_content(".answers") == answers


@pytest.mark.slow
def test_curves_are_smoothed_zoomed_and_hidden_together(opened: Any, report: str) -> None:
    page = opened(report)
    draw_curves(page)
    page.fill("input[data-bound='0']", "5")
    page.fill("input[data-bound='1']", "12")
    page.keyboard.press("Enter")
    ranges = page.evaluate(
        "[...document.querySelectorAll('.js-plotly-plot')].map(plot => plot.layout.xaxis.range)"
    )
    assert ranges and all(found == [5, 12] for found in ranges)
    page.get_by_role("button", name="All steps").click()
    assert page.evaluate("document.querySelector('.js-plotly-plot').layout.xaxis.autorange")
    page.locator("#smoothing").fill("0")
    until(page, "document.querySelector('.js-plotly-plot').data.length === 2")
    page.locator(".legend button").first.click()
    until(page, "document.querySelector('.js-plotly-plot').data.length === 1")
    page.locator(".values summary").first.click()
    until(page, "document.querySelectorAll('.values[open] tbody tr').length === 24")


def test_the_theme_can_be_chosen(opened: Any, report: str) -> None:
    page = opened(report)
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.get_by_role("button", name="Theme: auto").click()
    page.get_by_role("button", name="Theme: light").click()
    assert page.evaluate(paper) != light
    assert page.get_by_role("button", name="Theme: dark").is_visible()


def test_nothing_of_a_hostile_run_runs(opened: Any, hostile_run: Path, tmp_path: Path) -> None:
    page = opened(write_report(hostile_run, tmp_path / "report.html").as_uri())
    draw_curves(page)
    page.select_option("select[name=sort]", "oldest")
    until(page, "document.querySelector('.item b').textContent === 'step 0'")
    for place in reversed(range(10)):
        page.locator(".item").nth(place).click()
        page.wait_for_timeout(20)
    page.locator(".response .more").first.click()
    assert page.evaluate("window.pwned") is None
    assert (
        page.locator(
            "main script, main svg:not(.main-svg), main style, img[src='x'], main iframe"
        ).count()
        == 0
    )
    assert "<script>window.pwned" in page.text_content("main")


@pytest.mark.slow
def test_a_comparison_in_the_browser(
    opened: Any, good_run: Path, own_run: Path, tmp_path: Path
) -> None:
    page = opened(
        write_comparison(compare_runs([good_run, own_run]), tmp_path / "page.html").as_uri()
    )
    draw_curves(page)
    assert page.locator(".pair").count() > 0
    assert page.locator(".pair").first.locator(".completion").count() == 2
    page.select_option("select[name=outcome]", "won")
    assert set(page.locator(".pair .about b").all_text_contents()) == {"won"}
    assert serious(page) == []


def test_the_live_page_follows_a_run_without_reload(opened: Any, own_run: Path) -> None:
    metrics = own_run / "metrics.jsonl"
    server = make_server(own_run)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        page = opened(f"http://127.0.0.1:{server.server_port}/")
        until(page, "document.querySelector('.status').textContent.startsWith('30 ')")
        draw_curves(page)
        page.evaluate("window.sameDocument = true")
        row = json.loads(metrics.read_text().splitlines()[-1])
        with open(metrics, "a") as file:
            file.write(
                json.dumps({**row, "step": 11, "accuracy": 0.123}) + "\n" + '{"step": 12, "acc'
            )
        until(page, "document.querySelector('.legend').textContent.includes('12.3 %')")
        (own_run / "later").mkdir()
        (own_run / "later" / "config.json").write_text("{}")
        until(page, "document.querySelector('.brand').textContent === '← runs'")
        assert page.evaluate("window.sameDocument")
        assert page.locator(".question img").evaluate("image => image.naturalWidth") > 0
        assert serious(page) == []
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.mark.slow
def test_five_thousand_groups_are_filtered_in_a_tenth_of_a_second(
    opened: Any, tmp_path: Path
) -> None:
    run = write_run(tmp_path / "run", Size(steps=625, prompts=8, group_size=4))
    report = write_report(run)
    assert report.stat().st_size < 15_000_000
    page = opened(report.as_uri())
    took = page.evaluate(
        """() => {
            const { source } = window.observeR1;
            const timed = (wanted) => { const start = performance.now(); source.find(wanted); return performance.now() - start; };
            source.find({ text: "first" });
            return [timed({ text: "let me check" }), timed({ outcome: "mixed", sort: "hardest" }), source.groups.length];
        }"""
    )
    assert took[2] == 5000
    assert max(took[:2]) < 100
