"""The notebooks as files: in README's map, executed, free of what rots, with exercises whose solutions pass.

That they run is tested by nbval (``pytest --nbval-lax``); here is what it does not look at.
"""

import base64
import re

import nbformat
import pytest
from execute import HOME, NOTEBOOKS, source_hash

FILES = sorted(NOTEBOOKS.glob("*.ipynb"))
everywhere = pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
UNRUN: tuple[str, ...] = ("09",)  # notebooks changed since their last run on the laptop rung
BUSY: tuple[str, ...] = ("02", "03", "04")  # run last on a machine that was busy: their times wait for a quiet one
run = pytest.mark.parametrize("path", [p for p in FILES if p.stem[:2] not in UNRUN], ids=lambda path: path.stem)


def code_cells(path):
    return [cell for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]


def test_the_map_of_readme_and_the_folder_name_the_same_notebooks():
    linked = re.findall(r"\(notebooks/(\w+\.ipynb)\)", (HOME / "README.md").read_text())
    assert sorted(set(linked)) == [path.name for path in FILES]
    numbers = [path.stem.split("_")[0] for path in FILES]  # 04b is an appendix of 04
    assert numbers == sorted(set(numbers)) and numbers[0] == "00"


@everywhere
def test_no_magics_and_no_shell_lines(path):
    for cell in code_cells(path):
        assert not re.search(r"^\s*[%!]|get_ipython", cell.source, re.MULTILINE), cell.source


@run
def test_every_cell_was_run_without_an_error_in_order(path):
    cells = [cell for cell in code_cells(path) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    for cell in cells:
        assert all(output.output_type != "error" for output in cell.outputs)
        for output in cell.outputs:
            assert output.get("execution_count", 1) is not None
            assert output.get("name") != "stderr", output.get("text")


@run
def test_outputs_came_from_the_code_that_is_stored(path):
    notebook = nbformat.read(path, 4)
    about = notebook.metadata["cdlearn"]
    assert about["source"] == source_hash(notebook), "run tests/execute.py on it again"
    assert about["rung"] != "smoke", "outputs are to come from the laptop or the gpu rung"
    assert notebook.metadata["kernelspec"]["name"] == "python3"


@run
def test_the_time_stated_is_the_time_measured_and_short(path):
    notebook = nbformat.read(path, 4)
    about = notebook.metadata["cdlearn"]
    assert f"**Time:** {about['seconds']} s" in notebook.cells[0].source
    limit = 480 if path.stem[:2] in ("05", "07", "09") else 300
    if path.stem.partition("_")[0] in BUSY:
        pytest.skip("measured on a busy machine; run tests/execute.py on a quiet one")
    # on a busy machine a run takes longer than its own work: then two cores' share of that counts
    assert min(about["seconds"], about.get("processor seconds", 2 * limit) / 2) < limit


@run
def test_figures_are_small_and_there_is_one(path):
    images = [
        o["data"]["image/png"] for cell in code_cells(path) for o in cell.outputs if "image/png" in o.get("data", {})
    ]
    assert images
    assert all(len(base64.b64decode(image)) < 150_000 for image in images)


@run
def test_exercises_have_a_stub_that_is_not_solved_and_a_folded_solution_that_passes(path):
    stubs, solutions = [], []
    for cell in code_cells(path):
        tags = cell.metadata.get("tags", [])
        shown = "".join(str(output.get("data", {}).get("text/plain", "")) for output in cell.outputs)
        if "exercise" in tags:
            stubs.append(cell.source.strip().splitlines()[-1])
            assert "○ not solved yet" in shown
        if "solution" in tags:
            solutions.append(cell.source.strip().splitlines()[-1])
            assert cell.metadata["jupyter"]["source_hidden"] is True
            assert "✓ right" in shown
    assert len(stubs) >= 2
    assert stubs == solutions, "a solution ends with the same check as its stub"


@everywhere
def test_links_to_other_notebooks_and_figures_lead_somewhere(path):
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type == "markdown":
            for target in re.findall(r"\]\(([^)#:]+\.(?:ipynb|png|py|md|csv))\)", cell.source):
                assert (path.parent / target).exists(), f"{path.name} links to {target}"
