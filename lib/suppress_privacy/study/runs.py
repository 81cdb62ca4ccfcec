"""The study's runs: train one arm from one seed, attack one trained arm."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from mindspore import nn

from suppress_privacy.attacks import ATTACKS
from suppress_privacy.attacks.views import FeatureView
from suppress_privacy.defences import DEFENCES
from suppress_privacy.evaluation.metrics import reconstruction_metrics
from suppress_privacy.lenet import Features, LeNet5, predict
from suppress_privacy.runtime import generator
from suppress_privacy.study.records import Records, file_sha256, training_name
from suppress_privacy.training import Defence, checkpoints_in, load_checkpoint, train

CLASSES = 10
TARGET_SEED = 0  # the same targets in every arm, attack and seed


@dataclass(frozen=True)
class Targets:
    """The private images under attack, and the auxiliary images an attacker may own.

    Targets come half from the training set, half from the test set; auxiliary images are the test
    images that are no targets.
    """

    images: np.ndarray  # float32 [N, 1, 32, 32]
    labels: np.ndarray  # int32 [N]
    in_training: np.ndarray  # bool [N]
    index: np.ndarray  # int64 [N], position in the training or test set
    auxiliary: np.ndarray  # float32 [M, 1, 32, 32]


def optimizer(settings, network):
    """The optimiser that an arm's settings name, over the network's trainable parameters."""
    if settings.name == "sgd":
        return nn.SGD(network.trainable_params(), settings.lr)
    return nn.Momentum(network.trainable_params(), settings.lr, settings.momentum)


def train_arm(arm, seed, data, checkpoints):
    """Train a LeNet5 as an arm says.

    Args:
        arm (settings.Arm): how.
        seed (int): seeds initial weights, order of the images, and the defence's noise.
        data (Mnist): on what.
        checkpoints (Path): folder for the checkpoints.

    Returns:
        tuple of LeNet5, History, and the defence's report (a dict).
    """
    network = LeNet5(seed=seed)
    defence = Defence()
    if arm.defence is not None:
        settings = arm.defence.model_dump(exclude={"kind"})
        steps = len(data.train_labels) // arm.batch_size
        build = DEFENCES[arm.defence.kind]
        defence = build(network, batch_num=steps, lr=arm.optimizer.lr, seed=seed, **settings)
    history = train(
        network,
        optimizer(arm.optimizer, network),
        data,
        epochs=arm.epochs,
        batch_size=arm.batch_size,
        seed=seed,
        defence=defence,
        checkpoints=checkpoints,
    )
    return network, history, defence.report()


def checkpoint_folder(results, arm, seed):
    """Where the checkpoints of one training run are."""
    return Path(results) / "checkpoints" / training_name(arm, seed)


def trained_network(results, arm, seed):
    """The network of a finished training run: the weights its record names, and no others.

    Raises:
        ValueError: there is no such run, or its checkpoint is not the one it recorded.
    """
    name = training_name(arm, seed)
    records = Records(results)
    if not (records.folder / f"{name}.json").is_file():
        raise ValueError(f"{results} has no record {name}: run the notebook train with arm={arm} seed={seed} first.")
    checkpoint = records.read(name)["checkpoint"]
    path = checkpoint_folder(results, arm, seed) / checkpoint["name"]
    if not path.is_file() or file_sha256(path) != checkpoint["sha256"]:
        raise ValueError(f"{path} is missing or is not what record {name} was made with: train the model again.")
    network = LeNet5()
    load_checkpoint(network, path)
    return network


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
        if count > available:
            raise ValueError(
                f"targets.{name} is {count}; {data.name} has {available} of the rarest class: ask for fewer."
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
    auxiliary = np.delete(data.test_images, index[~in_training], axis=0)
    return Targets(images, labels, in_training, index, auxiliary)


def attack_network(attack, network, targets, evaluator, seed):
    """Attack a trained network and judge what comes out.

    Args:
        attack (settings.Attack): which attack, at which depth, with which settings.
        network (LeNet5): the victim.
        targets (Targets): the private images; the attack sees their features alone.
        evaluator (nn.Cell): an independent classifier.
        seed (int): seeds the attack's start.

    Returns:
        dict of numpy.ndarray, each with one entry an image: the metrics by name; reconstruction,
        uint8 [N, 1, 32, 32]; objective where the attack has one; index, in_training and label.
    """
    features = Features(network, attack.depth)
    view = FeatureView(predict(features, targets.images), features, targets.auxiliary)
    found = ATTACKS[attack.kind](view, seed=seed, **attack.settings)
    logits = predict(evaluator, found.images)
    arrays = reconstruction_metrics(targets.images, found.images, targets.labels, logits)
    if found.objective is not None:
        arrays["objective"] = found.objective
    return arrays | {
        "reconstruction": np.rint(found.images * 255).astype(np.uint8),
        "index": targets.index,
        "in_training": targets.in_training,
        "label": targets.labels,
    }
