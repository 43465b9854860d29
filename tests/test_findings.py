"""What a report finds without labels: quality issues, outliers, dense regions, what to label first, what is new."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageFilter
from torch import nn
from untrained import run_on, save_shapes

import cdlearn
from cdlearn import report
from cdlearn.analysis import analyse, analyse_features, density, export_table, names, outliers, quality, since
from cdlearn.analysis.label_first import label_first
from cdlearn.analysis.summary import recipe
from cdlearn.config import Config
from cdlearn.results import scoring
from cdlearn.runtime.errors import UserError


def photographs(n, side=64, seed=0):
    """``n`` pictures with detail at every scale and of every colour, like photographs: uint8 (n, 3, side, side)."""
    draws, total = torch.Generator().manual_seed(seed), torch.zeros(n, 3, side, side)
    for cells in (2, 4, 8, 16, 32, side):
        rough = torch.rand(n, 3, cells, cells, generator=draws) - 0.5
        total += nn.functional.interpolate(rough, (side, side), mode="bilinear") / cells**0.5
    return ((total * 0.9 + 0.5).clamp(0, 1) * 255).to(torch.uint8)


# --- quality ---


def flagged(images, **sizes):
    found = quality.measures(images, lambda i: images[i].float().mean(0).numpy() / 255, lambda name, make: make())
    found |= quality.shape_measures(**sizes) if sizes else {}
    flags = {}
    for issue in quality.issues(found):
        values = found[issue["measure"]]
        beyond = values < issue["threshold"] if issue["side"] == "below" else values > issue["threshold"]
        flags[issue["name"]] = np.flatnonzero(beyond).tolist()
    return flags


def test_each_issue_finds_its_picture_and_no_other():
    images = photographs(20)
    images[1] //= 5
    images[2] = images[2] // 5 + 204
    images[3] = 120
    images[4] = torch.from_numpy(
        np.array(Image.fromarray(images[4].permute(1, 2, 0).numpy()).filter(ImageFilter.GaussianBlur(3)))
    ).permute(2, 0, 1)
    images[5] = (images[5].float().mean(0) > 127).to(torch.uint8) * 127 + 60
    images[6] = images[6].float().mean(0).to(torch.uint8)
    width, height = np.full(20, 600), np.full(20, 400)
    width[7], height[8], width[9], height[9], width[10] = 60, 4000, 9000, 6000, 0
    height[7] = 40
    found = flagged(images, width=width, height=height)
    assert {3, 5} <= set(found.pop("low information")) <= {1, 2, 3, 5}
    assert found == {
        "dark": [1],
        "bright": [2],
        "blank": [3],
        "blurred": [4],
        "grey": [3, 5, 6],
        "small": [7],
        "large": [8, 9],
        "odd aspect": [8],
    }


def test_grey_is_no_issue_among_grey_pictures():
    grey = photographs(10).float().mean(1, keepdim=True).repeat(1, 3, 1, 1).to(torch.uint8)
    assert "grey" not in flagged(grey)


def test_a_faint_picture_is_not_called_blurred_and_an_even_one_has_no_blur():
    grey = photographs(1)[0].float().mean(0).numpy() / 255
    assert quality.sharpness(grey) == pytest.approx(quality.sharpness(0.3 * grey + 0.3), abs=1e-3)
    assert quality.sharpness(np.full((8, 8), 0.5)) == 0 and quality.sharpness(np.zeros((2, 9))) == 0


# --- outliers ---


def test_a_black_picture_a_drawing_and_one_far_from_its_neighbours_come_first_with_their_reasons():
    images = photographs(300)
    images[7] = 3
    images[8] = 200
    images[8, 0, 10:40, 10:40] = 20
    rows = torch.nn.functional.normalize(torch.randn(300, 8, generator=torch.Generator().manual_seed(0)) * 0.1 + 1)
    rows[9] = -rows[9]
    near = (rows[:, None] - rows[None]).norm(dim=2).topk(11, largest=False).values[:, 1:].mean(1).numpy()
    found = outliers.ranked(outliers.statistics(images), rows.numpy(), near)
    assert set(np.argsort(found["rank"])[:4]) >= {7, 8, 9} and sorted(found["rank"]) == list(range(1, 301))
    measures = quality.light_and_colour(images)
    assert outliers.reason(found, measures, 7) == "nearly black"
    assert outliers.reason(found, measures, 8) in ("even areas, as drawn", "few colours")
    assert outliers.reason(found, measures, 9) in ("different from its neighbours", "unusual to the network")
    assert found["score"][found["rank"] == 1] > 0.99


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images_have_ranks_and_reasons_and_equal_ones_break_nothing(n):
    images = photographs(1).repeat(n, 1, 1, 1)
    found = outliers.ranked(outliers.statistics(images), np.ones((n, 4), np.float32) / 2, np.zeros(n))
    assert sorted(found["rank"]) == list(range(1, n + 1))
    assert outliers.reason(found, quality.light_and_colour(images), 0)


# --- clusters by density, and what to label first ---


def test_dense_regions_are_found_largest_first_and_what_lies_between_is_in_none(monkeypatch):
    draws = np.random.default_rng(0)
    xy = np.concatenate([draws.normal(0, 1, (60, 2)), draws.normal(30, 1, (90, 2)), [[60, 60]]])
    found = density.dense(xy, xy)
    assert found["of"][:60].max() == 1 and (np.bincount(found["of"] + 1)[1:3] >= [80, 50]).all()
    assert found["of"][-1] == -1 and found["of"][found["medoids"]].tolist() == [0, 1]
    assert "2 dense regions" in density.for_page(found)["advice"]
    monkeypatch.setattr(density, "FITTED", 80)
    some = density.dense(xy, xy)
    assert len(set(some["of"][60:150].tolist()) - {-1}) == 1, "those that were not fitted go with their neighbours"
    assert density.for_page(density.dense(xy[:9], xy[:9])) is None


def test_label_first_is_typical_then_far_from_all_before_and_leaves_copies_out():
    draws = np.random.default_rng(0)
    centres = np.eye(4, 8)
    rows = np.repeat(centres, 25, axis=0) + 0.05 * draws.standard_normal((100, 8))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    near = np.full(100, 0.1)
    near[[0, 30]] = 9  # outliers
    copies = np.zeros(100, bool)
    copies[50:60] = True
    chosen = label_first(rows, near, copies, count=8)
    assert {number // 25 for number in chosen[:4]} == {0, 1}, "half of the images are typical: here the first 52"
    near[:] = np.where(np.arange(100) % 2, 0.1, 0.2)
    near[51] = 0.2
    chosen = label_first(rows, near, copies, count=8)
    assert sorted(number // 25 for number in chosen[:4]) == [0, 1, 2, 3] and len(set(chosen)) == 8
    assert not copies[chosen].any() and (near[chosen] == 0.1).all()
    assert label_first(rows, near, np.ones(100, bool)) == []


# --- names ---


def test_names_are_read_and_damaged_ones_refused(tmp_path):
    assert names.read(tmp_path) == {"heads": {}, "clusters": {}}
    given = {"heads": {"3": " red "}, "clusters": {"4": {"0": "ships", "1": ""}, "density": {"2": "x"}}}
    (tmp_path / "names.json").write_text(json.dumps(given))
    assert names.read(tmp_path) == {"heads": {3: "red"}, "clusters": {4: {0: "ships"}, "density": {2: "x"}}}
    (tmp_path / "names.json").write_text('{"7": "as an older page saved it"}')
    assert names.read(tmp_path)["heads"] == {7: "as an older page saved it"}
    for damaged in ("{", "[1]", "3", '{"heads": {"x": "red"}}', '{"heads": {"1": 2}}', '{"clusters": {"4": "a"}}'):
        (tmp_path / "names.json").write_text(damaged)
        with pytest.raises(UserError, match=r"names\.json holds no names.*save it again"):
            names.read(tmp_path)


def test_columns_go_by_names_unless_these_would_be_ambiguous():
    given = {0: "red", 1: "red", 2: "x", 3: "head_4", 5: "round"}
    assert names.columns(range(6), given, {"x"}) == ["head_0", "head_1", "head_2", "head_3", "head_4", "round"]


def test_the_table_and_the_estimator_go_by_the_names(tmp_path):
    save_shapes(tmp_path / "some", 24)
    run = run_on("shapes", tmp_path / "run")
    first = analyse(run, str(tmp_path / "some"))
    head = first.contents.heads[0]["number"]
    given = {"heads": {str(head): "reddish"}, "clusters": {str(first.contents.k): {"0": "ships"}}}
    (run / "names.json").write_text(json.dumps(given))
    found = analyse(run, str(tmp_path / "some"))
    rows = export_table.data_frame(found)
    assert "reddish" in rows and f"head_{head}" not in rows
    assert (rows["cluster_name"] == np.where(rows["cluster"] == 0, "ships", "")).all()
    assert cdlearn.load(run, "output").get_feature_names_out()[head] == "reddish"
    assert cdlearn.load(run).get_feature_names_out()[0] == "h0"


# --- since ---


def test_a_second_report_says_what_is_new_gone_and_changed_and_keeps_the_numbers_of_its_clusters(tmp_path, capsys):
    files = save_shapes(tmp_path / "some", 30)
    run = run_on("shapes", tmp_path / "run")
    command = [str(run), "--data", str(tmp_path / "some"), "--since", str(run)]
    assert report.main(command) == 2 and "no earlier report" in capsys.readouterr().err
    assert report.main(command[:3]) == 0
    before = pd.read_csv(run / "report-images.csv").set_index("file")
    files[3].unlink()
    Image.new("RGB", (40, 40), "red").save(files[4])
    for path in save_shapes(tmp_path / "more", 4, seed=9):
        path.rename(tmp_path / "some" / f"new {path.name}")
    assert report.main(command) == 0
    assert "Since the report of run: 4 images are new, 1 gone, 1 changed, of 33 now." in capsys.readouterr().out
    rows = pd.read_csv(run / "report-images.csv").set_index("file")
    assert set(rows.index[rows["new"] == 1]) == {f"new {number:03d}.png" for number in range(4)}
    both = rows.join(before.add_suffix("_before"), how="inner")
    table = pd.crosstab(both["cluster"], both["cluster_before"])
    assert rows["cluster"].max() == before["cluster"].max()
    assert np.trace(table.to_numpy()) >= table.to_numpy()[:, ::-1].trace(), (
        "no other numbering has more files in common"
    )
    (tmp_path / "x.npz").write_text("no")
    with pytest.raises(UserError, match="is no table of a report"):
        since.earlier(tmp_path / "x.npz")


def test_numbers_are_kept_where_the_same_k_is_there():
    before = since.Earlier("old", list("abcdef"), np.array([2, 2, 1, 1, 0, 0]), None)
    assert since.numbered_as(before, list("abcdefg"), np.array([0, 0, 1, 1, 2, 2, 2]), 3).tolist() == [2, 1, 0]
    assert since.numbered_as(before, list("abc"), np.array([0, 0, 1]), 2) is None
    assert since.numbered_as(before, list("xyz"), np.array([0, 1, 2]), 3) is None, "no file in common"


# --- features of another network, exports ---


def test_features_of_another_network_make_a_report_without_heads(tmp_path):
    save_shapes(tmp_path / "some", 40)
    features = np.random.default_rng(0).standard_normal((40, 12))
    found = analyse_features(features, str(tmp_path / "some"), "f.npy", root=tmp_path / "data")
    shown = found.contents
    assert shown.heads == [] and shown.answers is None and shown.k and len(shown.outliers) == 40
    assert shown.title == "some · f.npy" and "12 per image, from f.npy" in shown.notes["features"]
    assert not any("The network sees" in note for note in shown.ledger["notes"]) and set(shown.tests) == {"RankMe"}
    for wrong, says in (
        (features[:39], "holds 39 x 12; it must be"),
        (features[:, 0], "holds 40; it must be"),
        (np.full((40, 2), np.nan), "not all finite"),
        (np.full((40, 2), "a"), "of <U1"),
    ):
        with pytest.raises(UserError, match=says):
            analyse_features(wrong, str(tmp_path / "some"), "f.npy", root=tmp_path / "data")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    place = tmp_path_factory.mktemp("found")
    files = save_shapes(place / "my images", 30)
    Image.open(files[0]).resize((60, 40)).save(files[0])  # wider than the others
    (place / "my images" / "copy.png").write_bytes(files[5].read_bytes())
    return place, analyse(run_on("shapes", place / "run"), str(place / "my images"))


def test_the_table_has_ranks_reasons_tiers_sizes_and_an_order_to_label(found):
    rows = export_table.data_frame(found[1]).set_index("file")
    assert sorted(rows["outlier_rank"]) == list(range(1, 32)) and (rows["outlier_reason"] != "").all()
    assert rows.loc["copy.png", ["duplicate_of", "duplicate_tier"]].tolist() == ["005.png", "same bytes"]
    assert rows.loc["000.png", ["width", "height"]].tolist() == [60, 40] and (rows["bytes"] > 0).all()
    assert sorted(rows["label_first"][rows["label_first"] > 0]) == list(range(1, (rows["label_first"] > 0).sum() + 1))
    assert rows.loc["copy.png", "label_first"] == 0, "its label is that of the file it repeats"


def test_a_picture_comes_whole_at_its_own_aspect(found):
    shown = found[1].contents
    assert shown.whole(0, 90).size == (90, 60) and shown.whole(1, 90).size == (90, 90)
    assert shown.thumbnail(0, 90).size == (90, 90)


def test_embedding_atlas_and_label_studio_get_what_they_read(found, tmp_path):
    rows = export_table.with_pictures(found[1], export_table.data_frame(found[1]))
    near = rows["neighbors"][3]
    assert len(near["ids"]) == len(near["distances"]) == 12 and 3 not in near["ids"]
    assert near["distances"] == sorted(near["distances"])
    picture = Image.open(io.BytesIO(rows["image"][3]["bytes"]))
    assert picture.format == "JPEG" and picture.size == (64, 64) and rows["image"][3]["path"] == "003.png"
    path = export_table.label_studio(found[1], tmp_path / "tasks.csv", "/data/local-files/?d=my%20images/")
    tasks = pd.read_csv(path)
    assert len(tasks) == 30 and "copy.png" not in set(tasks["file"])
    first = export_table.data_frame(found[1]).set_index("file")["label_first"]
    assert first[tasks["file"][0]] == 1 and tasks["image"][0] == f"/data/local-files/?d=my%20images/{tasks['file'][0]}"


def test_link_leads_from_the_page_to_the_originals(found, tmp_path, capsys):
    place = found[0]
    assert report.link(place / "my images", place / "run" / "report.html") == "../my%20images/"
    with pytest.raises(UserError, match="named data set"):
        report.link(None, tmp_path / "x.html")


def test_the_title_names_the_run_and_the_recipe_names_what_differs(found):
    shown = found[1].contents
    assert shown.title == "my images · run" and len(shown.key) == 16
    assert shown.recipe.startswith("cd, preset smoke, ") and "size 16" in shown.recipe
    assert recipe(Config.preset("laptop", data="x", views=200_000)) == "cd, preset laptop, 200,000 views"
    assert "Of 31 images" in shown.tests["second crops"] and "of 256" not in shown.tests["RankMe"]


def test_the_closing_table_without_labels_leads_with_what_compares_runs():
    scores = {"output": {"spread": 0.9, "rankme": 12.3, "pairs": 0.87, "of": 100}, "raw pixels": {"spread": 0.1}}
    told = scoring.table(scores)
    assert "87 of 100" in told and "12.3" in told and told.index("second view found") < told.index("spread")
    assert "nan" not in told
    assert "87" not in scoring.table({"output": {"spread": 0.9}}), "scores of older runs have spread alone"
