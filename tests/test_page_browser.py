"""The report's page in a real browser: the map, the search, tabs, colours, and screens of every size."""

import csv

import numpy as np
import pytest
from browsing import chromium, drag, middle, opening, painted, settle, view, wait
from pages import ODD_NAMES, contents

from cdlearn.pages.build import SCRIPTS, build

N = 700


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    return build(contents(N, heads=6, names=ODD_NAMES), tmp_path_factory.mktemp("report") / "report.html")


@pytest.fixture(scope="module")
def browser():
    yield from chromium()


@pytest.fixture
def opened(browser, report):
    yield from opening(browser, report)


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
    assert list(rows[0])[:6] == ["file", "class", "cluster", "cluster_name", "head_0", "red"]
    assert {row["cluster_name"] for row in rows if row["cluster"] == "0"} == {"ships"}
    assert "\n".join(row["file"] for row in rows) == copied and len(rows) == inside
    page.keyboard.press("Escape")
    assert page.evaluate("selection === null") and page.locator("#chosen").is_hidden()


def test_search_by_heads_is_what_it_says(opened):
    page = opened()
    page.fill("#asked", "red")
    page.click("text=is on >> nth=0")
    page.fill("#asked", "head 20")
    page.click("text=is not >> nth=0")
    expected = page.evaluate(
        "Array.from(data.x.keys()).filter((i) => output(1, i) > 0.5 && !(output(2, i) > 0.5)).length"
    )
    assert page.evaluate("selection.slots.length") == expected > 0
    assert (
        page.locator("#found").inner_text() == f"{expected} images with red, not head 20: see the map, and Selection."
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


def test_the_slider_changes_clusters_colours_and_medoids(opened):
    page = opened()
    page.click("#tab-clusters")
    assert page.locator("#by-k .advice").inner_text() == "No clear k." and page.locator(".medoid").count() == 3
    chart = page.locator("#by-k svg").first
    assert chart.locator("path.line:not(.dashed)").count() == chart.locator("path.dashed").count() == 1
    assert "chance: from 0.1 to 0.2" in chart.get_attribute("aria-label")
    page.focus("#k")
    page.keyboard.press("ArrowRight")
    wait(page, "data.k === 4 && document.querySelectorAll('.medoid').length === 4")
    assert page.input_value("#colour") == "cluster" and page.locator("#legend button").count() == 4
    page.click("#legend button >> nth=1")
    assert page.evaluate("selection.slots.length") == len(range(1, N, 4))
    page.click("#panel-clusters circle >> nth=0")
    wait(page, "data.k === 2")


def test_a_slider_over_few_values_of_k_stops_at_each(opened, tmp_path):
    ks = (2, 3, 10, 50)
    given = contents(
        60,
        clusters={k: np.arange(60) % k for k in ks},
        **{name: {k: 1 / k for k in ks} for name in ("silhouette", "stability", "chance")},
        medoids={k: list(range(k)) for k in ks},
        k=3,
    )
    page = opened(build(given, tmp_path / "report.html"), "#tab=clusters")
    page.focus("#k")
    for k in (10, 50):
        page.keyboard.press("ArrowRight")
        wait(page, f"data.k === {k} && document.getElementById('k').ariaValueText === '{k} clusters'")


def test_hdbscan_s_clusters_are_another_choice(opened):
    page = opened(hash="#tab=clusters")
    page.click("text=HDBSCAN >> nth=0")
    wait(page, "data.k === 'density'")
    assert page.locator("#by-k").is_hidden()
    assert page.locator("#by-density .advice").inner_text() == "HDBSCAN finds 2 clusters."
    assert page.locator(".medoid").count() == 2 and page.locator("#legend button").all_inner_texts() == [
        "0",
        "1",
        "none",
    ]
    none = page.evaluate("slotsWhere((slot) => clusterOf(slot) < 0).length")
    assert none == page.evaluate("page.density.none") > 200
    page.click("#medoids a[data-cluster='-1']")
    assert page.evaluate("selection.slots.length") == none
    wait(page, "location.hash.includes('k=density')")
    again = opened(hash=page.evaluate("location.hash"))
    assert again.evaluate("data.k") == "density"
    again.click("text=K-means >> nth=0")
    wait(again, "data.k === 3")
    assert again.locator(".medoid").count() == 3


def test_every_tab_opens_with_the_keyboard_and_odd_names_are_text(opened):
    page = opened()
    page.focus("#tab-heads")
    for tab in ("clusters", "selection", "labels", "duplicates", "outliers", "quality", "new", "run", "image", "heads"):
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{tab}"
        assert page.locator(f"#panel-{tab}").is_visible()
    page.click("#tab-run")
    assert "703 found = 700 used + 2 ignored + 1 unreadable + 0 repeated" in page.locator(".ledger").inner_text()
    assert page.locator("#panel-run svg").count() == 2
    assert page.locator("#panel-run .lines").inner_text() == "bad <i>.png: damaged"
    assert "Views: Of 40 images 35 find their own second view first" in page.locator("#panel-run").inner_text()
    page.click("#tab-new")
    assert page.locator("#panel-new .advice").inner_text() == "8 images are new."
    page.click("text=Select the new ones")
    assert page.evaluate("selection.slots.length") == N // 5
    page.click("#tab-outliers")
    assert page.locator("#panel-outliers figcaption").inner_text() == "few colours"
    page.click("#tab-duplicates")
    page.click("text=Select all copies")
    last = N - 1 - len(ODD_NAMES)
    assert page.evaluate("selection.slots.map(fileOf)") == [f"folder {last % 3}/{last:04d}.png"]
    page.click("#tab-selection")
    page.fill("#panel-selection input", "<script>")
    page.keyboard.press("Enter")
    assert page.input_value("#panel-selection textarea") == ODD_NAMES[0]
    page.click("#panel-selection .image")
    assert page.locator("#panel-image .file").text_content() == ODD_NAMES[0]
    assert page.locator("#title").inner_text() == "a <b>folder</b>"
    assert page.locator("body script:not([type])").count() == len(SCRIPTS)


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
    tabs = page.locator("#tabs button:visible")
    for number in range(tabs.count()):
        tabs.nth(number).tap()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, number


@pytest.mark.parametrize("width, height", [(1600, 900), (1000, 700), (640, 400), (390, 844), (320, 640)])
def test_every_tab_and_tool_is_in_sight_at_every_width(opened, width, height):
    """640 x 400 is a screen of 1280 x 800 at 200 % zoom."""
    page = opened(viewport={"width": width, "height": height})
    for box in page.locator("#tabs button:visible, #tools button, #tools select").all():
        at = box.bounding_box()
        assert at["x"] >= 0 and at["x"] + at["width"] <= width, box.inner_text()
    boxes = [of.bounding_box() for of in page.locator("#tools label, #tools > button, #tools .group").all()]
    for one in boxes:
        for two in boxes:
            apart = one["x"] + one["width"] <= two["x"] or one["y"] + one["height"] <= two["y"]
            back = two["x"] + two["width"] <= one["x"] or two["y"] + two["height"] <= one["y"]
            assert one is two or apart or back
    page.click("#viewed")
    assert page.evaluate("selection.slots.length") > 0


@pytest.mark.parametrize("width", [1200, 640, 390])
def test_rows_of_heads_cut_no_picture(opened, width):
    page = opened(viewport={"width": width, "height": 800})
    page.locator("#tab-heads").click()
    cut = """[...document.querySelectorAll('#head-0 .image')].filter((image) => {
        const own = image.getBoundingClientRect(), row = image.parentElement.getBoundingClientRect();
        return own.right > row.right + 1 || own.bottom > row.bottom + 1 || own.width < 30; }).length"""
    assert page.locator("#head-0 .image").count() == 16 and page.evaluate(cut) == 0


@pytest.mark.parametrize("n", [1, 3])
def test_hardly_any_image_and_nothing_known_of_them(opened, tmp_path, n):
    empty = (
        "clusters",
        "silhouette",
        "chance",
        "stability",
        "medoids",
        "ledger",
        "notes",
        "measures",
        "names",
        "tests",
    )
    bare = {name: {} for name in empty} | dict(outliers=[], curves=[], quality=[], density=None, since=None)
    path = build(
        contents(n, heads=0, labelled=False, duplicates=[], neighbours=None, label_first=[], **bare),
        tmp_path / "few.html",
    )
    page = opened(path)
    assert painted(page) > 1
    assert page.locator("#tabs button:visible").all_inner_texts() == ["Image", "Selection", "Labels", "Run"]
    page.click("#viewed")
    assert page.evaluate("selection.slots.length") == n
