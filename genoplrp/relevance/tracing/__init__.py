"""The forward half: one ordinary call of the model, in which each operation is replaced by one that carries its rule.

`tracer` stands around the call and looks up each torch function; `operations` holds what each of them does, one file a
family; `guards` leave the model as it was; `names` names functions.
"""

from genoplrp.relevance.tracing.registry import register_operation

__all__ = ["register_operation"]
