"""Tables of how fast the package is, in Markdown, from what `make bench` wrote."""

from collections.abc import Iterable
from statistics import median
from typing import Any

import pandas as pd

Bench = dict[str, Any]  # results/bench.json


def ratios(bench: Bench) -> str:
    """What each ratio came to over the rounds, beside what is aimed at."""
    return _table(
        {
            "ratio": ratio["what"],
            "median": f"{ratio['median']:.3g}",
            "95 % interval": _between(*ratio["interval"]) if ratio["interval"] else "too few rounds",
            "rounds": len(ratio["rounds"]),
            "aim": f"{ratio['aim'][0]} {ratio['aim'][1]:g}",
        }
        for ratio in bench["ratios"].values()
    )


def times(bench: Bench) -> str:
    """Median, least and greatest time of every contender; short stretches scaled to a whole epoch or all images."""
    epoch, images, found = bench["epoch_steps"], bench["attack_images"], bench["measurements"]
    rows = [
        _row("training step, batch 32", who, [run["seconds"] for run in runs], "ms")
        for who, runs in found["step"].items()
    ]
    rows += [
        _row("suppressed epoch", who, [run["suppressed"] / run["steps"] * epoch for run in runs])
        for who, runs in found["epoch"].items()
    ]
    rows += [
        _row(f"attack, {images} images, 100 steps", who, [run["seconds"] / run["images"] * images for run in runs])
        for who, runs in found["attack"].items()
    ]
    rows += [
        _row(f"attack, {int(count):,} images", "ours", [run["seconds"] for run in runs])
        for count, runs in found["attack by images"].items()
    ]
    for width, runs in found["step by width"].items():
        for kind in ("dense", "suppressed"):
            what = f"{kind} step, ConvNet of {runs[0]['weights']:,} parameters (width {width})"
            rows.append(_row(what, "ours", [run[kind] for run in runs], "ms"))
    rows.append(_row("whole training, 10 epochs", "ours", [run["seconds"] for run in found["training"]["ours"]]))
    return _table(rows)


def memory(bench: Bench) -> str:
    """Peak memory of the processes that trained and attacked, in GB."""
    found = bench["measurements"]
    peaks = {
        "whole training on MNIST, ours": found["training"]["ours"],
        "suppressed epoch, MindArmour": found["epoch"]["mindarmour"],
        "1,000 images attacked, ours": found["attack by images"]["1000"],
    }
    return _table(
        {"what": what, "peak memory": f"{max(run['peak_memory_bytes'] for run in runs) / 1e9:.2f} GB"}
        for what, runs in peaks.items()
    )


def profile(bench: Bench) -> str:
    """Where an ordinary training step spends its time, as oneDNN reports it."""
    spent = bench["profile_ms"].items()
    return _table({"oneDNN primitive": kind, "a step": f"{milliseconds:.2f} ms"} for kind, milliseconds in spent)


def machine(bench: Bench) -> str:
    """What the benchmark ran on, for a sentence."""
    on, versions = bench["machine"], bench["machine"]["versions"]
    return (
        f"{on['cores']} cores of {on['processor']}, {on['threads']} threads for every contender, "
        f"MindSpore {versions['mindspore']}, MindArmour {versions['mindarmour']}, PyTorch {versions['torch']}, "
        f"Python {on['python']}, commit `{bench['commit']}`"
    )


def substitutions(bench: Bench) -> dict[str, str]:
    """What the speed page shows, by the names that it has there."""
    shown = (ratios, times, memory, profile, machine)
    return {f"bench_{part.__name__}": part(bench) for part in shown} | {"bench_interval": bench["interval"]}


def _row(what: str, who: str, seconds: list[float], unit: str = "s") -> dict[str, str]:
    values = [1000 * value if unit == "ms" else value for value in seconds]
    ends = _between(min(values), max(values))
    return {"what": what, "who": who, "median": f"{median(values):.3g} {unit}", "least to greatest": ends}


def _between(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"


def _table(rows: Iterable[dict[str, Any]]) -> str:
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)
