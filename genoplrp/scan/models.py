"""The model that a user names on the command line, loaded without running anything that was not asked for."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn

from genoplrp.errors import InputError, UnsupportedModelError
from genoplrp.relevance.axes import LAYOUTS, Adapted, Layout, adapt_model, is_keras_model, sequence_length
from genoplrp.relevance.targets import OneOutput
from genoplrp.relevance.tracing.guards import check_model, evaluation_mode
from genoplrp.scan.archives import open_archive
from genoplrp.scan.keras_files import is_keras, load_keras
from genoplrp.scan.user_code import WAYS, from_file, importable, imported, module_name, names_in
from genoplrp.scan.weights import fill, holds_weights_only, is_torchscript, unpickled
from genoplrp.wording import first_line


class LoadedModel(NamedTuple):
    """A model and what is known of it.

    Attributes
    ----------
    model : torch.nn.Module
        On the CPU, in evaluation mode.
    source : str
        How it was named.
    fingerprint : str
        SHA-256 of class, parameter names, shapes and values.
    length : int or None
        Length of the sequences it was trained on, in bp, where that is known.
    tasks : tuple of str or None
        Names of its outputs, where they are known.
    outputs : tuple of str or None
        Names of the tensors that it returns, in order, where it returns several with names (a Keras file).
    """

    model: nn.Module
    source: str
    fingerprint: str
    length: int | None = None
    tasks: tuple[str, ...] | None = None
    outputs: tuple[str, ...] | None = None


def load_any_model(
    source: str | Path,
    *,
    state_dict: str | Path | None = None,
    trust_pickle: bool = False,
    keras_objects: str | Path | None = None,
    layout: Layout | None = None,
) -> LoadedModel:
    """Load a model from whatever a user has.

    Parameters
    ----------
    source : str or Path
        A checkpoint folder of this package; a ``torch.export`` archive (.pt2); a Keras file (.keras, .h5);
        ``module:callable`` or ``file.py:callable`` that returns a `torch.nn.Module` (that code runs); or, with
        `trust_pickle`, a file with a pickled module.
    state_dict : path, optional
        Weights for ``...:callable``: safetensors, a file of ``torch.save`` (read with ``weights_only``; a state dict
        may lie deeper in it, and its names may carry the prefix of a wrapper), or a ``torch.export`` archive (.pt2),
        whose weights are taken.
    trust_pickle : bool
        Allow unpickling a module (as `source` or `state_dict`), or running the code of a Keras file's Lambda layers.
        Either can run anything: only for files of people you trust.
    keras_objects : path, optional
        Custom layers of a Keras file: a Python file or module, see `load_keras`.
    layout : str, optional
        The order of axes that the model takes, see `genoplrp.adapt_model`; by default found out.

    Returns
    -------
    LoadedModel

    Raises
    ------
    InputError
        If the source is none of these, gives no module, or gives another one each time: it has loaded no weights.
    CheckpointError
        If the weights do not fit.
    UnsupportedModelError
        If it is an archive that cannot be turned back into a module, see `genoplrp.scan.archives.open_archive`.
    """
    text = str(source)
    path = Path(text)
    if path.is_dir() and not is_keras(path):
        return _checkpoint(path, state_dict, layout)
    if path.suffix == ".pt2" and path.is_file():
        if state_dict is not None:
            raise InputError(f"{path} is an archive with its own weights: omit --state-dict")
        archive, length = open_archive(path)
        return LoadedModel(adapt_model(archive, layout), text, fingerprint(archive), length)
    if is_keras(path):
        if state_dict is not None:
            raise InputError(f"{path} is a Keras file with its own weights: omit --state-dict")
        return _keras(path, keras_objects, trust_pickle, layout)
    if keras_objects is not None:
        raise InputError(f"--keras-objects is for Keras files (.keras, .h5); {text} is not one")
    if path.is_file():
        model = _pickled(path, trust_pickle)
    elif ":" in text:
        model = _called(text, filled=state_dict is not None)
    else:
        raise InputError(f"there is no model {text!r}: {WAYS}")
    if state_dict is not None:
        fill(model, Path(state_dict), trust_pickle=trust_pickle, code=_code(text))
    model.eval()
    return LoadedModel(adapt_model(model, layout), text, fingerprint(model))


def untrained_model(source: str) -> nn.Module:
    """Return the module that ``module:callable`` or ``file.py:callable`` gives, to be trained.

    Raises
    ------
    InputError
        If it gives none.
    """
    model = _made(source)
    model.eval()
    return adapt_model(model)


def fingerprint(model: nn.Module) -> str:
    """SHA-256 of a model's class, parameter names, shapes and values."""
    if isinstance(model, Adapted):
        model = model.model
    digest = hashlib.sha256(type(model).__qualname__.encode())
    if isinstance(model, fx.GraphModule):  # all of them have one class
        digest.update(model.code.encode())
    if is_keras_model(model):  # so have these
        digest.update(str(model.to_json()).encode())  # type: ignore[operator]
    for name, value in sorted(model.state_dict().items()):
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def describe_output(model: nn.Module, length: int, target: OneOutput | None = None) -> str:
    """What a forward pass of two uniform-random sequences returns, in words; a target is tried on them.

    Raises
    ------
    InputError
        If the model does not take one-hot sequences of this length, or has not what the target names.
    """
    codes = torch.randint(4, (2, length), generator=torch.Generator().manual_seed(0))
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0))
    X = torch.eye(4, dtype=like.dtype, device=like.device)[codes.to(like.device)].mT.contiguous()
    try:
        with torch.no_grad(), evaluation_mode(model):
            y = adapt_model(model, X=X)(X)
            if callable(target):
                target(y)
    except InputError:
        raise
    except Exception as error:  # whatever the user's own code raises
        how = ", in whichever order of axes"
        if isinstance(model, Adapted):
            how = f" as {LAYOUTS[model.layout]} (layout {model.layout})"
        raise InputError(
            f"the model does not take one-hot sequences of {length} bp{how}: {first_line(error)}. Is that "
            "the length, and the order of axes, it was trained on?"
        ) from error
    return _in_words(y)


def _checkpoint(path: Path, state_dict: str | Path | None, layout: str | None) -> LoadedModel:
    from genoplrp.training import load_model

    if state_dict is not None:
        raise InputError(f"{path} is a checkpoint with its own weights: omit --state-dict")
    if layout not in (None, "NCL"):
        raise InputError(f"{path} is a checkpoint, whose network takes (N, 4, L): leave --layout out")
    fit = load_model(path)
    return LoadedModel(fit.model, str(path), fingerprint(fit.model), fit.length, tuple(fit.tasks))


def _keras(path: Path, objects: str | Path | None, trust: bool, layout: Layout | None) -> LoadedModel:
    model: Any = load_keras(path, objects, trust_lambda=trust)
    if len(model.inputs) > 1:
        inputs = ", ".join(f"{t.name} {tuple(t.shape)}" for t in model.inputs)
        raise InputError(
            f"{path} takes {len(model.inputs)} inputs ({inputs}), a FASTA gives one: explain it in Python, "
            "gp.plrp(gp.load_keras(path), X, args=[...])"
        )
    named = tuple(model.output_names) if len(model.outputs) > 1 else None
    length = sequence_length(tuple(model.inputs[0].shape), layout)
    return LoadedModel(adapt_model(model, layout), str(path), fingerprint(model), length, outputs=named)


def _called(text: str, *, filled: bool) -> nn.Module:
    """Return the module that a callable gives; unless weights follow, the callable must have loaded its own."""
    made = _made(text)
    if filled:
        return made
    with torch.random.fork_rng(devices=[]):  # for the generator as if it had been called once
        again = _made(text)
    if fingerprint(again) != fingerprint(made):
        raise InputError(
            f"{text!r} gives a network with other weights each time: they are random, and so would the relevance be. "
            "Name the trained ones with --state-dict weights.pt (state_dict= in Python), or load them in the callable"
        )
    return again  # of a file that was run twice, the module that pickling finds


def _made(text: str) -> nn.Module:
    """Return the model that ``module:name`` or ``file.py:name`` names, or makes where it is called."""
    place, _, name = text.rpartition(":")
    module = from_file(Path(place)) if place.endswith(".py") else imported(place, text)
    made = target = _named(module, name, text)
    if callable(target) and not isinstance(target, nn.Module):
        try:
            with importable(Path(place).parent if place.endswith(".py") else Path.cwd()):
                made = target()
        except Exception as error:  # whatever the user's own code raises
            remedy = ""
            if isinstance(error, TypeError) and "argument" in str(error):
                remedy = f": write a function without arguments that returns {name}(...), and name that"
            raise InputError(
                f"{text!r} failed when it was called, {type(error).__name__}: {error}{remedy}"
            ) from error
    if not isinstance(made, nn.Module):
        raise InputError(f"{text!r} gives a {type(made).__name__}: it must return a torch.nn.Module")
    return made


def _named(module: ModuleType, name: str, text: str) -> Any:
    """Return what a module has under a dotted name."""
    target: Any = module
    for part in name.split("."):
        target = getattr(target, part, None)
        if target is None:
            public = [
                key
                for key, value in vars(module).items()
                if not key.startswith("_")
                and getattr(value, "__module__", module.__name__) == module.__name__
                and not isinstance(value, ModuleType)
            ]
            place = text.rpartition(":")[0]
            raise InputError(
                f"{text!r}: {place} has no {name!r}; it has {', '.join(public[:10]) or 'nothing'}"
            )
    return target


def _code(text: str) -> ModuleType | None:
    """The module that ``module:callable`` or ``file.py:callable`` ran."""
    place = text.rpartition(":")[0]
    return sys.modules.get(module_name(Path(place)) if place.endswith(".py") else place)


def _pickled(path: Path, trust: bool) -> nn.Module:
    if path.suffix == ".py":
        there = names_in(path)
        raise InputError(
            f"{path} is code: name the class or function in it that gives the network, {path}:{(there or ['Net'])[-1]} "
            f"(it has {', '.join(there[:10]) or 'none'}), with its weights as --state-dict"
        )
    if is_torchscript(path):
        raise UnsupportedModelError(
            f"{path} is a TorchScript archive, whose operations are hidden: name the nn.Module that it was made from, "
            f"net.py:Net, with its weights as --state-dict, or save it with torch.export"
        )
    if holds_weights_only(path):
        raise InputError(
            f"{path} holds weights, not the network: name its class too, net.py:Net --state-dict {path}"
        )
    if not trust:
        raise InputError(
            f"{path} is a file: if it holds a pickled module, loading it can run anything it likes. Pass "
            f"--trust-pickle only if you trust whoever made it; better: {WAYS} {path}"
        )
    made = unpickled(path)
    if isinstance(made, nn.Module):
        return check_model(made)[0]
    what = "a state dict" if isinstance(made, dict) else f"a {type(made).__name__}"
    raise InputError(f"{path} holds {what}, not a module: {WAYS} {path}")


def _in_words(y: object) -> str:
    if isinstance(y, Tensor):
        return f"a tensor of shape ({', '.join(['N', *(str(size) for size in y.shape[1:])])})"
    if isinstance(y, dict):
        return "a dictionary: " + ", ".join(f"{key}: {_in_words(value)}" for key, value in y.items())
    if isinstance(y, tuple | list):
        return f"{len(y)} outputs: " + ", ".join(_in_words(value) for value in y)
    return f"a {type(y).__name__}"
