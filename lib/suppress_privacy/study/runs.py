"""The study's runs: train one arm from one seed, attack one trained arm."""

import hashlib
import importlib
import json
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import mindspore as ms
import numpy as np
from mindspore import nn

from suppress_privacy import runtime
from suppress_privacy.attacks import ON_FEATURES, ON_GRADIENTS, ON_MEMBERSHIP, gradients
from suppress_privacy.attacks.views import FeatureView, GradientView, MembershipView
from suppress_privacy.convnet import ConvNet
from suppress_privacy.defences import DEFENCES, noise
from suppress_privacy.evaluation import mechanism
from suppress_privacy.evaluation.gates import objective_fell
from suppress_privacy.evaluation.membership import auc, roc, tpr_at
from suppress_privacy.evaluation.metrics import reconstruction_metrics
from suppress_privacy.lenet import Features, LeNet5, Rest, predict
from suppress_privacy.mnist import Mnist
from suppress_privacy.runtime import generator
from suppress_privacy.study.records import (
    FALSE_POSITIVE_RATE,
    Records,
    file_sha256,
    training_name,
    write_arrays,
)
from suppress_privacy.study.settings import Arm, FeatureNoise, validated
from suppress_privacy.training import (
    CHECKPOINT_PREFIX,
    Defence,
    History,
    Plan,
    accuracy,
    checkpoints_in,
    epoch_of,
    forget,
    load_checkpoint,
    save_checkpoint,
    sparsity,
    train,
)

CLASSES = 10
TARGET_SEED = 0  # the same targets in every arm, attack and seed
SHADOW_SEED = 0  # the same shadows for all victims of one recipe
GALLERY = 999  # others of its class among which an image is to be identified
EXTREMES = 3  # best, median and worst reconstructions that are kept, each
CURVE_QUANTILES = (0.25, 0.5, 0.75)
JACOBIAN_IMAGES = 50  # auxiliary images on which the mechanism is measured
NETWORKS = {"lenet5": LeNet5, "convnet": lambda seed=None: ConvNet(8, channels=1, seed=seed)}


@dataclass(frozen=True)
class Targets:
    """The private images under attack, and the images an attacker may own or is given to choose from.

    Targets come half from the training set, half from the test set; auxiliary images are the test
    images that are no targets, in an order drawn once; the gallery holds training images that are no targets.
    """

    images: np.ndarray  # float32 [N, 1, 32, 32]
    labels: np.ndarray  # int32 [N]
    in_training: np.ndarray  # bool [N]
    index: np.ndarray  # int64 [N], position in the training or test set
    auxiliary: np.ndarray  # float32 [M, 1, 32, 32]
    auxiliary_labels: np.ndarray  # int32 [M]
    gallery: dict  # label -> float32 [G, 1, 32, 32]

    def first_of_each_class(self, count):
        """Positions of the first `count` targets of each class."""
        return np.concatenate([np.flatnonzero(self.labels == label)[:count] for label in range(CLASSES)])


@dataclass(frozen=True)
class Earlier:
    """What the training of an arm left for one that builds on it."""

    network: nn.Cell
    history: History
    checkpoints: Path | None = None  # their folder
    sha256: str = ""  # of its last checkpoint's bytes


@dataclass(frozen=True)
class Trained:
    """A training run's result."""

    network: nn.Cell
    history: History
    report: dict  # of the defence, by layer
    facts: dict  # what else there is to say, as plain data


@dataclass(frozen=True)
class Victim:
    """A trained network under attack."""

    network: nn.Cell
    checkpoints: Path | None = None  # folder of its training, for what it was like on the way
    arm: Arm | None = None  # how it was trained
    seed: int = 0
    base: Arm | None = None  # how the network was trained that its training started from
    noise: float = 0.0  # standard deviation of what is added to the features it releases
    noise_depth: str | None = None  # where
    sha256: str = ""  # of its checkpoint's bytes, where it has one
    settings: dict | None = None  # its training's, as recorded; of a network of the user's, the recipe's
    _halves: dict = field(default_factory=dict, init=False, repr=False, compare=False)

    def at(self, moment):
        """The network at the "start", in the "middle" or at the "end" of its training.

        Raises:
            ValueError: it was not trained here.
        """
        if moment == "end":
            return self.network
        if self.checkpoints is None or self.arm is None:
            raise ValueError(
                f"moment is {moment!r}; of a network that was not trained here only 'end' is known: use that."
            )
        if moment == "start" and self.base is not None:
            raise ValueError("moment is 'start'; this model started from a trained one: attack that at its end.")
        network = NETWORKS[self.arm.network](seed=self.seed)
        if moment == "middle":
            saved = checkpoints_in(self.checkpoints)
            load_checkpoint(network, saved[(len(saved) - 1) // 2])
        return network

    def halves(self, depth):
        """The network up to a depth, and from there on: `Features` and `Rest`, made once for each depth.

        When a compiled cell is let go, MindSpore compiles all others again at their next call.
        """
        if depth not in self._halves:
            self._halves[depth] = Features(self.network, depth), Rest(self.network, depth)
        return self._halves[depth]

    def shadow(self, seed, data):
        """A network trained by this one's recipe on other data."""
        if self.noise:
            raise ValueError("this model's protection is noise on its features, not its training: leave shadows out.")
        earlier = {}
        if self.base is not None:
            base = train_arm(self.base, seed, data)
            earlier[self.arm.start] = Earlier(base.network, base.history)
        return train_arm(self.arm, seed, data, earlier=earlier).network


def optimizer(settings, network, steps):
    """The optimiser that an arm's settings name, over the network's trainable parameters, for so many steps."""
    rate = settings.lr
    if settings.decay == "linear":
        rate = [settings.lr * (1 - step / steps) for step in range(steps)]
    if settings.name == "sgd":
        return nn.SGD(network.trainable_params(), rate)
    return nn.Momentum(network.trainable_params(), rate, settings.momentum)


def train_arm(arm, seed, data, checkpoints=None, *, earlier=None):
    """Make a network as an arm says.

    Args:
        arm (settings.Arm): how.
        seed (int): seeds initial weights, order of the images, and the defence's draws.
        data (Mnist): on what.
        checkpoints (Path or None): folder for the checkpoints, if any are to be kept.
        earlier (dict or None): name -> Earlier, of the arms that this one builds on.

    Returns:
        Trained.
    """
    network = NETWORKS[arm.network](seed=seed)
    if arm.start is not None:
        copy_weights(earlier[arm.start].network, network)
    if arm.stop is not None:
        return _as_it_was(arm, network, checkpoints, earlier)
    if isinstance(arm.defence, FeatureNoise):
        return _with_feature_noise(arm.defence, network, seed, data, checkpoints, earlier)
    defence = Defence()
    if arm.defence is not None:
        rate = arm.optimizer.lr if arm.optimizer else 0.0
        plan = Plan(len(data.train_labels), arm.epochs, arm.batch_size, rate, seed)
        defence = DEFENCES[arm.defence.kind](network, plan, **arm.defence.model_dump(exclude={"kind"}))
    if arm.epochs == 0:
        history = _as_it_is(network, accuracy(network, data.test_images, data.test_labels), checkpoints)
    else:
        history = train(
            network,
            optimizer(arm.optimizer, network, arm.epochs * (len(data.train_labels) // arm.batch_size)),
            data,
            epochs=arm.epochs,
            batch_size=arm.batch_size,
            seed=seed,
            defence=defence,
            checkpoints=checkpoints,
        )
    return Trained(network, history, defence.report(), defence.facts())


def copy_weights(source, network):
    """Give a network the parameters of another of its kind."""
    values = source.parameters_dict()
    for parameter in network.get_parameters():
        parameter.set_data(ms.Tensor(values[parameter.name].asnumpy()))


def nearest_epoch(test_accuracy, wanted):
    """The epoch, from 1, after which the test accuracy is nearest to the wanted one; the first of several."""
    return 1 + int(np.argmin(np.abs(np.array(test_accuracy) - wanted)))


def _as_it_was(arm, network, checkpoints, earlier):
    """The network of an earlier training as it was after the epoch whose accuracy is nearest to the wanted one."""
    like, wanted = earlier[arm.stop.like], earlier[arm.stop.accuracy_of].history.test_accuracy[-1]
    epoch = nearest_epoch(like.history.test_accuracy[: arm.epochs], wanted)
    until_then = [path for path in checkpoints_in(like.checkpoints) if epoch_of(path) <= epoch]
    if not until_then or epoch_of(until_then[-1]) != epoch:
        raise ValueError(f"{like.checkpoints} has no checkpoint of epoch {epoch}: train {arm.stop.like} again.")
    load_checkpoint(network, until_then[-1])
    if checkpoints is not None:
        forget(checkpoints)
        Path(checkpoints).mkdir(parents=True, exist_ok=True)
        for path in until_then:
            part = Path(checkpoints) / f".part-{path.name}"
            shutil.copyfile(path, part)
            os.replace(part, Path(checkpoints) / path.name)
    found = like.history
    history = History(
        found.loss[:epoch],
        found.test_accuracy[:epoch],
        {layer: shares[:epoch] for layer, shares in found.sparsity.items()},
    )
    return Trained(network, history, {}, {"epochs": epoch, "wanted_accuracy": wanted})


def _with_feature_noise(settings, network, seed, data, checkpoints, earlier):
    wanted = earlier[settings.accuracy_of].history.test_accuracy[-1]
    judged = noise.accuracies_under(network, data.test_images, data.test_labels, depth=settings.depth, seed=seed)
    sigma = noise.sigma_at(wanted, judged)
    history = _as_it_is(network, judged(sigma), checkpoints)
    return Trained(network, history, {}, {"sigma": sigma, "wanted_accuracy": wanted})


def _as_it_is(network, test_accuracy, checkpoints):
    """The history of no training at all; its checkpoint counts as epoch 0."""
    if checkpoints is not None:
        forget(checkpoints)
        save_checkpoint(network, Path(checkpoints) / f"{CHECKPOINT_PREFIX}-0_0.ckpt")
    return History([], [test_accuracy], {layer: [share] for layer, share in sparsity(network).items()})


def earlier_runs(results, study, profile, arm, seed):
    """What the arms that `arm` (settings.Arm) builds on left: name -> Earlier.

    Raises:
        ValueError: one of them has not been trained.
    """
    found = {}
    for name in arm.earlier():
        victim = trained(results, study, profile, name, seed)
        history = Records(results).read(training_name(name, seed))["results"]["history"]
        found[name] = Earlier(victim.network, History(**history), victim.checkpoints, victim.sha256)
    return found


def checkpoint_folder(results, arm, seed):
    """Where the checkpoints of one training run are."""
    return Path(results) / "checkpoints" / training_name(arm, seed)


def trained(results, study, profile, arm, seed):
    """The network of a finished training run: the weights its record names, and no others.

    Args:
        results (Path): the folder of records and checkpoints.
        study (Study), profile (str): which say how the arm is trained.
        arm (str), seed (int): the run.

    Returns:
        Victim.

    Raises:
        ValueError: there is no such run, or its checkpoint is not the one it recorded.
    """
    name = training_name(arm, seed)
    records = Records(results)
    if not records.has(name):
        raise ValueError(f"{results} has no record {name}: run the notebook train with arm={arm} seed={seed} first.")
    record = records.read(name)
    checkpoint = record["checkpoint"]
    path = checkpoint_folder(results, arm, seed) / checkpoint["name"]
    if not path.is_file() or file_sha256(path) != checkpoint["sha256"]:
        raise ValueError(f"{path} is missing or is not what record {name} was made with: train the model again.")
    settings = _recipe(records, study, profile, arm, seed)
    facts = record["results"]["facts"]
    if settings.stop is not None:
        settings = settings.model_copy(update={"stop": None, "epochs": facts["epochs"]})
    noisy = isinstance(settings.defence, FeatureNoise)
    network = NETWORKS[settings.network]()
    load_checkpoint(network, path)
    return Victim(
        network,
        path.parent,
        settings,
        seed,
        base=None if settings.start is None else _recipe(records, study, profile, settings.start, seed),
        noise=facts["sigma"] if noisy else 0.0,
        noise_depth=settings.defence.depth if noisy else None,
        sha256=checkpoint["sha256"],
        settings=record["settings"],
    )


def _recipe(records, study, profile, arm, seed):
    """How a model was trained, with a rerunner's overrides: shadow networks follow the same recipe."""
    name = training_name(arm, seed)
    return validated(Arm, records.read(name)["settings"] | {"title": study.arm(profile, arm).title}, name)


def own_network(source, arm, seed):
    """A network that was not trained here.

    Args:
        source (str): a checkpoint file of a LeNet5, or "module:callable" that makes the network; it needs the
            methods features(x, depth) and rest(x, depth), and operators with second derivatives for attacks
            on gradients.
        arm (settings.Arm), seed (int): how shadow networks of it are trained.

    Returns:
        Victim.

    Raises:
        ValueError: there is no such file, module or callable, or it makes no such network.
    """
    module, colon, name = source.partition(":")
    if not colon:
        network = LeNet5()
        load_checkpoint(network, source)
        return Victim(network, None, arm, seed, sha256=file_sha256(source), settings=arm.settings_of_a_run())
    try:
        network = getattr(importlib.import_module(module), name)()
    except (ImportError, AttributeError, TypeError) as error:
        raise ValueError(f"victim is {source!r}, which cannot be made ({error}): correct it.") from error
    for method in ("features", "rest"):
        if not callable(getattr(network, method, None)):
            raise ValueError(f"victim {source} has no method {method}(x, depth): add it.")
    return Victim(network, None, arm, seed, settings=arm.settings_of_a_run())


def own_name(source):
    """What the records of a network that was not trained here are called: by the bytes of its file, or by its maker."""
    if ":" in source:
        return f"own-{source.replace(':', '.')}"
    return f"own-{Path(source).stem}-{file_sha256(source)[:8]}"


def last_checkpoint(results, arm, seed):
    """The final checkpoint of a training run as its record names it: name and SHA-256."""
    path = checkpoints_in(checkpoint_folder(results, arm, seed))[-1]
    return {"name": path.name, "sha256": file_sha256(path)}


def choose_targets(data, settings):
    """Draw the targets: so many of each class from the training set, so many from the test set.

    Args:
        data (Mnist): where they come from.
        settings (settings.Targets): how many.

    Returns:
        Targets, class by class, training images first within each class.

    Raises:
        ValueError: more are asked for than there are.
    """
    for name, count, labels in (
        ("train_per_class", settings.train_per_class, data.train_labels),
        ("test_per_class", settings.test_per_class, data.test_labels),
    ):
        available = np.bincount(labels, minlength=CLASSES).min()
        if count >= available:
            raise ValueError(
                f"targets.{name} is {count}; {data.name} has {available} of the rarest class, and some must be "
                "left to compare with: ask for fewer."
            )
    rng = generator(TARGET_SEED, "targets")
    chosen = [
        (in_training, index)
        for label in range(CLASSES)
        for in_training, labels, count in (
            (True, data.train_labels, settings.train_per_class),
            (False, data.test_labels, settings.test_per_class),
        )
        for index in rng.choice(np.flatnonzero(labels == label), count, replace=False)
    ]
    in_training = np.array([member for member, _ in chosen])
    index = np.array([position for _, position in chosen])
    images = np.where(
        in_training[:, None, None, None],
        data.train_images[np.where(in_training, index, 0)],
        data.test_images[np.where(in_training, 0, index)],
    )
    labels = np.where(
        in_training,
        data.train_labels[np.where(in_training, index, 0)],
        data.test_labels[np.where(in_training, 0, index)],
    )
    rng = generator(TARGET_SEED, "auxiliary and gallery")
    auxiliary = rng.permutation(np.setdiff1d(np.arange(len(data.test_labels)), index[~in_training]))
    others = rng.permutation(np.setdiff1d(np.arange(len(data.train_labels)), index[in_training]))
    gallery = {
        label: data.train_images[others[data.train_labels[others] == label][:GALLERY]] for label in range(CLASSES)
    }
    return Targets(
        images, labels, in_training, index, data.test_images[auxiliary], data.test_labels[auxiliary], gallery
    )


def attack(settings, victim, targets, evaluators, data, seed, *, shadows=None, keep_extremes=True):
    """Attack a trained network and judge what comes out.

    Args:
        settings (settings.Attack): which attack, with which settings.
        victim (Victim): whom.
        targets (Targets): the private images; the attack sees no more of them than its view holds.
        evaluators (dict): independent classifiers (nn.Cell) by name, the first one's verdict being the main one.
        data (Mnist): for attacks on membership, whose candidates come from all of it.
        seed (int): seeds the attack.
        shadows (Path or None): folder to keep in what shadow networks say, for other victims of the same
            recipe; None trains them for this one alone.
        keep_extremes (bool): whether to keep the best, middle and worst reconstructions besides the first of
            each class: they are a third of a record.

    Returns:
        tuple of two dicts. First numpy.ndarray: the metrics by name, one entry an image; reconstruction, uint8
        [K, 1, 32, 32], of the targets at the positions `pictured`; where the attack has them objective, quantiles
        of its curve and whether it fell; index, in_training and label; of an attack on membership score and
        member instead of the metrics. Then what the attack chose by itself.
    """
    if victim.noise and settings.kind not in ON_FEATURES:
        raise ValueError(f"{settings.kind} does not look at features, which alone this model protects: leave it out.")
    if settings.kind in ON_MEMBERSHIP:
        return _attack_membership(settings, victim, data, shadows), {}
    if settings.kind in ON_GRADIENTS:
        shown, found = _attack_gradients(settings, victim, targets, seed)
    else:
        if victim.noise and settings.depth != victim.noise_depth:
            raise ValueError(f"depth is {settings.depth}; this model releases {victim.noise_depth} alone: attack that.")
        features, rest = victim.halves(settings.depth)
        drawn = generator(seed, "released noise").standard_normal
        released = predict(features, targets.images)
        view = FeatureView(
            released + np.float32(victim.noise) * drawn(released.shape, np.float32) if victim.noise else released,
            features,
            rest,
            targets.auxiliary,
            targets.auxiliary_labels,
            victim.noise,
        )
        shown = np.arange(len(targets.labels))
        found = ON_FEATURES[settings.kind](view, seed=seed, **settings.settings)
    arrays = reconstruction_metrics(
        targets.images[shown],
        found.images,
        targets.labels[shown],
        {name: predict(evaluator, found.images) for name, evaluator in evaluators.items()},
        targets.auxiliary.mean(axis=0, dtype=np.float64),
        targets.gallery,
    )
    if found.labels is not None:
        arrays["label_found"] = (found.labels == targets.labels[shown]).astype(np.float64)
    if found.objective is not None:
        arrays["objective"] = found.objective
    if found.curve is not None:
        arrays["curve"] = np.quantile(found.curve, CURVE_QUANTILES, axis=1)
        arrays["fell"] = objective_fell(found.curve)
    pictured = pictured_targets(arrays["skill"] if keep_extremes else None, targets.labels[shown])
    return {name: few_digits(values) for name, values in arrays.items()} | {
        "reconstruction": np.rint(found.images[pictured] * 255).astype(np.uint8),
        "pictured": few_bytes(pictured),
        "index": few_bytes(targets.index[shown]),
        "in_training": targets.in_training[shown],
        "label": few_bytes(targets.labels[shown]),
    }, found.chosen or {}


def pictured_targets(skill, labels):
    """Positions of the targets whose reconstructions a record keeps, all of them being large.

    The first of each class; then the best, the middle and the worst by skill, where it is given.
    """
    first = [int(np.flatnonzero(labels == label)[0]) for label in np.unique(labels)]
    return np.array(sorted({*first, *(extremes(skill) if skill is not None else ())}))


def extremes(skill, each=EXTREMES):
    """Positions of the best, the middle and the worst values, so many of each: by the values alone."""
    order = np.argsort(-np.asarray(skill), kind="stable")
    middle = (len(order) - each) // 2
    return [int(position) for position in (*order[:each], *order[middle : middle + each], *order[len(order) - each :])]


def few_digits(values):
    """float32 values to twelve bits of mantissa, about four digits, so that records stay small when compressed.

    The error is at most one part in eight thousand of each value (bit rounding, as in Kloewer et al. 2021).
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (((bits + np.uint32(1 << 10)) >> 11) << 11).view(np.float32)


def few_bytes(values):
    """Integers from 0 in the smallest type that holds them all."""
    return values.astype(np.min_scalar_type(values.max()))


def _attack_gradients(settings, victim, targets, seed):
    own = dict(settings.settings)
    network = victim.at(own.pop("moment"))
    shown = targets.first_of_each_class(own.pop("images_per_class"))
    twin = gradients.TwiceDifferentiable(network) if isinstance(network, LeNet5) else network
    observe = gradients.Observer(twin, CLASSES)
    views = [
        GradientView(observe(targets.images[position], int(targets.labels[position])), twin, targets.images.shape[1:])
        for position in shown
    ]
    return shown, ON_GRADIENTS[settings.kind](views, seed=seed, **own)


def _attack_membership(settings, victim, data, shadows):
    """Candidates: as many training as test images; the attacker owns both sets whole, bar who was trained on."""
    own = dict(settings.settings)
    count = min(own.pop("candidates"), len(data.test_labels), len(data.train_labels))
    rng = generator(TARGET_SEED, "membership candidates")
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    of_train = rng.choice(len(data.train_labels), count, replace=False)
    of_test = rng.choice(len(data.test_labels), count, replace=False)
    candidates = np.concatenate([of_train, len(data.train_labels) + of_test])

    def train_shadow(indices, shadow_seed):
        # Its own test set is looked at after every epoch, to no end: a short one will do.
        subset = Mnist(
            images[indices], labels[indices], data.test_images[:100], data.test_labels[:100], data.name, data.sha256
        )
        kept = None if shadows is None else Path(shadows) / f"{_shadow_key(victim, data, indices, shadow_seed)}.npz"
        if kept is not None and kept.is_file():
            return np.load(kept)["logits"]
        logits = predict(victim.shadow(shadow_seed, subset), images)
        if kept is not None:
            write_arrays(kept, logits=logits)
        return logits

    view = MembershipView(predict(victim.network, images), labels, candidates, train_shadow)
    return {
        "score": few_digits(ON_MEMBERSHIP[settings.kind](view, seed=SHADOW_SEED, **own)),
        "member": candidates < len(data.train_labels),
        "index": few_bytes(np.concatenate([of_train, of_test])),
        "label": few_bytes(labels[candidates]),
    }


def _shadow_key(victim, data, indices, seed):
    """A name for a shadow network by all that decides its weights: recipe, data, seed, and the package's code."""
    recipe = [arm and arm.settings_of_a_run() for arm in (victim.arm, victim.base)]
    key = hashlib.sha256(json.dumps([recipe, data.sha256, seed], sort_keys=True).encode() + indices.tobytes())
    package = Path(runtime.__file__).parent
    for path in sorted([*package.glob("*.py"), *package.glob("defences/*.py"), Path(__file__)]):
        key.update(path.read_bytes())
    return key.hexdigest()[:32]


def results_of(arrays, metrics):
    """One number a metric, for the record and the notebook's table."""
    if "score" in arrays:
        curve = roc(arrays["score"], arrays["member"])
        return {"auc": auc(curve), "tpr_at_1pct_fpr": tpr_at(curve, FALSE_POSITIVE_RATE)}
    return {metric: float(arrays[metric].mean()) for metric in metrics if metric in arrays}


def measure_mechanism(victim, targets):
    """What is left of an image in the first dense layer's features.

    Returns:
        tuple of arrays, one entry an auxiliary image, and of results: the share of dead units.
    """
    features, _ = victim.halves("fc1")
    values = predict(features, targets.auxiliary)
    jacobians = mechanism.jacobians(features, targets.auxiliary[:JACOBIAN_IMAGES])
    arrays = {
        "effective_rank": mechanism.effective_rank(jacobians),
        "feature_norm": mechanism.feature_norm(values[:JACOBIAN_IMAGES]),
    }
    return arrays, {"dead_units": mechanism.dead_units(values)} | {
        name: float(array.mean()) for name, array in arrays.items()
    }
