"""The model that a command explains on a data set: a checkpoint, or one of the user's own; no loading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance.targets import output_target
from genoplrp.training import TrainedModel

if TYPE_CHECKING:
    from genoplrp.relevance.targets import OneOutput


@dataclass(frozen=True)
class Subject:
    """A model and what is known of it.

    Attributes
    ----------
    model
        The network.
    name
        Its architecture, or how it was named.
    length
        Length of the sequences that it takes (bp), where it is known.
    tasks, outputs
        Names of its outputs, as in `genoplrp.relevance.targets.output_target`, where they are known.
    seed, metrics
        Of its training, where they are known.
    """

    model: nn.Module
    name: str
    length: int | None = None
    tasks: Sequence[str] | None = None
    outputs: Sequence[str] | None = None
    seed: int | None = None
    metrics: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, fit: TrainedModel | Subject) -> Subject:
        """Return what is explained of a trained model."""
        if isinstance(fit, Subject):
            return fit
        return cls(
            fit.model, fit.architecture, fit.length, fit.tasks, seed=fit.seed, metrics=dict(fit.metrics)
        )

    def target(self, named: int | str) -> tuple[OneOutput, str, int]:
        """Return a target as the engine takes it, its name, and which output it is: -1 for a function of several.

        Raises
        ------
        InputError
            If the model has no such output.
        """
        target, name = output_target(named, self.tasks, self.outputs)
        index = target if isinstance(target, int) else int(name) if name.isdigit() else -1
        return target, name, index

    def check_length(self, length: int) -> None:
        """Refuse sequences of another length than the model's.

        Raises
        ------
        InputError
            If they have.
        """
        if self.length is not None and length != self.length:
            raise InputError(
                f"the data set's sequences have {length} bp, the model was trained on {self.length} bp: "
                "train a model on this data set, or explain the one it was trained on"
            )
