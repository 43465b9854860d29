"""For tests in a real browser with the network off; whoever imports this is skipped where Playwright is missing.

``pip install playwright`` and a Chromium from the system's packages (or ``playwright install chromium``) are enough.
"""

import shutil
import time
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]


def chromium():
    """For a fixture to ``yield from``: a browser, or a skip where there is none."""
    with playwright.sync_playwright() as running:
        system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        if not system and not Path(running.chromium.executable_path).exists():
            pytest.skip("no browser")
        browser = running.chromium.launch(executable_path=system, args=FLAGS)
        yield browser
        browser.close()


def opening(browser, report):
    """For a fixture: ``opened(path, hash, **options of a context)`` gives the page, ready.

    Afterwards nothing may have failed or been fetched from elsewhere than files.
    """
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


def saved(page, button) -> str:
    """The text of the file that a button saves."""
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes().decode()
