"""The report's page in a real browser with the network off. Skipped where Playwright or a browser is missing.

``pip install playwright`` and a Chromium from the system's packages (or ``playwright install chromium``) are enough.
"""

import csv
import json
import shutil
import time
from pathlib import Path

import pytest
from pages import ODD_NAMES, contents

from cdlearn.pages.build import build

playwright = pytest.importorskip("playwright.sync_api")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
N = 700


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    return build(contents(N, heads=6, names=ODD_NAMES), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if not system and not Path(running.chromium.executable_path).exists():
            pytest.skip("no browser")
        browser = running.chromium.launch(executable_path=system, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def opened(browser, report):
    """``opened(**options of a context)`` gives the page, ready; afterwards nothing may have failed or been fetched."""
    trouble, contexts = [], []

    def open_page(path=report, hash="", **options):
        context = browser.new_context(**{"viewport": {"width": 1200, "height": 800}, **options})
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.on("console", lambda said: trouble.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on(
            "request", lambda asked: trouble.append(asked.url) if not asked.url.startswith(("file:", "blob:")) else None
        )
        page.goto(path.as_uri() + hash)
        page.wait_for_selector("body.ready")
        settle(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert trouble == []


def wait(page, condition, seconds=10):
    """Until a condition holds. Playwright's own way runs text as code, which the page's policy forbids."""
    until = time.monotonic() + seconds
    while not page.evaluate(condition):
        assert time.monotonic() < until, condition
        page.wait_for_timeout(20)


def settle(page):
    """Wait until the map stands still and every tile on it is drawn."""
    wait(page, "!waiting && front.scale === view.scale && ![...front.tiles.values()].some((t) => t.stale)")


def view(page):
    return page.evaluate("({...view})")


def middle(page):
    box = page.locator("#map").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, *points):
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=8)
    page.mouse.up()


def painted(page):
    """The number of different colours on the map: 1 where nothing is drawn."""
    return page.evaluate("""() => {
        const {width, height} = surface, copy = new OffscreenCanvas(width, height).getContext("2d");
        copy.drawImage(surface, 0, 0);
        return new Set(new Uint32Array(copy.getImageData(0, 0, width, height).data.buffer)).size;
    }""")


def test_the_map_shows_images_and_can_be_dragged(opened):
    page = opened()
    assert painted(page) > 50
    before, (x, y) = view(page), middle(page)
    drag(page, (x, y), (x + 120, y - 60))
    after = view(page)
    assert after["scale"] == before["scale"]
    assert (after["x"] - before["x"]) * before["scale"] == pytest.approx(-120, abs=6)
    assert (after["y"] - before["y"]) * before["scale"] == pytest.approx(60, abs=6)
    settle(page)
    assert painted(page) > 50


def test_the_wheel_zooms_about_the_pointer(opened):
    page = opened()
    x, y = middle(page)
    page.mouse.move(x + 100, y + 50)
    box = page.locator("#map").bounding_box()
    spot = f"toMap({x + 100 - box['x']}, {y + 50 - box['y']})"
    before, place = view(page), page.evaluate(spot)
    page.mouse.wheel(0, -400)
    settle(page)
    assert view(page)["scale"] > 1.5 * before["scale"]
    assert page.evaluate(spot) == pytest.approx(place, abs=1 / before["scale"])
    page.mouse.wheel(0, 4000)
    settle(page)
    assert view(page)["scale"] < before["scale"] * 1.01


def test_keys_move_zoom_and_open(opened):
    page = opened()
    page.focus("#map")
    before = view(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("+")
    settle(page)
    assert view(page)["x"] > before["x"] and view(page)["scale"] > before["scale"]
    wait(page, "live.textContent.startsWith('In the middle: ')")
    page.keyboard.press("Enter")
    assert page.locator("#panel-image h2").inner_text() != ""
    page.keyboard.press("0")
    wait(page, f"Math.abs(view.scale - {before['scale']}) < 1")


def test_hover_names_an_image_and_a_click_opens_it(opened):
    page = opened()
    for _ in range(4):
        page.click("#nearer")
    settle(page)
    slot = page.evaluate("middle()")
    page.evaluate("slot => { [view.x, view.y] = [data.x[slot], data.y[slot]]; redraw() }", slot)
    settle(page)
    page.mouse.move(*middle(page))
    top = page.evaluate("pick(width / 2, height / 2)")
    name = page.evaluate("slot => fileOf(slot)", top)
    assert page.locator("#hover b").text_content() == name
    page.mouse.click(*middle(page))
    assert page.locator("#panel-image .file").text_content() == name
    neighbours = page.locator("#panel-image .grid .image")
    assert neighbours.count() == 5
    neighbours.first.click()
    assert page.locator("#panel-image .file").text_content() != name


def test_the_lasso_selects_copies_and_saves(opened):
    page = opened(permissions=["clipboard-read", "clipboard-write"])
    x, y = middle(page)
    page.click("#lasso")
    before = view(page)
    drag(page, (x - 150, y - 150), (x + 150, y - 150), (x + 150, y + 150), (x - 150, y + 150))
    assert view(page) == before
    inside = page.evaluate("selection.slots.length")
    box = "Math.abs(where(i)[0] - width / 2) < 150 && Math.abs(where(i)[1] - height / 2) < 150"
    assert inside == page.evaluate(f"Array.from(data.x.keys()).filter((i) => {box}).length") > 10
    assert page.locator("#live").inner_text() == f"{inside} images in the lasso"
    page.click("#chosen >> text=Copy names")
    page.wait_for_selector(".toast")
    copied = page.evaluate("navigator.clipboard.readText()")
    with page.expect_download() as saved:
        page.click("#chosen >> text=Save as CSV")
    with open(saved.value.path(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:5] == ["file", "class", "cluster", "head 0", "head 10"]
    assert "\n".join(row["file"] for row in rows) == copied and len(rows) == inside
    page.keyboard.press("Escape")
    assert page.evaluate("selection === null") and page.locator("#chosen").is_hidden()


def test_search_by_heads_is_what_it_says(opened):
    page = opened()
    page.fill("#asked", "10")
    page.click("text=is on >> nth=0")
    page.fill("#asked", "head 20")
    page.click("text=is not >> nth=0")
    expected = page.evaluate(
        "Array.from(data.x.keys()).filter((i) => answer(1, i) > 0.5 && !(answer(2, i) > 0.5)).length"
    )
    assert page.evaluate("selection.slots.length") == expected > 0
    assert (
        page.locator("#found").inner_text()
        == f"{expected} images with head 10, not head 20: see the map, and Selection."
    )
    shared = opened(hash="#find=10, not 20")
    assert shared.evaluate("selection.slots.length") == expected
    page.select_option("#meaning", "tenth")
    assert 0 < page.evaluate("selection.slots.length") < expected
    page.click("#terms button >> nth=0")
    page.click("#terms button >> nth=0")
    assert page.evaluate("selection === null")
    page.fill("#asked", "no such head")
    page.keyboard.press("Enter")
    assert "No head shown here" in page.locator("#found").inner_text()


def test_a_head_s_name_is_everywhere_in_the_address_and_in_a_file(opened, tmp_path):
    page = opened()
    page.fill("[data-name='20']", "<b>sky</b>")
    page.keyboard.press("Tab")
    wait(page, "location.hash.includes('head20=')")
    assert page.locator("#head-10 a[data-head]").first.inner_text() == "<b>sky</b>"
    assert "<b>sky</b>" in page.locator("#colour").inner_text()
    with page.expect_download() as saved:
        page.click("text=Save names as a file")
    assert json.loads(Path(saved.value.path()).read_text()) == {"20": "<b>sky</b>"}
    again = opened(hash=page.evaluate("location.hash"))
    assert again.input_value("[data-name='20']") == "<b>sky</b>"
    (tmp_path / "names.json").write_text('{"0": "sea", "x": "no", "10": 3}')
    again.set_input_files("#names-file", tmp_path / "names.json")
    wait(again, "live.textContent === '1 name read'")
    assert again.input_value("[data-name='0']") == "sea"
    (tmp_path / "names.json").write_text("not json")
    again.set_input_files("#names-file", tmp_path / "names.json")
    wait(again, "document.getElementById('found').textContent.startsWith('That file holds no names')")


def test_the_slider_changes_clusters_colours_and_medoids(opened):
    page = opened()
    page.click("#tab-clusters")
    assert page.locator(".advice").inner_text() == "No clear k." and page.locator(".medoid").count() == 3
    page.focus("#k")
    page.keyboard.press("ArrowRight")
    wait(page, "data.k === 4 && document.querySelectorAll('.medoid').length === 4")
    assert page.input_value("#colour") == "cluster" and page.locator("#legend button").count() == 4
    page.click("#legend button >> nth=1")
    assert page.evaluate("selection.slots.length") == len(range(1, N, 4))
    page.click("#panel-clusters circle >> nth=0")
    wait(page, "data.k === 2")


def test_every_tab_opens_with_the_keyboard_and_odd_names_are_text(opened):
    page = opened()
    page.focus("#tab-heads")
    for tab in ("clusters", "selection", "duplicates", "outliers", "run", "image", "heads"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
        assert page.locator(f"#panel-{tab}").is_visible()
    page.click("#tab-run")
    assert "703 found = 700 used + 2 ignored + 1 unreadable + 0 repeated" in page.locator(".ledger").inner_text()
    assert page.locator("#panel-run svg").count() == 2
    page.click("summary")
    assert page.locator("#panel-run .lines").inner_text() == "bad <i>.png: damaged"
    page.click("#tab-duplicates")
    page.click("text=Select all but the first of each")
    last = N - 1 - len(ODD_NAMES)
    assert page.evaluate("selection.slots.map(fileOf)") == [f"folder {last % 3}/{last:04d}.png"]
    page.click("#tab-selection")
    page.fill("#panel-selection input", "<script>")
    page.keyboard.press("Enter")
    assert page.input_value("#panel-selection textarea") == ODD_NAMES[0]
    page.click("#panel-selection .image")
    assert page.locator("#panel-image .file").text_content() == ODD_NAMES[0]
    assert page.locator("#title").inner_text() == "a <b>folder</b>"
    assert page.locator("body script:not([type])").count() == 7


def test_light_dark_and_reduced_motion(opened):
    ground = "getComputedStyle(document.body).backgroundColor"
    page = opened(color_scheme="light", reduced_motion="reduce")
    light = page.evaluate(ground)
    page.click("#theme")
    settle(page)
    dark = page.evaluate(ground)
    assert dark != light and painted(page) > 50
    assert opened(color_scheme="dark").evaluate(ground) == dark


def test_a_phone_held_upright(opened):
    page = opened(viewport={"width": 390, "height": 844}, device_scale_factor=2, is_mobile=True, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    before, (x, y) = view(page), middle(page)
    fingers = page.context.new_cdp_session(page)

    def touch(kind, *places):
        points = [{"x": px, "y": py, "id": number} for number, (px, py) in enumerate(places)]
        fingers.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", (x - 40, y), (x + 40, y))
    for step in range(1, 9):
        touch("touchMove", (x - 40 - 8 * step, y), (x + 40 + 8 * step, y))
    touch("touchEnd")
    settle(page)
    assert view(page)["scale"] > 1.8 * before["scale"]
    for tab in ("clusters", "image", "run", "heads"):
        page.tap(f"#tab-{tab}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, tab


@pytest.mark.parametrize("n", [1, 3])
def test_hardly_any_image_and_nothing_known_of_them(opened, tmp_path, n):
    bare = dict(clusters={}, silhouette={}, stability={}, medoids={}, outliers=[], curves=[], ledger={}, notes={})
    path = build(contents(n, heads=0, labelled=False, duplicates=[], neighbours=None, **bare), tmp_path / "few.html")
    page = opened(path)
    assert painted(page) > 1
    assert page.locator("#tabs button:visible").all_inner_texts() == ["Image", "Selection", "Run"]
    page.click("#viewed")
    assert page.evaluate("selection.slots.length") == n
