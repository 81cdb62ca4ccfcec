"""One network under attack: what each attack is given, how it is judged, and what is kept of it."""

import time
import zlib
from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest

from suppress_privacy.attacks import analytic
from suppress_privacy.defences.noise import FeatureNoise
from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.metrics import METRICS, judged
from suppress_privacy.lenet import Features, LeNet5, predict
from suppress_privacy.training import Defence
from suppress_study import attacking
from suppress_study.attacking import Scene, attack, few_bytes, few_digits, view
from suppress_study.models import Trained, make
from suppress_study.plan import Study
from suppress_study.settings import Targets as Counts
from suppress_study.targets import choose_targets

STUDY = Study.load()
SHORT = {"epochs": 2, "batch_size": 8}
SHORT_RISE = {"start_epoch": 1, "end_epoch": 2, "mask_times": 20}
EVALUATORS = {"one": LeNet5(seed=11), "two": LeNet5(seed=12)}


@pytest.fixture(scope="module")
def dense(few):
    return make(STUDY.arm("full", "dense-sgd", SHORT), 0, few)


@pytest.fixture(scope="module")
def scene(few, dense):
    return Scene(dense, choose_targets(few, Counts(train_per_class=2, test_per_class=2)), EVALUATORS, few, 0)


def variant(reference, **overrides):
    found = STUDY.variant("full", reference)
    quick = {"decoder": None} if found.kind == "analytic" else {}  # its ridge decoder alone
    return replace(found, settings=found.settings | quick | overrides)


@pytest.fixture(scope="module")
def ridge(scene):
    return attack(variant("ridge"), scene)


def test_of_every_target_there_is_what_it_is_and_every_metric(scene, ridge):
    arrays, count = ridge.arrays, len(scene.targets.labels)
    assert arrays["image"].tolist() == list(range(count))
    for name in ("index", "in_training"):
        assert arrays[name].tolist() == getattr(scene.targets, name).tolist()
    assert arrays["label"].tolist() == scene.targets.labels.tolist()
    of_images = {name for name, metric in METRICS.items() if metric.of == "image" and not metric.judged}
    of_images -= {"label_found", "rank1_of_sent", "failed"}  # of attacks on gradients
    assert of_images <= arrays.keys() and all(arrays[name].shape == (count,) for name in of_images)


def test_an_attack_is_given_its_view_and_no_private_image(scene):
    views = {variant(name).seen(): view(variant(name), scene) for name in ("black", "ridge", "dlg", "loss")}
    assert list(views) == ["nothing", "features at fc1", "gradients at end", "outputs"]
    private = {image.tobytes() for image in scene.targets.images}
    for seen in (views["nothing"], views["features at fc1"]):
        assert not private & {image.tobytes() for image in seen.auxiliary}
    features = predict(Features(scene.victim.network, "fc1"), scene.targets.images)
    assert np.array_equal(views["features at fc1"].features, features)
    shapes = [parameter.shape for parameter in scene.victim.network.trainable_params()]
    seen = views["gradients at end"]
    assert [[each.shape for each in one.gradients] for one in seen] == [shapes] * len(seen)
    assert not private & {image.tobytes() for image in seen[0].auxiliary}
    assert views["outputs"].logits.shape == (len(scene.data.train_labels) + len(scene.data.test_labels), 10)


def test_each_evaluator_judges_the_reconstructions_by_itself(scene, ridge):
    assert ridge.arrays["judged/one/confidence"].tolist() != ridge.arrays["judged/two/confidence"].tolist()
    shown = ridge.arrays["pictured"]
    images = ridge.arrays["reconstruction"].astype(np.float32) / 255
    for name, evaluator in EVALUATORS.items():
        verdicts = judged(predict(evaluator, images), scene.targets.labels[shown])
        found = ridge.arrays[f"judged/{name}/confidence"][shown]
        assert found == pytest.approx(verdicts["confidence"], abs=2e-3)  # bytes and few digits lie between
    assert ridge.means()["confidence", "one"] == pytest.approx(ridge.arrays["judged/one/confidence"].mean())
    assert ridge.means()["skill", ""] == pytest.approx(ridge.arrays["skill"].mean())
    assert not {"index", "label", "in_training", "image", "pictured"} & {metric for metric, _ in ridge.means()}


def test_among_all_training_images_an_image_is_never_easier_to_tell_than_among_its_class(scene, ridge):
    assert np.all(ridge.arrays["rank1_all"] <= ridge.arrays["rank1"]) and ridge.arrays["rank1"].sum() > 0


def test_matching_finds_every_image_by_its_features_and_none_where_they_tell_nothing(scene, dense):
    found = attack(variant("matching"), scene).arrays
    assert found["rank1"].tolist() == [1] * len(scene.targets.labels) == found["rank1_all"].tolist()
    assert {"image", "index", "in_training", "label"} < found.keys()
    assert not {"skill", "reconstruction", "judged/one/confidence"} & found.keys()
    hidden = replace(scene, victim=replace(dense, defence=FeatureNoise("fc1", 200.0)))
    of_noise = attack(variant("matching"), hidden).arrays
    assert of_noise["rank1"].mean() < 0.5 and np.all(of_noise["rank1_all"] <= of_noise["rank1"])


def test_the_gallery_of_matching_is_everybody_and_each_is_where_it_is_said_to_be(scene):
    seen = view(variant("matching"), scene)
    assert seen.gallery.shape[0] == len(scene.data.train_labels) + int((~scene.targets.in_training).sum())
    places = np.arange(len(seen.gallery), dtype=np.float32)
    # An attack that sees through: the distance of what has the same pixels is 0.
    positions = [np.flatnonzero((seen.gallery == image).all((1, 2, 3))) for image in scene.targets.images]
    distances = np.stack([np.abs(places - own[0]) for own in positions])
    assert attacking._matched(distances, scene).arrays["rank1_all"].tolist() == [1] * len(positions)


def test_what_attacks_learn_from_a_view_they_share(scene):
    alone = replace(scene)
    first = view(variant("ridge"), alone)
    assert view(variant("decoder"), alone) is first and view(variant("tuned"), alone) is first
    assert view(variant({"attack": "ridge", "depth": "fc2"}), alone) is not first
    assert view(variant({"attack": "ridge", "auxiliary": 50}), alone) is not first
    attack(variant("ridge"), alone)
    assert len(first.learned) == 1
    attack(variant("ridge"), alone)
    attack(variant("ridge-shuffled"), alone)
    assert len(first.learned) == 2


def test_an_attacker_may_have_less(scene, dense, few, monkeypatch):
    whole = view(variant("ridge"), scene)
    fewer = view(variant({"attack": "ridge", "auxiliary": 50}), scene)
    assert len(fewer.auxiliary) == 50 == len(fewer.auxiliary_labels)
    assert held(fewer.auxiliary) < held(whole.auxiliary) and np.array_equal(fewer.features, whole.features)
    assert held(fewer.auxiliary) < held(view(variant({"attack": "ridge", "auxiliary": 60}), scene).auxiliary)
    other = replace(few, test_images=1 - few.test_images)
    monkeypatch.setattr(attacking, "load_images", {"fashion-mnist": other}.get)
    elsewhere = view(variant({"attack": "ridge", "auxiliary_kind": "fashion-mnist"}), scene)
    assert held(elsewhere.auxiliary) <= held(other.test_images)
    assert len(elsewhere.auxiliary) == min(len(whole.auxiliary), len(other.test_images))
    weaker = variant({"attack": "ridge", "known": "another-seed"})
    with pytest.raises(ValueError, match="ridge holds the network of another seed, and there is none: leave it out"):
        view(weaker, replace(scene))
    another = make(STUDY.arm("full", "dense-sgd", SHORT), 1, few)
    seen = view(weaker, replace(scene, another=another))
    assert np.array_equal(seen.features, whole.features)  # they are the victim's
    assert seen.network is another.halves("fc1")[0]
    skill = [
        attack(each, replace(scene, another=another)).arrays["skill"].mean() for each in (variant("ridge"), weaker)
    ]
    assert skill[0] > skill[1] + 0.1


def held(images):
    return {image.tobytes() for image in images}


def test_pictures_are_kept_with_their_originals(scene, ridge):
    shown = ridge.arrays["pictured"]
    firsts = scene.targets.first_of_each_class(1)
    assert set(firsts) < set(shown.tolist()) and int(np.argmax(ridge.arrays["skill"])) in shown
    originals = ridge.arrays["original"]
    assert originals.dtype == np.uint8 == ridge.arrays["reconstruction"].dtype
    assert np.array_equal(originals, np.rint(255 * scene.targets.images[shown]))
    plain = attack(variant("ridge"), replace(scene, keep_extremes=False)).arrays
    assert plain["pictured"].tolist() == firsts.tolist()
    assert np.array_equal(plain["skill"], ridge.arrays["skill"])


def test_of_watched_targets_the_way_is_kept_to_the_image_that_is_found(scene):
    firsts = tuple(map(int, scene.targets.first_of_each_class(1)))
    found = attack(variant("reference"), replace(scene, watched=firsts)).arrays
    assert found["watched"].tolist() == [*firsts] and found["frame"].dtype == np.uint8
    shown = np.isin(found["pictured"], firsts)
    assert np.array_equal(found["frame"][-1], found["reconstruction"][shown])
    assert not np.array_equal(found["frame"][0], found["frame"][-1])
    assert np.all(found["frame_objective"][-1] < found["frame_objective"][0])
    assert found["frame_objective"].shape == found["frame"].shape[:2]
    plain = attack(variant("reference"), scene).arrays
    assert {"watched", "frame", "frame_objective"} == found.keys() - plain.keys()


def test_what_sees_nothing_needs_no_network_and_all_else_does(scene):
    alone = replace(scene, victim=None)
    black = attack(variant("black"), alone).arrays
    assert not black["reconstruction"].any() and black["relative_l2"].tolist() == [1] * len(black["image"])
    mean = attack(variant("mean"), alone).arrays
    assert mean["skill"].mean() == pytest.approx(0, abs=1e-3)
    for name in ("ridge", "dlg", "loss"):
        with pytest.raises(ValueError, match=rf"{name} sees \w+ of a network, and there is none: name an arm"):
            attack(variant(name), alone)


def test_an_attack_on_gradients_sees_some_targets_alone_at_its_moment(scene):
    dlg = replace(variant("dlg", restarts=1, iters=3), images_per_class=1)
    found = attack(dlg, scene).arrays
    assert found["image"].tolist() == scene.targets.first_of_each_class(1).tolist()
    assert set(found["label_found"]) <= {0, 1} and (found["objective"] >= 0).all()
    start = replace(dlg, factors={"moment": "start"})
    with pytest.raises(ValueError, match="of a network from elsewhere only the end is known"):
        attack(start, scene)


def test_gradients_are_of_batches_and_each_image_goes_with_the_original_it_is_nearest_to(scene):
    of_batch = replace(variant({"attack": "analytic", "batch_size": 8}), images_per_class=2)
    seen = view(of_batch, scene)
    assert [one.batch_size for one in seen] == [8, 8]  # of twenty images four fill no batch
    found, alone = (
        attack(of_batch, scene).arrays,
        attack(replace(variant("analytic"), images_per_class=2), scene).arrays,
    )
    assert len(set(found["image"])) == 16 and {*found["image"]} < {*alone["image"]}
    assert -0.1 < found["skill"].mean() < alone["skill"].mean()
    mixed = scene.targets.labels[found["image"]].reshape(2, 8)
    assert all(len(set(labels)) > 3 for labels in mixed)
    with pytest.raises(ValueError, match="batch_size is 32, and 20 images are shown: take fewer, or show more"):
        attack(replace(of_batch, batch_size=32), scene)


def test_what_is_learned_of_a_layers_input_is_learned_once_and_serves_that_network_alone(scene, tmp_path):
    """Sizes of batch share it, moments of a training do not; and what is shared changes nothing."""
    short = {"decoder": {"steps": 10, "batch_size": 32, "width": 16, "copies": 1, "members": 1}}
    own = STUDY.variant("full", "decoder").settings | short["decoder"]
    scene = replace(scene, victim=replace(scene.victim, checkpoints=tmp_path))  # trained here, and so with a start
    shared, found = replace(scene), {}
    for moment, size in (("end", 1), ("end", 2), ("start", 2)):
        asked = variant({"attack": "analytic", "moment": moment, "batch_size": size}, decoder=own)
        asked, started = replace(asked, images_per_class=2), time.perf_counter()
        found[moment, size] = attack(asked, shared)
        assert found[moment, size].search_seconds < time.perf_counter() - started
        if size == 2:
            alone = replace(scene)
            by_itself = attack(asked, alone)
            assert np.array_equal(found[moment, size].arrays["skill"], by_itself.arrays["skill"])
            assert by_itself.search_seconds > 0 and len(alone.learned) == 1
    assert [each.search_seconds > 0 for each in found.values()] == [True, False, True]
    assert [len(kept) for kept in shared.learned.values()] == [2, 2]  # by moment: ridge and network


def test_a_suppressed_networks_gradient_is_masked_as_it_is_sent_and_not_before(scene, few):
    suppressed = make(STUDY.arm("full", "suppressed-example", SHORT | {"defence": SHORT_RISE}), 0, few)
    where = replace(scene, victim=replace(suppressed, defence=Defence()))  # as it is loaded later
    sent = {how: view(variant({"attack": "analytic", "sent": how}), where)[0] for how in ("masked", "unmasked")}
    for weight, masked, whole in zip(
        suppressed.network.trainable_params(), sent["masked"].gradients, sent["unmasked"].gradients, strict=True
    ):
        zeros = weight.asnumpy() == 0
        assert not masked[zeros].any() and np.array_equal(masked[~zeros], whole[~zeros])
        assert zeros.any() == (weight.ndim > 1) and whole[zeros].any() == zeros.any()
    ordinary = [
        view(variant({"attack": "analytic", "sent": how}), scene)[0].gradients for how in ("masked", "unmasked")
    ]
    assert all(np.array_equal(*both) for both in zip(*ordinary, strict=True))


def test_from_another_images_gradient_that_image_is_found_and_not_the_target(scene):
    control = replace(variant("analytic-another"), images_per_class=2)
    found = attack(control, scene).arrays
    plain = attack(replace(control, another=False), scene).arrays
    assert "rank1_of_sent" not in plain and np.array_equal(found["image"], plain["image"])
    assert np.array_equal(np.roll(found["rank1_of_sent"], -1), plain["rank1"])
    assert found["skill"].mean() < 0.1 < plain["skill"].mean()


def test_a_control_of_another_image_that_gives_the_targets_own_gradient_is_found_out(scene, monkeypatch):
    control = replace(variant("analytic-another"), images_per_class=2)

    def decided():
        found = attack(control, scene).arrays
        rank1, of_sent = (METRICS[name].estimate(found[name][None]) for name in ("rank1", "rank1_of_sent"))
        return [gates.another_gradient_hides(rank1, 999).passed, gates.another_gradient_shows(of_sent).passed]

    assert decided() == [True, True]
    monkeypatch.setattr(attacking.np, "roll", lambda positions, by: positions)
    assert decided() == [False, True]


def test_controls_of_attacks_on_gradients_need_no_model_and_tell_a_broken_attack(scene, monkeypatch):
    alone, control = replace(scene, victim=None), replace(variant("analytic-planted"), images_per_class=1)
    assert gates.analytic_is_exact(attack(control, alone).arrays["relative_l2"]).passed
    whole = analytic.inputs_from
    monkeypatch.setattr(analytic, "inputs_from", lambda weight, bias, *more: whole(weight, bias + 1e-3, *more))
    assert not gates.analytic_is_exact(attack(control, alone).arrays["relative_l2"]).passed


def test_what_dp_sgd_sends_is_not_taken_for_its_bare_gradient(scene):
    private = replace(scene, victim=replace(scene.victim, arm=STUDY.arm("full", "dpsgd-eps1")))
    with pytest.raises(ValueError, match="what DP-SGD sends is clipped and noisy"):
        view(variant("analytic"), private)


def test_of_a_descent_its_quartiles_are_kept_and_whether_it_fell(scene):
    short = {"iters": 20, "batch_size": 40, "smoothness_weights": [0], "anchor_weights": [0], "decoder": None}
    found = attack(variant("tuned", **short), scene).arrays
    low, middle, high = found["curve"]
    assert (low <= middle).all() and (middle <= high).all() and middle[-1] < middle[0]
    assert found["fell"].tolist() == [1] * len(found["image"])
    assert np.quantile(found["objective"], 0.5) == pytest.approx(middle[-1], rel=1e-3)


def test_an_attack_sees_noisy_features_and_only_those(scene, dense, few):
    def behind(sigma):
        return replace(scene, victim=replace(dense, defence=FeatureNoise("fc1", sigma)))

    skill = {sigma: attack(variant("ridge"), behind(sigma)).arrays["skill"] for sigma in (0.0, 1.0, 20.0)}
    assert np.array_equal(skill[0.0], attack(variant("ridge"), scene).arrays["skill"])
    short = variant("decoder", steps=40, width=16, members=1)
    assert np.array_equal(*(attack(short, where).arrays["skill"] for where in (behind(0.0), scene)))
    assert skill[0.0].mean() > skill[1.0].mean() > skill[20.0].mean() - 0.02
    other = attack(variant("ridge"), replace(behind(1.0), seed=1)).arrays["skill"]
    assert not np.array_equal(other, skill[1.0])  # the noise is the attack's seed's
    with pytest.raises(ValueError, match="depth is conv1; this model releases fc1 alone: attack that"):
        attack(variant({"attack": "ridge", "depth": "conv1"}), behind(1.0))
    for name in ("loss", "dlg"):
        with pytest.raises(ValueError, match=f"{name} does not look at features, which alone this model protects"):
            attack(variant(name), behind(1.0))


def test_networks_are_compiled_once_for_all_attacks_on_a_model(scene):
    evaluator = LeNet5(seed=1)
    for _ in range(3):
        attack(variant("mean"), replace(scene, evaluators={"lenet": evaluator}))
        attack(variant("ridge"), replace(scene, evaluators={}))
    assert len(evaluator.compile_cache) == 1
    features, rest = scene.victim.halves("fc1")
    compiled = len(features.compile_cache)
    attack(variant("ridge"), replace(scene, evaluators={}))
    again = scene.victim.halves("fc1")
    assert again[0] is features and again[1] is rest and len(features.compile_cache) == compiled
    assert scene.victim.halves("conv1")[0] is not features


# Membership


@cache
def drawn(seed):
    return LeNet5(seed=seed)


@pytest.fixture
def shadows(monkeypatch):
    """Seeds of the shadow networks that were trained; they are but drawn, once a seed, for time."""
    trained = []

    def untrained(self, seed, data):
        trained.append(seed)
        return drawn(seed)

    monkeypatch.setattr(Trained, "shadow", untrained)
    return trained


def of_candidates(scene, name, count=100, **overrides):
    return attack(replace(variant(name, **overrides), candidates=count), scene)


def test_candidates_are_half_members_and_the_same_for_everybody(scene, few):
    found = of_candidates(scene, "loss").arrays
    again = of_candidates(replace(scene, seed=9), "loss").arrays
    assert found["member"].tolist() == [True] * 100 + [False] * 100
    assert all(np.array_equal(found[name], again[name]) for name in found)
    assert len(set(found["index"][:100])) == 100 == len(set(found["index"][100:]))
    assert found["label"][:100].tolist() == few.train_labels[found["index"][:100]].tolist()
    assert found["label"][100:].tolist() == few.test_labels[found["index"][100:]].tolist()
    assert of_candidates(scene, "loss").means().keys() == {("auc", ""), ("tpr_at_1pct_fpr", "")}
    assert len(of_candidates(scene, "loss", 5000).arrays["score"]) == 2 * 1000  # as many as there are of the rarer


def test_shadows_are_trained_once_for_all_victims_of_a_recipe(scene, dense, tmp_path, shadows, monkeypatch):
    def scores(seed, folder, batch_size=8, data=scene.data):
        victim = replace(dense, arm=STUDY.arm("full", "dense-sgd", SHORT | {"batch_size": batch_size}), seed=seed)
        where = replace(scene, victim=victim, seed=seed, shadows=folder, data=data)
        return of_candidates(where, "lira", shadows=4).arrays["score"]

    first = scores(0, tmp_path)
    assert len(shadows) == 4 == len(list(tmp_path.iterdir()))
    assert np.array_equal(scores(1, tmp_path), first) and len(shadows) == 4
    assert np.array_equal(scores(1, None), first) and len(shadows) == 8  # as if none had been kept
    scores(0, tmp_path, batch_size=20)
    assert len(shadows) == 12  # another recipe
    scores(0, tmp_path, data=replace(scene.data, sha256={"a": "c"}))
    assert len(shadows) == 16  # other data


def test_a_cut_victims_shadows_are_kept_by_how_long_it_was_trained(scene, dense, tmp_path, shadows):
    matched = replace(dense, arm=STUDY.arm("full", "accuracy-matched", SHORT))
    for epochs, trained in ((2, 4), (2, 4), (1, 8)):
        history = replace(matched.history, loss=matched.history.loss[:epochs])
        where = replace(scene, victim=replace(matched, history=history), shadows=tmp_path)
        of_candidates(where, "lira", shadows=4)
        assert len(shadows) == trained


# What is kept


def test_the_mechanism_is_measured_image_by_image(scene):
    found = attacking.measure_mechanism(scene.victim, scene.targets, "fc1")
    assert 0 <= found["dead_units"] < 1
    for name in ("effective_rank", "feature_norm"):
        assert len(found[name]) == attacking.JACOBIAN_IMAGES
        assert isinstance(found[name][0], float) and min(found[name]) > 0
    assert max(found["effective_rank"]) <= 120  # units of the layer


def test_integers_take_no_more_bytes_than_they_need():
    for values, kind in (([0, 9, 255], np.uint8), ([0, 59_999], np.uint16), ([70_000], np.uint32)):
        small = few_bytes(np.array(values))
        assert small.dtype == kind and small.tolist() == values


def test_few_digits_are_kept_and_take_less_room():
    values = np.random.default_rng(0).standard_normal(5000).astype(np.float32)
    rounded = few_digits(values)
    assert np.abs(rounded / values - 1).max() <= 2**-13
    assert abs((rounded - values).mean()) < 1e-5  # towards neither side
    assert len(zlib.compress(rounded.tobytes())) < 0.8 * len(zlib.compress(values.tobytes()))
    exact = np.array([0, 1, -1, 0.5, 1000], np.float32)
    assert np.array_equal(few_digits(exact), exact)
    assert np.array_equal(few_digits(rounded), rounded)


def test_shadows_of_a_users_network_serve_the_victim_of_its_code_alone(few):
    arm = STUDY.arm("full", "baseline")
    own = arm.model_copy(update={"network": "mine:Net"})

    def key(network, sha256):
        victim = SimpleNamespace(arm=network, base=None, sha256=sha256)
        return attacking._shadow_key(victim, few, np.arange(3), 0)

    assert key(arm, "a") == key(arm, "b") and key(own, "a") != key(own, "b") and key(own, "a") == key(own, "a")
