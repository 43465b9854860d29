"""The report's page as a file: what goes in comes out again, within the budget, and no name can break out of it."""

import base64
import errno
import hashlib
import html.parser
import io
import os
import re
import zlib

import numpy as np
import pytest
from pages import ODD_NAMES, Page, contents
from PIL import Image

from cdlearn.pages import pack
from cdlearn.pages.build import build
from cdlearn.runtime.errors import UserError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    given = contents(60, names=ODD_NAMES)
    return given, Page(build(given, tmp_path_factory.mktemp("page") / "report.html"))


@pytest.mark.parametrize("values", [[0], [0, 255, 7], [256, 1, 65535], [2**32 - 1, 0, 70000]])
def test_numbers_come_back_from_their_block(values):
    block, width = pack.numbers(np.array(values))
    planes = np.frombuffer(zlib.decompress(base64.b64decode(block)), np.uint8).reshape(width, -1)
    assert (planes.astype(np.int64) * 256 ** np.arange(width)[:, None]).sum(0).tolist() == values


def test_zigzag_keeps_small_numbers_small():
    assert pack.zigzag(np.array([0, -1, 1, -2, 2])).tolist() == [0, 1, 2, 3, 4]


def test_places_keep_proportions_and_fill_the_longer_side():
    at = pack.places(np.array([[0.0, 0.0], [10.0, 5.0], [5.0, 2.5]])).astype(int)
    assert at[:, 0].tolist() == [0, 65535, 32768]
    assert at[0, 1] > at[1, 1], "a larger y is drawn further up"
    assert abs((at[0, 1] - at[1, 1]) - 65535 / 2) <= 1


def test_the_curve_visits_every_square_of_a_grid_step_by_step():
    side = 16
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    squares = np.stack([x.ravel(), y.ravel()], 1)
    order = pack.along_curve((squares * (2**16 // side)).astype(np.uint16))
    steps = np.abs(np.diff(squares[order], axis=0)).sum(1)
    assert sorted(order) == list(range(side**2)) and (steps == 1).all()


def test_representatives_reach_thin_regions_and_favour_dense_ones():
    generator = np.random.default_rng(0)
    at = np.concatenate([generator.integers(0, 8000, (9900, 2)), generator.integers(0, 65536, (100, 2))]).astype(
        np.uint16
    )
    at = at[pack.along_curve(at)]
    chosen = pack.representatives(at, 1000)
    assert len(set(chosen.tolist())) == len(chosen) <= 1000
    dense = (at[chosen] < 8000).all(1)
    assert dense.sum() > 500 and (~dense).sum() > 80


def test_places_files_answers_clusters_and_neighbours_come_back(made):
    given, page = made
    order = page.numbers("order")
    assert sorted(order) == list(range(60))
    assert page.json("files") == given.files
    places = pack.places(given.xy)[order]
    assert (np.cumsum(page.signed("x")) == places[:, 0]).all() and (np.cumsum(page.signed("y")) == places[:, 1]).all()
    answers = page.numbers("answers").reshape(len(given.heads), 60) / (page.record["arrays"]["answers"]["shades"] - 1)
    assert np.abs(answers.T - given.answers[order]).max() < 0.003
    for k, of in given.clusters.items():
        assert (page.numbers(f"clusters{k}") == of[order]).all()
    assert (page.numbers("labels") == given.labels[order]).all()
    near = page.signed("neighbours").reshape(-1, 60).T + np.arange(60)[:, None]
    assert (order[near] == given.neighbours[order]).all()


def test_every_image_has_its_own_picture_on_the_map(made):
    given, page = made
    atlas = page.record["mapAtlas"]
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(page.blocks["map-0"]))))
    for slot, number in enumerate(page.numbers("order")):
        row, column = divmod(slot, atlas["across"])
        half = atlas["cell"] // 2
        middle = sheet[row * atlas["cell"] + half, column * atlas["cell"] + half].astype(int)
        assert np.abs(middle - np.asarray(given.thumbnail(number, 8))[0, 0]).max() <= 12
        tone = page.bytes("tones")[slot::60]
        assert np.abs(middle - np.frombuffer(tone, np.uint8)).max() <= 16


def test_image_numbers_of_galleries_medoids_and_groups_are_slots(made):
    given, page = made
    order = page.numbers("order")
    for head, shown in zip(given.heads, page.record["heads"], strict=True):
        assert order[shown["top"]].tolist() == head["top"]
    assert order[page.record["medoids"]["3"]].tolist() == given.medoids[3]
    assert order[page.record["duplicates"][0]["images"]].tolist() == [0, 59]


def test_measures_sizes_and_what_is_new_come_back_in_the_order_of_the_map(made):
    given, page = made
    order = page.numbers("order")
    for name in ("width", "height", "bytes"):
        assert (page.numbers(name) == getattr(given, name)[order]).all()
    for name, of in given.measures.items():
        low, high = page.record["measures"][name]
        assert (
            np.abs(low + page.numbers(f"measure-{name}") / 255 * (high - low) - of[order]).max() <= (high - low) / 500
        )
    assert (page.numbers("new") == given.since["new"][order]).all() and page.record["since"]["gone"] == ["old.png"]
    assert (page.numbers("density") == given.density["of"][order] + 1).all()
    assert page.record["density"]["count"] == 2 and page.record["density"]["none"] == 20
    assert order[page.record["labelFirst"]].tolist() == given.label_first
    slot, score, reason = page.record["outliers"][0]
    assert (order[slot], score, reason) == (59, 2.5, "few colours")


def test_the_flagged_of_an_issue_are_those_beyond_its_threshold_the_worst_first():
    given = contents(40)
    assert given.flagged(given.quality[0]).tolist() == list(range(8)), "highlights below 0.2"
    above = given.quality[0] | {"side": "above", "threshold": 0.9}
    assert given.flagged(above).tolist() == [39, 38, 37, 36]


def test_pictures_are_whole_at_their_own_aspect_and_originals_are_shown_only_where_they_are_linked(made, tmp_path):
    given, page = made
    atlas = page.record["pictureAtlas"]
    assert atlas["whole"] is True
    sheet = np.asarray(Image.open(io.BytesIO(base64.b64decode(page.blocks["picture-0"])))).astype(int)
    slot = page.record["pictured"][0]
    number = page.numbers("order")[slot]
    drawn = round(atlas["cell"] * given.height[number] / given.width[number])
    assert np.abs(sheet[drawn // 2, atlas["cell"] - 3] - np.asarray(given.thumbnail(number, 8))[0, 0]).max() < 20
    own = np.asarray(given.thumbnail(number, 8))[0, 0]
    assert np.abs(sheet[drawn + 3 : atlas["cell"] - 3, 5] - own).max() < 20, "the last row fills the rest of the cell"
    assert "img-src" not in page.text.split("<script")[0]
    linked = Page(build(contents(9, link="../my%20images/"), tmp_path / "report.html"))
    assert "img-src file: 'self'" in linked.text.split("<script")[0] and linked.record["link"] == "../my%20images/"
    squares = Page(build(contents(9, whole=None), tmp_path / "report.html"))
    assert squares.record["pictureAtlas"]["whole"] is False


class Elements(html.parser.HTMLParser):
    """The tags of a page and its scripts' types, as a parser sees them."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.types = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        if tag == "script":
            self.types.append(dict(attributes).get("type"))


def test_no_name_title_or_class_becomes_markup(made):
    _, page = made
    parsed = Elements(page.text)
    plain = Elements(page.text.replace("&lt;b&gt;folder&lt;/b&gt;", "folder"))
    assert parsed.tags == plain.tags and "b" not in parsed.tags and "img" not in parsed.tags
    assert "alert(1)" not in page.text and set(parsed.types) == {"text/plain", None}
    assert page.text.count("<title>a &lt;b&gt;folder&lt;/b&gt;</title>") == 1
    assert page.record["classes"] == ["cat", "dog", "</script>"]


def test_the_policy_allows_this_page_s_code_alone(made):
    _, page = made
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.text)[1]
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy
    code = re.findall(r"<script>(.*?)</script>", page.text, re.S) + re.findall(r"<style>(.*?)</style>", page.text, re.S)
    digests = [base64.b64encode(hashlib.sha256(of.encode()).digest()).decode() for of in code]
    assert re.findall(r"'sha256-([^']+)'", policy) == digests
    assert not re.search(r"""(src|href|style|on\w+)=["']""", page.text.split("<script")[0].replace("content=", ""))


def test_the_budget_decides_how_large_images_are(tmp_path):
    given, cells = contents(500, noisy=True), []
    for budget in (4_000_000, 1_500_000, 600_000):
        out = build(given, tmp_path / "report.html", budget=budget)
        assert out.stat().st_size <= budget
        cells.append(Page(out).record["mapAtlas"]["cell"])
    assert cells == sorted(set(cells), reverse=True), cells


def test_a_budget_that_holds_no_page_is_refused_in_one_line(tmp_path):
    with pytest.raises(UserError, match="500 images do not fit") as refused:
        build(contents(500, noisy=True), tmp_path / "report.html", budget=150_000)
    assert "\n" not in str(refused.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_images_without_heads_labels_or_clusters(tmp_path, n):
    given = contents(n, heads=0, labelled=False, clusters={}, silhouette={}, stability={}, medoids={}, outliers=[])
    page = Page(build(given, tmp_path / "report.html"))
    assert page.record["n"] == n and not page.record["labelled"] and page.record["ks"] == []
    assert page.record["k"] is None and page.json("files") == given.files


def test_images_all_at_one_place(tmp_path):
    given = contents(20, xy=np.zeros((20, 2)))
    page = Page(build(given, tmp_path / "report.html"))
    assert len(set(np.cumsum(page.signed("x")))) == 1


def test_many_images_have_an_overview(tmp_path):
    given = contents(3500, heads=1)
    page = Page(build(given, tmp_path / "report.html"))
    chosen = page.record["overview"]
    assert 2000 < len(chosen) <= 3000 and len(set(chosen)) == len(chosen)
    assert page.record["overviewAtlas"]["pages"] == 2


def test_a_full_disk_leaves_the_page_from_before(tmp_path, monkeypatch):
    out = tmp_path / "report.html"
    out.write_text("the one from before")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot save .*report.html \(No space left on device\)") as refused:
        build(contents(10), out)
    assert "--resume" not in str(refused.value) and out.read_text() == "the one from before"
    assert list(tmp_path.iterdir()) == [out]


def test_contents_that_do_not_fit_together_are_refused():
    with pytest.raises(ValueError, match="labels has shape"):
        contents(10, labels=np.zeros(9))
    with pytest.raises(ValueError, match="width has shape"):
        contents(10, width=np.zeros(9))
    with pytest.raises(ValueError, match="goes by 'sharpness', which is not in measures"):
        contents(10, measures={"highlights": np.zeros(10)})
    with pytest.raises(ValueError, match="not finite"):
        contents(10, xy=np.full((10, 2), np.nan))
    with pytest.raises(UserError, match="no image"):
        contents(1, files=[])
