"""Question: is a training step in NumPy faster than one in PyTorch, on one core?

Each row is one network and mini-batch size: the median milliseconds of a whole step (forward, loss,
backward, update) in float32, ours and PyTorch's alternating, one thread each. Ratios are ours to
PyTorch's default layout, and to channels_last; below 1 ours is faster. The next columns are the
targets (solid, and goal), and the largest difference of the gradients of one step from PyTorch's in
float64, relative to the largest gradient: ours in float64, ours and PyTorch's in float32.

    python -m benchmarks.training [--more]

With --more, also the ratios to PyTorch with torch.compile, which needs a C++ compiler, and with
bfloat16 autocast, which needs a processor that computes in it, each in the faster of both layouts.
"""

from __future__ import annotations

import argparse

from benchmarks.measure import control, head, in_turns, torch
from benchmarks.twins import (
    DEEP,
    DOUBLED,
    LENET,
    MLP,
    MLP_ADAM,
    NORMALIZED,
    errors,
    our_step,
    their_step,
)
from nets import threads
from nets.settings import Settings

ROWS: list[tuple[str, Settings, int, str, str]] = [
    ("deep_convnet", DEEP, 32, "0.75 / 0.95", "0.55 / 0.68"),
    ("deep_convnet", DEEP, 128, "0.75 / 0.95", "0.55 / 0.68"),
    ("deep_convnet", DEEP, 256, "0.75 / 0.95", "0.55 / 0.68"),
    ("deep_convnet, batch norm", NORMALIZED, 128, "0.90 / 1.10", "0.70 / 0.85"),
    ("deep_convnet, 32-64-128", DOUBLED, 128, "", ""),
    ("lenet", LENET, 128, "0.75 / 0.95", "0.60 / 0.75"),
    ("mlp 784-100x6-10, SGD", MLP, 32, "", ""),
    ("mlp 784-100x6-10, SGD", MLP, 128, "0.80", "0.65"),
    ("mlp 784-100x6-10, SGD", MLP, 256, "", ""),
    ("mlp 784-100x6-10, Adam", MLP_ADAM, 32, "", ""),
    ("mlp 784-100x6-10, Adam", MLP_ADAM, 128, "0.65", "0.52"),
    ("mlp 784-100x6-10, Adam", MLP_ADAM, 256, "", ""),
]


MORE = {"compiled": {"compiled": True}, "bfloat16": {"bfloat16": True}}
"""Other ways to run PyTorch, as arguments of `their_step`."""


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--more", action="store_true", help="torch.compile and bfloat16 too")
    options = parser.parse_args(arguments)
    head(__doc__)
    if torch is not None:
        torch.set_num_threads(1)
    with threads.use(1):
        taken = in_turns(control(), repeats=21)
        print("  control, a matrix product of 0.5 GFLOP: " + shown(taken))
        print(
            f"  {'network':26}{'batch':>6}{'ours':>9}{'default':>9}{'ch. last':>9}   "
            f"{'ratio':13}{'solid':13}{'goal':13}gradients f64 / f32 / PyTorch f32"
        )
        for name, settings, batch, solid, goal in ROWS:
            print(f"  {name:26}{batch:6}{row(settings, batch, solid, goal)}", flush=True)
        if options.more and torch is not None:
            print(f"\n  {'network':26}{'batch':>6}{'ours':>9}" + "".join(f"{m:>18}" for m in MORE))
            for name, settings, batch, *_ in ROWS:
                print(f"  {name:26}{batch:6}{more(settings, batch)}", flush=True)


def shown(taken: dict[str, float]) -> str:
    """Return milliseconds by name as a string."""
    return ", ".join(f"{name} {value:.2f} ms" for name, value in taken.items())


def row(settings: Settings, batch: int, solid: str, goal: str) -> str:
    """Measure one row of the table and return its cells."""
    is_mlp = settings.architecture == "mlp"
    steps = {"ours": our_step(settings, batch)}
    if torch is not None:
        steps["default"] = their_step(settings, batch, channels_last=False)
        if not is_mlp:
            steps["channels last"] = their_step(settings, batch, channels_last=True)
    taken = in_turns(steps, repeats=31 if is_mlp else 15, inner=10 if is_mlp else 1)
    ours, *theirs = taken.values()
    cells = "".join(f"{value:9.2f}" for value in taken.values()).ljust(27)
    ratio = " / ".join(f"{ours / value:.2f}" for value in theirs)
    exactness = " / ".join(f"{error:.0e}" for error in errors(settings, batch).values())
    return f"{cells}   {ratio:13}{solid:13}{goal:13}{exactness}"


def more(settings: Settings, batch: int) -> str:
    """Measure one row of the second table and return its cells."""
    is_mlp = settings.architecture == "mlp"
    layouts = (False,) if is_mlp else (False, True)
    steps = {"ours": our_step(settings, batch)} | {
        f"{way} {last}": their_step(settings, batch, channels_last=last, **values)
        for way, values in MORE.items()
        for last in layouts
    }
    taken = in_turns(steps, repeats=31 if is_mlp else 15, inner=10 if is_mlp else 1)
    ours = taken.pop("ours")
    best = [min(taken[f"{way} {last}"] for last in layouts) for way in MORE]
    return f"{ours:9.2f}" + "".join(f"{value:10.2f}  ({ours / value:.2f})" for value in best)


if __name__ == "__main__":
    main()
