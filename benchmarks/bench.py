"""How fast the package is against MindArmour and PyTorch, in one run with the contenders taking turns: make bench.

Writes results/bench.json: every measurement, and under "ratios" what they come to round by round, with the interval
and the aim of each. An aim depends on the processor, so missing one is no error; a contender that fails is. Every
figure is taken in a process of its own, so that no contender inherits another's threads or caches.

    python benchmarks/bench.py [--quick] [--out FILE]
"""

import argparse
import json
import os
import platform
import re
import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from tqdm import tqdm

from suppress_privacy.defences.layers import PUBLISHED_LAYERS
from suppress_privacy.files import atomically
from suppress_privacy.runtime import processor
from suppress_study.provenance import commit
from task import WARM

FOLDER = Path(__file__).parent
OUT = FOLDER.parent / "results" / "bench.json"
THREADS = 2  # for every contender, where nothing else is said
STEPS = 1875  # of one epoch of MNIST in batches of 32, which shorter stretches are scaled to
IMAGES = 30  # attacked at once, which MindArmour's one by one are scaled to
FEWEST = 5  # rounds that an interval is given for
INTERVAL = f"95 %, Student's t on the logarithms of the ratio in each round, from {FEWEST} rounds"

Found = dict[str, dict[str, list[dict[str, Any]]]]  # measurement -> contender -> what it printed, round by round


@dataclass(frozen=True)
class Stretch:
    """What one contender does in a round: a script with its task, and how much of it: steps, images, epochs, width."""

    command: str
    number: int
    quick: int = 2  # instead, where only the machinery is tried
    once: bool = False  # so slow that a short stretch, and one round, must do
    threads: int = THREADS


@dataclass(frozen=True)
class Ratio:
    """One ratio of the contract, how it is called, and what is aimed at."""

    what: str
    aim: str
    bound: float


BARE = "mindarmour as it comes"

# Each measurement: rounds, and the stretches that take turns in every round.
MEASUREMENTS: dict[str, tuple[int, dict[str, Stretch]]] = {
    "step": (
        9,
        {
            "ours": Stretch("ours.py step", 300),
            "torch": Stretch("torch_peer.py step", 300),
            "mindarmour": Stretch("mindarmour_peer.py cured step", 300),
            BARE: Stretch("mindarmour_peer.py bare step", 40, once=True),
        },
    ),
    "epoch": (
        9,
        {
            "ours": Stretch("ours.py epoch", 900, quick=75),
            "mindarmour": Stretch("mindarmour_peer.py cured epoch", 300),
            BARE: Stretch("mindarmour_peer.py bare epoch", 60, once=True),
        },
    ),
    "attack": (
        7,
        {
            "ours": Stretch("ours.py attack", IMAGES),
            "torch": Stretch("torch_peer.py attack", IMAGES),
            "mindarmour": Stretch("mindarmour_peer.py cured attack", 10, quick=1),
            BARE: Stretch("mindarmour_peer.py bare attack", 1, once=True),
        },
    ),
    "attack by images": (5, {str(count): Stretch("ours.py attack", count) for count in (1, 10, 100, 1000)}),
    "step by width": (2, {str(width): Stretch("ours.py size", width) for width in (4, 8, 16, 32)}),
    "private step": (5, {"ours": Stretch("ours.py private", 20, threads=1)}),
    "training": (1, {"ours": Stretch("ours.py training", 10, quick=1)}),
}

RATIOS = {
    "epoch_mindarmour_over_ours": Ratio("suppressed epoch: MindArmour / this package", "at least", 12),
    "epoch_suppressed_over_dense": Ratio("epoch: suppressed / ordinary, this package", "at most", 1.10),
    "step_ours_over_torch": Ratio("training step: this package / PyTorch", "at most", 1.3),
    "attack_mindarmour_over_ours": Ratio(
        f"attack, {IMAGES} images x 100 steps: MindArmour / this package", "at least", 60
    ),
    "step_private_over_dense": Ratio("step of 512 images, one thread: DP-SGD / ordinary, this package", "at most", 3),
    "attack_cost_1000_over_100": Ratio("attack, this package: 1,000 images / 100 images", "at most", 10.5),
}


class ContenderError(RuntimeError):
    """A contender that failed; the message names it, and the last thing it said."""


def started(command: str, number: int, **environment: str) -> subprocess.CompletedProcess[str]:
    """One contender at work, to its end.

    Raises:
        ContenderError: it cannot be started, or ends in an error.
    """
    script, *arguments = command.split()
    # PyTorch lives in an environment of its own.
    python = os.environ.get("TORCH_PYTHON", sys.executable) if script == "torch_peer.py" else sys.executable
    layers = json.dumps(PUBLISHED_LAYERS["mindarmour-example"])
    shared = {"OMP_NUM_THREADS": str(THREADS), "MASK_LAYERS": layers, "TQDM_DISABLE": "1", "GLOG_v": "3"}
    run = [python, str(FOLDER / script), *arguments, str(number)]
    try:
        done = subprocess.run(run, env=os.environ | shared | environment, capture_output=True, encoding="utf-8")
    except OSError as error:
        raise ContenderError(f"{command} {number} cannot be started: {error}.") from error
    if done.returncode:
        *_, last = done.stderr.strip().splitlines() or ["it said nothing"]
        raise ContenderError(f"{command} {number} ended with {done.returncode}: {last}")
    return done


def measured(command: str, number: int, threads: int = THREADS) -> dict[str, Any]:
    """The JSON object that one contender prints."""
    printed = started(command, number, OMP_NUM_THREADS=str(threads)).stdout
    try:
        return json.loads(printed)
    except json.JSONDecodeError as error:
        raise ContenderError(f"{command} {number} printed no JSON object but {printed[:60]!r}.") from error


def measurements(quick: bool) -> Found:
    """Every measurement; a quick run takes one round of tiny stretches, and leaves out what is slow even so."""
    turns = [
        (name, contender, stretch)
        for name, (rounds, stretches) in MEASUREMENTS.items()
        for number in range(1 if quick else rounds)
        for contender, stretch in stretches.items()
        if not (stretch.once and (quick or number))
    ]
    found: Found = {name: {} for name in MEASUREMENTS}
    with tqdm(turns, unit="run", disable=None) as bar:
        for name, contender, stretch in bar:
            bar.set_description(f"{name}, {contender}")
            result = measured(stretch.command, stretch.quick if quick else stretch.number, stretch.threads)
            found[name].setdefault(contender, []).append(result)
    return found


def profile(steps: int) -> dict[str, float]:
    """Where a dense step's time goes: milliseconds a step in each kind of oneDNN primitive, with one line a call."""
    spent: dict[str, float] = {}
    for line in started("ours.py step", steps, ONEDNN_VERBOSE="1").stderr.splitlines():
        fields = line.split(",")
        if "exec" in fields and re.fullmatch(r"\d+\.\d+(e-?\d+)?", fields[-1]):
            start = fields.index("exec")
            kind = f"{fields[start + 2]} {fields[start + 4]}".replace("undef", "").strip()
            spent[kind] = spent.get(kind, 0) + float(fields[-1])
    return {kind: value / (steps + WARM) for kind, value in sorted(spent.items(), key=lambda item: -item[1])}


def round_by_round(found: Found) -> dict[str, list[float]]:
    """Each ratio of the contract in every round, where both sides are neighbours in time."""

    def ratio(name: str, above: str, below: str, cost: Callable[[dict[str, Any]], float]) -> list[float]:
        return [cost(a) / cost(b) for a, b in zip(found[name][above], found[name][below], strict=True)]

    return {
        "epoch_mindarmour_over_ours": ratio(
            "epoch", "mindarmour", "ours", lambda run: run["suppressed"] / run["steps"]
        ),
        "epoch_suppressed_over_dense": [run["ratio"] for run in found["epoch"]["ours"]],
        "step_private_over_dense": [run["ratio"] for run in found.get("private step", {}).get("ours", ())],
        "step_ours_over_torch": ratio("step", "ours", "torch", lambda run: run["seconds"]),
        "attack_mindarmour_over_ours": ratio(
            "attack", "mindarmour", "ours", lambda run: run["seconds"] / run["images"]
        ),
        "attack_cost_1000_over_100": ratio("attack by images", "1000", "100", lambda run: run["seconds"]),
    }


def interval(rounds: Sequence[float]) -> tuple[float, float] | None:
    """exp(m -+ t s / sqrt(n)): m and s of the n rounds' logarithms, t Student's at 97.5 %; None for too few rounds."""
    if len(rounds) < FEWEST:
        return None
    logs = np.log(rounds)
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return float(np.exp(logs.mean() - half)), float(np.exp(logs.mean() + half))


def ratios(rounds: dict[str, list[float]]) -> dict[str, dict[str, Any]]:
    """What the rounds come to, beside the aims."""
    return {
        name: {
            "what": ratio.what,
            "rounds": rounds[name],
            "median": statistics.median(rounds[name]),
            "interval": interval(rounds[name]),
            "aim": [ratio.aim, ratio.bound],
        }
        for name, ratio in RATIOS.items()
        if rounds[name]  # not in runs made before it was asked
    }


def report(quick: bool) -> dict[str, Any]:
    """Everything measured, and on what."""
    at = commit()  # before the measurements, which take long
    torch = measured("torch_peer.py version", 0)["version"]
    found = measurements(quick)
    return {
        "machine": {
            "processor": processor(),
            "cores": os.cpu_count(),
            "threads": THREADS,
            "python": platform.python_version(),
            "versions": {name: version(name) for name in ("mindspore", "mindarmour", "numpy")} | {"torch": torch},
        },
        "commit": at,
        "epoch_steps": STEPS,
        "attack_images": IMAGES,
        "measurements": found,
        "profile_ms": profile(2 if quick else 200),
        "ratios": ratios(round_by_round(found)),
        "interval": INTERVAL,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one tiny round, to try the machinery")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write")
    options = parser.parse_args(arguments)
    try:
        content = report(options.quick)
    except ContenderError as error:
        print(error, file=sys.stderr)
        return 1
    with atomically(options.out) as part:
        part.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", "utf-8")
    for ratio in content["ratios"].values():
        count, ends = len(ratio["rounds"]), ratio["interval"]
        over = f"over {count} round{'s' if count > 1 else ''}"
        spread = f"{ends[0]:.3g} to {ends[1]:.3g} {over}" if ends else f"{over}, too few for an interval"
        print(f"{ratio['what']}: {ratio['median']:.3g} ({spread}; aim: {ratio['aim'][0]} {ratio['aim'][1]:g})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
