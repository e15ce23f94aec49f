"""The registry of export formats: what the command line knows, and writers of one's own."""

import numpy as np
import pytest
from click.testing import CliRunner

from genoplrp.cli.main import cli
from genoplrp.errors import InputError
from genoplrp.formats import FORMATS, ExplainedArrays, export, register_format


@pytest.fixture
def explained():
    X = np.eye(4, dtype=np.float32)[[[0, 1, 2]]].transpose(0, 2, 1)
    return ExplainedArrays(X, X)


@pytest.fixture
def recorder():
    """A writer that keeps what it was called with."""
    calls = []
    register_format("recorder", lambda *args, **kwargs: calls.append((args, kwargs)), option="overlap")
    yield calls
    del FORMATS["recorder"]


def test_a_writer_gets_the_option_that_it_knows_and_no_other(explained, recorder, tmp_path):
    export(explained, "recorder", tmp_path / "out", scores="projected", overlap="max", overwrite=True)
    assert recorder == [((explained, tmp_path / "out"), {"overwrite": True, "overlap": "max"})]


def test_a_format_of_the_package_is_not_replaced():
    with pytest.raises(InputError, match="'bigwig' is a format of the package"):
        register_format("bigwig", print)


def test_an_unknown_format_is_an_error_with_the_known_ones(explained, tmp_path):
    with pytest.raises(InputError, match=r"format='wig'.*modisco.*bedgraph"):
        export(explained, "wig", tmp_path / "out.wig")


def test_the_command_names_all_formats_when_it_knows_none_of_that_name(tmp_path):
    result = CliRunner().invoke(cli, ["export", str(tmp_path), "--to", "wig", "--out", str(tmp_path / "x")])
    assert result.exit_code == 2
    assert all(name in result.output for name in (*FORMATS, "bed", "meme"))
