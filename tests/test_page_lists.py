"""The report's page in a real browser: its lists (quality, duplicates), whole pictures, and print."""

import csv
import io
import subprocess

import numpy as np
import pytest
from browsing import chromium, opening, saved, settle, wait
from pages import contents, review
from PIL import Image

from cdlearn.pages.build import build


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
    assert page.locator(issue).inner_text() == f"{len(given.files) - 1} images"
    wait(page, "document.querySelectorAll('#panel-quality .card:first-child .image').length === 12")
    worst = "data.order[document.querySelector('#panel-quality .card:first-child .image').dataset.image]"
    assert page.evaluate(worst) < 2, "the worst first"
    page.fill("[aria-label='Threshold of dark, as a number']", "0.3")
    page.keyboard.press("Tab")
    page.click("#panel-quality >> text=Select them >> nth=0")
    assert f"{page.evaluate('selection.slots.length')} images" == dark(0.3)
    wait(page, "soon === 0")
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
    assert kept == {files[0]: files[1], files[12]: files[10], files[len(given.files) - 1]: files[1]}, (
        "0 is a copy of 1 itself"
    )
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
