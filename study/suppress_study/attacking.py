"""Attack one network of the study: give each attack what it sees, judge what comes out, and keep it as runs."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from mindspore import Tensor, nn, ops

from suppress_privacy.attacks import ATTACKS, gradients, views
from suppress_privacy.controls import CONTROLS
from suppress_privacy.evaluation import mechanism
from suppress_privacy.evaluation.gates import objective_fell
from suppress_privacy.evaluation.membership import auc, roc, tpr_at
from suppress_privacy.evaluation.metrics import (
    FALSE_POSITIVE_RATE,
    METRICS,
    assigned,
    averaged,
    identified,
    identified_among_all,
    is_nearest,
    judged,
    reconstruction_metrics,
)
from suppress_privacy.files import atomically, read_arrays
from suppress_privacy.lenet import predict
from suppress_privacy.mnist import Mnist, load_images
from suppress_privacy.runtime import generator
from suppress_privacy.training import Defence
from suppress_study.jobs import WEAKER, Variant
from suppress_study.models import Trained, key_of
from suppress_study.results import JUDGED, Arrays, column_of, key
from suppress_study.targets import SEED, Targets, pictured

SHADOW_SEED = 0  # the same shadows for all victims of one recipe
View = views.NothingView | views.FeatureView | views.GalleryView | list[views.GradientView] | views.MembershipView
CURVE_QUANTILES = (0.25, 0.5, 0.75)
JACOBIAN_IMAGES = 50  # auxiliary images on which the mechanism is measured
JACOBIAN_UNITS = 128  # of features that are more, so many drawn by lot: a backward pass each


@dataclass(frozen=True)
class Scene:
    """What all attacks on one network share."""

    victim: Trained | None  # None: for attacks that look at no model
    targets: Targets  # the private images; an attack sees no more of them than its view holds
    evaluators: Mapping[str, nn.Cell]  # independent classifiers, by name
    data: Mnist  # for attacks on membership, whose candidates come from all of it
    seed: int  # seeds the attacks
    shadows: Path | None = None  # folder to keep in what shadow networks say, for other victims of the same recipe
    keep_extremes: bool = True  # whether to keep the best, middle and worst reconstructions besides the first of each
    another: Trained | None = None  # the victim's arm from another seed, for attackers who have no network but that
    watched: tuple[int, ...] = ()  # targets whose images are kept on their way, where an attack descends
    # Of the attacks on features, by what they see: what one learns from its view serves the next.
    seen: dict[frozenset, views.FeatureView] = field(default_factory=dict, init=False, repr=False, compare=False)
    # Of the attacks on gradients: what one learns of the network serves all sizes of batch.
    learned: dict[Hashable, dict] = field(default_factory=dict, init=False, repr=False, compare=False)


@dataclass(frozen=True)
class Found:
    """What an attack got: arrays with one entry an image or candidate, and what it chose by itself."""

    arrays: Arrays
    chosen: dict[str, Any] = field(default_factory=dict)
    search_seconds: float = 0.0  # of the attack's time, what the choosing took

    def means(self) -> dict[tuple[str, str], float]:
        """One number a metric and evaluator, for a reader's table; no evaluator where the metric needs none."""
        if "score" in self.arrays:
            curve = roc(self.arrays["score"], self.arrays["member"])
            return {("auc", ""): auc(curve), ("tpr_at_1pct_fpr", ""): tpr_at(curve, FALSE_POSITIVE_RATE)}
        columns = averaged({column_of(name): values for name, values in self.arrays.items()})
        return {column: float(np.nanmean(values)) for column, values in columns.items() if column[0] in METRICS}


def attack(variant: Variant, scene: Scene) -> Found:
    """Run an attack on its view, and judge what comes out.

    Returns:
        Found. Of an attack on images: `image`, the targets' positions; metrics, those of evaluators as
        judged/EVALUATOR/METRIC; `reconstruction` and `original`, uint8 [K, C, H, W], of the targets at the
        positions `pictured`; where the attack has them objective, quartiles of its curve and whether it fell, and of
        the `watched` targets `frame`, uint8 [K, P, C, H, W], and `frame_objective`, [K, P]; index,
        in_training and label. Of one that knows candidates: image, index, in_training, label, and whether the target
        was identified. Of one on membership: candidate, score, member, index and label.

    Raises:
        ValueError: the network does not give what the attack sees.
    """
    seen, run = view(variant, scene), ATTACKS[variant.kind].run
    if isinstance(seen, views.MembershipView):
        return _ranked(run(seen, seed=SHADOW_SEED, **variant.settings), seen, len(scene.data.train_labels))
    found = run(seen, seed=scene.seed, **variant.settings)
    if isinstance(seen, views.GalleryView):
        return _matched(found, scene)
    if not isinstance(seen, list):
        return _judged(found, np.arange(len(found.images)), scene)
    shown, sent = _shown(variant, scene), _sent(variant, scene)
    found = _in_order(found, scene.targets.images[sent], variant.batch_size)
    judged = _judged(found, shown, scene)
    if variant.another:
        targets = scene.targets
        of_sent = identified(targets.images[sent], found.images, targets.labels[sent], targets.gallery)
        judged.arrays["rank1_of_sent"] = few_digits(of_sent)
    return judged


def view(variant: Variant, scene: Scene) -> View:
    """What an attack is given of the network under attack: all that it holds.

    Raises:
        ValueError: the network does not give what the attack sees.
    """
    victim, targets = scene.victim, scene.targets
    if variant.sees == "nothing":
        return views.NothingView(len(targets.labels), targets.auxiliary, targets.auxiliary_labels)
    if variant.network:
        return _gradients_of(CONTROLS[variant.network](seed=SEED), Defence(), variant, scene)
    if victim is None:
        raise ValueError(f"{variant.attack} sees {variant.sees} of a network, and there is none: name an arm.")
    if released := victim.defence.releases:
        if variant.sees not in ("features", "gallery"):
            raise ValueError(f"{variant.attack} does not look at features, which alone this model protects: omit it.")
        if variant.factors["depth"] != released:
            raise ValueError(f"depth is {variant.factors['depth']}; this model releases {released} alone: attack that.")
    return SEES[variant.sees](variant, scene, victim)


def _features(variant: Variant, scene: Scene, victim: Trained) -> View:
    sees = key({name: value for name, value in variant.factors.items() if name in ("depth", *WEAKER)})
    if sees not in scene.seen:
        known = scene.another if "known" in variant.factors else victim
        if known is None:
            raise ValueError(f"{variant.attack} holds the network of another seed, and there is none: leave it out.")
        halves = known.halves(str(variant.factors["depth"]))
        release = victim.defence.release if victim.defence.releases else None
        released = _released(variant, scene, victim)
        scene.seen[sees] = views.FeatureView(released, *halves, *_owned(variant, scene), release, scene.watched)
    return scene.seen[sees]


def _released(variant: Variant, scene: Scene, victim: Trained) -> np.ndarray:
    """What left the device for the targets."""
    features, _ = victim.halves(str(variant.factors["depth"]))
    return victim.defence.release(predict(features, scene.targets.images), generator(scene.seed, "released noise"))


def _owned(variant: Variant, scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """The auxiliary images and their labels: fewer by a seeded draw, or of another kind, if so it is said."""
    images, labels = scene.targets.auxiliary, scene.targets.auxiliary_labels
    count = int(variant.factors.get("auxiliary", len(labels)))
    if kind := variant.factors.get("auxiliary_kind"):
        other = load_images(kind)  # type: ignore[arg-type]  # one of those, by its annotation in `Sees`
        images, labels = other.test_images, other.test_labels
    chosen = generator(SEED, "fewer auxiliary images").permutation(len(labels))[:count]
    return images[chosen], labels[chosen]


def _gallery(variant: Variant, scene: Scene, victim: Trained) -> View:
    """Features, with all training images and the targets that are none as candidates."""
    features, _ = victim.halves(str(variant.factors["depth"]))
    everyone = np.concatenate([scene.data.train_images, scene.targets.images[~scene.targets.in_training]])
    return views.GalleryView(_released(variant, scene, victim), features, everyone)


def _shown(variant: Variant, scene: Scene) -> np.ndarray:
    """Positions of the targets that an attack on gradients seeks, batch after batch; what fills none is left out."""
    shown, size = scene.targets.first_of_each_class(variant.images_per_class), variant.batch_size
    if len(shown) < size:
        raise ValueError(f"batch_size is {size}, and {len(shown)} images are shown: take fewer, or show more.")
    drawn = generator(SEED, "batches of gradients").permutation(shown) if size > 1 else shown
    return drawn[: len(shown) // size * size]


def _sent(variant: Variant, scene: Scene) -> np.ndarray:
    """Positions of the targets whose gradients are seen, of each batch."""
    shown = _shown(variant, scene)
    return np.roll(shown, variant.batch_size) if variant.another else shown


def _in_order(found: views.Reconstruction, sent: np.ndarray, size: int) -> views.Reconstruction:
    """Images that came back in no order, batch by batch, in that of the originals of that batch."""
    if size == 1:
        return found
    batches = range(0, len(sent), size)
    order = [first + assigned(sent[first : first + size], found.images[first : first + size]) for first in batches]
    return replace(found, images=found.images[np.concatenate(order)])


def _gradients(variant: Variant, scene: Scene, victim: Trained) -> View:
    network = victim.at(str(variant.factors["moment"]))
    sent = victim.sender(network) if variant.sent == "masked" else Defence()
    return _gradients_of(network, sent, variant, scene)


def _gradients_of(network: nn.Cell, sent: Defence, variant: Variant, scene: Scene) -> View:
    network, targets = gradients.twice_differentiable(network), scene.targets
    observe = gradients.Observer(network, scene.data.classes, sent)
    of_all = targets.images.shape[1:], targets.auxiliary, targets.auxiliary_labels
    given = *of_all, variant.batch_size, sent, scene.learned
    batches = _sent(variant, scene).reshape(-1, variant.batch_size)
    return [
        views.GradientView(observe(targets.images[batch], targets.labels[batch]), network, *given) for batch in batches
    ]


def _outputs(variant: Variant, scene: Scene, victim: Trained) -> View:
    """Candidates: as many training as test images; the attacker owns both sets whole, bar who was trained on."""
    data = scene.data
    count = min(variant.candidates, len(data.test_labels), len(data.train_labels))
    rng = generator(SEED, "membership candidates")
    images = np.concatenate([data.train_images, data.test_images])
    labels = np.concatenate([data.train_labels, data.test_labels])
    of_train = rng.choice(len(data.train_labels), count, replace=False)
    of_test = rng.choice(len(data.test_labels), count, replace=False)
    candidates = np.concatenate([of_train, len(data.train_labels) + of_test])

    def train_shadow(indices: np.ndarray, seed: int) -> np.ndarray:
        # Its own test set is looked at after every epoch, to no end: a short one will do.
        subset = Mnist(
            images[indices], labels[indices], data.test_images[:100], data.test_labels[:100], data.name, data.sha256
        )
        kept = scene.shadows and scene.shadows / f"{_shadow_key(victim, data, indices, seed)}.npz"
        if kept and kept.is_file():
            return read_arrays(kept)["logits"]
        logits = predict(victim.shadow(seed, subset), images)
        if kept:
            with atomically(kept) as part, part.open("wb") as file:
                np.savez_compressed(file, logits=logits)
        return logits

    return views.MembershipView(predict(victim.network, images), labels, candidates, train_shadow)


SEES = {"features": _features, "gallery": _gallery, "gradients": _gradients, "outputs": _outputs}


def _ranked(scores: np.ndarray, seen: views.MembershipView, trained: int) -> Found:
    """Scores of the candidates, of whom those at the first `trained` positions are members."""
    where = seen.candidates
    member = where < trained
    which = {"candidate": np.arange(len(where)), "index": where - ~member * trained, "label": seen.labels[where]}
    arrays = {"score": few_digits(scores), "member": member}
    return Found(arrays | {name: few_bytes(values) for name, values in which.items()})


def _matched(distances: np.ndarray, scene: Scene) -> Found:
    """Whether each target is the nearest of its candidates: all that a gallery's view has, and those of its class."""
    targets = scene.targets
    own = np.where(
        targets.in_training, targets.index, len(scene.data.train_labels) + np.cumsum(~targets.in_training) - 1
    )
    arrays = {
        "rank1": is_nearest(distances, own, [targets.gallery_index[label] for label in targets.labels.tolist()]),
        "rank1_all": is_nearest(distances, own),
    }
    return Found(arrays | _which(targets, np.arange(len(own))))


def _which(targets: Targets, shown: np.ndarray) -> Arrays:
    """What the targets at the positions `shown` are."""
    which = {"image": shown, "index": targets.index[shown], "label": targets.labels[shown]}
    return {name: few_bytes(values) for name, values in which.items()} | {"in_training": targets.in_training[shown]}


def _judged(found: views.Reconstruction, shown: np.ndarray, scene: Scene) -> Found:
    """Metrics of the reconstructions of the targets at the positions `shown`."""
    targets = scene.targets
    originals, labels = targets.images[shown], targets.labels[shown]
    prior = targets.auxiliary.mean(axis=0, dtype=np.float64)
    arrays = reconstruction_metrics(originals, found.images, labels, prior, targets.gallery)
    themselves = np.where(targets.in_training, targets.index, -1)[shown]
    arrays["rank1_all"] = identified_among_all(originals, found.images, scene.data.train_images, themselves)
    for name, evaluator in scene.evaluators.items():
        verdicts = judged(predict(evaluator, found.images), labels)
        arrays |= {f"{JUDGED}/{name}/{metric}": values for metric, values in verdicts.items()}
    if found.labels is not None:
        arrays["label_found"] = (found.labels == labels).astype(np.float64)
    if found.failed is not None:
        arrays["failed"] = found.failed.astype(np.float64)
    if found.objective is not None:
        arrays["objective"] = found.objective
    if found.curve is not None:
        arrays["curve"] = np.quantile(found.curve, CURVE_QUANTILES, axis=1)
        arrays["fell"] = objective_fell(found.curve)
    if found.course is not None:
        arrays["frame_objective"] = found.course.objective
    arrays = {name: few_digits(values) for name, values in arrays.items()}
    chosen = pictured(arrays["skill"] if scene.keep_extremes else None, labels)
    pictures = {"reconstruction": found.images[chosen], "original": originals[chosen]}
    arrays |= _which(targets, shown) | {"pictured": few_bytes(shown[chosen])}
    if found.course is not None:
        pictures["frame"] = found.course.images
        arrays["watched"] = few_bytes(shown[found.course.targets])
    arrays |= {name: np.rint(images * 255).astype(np.uint8) for name, images in pictures.items()}
    return Found(arrays, found.chosen or {}, found.search_seconds)


def measure_mechanism(victim: Trained, targets: Targets, depth: str) -> dict[str, Any]:
    """What is left of an image at a depth: dead units, and by image rank and norm of its features."""
    features, _ = victim.halves(depth)
    values = predict(features, targets.auxiliary).reshape(len(targets.auxiliary), -1)
    units = generator(SEED, "units of a Jacobian").permutation(values.shape[1])[:JACOBIAN_UNITS]
    jacobians = mechanism.jacobians(_Units(features, np.sort(units)), targets.auxiliary[:JACOBIAN_IMAGES])
    return {
        "dead_units": mechanism.dead_units(values),
        "effective_rank": mechanism.effective_rank(jacobians).tolist(),
        "feature_norm": mechanism.feature_norm(values[:JACOBIAN_IMAGES]).tolist(),
    }


class _Units(nn.Cell):
    """Some units of a cell's outputs: [N, ...] -> [N, U]."""

    def __init__(self, cell: nn.Cell, units: np.ndarray) -> None:
        super().__init__(auto_prefix=False)
        self.cell, self.units = cell, Tensor(units.astype(np.int32))

    def construct(self, x: Tensor) -> Tensor:
        values = self.cell(x)
        return ops.gather(values.reshape(values.shape[0], -1), self.units, 1)


def few_digits(values: np.ndarray) -> np.ndarray:
    """float32 values to twelve bits of mantissa, about four digits, so that runs stay small when compressed.

    The error is at most one part in eight thousand of each value (bit rounding, as in Kloewer et al. 2021).
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return (((bits + np.uint32(1 << 10)) >> 11) << 11).view(np.float32)


def few_bytes(values: np.ndarray) -> np.ndarray:
    """Integers from 0 in the smallest type that holds them all."""
    return values.astype(np.min_scalar_type(values.max()))


def _shadow_key(victim: Trained, data: Mnist, indices: np.ndarray, seed: int) -> str:
    """A name for a shadow network by all that decides its weights: recipe, data, seed, and the code that trains it."""
    recipe = [arm and arm.recipe() for arm in (victim.arm, victim.base)]
    if victim.arm.cut:  # its shadows are trained as long as it was
        recipe.append({"epochs": len(victim.history.loss)})
    # The code of a user's network is not known here: shadows of one serve its victim alone.
    own = victim.sha256 if ":" in victim.arm.network else ""
    return key_of([recipe, data.sha256, seed], indices.tobytes(), own.encode(), code=__file__)
