"""Tables of how fast the package is, in Markdown, from what `make bench` wrote."""

from collections.abc import Iterator
from statistics import median
from typing import Any

from report.tables import table

Bench = dict[str, Any]  # results/bench.json


def found(bench: Bench) -> str:
    """How much faster than MindArmour an epoch and an attack are."""
    epoch, attack = (bench["ratios"][f"{what}_mindarmour_over_ours"]["median"] for what in ("epoch", "attack"))
    return (
        f"**MindArmour takes {epoch:.0f} times as long for an epoch of suppressed training, and {attack:.0f} times as "
        "long for an attack**, on the same machine."
    )


def ratios(bench: Bench) -> str:
    """What each ratio came to over the rounds, beside what is aimed at."""
    rows = []
    for ratio in bench["ratios"].values():
        interval = _between(*ratio["interval"]) if ratio["interval"] else "too few rounds"
        bound, value = ratio["aim"]
        rounds = str(len(ratio["rounds"]))
        rows.append([ratio["what"], f"{ratio['median']:.3g}", interval, rounds, f"{bound} {value:g}"])
    return table(["ratio", "median", "95 % interval", "rounds", "aim"], rows)


def times(bench: Bench) -> str:
    """Median, least and greatest time of every contender."""
    rows = []
    for what, who, seconds in _timed(bench):
        scale, unit = (1000, "ms") if " step, " in what else (1, "s")
        values = [scale * value for value in seconds]
        rows.append([what, who, f"{median(values):.3g} {unit}", _between(min(values), max(values))])
    return table(["what", "who", "median", "least to greatest"], rows, repeat=True)


def _timed(bench: Bench) -> Iterator[tuple[str, str, list[float]]]:
    """What was timed, of whom, and the seconds; short stretches scaled to a whole epoch or all images."""
    epoch, images, found = bench["epoch_steps"], bench["attack_images"], bench["measurements"]
    for who, runs in found["step"].items():
        yield "training step, batch 32", who, [run["seconds"] for run in runs]
    for who, runs in found["epoch"].items():
        yield "suppressed epoch", who, [run["suppressed"] / run["steps"] * epoch for run in runs]
    for who, runs in found["attack"].items():
        yield f"attack, {images} images, 100 steps", who, [run["seconds"] / run["images"] * images for run in runs]
    for count, runs in found["attack by images"].items():
        yield f"attack, {int(count):,} images", "ours", [run["seconds"] for run in runs]
    for width, runs in found["step by width"].items():
        for kind in ("dense", "suppressed"):
            what = f"{kind} step, ConvNet of {runs[0]['weights']:,} parameters (width {width})"
            yield what, "ours", [run[kind] for run in runs]
    yield "whole training, 10 epochs", "ours", [run["seconds"] for run in found["training"]["ours"]]


def memory(bench: Bench) -> str:
    """Peak memory of the processes that trained and attacked, in GB."""
    found = bench["measurements"]
    runs = {
        "whole training on MNIST, ours": found["training"]["ours"],
        "suppressed epoch, MindArmour": found["epoch"]["mindarmour"],
        "1,000 images attacked, ours": found["attack by images"]["1000"],
    }
    peaks = {what: max(run["peak_memory_bytes"] for run in those) / 1e9 for what, those in runs.items()}
    return table(["what", "peak memory"], [[what, f"{peak:.2f} GB"] for what, peak in peaks.items()])


def profile(bench: Bench) -> str:
    """Where an ordinary training step spends its time, as oneDNN reports it."""
    spent = bench["profile_ms"].items()
    return table(["oneDNN primitive", "a step"], [[kind, f"{milliseconds:.2f} ms"] for kind, milliseconds in spent])


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
    shown = (found, ratios, times, memory, profile, machine)
    return {f"bench_{part.__name__}": part(bench) for part in shown} | {"bench_interval": bench["interval"]}


def _between(low: float, high: float) -> str:
    return f"{low:.3g} to {high:.3g}"
