"""The report's page in a real browser: going through images, and what the reader names, labels, ticks and moves."""

import csv
import io
import json

import pandas as pd
import pytest
from browsing import chromium, opening, saved, wait
from pages import contents, review

from cdlearn.few_labels import is_known
from cdlearn.pages.build import build

NAME = "document.querySelector('#panel-image .file')?.textContent"
OPEN = "state.image === null ? null : data.order[state.image]"


@pytest.fixture(scope="module")
def given():
    return review()


@pytest.fixture(scope="module")
def report(tmp_path_factory, given):
    return build(given, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.fixture
def opened(browser, report):
    yield from opening(browser, report)


def rest(page):
    """Until the address is written."""
    wait(page, "soon === 0")


def test_back_and_forward_go_through_images_and_tabs_and_come_back_to_the_place(opened):
    page = opened()
    page.click("#tab-outliers")
    rest(page)
    page.click("text=Show more >> visible=true")
    page.evaluate("scroller().scrollTop = 700")
    rest(page)
    page.wait_for_timeout(250)
    page.evaluate("document.querySelectorAll('#panel-outliers .image')[40].click()")  # without scrolling there first
    first = page.evaluate(OPEN)
    assert first == 80
    rest(page)
    page.click("#panel-image .grid .image >> nth=0")
    second = page.evaluate(OPEN)
    rest(page)
    page.go_back()
    wait(page, f"({OPEN}) === {first}")
    assert page.evaluate("state.tab") == "image"
    page.go_back()
    wait(page, "state.tab === 'outliers'")
    wait(page, "Math.abs(scroller().scrollTop - 700) < 2")
    page.go_forward()
    wait(page, f"({OPEN}) === {first}")
    page.go_forward()
    wait(page, f"({OPEN}) === {second}")
    rest(page)
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.evaluate(OPEN) == second
    page.go_back()
    wait(page, f"({OPEN}) === {first}")


def test_a_colour_or_a_selection_is_no_step_and_does_not_go_back(opened):
    page = opened()
    page.click("#tab-clusters")
    rest(page)
    steps = page.evaluate("history.length")
    page.select_option("#colour", "cluster")
    page.click("#viewed")
    page.click("#theme")
    rest(page)
    assert page.evaluate("history.length") == steps
    page.go_back()
    wait(page, "state.tab === 'heads'")
    assert page.evaluate("state.colour") == "cluster" and page.evaluate("selection !== null")


def test_an_address_pasted_in_is_followed(opened):
    page = opened()
    page.evaluate("location.hash = '#tab=image&image=7&colour=class&find=10'")
    wait(page, f"({OPEN}) === 7")
    wait(page, "state.colour === 'class' && selection?.says === 'with red'")


def test_keys_go_to_the_next_and_the_previous_of_the_list(opened, given):
    page = opened(hash="#tab=outliers")
    page.click("#panel-outliers .image >> nth=1")
    for key, expected in (("j", 4), ("ArrowRight", 6), ("k", 4), ("ArrowLeft", 2), ("k", 0)):
        page.keyboard.press(key)
        assert page.evaluate(OPEN) == expected
        assert page.evaluate(NAME) == given.files[expected]
    assert "1 of 120: the outliers" in page.locator("#panel-image .row").first.inner_text()
    page.keyboard.press("k")
    assert page.evaluate(OPEN) == 0 and "first image of the outliers" in page.locator(".toast").inner_text()
    page.click("text=Next ›")
    assert page.evaluate(OPEN) == 2
    page.click("#tab-selection")
    page.fill("#panel-selection input", "jj")
    assert page.evaluate(OPEN) == 2, "typing moves nothing"


def test_without_a_list_the_next_image_is_the_next_along_the_map(opened, given):
    page = opened(hash="#tab=image&image=3")
    slot = page.evaluate("state.image")
    page.keyboard.press("j" if slot < len(given.files) - 1 else "k")
    assert abs(page.evaluate("state.image") - slot) == 1


def test_a_gallery_is_one_stop_and_arrows_move_inside(opened):
    page = opened(hash="#tab=outliers")
    stops = """[...document.querySelectorAll('#panel-outliers .image')].filter((of) => of.tabIndex === 0).length"""
    assert page.locator("#panel-outliers .image").count() == 60 and page.evaluate(stops) == 1
    page.focus("#panel-outliers button >> nth=0")
    page.keyboard.press("Tab")
    focused = "Number(document.activeElement.dataset.image ?? -1)"
    at = "data.order[Number(document.activeElement.dataset.image)]"
    assert page.evaluate(at) == 0
    page.keyboard.press("ArrowRight")
    assert page.evaluate(at) == 2 and page.evaluate(f"hovered === {focused}"), "its place on the map is marked"
    page.keyboard.press("End")
    assert page.evaluate(at) == 118
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    below = page.evaluate(at)
    assert 2 < below < 20
    page.keyboard.press("ArrowUp")
    assert page.evaluate(at) == 0
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Show more"
    page.keyboard.press("Shift+Tab")
    assert page.evaluate(at) == 2 and page.evaluate(stops) == 1
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate(at) == 120, "the focus goes on with what was added"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "panel-image"
    rest(page)
    page.go_back()
    wait(page, f"state.tab === 'outliers' && ({at}) === 120")
    page.click("#tab-heads")
    own = "document.querySelectorAll('#head-0 .image[tabindex=\"0\"]').length"
    assert page.evaluate(own) == 1, "the three rows of a head are one stop"


def test_the_focus_is_visible_on_every_kind_of_control(opened):
    page = opened(hash="#tab=duplicates")
    seen = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        kind, outline = page.evaluate("""(() => { const of = document.activeElement, style = getComputedStyle(of);
            const wide = parseFloat(style.outlineWidth) * (style.outlineStyle !== 'none');
            return [of === document.body ? 'none' : of.id || of.className || of.tagName, wide]; })()""")
        assert outline >= 2 or kind == "none", kind
        seen.add(kind)
    assert {"map", "colour", "tab-duplicates", "image"} <= seen


def test_names_survive_and_are_saved_as_the_run_reads_them(opened, tmp_path):
    page = opened(hash="#tab=heads")
    page.fill("[data-name='20']", "<b>sky</b>")
    page.keyboard.press("Tab")
    assert page.locator("#head-10 a[data-head]").first.inner_text() == "<b>sky</b>"
    assert "<b>sky</b>" in page.locator("#colour").inner_text()
    page.fill("[data-name='10']", "")
    page.keyboard.press("Tab")
    page.click("#tab-clusters")
    page.fill("[data-cluster-name='1']", "cars")
    page.keyboard.press("Tab")
    assert page.locator("#medoids a[data-cluster]").all_inner_texts() == ["ships", "cars", "cluster 2"]
    rest(page)
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.input_value("[data-name='20']") == "<b>sky</b>" and page.input_value("[data-name='10']") == ""
    text = saved(page, "#panel-clusters >> text=Save names")
    assert json.loads(text) == {"heads": {"20": "<b>sky</b>"}, "clusters": {"3": {"0": "ships", "1": "cars"}}}
    assert "sky" not in page.evaluate("location.hash")
    other = opened(hash="#tab=clusters")
    (tmp_path / "names.json").write_text(text)
    other.set_input_files("#panel-clusters .names-file", tmp_path / "names.json")
    wait(other, "live.textContent === '3 names read'")
    assert other.locator("#medoids a[data-cluster]").all_inner_texts() == ["ships", "cars", "cluster 2"]
    for wrong in ("not json", "[1]", "null", '{"heads": {"x": "no", "0": 3}}'):
        (tmp_path / "names.json").write_text(wrong)
        other.set_input_files("#panel-clusters .names-file", tmp_path / "names.json")
        wait(other, "live.textContent.startsWith('That file holds no names')")
        other.evaluate("say('')")


def test_another_report_has_its_own_names(opened, tmp_path):
    page = opened(hash="#tab=heads")
    page.fill("[data-name='20']", "sky")
    page.keyboard.press("Tab")
    page.goto(build(contents(30, key="another"), tmp_path / "other.html").as_uri())
    page.wait_for_selector("body.ready")
    assert page.input_value("[data-name='20']") == ""


def test_a_browser_that_keeps_nothing_says_so_once(opened):
    page = opened(hash="#tab=heads")
    page.evaluate("void (Storage.prototype.setItem = () => { throw new Error('denied') })")
    page.fill("[data-name='20']", "sky")
    page.keyboard.press("Tab")
    assert "save them as a file" in page.locator(".toast").inner_text()
    assert page.locator("#colour").inner_text().count("sky") == 1


def test_keys_label_images_and_the_file_fits_the_folder(opened, given, tmp_path):
    page = opened(hash="#tab=labels")
    page.fill("[aria-label='Name of label 1']", 'a "cat", or so')
    page.keyboard.press("Tab")
    page.click("text=Begin")
    assert page.evaluate(OPEN) == 5
    page.keyboard.press("1")
    assert page.evaluate(OPEN) == 50, "the next follows"
    page.keyboard.press("2")
    page.keyboard.press("k")
    page.keyboard.press("2")
    assert page.evaluate(OPEN) == 50 and page.evaluate("labels.of[data.slotOf[50]]") == 0, "the same key takes it away"
    page.click("#panel-image [data-number='3']")
    assert page.locator("#panel-image [data-number='3']").get_attribute("aria-pressed") == "true"
    page.click("#tab-outliers")
    page.focus("#panel-outliers .image >> nth=0")
    page.keyboard.press("2")
    page.keyboard.press("1")
    labelled = {5: 'a "cat", or so', 50: "3", 0: "2", 2: 'a "cat", or so'}
    shown = page.locator("#panel-outliers .image").first
    assert shown.get_attribute("data-label") == "2"
    rest(page)
    page.reload()
    page.wait_for_selector("body.ready")
    page.click("#tab-labels")
    assert page.locator("#panel-labels [data-count]").all_inner_texts()[:3] == ["2", "1", "1"]
    text = saved(page, "#panel-labels >> text=Save labels")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["label"] for row in rows] == [labelled.get(i, "") for i in range(len(given.files))]
    assert [row["file"] for row in rows][5:] == given.files[5:]
    assert is_known(pd.read_csv(io.StringIO(text, newline=""))["label"]).nonzero()[0].tolist() == [0, 2, 5, 50]
    page.click("[data-count='1']")
    assert page.evaluate("selection.slots.map((slot) => data.order[slot]).sort((a, b) => a - b)") == [2, 5]
    page.select_option("#colour", "label")
    assert page.locator("#legend button").all_inner_texts() == ['a "cat", or so', "2", "3"]
    other = opened(hash="#tab=labels")
    (tmp_path / "labels.csv").write_text(text + "gone.png,x\r\n", newline="")
    other.set_input_files("#labels-file", tmp_path / "labels.csv")
    wait(other, "live.textContent === '4 labels read, 1 file not in this report'")
    assert saved(other, "#panel-labels >> text=Save labels") == text
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    other.set_input_files("#labels-file", tmp_path / "labels.csv")
    wait(other, "live.textContent === 'That file has no columns file and label.'")
