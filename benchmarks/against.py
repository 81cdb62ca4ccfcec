"""This checkout beside another one of the project, task by task, taking turns: python benchmarks/against.py FOLDER

For each ratio of this package with itself, and each time that a ratio with a peer rests on: this one's over the other's
in every round, with its 95 % interval. One round of both is a minute; `--rounds` says how many.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from bench import THREADS, interval

FOLDER = Path(__file__).parent
TASKS = {  # what is timed: the task of ours.py, how much of it, and what of its answer counts
    "training step": ("step", 300, "seconds"),
    "suppressed epoch": ("epoch", 600, "suppressed"),
    "suppressed over dense": ("epoch", 600, "ratio"),
    "attack, 30 images": ("attack", 30, "seconds"),
    "attack, 1,000 images": ("attack", 1000, "seconds"),
}


def measured(checkout: Path, task: str, number: int) -> dict[str, Any]:
    """What one checkout's own contender prints, run on that checkout's own library."""
    environment = os.environ | {"PYTHONPATH": str(checkout / "lib"), "OMP_NUM_THREADS": str(THREADS), "GLOG_v": "3"}
    command = [sys.executable, str(checkout / "benchmarks" / "ours.py"), task, str(number)]
    run = subprocess.run(
        command, env=environment | {"TQDM_DISABLE": "1"}, capture_output=True, encoding="utf-8", check=True
    )
    return json.loads(run.stdout)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("other", type=Path, help="another checkout of the project")
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args(arguments)
    runs = dict.fromkeys((task, number) for task, number, _ in TASKS.values())
    found: dict[str, list[float]] = {name: [] for name in TASKS}
    for turn in tqdm(range(options.rounds), unit="round", disable=None):
        pair = (FOLDER.parent, options.other.absolute())
        for task, number in runs:
            # Each goes first in every other round.
            answers = {place: measured(place, task, number) for place in (pair if turn % 2 else pair[::-1])}
            for name, (of, much, part) in TASKS.items():
                if (of, much) == (task, number):
                    found[name].append(answers[pair[0]][part] / answers[pair[1]][part])
    for name, ratios in found.items():
        ends = interval(ratios)
        shown = f"[{ends[0]:.3f}, {ends[1]:.3f}]" if ends else "too few rounds for an interval"
        print(f"{name:24} this / other {statistics.median(ratios):.3f} {shown}, {min(ratios):.3f} to {max(ratios):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
