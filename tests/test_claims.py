"""Claims: what notebooks assert, the comparison it is about, and that no two of them contradict each other."""

import csv

import nbformat
import pytest
from execute import CLAIMS, claims_of, collect_claims, contradictions
from nbformat.v4 import new_code_cell, new_notebook, new_output

from cdlearn import course


@pytest.fixture
def laptop(monkeypatch):
    monkeypatch.setenv("CDLEARN_PRESET", "laptop")


def printed(capsys, name="00_test"):
    """The claims of a notebook whose only cell printed what was captured."""
    cell = new_code_cell("...", outputs=[new_output("stream", name="stdout", text=capsys.readouterr().out)])
    return claims_of(new_notebook(cells=[cell]), name)


def test_a_claim_is_collected_with_its_numbers_comparison_and_verdict(laptop, capsys):
    course.claim(True, "two is even")
    course.claim(
        True, "on y heads are worse: −0.037 [-0.050, -0.024], p 0.02, 5 pairs", about="heads over z, patches, NMI"
    )
    course.claim(True, "the heads gain 40% of 1,024 images", about="heads, x", verdict="better")
    print("not a claim ✓")
    plain, heads, given = printed(capsys)
    assert plain == {
        "notebook": "00_test",
        "cell": 0,
        "sentence": "two is even",
        "about": "",
        "verdict": "",
        "numbers": "",
    }
    assert (heads["about"], heads["verdict"]) == ("heads over z, patches, NMI", "worse")
    assert heads["numbers"] == "−0.037 -0.050 -0.024 0.02 5" and "[-0.050, -0.024]" in heads["sentence"]
    assert (given["verdict"], given["numbers"]) == ("better", "40% 1,024")


@pytest.mark.parametrize("sentence", ["the heads score 0.7", "better in NMI, worse in kNN"])
def test_a_comparison_needs_exactly_one_verdict(laptop, sentence):
    with pytest.raises(ValueError, match="needs one verdict of better, worse, not shown"):
        course.claim(True, sentence, about="heads over z, patches")
    with pytest.raises(ValueError, match="found nice"):
        course.claim(True, sentence, about="heads over z, patches", verdict="nice")


def test_a_claim_about_a_comparison_fails_as_any_other(laptop):
    with pytest.raises(AssertionError, match="does not hold here: heads are better"):
        course.claim(False, "heads are better", about="heads over z, patches")


def test_opposite_verdicts_about_one_comparison_are_found_and_both_places_named(laptop, capsys):
    course.claim(True, "heads are better", about="heads over z, patches")
    course.claim(True, "heads are worse on tiny10", about="heads over z, tiny10")
    first = printed(capsys, "07_ablations")
    course.claim(True, "an effect is not shown", about="heads over z, patches")
    rows = first + printed(capsys, "10_beyond")
    assert contradictions(rows) == [
        "heads over z, patches: 07_ablations cell 0: better, but 10_beyond cell 0: not shown"
    ]
    assert contradictions(first) == []


def test_the_claims_of_the_notebooks_are_collected_and_agree(tmp_path):
    rows = collect_claims(tmp_path / "claims.csv")
    assert contradictions(rows) == []
    assert len(rows) > 50, "the stored outputs hold claims"
    stored = [row | {"cell": int(row["cell"])} for row in csv.DictReader(CLAIMS.open(newline=""))]
    assert stored == [{name: row[name] for name in stored[0]} for row in rows], "run python tests/execute.py --claims"


def test_collecting_reads_stored_outputs_and_runs_nothing(tmp_path):
    cell = new_code_cell("raise SystemExit", outputs=[new_output("stream", name="stdout", text="✓ it held\n")])
    nbformat.write(new_notebook(cells=[cell]), tmp_path / "00_a.ipynb")
    assert [row["sentence"] for row in collect_claims(tmp_path / "c.csv", tmp_path)] == ["it held"]
