"""The figure and the table of the whole: what they say of made-up records whose truth is known."""

import curves
import evidence
import pandas as pd
import pytest
import regimes
from execute import CLAIMS

from cdlearn.results.compare_seeds import Difference


@pytest.fixture
def home(tmp_path):
    """Patches: entropy helps y in NMI alone, in each of four seeds. tiny10: two long runs with heads, one without."""
    records = tmp_path / "records"
    records.mkdir()
    rows = []
    for seed in range(4):
        for arm in ("CD", "no entropy"):
            base = 0.4 + 0.1 * seed + 0.001 * seed**2 * (arm == "CD")
            row = {"regime": "patches", "arm": arm, "seed": seed, "nmi y": base + 0.2 * (arm == "CD")}
            rows.append(row | {"knn y": 0.9 + 0.01 * (-1) ** seed * (arm == "CD"), "nmi h": base, "knn h": 0.9})
    regimes.write(records / "regimes.csv", rows)
    for seed, method in ((43, "cd, alpha 1"), (44, "cd, alpha 1"), (43, "cd, alpha 0")):
        for stage, nmi in (("output", 0.6), ("untrained heads", 0.5)):
            row = {"method": method, "seed": seed, "epoch": 9, "images": 10, "views": 900, "stage": stage}
            scores = {"nmi": nmi + 0.01 * seed * (stage == "output"), "ari": 0.1, "acc": 0.2, "knn": 0.3}
            curves.append(records / "long-runs-tiny10.csv", row | scores)
    return tmp_path


def test_a_claim_appears_only_in_the_scores_and_places_in_which_it_is_shown(home):
    found = evidence.evidence(home)
    entropy = found["patches", "short", "entropy", "y"]
    assert evidence.in_which(entropy) == "appears in NMI; does not appear in kNN"
    line = next(line for line in evidence.claims(found) if line.startswith("| entropy"))
    appears, reversed_, not_shown, one_seed = (cell.strip() for cell in line.split("|")[2:6])
    assert appears.startswith("patches, short, y: NMI +0.2") and reversed_ == "nowhere"
    assert "patches, short, y: kNN" in not_shown and one_seed == "tiny10, long, y: NMI, ARI, ACC, kNN"


def test_long_and_short_runs_stand_side_by_side_and_untrained_heads_are_a_control(home):
    found = evidence.evidence(home)
    control = found["tiny10", "long", "heads over untrained heads", "y"]
    assert control["NMI"].pairs == 2 and control["NMI"].gap == pytest.approx(0.1 + 0.435)
    assert {key[1] for key in found} == {"short", "long"}


def test_the_table_names_pairs_families_and_what_is_missing(home):
    text = evidence.markdown(evidence.evidence(home))
    assert "| entropy | patches | short | y | 4 |" in text
    assert "- short runs, patches, NMI: published claims, on y and h: 2 tests." in text
    assert "tiny10 (5,000 photographs), long run: heads over SimCLR's z, BatchNorm" in text and "nan" not in text


def test_the_figure_has_a_row_of_panels_for_every_set_of_images_that_was_measured(home):
    figure = evidence.chart(evidence.evidence(home))
    titles = [axis.get_title(loc="left") for axis in figure.axes]
    assert len(titles) == 4 and titles[0].startswith("patches") and titles[2].startswith("tiny10")
    assert [text.get_text() for text in figure.axes[0].texts if text.get_text()] == ["NMI▲"]
    assert "BatchNorm in the heads" in figure.legends[0].get_title().get_text(), "said once, not in every panel"
    figure.savefig(home / "evidence.png")


def test_every_claim_of_the_records_has_a_part_and_a_place_in_the_order():
    for claims in evidence.FAMILIES.values():
        assert all(evidence.PARTS[claim] in evidence.ORDER for claim, *_ in claims)
    stored = pd.read_csv(regimes.RECORD)
    assert set(stored["regime"]) <= set(evidence.IMAGES)


def disagreeing(claims, verdicts):
    return [row["about"] for row in claims if verdicts.get(row["about"], row["verdict"]) != row["verdict"]]


def test_what_notebooks_claim_of_a_comparison_is_what_the_records_say(home):
    stored = pd.read_csv(CLAIMS, keep_default_na=False).to_dict("records")
    assert disagreeing(stored, evidence.abouts(evidence.evidence())) == []
    verdicts, about = evidence.abouts(evidence.evidence(home)), "entropy, patches, short run, y, NMI"
    assert verdicts[about] == "better"
    assert disagreeing([{"about": about, "verdict": "worse"}, {"about": "x", "verdict": "worse"}], verdicts) == [about]


def test_verdicts_that_a_wider_family_would_take_back_are_listed():
    """Two tests in each of two scores: p 0.02 and 0.9. Within a score Holm's p is 0.04, over both scores 4 x 0.02."""
    found = {}
    for part, p in (("entropy", 0.02), ("BatchNorm in the heads", 0.9)):
        each = {
            score: Difference(0.6, 0.5, 0.1, 0.0, 0.2, p, min(1, 2 * p), 0.1, 5, 0, f"patches, {score}: x", 2)
            for score in ("NMI", "kNN")
        }
        found["patches", "short", part, "y"] = each
    lines = evidence.fragile(found)
    assert len(lines) == 2 and lines[0] == (
        "- entropy, patches, short run, y, NMI: Holm's p 0.040, over all scores 0.080."
    )
    assert evidence.fragile({}) == ["- none."]
