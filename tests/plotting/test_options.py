"""The options that one function hands on to another are those that the other takes."""

import inspect

import pytest

from genoplrp import train
from genoplrp.evaluation.plan import Plan, PlanSettings
from genoplrp.plotting import options as o
from genoplrp.plotting import plot_logo, plot_logos, plot_motif
from genoplrp.training.options import FolderOptions, TrainOptions


def keywords(function):
    found = inspect.signature(function).parameters.values()
    return {one.name for one in found if one.kind is one.KEYWORD_ONLY}


def test_the_options_of_a_logo_are_plot_logos_and_logomakers():
    logomaker = pytest.importorskip("logomaker")
    theirs = {n for one in (logomaker.Logo, logomaker.Glyph) for n in inspect.signature(one).parameters}
    assert set(o.LogomakerOptions.__annotations__) <= theirs
    assert set(o.LogoOptions.__annotations__) - keywords(plot_logo) == set(o.LogomakerOptions.__annotations__)


def test_rows_hand_on_what_they_do_not_set_themselves():
    own = set(o.RowOptions.__annotations__) - set(o.LetterOptions.__annotations__)
    assert own <= keywords(plot_logo) - keywords(plot_logos)
    assert set(o.ComparisonOptions.__annotations__) - set(o.RowOptions.__annotations__) <= keywords(
        plot_logos
    )


def test_motifs_hand_on_what_plot_motif_takes():
    assert set(o.MotifOptions.__annotations__) == keywords(plot_motif) - {"title"}


def test_trainings_hand_on_all_that_train_takes():
    assert set(TrainOptions.__annotations__) == keywords(train) - {"state", "progress"}
    assert set(FolderOptions.__annotations__) == keywords(train) - {"state"}


def test_the_settings_of_a_benchmark_are_those_of_a_plan():
    fields = set(inspect.signature(Plan).parameters)
    assert set(PlanSettings.__annotations__) == fields - {"datasets", "methods"}
