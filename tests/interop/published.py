"""Networks of published packages, reduced, with random weights and randomised norms; each says how it is called.

Used by the tests of this folder and by `benchmarks.published`, which makes the page of models.
"""

from __future__ import annotations

import importlib
import random
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Published:
    """One network.

    Attributes
    ----------
    package, model
        As they are named on the page.
    needs
        Modules without which it cannot be built.
    build
        Makes it.
    length
        Of its sequences, in bp.
    target
        What is explained, from its output to (N,).
    call
        The same as a reader would write it.
    is_piecewise_linear
        Whether epsilon -> 0 must give gradient x input.
    dtype
        Precision of the checks; Keras computes in its own.
    notes
        What a reader should know.
    """

    package: str
    model: str
    needs: tuple[str, ...]
    build: Callable[[], nn.Module]
    length: int
    target: Callable[[Any], Tensor] | int
    call: str
    is_piecewise_linear: bool = False
    dtype: torch.dtype = torch.float64
    notes: str = ""

    @property
    def name(self) -> str:
        return f"{self.package}: {self.model}"

    @property
    def missing(self) -> str:
        """The first module that is not installed, or an empty string."""
        return next((name for name in self.needs if _spec(name) is None), "")

    def made(self) -> nn.Module:
        """The network, with weights and norms that are random, in evaluation mode."""
        without_torchvision()
        state, python_state = torch.get_rng_state(), random.getstate()
        torch.manual_seed(0)
        random.seed(0)  # of Keras' initial weights
        try:
            model = self.build()
            if "keras" in self.needs:
                return model
            return randomised(model).to(self.dtype).eval()
        finally:
            torch.set_rng_state(state)
            random.setstate(python_state)

    def sequences(self, n: int = 2) -> Tensor:
        codes = torch.randint(4, (n, self.length), generator=torch.Generator().manual_seed(1))
        return torch.eye(4, dtype=self.dtype)[codes].mT.contiguous()


def _spec(name: str) -> ModuleSpec | None:
    return PathFinder.find_spec(name)  # looks at what is installed, not at what is imported


def without_torchvision() -> None:
    """Keep transformers from importing a torchvision that was built for another torch."""
    if "torchvision" not in sys.modules:
        sys.modules["torchvision"] = None  # type: ignore[assignment]


def randomised(model: nn.Module) -> nn.Module:
    """Give norms statistics and gains that differ from where they begin, and wake what begins as zero."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm1d):
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.5, 2)
            if isinstance(module, nn.BatchNorm1d | nn.LayerNorm | nn.GroupNorm) and module.weight is not None:
                module.weight.uniform_(0.5, 1.5)
                module.bias.normal_(0, 0.2)
            if isinstance(module, nn.Linear | nn.Conv1d) and not bool(module.weight.any()):
                module.weight.normal_(0, module.weight[0].numel() ** -0.5)
            if isinstance(module, nn.Linear | nn.Conv1d) and module.bias is not None:
                module.bias.normal_(0, 0.05)
    return model


def randomised_keras(model: Any) -> Any:
    import numpy as np

    rng = np.random.default_rng(0)
    for variable in model.weights:
        kind = variable.path.rsplit("/", 1)[-1]
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif kind in ("beta", "moving_mean", "bias"):
            variable.assign(rng.normal(0, 0.1, variable.shape))
    return model


# -- the packages -----------------------------------------------------------------------------------------------------


def _bpnet() -> nn.Module:
    from bpnetlite import BPNet

    return BPNet(n_filters=8, n_layers=3, n_outputs=1, n_control_tracks=0, trimming=20, verbose=False)


def _bpnet_counts() -> nn.Module:
    from bpnetlite.bpnet import CountWrapper

    return CountWrapper(_bpnet())


def _bpnet_profile() -> nn.Module:
    from bpnetlite.bpnet import ProfileWrapper

    return ProfileWrapper(_bpnet())


def _grelu(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        without_torchvision()
        return getattr(importlib.import_module("grelu.model.models"), name)(**settings)

    return build


def _borzoi() -> nn.Module:
    without_torchvision()
    from borzoi_pytorch import Borzoi
    from borzoi_pytorch.config_borzoi import BorzoiConfig

    config = BorzoiConfig(
        dim=64,
        depth=1,
        heads=2,
        attn_dim_key=16,
        attn_dim_value=32,
        bins_to_return=16,
        return_center_bins_only=True,
    )
    model = Borzoi(config)
    model.set_track_subset([0, 1])
    del model.human_head_bak
    return model


def _enformer() -> nn.Module:
    without_torchvision()
    from enformer_pytorch import Enformer

    return Enformer.from_hparams(
        dim=48, depth=1, heads=2, output_heads={"human": 3}, target_length=8, num_downsamples=4, dim_divisible_by=8,
        attn_dim_key=12,
    )  # fmt: skip


def _enformer_checkpointed() -> nn.Module:
    model = _enformer()
    model.use_checkpointing = True
    return model


def _openspliceai() -> nn.Module:
    import numpy as np
    from openspliceai.train_base.openspliceai import SpliceAI

    return SpliceAI(8, np.array([11] * 4), np.array([1] * 4), apply_softmax=True)


def _spliceai_pytorch() -> nn.Module:
    without_torchvision()
    from spliceai_pytorch import SpliceAI

    return SpliceAI.from_preconfigured("80nt")


def _cherimoya() -> nn.Module:
    from cherimoya import Cherimoya

    return Cherimoya(n_filters=16, n_layers=3, trimming=20, verbose=False, compile=False, random_state=0)


def _promoterai() -> nn.Module:
    from promoterai_torch.architecture import PromoterAI

    return PromoterAI(num_blocks=4, model_dim=12, output_dims=[5, 3], kernel_size=5, output_crop=20)


def _crested(name: str, **settings: Any) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from genoplrp.scan.keras_files import import_keras

        import_keras()
        found = _spec("crested")
        assert found is not None and found.origin is not None
        root = Path(found.origin).parent
        for package, folder in (("crested", root), ("crested.tl", root / "tl")):
            if package not in sys.modules:  # its zoo needs Keras alone; the rest of CREsted much more
                module = types.ModuleType(package)
                module.__path__ = [str(folder)]
                sys.modules[package] = module
        zoo = importlib.import_module("crested.tl.zoo")
        return randomised_keras(getattr(zoo, name)(**settings))

    return build


def wheel(package: str, file: str) -> Path:
    """Where an installed package keeps a file; the package is not imported."""
    spec = _spec(package)
    if spec is None or spec.origin is None:
        return Path(file)
    return Path(spec.origin).parent / file


def _keras_file(
    package: str, file: str, objects: Callable[[], dict[str, Any]] = dict
) -> Callable[[], nn.Module]:
    def build() -> nn.Module:
        from genoplrp.scan import load_keras
        from genoplrp.scan.keras_files import import_keras

        import_keras()
        return load_keras(wheel(package, file), objects())

    return build


def mmsplice_layers() -> dict[str, Any]:
    """The custom layers of MMSplice's files, for Keras 3."""
    import keras

    class ConvDNA(keras.layers.Conv1D):
        def __init__(self, *args: Any, seq_length: Any = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)

    class GlobalAveragePooling1D_Mask0(keras.layers.Layer):  # noqa: N801
        def __init__(self, data_format: str = "channels_last", **kwargs: Any) -> None:
            super().__init__(**kwargs)

        def call(self, inputs: Any) -> Any:
            signal, sequence = inputs
            mask = keras.ops.max(sequence, axis=2, keepdims=True)
            return keras.ops.sum(signal * mask, axis=1) / keras.ops.maximum(keras.ops.sum(mask, axis=1), 1e-7)

    return {layer.__name__: layer for layer in (ConvDNA, GlobalAveragePooling1D_Mask0)}


def _peft() -> nn.Module:
    without_torchvision()
    from peft import LoraConfig, inject_adapter_in_model

    model = nn.Sequential(
        nn.Conv1d(4, 12, 7), nn.ReLU(), nn.MaxPool1d(4), nn.Flatten(), nn.Linear(276, 16), nn.ReLU(), nn.Linear(16, 1)
    )  # fmt: skip
    inject_adapter_in_model(LoraConfig(r=2, lora_alpha=4, target_modules=["4", "6"]), model)
    return model


def _first(y: Any) -> Tensor:
    return y[0].flatten(1).mean(dim=1)


def _middle(channel: int) -> Callable[[Tensor], Tensor]:
    return lambda y: y[:, channel, y.shape[2] // 2]


F32 = torch.float32
MODELS = (
    Published("bpnet-lite", "BPNet, counts", ("bpnetlite",), _bpnet_counts, 120, 0,
              "gp.plrp(CountWrapper(model), X)", is_piecewise_linear=True),
    Published("bpnet-lite", "BPNet, profile", ("bpnetlite",), _bpnet_profile, 120, 0,
              "gp.plrp(ProfileWrapper(model), X)", notes="its softmax weighs the logits and carries no relevance"),
    Published("gReLU", "ConvModel", ("grelu", "einops"), _grelu("ConvModel", n_tasks=2, stem_channels=8, channel_init=8,
              norm=True, residual=True, pool_func="max", pool_size=2), 100, lambda y: y[:, 1, 0],
              "gp.plrp(model, X, target=lambda y: y[:, 1, 0])", is_piecewise_linear=True),
    Published("gReLU", "DilatedConvModel", ("grelu", "einops"), _grelu("DilatedConvModel", n_tasks=2, channels=8,
              n_conv=3, final_pool_func="avg"), 140, lambda y: y[:, 0, 0],
              "gp.plrp(model, X, target=lambda y: y[:, 0, 0])", is_piecewise_linear=True),
    Published("gReLU", "ConvGRUModel", ("grelu", "einops"), _grelu("ConvGRUModel", n_tasks=1, stem_channels=8,
              n_conv=1, channel_init=8, n_gru=1), 60,
              lambda y: y[:, 0, 0], "gp.plrp(model, X, target=lambda y: y[:, 0, 0])",
              notes="gates weigh, the candidate state carries relevance"),
    Published("gReLU", "ConvTransformerModel", ("grelu", "einops"), _grelu("ConvTransformerModel", n_tasks=1,
              stem_channels=8, n_conv=1, channel_init=8, n_transformers=1, key_len=8, value_len=8, n_heads=2,
              n_pos_features=4, pool_func="max", pool_size=2), 80,
              lambda y: y[:, 0, 0], "gp.plrp(model, X, target=lambda y: y[:, 0, 0])"),
    Published("enformer-pytorch", "Enformer", ("enformer_pytorch", "transformers"), _enformer, 256,
              lambda y: y["human"][:, 4, 1], 'gp.plrp(model, X, target=lambda y: y["human"][:, 4, 1])',
              notes="takes (N, L, 4)"),
    Published("enformer-pytorch", "Enformer, checkpointed", ("enformer_pytorch", "transformers"),
              _enformer_checkpointed, 256, lambda y: y["human"][:, 4, 1],
              'gp.plrp(model, X, target=lambda y: y["human"][:, 4, 1])',
              notes="its checkpointing is run plainly"),
    Published("borzoi-pytorch", "Borzoi", ("borzoi_pytorch", "transformers", "intervaltree"), _borzoi, 1024,
              lambda y: y[:, 0, 8], "gp.plrp(model, X, target=lambda y: y[:, 0, 8])", dtype=F32,
              notes="relative positions under vmap"),
    Published("openspliceai", "SpliceAI-80nt", ("openspliceai",), _openspliceai, 121, _middle(2),
              "gp.plrp(model, X, target=lambda y: y[:, 2, 20])", is_piecewise_linear=False,
              notes="explained at the logit"),
    Published("spliceai-pytorch", "SpliceAI-80nt", ("spliceai_pytorch", "einops"), _spliceai_pytorch, 121,
              lambda y: y[:, y.shape[1] // 2, 2], "gp.plrp(model, X, target=lambda y: y[:, 20, 2])"),
    Published("Cherimoya", "Cherimoya", ("cherimoya",), _cherimoya, 120, lambda y: y[1][:, 0],
              "gp.plrp(model, X, target=lambda y: y[1][:, 0])", dtype=F32, notes="its norm's deviation is a constant"),
    Published("promoterai-torch", "PromoterAI", ("promoterai_torch",), _promoterai, 100, _first,
              "gp.plrp(model, X, target=lambda y: y[0].mean(dim=(1, 2)))",
              notes="takes (N, L, 4)"),
    Published("CREsted", "DeepTopicCNN", ("crested", "keras"), _crested("deeptopic_cnn", seq_len=500, num_classes=3,
              filters=16, dense_out=16), 500, 1, "gp.plrp(model, X, target=1)", dtype=F32, notes="takes (N, L, 4)"),
    Published("CREsted", "DilatedCNN", ("crested", "keras"), _crested("dilated_cnn", seq_len=600, num_classes=3,
              first_conv_filters=8, num_filters=8, n_dil_layers=3), 600, 0, "gp.plrp(model, X, target=0)", dtype=F32,
              notes="takes (N, L, 4)"),
    Published("CREsted", "SimpleConvNet", ("crested", "keras"), _crested("simple_convnet", seq_len=500, num_classes=2,
              first_filters=8, filters=8), 500, 0, "gp.plrp(model, X, target=0)", dtype=F32, notes="takes (N, L, 4)"),
    Published("CREsted", "LegNet", ("crested", "keras"), _crested("legnet", seq_len=128, num_classes=2, stem_filters=8,
              tower_filters=(8, 8), pool_sizes=(2, 2)), 128, 0, "gp.plrp(model, X, target=0)", dtype=F32,
              notes="takes (N, L, 4)"),
    Published("CREsted", "DeepTopicLSTM", ("crested", "keras"), _crested("deeptopic_lstm", seq_len=96, num_classes=2,
              filters=8, dense_out=8), 96, 0, "gp.plrp(model, X, target=0)", dtype=F32,
              notes="takes (N, L, 4)"),
    Published("CREsted", "Enformer", ("crested", "keras"), _crested("enformer", seq_len=512, num_classes=2,
              num_conv_blocks=2, num_transformer_blocks=1, num_transformer_heads=2, target_length=16, start_filters=128,
              filters=384, pointwise_filters=32), 512, lambda y: y[:, 8, 1],
              "gp.plrp(model, X, target=lambda y: y[:, 8, 1])", dtype=F32, notes="takes (N, L, 4)"),
    Published("CREsted", "Borzoi", ("crested", "keras"), _crested("borzoi", seq_len=1024, num_classes=2,
              num_conv_blocks=2, num_transformer_blocks=1, num_transformer_heads=2, target_length=16, start_filters=32,
              filters=32, pointwise_filters=32, unet_connections=[2], unet_filters=32), 1024, lambda y: y[:, 8, 1],
              "gp.plrp(model, X, target=lambda y: y[:, 8, 1])", dtype=F32, notes="takes (N, L, 4)"),
    Published("SpliceAI (wheel)", "SpliceAI-10k, published weights", ("spliceai", "keras"),
              _keras_file("spliceai", "models/spliceai1.h5"), 10_051, lambda y: y[:, 25, 2],
              'gp.plrp(gp.load_keras("spliceai1.h5"), X, target=lambda y: y[:, 0, 2])', dtype=F32,
              notes="takes (N, L, 4); explained at the logit"),
    Published("MMSplice (wheel)", "Intron3, published weights", ("mmsplice", "keras"),
              _keras_file("mmsplice", "models/Intron3.h5"), 60, 0, 'gp.plrp(gp.load_keras("Intron3.h5"), X)', dtype=F32,
              is_piecewise_linear=True, notes="takes (N, L, 4)"),
    Published("MMSplice (wheel)", "Donor, published weights", ("mmsplice", "keras"),
              _keras_file("mmsplice", "models/Donor.h5"), 18, 0, 'gp.plrp(gp.load_keras("Donor.h5"), X)', dtype=F32,
              notes="takes (N, L, 4)"),
    Published("MMSplice (wheel)", "Exon, published weights", ("mmsplice", "keras"),
              _keras_file("mmsplice", "models/Exon.h5", mmsplice_layers), 60, 0,
              'gp.plrp(gp.load_keras("Exon.h5", "layers.py"), X)', dtype=F32,
              notes="takes (N, L, 4); custom layers written for Keras 3"),
    Published("peft", "LoRA on linear layers", ("peft", "accelerate"), _peft, 100, 0, "gp.plrp(model, X)",
              is_piecewise_linear=True),
)  # fmt: skip
"""All of them."""
