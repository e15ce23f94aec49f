"""What each torch function does with relevance; importing this package registers every handler."""

from genoplrp.relevance.tracing.operations import (  # noqa: F401  (imported for their registration)
    activations,
    attention,
    linear,
    neutral,
    normalization,
    products,
    recurrent,
)
