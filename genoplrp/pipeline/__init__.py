"""The workflow in one call: joins the parts; it knows them all, and only the command line knows it."""

from genoplrp.pipeline.explain import explain_dataset, rows_to_explain
from genoplrp.pipeline.quickstart import QuickstartResult, quickstart
from genoplrp.pipeline.splice import splice_quickstart

__all__ = [
    "QuickstartResult",
    "explain_dataset",
    "quickstart",
    "rows_to_explain",
    "splice_quickstart",
]
