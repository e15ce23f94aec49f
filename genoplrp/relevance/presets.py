"""Which rule a layer takes: presets by place, overrides by name or module type, and their registration.

References
----------
Montavon et al. 2019, in *Explainable AI*, LNCS 11700: composites of rules by depth.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from torch import nn

from genoplrp.errors import InputError
from genoplrp.relevance.rules import AlphaBeta, Epsilon, Flat, Gamma, Rule, WSquare, ZBox, ZPlus


@dataclass(frozen=True)
class Preset:
    """A rule for each place of a layer.

    Parameters
    ----------
    input
        Layers that consume the model's input (a rule with ``gauge=True`` fixes the gauge where that input is
        one-hot DNA, and is the plain rule elsewhere).
    convolution, dense
        All other convolutions; all other linear maps.
    """

    input: Rule
    convolution: Rule
    dense: Rule


PRESETS: dict[str, Preset] = {
    # Gradient times input with a stabilizer; the comparison for everything else.
    "epsilon": Preset(Epsilon(), Epsilon(), Epsilon()),
    # The default: best ranking of the planted bases among the presets, see docs on rules.
    "gamma": Preset(Gamma(0.25, gauge=True), Gamma(0.25), Epsilon()),
    # The same with gamma in the dense layers: a saturated head neither cancels nor explodes there.
    "gamma-all": Preset(Gamma(0.25, gauge=True), Gamma(0.25), Gamma(0.25)),
    "zplus": Preset(Epsilon(gauge=True), ZPlus(), Epsilon()),
    "zplus-all": Preset(Epsilon(gauge=True), ZPlus(), ZPlus()),
    "alpha2beta1": Preset(Epsilon(gauge=True), AlphaBeta(2.0, 1.0), Epsilon()),
    # Composites as the image literature uses them, for comparison.
    "epsilon-plus": Preset(ZPlus(), ZPlus(), Epsilon()),
    "epsilon-plus-flat": Preset(Flat(), ZPlus(), Epsilon()),
    "epsilon-gamma-box": Preset(ZBox(0.0, 1.0), Gamma(0.25), Epsilon()),
    "wsquare": Preset(WSquare(), Gamma(0.25), Epsilon()),
}
DEFAULT_PRESET = "gamma"


def register_preset(name: str, preset: Preset) -> None:
    """Make ``rules=name`` stand for your own preset.

    Raises
    ------
    InputError
        If the name is that of a built-in preset.

    Examples
    --------
    >>> register_preset("mild", Preset(Gamma(0.1, gauge=True), Gamma(0.1), Epsilon()))
    """
    if name in _BUILT_IN:
        raise InputError(f"{name!r} is a built-in preset; take another name")
    PRESETS[name] = preset


@dataclass(frozen=True)
class RuleBook:
    """The rule of every layer of one model.

    Parameters
    ----------
    preset
        By place.
    by_name
        Layer name (wildcards allowed) -> rule; goes before everything else.
    by_type
        Module class -> rule; goes before the preset.
    """

    preset: Preset
    by_name: Mapping[str, Rule] = field(default_factory=dict)
    by_type: Mapping[type[nn.Module], Rule] = field(default_factory=dict)

    def rule_for(self, name: str, place: str, module: nn.Module | None) -> Rule:
        """Return the rule of one layer; a pattern that fits a module's path fits each of its calls (``conv#2``)."""
        for pattern, rule in self.by_name.items():
            if is_named(name, pattern):
                return rule
        for kind, rule in self.by_type.items():
            if isinstance(module, kind):
                return rule
        chosen: Rule = getattr(self.preset, place)
        return chosen

    def check_names(self, names: Sequence[str]) -> None:
        """Refuse a name that none of the model's layers has: its rule would be left out without a word.

        Raises
        ------
        InputError
            If there is one.
        """
        for pattern in self.by_name:
            if not any(is_named(name, pattern) for name in names):
                raise InputError(
                    f"rules names the layer {pattern!r}; the model has {', '.join(names) or 'none'}"
                )


Rules: TypeAlias = str | Preset | Rule | RuleBook | Mapping[Any, Rule | Preset | str]
"""What the explainers take as ``rules``, see `rule_book`; keys are layer names and module classes."""


def is_named(name: str, pattern: str) -> bool:
    """Return whether a layer's name, or the path of the module that is called, fits a pattern."""
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.split("#")[0], pattern)


def rule_book(rules: Rules) -> RuleBook:
    """Read the ``rules`` argument of the explainers.

    Parameters
    ----------
    rules
        Name of a preset; a `Preset`; one `Rule` for every layer; or a mapping from layer name (wildcards allowed) or
        module class to `Rule`, with ``"preset"`` -> name or `Preset` for all other layers.

    Raises
    ------
    InputError
        If it is none of these.
    """
    if isinstance(rules, RuleBook):
        return rules
    if isinstance(rules, str):
        if rules not in PRESETS:
            raise InputError(
                f"rules={rules!r}: choose one of {', '.join(map(repr, PRESETS))}, or register a preset"
            )
        return RuleBook(PRESETS[rules])
    if isinstance(rules, Preset):
        return RuleBook(rules)
    if isinstance(rules, Rule):
        return RuleBook(Preset(rules, rules, rules))
    if isinstance(rules, Mapping):
        base = rule_book(rules.get("preset", DEFAULT_PRESET)).preset
        by_name: dict[str, Rule] = {}
        by_type: dict[type[nn.Module], Rule] = {}
        for key, rule in rules.items():
            if key == "preset":
                continue
            if not isinstance(rule, Rule):
                raise InputError(
                    f"rules[{key!r}] is {rule!r}: give a Rule, e.g. genoplrp.relevance.Gamma(0.25)"
                )
            if isinstance(key, str):
                by_name[key] = rule
            elif isinstance(key, type) and issubclass(key, nn.Module):
                by_type[key] = rule
            else:
                raise InputError(f"rules has the key {key!r}: give a layer's name or a module class")
        return RuleBook(base, by_name, by_type)
    raise InputError(
        f"rules={rules!r}: give a preset's name, a Preset, a Rule, or a mapping from layer names to rules"
    )


_BUILT_IN = frozenset(PRESETS)
