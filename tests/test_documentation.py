"""What the documents print runs: the Python blocks of the pages, and the docstrings' examples."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import genoplrp

ROOT = Path(__file__).parent.parent
PAGES = [p for p in sorted((ROOT / "docs").glob("**/*.md")) if "```python" in p.read_text()]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(genoplrp.__path__, "genoplrp.") if not m.name.endswith("__main__")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def test_every_public_name_is_there():
    assert set(genoplrp.__all__) <= set(dir(genoplrp))
    for name in genoplrp.__all__:
        assert getattr(genoplrp, name) is not None


def test_the_readme_runs_what_continuous_integration_runs():
    text = (ROOT / "README.md").read_text()
    for marker in ("quickstart", "tests"):
        block = re.search(rf"<!-- {marker} -->\n```bash\n(.*?)```", text, re.DOTALL)
        assert block and "constraints.txt" in block.group(1)
