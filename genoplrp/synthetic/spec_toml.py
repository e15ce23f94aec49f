"""Specifications as TOML: presets and files read, with errors that name the key, and written with a data set."""

from __future__ import annotations

import dataclasses
import functools
import os
import tomllib
import types
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

from genoplrp.errors import InputError, SpecError
from genoplrp.synthetic.distributions import Count, Spacing
from genoplrp.synthetic.motif_sources import MotifSource, collect_motifs
from genoplrp.synthetic.spec import Spec
from genoplrp.synthetic.spec_parts import MotifUse
from genoplrp.synthetic.suggestion import suggestion
from genoplrp.version import __version__

_BY_SOURCE = ("motifs", "sets")
_BACKGROUND_FILES = ("file", "regions", "match")


def list_presets() -> list[str]:
    """Names of the specifications that come with the package.

    Examples
    --------
    >>> "koo2021_fixed" in list_presets()
    True
    """
    return sorted(file.name[: -len(".toml")] for file in _presets().iterdir() if file.name.endswith(".toml"))


def load_spec(name_or_path: str | os.PathLike[str]) -> Spec:
    """Load a preset by name, or a specification from a TOML file (also the ``spec.toml`` of a data set).

    Parameters
    ----------
    name_or_path : str or path
        A preset, see :func:`list_presets`, in its newest version or a given one (``tal_gata@1``); or a file, whose
        paths are relative to its own folder.

    Returns
    -------
    Spec

    Raises
    ------
    SpecError
        If it cannot be read or does not make sense; the message names the key.
    InputError
        If there is no such preset or file.

    Examples
    --------
    >>> load_spec("koo2021_fixed").length
    200
    """
    text = os.fspath(name_or_path)
    name, at, version = text.partition("@")
    if name in list_presets() and (not at or not Path(text).exists()):
        return spec_from_table(_parse_preset(name, version), where=text, folder=Path(str(_presets())))
    path = Path(text)
    if path.is_dir() and (path / "spec.toml").is_file():
        path = path / "spec.toml"
    if not path.exists() and path.suffix != ".toml":
        raise InputError(f"There is no preset and no file {text!r}; presets: {', '.join(list_presets())}.")
    return spec_from_table(_read_toml(path), where=path.name, folder=path.parent)


def spec_from_table(table: Mapping[str, Any], *, where: str = "spec", folder: Path | None = None) -> Spec:
    """Build a specification from a table as TOML gives it.

    Parameters
    ----------
    table : dict
        The keys of a specification file.
    where : str
        What messages call it.
    folder : path, optional
        Where relative paths start; the working directory by default.

    Returns
    -------
    Spec

    Raises
    ------
    SpecError
        If a key is unknown, missing or of the wrong kind, or the parts do not fit.
    """
    rest = _with_older_choices(table)
    try:
        entries = rest.pop("motifs", [])
        if not isinstance(entries, list):
            raise SpecError("motifs is a table; expected [[motifs]], an array of tables.")
        sources = [_build(MotifSource, entry, f"motifs[{i}]") for i, entry in enumerate(entries)]
        named_sets = _convert(rest.pop("sets", {}), Mapping[str, tuple[str, ...]], "sets")
        _place_backgrounds(rest, folder or Path())
        limits = _convert(rest.get("similarity", []), _hints(Spec)["similarity"], "similarity")
        motifs, sets, limits = collect_motifs(sources, named_sets, limits, folder or Path())
        rest.pop("similarity", None)
        spec: Spec = _build(Spec, rest, "", motifs=motifs, sets=sets, similarity=limits)
        return spec
    except SpecError as error:
        raise SpecError(f"{where}: {error}") from error.__cause__


def spec_to_table(spec: Spec, motif_file: str = "motifs.meme") -> dict[str, Any]:
    """Return a specification as a table for TOML; its motifs refer to ``motif_file``.

    Examples
    --------
    >>> spec_to_table(load_spec("koo2021"))["length"]
    200
    """
    table = {key: value for key, value in _plain(spec).items() if key not in _BY_SOURCE}
    groups: dict[tuple[str, float | None], list[str]] = {}
    for name, use in spec.motifs.items():
        groups.setdefault((use.sampling, use.min_score), []).append(name)
    table["motifs"] = [
        {"file": motif_file, "names": names, "sampling": sampling}
        | ({} if min_score is None else {"min_score": min_score})
        for (sampling, min_score), names in groups.items()
    ]
    for place, background in [
        (table, spec.background),
        *((of_class, one.background) for of_class, one in zip(table["classes"], spec.classes, strict=True)),
    ]:
        if background is not None and background.kind == "markov":
            # The fitted chain instead of the file it was fitted to: the data set needs nothing outside its folder.
            chain = {"transitions": background.chain.reshape(-1).tolist()}
            kept = {key: value for key, value in place["background"].items() if key != "file"}
            place["background"] = kept | chain
    if spec.sets:
        table["sets"] = {name: list(members) for name, members in spec.sets.items()}
    return table


def read_saved_spec(path: Path) -> tuple[Spec, int | None, dict[str, Any]]:
    """Read the ``spec.toml`` of a data set: the specification, the seed, and what the generator reported."""
    table = _read_toml(path)
    made = table.get("dataset", {})
    seed, report = (made.get("seed"), made.get("report", {})) if isinstance(made, dict) else (None, None)
    if not isinstance(report, dict) or type(seed) not in (int, type(None)):
        raise SpecError(f"{path.name}: dataset is {_shown(made)}; expected a table with a seed and a report.")
    return spec_from_table(table, where=path.name, folder=path.parent), seed, report


def write_saved_spec(path: Path, spec: Spec, *, seed: int | None, n: int, report: Mapping[str, Any]) -> None:
    """Write the ``spec.toml`` of a data set: with what, and from which seed, it was made."""
    import tomli_w

    made: dict[str, Any] = {"n": n, "genoplrp": __version__, "report": dict(report)}
    if seed is not None:
        made["seed"] = seed
    table = spec_to_table(spec)
    for key in _BACKGROUND_FILES:
        if table.get("background", {}).get(key):
            # Relative to the data set, which is how it is read again.
            file = os.path.relpath(table["background"][key], path.parent)
            table["background"][key] = Path(file).as_posix()
    table["stream"] = spec.stream
    table["dataset"] = made
    path.write_text(tomli_w.dumps(table), encoding="utf-8", newline="\n")


def _read_toml(path: Path) -> dict[str, Any]:
    if path.is_dir():
        raise InputError(f"{path} is a folder, not a specification file.")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}; check the path.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SpecError(f"{path.name} is not valid TOML: {error}.") from error


def _parse_preset(name: str, version: str = "") -> dict[str, Any]:
    """Table of a preset; an earlier version is the newest one but for the keys that it had otherwise."""
    newest: dict[str, Any] = tomllib.loads((_presets() / f"{name}.toml").read_text(encoding="utf-8"))
    number = newest.get("version", 1)
    if version in ("", str(number)):
        return newest
    earlier = tomllib.loads((_presets() / "earlier" / "versions.toml").read_text(encoding="utf-8"))
    if f"{name}@{version}" not in earlier:
        raise InputError(f"There is no version {version!r} of {name}; there are 1 to {number}.")
    differences: dict[str, Any] = earlier[f"{name}@{version}"]
    return newest | {"version": int(version)} | differences


def _presets() -> Any:
    return files("genoplrp.synthetic") / "presets"


def _with_older_choices(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the specification in a table; a data set's that does not say is older than some choices."""
    rest = {key: value for key, value in table.items() if key != "dataset"}
    if "dataset" in table and "stream" not in table:
        rest["stream"] = "seed"
        if rest.get("background", {}).get("kind") == "genome":
            rest["background"] = {"split_by": "none"} | rest["background"]
    return rest


def _place_backgrounds(rest: dict[str, Any], folder: Path) -> None:
    """Let the files of all backgrounds be looked for from a folder."""
    rest["background"] = _with_folder(rest.get("background", {}), folder)
    if isinstance(rest.get("classes"), list):
        rest["classes"] = [
            one | {"background": _with_folder(one["background"], folder)}
            if isinstance(one, dict) and "background" in one
            else one
            for one in rest["classes"]
        ]


def _with_folder(background: Any, folder: Path) -> Any:
    """Make the background's paths relative to the working directory instead of the specification's folder."""
    if not isinstance(background, dict):
        return background
    paths = {
        key: str(folder / background[key])
        for key in _BACKGROUND_FILES
        if isinstance(background.get(key), str)
    }
    return background | {key: path for key, path in paths.items() if background[key]}


@functools.cache
def _hints(cls: type[Any]) -> dict[str, Any]:
    """Types of the fields of a dataclass: to read them once compiles each annotation."""
    return get_type_hints(cls)


def _build(cls: type[Any], table: Any, where: str, **ready: Any) -> Any:
    """Make a dataclass of a table; messages carry the path of the key."""
    if not isinstance(table, dict):
        raise SpecError(f"{where or 'the file'} is {_shown(table)}; expected a table.")
    fields = {f.name: f for f in dataclasses.fields(cls)}
    for key in table:
        if key not in fields:
            raise SpecError(f"{_join(where, key)}: unknown key; {suggestion(key, fields)}")
    hints = _hints(cls)  # type: ignore[arg-type]  # to mypy a class is not hashable
    values = {key: _convert(value, hints[key], _join(where, key)) for key, value in table.items()} | ready
    for f in fields.values():
        required = f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        if required and f.name not in values:
            raise SpecError(f"{_join(where, f.name)} is missing; give it.")
    try:
        return cls(**values)
    except SpecError as error:
        raise SpecError(f"{where}: {error}" if where else str(error)) from error.__cause__


def _convert(value: object, hint: Any, where: str) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _convert_union(value, [arg for arg in args if arg is not type(None)], where)
    if origin is Literal:
        if value in args and isinstance(value, str):
            return value
        raise SpecError(f"{where} is {_shown(value)}; expected one of {', '.join(map(repr, args))}.")
    if origin is tuple:
        return _convert_list(value, args, where)
    if origin is not None and issubclass(origin, Mapping):
        if not isinstance(value, dict):
            raise SpecError(f"{where} is {_shown(value)}; expected a table.")
        return {key: _convert(item, args[1], _join(where, key)) for key, item in value.items()}
    if dataclasses.is_dataclass(hint):
        if hint in (Count, Spacing) and isinstance(value, int) and not isinstance(value, bool):
            value = {"value": value}  # a plain number is a fixed one
        return _build(cast("type[Any]", hint), value, where)
    return _convert_plain(value, hint, where)


def _convert_union(value: object, hints: list[Any], where: str) -> Any:
    if len(hints) == 1:
        return _convert(value, hints[0], where)
    lists = [hint for hint in hints if get_origin(hint) is tuple]
    return _convert(value, lists[0] if isinstance(value, list) else hints[0], where)


def _convert_list(value: object, args: tuple[Any, ...], where: str) -> Any:
    if isinstance(value, str) and args[0] is str:
        value = [value]  # one name needs no brackets
    if not isinstance(value, list):
        raise SpecError(f"{where} is {_shown(value)}; expected a list.")
    if args[-1] is not Ellipsis and len(value) != len(args):
        raise SpecError(f"{where} has {len(value)} entries; expected {len(args)}.")
    return tuple(_convert(item, args[0], f"{where}[{i}]") for i, item in enumerate(value))


def _convert_plain(value: object, hint: Any, where: str) -> Any:
    words = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if hint in words and type(value) is hint:
        return value
    raise SpecError(f"{where} is {_shown(value)}; expected {words.get(hint, str(hint))}.")


def _plain(value: object) -> Any:
    """Objects as TOML tables, without what has its default value."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        table = {}
        for f in dataclasses.fields(value):
            if isinstance(value, Spec) and f.name in _BY_SOURCE:
                continue
            item = getattr(value, f.name)
            default = f.default_factory() if f.default_factory is not dataclasses.MISSING else f.default
            if item is not None and item != default:
                table[f.name] = _plain(item)
        return table
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    return value


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


__all__ = ["MotifUse", "list_presets", "load_spec", "read_saved_spec", "spec_from_table", "spec_to_table"]
