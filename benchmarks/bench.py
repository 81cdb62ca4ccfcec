"""How fast the package is against MindArmour and PyTorch, in one run with the contenders taking turns: make bench.

Writes results/bench.json: every measurement, and under "ratio" what they come to, each with its bound. Every
figure is taken in a process of its own, so that no contender inherits another's threads or caches.
"""

import json
import os
import platform
import re
import statistics
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tqdm import tqdm

from suppress_privacy.study.records import commit, processor, write_json

FOLDER = Path(__file__).parent
OUT = FOLDER.parent / "results" / "bench.json"
THREADS = 2  # for every contender
STEPS = 1875  # of one epoch of MNIST in batches of 32

# Upper bounds, or lower ones where the peer is the numerator.
BOUNDS = {
    "epoch_mindarmour_over_ours": ("at least", 12),
    "epoch_suppressed_over_dense": ("at most", 1.10),
    "step_ours_over_torch": ("at most", 1.3),
    "attack_mindarmour_over_ours": ("at least", 60),
    "attack_cost_1000_over_100": ("at most", 10.5),
}

BARE = "mindarmour as it comes"  # so slow that a short stretch, and one round, must do

# Each measurement: rounds, and the commands that take turns in every round.
MEASUREMENTS = {
    "step": (
        7,
        {
            "ours": ("ours.py", "step", 400),
            "torch": ("torch_peer.py", "step", 400),
            "mindarmour": ("mindarmour_peer.py", "cured", "step", 400),
            BARE: ("mindarmour_peer.py", "bare", "step", 40),
        },
    ),
    "epoch": (
        2,
        {
            "ours": ("ours.py", "epoch", STEPS),
            "ours again": ("ours.py", "epoch", STEPS),
            "ours once more": ("ours.py", "epoch", STEPS),
            "mindarmour": ("mindarmour_peer.py", "cured", "epoch", STEPS),
            BARE: ("mindarmour_peer.py", "bare", "epoch", 60),
        },
    ),
    "attack": (
        2,
        {
            "ours": ("ours.py", "attack", 30),
            "torch": ("torch_peer.py", "attack", 30),
            "mindarmour": ("mindarmour_peer.py", "cured", "attack", 30),
            BARE: ("mindarmour_peer.py", "bare", "attack", 1),
        },
    ),
    "attack by images": (3, {str(count): ("ours.py", "attack", count) for count in (1, 10, 100, 1000)}),
    "step by width": (2, {str(width): ("ours.py", "size", width) for width in (4, 8, 16, 32)}),
    "training": (1, {"ours": ("ours.py", "training", 10)}),
}


def measured(command):
    """The JSON object that one contender prints."""
    script, *arguments = map(str, command)
    python = os.environ["TORCH_PYTHON"] if script == "torch_peer.py" else sys.executable
    if script == "torch_peer.py":
        arguments.append(str(THREADS))
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "TQDM_DISABLE": "1", "GLOG_v": "3"}
    run = subprocess.run([python, FOLDER / script, *arguments], env=environment, capture_output=True, text=True)
    if run.returncode:
        raise RuntimeError(f"{script} {' '.join(arguments)} ended with {run.returncode}:\n{run.stderr}")
    return json.loads(run.stdout)


def profile():
    """Where a dense step's time goes: milliseconds a step in each kind of oneDNN primitive, with one line a call."""
    timed, warm = 200, 30
    environment = os.environ | {"OMP_NUM_THREADS": str(THREADS), "ONEDNN_VERBOSE": "1"}
    command = [sys.executable, FOLDER / "ours.py", "step", str(timed)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    spent = {}
    for line in run.stderr.splitlines():
        fields = line.split(",")
        if "exec" in fields and re.fullmatch(r"\d+\.\d+(e-?\d+)?", fields[-1]):
            start = fields.index("exec")
            kind = f"{fields[start + 2]} {fields[start + 4]}".replace("undef", "").strip()
            spent[kind] = spent.get(kind, 0) + float(fields[-1])
    return {kind: value / (timed + warm) for kind, value in sorted(spent.items(), key=lambda item: -item[1])}


def ratios(found):
    """The ratios of the contract, each the median over rounds of a ratio taken within a round."""

    def ratio(name, above, below):
        pairs = zip(found[name][above[0]], found[name][below[0]], strict=True)
        return statistics.median(a[above[1]] / b[below[1]] for a, b in pairs)

    return {
        "epoch_mindarmour_over_ours": ratio("epoch", ("mindarmour", "suppressed"), ("ours", "suppressed")),
        "epoch_suppressed_over_dense": statistics.median(
            run["ratio"] for name in ("ours", "ours again", "ours once more") for run in found["epoch"][name]
        ),
        "step_ours_over_torch": ratio("step", ("ours", "seconds"), ("torch", "seconds")),
        "attack_mindarmour_over_ours": ratio("attack", ("mindarmour", "seconds"), ("ours", "seconds")),
        "attack_cost_1000_over_100": ratio("attack by images", ("1000", "seconds"), ("100", "seconds")),
    }


def kept(ratio):
    """Whether each ratio is within its bound."""
    inside = {"at least": lambda value, bound: value >= bound, "at most": lambda value, bound: value <= bound}
    return {name: bool(inside[BOUNDS[name][0]](value, BOUNDS[name][1])) for name, value in ratio.items()}


def main():
    found = {name: {contender: [] for contender in commands} for name, (_, commands) in MEASUREMENTS.items()}
    total = sum(
        rounds * len(commands) - (rounds - 1) * (BARE in commands) for rounds, commands in MEASUREMENTS.values()
    )
    with tqdm(total=total, unit="run", disable=None) as bar:
        for name, (rounds, commands) in MEASUREMENTS.items():
            for number in range(rounds):
                for contender, command in commands.items():
                    if number and contender == BARE:
                        continue
                    bar.set_description(f"{name}, {contender}")
                    found[name][contender].append(measured(command))
                    bar.update()
    ratio = ratios(found)
    write_json(
        OUT,
        {
            "machine": {
                "processor": processor(),
                "cores": os.cpu_count(),
                "threads": THREADS,
                "python": platform.python_version(),
                "versions": {name: version(name) for name in ("mindspore", "mindarmour", "numpy")},
                "torch": measured_version(),
            },
            "commit": commit(),
            "epoch_steps": STEPS,
            "measurements": found,
            "profile_ms": profile(),
            "ratio": ratio,
            "bounds": {name: list(bound) for name, bound in BOUNDS.items()},
            "within": kept(ratio),
        },
    )
    for name, value in ratio.items():
        print(f"{name}: {value:.3g} ({' '.join(map(str, BOUNDS[name]))})")
    return 0 if all(kept(ratio).values()) else 1


def measured_version():
    command = [os.environ["TORCH_PYTHON"], "-c", "import torch; print(torch.__version__)"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
