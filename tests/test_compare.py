"""The paper's tables as commands."""

import csv
import json
import math

import pytest
import torch

from cdlearn import checkpoint, compare, course, data, trainer
from cdlearn.config import Config
from cdlearn.data import ImageSet
from cdlearn.evaluate import assignment_scores, embed
from cdlearn.results import equal_time, paper_tables, tables
from cdlearn.results.run_folder import home_of
from cdlearn.runtime.errors import UserError

TINY = [
    "--preset",
    "smoke",
    "--limit",
    "48",
    "--size",
    "16",
    "--batch-size",
    "16",
    "--epochs",
    "1",
    "--seeds",
    "0",
    "1",
]


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def tiny(**settings):
    return Config.preset("smoke", limit=48, size=16, batch_size=16, epochs=2, kmeans_seeds=1, **settings)


def images(n=48):
    pixels = torch.randint(0, 256, (n, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return ImageSet(pixels, torch.arange(n) % 2, ("even", "odd"))


def test_every_row_of_ours_is_a_row_of_the_paper_and_makes_a_config():
    for table, rows in paper_tables.OURS.items():
        names = {name for name, _ in paper_tables.published(table)}
        assert set(rows) - names <= {"SimCLR", "Cluster centres", "Random network", "DeCNN: never trained"}
        assert names <= set(rows), "a row of the paper that we do not run"
        for changes in rows.values():
            if not {"pixels", "random"} & set(changes):
                Config.preset("laptop", **changes)


def test_published_figures_are_the_papers():
    assert paper_tables.published(4)["NE=on BN=on", "output"]["STL-10"]["nmi"] == (0.669, 0.006)
    assert paper_tables.published(2)["CD-256", "backbone"]["CIFAR-10"]["acc"] == (0.807, None)
    assert {stage for _, stage in paper_tables.published(9)} == {"backbone"}


def test_a_table_is_written_and_its_runs_are_used_again(here, capsys, monkeypatch):
    assert compare.main(["--table", "6", *TINY]) == 0
    rows = list(csv.DictReader((here / "figures" / "table-6-patches.csv").open()))
    assert [row["row"] for row in rows[::3]] == [
        "feature head=off",
        "feature head=on",
        "feature head=on: untrained heads",
    ]
    assert [word.split(":")[0] for word in rows[0]["by seed"].split()] == ["0", "1"]
    assert rows[0]["seeds"] == "2" and rows[0]["published STL-10"] == "0.599" and 0 <= float(rows[0]["ours"]) <= 1
    assert (here / "figures" / "table-6-patches.png").stat().st_size > 1000
    assert "0.599" in (here / "figures" / "table-6-patches.md").read_text()

    def never(*arguments, **named):
        raise AssertionError("trained again")

    monkeypatch.setattr(paper_tables, "fit", never)
    assert compare.main(["--table", "9", *TINY]) == 0  # the same runs at the other stage
    assert "feature head=off" in capsys.readouterr().out


@pytest.mark.parametrize("table", [2, 3])
def test_every_row_of_the_comparisons_of_methods_runs(here, table):
    tiny_runs = dict(data="shapes", limit=256, size=16, epochs=1, kmeans_seeds=1)
    rows = paper_tables.rows(table, "smoke", (0,), here / "runs", **tiny_runs)
    assert all(0 <= row.ours["nmi"][0] <= 1 and row.seeds == 1 for row in rows)
    told = {"JULE", "DEC", "DAC", "DCCM", "PICA", "CC", "Cluster centres"}
    assert {row.name for row in rows if row.stage == "own clusters"} == (told if table == 3 else set())
    coded = {"AE", "DeCNN", "DAE", "VAE", "DCGAN", "DeCNN: never trained"}
    assert {row.name for row in rows if row.stage == "code"} == (coded if table == 2 else set())


def test_rows_of_equal_time_take_epochs_by_their_speed(here, monkeypatch):
    asked = []

    def pace(config, some):  # seconds an epoch
        asked.append(config.method)
        return {"simclr": 0.5}.get(config.method, 1.0)

    monkeypatch.setattr(equal_time, "measured_pace", pace)
    monkeypatch.setattr(equal_time, "FAR", math.inf)
    rows = {row.name: row for row in paper_tables.rows(9, "smoke", (1, 2), seconds=2, data="shapes", limit=64)}
    assert (rows["feature head=off"].epochs, rows["feature head=on"].epochs) == (4, 2)
    assert asked == ["simclr", "cd"]  # once a method, not once a seed
    assert all(row.seconds > 0 for row in rows.values())
    again = {row.name: row for row in paper_tables.rows(9, "smoke", (1, 2), seconds=2, data="shapes", limit=64)}
    assert len(asked) == 2 and again == rows  # what the first call noted stands


def test_a_run_that_misses_its_time_sets_the_pace_anew(here):
    config, images = Config.preset("smoke", data="shapes"), data.load("shapes", limit=64)
    home = here / "home"
    home.mkdir()
    for trained, epochs in (((10, 21.0), 10), ((10, 40.0), 5), ((2, 2.0), 20), ((1, 90.0), 1), ((4, None), 4)):
        assert equal_time.corrected(config, images, 20, home, *trained) == epochs
    assert equal_time.epochs_for_seconds(config, images, 180, home) == 2  # as the last run but one taught


def test_a_trial_measures_what_an_epoch_takes(here):
    config = Config.preset("smoke", data="shapes", batch_size=32)
    few, many = (data.load("shapes", limit=n) for n in (64, 128))
    spent = equal_time.measured_pace(config, few)
    assert 0 < spent < 60
    for images in (few, many):
        epochs = equal_time.epochs_for_seconds(config, images, 0.01, here)
        assert epochs == 1  # never none
    pace = next(here.glob("pace-cd-64-*.json"))
    pace.write_text('{"seconds an epoch": 0.25}')
    assert equal_time.epochs_for_seconds(config, few, 10, here) == 40
    pace.write_text("{")
    with pytest.raises(UserError, match="pace-cd-64"):
        equal_time.epochs_for_seconds(config, few, 10, here)


def test_rows_without_an_implementation_say_so(here, monkeypatch):
    monkeypatch.setitem(paper_tables.OURS, 2, {"K-means": paper_tables.PIXELS, "Random network": paper_tables.RANDOM})
    rows = paper_tables.rows(2, "smoke", (0, 1), here / "runs", limit=48, size=16, batch_size=16)
    assert rows[0].name == "K-means" and rows[0].ours["nmi"][0] >= 0 and rows[0].seeds == 3
    assert rows[-1].name == "Random network" and rows[-1].seeds == 2 and not rows[-1].published
    text = tables.markdown(rows, 2, "")
    assert "CC | backbone | not implemented yet" in text


def test_a_method_with_clusters_of_its_own_is_scored_by_them(here):
    config = tiny(method="cc")
    found = paper_tables.measure(config, images(), here)
    model, _ = checkpoint.load_model(next(here.iterdir()))
    output = embed(model, images().images, config.size, amp=config.amp)["output"]
    assert found["output"] == assignment_scores(output, images().labels)
    assert "nmi_std" in found["backbone"] and "nmi_std" not in found["output"]


def test_the_order_of_rows_is_compared_pair_by_pair():
    def row(name, ours, theirs, stage="output"):
        by_seed = {"nmi": dict(zip((1, 2, 3), ours, strict=True))}
        published = {"D": {"nmi": (theirs, None)}}
        return tables.Row(name, stage, {"nmi": (sum(ours) / 3, 0.0)}, 3, published, by_seed=by_seed)

    seeds = (0.0, 0.1, 0.3)  # what a seed draws is common to all rows
    table = [
        row("a", [0.500 + s for s in seeds], 0.8),
        row("b", [0.100 + s + 0.001 * s for s in seeds], 0.7),
        row("c", [0.45, 0.75, 0.35], 0.6),
        row("d", [0.9, 0.9, 0.9], 0.9, "backbone"),
    ]
    assert tables.order(table, "D") == (1, 0, 2)  # a > b as there; c varies too much to tell; d is no pair
    table[2] = row("c", [0.200 + s - 0.001 * s for s in seeds], 0.6)
    assert tables.order(table, "D") == (2, 1, 0)
    assert tables.order(table, "D", "ari") == (0, 0, 0)
    assert tables.order([table[0], tables.Row("x", "output", {}, 0, table[0].published)], "D") == (0, 0, 0)
    assert "- D, NMI: 3 pairs of rows that we ran and the paper has; 2 in the same order, 1 reversed" in "\n".join(
        tables.verdicts(table)
    )


def test_a_table_without_the_scores_of_its_seeds_has_no_verdict():
    old = [
        tables.Row(n, "output", {"nmi": (v, 0.01)}, 3, {"D": {"nmi": (v, None)}}) for n, v in (("a", 0.9), ("b", 0.1))
    ]
    assert "were not kept" in tables.verdicts(old)[-1] and len(tables.verdicts(old)) == 3


def test_a_written_table_is_read_again(tmp_path):
    ours = {"nmi": (0.5, 0.1), "ari": (0.25, 0.0), "acc": (0.75, 0.05)}
    theirs = {"D": dict.fromkeys(tables.METRICS, (0.9, None))}
    by_seed = {metric: {42: 0.5, 44: 0.25} for metric in tables.METRICS}
    made = [tables.Row("a", "output", ours, 3, theirs, by_seed=by_seed), tables.Row("b", "output", {}, 0, theirs)]
    tables.write(made, 5, "folder/name", "", tmp_path)
    assert tables.read(5, "name", tmp_path) == made
    with pytest.raises(UserError, match=r"table-6-name.csv is missing; make it with .* --table 6"):
        tables.read(6, "name", tmp_path)
    (tmp_path / "table-5-name.csv").write_text("")
    with pytest.raises(UserError, match="is empty"):
        tables.read(5, "name", tmp_path)
    (tmp_path / "table-5-name.csv").write_text("row,stage\na,output\n")
    with pytest.raises(UserError, match="damaged"):
        tables.read(5, "name", tmp_path)


def test_tables_of_data_sets_with_dots_in_their_names_stand_side_by_side(tmp_path):
    made = [tables.Row("a, b", "output", {}, 0, {"D": dict.fromkeys(tables.METRICS, (0.9, None))})]
    paths = [path for data in ("v1.0", "v1.1") for path in tables.write(made, 5, data, "", tmp_path)]
    assert sorted(tmp_path.iterdir()) == sorted(paths) and len(set(paths)) == 6
    assert tables.read(5, "v1.1", tmp_path) == made


def test_a_run_is_scored_anew_against_other_labels_without_training(here, monkeypatch):
    first = paper_tables.measure(tiny(), images(), here)
    halves = ImageSet(images().images, torch.arange(48) // 24, ("first", "second"))
    expected = paper_tables.measure(tiny(), halves, here / "anew")
    monkeypatch.setattr(trainer.Trainer, "train_step", lambda self: pytest.fail("trained again"))
    expected[paper_tables.TRAINED] = first[paper_tables.TRAINED]  # the time of its only training
    assert paper_tables.measure(tiny(), halves, here) == expected != first
    assert paper_tables.measure(tiny(), images(), here) == first
    scores = next(here.glob("*/table.json"))
    older = json.loads(scores.read_text())
    del older["labels"]  # as before they were noted
    scores.write_text(json.dumps(older))
    assert paper_tables.measure(tiny(), images(), here) == first


# What version 0.1.0 called a run and the pace of Config(), by its own code: by all settings, the defaults, too
OLDER = {"run": "22fac1ec1f3a", "pace": "56f82832ca70", "pace with rung": "acc84ded1099"}


def test_a_finished_run_is_found_by_the_settings_kept_in_it_whatever_its_name(here, monkeypatch):
    first = paper_tables.measure(tiny(), images(), here)
    made = next(here.glob("*/table.json")).parent
    beginning = made.name.rpartition("-")[0]
    assert made.name == f"{beginning}-{checkpoint.digest(tiny().differences())}"
    older = made.rename(here / f"{beginning}-{OLDER['run']}")
    (older / "config.json").unlink()  # such runs have their checkpoint alone
    state = checkpoint.read(older / "checkpoint.pt")
    state["config"]["rung"] = state["config"].pop("preset_name")
    del state["config"]["target_momentum"]  # a setting that did not exist yet
    checkpoint.save(older / "checkpoint.pt", state | {"config": state["config"] | {"entropy_of": "answers"}})
    monkeypatch.setattr(paper_tables, "fit", lambda *arguments, **named: pytest.fail("trained again"))
    assert paper_tables.measure(tiny(), images(), here) == first
    assert [path.name for path in here.iterdir()] == [older.name]
    for other in (tiny(alpha=0.5), tiny(seed=1), tiny(heads=8), tiny(target_momentum=0.9)):
        with pytest.raises(pytest.fail.Exception, match="trained again"):
            paper_tables.measure(other, images(), here)


def test_only_what_differs_from_the_defaults_names_a_run_and_a_changed_default_does_not_mix_two(here):
    assert Config().differences() == {}
    assert Config(alpha=0.5, crop=(0.1, 1.0)).differences() == {"alpha": 0.5, "crop": [0.1, 1.0]}
    config = tiny()
    taken = home_of(config, here / "runs")
    assert taken == home_of(config, here / "runs") != home_of(tiny(alpha=0.5), here / "runs")
    taken.mkdir(parents=True)
    described = {"config": tiny(alpha=0.5).as_dict()}  # as if alpha's default had been another when it was made
    (taken / "config.json").write_text(json.dumps(described))
    free = home_of(config, here / "runs")
    assert free != taken and not free.exists()
    assert home_of(tiny(alpha=0.5), here / "runs") == taken
    (taken / "config.json").write_text("{")  # damaged: it is named by who uses it, not passed over
    assert home_of(config, here / "runs") == taken


def test_a_notebooks_finished_model_is_found_whatever_its_folders_name(here, monkeypatch):
    monkeypatch.setattr(course, "HOME", here)
    settings = dict(data="shapes", limit=64, size=16, batch_size=16, epochs=1)
    model, config, _ = course.trained(**settings)
    home = here / "runs" / "course"
    (made,) = home.iterdir()
    assert made.name == checkpoint.digest(config.differences())
    made.rename(home / "985e519ecd00")
    monkeypatch.setattr(course, "fit", lambda *arguments, **named: pytest.fail("trained again"))
    again, *_ = course.trained(**settings)
    for one, other in zip(model.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other)
    with pytest.raises(pytest.fail.Exception, match="trained again"):
        course.trained(**settings, alpha=0.5)


@pytest.mark.parametrize("name", ["pace", "pace with rung"])
def test_a_pace_that_an_older_version_measured_still_counts(here, name):
    (here / f"pace-cd-48-{OLDER[name]}.json").write_text('{"seconds an epoch": 0.5}')
    assert equal_time.epochs_for_seconds(Config(), images(), 10, here) == 20
    assert equal_time.epochs_for_seconds(Config(seed=3, epochs=7), images(), 10, here) == 20
    assert not equal_time.pace_file(Config(alpha=0.5), images(), here).exists()


def test_a_half_finished_run_is_taken_up(here, monkeypatch):
    saved = []
    write = checkpoint.save

    def stopping(path, state):
        write(path, state)
        saved.append(path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stopping)
        with pytest.raises(KeyboardInterrupt):
            paper_tables.measure(tiny(), images(), here)
    assert saved and not list(here.glob("*/table.json"))
    resumed = paper_tables.measure(tiny(), images(), here)
    anew = paper_tables.measure(tiny(), images(), here / "anew")
    assert resumed.pop(paper_tables.TRAINED)["seconds"] is None and anew.pop(paper_tables.TRAINED)["seconds"] > 0
    assert resumed == anew


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--table", "11"], "there is no table 11"),
        (["--table", "4", "--data", "shape"], "did you mean shapes?"),
        (["--table", "4", "--seed", "1"], "--seeds instead of --seed"),
        (["--table", "4", "--tabel", "4"], "did you mean --table?"),
        (["--table", "4", "--method", "cd"], "omit --method"),
        (["--table", "4", "--seconds", "0"], "must be positive"),
        (["--table", "4", "--seconds", "9", "--epochs", "2"], "give one of them"),
        ([], "--table"),
    ],
)
def test_mistakes_get_one_line(here, capsys, arguments, words):
    assert compare.main(arguments) == 2
    error = capsys.readouterr().err.strip()
    assert words in error and "\n" not in error


def test_unlabelled_images_and_damaged_runs_are_named_and_left(here):
    with pytest.raises(UserError, match="no class sub-folders"):
        paper_tables.measure(tiny(), ImageSet(images().images), here)
    paper_tables.measure(tiny(), images(), here)
    scores = next(here.glob("*/table.json"))
    for text in ("{", "{}"):
        kept, _ = scores.read_text(), scores.write_text(text)
        with pytest.raises(UserError, match="damaged"):
            paper_tables.measure(tiny(), images(), here)
        scores.write_text(kept)
    others = ImageSet(255 - images().images, images().labels, images().classes)
    with pytest.raises(UserError, match="made from other images"):
        paper_tables.measure(tiny(), others, here)
    scores.unlink()
    damaged = scores.with_name("checkpoint.pt")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        paper_tables.measure(tiny(), images(), here)
    assert damaged.stat().st_size == 1000
