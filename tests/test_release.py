"""What a release consists of agrees with itself: versions, pinned dependencies, the files that go into the packages."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import genoplrp

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PINNED = {
    canonicalize_name(name): version
    for name, version in re.findall(
        r"^([\w.-]+)==(\S+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE
    )
}
REQUIREMENTS = [
    Requirement(text)
    for extra, texts in {
        "": PROJECT["project"]["dependencies"],
        **PROJECT["project"]["optional-dependencies"],
    }.items()
    for text in texts
    if extra != "tensorboard"
    and not text.startswith("genoplrp[")  # continuous integration does not install it
]


def test_the_citation_names_this_version():
    text = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (\S+)$", text, re.MULTILINE).group(1) == genoplrp.__version__


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_a_dependency_is_pinned_at_a_version_it_admits(requirement):
    assert PINNED[canonicalize_name(requirement.name)] in requirement.specifier


@pytest.mark.parametrize("requirement", REQUIREMENTS, ids=str)
def test_a_dependency_has_a_lower_bound(requirement):
    assert any(bound.operator in (">=", "==") for bound in requirement.specifier)


def test_files_of_the_source_distribution_exist():
    missing = [
        name
        for name in PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
        if not (ROOT / name).exists()
    ]
    assert missing == []


def test_the_public_workflow_runs_the_scripts_of_continuous_integration():
    scripts = re.findall(r"run: bash (\S+)", (ROOT / ".github/workflows/ci.yml").read_text())
    assert scripts == [".ci/run", ".ci/lowest"]
    assert all((ROOT / script).is_file() for script in scripts)
