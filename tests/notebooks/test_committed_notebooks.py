"""The notebooks as committed: executed in order, no errors, no traces of a machine; ``notebooks/run.py`` runs them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    return json.loads(request.param.read_text("utf-8"))


def text(cell) -> str:
    return "".join(cell["source"])


def test_there_are_notebooks():
    assert NOTEBOOKS


def test_it_starts_with_what_the_reader_will_be_able_to_do(notebook):
    first = notebook["cells"][0]
    assert first["cell_type"] == "markdown"
    assert text(first).startswith("# ")
    assert "After this notebook you can" in text(first)


def test_every_code_cell_was_executed_in_order(notebook):
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))


def test_no_output_is_an_error_or_a_warning(notebook):
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", [])]
    assert not [
        output for output in outputs if output["output_type"] == "error" or output.get("name") == "stderr"
    ]


def test_it_names_no_folder_of_the_machine_that_ran_it(notebook):
    assert not re.search(r"(?:/home/|/root/|/Users/|/work/|/tmp/|site-packages)", json.dumps(notebook))


def test_it_shows_pictures(notebook):
    assert any(
        "image/png" in output.get("data", {})
        for cell in notebook["cells"]
        for output in cell.get("outputs", [])
    )
