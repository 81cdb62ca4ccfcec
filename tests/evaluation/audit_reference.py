"""What jax-privacy's one-run audit says of twenty outcomes, for tests to compare with: make audit-reference"""

import importlib.metadata
import json
from pathlib import Path

import numpy as np
from jax_privacy.auditing import CanaryScoreAuditor, Explicit

STORED = Path(__file__).with_suffix(".json")
# Canaries, guesses, correct ones, delta, level.
CASES = [
    *((500, 62, correct, 1e-5, 0.95) for correct in (30, 40, 50, 61, 62)),
    *((500, 250, correct, 1e-5, 0.95) for correct in (140, 200, 249, 250)),
    *((1000, 1000, correct, 1e-5, 0.95) for correct in (550, 750, 999)),
    (1000, 500, 500, 1e-12, 0.95),
    (1000, 500, 430, 1e-6, 0.99),
    (1000, 500, 430, 1e-3, 0.95),
    (1000, 125, 110, 1e-4, 0.9833),
    (100, 10, 10, 1e-5, 0.95),
    (20, 19, 18, 1e-5, 0.5),
    (16_000, 2_000, 1_900, 1e-6, 0.95),
    (16_000, 2_000, 1_900, 1e-5, 0.95),
]


def epsilon(canaries, guesses, correct, delta, level):
    """Those guessed to be in score 1, the others 0."""
    inside = max(correct, canaries // 2)
    kinds = ((inside, correct), (canaries - inside, guesses - correct))
    scores = [np.repeat([1.0, 0.0], [guessed, every - guessed]) for every, guessed in kinds]
    return float(CanaryScoreAuditor(*scores).epsilon_one_run(1 - level, delta, threshold_strategy=Explicit(0.5)))


def main():
    cases = ",\n".join(json.dumps([*case, epsilon(*case)]) for case in CASES)
    version = importlib.metadata.version("jax-privacy")
    STORED.write_text(f'{{"jax-privacy": "{version}", "cases": [\n{cases}\n]}}\n', "utf-8")


if __name__ == "__main__":
    main()
