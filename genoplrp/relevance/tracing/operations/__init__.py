"""What each torch function does with relevance; importing this package registers every handler."""

from genoplrp.relevance.tracing.operations import (  # noqa: F401  (imported for their registration)
    activations,
    attention,
    combining,
    linear,
    neutral,
    normalization,
    pooling,
    products,
    recurrent,
)
