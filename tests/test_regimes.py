"""The comparisons of the published claims: pairs of seeds, families, and runs that are completed later."""

import math

import paired_claims
import pytest
import regimes


def record(regime="patches", seeds=(1, 2, 3), scores=("nmi", "knn")):
    """Rows as read from a record: all arms share the draw of a seed; heads lose 0.05, a second view gains 0.1 on h."""
    found = []
    for seed in seeds:
        for arm in regimes.ARMS:
            row = {"regime": regime, "arm": arm, "seed": str(seed)}
            for score in scores:
                base = 0.3 + 0.1 * seed + 0.002 * seed * len(arm) / 10
                row[f"{score} h"] = str(base - 0.1 * (arm == "one view"))
                row[f"{score} y"] = str(base + 0.05 * (arm == "SimCLR"))
                row[f"{score} never trained"] = "" if arm == "SimCLR" else str(base - 0.01 * seed)
            found.append(row)
    return found


def test_a_claim_is_compared_on_y_and_h_in_every_score_that_was_recorded():
    found = paired_claims.comparisons(record(), regimes.CLAIMS)
    assert len(found) == 13 and ("patches", regimes.CLAIMS[-1][0], "h") not in found
    heads = found["patches", "6, 9: heads over z", "y"]
    assert heads["NMI"].gap == pytest.approx(-0.05, abs=0.01) and heads["NMI"].verdict == "worse"
    assert found["patches", "7, 10: both views augmented", "h"]["kNN"].verdict == "better"
    assert heads["ARI"].verdict == "not yet measured" and heads["NMI"].tests == heads["kNN"].tests == 13


def test_each_regime_and_score_is_a_family_and_one_seed_has_no_verdict():
    found = paired_claims.comparisons(record() + record("shapes", (1,)), regimes.CLAIMS)
    assert {of.family for each in found.values() for of in each.values() if of.tests} == {
        "patches, NMI: published claims, on y and h",
        "patches, kNN: published claims, on y and h",
    }
    text = paired_claims.markdown(found)
    assert "NMI and kNN: one seed: no verdict" in text and "ARI and ACC: not recorded" in text
    assert "worse in NMI and kNN" in text and "nan" not in text


def test_seeds_without_a_partner_are_counted():
    rows = [row for row in record() if (row["arm"], row["seed"]) != ("SimCLR", "3")]
    found = paired_claims.comparisons(rows, regimes.CLAIMS)
    assert found["patches", "6, 9: heads over z", "y"]["NMI"].left_out == 1
    assert "- 2 seeds of 2 comparisons have no partner" in paired_claims.markdown(found)


def test_the_chart_has_a_panel_for_every_score_and_stage():
    figure = paired_claims.chart(paired_claims.comparisons(record(), regimes.CLAIMS), regimes.CLAIMS)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [f"{stage}: {score} gained" for score in ("NMI", "kNN") for stage in ("output y", "backbone h")]


def test_runs_without_ari_and_acc_are_completed_in_their_place(tmp_path, monkeypatch):
    path, asked = tmp_path / "regimes.csv", []

    def measure(settings, about):
        asked.append((about["arm"], about["seed"]))
        return about | {"nmi h": 0.5, "ari h": 0.25}

    monkeypatch.setattr(regimes, "measure", measure)
    regimes.write(path, record(seeds=(1, 2)))
    argv = ["regimes.py", "--record", str(path), "--arms", "CD", "SimCLR", "--seeds", "1"]
    for more, runs in (([], 0), (["--complete"], 2), (["--complete"], 2)):
        monkeypatch.setattr("sys.argv", [*argv, *more])
        regimes.main()
        assert len(asked) == runs
    rows = regimes.recorded(path)
    assert len(rows) == 14 and sum(row["ari h"] == "0.25" for row in rows) == 2


def test_a_run_has_all_four_scores_of_both_stages_and_of_untrained_heads():
    tiny = dict(data="shapes", limit=128, size=16, batch_size=32, epochs=1, width=8, heads=8, dim=8, hidden=8)
    row = regimes.measure(tiny, {"regime": "x", "arm": "CD", "seed": 1})
    for score in ("nmi", "ari", "acc", "knn"):
        assert all(math.isfinite(row[f"{score} {stage}"]) for stage in ("h", "y", "never trained"))


def test_correlations_and_spreads_of_the_arms_are_stated():
    assert paired_claims.spreads(record(), regimes.CLAIMS) == "", "three seeds are too few"
    rows = record(seeds=range(6))
    assert "correlation 1.00 to 1.00" in paired_claims.spreads(rows, regimes.CLAIMS)
