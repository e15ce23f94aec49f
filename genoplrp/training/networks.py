"""The reference networks, after published ones: their layers and nothing else.

They follow the publications in kind, number and width of layers where the input's length allows; none has the
published weights. Outputs are logits, so there is no last sigmoid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError, check_choice
from genoplrp.training.sequence_model import SequenceModel, adapt_pools


class Exponential(nn.Module):
    """exp(x) as an activation: suppresses background, so that first-layer filters become motifs.

    References
    ----------
    Koo & Ploenzke 2021, *Improving representations of genomic sequence motifs in convolutional networks with
    exponential activations*, Nature Machine Intelligence 3.
    """

    def forward(self, x: Float[Tensor, "n channels length"]) -> Float[Tensor, "n channels length"]:
        """exp(x)."""
        return torch.exp(x)


class Koo(SequenceModel):
    """Two convolutions (19 and 7 wide) with BatchNorm, pooling by 4 and 5, a dense layer of 512; after Koo.

    References
    ----------
    Koo & Ploenzke 2021, *Improving representations of genomic sequence motifs in convolutional networks with
    exponential activations*, Nature Machine Intelligence 3.
    """

    first_activation: ClassVar[str] = "relu"

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: Sequence[int] = (32, 64),
        kernels: Sequence[int] = (19, 7),
        pools: Sequence[int] | None = None,
        dense: int | None = None,
        dropout: Sequence[float] = (0.1, 0.2, 0.5),
        activation: str | None = None,
    ) -> None:
        activation = activation or self.first_activation
        dense = dense or (512 if length >= 100 else 128)  # short inputs come in small data sets, too
        pools = tuple(pools or adapt_pools(length, (4, 5)))
        super().__init__(
            length=length,
            n_tasks=n_tasks,
            filters=tuple(filters),
            kernels=tuple(kernels),
            pools=pools,
            dense=dense,
            dropout=tuple(dropout),
            activation=activation,
        )
        self.conv1 = nn.Conv1d(4, filters[0], kernels[0], padding=kernels[0] // 2)
        self.norm1 = nn.BatchNorm1d(filters[0])
        self.act1 = _activation(activation)
        self.pool1 = nn.MaxPool1d(pools[0])
        self.drop1 = nn.Dropout(dropout[0])
        self.conv2 = nn.Conv1d(filters[0], filters[1], kernels[1], padding=kernels[1] // 2)
        self.norm2 = nn.BatchNorm1d(filters[1])
        self.act2 = nn.ReLU()
        self.pool2 = nn.MaxPool1d(pools[1])
        self.drop2 = nn.Dropout(dropout[1])
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(filters[1] * _left_over(length, kernels, pools), dense)
        self.norm3 = nn.BatchNorm1d(dense)
        self.act3 = nn.ReLU()
        self.drop3 = nn.Dropout(dropout[2])
        self.output = nn.Linear(dense, n_tasks)

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks"]:
        """Logits."""
        x = self.drop1(self.pool1(self.act1(self.norm1(self.conv1(x)))))
        x = self.drop2(self.pool2(self.act2(self.norm2(self.conv2(x)))))
        x = self.drop3(self.act3(self.norm3(self.dense(self.flatten(x)))))
        out: Tensor = self.output(x)
        return out


class DilatedNetwork(SequenceModel):
    """The trunk of BPNet's kind: a convolution, and dilated ones whose outputs are added to their inputs.

    Parameters
    ----------
    length, n_tasks, filters, kernel, layers, dilated_kernel
        As in `BPNet`.
    padding
        Of the first convolution, as `torch.nn.Conv1d` takes it.
    **hyperparameters
        Those of the heads.
    """

    # A gain of 1 in residual branches keeps the variance from doubling twice at each sum.
    gains: ClassVar[Mapping[str, float]] = {"dilated": 1.0, "output": 0.5}

    def __init__(
        self,
        *,
        length: int,
        n_tasks: int,
        filters: int,
        kernel: int,
        layers: int,
        dilated_kernel: int,
        padding: int | str,
        **hyperparameters: int,
    ) -> None:
        super().__init__(
            length=length,
            n_tasks=n_tasks,
            filters=filters,
            kernel=kernel,
            layers=layers,
            dilated_kernel=dilated_kernel,
            **hyperparameters,
        )
        self.conv1 = nn.Conv1d(4, filters, kernel, padding=padding)
        self.act1 = nn.ReLU()
        self.dilated = nn.ModuleList(
            nn.Conv1d(filters, filters, dilated_kernel, padding="same", dilation=2**i)
            for i in range(1, layers + 1)
        )
        self.acts = nn.ModuleList(nn.ReLU() for _ in range(layers))

    def trunk(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n filters length"]:
        """Return the features that the heads see."""
        x = self.act1(self.conv1(x))
        for conv, act in zip(self.dilated, self.acts, strict=True):
            x = x + act(conv(x))
        return x


class BPNet(DilatedNetwork):
    """Convolution 19, four dilated residual convolutions, global average pool, linear; after BPNet.

    References
    ----------
    Avsec et al. 2021, *Base-resolution models of transcription-factor binding reveal soft motif syntax*,
    Nature Genetics 53.
    """

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: int = 64,
        kernel: int = 19,
        layers: int = 4,
        dilated_kernel: int = 3,
    ) -> None:
        super().__init__(
            length=length, n_tasks=n_tasks, filters=filters, kernel=kernel, layers=layers,
            dilated_kernel=dilated_kernel, padding=kernel // 2,
        )  # fmt: skip
        self.output = nn.Linear(filters, n_tasks)

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks"]:
        """Logits."""
        out: Tensor = self.output(self.trunk(x).mean(dim=2))
        return out


class KooExp(Koo):
    """Koo's network with an exponential activation after the first convolution."""

    first_activation: ClassVar[str] = "exponential"


class DeepBind(SequenceModel):
    """One convolution of 16 detectors (24 wide), global maximum and mean, a dense layer of 32; after DeepBind.

    References
    ----------
    Alipanahi et al. 2015, *Predicting the sequence specificities of DNA- and RNA-binding proteins by deep
    learning*, Nature Biotechnology 33.
    """

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: int = 16,
        kernel: int = 24,
        dense: int = 32,
        dropout: float = 0.25,
    ) -> None:
        super().__init__(
            length=length, n_tasks=n_tasks, filters=filters, kernel=kernel, dense=dense, dropout=dropout
        )
        self.conv1 = nn.Conv1d(4, filters, kernel, padding=kernel // 2)
        self.act1 = nn.ReLU()
        self.maximum = nn.AdaptiveMaxPool1d(1)
        self.average = nn.AdaptiveAvgPool1d(1)
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(2 * filters, dense)
        self.act2 = nn.ReLU()
        self.drop2 = nn.Dropout(dropout)
        self.output = nn.Linear(dense, n_tasks)

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks"]:
        """Logits."""
        x = self.act1(self.conv1(x))
        x = self.flatten(torch.cat([self.maximum(x), self.average(x)], dim=1))
        out: Tensor = self.output(self.drop2(self.act2(self.dense(x))))
        return out


class ConvDense(SequenceModel):
    """Blocks of convolution, BatchNorm, ReLU and max pooling, then dense layers: what Basset and DeepSTARR share."""

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: Sequence[int],
        kernels: Sequence[int],
        pools: Sequence[int],
        dense: Sequence[int],
        dropout: float,
    ) -> None:
        super().__init__(
            length=length,
            n_tasks=n_tasks,
            filters=tuple(filters),
            kernels=tuple(kernels),
            pools=tuple(pools),
            dense=tuple(dense),
            dropout=dropout,
        )
        if not len(filters) == len(kernels) == len(pools):
            raise InputError(
                f"filters, kernels and pools need one entry per convolution: {filters}, {kernels}, {pools}."
            )
        blocks: list[nn.Module] = []
        channels = 4
        for width, kernel, pool in zip(filters, kernels, pools, strict=True):
            blocks += [
                nn.Conv1d(channels, width, kernel, padding=kernel // 2),
                nn.BatchNorm1d(width),
                nn.ReLU(),
            ]
            blocks += [nn.MaxPool1d(pool)] if pool > 1 else []
            channels = width
        self.convolutions = nn.Sequential(*blocks)
        head: list[nn.Module] = [nn.Flatten()]
        channels *= _left_over(length, kernels, pools)
        for width in dense:
            head += [nn.Linear(channels, width), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(dropout)]
            channels = width
        self.head = nn.Sequential(*head)
        self.output = nn.Linear(channels, n_tasks)

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks"]:
        """Logits."""
        out: Tensor = self.output(self.head(self.convolutions(x)))
        return out


class Basset(ConvDense):
    """Three convolutions (19, 11, 7 wide; 300, 200, 200 filters), two dense layers of 1,000; after Basset.

    References
    ----------
    Kelley, Snoek & Rinn 2016, *Basset: learning the regulatory code of the accessible genome with deep
    convolutional neural networks*, Genome Research 26.
    """

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: Sequence[int] = (300, 200, 200),
        kernels: Sequence[int] = (19, 11, 7),
        pools: Sequence[int] | None = None,
        dense: Sequence[int] = (1000, 1000),
        dropout: float = 0.3,
    ) -> None:
        super().__init__(
            length,
            n_tasks,
            filters=filters,
            kernels=kernels,
            pools=pools or adapt_pools(length, (3, 4, 4), at_least=4),
            dense=dense,
            dropout=dropout,
        )


class DeepSTARR(ConvDense):
    """Four convolutions (7, 3, 5, 3 wide; 256, 60, 60, 120 filters), two dense layers of 256; after DeepSTARR.

    References
    ----------
    de Almeida et al. 2022, *DeepSTARR predicts enhancer activity from DNA sequence and enables the de novo
    design of synthetic enhancers*, Nature Genetics 54.
    """

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: Sequence[int] = (256, 60, 60, 120),
        kernels: Sequence[int] = (7, 3, 5, 3),
        pools: Sequence[int] | None = None,
        dense: Sequence[int] = (256, 256),
        dropout: float = 0.4,
    ) -> None:
        super().__init__(
            length,
            n_tasks,
            filters=filters,
            kernels=kernels,
            pools=pools or adapt_pools(length, (2, 2, 2, 2), at_least=4),
            dense=dense,
            dropout=dropout,
        )


class ResidualBind(SequenceModel):
    """Convolution 11, one residual block of dilated convolutions, mean pooling, a dense layer; after ResidualBind.

    References
    ----------
    Koo, Majdandzic, Ploenzke, Anand & Paul 2021, *Global importance analysis: an interpretability method to
    quantify importance of genomic features in deep neural networks*, PLoS Computational Biology 17.
    """

    # The residual branch ends in a BatchNorm, so its scale is that of the trunk whatever the gain.
    gains: ClassVar[Mapping[str, float]] = {"output": 0.5}

    def __init__(
        self,
        length: int,
        n_tasks: int,
        *,
        filters: int = 96,
        kernel: int = 11,
        dilations: Sequence[int] = (1, 2, 4),
        pool: int | None = None,
        dense: int = 256,
        dropout: Sequence[float] = (0.1, 0.2, 0.5),
    ) -> None:
        pool = pool or adapt_pools(length, (10,))[0]
        super().__init__(
            length=length,
            n_tasks=n_tasks,
            filters=filters,
            kernel=kernel,
            dilations=tuple(dilations),
            pool=pool,
            dense=dense,
            dropout=tuple(dropout),
        )
        self.conv1 = nn.Conv1d(4, filters, kernel, padding=kernel // 2)
        self.norm1 = nn.BatchNorm1d(filters)
        self.act1 = nn.ReLU()
        self.drop1 = nn.Dropout(dropout[0])
        branch: list[nn.Module] = []
        for dilation in dilations:
            branch += [nn.ReLU(), nn.Dropout(dropout[0])] if branch else []
            branch += [
                nn.Conv1d(filters, filters, 3, padding=dilation, dilation=dilation),
                nn.BatchNorm1d(filters),
            ]
        self.branch = nn.Sequential(*branch)
        self.act2 = nn.ReLU()
        self.pool = nn.AvgPool1d(pool)
        self.drop2 = nn.Dropout(dropout[1])
        self.flatten = nn.Flatten()
        self.dense = nn.Linear(filters * _left_over(length, (kernel,), (pool,)), dense)
        self.norm3 = nn.BatchNorm1d(dense)
        self.act3 = nn.ReLU()
        self.drop3 = nn.Dropout(dropout[2])
        self.output = nn.Linear(dense, n_tasks)

    def forward(self, x: Float[Tensor, "n 4 length"]) -> Float[Tensor, "n n_tasks"]:
        """Logits."""
        x = self.drop1(self.act1(self.norm1(self.conv1(x))))
        x = self.drop2(self.pool(self.act2(x + self.branch(x))))
        x = self.drop3(self.act3(self.norm3(self.dense(self.flatten(x)))))
        out: Tensor = self.output(x)
        return out


def _left_over(length: int, kernels: Sequence[int], pools: Sequence[int]) -> int:
    """Positions after convolutions padded by half their width, each followed by a pooling."""
    for kernel, pool in zip(kernels, pools, strict=True):
        length = (length + 1 - kernel % 2) // pool  # a kernel of even width adds one position
    return length


def _activation(name: str) -> nn.Module:
    check_choice("activation", name, ("relu", "exponential"))
    return nn.ReLU() if name == "relu" else Exponential()
