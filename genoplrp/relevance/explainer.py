"""The explainer: the object that keeps model, rules, pruning and settings, and explains batch by batch.

References
----------
Bach et al. 2015, PLOS ONE 10(7), e0130140 (LRP); Yanez Sarmiento et al. 2024, ECML PKDD (PLRP).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from genoplrp.errors import InputError, UnsupportedOperationError
from genoplrp.relevance import devices
from genoplrp.relevance.axes import (
    LAYOUTS,
    Adapted,
    Layout,
    adapt_model,
    may_be_of_shape,
    module_names,
    recognised,
)
from genoplrp.relevance.calling import called, half, on_device, unambiguous
from genoplrp.relevance.deferred import Answers, Questions, WrongAnswerError
from genoplrp.relevance.explained import at_logits, check_finite, explained_numbers, target_value
from genoplrp.relevance.explanation import Explanation
from genoplrp.relevance.fastpath import Chains
from genoplrp.relevance.fastpath.recording import CudaGraphs, Recordings
from genoplrp.relevance.inputs import OneTarget, check_input, check_target, select_target
from genoplrp.relevance.joining import averaged, join, on_host, opened
from genoplrp.relevance.presets import DEFAULT_PRESET, Rules, rule_book
from genoplrp.relevance.propagation.backward import AmbiguousBatchError, Run
from genoplrp.relevance.propagation.ledger import Ledger
from genoplrp.relevance.pruning.policy import SEARCHES, Pruning
from genoplrp.relevance.rules import Rule
from genoplrp.relevance.tracing import operations  # noqa: F401  (registers the handlers)
from genoplrp.relevance.tracing.guards import (
    HOOKS,
    autograd_on,
    check_model,
    evaluation_mode,
    is_out_of_memory,
)
from genoplrp.relevance.tracing.operations.linear import BASES
from genoplrp.relevance.tracing.plainly import plainly
from genoplrp.relevance.tracing.tracer import Tracer, one_explanation

if TYPE_CHECKING:
    from tqdm import tqdm

Target = int | str | Sequence[int] | Tensor | Callable[[Any], Tensor] | None
SWEEP = tuple(round(0.05 * i, 2) for i in range(20))
"""The paper's values of p: 0, 0.05, ..., 0.95."""


class Explainer:
    """Explains a model's outputs by LRP or PLRP; reusable, thread-safe, and without effect on the model.

    On the CPU a model that is a plain chain of convolutions, batch norms, ReLU, pooling, sums and linear layers is
    explained by a pass without autograd, any other through autograd; both give the same result to rounding.
    ``settings["pass"]`` of the explanation says which it was.

    Parameters
    ----------
    model
        Any `torch.nn.Module`. Its parameters, gradients, mode and hooks are not changed. It is explained in
        evaluation mode.
    rules
        Preset name, `Preset`, `Rule`, or mapping from layer name or module class to `Rule`.
    pruning
        `Pruning`; None for plain LRP.
    batch_size
        Sequences per batch; halved automatically when memory runs out.
    device
        Where to compute; None for where the model is. On another device a copy of the model runs.
    layout
        The order of axes that the model takes, see `adapt_model`; None to detect it. Sequences and relevance are
        always (N, 4, L).
    diagnostics
        Keep the conservation ledger (`Explanation.layers`, `Explanation.check`); costs a pass over memory per layer.
    keep_intermediate
        True, or names of layers (wildcards allowed): keep the relevance at their input.
    keep_multiplier
        Keep the relevance per unit of input, for all four bases.
    cuda_graph
        Record the work of a batch on a CUDA device, and play it back for further ones of the same shape, target and
        pruning: they wait for no Python. For plain chains of layers; others, and what cannot be recorded, are
        explained as without it. Holds the memory of up to four batches. Tried out on no card yet.

    Raises
    ------
    InputError, UnsupportedModelError
        If the model or a setting cannot be used.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.ReLU(), nn.Flatten(), nn.Linear(48, 1))
    >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
    >>> explain = Explainer(model, rules="gamma", pruning=Pruning(p=0.1))
    >>> bool(explain(X).check().holds)
    True
    """

    def __init__(
        self,
        model: nn.Module,
        rules: Rules = DEFAULT_PRESET,
        pruning: Pruning | None = None,
        *,
        batch_size: int = 64,
        device: str | torch.device | None = None,
        layout: Layout | None = None,
        diagnostics: bool = True,
        keep_intermediate: bool | str | Iterable[str] = False,
        keep_multiplier: bool = False,
        cuda_graph: bool = False,
    ) -> None:
        self.model, self._notes = check_model(model)
        self.rules = rule_book(rules)
        if pruning is not None and not isinstance(pruning, Pruning):
            raise InputError(
                f"pruning={pruning!r}: give a Pruning, e.g. Pruning(p=0.1), or None for plain LRP"
            )
        self.pruning = pruning
        if batch_size < 1:
            raise InputError(f"batch_size={batch_size}: must be at least 1")
        self.batch_size = batch_size
        self.diagnostics = diagnostics
        self.keep: set[str] | Literal["all"] | None = None
        if keep_intermediate:
            names = [keep_intermediate] if isinstance(keep_intermediate, str) else keep_intermediate
            self.keep = "all" if isinstance(names, bool) else set(names)
        self.keep_multiplier = keep_multiplier
        self._layout_known = layout is not None
        self._runner = on_device(adapt_model(self.model, layout), device)
        self._chains = Chains()
        # Sequences of a shape that memory is known to hold: further calls do not run out of it again.
        self._fits: dict[tuple[int, ...], int] = {}
        # What earlier batches were told by a GPU (see `deferred`).
        self._answers: Answers = {}
        self._recordings = self._recorder() if cuda_graph else None

    @property
    def network(self) -> nn.Module:
        """The model as it is called: on its device, and behind an adapter where it takes another order of axes."""
        return self._runner

    def __repr__(self) -> str:
        pruning = "no pruning" if self.pruning is None else repr(self.pruning)
        what = f"{type(self.model).__name__}, {pruning}, batch_size={self.batch_size}"
        return f"{type(self).__name__}({what}, on {self.device})"

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        tensors = [*self._runner.parameters(), *self._runner.buffers()]
        return tensors[0].device if tensors else torch.device("cpu")

    @classmethod
    def like(cls, explainer: Explainer) -> Self:
        """Return an explainer of this class with the model and the settings of another."""
        out = cls.__new__(cls)
        vars(out).update(vars(explainer))
        return out

    def __call__(
        self,
        X: Float[Tensor, "n 4 length"],
        target: Target = 0,
        *,
        args: Sequence[Tensor] | None = None,
        progress: bool = False,
    ) -> Explanation:
        """Explain sequences.

        Parameters
        ----------
        X
            (N, 4, L) one-hot sequences (or any input the model takes); arrays are converted.
        target
            Output index, (N,) indices, a function of the output that returns (N,), None where the model returns
            one number per sequence, or text as on the command line (``"1-0"``, ``"donor:0,2"``, ``"sum"``; see
            `genoplrp.relevance.targets.output_target`).
        args
            Further inputs of the model, (N, ...) each.
        progress
            Show a progress bar.

        Returns
        -------
        Explanation
            On the CPU.
        """
        if self.pruning is not None and isinstance(self.pruning.p, str) and self.pruning.p in SEARCHES:
            found: Explanation = SEARCHES[self.pruning.p](self, X, target, args=args, progress=progress)
            return found
        return self._explain(X, target, args, [self.pruning], progress)[0]

    def sweep(
        self,
        X: Float[Tensor, "n 4 length"],
        target: Target = 0,
        p: Sequence[float] = SWEEP,
        *,
        args: Sequence[Tensor] | None = None,
        progress: bool = False,
    ) -> Iterator[tuple[float, Explanation]]:
        """Explain with many values of p from one forward pass.

        Parameters
        ----------
        X, target, args, progress
            As in a call.
        p
            Shares to prune; all else as in the explainer's pruning. Default 0, 0.05, ..., 0.95.

        Yields
        ------
        tuple
            (p, `Explanation`).
        """
        base = self.pruning or Pruning()
        prunings = [base.with_p(value) for value in p]
        yield from zip(p, self._explain(X, target, args, list(prunings), progress), strict=True)

    def average(
        self,
        X: Float[Tensor, "n 4 length"],
        target: Target = 0,
        p: Sequence[float] = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25),
        *,
        args: Sequence[Tensor] | None = None,
        progress: bool = False,
    ) -> Explanation:
        """Explain with several p from one forward pass and average the maps, each in units of its positive mass.

        A base that survives strong pruning counts more than one that does not, and no base is lost that p = 0 shows.
        The result is scaled to the positive mass of the first map.

        Parameters
        ----------
        X, target, p, args, progress
            As in `sweep`.
        """
        return averaged((e for _, e in self.sweep(X, target, p, args=args, progress=progress)), p)

    def output(
        self, X: Float[Tensor, "n 4 length"], target: Target = 0, *, args: Sequence[Tensor] | None = None
    ) -> Float[Tensor, " n"]:
        """Return what the model itself returns for a target, without explaining it.

        Where the model ends in a sigmoid or softmax this is a probability, and `Explanation.prediction` its logit.

        Parameters
        ----------
        X, target, args
            As in a call.

        Returns
        -------
        Tensor
            (N,), on the CPU.

        Examples
        --------
        >>> import torch
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Conv1d(4, 8, 5), nn.Flatten(), nn.Linear(48, 1), nn.Sigmoid())
        >>> X = torch.eye(4)[torch.randint(4, (2, 10))].mT
        >>> explain = Explainer(model)
        >>> bool(torch.allclose(explain.output(X), explain(X).prediction.sigmoid()))
        True
        """
        x, extra = check_input(X, args, self._runner)
        wanted = check_target(target, len(x))
        parts = [torch.zeros(0)]
        start, size = 0, min(self.batch_size, self._fits.get(tuple(x.shape[1:]), self.batch_size))
        with torch.no_grad(), evaluation_mode(self._runner):
            while start < len(x):
                stop = min(start + size, len(x))
                batch, beside = x[start:stop], [a[start:stop] for a in extra]
                try:
                    y = self._called(batch, *beside)
                except Exception as error:
                    if self._turned(error, x, self._inputs_beside(extra)):
                        continue
                    raise
                parts.append(select_target(y, wanted(start, stop), stop - start).cpu())
                start = stop
        return torch.cat(parts)

    # -- the work -------------------------------------------------------------------------------------------------

    def _explain(
        self,
        X: object,
        target: Target,
        args: Sequence[Tensor] | None,
        prunings: list[Pruning | None],
        progress: bool,
        batch_size: int | None = None,
    ) -> list[Explanation]:
        x, extra = check_input(X, args, self._runner)
        wanted = check_target(target, len(x))
        if len(x) == 0:
            empty = Explanation(
                x.float().cpu(), torch.zeros(0), target_value(wanted(0, 0)), notes=["no sequences"]
            )
            return [empty for _ in prunings]
        parts: list[list[Explanation]] = []
        shape = tuple(x.shape[1:])
        start, size = 0, min(batch_size or self.batch_size, self._fits.get(shape, len(x)))
        alone = ""
        bar = _progress_bar(len(x), progress)
        with bar, one_explanation(), evaluation_mode(self._runner), plainly():
            while start < len(x):
                stop = min(start + size, len(x))
                try:
                    part = self._batch(
                        x[start:stop], [a[start:stop] for a in extra], wanted(start, stop), prunings
                    )
                except AmbiguousBatchError as error:
                    size = unambiguous(error, stop - start, size)
                    alone = str(error) if size == 1 else alone
                    continue
                except Exception as error:
                    if HOOKS in str(error):
                        raise UnsupportedOperationError(HOOKS) from None
                    if not self._turned(error, x, self._inputs_beside(extra)):
                        size = self._fits[shape] = half(error, x, stop - start)
                    continue
                parts.append(part)
                bar.update(stop - start)
                start = stop
        joined = [join([part[i] for part in parts]) for i in range(len(prunings))]
        if alone:
            for e in joined:
                e.notes.append(f"explained one sequence at a time: {alone}")
        return joined

    def _batch(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, prunings: list[Pruning | None]
    ) -> list[Explanation]:
        """Explain one batch: one forward pass, one backward pass for each pruning."""
        played = (
            None if self._recordings is None else self._played(self._recordings, x, extra, target, prunings)
        )
        if played is not None:
            return played
        answers = dict(self._answers)
        for _ in range(3):
            questions = Questions(answers)
            try:
                with questions.open():
                    results = self._batch_once(x, extra, target, prunings, questions)
            except WrongAnswerError:
                self._chains.forget()  # what was made of weights may rest on the answer
                continue
            self._answers = answers
            return results
        # Every batch answers in another way: wait for the device at each question.
        return self._batch_once(x, extra, target, prunings, None)

    def _batch_once(
        self,
        x: Tensor,
        extra: list[Tensor],
        target: OneTarget,
        prunings: list[Pruning | None],
        questions: Questions | None,
    ) -> list[Explanation]:
        results = self._enqueued(x, extra, target, prunings, questions)
        if questions is not None:
            questions.settle()
        return [on_host(e) for e in results]

    def _played(
        self,
        recordings: Recordings[list[Explanation]],
        x: Tensor,
        extra: list[Tensor],
        target: OneTarget,
        prunings: list[Pruning | None],
    ) -> list[Explanation] | None:
        """Return what a recorded batch of the same kind gives for this one; None where there is none."""
        if extra or not self._is_plain or not isinstance(target, int | None):
            return None
        with autograd_on():
            read = self._chains.signature(self._runner, self._called, x, self._tracer(Run(batch=len(x))))
        if read is None:
            return None
        kept = self.diagnostics, self.keep_multiplier, repr(self.keep)
        key = read, tuple(x.shape), x.dtype, target, repr(prunings), kept
        return recordings.play(
            key,
            x,
            lambda given, questions: self._enqueued(given, [], target, prunings, questions),
            self._answers,
            lambda: self._chains.prepared.entries,
            lambda results: [on_host(opened(e)) for e in results],
        )

    def _enqueued(
        self,
        x: Tensor,
        extra: list[Tensor],
        target: OneTarget,
        prunings: list[Pruning | None],
        questions: Questions | None,
    ) -> list[Explanation]:
        """Return the explanations of a batch, on its device: nothing is waited for."""
        with autograd_on():
            run = Run(batch=len(x), keep=self.keep, questions=questions)
            if self.diagnostics:
                run.ledger = Ledger()
            forward = self._by_fast_path(x, extra, target, run) or self._by_autograd(x, extra, target, run)
            output, tracer = forward.output, forward.tracer
            tracer.rules.check_names([layer.name for layer in run.layers])
            results = []
            for i, pruning in enumerate(prunings):
                run.pruning = {} if pruning is None else pruning.plan(run.layers)
                if run.ledger is not None:
                    run.ledger = Ledger(operations=run.ledger.operations)
                run.intermediate = {}
                last = i == len(prunings) - 1
                relevance, multiplier = forward.backward(last)
                check_finite(relevance, "relevance")
                results.append(
                    Explanation(
                        relevance=relevance,
                        prediction=output.detach(),
                        target=target_value(target),
                        multiplier=multiplier if self.keep_multiplier else None,
                        intermediate=self._in_order(run),
                        notes=[*self._notes, *tracer.notes],
                        settings=self._settings(pruning, tracer) | {"pass": forward.kind},
                        ledgers=[] if run.ledger is None else [(0, run.ledger)],
                    )
                )
        return results

    def _forward(
        self, x: Tensor, extra: list[Tensor], target: OneTarget, run: Run
    ) -> tuple[Tensor, Tensor | None, Tensor, Tracer]:
        tracer = self._tracer(run)
        leaf = x.detach().clone().requires_grad_(True)
        direct = any(rule.direct for rule in self._all_rules())
        shadow = torch.zeros_like(leaf).requires_grad_(True) if direct else None
        tracer.leaf(leaf, is_input=True, shadow=shadow)
        with tracer:
            y = self._called(leaf, *extra)
        y = tracer.latest(y)
        y = at_logits(y, tracer)
        output = explained_numbers(y, tracer, target, len(x))
        if not run.layers:
            tracer.note("the model has no convolution or linear layer: nothing can be pruned")
        return leaf, shadow, output, tracer

    def _called(self, *inputs: Tensor) -> Any:
        """Call the model; an error of its own says what shapes it was given."""
        return called(self._runner, *inputs)

    def _turned(self, error: Exception, x: Tensor, args: Sequence[Tensor]) -> bool:
        """Return whether a model that failed takes another order of axes, in which it is called from now on."""
        if self._layout_known or is_out_of_memory(error) or not may_be_of_shape(error):
            return False
        if isinstance(self._runner, Adapted) or x.dim() != 3 or x.shape[1] != BASES:
            return False
        self._layout_known = True
        layout = recognised(self._runner, x, args)
        if layout == "NCL":
            return False
        self._runner, self._chains = Adapted(self._runner, layout), Chains()
        self._notes.append(f"the model takes {LAYOUTS[layout]}: relevance is returned as (N, 4, L)")
        return True

    def _inputs_beside(self, extra: list[Tensor]) -> Sequence[Tensor]:
        """Return the further inputs that the model itself takes."""
        return extra

    def _by_autograd(self, x: Tensor, extra: list[Tensor], target: OneTarget, run: Run) -> _Forward:
        leaf, shadow, output, tracer = self._forward(x, extra, target, run)

        def back(last: bool) -> tuple[Tensor, Tensor | None]:
            return self._backward(output, leaf, shadow, run, retain=not last)

        return _Forward(output, tracer, back, "autograd")

    def _by_fast_path(self, x: Tensor, extra: list[Tensor], target: OneTarget, run: Run) -> _Forward | None:
        """Compute a model that is a plain chain of layers without autograd; None for any other."""
        if extra or not self._is_plain or run.cuts is not None or run.reference is not None:
            return None
        tracer = self._tracer(run)
        chain = self._chains.start(self._runner, self._called, x, run, tracer)
        if chain is None:
            return None
        for leaf in chain.leaves:
            tracer.leaf(leaf, is_input=False)
        output = explained_numbers(chain.output, tracer, target, len(x))
        return _Forward(output, tracer, lambda last: chain.backward(output, last=last), "fast path")

    @property
    def _is_plain(self) -> bool:
        """Whether no subclass traces or goes back in its own way."""
        kind = type(self)
        return kind._tracer is Explainer._tracer and kind._backward is Explainer._backward

    def _tracer(self, run: Run) -> Tracer:
        return Tracer(run, self.rules, *self._names())

    def _names(self) -> tuple[dict[nn.Module, str], dict[int, str]]:
        inner = self._runner.model if isinstance(self._runner, Adapted) else self._runner
        return module_names(inner), {id(p): path for path, p in inner.named_parameters()}

    def _backward(
        self, output: Tensor, leaf: Tensor, shadow: Tensor | None, run: Run, *, retain: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Return the input's relevance, and its multiplier where the input rule has one."""
        inputs = [leaf] if shadow is None else [leaf, shadow]
        grads = torch.autograd.grad(output.sum(), inputs, retain_graph=retain, allow_unused=True)
        g = torch.zeros_like(leaf) if grads[0] is None else grads[0]
        relevance = leaf.detach() * g
        if shadow is None or grads[1] is None:
            return relevance, g
        return relevance + grads[1], None

    def _recorder(self) -> Recordings[list[Explanation]]:
        if devices.kind_of(torch.empty(0, device=self.device)) != "cuda":
            raise InputError(
                f"cuda_graph=True records what a CUDA device does, and this explainer computes on {self.device}: leave "
                "it out, or give device='cuda'"
            )
        return Recordings(CudaGraphs(self.device))

    def _all_rules(self) -> list[Rule]:
        book = self.rules
        return [
            book.preset.input,
            book.preset.convolution,
            book.preset.dense,
            *book.by_name.values(),
            *book.by_type.values(),
        ]

    def _in_order(self, run: Run) -> dict[str, Tensor]:
        return {
            layer.name: run.intermediate[layer.name] for layer in run.layers if layer.name in run.intermediate
        }

    def _settings(self, pruning: Pruning | None, tracer: Tracer) -> dict[str, Any]:
        return {"rules": self.rules, "pruning": pruning, "operations": tracer.counts}


@dataclass(frozen=True, eq=False)
class _Forward:
    """A computed batch: the explained numbers, and how to go back from them (for the last time, or not)."""

    output: Tensor
    tracer: Tracer
    backward: Callable[[bool], tuple[Tensor, Tensor | None]]
    kind: str


def _progress_bar(total: int, progress: bool) -> tqdm:
    from tqdm import tqdm

    # None: no bar where the output is not a terminal.
    return tqdm(total=total, desc="explain", unit="seq", disable=None if progress else True)
