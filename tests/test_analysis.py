"""The analysis behind a report: every file accounted for, heads and clusters that stand up to what is known."""

import os
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from untrained import odd_folder, run_on, save_shapes

from cdlearn import tsne
from cdlearn.analysis import analyse, clusters, duplicates, heads, neighbours
from cdlearn.analysis.cache import Cache
from cdlearn.config import Config
from cdlearn.data import file_audit, folders, make_shapes
from cdlearn.disentanglement import attribute_scores
from cdlearn.pages.contents import TIERS


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """The analysis of a folder with everything in it, by a network that learned nothing."""
    place = tmp_path_factory.mktemp("odd")
    folder = odd_folder(place / "my images")
    before = sorted(path for path in folder.rglob("*"))
    found = analyse(run_on("shapes", place / "run"), str(folder))
    assert sorted(path for path in folder.rglob("*")) == before, "nothing is written among the images"
    return folder, found


def test_every_file_of_an_odd_folder_is_counted_once(odd):
    folder, found = odd
    book = found.contents.ledger
    parts = [book["used"], sum(book["ignored"].values()), len(book["unreadable"]), len(book["repeated"])]
    there = [path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir()]
    assert book["found"] == sum(parts) == len([path for path in there if not str(path).startswith(".")])
    assert book["used"] == len(found.contents.files) == 24
    assert book["ignored"] == {".mp4": 2, ".txt": 1, "no ending": 1}
    assert {name for name, _ in book["unreadable"]} == {"cut.png", "text.jpg", "dangling.png"}
    assert all(reason and str(folder) not in reason for _, reason in book["unreadable"])
    assert book["repeated"] == [("a link.png", "006.png")], "a file goes by its own name, not by the link's"
    assert any("deeper/round leads to" in note for note in book["notes"]) and any("idden" in n for n in book["notes"])


def test_odd_names_stay_as_they_are_and_in_order(odd):
    files = odd[1].contents.files
    assert files == sorted(files, key=lambda name: folders.Path(name))
    assert {"Zürich 日本 ☃.png", "<script>alert(1)<.png", "a folder, with spaces/two words.png"} <= set(files)


def test_a_name_that_is_no_text_becomes_one(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.png"
    assert file_audit.shown(tmp_path / os.fsdecode(raw), tmp_path) == "caf\ufffd.png"


def test_a_picture_is_turned_upright_and_made_from_the_original(odd):
    found = odd[1].contents
    picture = np.asarray(found.thumbnail(found.files.index("turned.jpg"), 20)).mean(axis=(1, 2))
    assert picture[-1] > 200 > 50 > picture[0], "the bright right end is turned to the bottom"
    sharp = np.asarray(found.thumbnail(found.files.index("003.png"), 40)).astype(float)
    assert np.abs(sharp - np.asarray(Image.open(odd[0] / "003.png"))).mean() < 1, "of 40 px, not of the network's 16"
    assert found.picture == 64


def test_copies_are_found_with_their_reasons_and_no_others(odd):
    found = odd[1].contents
    named = [(group["tier"], {found.files[i] for i in group["images"]}) for group in found.duplicates]
    assert (TIERS[0], {"003.png", "equal.png"}) in named
    assert (TIERS[1], {"004.png", "saved again.jpg"}) in named
    assert len([tier for tier, _ in named if tier != TIERS[2]]) == 2
    first = found.files[odd[1].duplicate_of[found.files.index("equal.png")]]
    assert first == "003.png"


def test_a_folder_without_images_is_said(tmp_path):
    run = run_on("shapes", tmp_path / "run")
    (tmp_path / "empty").mkdir()
    with pytest.raises(folders.UserError, match="no image in"):
        analyse(run, str(tmp_path / "empty"))
    (tmp_path / "empty" / "x.png").write_text("no")
    with pytest.raises(folders.UserError, match="none of the 1 images"):
        analyse(run, str(tmp_path / "empty"))


@pytest.mark.parametrize("count", [1, 2, 3, 9])
def test_a_few_images_are_enough(tmp_path, count):
    save_shapes(tmp_path / "few", count)
    found = analyse(run_on("shapes", tmp_path / "run"), str(tmp_path / "few"), stage="output").contents
    assert found.xy.shape == (count, 2) and np.isfinite(found.xy).all()
    assert found.neighbours.shape == (count, min(count - 1, 12))
    assert (found.k is None) == (count < clusters.FEWEST) and found.advice


def test_the_limit_is_in_the_ledger(tmp_path):
    save_shapes(tmp_path / "ten", 10)
    book = analyse(run_on("shapes", tmp_path / "run"), str(tmp_path / "ten"), limit=4).contents.ledger
    assert (book["found"], book["used"]) == (10, 4) and "6 images are left out" in " ".join(book["notes"])


# --- heads ---


class Planted(nn.Module):
    """Heads that are known: of redness (twice, and once its opposite), of what a flip undoes, nothing, and texture."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))

    def represent(self, x):
        half = x.shape[-1] // 2
        red = 3 * (x[:, 0].mean((1, 2)) - x[:, 2].mean((1, 2)))
        side = 9 * (x[..., :half].mean((1, 2, 3)) - x[..., half:].mean((1, 2, 3)))
        rough = 20 * (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3)) - 1
        y = torch.sigmoid(torch.stack([side, red, red + 0.01, -red, 0 * red, rough], dim=1))
        return {"backbone": y, "output": y}


def planted_images(n=400):
    """Red or blue, smooth or rough, light on the left or on the right: three attributes, each by a coin."""
    draws = torch.Generator().manual_seed(0)
    red, rough, left = (torch.randint(0, 2, (n,), generator=draws) for _ in range(3))
    x = torch.full((n, 3, 16, 16), 110.0)
    x[:, 0] += 60 * red.view(-1, 1, 1)
    x[:, 2] += 60 * (1 - red).view(-1, 1, 1)
    x += rough.view(-1, 1, 1, 1) * 80 * (torch.rand(n, 1, 16, 16, generator=draws) - 0.5)
    x[..., :8] += 25 * left.view(-1, 1, 1, 1)
    x[..., 8:] += 25 * (1 - left).view(-1, 1, 1, 1)
    return x.clamp(0, 255).to(torch.uint8), {"red": red, "rough": rough, "left": left}


def test_the_heads_shown_first_name_attributes_and_those_that_a_view_moves_come_last():
    images, attributes = planted_images()
    model, config = Planted(), Config.preset("smoke", size=16, crop=(0.6, 1.0), hue=0.0, gray=0.0)
    agreed = heads.agreement(model, images, config)
    answers = model.represent(images / 255)["output"].detach().numpy()
    assert agreed[1] > 0.7 and agreed[5] > 0.7 and abs(agreed[0]) < 0.2 and agreed[4] == 0
    shown = heads.shown(answers, agreed)
    first = [head["number"] for head in shown]
    assert first[0] in (1, 2, 3) and first[1] == 5, "redness, which three heads know, then texture"
    assert 4 not in first and len({1, 2, 3} & set(first)) == 1, "nothing constant, nothing twice"
    rows = attribute_scores(answers[:, first[:2]], {name: attributes[name] for name in ("red", "rough")})
    assert [row["head"] for row in rows] == [0, 0, 1, 1], "the table confirms what each of the two encodes"
    assert min(row["auc"] for row in rows) > 0.95
    red = shown[0]
    assert red["opposite"] and red["same"] and abs(red["opposite"][0][1]) > 0.99
    assert attributes["red"][red["top"]].float().mean() in (0, 1)
    assert answers[red["top"], first[0]].min() > answers[red["bottom"], first[0]].max()
    assert abs(answers[red["middle"], first[0]] - np.median(answers[:, first[0]])).max() < 1e-6
    assert red["on"] == pytest.approx((answers[:, first[0]] > 0.5).mean())


def test_answers_lie_between_0_and_1_whatever_the_method():
    y = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    assert heads.scaled_outputs(y) is y
    z = heads.scaled_outputs(10 * y - 5)
    assert z.min() == 0 and z.max() == 1 and np.corrcoef(y[:, 0], z[:, 0])[0, 1] > 0.99


# --- clusters ---


def noise(kind, n, d, seed):
    draws = np.random.default_rng(seed)
    return (draws.random((n, d)) if kind == "uniform" else draws.standard_normal((n, d))).astype(np.float32)


@pytest.mark.parametrize("kind", ["uniform", "normal"])
@pytest.mark.parametrize(("n", "d"), [(300, 2), (300, 16), (60, 2)])
def test_no_number_of_clusters_is_advised_for_noise(kind, n, d):
    found = clusters.clusterings(noise(kind, n, d, seed=1))
    assert not found.clear and found.advice.startswith("There is no clear k")
    assert found.k in found.parts


@pytest.mark.parametrize("k", [2, 5, 12])
def test_the_number_of_clear_clusters_is_found(k):
    draws = np.random.default_rng(0)
    truth = draws.integers(0, k, 300)
    rows = (8 * np.eye(16)[:, :k].T[truth] + noise("normal", 300, 16, 1)).astype(np.float32)
    found = clusters.clusterings(rows)
    assert found.clear and found.k == k and found.advice.startswith(f"k = {k} stands out most from chance ")
    part = found.parts[k]
    assert len({(t, c) for t, c in zip(truth, part["of"], strict=True)}) == k, "each cluster is one blob"
    assert part["stability"] > 0.95 and found.silhouette[k] > 0.4
    assert part["of"][part["medoids"]].tolist() == list(range(k))
    assert (np.diff(np.bincount(part["of"])) <= 0).all(), "the largest first"


def test_the_three_tests_of_a_clear_k():
    k, clear, said = clusters.advised({2: 0.5, 3: 0.6}, {2: 0.3, 3: 0.3}, {2: 0.9, 3: 0.9})
    assert (k, clear) == (3, True) and said.startswith("k = 3 stands out most") and "So do, by less, k = 2." in said
    assert clusters.advised({2: 0.6, 9: 0.5}, {2: 0.5, 9: 0.1}, {2: 0.9, 9: 0.9})[0] == 9, (
        "from chance, not the highest"
    )
    for silhouette, chance, steady, why in (
        (0.2, 0.1, 0.9, "no silhouette exceeds 0.25"),
        (0.41, 0.40, 0.9, "images without clusters"),
        (0.5, 0.3, 0.7, "two halves of the images agree on no clusters to 0.8 (at best to 0.70)"),
    ):
        assert clusters.advised({4: silhouette}, {4: chance}, {4: steady})[1] is False
        assert why in clusters.advised({4: silhouette}, {4: chance}, {4: steady})[2]


# --- neighbours, places, duplicates, cache ---


def test_the_graph_is_that_of_all_pairs_and_an_image_is_not_its_own_neighbour():
    rows = neighbours.unit(np.random.default_rng(0).standard_normal((200, 8)))
    rows[7] = rows[3] = rows[150]
    parts = [neighbours.nearest(rows, start, min(start + 64, 200), 5) for start in range(0, 200, 64)]
    number, distance = (np.concatenate([part[name] for part in parts]) for name in ("number", "distance"))
    assert (number != np.arange(200)[:, None]).all() and set(number[3, :2]) == {7, 150}
    all_pairs = np.sqrt(((rows[:, None].astype(float) - rows[None]) ** 2).sum(-1))
    np.fill_diagonal(all_pairs, 9)
    assert np.allclose(distance, np.sort(all_pairs, axis=1)[:, :5], atol=1e-3)
    assert neighbours.strangeness(distance) == pytest.approx(distance.mean(axis=1))


def test_many_wide_rows_are_narrowed_and_keep_their_neighbours(monkeypatch):
    monkeypatch.setattr(neighbours, "MANY", 100)
    monkeypatch.setattr(neighbours, "NARROW", 8)
    draws = np.random.default_rng(0)
    rows = neighbours.unit(draws.standard_normal((300, 6)) @ draws.standard_normal((6, 40)))
    narrow = neighbours.narrowed(rows)
    assert narrow.shape == (300, 8)
    assert np.allclose(narrow @ narrow.T, rows @ rows.T, atol=1e-3), "six dimensions fit into eight"


def test_the_map_keeps_neighbourhoods():
    truth = np.repeat(np.arange(4), 30)
    rows = neighbours.unit(5 * np.eye(8)[truth] + np.random.default_rng(0).standard_normal((120, 8)))
    told = []
    xy = tsne.placed(rows, *neighbours.nearest(rows, 0, 120).values(), after_steps=told.append)
    near = np.argsort(((xy[:, None] - xy[None]) ** 2).sum(-1), axis=1)[:, 1:6]
    assert (truth[near] == truth[:, None]).mean() > 0.95
    assert sum(told) == tsne.STEPS


def rough_pictures(n, seed=0):
    """``n`` pictures of soft spots of every colour, uint8 (n, 3, 48, 48)."""
    rough = torch.rand(n, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return (nn.functional.interpolate(rough, (48, 48), mode="bicubic").clamp(0, 1) * 255).to(torch.uint8)


CHANGES = {
    "lighter": lambda images: (images.float() * 1.08).clamp(0, 255).to(torch.uint8),
    "mirrored": lambda images: images.flip(-1),
    "cropped": lambda images: nn.functional.interpolate(images[..., 2:-2, 2:-2].float(), (48, 48), mode="bilinear").to(
        torch.uint8
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_copies_count_as_such_and_other_pictures_do_not(change):
    images = rough_pictures(60)
    both = torch.cat([images, CHANGES[change](images[:20])])
    bits = duplicates.hashed(both)
    everyone = np.array([[j for j in range(80) if j != i] for i in range(80)])[:, ::-1]
    pairs, facts = duplicates.near_pictures(both, bits, np.concatenate([everyone[:, :20], everyone[:, -20:]], axis=1))
    assert (facts[:, 0] <= duplicates.DIFFERENT).all()
    copied = {(i, 60 + i) for i in range(20)}
    assert set(map(tuple, pairs.tolist())) <= copied
    monkey = np.stack([np.roll(np.arange(80), -20)] * 2, axis=1)  # every copy's neighbour is its original
    pairs, facts = duplicates.near_pictures(both, bits, monkey)
    assert set(map(tuple, pairs.tolist())) == copied
    told = {duplicates.COMPARED[how][2] for how in facts[:, 1]}
    assert any(change in said for said in told) if change != "lighter" else told == {""}
    black = duplicates.hashed(torch.zeros(1, 3, 48, 48, dtype=torch.uint8))
    assert not black.any(), "rounding decides nothing"


def test_a_chain_of_copies_is_one_group_and_the_surer_tier_keeps_its_own():
    images = torch.cat([rough_pictures(1).repeat(3, 1, 1, 1), rough_pictures(3, seed=1)])
    neighbours = np.array([[1], [2], [1], [4], [3], [0]])
    made = duplicates.groups([[0, 1]], images, duplicates.hashed(images), neighbours, np.full((6, 1), 0.01))
    assert [(group["tier"], group["images"]) for group in made] == [(TIERS[0], [0, 1]), (TIERS[1], [0, 1, 2])]


def test_the_ratio_test_takes_pairs_that_are_each_others_nearest_by_far_and_look_alike():
    images = rough_pictures(8)
    images[1] = images[0].float().mul(0.6).to(torch.uint8)  # the same form, darker
    near = np.array([[1, 2], [0, 2], [3, 1], [2, 1], [5, 6], [4, 6], [7, 5], [6, 5]])
    far = np.array([[0.1, 0.9]] * 4 + [[0.8, 0.9]] * 4)
    unknown = np.full(8, -1)
    found = duplicates.similar_to_network(images, near, far, unknown)
    assert [pair[:2] for pair in found] == [(0, 1)], "2 and 3 look different, the others are not much nearer"
    assert found[0][2] == pytest.approx(1 / 9)
    known = np.array([0, 0, -1, -1, -1, -1, -1, -1])
    assert duplicates.similar_to_network(images, near, far, known) == [], "not listed again"


def test_the_ratio_test_passes_over_known_copies():
    """A picture whose two copies stand beside it is still the nearest of a third."""
    images = rough_pictures(5)
    images[1] = images[2] = images[0]
    near = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 4], [3, 0, 1]])
    far = np.array([[0, 0.1, 0.9], [0, 0.1, 0.9], [0.1, 0.1, 0.9], [0.9, 0.9, 1], [0.9, 1, 1]])
    known = np.array([0, 0, -1, -1, -1])
    assert [pair[:2] for pair in duplicates.similar_to_network(images, near, far, known)] == [(0, 2)]


def test_of_copies_the_best_is_kept_by_pixels_then_bytes_then_name():
    sizes = {"width": np.array([9, 8, 8, 8]), "height": np.full(4, 5), "bytes": np.array([1, 1, 7, 7])}
    groups = [{"images": [1, 0]}, {"images": [1, 2, 3]}, {"images": [3, 2]}]
    made = duplicates.keep_best(groups, sizes)
    assert [group["images"] for group in made] == [[0, 1], [2, 3, 1], [2, 3]]
    assert [group["kept"] for group in made] == ["most pixels", "first name", "first name"]
    assert duplicates.keep_best([{"images": [1, 2]}], sizes)[0]["kept"] == "most bytes"
    assert duplicates.keep_best([{"images": [2, 1]}], None) == [{"images": [1, 2], "kept": "first name"}]


def test_an_image_goes_by_the_surest_tier_and_all_tiers_are_told():
    made = [
        {"tier": TIERS[0], "images": [2, 1]},
        {"tier": TIERS[1], "images": [0, 1, 2]},
        {"tier": TIERS[2], "images": [3, 4]},
    ]
    of, tier = duplicates.duplicate_of(made, 6)
    assert of.tolist() == [-1, 2, 0, -1, 3, -1] and tier.tolist() == [-1, 0, 1, -1, 2, -1]


def test_only_files_of_equal_size_are_read(tmp_path):
    for name, content in {"a": b"12", "b": b"12", "c": b"21", "d": b"123"}.items():
        (tmp_path / name).write_bytes(content)
    read = []
    files = [tmp_path / name for name in "abcd"] + [tmp_path / "gone"]
    assert duplicates.same_bytes(files, lambda some: read.extend(some) or some) == [[0, 1]]
    assert read == [0, 1, 2]


def test_finished_parts_are_taken_up_damaged_ones_made_again_and_stale_ones_removed(tmp_path, capsys):
    made = []
    make = lambda: made.append(1) or {"of": np.arange(3)}  # noqa: E731
    for _ in range(2):
        assert Cache(tmp_path / "c", "key1").part("x", make)["of"].tolist() == [0, 1, 2]
    assert len(made) == 1
    kept = tmp_path / "c" / "x-key1.npz"
    kept.write_bytes(kept.read_bytes()[:50])
    assert Cache(tmp_path / "c", "key1").part("x", make)["of"].tolist() == [0, 1, 2] and len(made) == 2
    Cache(tmp_path / "c", "key2")
    assert not kept.exists()
    (tmp_path / "file").write_text("")
    assert Cache(tmp_path / "file" / "c", "key").part("x", make)["of"].tolist() == [0, 1, 2]
    assert "cannot write" in capsys.readouterr().err


def test_a_stopped_analysis_goes_on_where_it_was(tmp_path, monkeypatch):
    save_shapes(tmp_path / "some", 24)
    run = run_on("shapes", tmp_path / "run")
    calls = []
    embed = heads.TwoViews.__call__
    monkeypatch.setattr(heads.TwoViews, "__call__", lambda *of: calls.append(1) or embed(*of))
    with monkeypatch.context() as stopping:
        stopping.setattr(tsne, "placed", lambda *of, **by: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            analyse(run, str(tmp_path / "some"))
    found = analyse(run, str(tmp_path / "some"))
    kept = sorted(path.name for path in (run / "report-cache").iterdir())
    monkeypatch.setattr(neighbours, "nearest", None)  # nothing is measured a second time
    monkeypatch.setattr(tsne, "placed", None)
    again = analyse(run, str(tmp_path / "some"))
    assert np.array_equal(found.contents.xy, again.contents.xy) and len(calls) == 1
    assert kept == sorted(path.name for path in (run / "report-cache").iterdir())
    shutil.copy(tmp_path / "some" / "000.png", tmp_path / "some" / "new.png")
    monkeypatch.undo()
    assert len(analyse(run, str(tmp_path / "some")).contents.files) == 25, "another file, another analysis"


def test_a_named_data_set_has_names_and_labels_to_colour_by(tmp_path):
    found = analyse(run_on("shapes", tmp_path / "run", limit=40)).contents
    assert found.files[7] == "shapes 000007" and found.labels.tolist() == make_shapes(40, 16, 42).labels.tolist()
    assert found.thumbnail(3, 64).size == (64, 64) and found.ledger["used"] == 40
