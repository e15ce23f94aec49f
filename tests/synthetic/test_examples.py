"""The examples in the docstrings run and give what they say."""

import doctest
import importlib
import pkgutil

import pytest

import genoplrp.datasets
import genoplrp.synthetic

MODULES = [
    info.name
    for package in (genoplrp.synthetic, genoplrp.datasets)
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
] + [f"genoplrp.sequence.{name}" for name in ("alphabet", "onehot", "fasta", "shuffle")]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
