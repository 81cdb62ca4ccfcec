"""What several tests of the study begin with: a few digits, and a small study whose runs are made up."""

import numpy as np
import pytest

import planted_study as planted
from suppress_privacy.mnist import Mnist
from suppress_study.measured import Measured


@pytest.fixture(scope="module")
def few(digits):
    some = np.arange(0, 4000, 3)
    return Mnist(
        digits.train_images[some], digits.train_labels[some], digits.test_images, digits.test_labels, "few", {"a": "b"}
    )


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The made-up study's, as a run would leave them."""
    return planted.results(tmp_path_factory.mktemp("tiny"), planted.study())


@pytest.fixture(scope="module")
def measured(results):
    return Measured.collect(results, planted.study(), "tiny")
