"""Mutation testing: which small changes to the functions of a module no test notices.

``python -m benchmarks.mutants genoplrp/relevance/rules.py tests/relevance/test_rules_against_matrices.py``: a module,
then arguments of pytest. A mutant runs in a fork, with the tests that execute its line, until one fails. Not mutated:
messages, annotations, default values, what runs on import; compiled loops only with ``NUMBA_DISABLE_JIT=1``.
"""

import ast
import gc
import importlib
import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import CodeType, FunctionType
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

SECONDS = 20
"""Of tests that a mutant has to survive. What then runs four times as long does not end: it counts as killed."""
SWAPS = "Lt-LtE-GtE LtE-Lt-Gt Gt-GtE-LtE GtE-Gt-Lt Eq-NotEq NotEq-Eq Is-IsNot IsNot-Is In-NotIn NotIn-In And-Or Or-And"
SWAPS += (
    " Add-Sub Sub-Add Mult-Div Div-Mult FloorDiv-Div Mod-Div Pow-Mult BitAnd-BitOr BitOr-BitAnd LShift-RShift"
)
OTHERS = {first: others for first, *others in (pair.split("-") for pair in SWAPS.split())}
LEFT = ast.arguments | ast.Import | ast.ImportFrom | ast.Assert | ast.JoinedStr
Changed = list[tuple[FunctionType, CodeType]]


def changes(node: Any) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield the mutants of one node: what is changed, and a function that changes it in place."""
    put = partial(setattr, node)
    for i, op in enumerate(ops := getattr(node, "ops", [getattr(node, "op", None)])):
        for other in OTHERS.get(type(op).__name__, ()):
            change = partial(ops.__setitem__, i) if hasattr(node, "ops") else partial(put, "op")
            yield f"{type(op).__name__} -> {other}", partial(change, getattr(ast, other)())
    if isinstance(node, ast.UnaryOp):
        yield f"no {type(node.op).__name__}", partial(become, node, node.operand)
    for i in range(len(node.values) if isinstance(node, ast.BoolOp) else 0):
        rest = node.values[:i] + node.values[i + 1 :]
        yield f"no term {i}", partial(become, node, ast.BoolOp(node.op, rest) if rest[1:] else rest[0])
    for i, keyword in enumerate(node.keywords if isinstance(node, ast.Call) else ()):
        if keyword.arg not in (None, "strict"):
            yield f"no {keyword.arg}=", partial(node.keywords.pop, i)
    if isinstance(node, ast.Constant) and isinstance(v := node.value, bool | int | float | str):
        new: Any = not v if isinstance(v, bool) else v + "XX" if isinstance(v, str) else v + 1
        yield f"{v!r} -> {new!r}", partial(put, "value", new)
    if isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "condition negated", partial(put, "test", ast.UnaryOp(ast.Not(), node.test))
    if isinstance(node, ast.Return) and ast.unparse(node) not in ("return", "return None"):
        yield "return None", partial(put, "value", ast.Constant(None))
    again = isinstance(node, ast.Assign) and not isinstance(node.targets[0], ast.Name | ast.Tuple)
    if again or isinstance(node, ast.Expr | ast.AugAssign | ast.Raise | ast.Continue | ast.Break):
        yield f"no {type(node).__name__}", partial(become, node, ast.Pass())


def become(node: ast.AST, other: ast.AST) -> None:
    """Turn a node into another one, where it stands."""
    fields = vars(other).copy()
    node.__class__ = type(other)
    vars(node).update(fields)


def mutable(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the nodes whose change a caller could see."""
    aside = [
        getattr(node, "returns", None),
        getattr(node, "annotation", None),
        *getattr(node, "decorator_list", []),
    ]
    for child in ast.iter_child_nodes(node):
        is_text = isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)
        is_guard = isinstance(child, ast.keyword) and child.arg == "strict"
        if not (is_text or is_guard or isinstance(child, LEFT) or any(child is other for other in aside)):
            yield child
            yield from () if isinstance(child, ast.Raise) else mutable(child)


def mutants(source: str, file: str) -> Iterator[tuple[set[int], str, Changed]]:
    """Yield the lines of the statement, line and change, and the functions that are changed, with their new code."""
    gc.unfreeze()  # the tests' settings put what was imported out of its sight
    alive = [f for f in gc.get_objects() if type(f) is FunctionType and f.__code__.co_filename == file]
    gc.freeze()
    lines = range(0)
    for place, node in enumerate(mutable(ast.parse(source))):
        if isinstance(node, ast.stmt):
            body = getattr(node, "body", None)
            lines = range(node.lineno, body[0].lineno if body else (node.end_lineno or node.lineno) + 1)
        for choice, (change, _) in enumerate(changes(node)):
            tree = ast.parse(source)
            list(changes(list(mutable(tree))[place]))[choice][1]()
            new = codes(compile(ast.fix_missing_locations(tree), file, "exec"))
            pairs = [
                (f, new.get((f.__code__.co_qualname, f.__code__.co_firstlineno), f.__code__)) for f in alive
            ]
            if changed := [(f, code) for f, code in pairs if code != f.__code__]:
                yield set(lines), f"{getattr(node, 'lineno', lines.start)}: {change}", changed


def codes(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """Return a code object and all those in it, by name and line."""
    inner = [codes(c) for c in code.co_consts if isinstance(c, CodeType)]
    return {key: c for found in inner for key, c in found.items()} | {
        (code.co_qualname, code.co_firstlineno): code
    }


def pytest_runtestloop(session: pytest.Session) -> bool:
    """Measure the tests, then run every mutant with those that execute its line, in place of running the tests."""
    module = importlib.import_module(sys.argv[1].removesuffix(".py").replace("/", "."))
    file, items = str(module.__file__), session.items
    # All that runs, runs in forks: autograd does not work in a fork of a process that has used it.
    measured, imported = forked(lambda: ([measure(item, file) for item in items], [*sys.modules]), 3600)
    for name in imported:  # no fork has to, then
        with suppress(Exception):
            importlib.import_module(name)
    verdicts, kills, cases, rank = Counter[str](), Counter[int](), Counter[str](), {}
    for seconds, k in sorted((seconds, k) for k, (seconds, _) in enumerate(measured)):
        cases[name := items[k].nodeid.split("[")[0]] += 1
        rank[k] = cases[name], seconds  # one case of each test, then another
    for lines, change, changed in mutants(Path(file).read_text(), file):
        reach = [k for k in rank if not lines.isdisjoint(measured[k][1])]
        chosen = [(k, items[k]) for k in sorted(reach, key=lambda k: (-kills[k], rank[k]))]
        killer = forked(partial(killed_by, chosen, module, changed), 4 * SECONDS)
        kills[killer] += 1
        verdicts[verdict := "killed" if killer != -1 else "survived" if chosen else "no test"] += 1
        if killer == -1:
            print(f"{sys.argv[1]}:{change} ({verdict})", flush=True)
    print(f"{sys.argv[1]}: {verdicts.total()} mutants, {dict(verdicts)}", flush=True)
    return True


def measure(item: pytest.Item, file: str) -> tuple[float, list[int]]:
    """Return the seconds of a test and the lines of a file that it executes; no lines if it fails."""
    lines = set()

    def trace(frame: Any, event: str, _: Any) -> Any:
        lines.add(frame.f_lineno if frame.f_code.co_filename == file else 0)
        return trace if frame.f_code.co_filename == file else None

    start = time.perf_counter()
    sys.settrace(trace)
    has_passed = passes(item)
    sys.settrace(None)
    return time.perf_counter() - start, sorted(lines) if has_passed else []


def killed_by(chosen: list[tuple[int, pytest.Item]], module: Any, changed: Changed) -> int:
    """Return the number of the first test that fails with the changed functions, or -1."""
    for function, code in changed:
        function.__code__ = code
    for cached in vars(module).values():
        getattr(cached, "cache_clear", int)()
    end = time.perf_counter() + SECONDS
    return next((k for k, item in chosen if time.perf_counter() < end and not passes(item)), -1)


def passes(item: pytest.Item) -> bool:
    """Run one test."""
    return not any(report.failed for report in runtestprotocol(item, log=False, nextitem=None))


def forked(function: Callable[[], Any], seconds: int) -> Any:
    """Return what a function returns in a fork, as JSON holds it; None if it dies or does not end."""
    read, write = os.pipe()
    if (child := os.fork()) == 0:
        with suppress(BaseException):
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            signal.alarm(seconds)
            os.write(write, json.dumps(function()).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else None


if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    options = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-o",
        "addopts=-m 'not interop'",
        "-q",
        "-s",
        "-W",
        "ignore",
    ]
    sys.exit(pytest.main([*options, *sys.argv[2:]], plugins=[sys.modules[__name__]]))
