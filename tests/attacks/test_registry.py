"""An attack is one function that says its name and what it sees; the rest follows from its signature."""

import numpy as np
import pytest

from suppress_privacy.attacks import ATTACKS, attack
from suppress_privacy.attacks.views import FeatureView, NothingView
from suppress_privacy.checks import Seed, Whole

SEARCH = {"smoothness_weights": [0.1], "anchor_weights": [0.1]}
SETTINGS = {
    "reference": {"smoothness_weight": 0.1, "norm_weight": 5, "iters": 2, "smoothness": "cpu"},
    "tuned": SEARCH | {"iters": 2, "lr": 0.05, "restarts": 2, "batch_size": 3},
    "ridge": {"shuffled": False},
    "decoder": {"steps": 10, "batch_size": 10, "lr": 0.001, "width": 16, "copies": 1, "members": 2},
    "dlg": {"restarts": 1, "iters": 2},
    "idlg": {"restarts": 1, "iters": 2},
    "cosine": {"restarts": 1, "iters": 2, "lr": 0.05, "tv_weight": 0},
    "lira": {"shadows": 4},
}
SEEN = {
    "nothing": {"black", "mean"},
    "features": {"class-mean", "nearest", "reference", "tuned", "ridge", "decoder"},
    "gallery": {"matching"},
    "gradients": {"analytic", "dlg", "idlg", "cosine"},
    "outputs": {"loss", "lira", "rmia"},
    "images": {"blind"},
}


@pytest.fixture
def registered():
    """Names may be entered; they are gone afterwards."""
    before = dict(ATTACKS)
    yield
    ATTACKS.clear()
    ATTACKS.update(before)


@pytest.mark.parametrize("sees", SEEN)
def test_attacks_are_found_by_what_they_see(sees):
    assert {name for name, entry in ATTACKS.items() if entry.sees == sees} == SEEN[sees]


@pytest.mark.parametrize("name", sorted(SEEN["nothing"] | SEEN["features"]))
def test_every_attack_gives_an_image_for_each_private_one(planted, name):
    view, originals = planted
    if ATTACKS[name].sees == "nothing":
        view = NothingView(len(originals), view.auxiliary, view.auxiliary_labels)
    found = ATTACKS[name].run(view, seed=0, **ATTACKS[name].settings(SETTINGS.get(name, {})))
    assert found.images.shape == originals.shape and found.images.dtype == np.float32
    assert found.images.min() >= 0 and found.images.max() <= 1


def test_settings_are_those_given_over_the_attacks_own():
    assert ATTACKS["reference"].settings(SETTINGS["reference"]) == SETTINGS["reference"] | {"feature_weight": 1}
    assert ATTACKS["loss"].settings({}) == {}


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("tuned", {"smoothness_weights": []}, "smoothness_weights is []; it must be a list of numbers from 0, one at"),
        ("tuned", {"anchor_weights": [0.1, -1]}, "anchor_weights is [0.1, -1]; it must be a list of numbers from 0"),
        ("tuned", {"lr": 0}, "lr is 0; it must be a number above 0"),
        ("decoder", {"members": 0}, "members is 0; it must be an integer from 1"),
        ("decoder", {"copies": -1}, "copies is -1; it must be an integer from 0"),
        ("reference", {"smoothness": "gpu"}, "smoothness is 'gpu'; it must be 'cpu' or 'ascend'"),
        ("reference", {"norm_weight": 0}, "norm_weight is 0; it must be a number above 0"),
        (
            "cosine",
            {"tv_weight": -1},
            "tv_weight is -1; it must be a number from 0, or a list of numbers from 0, one at",
        ),
        (
            "cosine",
            {"tv_weight": []},
            "tv_weight is []; it must be a number from 0, or a list of numbers from 0, one at",
        ),
        ("analytic", {"restarts": 2}, "restarts is not a setting; there are decoder"),
        ("lira", {"shadows": 2}, "shadows is 2; it must be 0, or an integer from 4, a multiple of 2"),
        ("lira", {"shadows": 5}, "shadows is 5; it must be 0, or an integer from 4, a multiple of 2"),
        ("loss", {"seed": 0}, "seed is not a setting; there are none"),
        ("dlg", {"lr": 0.1}, "lr is not a setting; there are restarts, iters"),
    ],
)
def test_settings_out_of_bounds_are_refused(name, changes, message):
    with pytest.raises(ValueError) as caught:
        ATTACKS[name].settings(SETTINGS.get(name, {}) | changes)
    assert str(caught.value).startswith(message)


def test_an_attack_of_ones_own_is_one_function(registered, planted):
    @attack("even", sees="features")
    def even(view: FeatureView, *, seed: Seed, level: Whole = 128) -> np.ndarray:
        return np.full((len(view.features), 1, 8, 8), level / 255, np.float32)

    entry = ATTACKS["even"]
    assert (entry.name, entry.sees, entry.settings({})) == ("even", "features", {"level": 128})
    assert entry.run(planted[0], seed=0, **entry.settings({"level": 255})).max() == 1
    with pytest.raises(TypeError, match="view is 'x'; it must be a FeatureView"):
        entry.run("x", seed=0)


def test_a_name_is_given_once_and_nobody_sees_what_there_is_not(registered):
    with pytest.raises(ValueError, match=r"name is 'ridge', an attack of suppress_privacy\.attacks\.decoder already"):
        attack("ridge", sees="features")
    with pytest.raises(
        ValueError,
        match="sees is 'weights'; it must be 'nothing' or 'features' or 'gallery' or 'gradients' or 'outputs' or 'i",
    ):
        attack("peek", sees="weights")
