"""The report on features of any other network: the kinds of files, the order of the rows, and what is refused."""

import re

import numpy as np
import pandas as pd
import pytest

from cdlearn import report
from cdlearn.analysis import given_features
from cdlearn.runtime.errors import UserError

FEATURES = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)


def files(pictures) -> list[str]:
    return sorted(path.relative_to(pictures).as_posix() for path in pictures.rglob("*.png"))


WRITERS = {
    ".npy": lambda path, names: np.save(path, FEATURES),
    ".npz": lambda path, names: np.savez(path, features=FEATURES, files=np.array(names)),
    ".parquet": lambda path, names: pd.DataFrame(FEATURES).add_prefix("f").assign(file=names).to_parquet(path),
    "lists.parquet": lambda path, names: pd.DataFrame({"path": names, "embedding": list(FEATURES)}).to_parquet(path),
}


@pytest.mark.parametrize("kind", WRITERS)
def test_every_kind_of_file_is_read(kind, tmp_path):
    names = [f"{number}.png" for number in range(12)]
    path = tmp_path / f"features{kind}"
    WRITERS[kind](path, names)
    read, given = given_features.read(path)
    assert np.array_equal(read, FEATURES) and given == (None if kind == ".npy" else names)


def test_names_decide_the_order():
    given, wanted = ["b", "a", "c"], ["a", "b"]
    assert given_features.in_order(FEATURES[:3], given, wanted, "f.npz").tolist() == FEATURES[[1, 0]].tolist()
    with pytest.raises(
        UserError, match=r"f.npz has no features for 1 of 2 images, such as d; its files are named like b"
    ):
        given_features.in_order(FEATURES[:3], given, ["a", "d"], "f.npz")
    with pytest.raises(UserError, match=r"f.npz names 3 files for 2 rows"):
        given_features.in_order(FEATURES[:2], given, wanted, "f.npz")


def test_files_that_are_no_features_are_named(tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("1 2 3")
    (tmp_path / "text.parquet").write_text("1 2 3")
    (tmp_path / "f.csv").write_text("1,2")
    np.savez(tmp_path / "two.npz", a=FEATURES, b=FEATURES)
    pd.DataFrame({"f": [1.0], "word": ["x"]}).to_parquet(tmp_path / "words.parquet")
    for name, says in {
        "objects.npy": "is damaged, or holds more than numbers",
        "text.npy": "is damaged",
        "text.parquet": "is damaged",
        "f.csv": "is no file of features; --features takes .npy, .npz, .parquet",
        "two.npz": "holds 2 arrays",
        "words.parquet": "has the columns word; besides file or path",
        "nowhere.npy": "no file at",
    }.items():
        with pytest.raises(UserError, match=says) as error:
            given_features.read(tmp_path / name)
        assert name in str(error.value)


def test_a_report_without_any_network(pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    WRITERS[".npz"](tmp_path / "mine.npz", files(pictures)[::-1])
    assert report.main(["--features", "mine.npz", "--data", str(pictures)]) == 0
    assert "12 files found: 12 used" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "mine-report-images.csv")
    assert table["file"].tolist() == files(pictures) and not [name for name in table if name.startswith("head")]
    assert (tmp_path / "mine-report.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (["--features", "f.npy", "--data", "pictures"], "f.npy holds 11 x 5; .* each of the 12 images of pictures"),
        (["--features", "f.npy"], "--features needs the images .* pass --data FOLDER"),
        (["--features", "f.npy", "--data", "pictures", "--stage", "output"], "omit --stage"),
        (["--features", "f.npy", "--data", "pictures", "--limit", "5"], "omit --limit"),
        (["run", "--features", "f.npy", "--data", "pictures"], "--features replaces a run; omit run"),
        ([], "RUN is missing: give the folder of a run, or --features FILE --data FOLDER"),
    ],
)
def test_what_contradicts_itself_is_one_line(given, says, pictures, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("f.npy", FEATURES[:11])
    assert report.main(given) == 2
    assert re.search(says, capsys.readouterr().err.strip().splitlines()[-1])
