"""The page in a real browser: nothing is cut at either width, in light and in dark."""

import pytest

from seen_jax import see
from seen_jax.evaluation import tables
from seen_jax.evaluation.page import document
from seen_jax.evaluation.statistics import Interval
from tests.browser import overflow, show_at
from tests.evaluation import pages

pytestmark = pytest.mark.environments

LONG = tuple(f"class {i} {'of a name ' * (i % 3)}<b>" for i in range(12))


@pytest.fixture(scope="module", params=["one", "several", "own labels"])
def file(request, tmp_path_factory):
    """A page of one evaluation, of two, and of twelve classes."""
    labels = LONG if request.param == "own labels" else see.EMOTIONS
    names = pages.NAMES if labels == see.EMOTIONS else pages.named_as(LONG)
    count = 2 if request.param == "several" else 1
    shown = [pages.shown_of(labels, names=names, epoch=2 - i) for i in range(count)]
    path = tmp_path_factory.mktemp("page") / "page.html"
    path.write_text(document.to_html(shown), encoding="utf-8")
    return path


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_nothing_is_cut_and_nothing_is_wrong(browser, file, width, scheme):
    show_at(browser, width, 800, scheme)
    browser.get(file.as_uri())
    assert overflow(browser)[0] == 0
    assert cut(browser) == []
    assert browser.get_log("browser") == []


def cut(browser):
    """Texts of the elements that are wider than their place."""
    return browser.execute_script(
        "return [...document.querySelectorAll('.wide, h1, h2, p, dd, svg')]"
        ".filter((x) => x.scrollWidth > x.clientWidth + 1 && x.clientWidth)"
        ".map((x) => x.textContent)"
    )


def test_nothing_of_the_papers_tables_is_cut(browser, tmp_path, monkeypatch):
    share = 0.401, 0.161, Interval(0.366, 0.436)  # of seeds that differ
    monkeypatch.setattr(tables, "_numbers", lambda summary: [share] * 2)
    rows = {row.name: pages.shown_of().summary for row in tables.ROWS.values()}
    (tmp_path / tables.RECIPE).write_text("--config.num_epochs=20\n")
    file = tmp_path / "tables.html"
    file.write_text(tables.to_html(tmp_path, {"published": rows}), encoding="utf-8")
    for width in (400, 1280):
        show_at(browser, width, 800)
        browser.get(file.as_uri())
        assert cut(browser) == []


def test_the_result_is_on_the_first_screen(browser, file):
    show_at(browser, 1280, 800)
    browser.get(file.as_uri())
    below = browser.execute_script(
        "return document.querySelector('header').getBoundingClientRect().bottom"
    )
    assert below <= 800


def test_ink_and_paper_follow_the_system(browser, file):
    colours = {}
    for scheme in ("light", "dark"):
        show_at(browser, 1280, 800, scheme)
        browser.get(file.as_uri())
        colours[scheme] = browser.execute_script(
            "const x = getComputedStyle(document.documentElement);"
            "return [x.color, x.backgroundColor].map((y) => y.match(/\\d+/g)"
            ".reduce((a, b) => +a + +b))"
        )
    (ink, paper), (dark_ink, dark_paper) = colours["light"], colours["dark"]
    assert ink < 150 < 600 < paper and dark_paper < 150 < 600 < dark_ink
