"""What describes a defence: found by name, checked when given, and what it says of itself holds."""

from dataclasses import asdict, dataclass, replace

import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import Defence, LeNet5, MaskLayerDes
from suppress_privacy.checks import keywords
from suppress_privacy.defences import DEFENCES, DefenceSettings, settings
from suppress_privacy.defences.layers import PUBLISHED_LAYERS, mask_layers, matched
from suppress_privacy.training import Plan, accuracy, train

RISE = {"start_epoch": 1, "end_epoch": 2, "mask_times": 4, "sparse_start": 0.0, "sparse_end": 0.9}
LAYERS = {"layers": "mindarmour-example"}
GOOD = {
    "suppress": RISE | LAYERS | {"compat": False},
    "random-mask": RISE | LAYERS | {"compat": False},
    "gradual-magnitude": RISE | LAYERS | {"compat": False},
    "magnitude": {"sparsity": 0.9} | LAYERS,
    "dpsgd": {"epsilon": 3, "delta": 1e-5, "clip_norm": 1},
    "feature-noise": {"depth": "fc1"},
}


@pytest.fixture(scope="module")
def few(digits):
    return replace(digits, train_images=digits.train_images[:400], train_labels=digits.train_labels[:400])


def test_these_are_the_defences():
    assert DEFENCES.keys() == GOOD.keys()
    assert [kind for kind, made in DEFENCES.items() if made.starts_trained] == ["feature-noise", "magnitude"]
    assert [kind for kind, made in DEFENCES.items() if not made.trains] == ["feature-noise"]
    assert all(made.kind == kind for kind, made in DEFENCES.items())


@pytest.mark.parametrize("kind", GOOD)
def test_settings_are_plain_data_and_come_back_from_it(kind):
    settings = DEFENCES[kind](**GOOD[kind])
    assert asdict(settings) == GOOD[kind] == keywords(DEFENCES[kind], GOOD[kind])
    assert DEFENCES[kind](**asdict(settings)) == settings


def test_with_the_originals_arithmetic_a_residue_counts_as_zero(few):
    """In the defence's report, and in the history of a training."""
    network = LeNet5(seed=0)
    schedule = {"start_epoch": 1, "end_epoch": 1, "mask_times": 4}
    control = DEFENCES["suppress"](**GOOD["suppress"] | schedule | {"compat": True}).make(
        network, Plan(few, 1, 20, 0.1, seed=0)
    )
    assert control.compat
    optimizer = nn.SGD(network.trainable_params(), 0.1)
    history = train(network, optimizer, few, epochs=1, batch_size=20, seed=0, defence=control)
    for name, entry in control.report().items():
        assert history.sparsity[name][-1] == pytest.approx(entry["suppressed"] / entry["weights"], abs=0.01), name


@pytest.mark.parametrize("kind", GOOD)
def test_each_makes_its_defence(kind, few):
    network = LeNet5(seed=0)
    before = [parameter.asnumpy().copy() for parameter in network.get_parameters()]
    plain = accuracy(network, few.test_images, few.test_labels)
    settings = DEFENCES[kind](**GOOD[kind])
    settings.fits(2 if settings.trains else 0, 0.1)
    made = settings.make(network, Plan(few, 2, 20, 0.1, seed=0, wanted_accuracy=plain))
    assert isinstance(made, Defence) and type(made) is not Defence
    after = [parameter.asnumpy() for parameter in network.get_parameters()]
    changed = not all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    assert changed == (kind == "magnitude")  # the one that acts at once
    released = settings.released(made.facts())
    assert released.releases == made.releases == ("fc1" if kind == "feature-noise" else None)


@pytest.mark.parametrize(
    ("kind", "changes", "error", "message"),
    [
        ("suppress", {"start_epoch": 3}, ValueError, r"start_epoch is 3; .* from 1 to end_epoch \(2\): correct"),
        ("suppress", {"end_epoch": 101}, ValueError, "end_epoch is 101; it must be an integer from 1 to 100"),
        ("suppress", {"sparse_start": 0.9}, ValueError, r"sparse_start is 0\.9; .* below sparse_end \(0\.9\): correct"),
        ("suppress", {"sparse_end": 1}, ValueError, "sparse_end is 1; it must be a number above 0, below 1"),
        ("suppress", {"sparse_end": "0.9"}, TypeError, "sparse_end is '0.9'; it must be a number above 0, below 1"),
        ("random-mask", {"mask_times": 0}, ValueError, "mask_times is 0; it must be an integer from 1"),
        ("random-mask", {"layers": []}, ValueError, r"layers is \[\]; there are mindarmour-example, mindarmour-tu"),
        ("magnitude", {"layers": "all"}, ValueError, "layers is 'all'; there are mindarmour-example, mindarmour-tu"),
        ("magnitude", {"layers": 5}, TypeError, "layers is 5; it must be 'mindarmour-example', 'mindarmour-tuto"),
        ("magnitude", {"sparsity": 1.5}, ValueError, "sparsity is 1.5; it must be a number above 0, below 1"),
        ("dpsgd", {"epsilon": 0}, ValueError, "epsilon is 0; it must be a number above 0"),
        ("dpsgd", {"delta": 1.0}, ValueError, "delta is 1.0; it must be a number above 0, below 1"),
        ("dpsgd", {"clip_norm": True}, TypeError, "clip_norm is True; it must be a number above 0"),
        ("feature-noise", {"depth": ""}, ValueError, "depth is ''; it must be a layer's name"),
    ],
)
def test_what_is_not_allowed_is_named(kind, changes, error, message):
    with pytest.raises(error, match=rf"\A{message}"):
        DEFENCES[kind](**(GOOD[kind] | changes))


@pytest.mark.parametrize("kind", ["suppress", "random-mask"])
def test_suppression_fits_no_shorter_and_no_faster_training(kind):
    settings = DEFENCES[kind](**(GOOD[kind] | {"end_epoch": 10}))
    settings.fits(10, 0.5)
    with pytest.raises(ValueError, match=r"epochs is 2, the defence's end_epoch is 10; its schedule must end within"):
        settings.fits(2, 0.1)
    with pytest.raises(ValueError, match=r"optimizer\.lr is 0\.6; with suppression it is at most 0\.5: lower it\."):
        settings.fits(10, 0.6)


def test_feature_noise_fits_no_training():
    DEFENCES["feature-noise"]().fits(0, 0.0)
    with pytest.raises(ValueError, match="epochs is 3; feature-noise needs no training: make it 0"):
        DEFENCES["feature-noise"]().fits(3, 0.1)


def test_a_new_defence_is_one_class(monkeypatch, few):
    monkeypatch.setattr(settings, "DEFENCES", dict(DEFENCES))

    @dataclass(frozen=True, kw_only=True)
    class Nothing(DefenceSettings, kind="none"):
        def make(self, network, plan):
            return Defence()

    assert settings.DEFENCES["none"] is Nothing
    assert type(Nothing().make(LeNet5(seed=0), Plan(few, 1, 20, 0.1, 0))) is Defence


def test_the_published_layers_are_all_of_lenets_in_its_order():
    network = LeNet5(seed=0)
    trained = [parameter.name for parameter in network.trainable_params()]
    for name, rows in PUBLISHED_LAYERS.items():
        assert mask_layers(name) == mask_layers(rows) == [MaskLayerDes(**row) for row in rows]
        layers = matched(network, mask_layers(name))  # which refuses a position that contradicts the name
        assert [weight.name for weight, _ in layers] == [each for each in trained if each.endswith("weight")]


def test_layers_need_no_position_but_all_else():
    row = {"layer_name": "fc1", "is_add_noise": True, "is_lower_clip": False, "min_num": 7}
    assert mask_layers([row]) == [MaskLayerDes("fc1", None, True, False, 7)]
    with pytest.raises(ValueError, match="of which missing a required argument: 'min_num': correct its names"):
        mask_layers([{"layer_name": "fc1", "is_add_noise": True, "is_lower_clip": False}])
    with pytest.raises(ValueError, match="of which got an unexpected keyword argument 'noise': correct its names"):
        mask_layers([row | {"noise": True}])
    with pytest.raises(ValueError, match="min_num is -2"):
        mask_layers([row | {"min_num": -2}])
