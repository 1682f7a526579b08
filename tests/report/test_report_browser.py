"""The page in a real browser."""

import os
import shutil
from collections.abc import Iterator

import pytest

from evenbatch import report

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome")
QUIET = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
LONG = "a very long name of an arm, which nobody should need but somebody will have"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the Python package playwright")
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        pytest.skip("needs a browser: install the package chromium, or name one in CHROMIUM")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def visit(browser, make):
    """Opens a study's report: `visit(width, scheme, **study)` is the page, what it said and what it asked for."""

    def open_report(width, scheme="light", made=make, **study):
        address = report.write(made(**study)).as_uri()
        page = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        drawn = "document.querySelectorAll('.chart svg').length === document.querySelectorAll('.chart').length"
        page.wait_for_function(drawn)
        return page, said, [url for url in asked if url != address and not url.startswith("data:")]

    return open_report


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_every_chart_is_drawn_and_nothing_is_said_asked_for_or_cut_off(visit, width, scheme):
    page, said, asked = visit(width, scheme)
    sizes = page.evaluate(
        "[...document.querySelectorAll('.chart')].map(place => {"
        " const svg = place.querySelector('svg').getBoundingClientRect();"
        " return [svg.width, svg.height, place.clientWidth] })"
    )
    assert len(sizes) >= 7
    assert all(place >= width > 200 and height > 60 for width, height, place in sizes)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (said, asked) == ([], [])


@pytest.mark.parametrize("width", [1280, 390])
def test_long_names_and_many_arms_fit(visit, width):
    page, said, _ = visit(width, arms=("with", LONG, "x" * 60, "without"), seeds=2)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert said == []


def test_an_odd_study_is_drawn_without_complaint(visit, odd):
    _, said, asked = visit(1280, **odd)
    assert (said, asked) == ([], [])


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_generated_images_are_shown_side_by_side_and_nothing_is_cut_off(visit, make_gan, width, scheme):
    page, said, asked = visit(width, scheme, made=make_gan, outcomes={("none", 1): "failed"})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert (said, asked) == ([], [])
    shown = "[...document.querySelectorAll('.samples > .pictures img')]"
    sizes = page.evaluate(f"{shown}.map(image => [image.naturalWidth, image.clientWidth, image.alt])")
    assert len(sizes) == 3 * 5 - 1
    assert all(natural == 16 and 120 < drawn <= 320 and alt for natural, drawn, alt in sizes)
    assert page.evaluate(f"getComputedStyle({shown}[0]).imageRendering") == "pixelated"
    across = len(set(page.evaluate(f"{shown}.slice(0, 5).map(image => image.getBoundingClientRect().x)")))
    assert across == (5 if width == 1280 else 2)


def test_an_odd_study_of_generators_is_drawn_without_complaint(visit, make_gan, odd_gan):
    _, said, asked = visit(390, made=make_gan, **odd_gan)
    assert (said, asked) == ([], [])


def test_an_arm_named_like_a_script_is_text(visit):
    name = "<script>window.failed = true</script>"
    page, _, _ = visit(1280, arms=(name, "without"), seeds=2)
    assert page.evaluate("window.failed") is None
    assert page.locator(".arm").first.inner_text() == name
    assert name in page.locator(".chart").first.get_attribute("aria-label")


def test_the_charts_follow_the_colour_scheme(visit):
    page, _, _ = visit(1280, seeds=2)
    colour = "document.querySelector('.chart svg .role-legend-label text').getAttribute('fill')"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"{colour} !== '{light}'")
    assert page.evaluate(colour) == "#e6e8eb"
