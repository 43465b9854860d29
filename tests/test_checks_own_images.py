"""The checkers of notebook 11, fed right answers, stubs and plausible wrong ones; and the folder that it stands on."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier

from cdlearn.course import own_images
from cdlearn.course.checks.own_images import (
    check_agreement,
    check_few_labels,
    check_how_many,
    check_score,
    check_search,
)
from cdlearn.data import file_audit
from cdlearn.runtime.errors import UserError


def agreement(one, other):
    columns = zip(one.T, other.T, strict=True)
    return [pd.Series(a.numpy()).corr(pd.Series(b.numpy()), method="spearman") for a, b in columns]


def search(answers, yes, no):
    return torch.cat([answers[:, yes], 1 - answers[:, no]], dim=1).amin(1).argsort(descending=True)


def less_the_mean(answers, yes, no):
    score = answers[:, yes].mean(1) - (answers[:, no].mean(1) if no else 0)
    return score.argsort(descending=True)


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
        (check_agreement, lambda a, b: agreement(a.argsort(0).float(), b.argsort(0).float()), "gives an order"),
        (check_agreement, lambda a, b: torch.tensor(1.0), "the shape"),
        (check_search, lambda y, yes, no: search(y, yes, no).flip(0), "turn the order round"),
        (check_search, lambda y, yes, no: search(y, yes, []), "`no` is not looked at"),
        (check_search, lambda y, yes, no: search(y, yes + no, []), "count as wanted"),
        (check_search, lambda y, yes, no: torch.cat([y[:, yes], 1 - y[:, no]], 1).amin(1), "These are scores"),
        (check_search, lambda y, yes, no: (y[:, yes].sum(1) - y[:, no].sum(1)).argsort(descending=True), "By the mean"),
        (check_search, less_the_mean, "the weakest decides"),
        (check_search, lambda y, yes, no: torch.zeros(30, dtype=torch.long), "named twice"),
    ],
)
def test_wrong_answers_are_told_what_is_wrong(check, wrong, says):
    verdict = check(wrong)
    assert verdict.solved is False and says in verdict.message


def test_the_folder_that_stands_in(tmp_path, monkeypatch):
    monkeypatch.setattr(own_images.tempfile, "gettempdir", lambda: str(tmp_path))
    folder, known = own_images.own_images(24)
    stock = file_audit.take_stock(own_images.Path(folder))
    assert [path.name for path in stock.used] == known.index.tolist() and len(known) == 34
    assert stock.ignored == {".txt": 1, ".mp4": 1} and stock.balanced()
    assert known.loc["swatch 0001 copy.png"].equals(known.loc["swatch 0001.png"])
    monkeypatch.setenv("CDLEARN_IMAGES", folder)
    assert own_images.own_images() == (folder, None)
    own_images.claims_about(None)(False, "of the reader's own images nothing is claimed")
    monkeypatch.setenv("CDLEARN_IMAGES", folder + "/nowhere")
    with pytest.raises(UserError, match="CDLEARN_IMAGES"):
        own_images.own_images()


def scored(on, make=LogisticRegression):
    """A learner's score: of a classifier told the first ``count`` images, on the images that ``on`` gives."""

    def score(rows, truth, count):
        order = np.random.default_rng(4).permutation(len(truth))
        chosen = on(order, count)
        return make().fit(rows[order[:count]], truth[order[:count]]).score(rows[chosen], truth[chosen])

    return score


def unseen(order, count):
    return order[count:]


def test_a_score_on_images_that_were_not_told():
    assert check_score(scored(unseen)).solved is True
    assert check_score(scored(unseen, KNeighborsClassifier)).solved is True
    found = check_score(scored(lambda order, count: order))
    assert found.solved is None and "pure noise" in found.message


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (scored(lambda order, count: order[:count]), "by heart"),
        (lambda *of: 1 - scored(unseen)(*of), "went wrong"),
        (lambda *of: 0.5, "nearly 1"),
        (lambda *of: None, "returns nothing"),
        (lambda rows, truth, count: truth[:count], "should be one number"),
    ],
)
def test_a_wrong_score(wrong, says):
    verdict = check_score(wrong)
    assert verdict.solved is False and says in verdict.message


@pytest.mark.parametrize(
    ("guess", "solved", "says"),
    [
        (..., None, "Predict"),
        (1 - 0.75**5, True, "0.24"),
        (1.0, False, "rarely show all four"),
        (0.25, False, "guessing"),
        (0.4, False, "enough for all"),
        (0.95, False, "never named"),
    ],
)
def test_the_accuracy_to_predict(guess, solved, says):
    found = check_few_labels(guess, check_few_labels.typical)
    assert found.solved is solved and says in found.message
    assert check_few_labels(0.5, None).solved is None  # nobody knows the truth of the reader's own images


def test_reading_how_many_groups_there_are():
    assert check_how_many(...).solved is None and check_how_many("b").solved is True
    for letter, says in {"a": "0.41", "c": "repeated", "d": "any cloud"}.items():
        found = check_how_many(letter)
        assert found.solved is False and says in found.message
