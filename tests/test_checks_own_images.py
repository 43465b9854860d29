"""The checkers of notebook 11, fed right answers, stubs and plausible wrong ones; and the folder that it stands on."""

import numpy as np
import pandas as pd
import pytest
import torch

from cdlearn.course import own_images
from cdlearn.course.checks.own_images import check_agreement, check_search
from cdlearn.data import ledger
from cdlearn.runtime.errors import UserError


def agreement(one, other):
    columns = zip(one.T, other.T, strict=True)
    return [pd.Series(a.numpy()).corr(pd.Series(b.numpy()), method="spearman") for a, b in columns]


def search(answers, yes, no):
    return torch.cat([answers[:, yes], 1 - answers[:, no]], dim=1).amin(1).argsort(descending=True)


def test_right_answers_pass_and_a_stub_is_not_solved():
    assert check_agreement(agreement).solved is True and check_search(search).solved is True
    assert check_search(lambda answers, yes, no: search(answers, yes, no).numpy()).solved is True
    for check in (check_agreement, check_search):
        assert check(lambda *of: ...).solved is None


@pytest.mark.parametrize(
    ("check", "wrong", "says"),
    [
        (check_agreement, lambda a, b: [np.corrcoef(x, y)[0, 1] for x, y in zip(a.T, b.T, strict=True)], "their ranks"),
        (check_agreement, lambda a, b: (a - b).abs().mean(0), "it should be"),
        (check_agreement, lambda a, b: torch.tensor(1.0), "the shape"),
        (check_search, lambda y, yes, no: search(y, yes, no).flip(0), "turn the order round"),
        (check_search, lambda y, yes, no: search(y, yes, []), "`no` is not looked at"),
        (check_search, lambda y, yes, no: search(y, yes + no, []), "count as wanted"),
        (check_search, lambda y, yes, no: torch.cat([y[:, yes], 1 - y[:, no]], 1).amin(1), "These are scores"),
        (check_search, lambda y, yes, no: (y[:, yes].sum(1) - y[:, no].sum(1)).argsort(descending=True), "By the mean"),
        (check_search, lambda y, yes, no: torch.zeros(30, dtype=torch.long), "named twice"),
    ],
)
def test_wrong_answers_are_told_what_is_wrong(check, wrong, says):
    verdict = check(wrong)
    assert verdict.solved is False and says in verdict.message


def test_the_folder_that_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images.tempfile, "gettempdir", lambda: str(tmp_path))
    folder, known = own_images.own_images(24)
    stock = ledger.take_stock(own_images.Path(folder))
    assert [path.name for path in stock.used] == known.index.tolist() and len(known) == 34
    assert stock.ignored == {".txt": 1, ".mp4": 1} and stock.balanced()
    assert known.loc["swatch 0001 copy.png"].equals(known.loc["swatch 0001.png"])
    monkeypatch.setenv("CDLEARN_IMAGES", folder)
    assert own_images.own_images() == (folder, None)
    monkeypatch.setenv("CDLEARN_IMAGES", folder + "/nowhere")
    with pytest.raises(UserError, match="CDLEARN_IMAGES"):
        own_images.own_images()
