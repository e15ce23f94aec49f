"""What the documents print runs: the Python blocks of the pages, and the docstrings' examples."""

import contextlib
import doctest
import importlib
import linecache
import pkgutil
import re
import shlex
from pathlib import Path

import click
import pytest

import genoplrp
from genoplrp.cli.main import cli

ROOT = Path(__file__).parent.parent
PAGES = [p for p in sorted((ROOT / "docs").glob("**/*.md")) if "```python" in p.read_text()]
MODULES = sorted(
    m.name for m in pkgutil.walk_packages(genoplrp.__path__, "genoplrp.") if not m.name.endswith("__main__")
)


@pytest.fixture
def registries():
    """What a page registers is forgotten after it."""
    from genoplrp.evaluation import METRICS, methods
    from genoplrp.formats import FORMATS
    from genoplrp.relevance import PRESETS
    from genoplrp.relevance.pruning import policy
    from genoplrp.relevance.tracing import registry
    from genoplrp.scores import SCORES

    tables = (
        METRICS,
        SCORES,
        methods._FIXED,
        FORMATS,
        PRESETS,
        policy._POLICIES,
        registry.HANDLERS,
        registry.DIFFERENCES,
    )
    kinds = (registry.LINEAR, registry.ELEMENTWISE, registry.NEUTRAL, registry.FROM_OUTSIDE)
    before, names = [dict(table) for table in tables], [set(kind) for kind in kinds]
    yield
    for table, old in zip((*tables, *kinds), (*before, *names), strict=True):
        table.clear()
        table.update(old)


@pytest.mark.usefixtures("registries")
@pytest.mark.parametrize(
    "page", PAGES, ids=lambda p: "-".join(p.relative_to(ROOT / "docs").with_suffix("").parts)
)
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(compile(block, str(page), "exec"), names)


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    linecache.clearcache()  # doctest looks at the time of each file in it, once an example
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def printed_commands() -> list[tuple[str, str]]:
    """Each ``genoplrp ...`` that a page's shell blocks print: (page, line), continued lines joined."""
    found = []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]:
        for block in re.findall(r"```(?:bash|sh|console)\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.replace("\\\n", " ").splitlines():
                command = line.strip().removeprefix("$ ")
                if command.startswith("genoplrp "):
                    found.append((page.name, command))
    return found


@pytest.mark.parametrize(("page", "line"), printed_commands())
def test_a_printed_command_is_understood(page, line):
    words = shlex.split(line, comments=True)[1:]
    if "|" in words:
        words = words[: words.index("|")]
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None, f"{page}: there is no command {words[0]}"
    with contextlib.suppress(click.exceptions.Exit):  # --help, --list
        command.make_context(words[0], words[1:])  # parsed and checked, not run


def test_every_public_name_is_there():
    assert set(genoplrp.__all__) <= set(dir(genoplrp))
    for name in genoplrp.__all__:
        assert getattr(genoplrp, name) is not None


def test_the_readme_runs_what_continuous_integration_runs():
    text = (ROOT / "README.md").read_text()
    for marker in ("quickstart", "tests"):
        block = re.search(rf"<!-- {marker} -->\n```bash\n(.*?)```", text, re.DOTALL)
        assert block and "constraints.txt" in block.group(1)


def test_every_public_name_has_its_own_entry_in_the_reference():
    pages = "\n".join(path.read_text() for path in (ROOT / "docs" / "reference").glob("*.md"))
    entries = set(re.findall(r"^::: genoplrp\.(\w+)$", pages, re.MULTILINE))
    assert {name for name in genoplrp.__all__ if not name.startswith("__")} - entries == set()
