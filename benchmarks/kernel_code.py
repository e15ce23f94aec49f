"""The code of the Triton kernels for a card that is not here: ``python -m benchmarks.kernel_code``.

Compiled for an H200 (compute capability 9.0) with the tools that come with Triton: registers a thread, spilled bytes,
warps of a multiprocessor that they leave room for (of 64), instructions in all and in the largest loop.
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.timing import table

CAPABILITY = 90
REGISTERS, WARPS = 65_536, 64  # of a multiprocessor of compute capability 8.0 and 9.0
INTEGERS = ("entries", "chunk", "parts", "n", "runs", "channels")
NUMBERS = ("epsilon", "coefficient", "cap", "up_scale", "down_scale")
POINTERS = {
    "p_pos_ptr": "*fp64", "p_neg_ptr": "*fp64", "masses_ptr": "*fp64", "scale_ptr": "*fp64", "parts_ptr": "*fp64",
    "counts_ptr": "*i64", "sums_ptr": "*i64", "bracket_ptr": "*i32", "candidates_ptr": "*i32", "others_ptr": "*i32",
}  # fmt: skip


def kernels() -> list[tuple[Any, dict[str, Any], int]]:
    """Return kernels, their constants, and warps a program."""
    from genoplrp.relevance.propagation import triton_arithmetic as arithmetic
    from genoplrp.relevance.pruning import triton_kernel as kernel

    return [
        (kernel._prune_row, {"BY_MEAN": False, "MODE": 1, "BLOCK": 1024}, 4),
        (kernel._prune_row, {"BY_MEAN": False, "MODE": 1, "BLOCK": 8192}, 8),
        (kernel._bracket, {"SAMPLE": kernel._SAMPLE}, 8),
        (kernel._sums, {"GROUPS": True, "BRACKET": True, "LANES": kernel._LANES}, 4),
        (kernel._at_mean, {}, 1),
        (kernel._refine, {"BY_MEAN": False, "TILE": kernel._TILE}, 8),
        (kernel._write, {"MODE": 1, "BLOCK": kernel._BLOCK}, 4),
        (arithmetic._signal, {"HAS_DENOMINATOR": True, "HAS_EPSILON": True, "WHICH": 1, "BLOCK": 1024}, 4),
        (arithmetic._products, {"BLOCK": 1024}, 4),
        (arithmetic._rescale, {"BLOCK": 1024}, 4),
        (arithmetic._rescale_sides, {"HAS_BIAS": True, "BLOCK": 1024}, 4),
        (arithmetic._add_kept, {"HAS_SECOND": True, "BLOCK": 1024}, 4),
    ]


def compiled(function: Any, constants: dict[str, Any], warps: int, capability: int) -> Any:
    """Compile a kernel for a card."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    def kind(name: str) -> str:
        if name in constants:
            return "constexpr"
        return "i32" if name in INTEGERS else "fp32" if name in NUMBERS else POINTERS.get(name, "*fp32")

    places = {name: (i,) for i, name in enumerate(function.arg_names)}
    aligned = {place: [["tt.divisibility", 16]] for name, place in places.items() if name.endswith("_ptr")}
    source = ASTSource(
        function,
        {name: kind(name) for name in function.arg_names},
        {places[name]: value for name, value in constants.items()},
        aligned,
    )
    target = GPUTarget("cuda", capability, 32)
    return triton.compile(source, target=target, options={"num_warps": warps})


def measured(function: Any, constants: dict[str, Any], warps: int) -> dict[str, Any]:
    """Return what a kernel takes of a multiprocessor."""
    import triton

    tools = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
    code = compiled(function, constants, warps, CAPABILITY)
    with tempfile.TemporaryDirectory() as name:
        ptx, binary = Path(name) / "kernel.ptx", Path(name) / "kernel.cubin"
        ptx.write_text(code.asm["ptx"])
        binary.write_bytes(code.asm["cubin"])
        said = _output(tools / "ptxas", "-v", f"-arch=sm_{CAPABILITY}a", ptx, "-o", Path(name) / "out")
        listing = _output(tools / "nvdisasm", "-c", binary)
    registers = int(re.findall(r"Used (\d+) registers", said)[0])
    programs = min(REGISTERS // (registers * 32 * warps), WARPS // warps)
    instructions, loop = _counted(listing)
    size = next((f" {key} = {constants[key]}" for key in ("BLOCK",) if constants.get(key, 1024) != 1024), "")
    return {
        "kernel": function.__name__ + size,
        "registers": registers,
        "spilled bytes": sum(map(int, re.findall(r"(\d+) bytes spill", said))),
        "warps": programs * warps,
        "instructions": instructions,
        "largest loop": loop,
    }


def _output(*command: Any) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def _counted(listing: str) -> tuple[int, int]:
    """Return the instructions of a listing, and those of the longest way back to a label."""
    labels: dict[str, int] = {}
    count = longest = 0
    for line in listing.splitlines():
        if label := re.match(r"\s*(\.L\w+):", line):
            labels[label[1]] = count
        if not re.search(r"/\*[0-9a-f]{4,}\*/ ", line):
            continue
        count += 1
        if (back := re.search(r"\bBRA\b.*`\((\.L\w+)\)", line)) and back[1] in labels:
            longest = max(longest, count - labels[back[1]])
    return count, longest


def main() -> None:
    os.environ.pop("TRITON_INTERPRET", None)  # read where a kernel is defined
    rows = [measured(*kernel) for kernel in kernels()]
    print(table(rows, list(rows[0])))


if __name__ == "__main__":
    main()
