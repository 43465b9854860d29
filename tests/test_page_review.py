"""The report's page in a real browser: going through images, and what the reader names, labels, ticks and moves."""

import csv
import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browsing import chromium, opening, settle, wait
from pages import ODD_NAMES, contents
from PIL import Image

from cdlearn.pages.build import build

N = 300
COPIES = dict(tier="perceptual hash", images=[10, 11, 12], reason="one is the other's mirror image", kept="most pixels")
NAME = "document.querySelector('#panel-image .file')?.textContent"
OPEN = "state.image === null ? null : data.order[state.image]"


@pytest.fixture(scope="module")
def given():
    made = contents(N, heads=3, names=ODD_NAMES)
    return contents(
        N,
        heads=3,
        names=ODD_NAMES,
        outliers=[(i, 1 - i / N, f"reason {i}") for i in range(0, 240, 2)],
        duplicates=[
            *made.duplicates,
            COPIES,
            dict(tier="same bytes", images=[1, 0], reason="equal", kept="first name"),
        ],
        label_first=[5, 50, 150, 250],
    )


@pytest.fixture(scope="module")
def report(tmp_path_factory, given):
    return build(given, tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.fixture
def opened(browser, report):
    yield from opening(browser, report)


def saved(page, button) -> str:
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes().decode()


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


def test_without_a_list_the_next_image_is_the_next_along_the_map(opened):
    page = opened(hash="#tab=image&image=3")
    slot = page.evaluate("state.image")
    page.keyboard.press("j" if slot < N - 1 else "k")
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
    page.reload()
    page.wait_for_selector("body.ready")
    page.click("#tab-labels")
    assert page.locator("#panel-labels [data-count]").all_inner_texts()[:3] == ["2", "1", "1"]
    text = saved(page, "#panel-labels >> text=Save labels")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [row["label"] for row in rows] == [labelled.get(i, "") for i in range(N)]
    assert [row["file"] for row in rows][5:] == given.files[5:]
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


def test_thresholds_of_quality_move_counts_and_images_and_last(opened, given):
    page = opened(hash="#tab=quality")
    issue = "[data-issue='dark']"

    def dark(below):
        return f"{(given.measures['highlights'] < below).sum()} images"

    assert page.locator(issue).inner_text() == dark(0.2)
    page.fill("[aria-label='Threshold of dark, as a number']", "0.1")
    page.keyboard.press("Tab")
    assert page.locator(issue).inner_text() == dark(0.1)
    assert float(page.input_value("[aria-label='Threshold of dark']")) == pytest.approx(0.1)
    page.focus("[aria-label='Threshold of dark']")
    page.keyboard.press("End")
    assert page.locator(issue).inner_text() == f"{N - 1} images"
    wait(page, "document.querySelectorAll('#panel-quality .card:first-child .image').length === 12")
    worst = "data.order[document.querySelector('#panel-quality .card:first-child .image').dataset.image]"
    assert page.evaluate(worst) < 2, "the worst first"
    page.fill("[aria-label='Threshold of dark, as a number']", "0.3")
    page.keyboard.press("Tab")
    page.click("#panel-quality >> text=Select them >> nth=0")
    assert f"{page.evaluate('selection.slots.length')} images" == dark(0.3)
    page.reload()
    page.wait_for_selector("body.ready")
    assert page.locator(issue).inner_text() == dark(0.3)
    page.click("text=Back to the first threshold >> visible=true")
    assert page.locator(issue).inner_text() == dark(0.2)


def test_duplicates_show_what_is_kept_and_are_ticked_into_a_list(opened, given):
    page = opened(hash="#tab=duplicates")
    group = page.locator("#panel-duplicates .card", has_text="mirror image").locator("figure")
    assert "keep: most pixels" in group.nth(0).inner_text() and "310 × 203 px" in group.nth(0).inner_text()
    assert group.locator("input").count() == 2, "what is kept cannot be ticked"
    assert page.locator("[data-ticks]").first.is_disabled()
    group.nth(2).locator("input").check()
    assert page.locator("#ticked").inner_text() == "1 copy ticked · 10 kB"
    page.click("#panel-duplicates >> text=Tick all copies >> nth=0")
    assert page.locator("#ticked").inner_text() == "3 copies ticked · 35 kB"
    rows = list(csv.reader(io.StringIO(saved(page, "text=Save list"), newline="")))
    assert rows[0] == ["file", "keep", "tier", "reason"]
    kept = {row[0]: row[1] for row in rows[1:]}
    files = given.files
    assert kept == {files[0]: files[1], files[12]: files[10], files[N - 1]: files[1]}, "0 is a copy of 1 itself"
    page.click("text=Untick all")
    assert page.locator("#ticked").inner_text() == "0 copies ticked" and not group.nth(2).locator("input").is_checked()


def test_the_script_moves_copies_of_any_name_only_when_asked_and_never_the_last(opened, tmp_path):
    names = ["it's $(touch hacked) `x`.png", "-rf 日本😀.png", "a/b\nc.png", "\udcff\\n%s.png", "\"'.png", "gone.png"]
    groups = [dict(tier="same bytes", images=[i, 6 + i], reason="equal", kept="first name") for i in range(6)]
    files = [f"keep/{i}.png" for i in range(6)] + names
    path = build(contents(12, files=files, duplicates=groups), tmp_path / "report.html")
    page = opened(path, "#tab=duplicates")
    page.click("text=Tick all copies >> nth=0")
    script = tmp_path / "duplicates.sh"
    script.write_text(saved(page, "text=Save script"))
    folder = tmp_path / "my images"
    for name in files[1:]:  # what is kept for the first one is missing
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(repr(name))
    (folder / "gone.png").unlink()

    def run(*more):
        done = subprocess.run(["sh", script, *more], capture_output=True, text=True, cwd=tmp_path, errors="replace")
        return done.returncode, done.stdout

    def names_in(place):
        return {str(file.relative_to(place)) for file in place.rglob("*") if file.is_file()}

    before = names_in(folder)
    code, told = run("my images")
    assert code == 0 and told.count("would move: ") == 4 and names_in(folder) == before
    code, told = run("my images/", "--move")
    assert code == 0 and told.count("moved: ") == 4 and told.count("left alone, a file is missing: ") == 2
    copies = tmp_path / "my images-copies"
    assert names_in(copies) == set(names[1:5]) and names_in(folder) == before - set(names[1:5])
    assert all((copies / name).read_text() == repr(name) for name in names[1:5])
    assert not (tmp_path / "hacked").exists() and run()[0] != 0


def test_a_selected_image_is_whole_and_large(opened, given):
    page = opened(hash=f"#tab=image&image={100}")
    box = page.locator("#panel-image .one canvas").bounding_box()
    assert max(box["width"], box["height"]) >= 256
    assert box["width"] / box["height"] == pytest.approx(given.width[100] / given.height[100], rel=0.02)
    assert page.locator("#panel-image .one").inner_text().count("400 × 202 px · 12 kB") == 1


def test_pictures_do_not_bleed_into_each_other(opened):
    """Every image here is one plain colour: so must be every picture of it, up to what JPEG does to it."""
    page = opened(hash="#tab=outliers")
    page.evaluate("drawAll()")
    spread = """[...document.querySelectorAll('#panel-outliers canvas, #panel-image .one canvas')].map((canvas) => {
        const {width, height} = canvas, copy = new OffscreenCanvas(width, height).getContext('2d');
        copy.drawImage(canvas, 0, 0);
        const of = copy.getImageData(0, 0, width, height).data;
        let most = 0;
        for (let i = 0; i < of.length; i++) most = Math.max(most, Math.abs(of[i] - of[i % 4]) * (i % 4 < 3));
        return most; })"""
    wait(page, "document.querySelectorAll('#panel-outliers canvas.drawn').length === 60")
    assert np.max(page.evaluate(spread)) <= 16
    page.click("#panel-outliers .image >> nth=5")
    wait(page, "document.querySelector('#panel-image .one canvas.drawn')")
    assert np.max(page.evaluate(spread)) <= 16


def test_the_pointer_on_an_image_anywhere_shows_it_larger(opened, given):
    page = opened(hash="#tab=outliers")
    page.hover("#panel-outliers .image >> nth=3")
    assert page.locator("#hover b").text_content() == given.files[6]
    box, stage = page.locator("#hover canvas").bounding_box(), page.locator("#stage").bounding_box()
    assert box["width"] >= 200 and box["x"] + box["width"] <= stage["x"] + stage["width"]
    page.mouse.move(5, 5)
    wait(page, "document.getElementById('hover').hidden")


def test_originals_are_shown_and_opened_where_they_are_linked(opened, tmp_path):
    names = ["ä b/50% #1.png", "c?d.png", "missing.png", *(f"{i}.png" for i in range(7))]
    folder = tmp_path / "my images"
    for name in names[:2]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (900, 600), "red").save(folder / name)
    (tmp_path / "run").mkdir()
    given = contents(10, files=names, link="../my%20images/", width=np.full(10, 900), height=np.full(10, 600))
    page = opened(build(given, tmp_path / "run" / "report.html"), "#tab=image&image=0")
    for number in (0, 1):
        page.evaluate(f"openImage(data.slotOf[{number}])")
        wait(page, "document.querySelector('#panel-image .one img')?.naturalWidth === 900")
        assert page.locator("#panel-image .one img").bounding_box()["width"] >= 256
    with page.context.expect_page() as other:
        page.click("#panel-image .one a")
    assert other.value.url == (folder / names[1]).as_uri()


def test_printing_draws_every_picture(opened):
    page = opened(hash="#tab=heads", viewport={"width": 1200, "height": 500})
    shown = "#panel-heads canvas.thumb"
    assert page.locator(shown).count() > page.locator(f"{shown}.drawn").count()
    page.evaluate(
        "window.print = () => (window.printed = document.querySelectorAll('#panel-heads .thumb:not(.drawn)').length)"
    )
    page.keyboard.press("Control+p")
    wait(page, "window.printed === 0")
    again = opened(hash="#tab=heads", viewport={"width": 1200, "height": 500}, color_scheme="dark")
    again.evaluate("dispatchEvent(new Event('beforeprint'))")
    wait(again, f"document.querySelectorAll('{shown}:not(.drawn)').length === 0")
    again.emulate_media(media="print")
    assert again.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert not again.locator("#tabs").is_visible() and again.locator("#head-0 .image").first.is_visible()
    settle(again)
