"""A small language for activity: what a sequence's sites are worth together, as in ``2*A + B * near(A, B, 30) - R``."""

from genoplrp.synthetic.activity.expression import Activity, parse_activity
from genoplrp.synthetic.activity.sites import Instances, Sites

__all__ = ["Activity", "Instances", "Sites", "parse_activity"]
