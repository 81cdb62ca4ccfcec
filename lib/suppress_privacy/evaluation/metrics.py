"""What a reconstruction has in common with its original, one value an image; and the table of all metrics."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import softmax
from skimage.metrics import structural_similarity

from suppress_privacy.checks import Positive, checked
from suppress_privacy.evaluation.intervals import Estimate, bootstrap_mean, proportion

Gallery = Mapping[int, np.ndarray]  # images [G, C, H, W] by label
Key = tuple[str, str]  # metric and evaluator, or ""
SSIM_WINDOW = 7  #: pixels, uniform; the reference's, and scikit-image's default
CANDIDATES = 2000  #: images compared at a time
ROUNDING = 1e-9  #: of squared distances
MOST_PSNR = 100.0  #: dB; a perfect image would have none
MOST_FAILED = 0.5  #: share of a seed's images beyond which no mean is taken of the others
FAILED = ("failed", "")
FALSE_POSITIVE_RATE = 0.01  #: at which membership inference is judged
LOW_RATE = 0.001  #: and where candidates are many


@dataclass(frozen=True)
class Metric:
    """How a metric is called and read."""

    name: str
    label: str  #: for a table's heading or an axis
    low: float = -np.inf  #: ends of its range
    high: float = np.inf
    proportion: bool = False  #: of 0 and 1
    primary: bool = False  #: by which attacks are ranked
    judged: bool = False  #: by an evaluator, a classifier that looks at the reconstructions
    #: A value an image, or one of all candidates' scores, or one that only a game of many candidates has.
    of: Literal["image", "scores", "game"] = "image"

    def estimate(self, values: np.ndarray, resampled: np.ndarray | None = None) -> Estimate:
        """The mean of a metric of images with its interval, which ends where the range does.

        Args:
            values: [S, N], one row a seed.
            resampled: as `bootstrap_mean` takes it.
        """
        if self.proportion:
            return proportion(values, resampled=resampled)
        found = bootstrap_mean(values, resampled=resampled)
        return replace(found, low=max(self.low, found.low), high=min(self.high, found.high))


_ALL = (
    Metric("skill", "skill against the mean image", high=1, primary=True),
    Metric("rank1", "identified among its class", 0, 1, proportion=True, primary=True),
    Metric("rank1_all", "identified among all training images", 0, 1, proportion=True),
    Metric("psnr", "PSNR (dB)"),
    Metric("ssim", "SSIM (data range 1)", -1, 1),
    Metric("ssim_range2", "SSIM (data range 2)", -1, 1),
    Metric("relative_l2", "relative L2 distance", low=0),
    Metric("confidence", "confidence in the true label", 0, 1, judged=True),
    Metric("label_accuracy", "labels recovered", 0, 1, proportion=True, judged=True),
    Metric("label_found", "labels found from gradients", 0, 1, proportion=True),
    Metric("rank1_of_sent", "the image sent identified", 0, 1, proportion=True),
    Metric("failed", "descents failed", 0, 1, proportion=True),
    Metric("auc", "area under the ROC", 0, 1, of="scores"),
    Metric("tpr_at_1pct_fpr", f"true positives at {FALSE_POSITIVE_RATE:.0%} false positives", 0, 1, of="scores"),
    Metric("tpr_at_01pct_fpr", f"true positives at {LOW_RATE:.1%} false positives", 0, 1, of="game"),
)
METRICS = {metric.name: metric for metric in _ALL}


def averaged(columns: Mapping[Key, np.ndarray]) -> dict[Key, np.ndarray]:
    """Columns as means are to be taken of them: NaN in metrics of images whose descent failed, which say nothing.

    Args:
        columns: by metric and evaluator, [N] or one row a seed, [S, N].

    Returns:
        all of them, but where more than half of a seed's images failed, "failed" alone of the metrics.

    Examples:
        >>> averaged({("psnr", ""): np.array([20.0, 3.0]), ("failed", ""): np.array([0, 1])})["psnr", ""].tolist()
        [20.0, nan]
    """
    failed = columns.get(FAILED)
    if failed is None:
        return dict(columns)
    others = [key for key in columns if key[0] in METRICS and key != FAILED]
    if np.mean(failed, axis=-1).max() > MOST_FAILED:
        return {key: values for key, values in columns.items() if key not in others}
    return {**columns, **{key: np.where(failed, np.nan, columns[key]) for key in others}}


def assigned(originals: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Which image of a batch that came back in no order goes with which original: least squared error over all.

    Returns:
        int [N], positions among the images.

    Examples:
        >>> assigned(images, images[[2, 0, 1, 3]]).tolist()
        [1, 2, 0, 3]
    """
    return linear_sum_assignment(cdist(_flat(originals), _flat(images), "sqeuclidean"))[1]


def label(name: str) -> str:
    """How a metric is called; a figure of a model itself by its name.

    Examples:
        >>> label("rank1")
        'identified among its class'
    """
    return METRICS[name].label if name in METRICS else name.replace("_", " ")


def relative_l2(originals: np.ndarray, images: np.ndarray) -> np.ndarray:
    """`|x - x^| / |x|`, per image.

    Args:
        originals, images: [N, C, H, W], the same shape, finite.

    Returns:
        float64 [N]; 0 is perfect, 1 is what a black image scores.

    Raises:
        ValueError: shapes differ or are not [N, C, H, W], values are not finite, or an original is black.

    Examples:
        >>> relative_l2(images, images).tolist(), relative_l2(images, 0 * images).tolist()
        ([0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 1.0, 1.0])
    """
    originals, images = _checked(originals, images)
    norm = np.sqrt((originals**2).sum((1, 2, 3)))
    if (norm == 0).any():
        black = int((norm == 0).argmax())
        raise ValueError(f"original image {black} is black, so no distance relative to it exists: leave it out.")
    return np.sqrt(((originals - images) ** 2).sum((1, 2, 3))) / norm


@checked
def ssim(originals: np.ndarray, images: np.ndarray, *, data_range: Positive) -> np.ndarray:
    """Structural similarity (Wang et al. 2004), per image: mean over channels, 7x7 uniform window.

    Args:
        originals, images: [N, C, H, W], the same shape, finite, sides of 7 at least.
        data_range: span of the pixel values; images in [0, 1] span 1, and the reference says 2.

    Returns:
        float64 [N] in [-1, 1]; 1 is perfect.

    Raises:
        ValueError: as `relative_l2`, or an image smaller than the window.

    Examples:
        >>> ssim(images, images, data_range=1).round(6).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    originals, images = _checked(originals, images)
    sides = originals.shape[2:]
    if min(sides) < SSIM_WINDOW:
        raise ValueError(f"images are {sides} pixels; SSIM's window needs {SSIM_WINDOW} a side: give larger ones.")
    # One call for all of them: images below each other, and of its map the places whose window lies in one image.
    below = (values.reshape(-1, sides[1]) for values in (originals, images))
    _, similarity = structural_similarity(*below, win_size=SSIM_WINDOW, data_range=data_range, full=True)
    edge = SSIM_WINDOW // 2
    return similarity.reshape(originals.shape)[:, :, edge:-edge, edge:-edge].mean((1, 2, 3))


def confidence(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The softmax probability of the true label, per image.

    Args:
        logits: [N, K], an evaluator's output for the reconstructions.
        labels: int [N], the originals' labels.

    Returns:
        float64 [N] in [0, 1].

    Examples:
        >>> confidence(np.log([[0.9, 0.1]]), np.array([0])).round(6).tolist()
        [0.9]
    """
    return softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]


def label_recovered(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Whether the evaluator gives the reconstruction its original's label: 1.0 or 0.0, per image."""
    return (logits.argmax(1) == labels).astype(np.float64)


def mse(originals: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Mean squared error, per image: float64 [N]. Arguments and errors as `relative_l2`, black originals aside."""
    originals, images = _checked(originals, images)
    return ((originals - images) ** 2).mean((1, 2, 3))


def skill(originals: np.ndarray, images: np.ndarray, prior: np.ndarray) -> np.ndarray:
    """1 - MSE / MSE(mean image), in terms whose mean over images is exactly that.

    Args:
        originals, images: [N, C, H, W], the same shape, finite.
        prior: [C, H, W], the mean image of what the attacker owns.

    Returns:
        float64 [N] up to 1; 1 is perfect, 0 is what the mean image scores on average. Each
        term is divided by the mean image's error averaged over all originals.

    Raises:
        ValueError: as `mse`; or all originals equal the mean image.

    Examples:
        >>> prior = known.mean(0)
        >>> skill(images, images, prior).tolist()
        [1.0, 1.0, 1.0, 1.0]
        >>> bool(abs(skill(images, np.repeat(prior[None], 4, axis=0), prior).mean()) < 1e-6)
        True
    """
    of_prior = mse(originals, np.broadcast_to(prior, np.shape(originals))).mean()
    if of_prior == 0:
        raise ValueError("originals all equal the mean image: no skill against it exists, give other images.")
    return 1 - mse(originals, images) / of_prior


def psnr(originals: np.ndarray, images: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB for images that span 1, per image: float64 [N], at most 100.

    Examples:
        >>> psnr(images, np.clip(images + 0.1, 0, 1)).round(0).tolist()
        [21.0, 20.0, 20.0, 20.0]
    """
    return -10 * np.log10(np.maximum(mse(originals, images), 10 ** (-MOST_PSNR / 10)))


def identified(originals: np.ndarray, images: np.ndarray, labels: np.ndarray, gallery: Gallery) -> np.ndarray:
    """Whether the original is the nearest to its reconstruction among it and others of its class (rank 1).

    Args:
        originals, images: [N, C, H, W], the same shape, finite.
        labels: int [N].
        gallery: from label to other images of that class, [G, C, H, W], none of them an original.

    Returns:
        float64 [N] of 0 and 1; a blind guess scores 1 / (G + 1). Distances are Euclidean; a
        tie is not identification.

    Examples:
        >>> gallery = {int(label): known[known_labels == label] for label in labels}
        >>> identified(images, images, labels, gallery).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    originals, images = _checked(originals, images)
    found = np.zeros(len(images))
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        flat, own, others = (_flat(values) for values in (images[rows], originals[rows], gallery[label]))
        # Own and others by the same routine, so that equal images are at equal distances.
        to_own = cdist(flat, own, "sqeuclidean").diagonal()
        found[rows] = to_own < cdist(flat, others, "sqeuclidean").min(1)
    return found


def identified_among_all(
    originals: np.ndarray, images: np.ndarray, everyone: np.ndarray, themselves: np.ndarray
) -> np.ndarray:
    """Whether the original is the nearest to its reconstruction among it and all images of a set (rank 1).

    Args:
        originals, images: [N, C, H, W], the same shape, finite.
        everyone: [P, C, H, W], of any class.
        themselves: int [N], where among these an original is; -1 if it is not.

    Returns:
        float64 [N] of 0 and 1; distances and ties as `identified` has them.

    Examples:
        >>> everyone = np.concatenate([images, known])
        >>> identified_among_all(images, images, everyone, themselves=np.arange(4)).tolist()
        [1.0, 1.0, 1.0, 1.0]
    """
    originals, images = _checked(originals, images)
    flat, own = _flat(images), _flat(originals)
    # |b|^2 - 2 a b: of a distance, what depends on the candidate. By one product, for everyone is many.
    to_own = (own**2).sum(1) - 2 * (flat * own).sum(1)
    nearest = np.full(len(flat), np.inf)
    for first in range(0, len(everyone), CANDIDATES):
        others = _flat(everyone[first : first + CANDIDATES])
        distances = (others**2).sum(1) - 2 * flat @ others.T
        inside = np.flatnonzero((themselves >= first) & (themselves < first + len(others)))
        distances[inside, themselves[inside] - first] = np.inf
        nearest = np.minimum(nearest, distances.min(1))
    return (to_own < nearest - ROUNDING).astype(np.float64)


def is_nearest(distances: np.ndarray, own: np.ndarray, among: Sequence[np.ndarray] | None = None) -> np.ndarray:
    """Whether an image is the nearest of its candidates.

    Args:
        distances: [N, P].
        own: int [N], which of the P an image is.
        among: for each image, which others are its candidates, none of them itself; None: all.

    Returns:
        float64 [N] of 0 and 1; a tie is not identification.

    Examples:
        >>> is_nearest(np.array([[0.1, 0.5], [0.2, 0.2]]), own=np.array([0, 1])).tolist()  # a tie does not count
        [1.0, 0.0]
    """
    found = np.zeros(len(own))
    for number, (row, itself) in enumerate(zip(distances, own, strict=True)):
        others = np.delete(row, itself) if among is None else row[among[number]]
        found[number] = row[itself] < others.min()
    return found


def reconstruction_metrics(
    originals: np.ndarray, images: np.ndarray, labels: np.ndarray, prior: np.ndarray, gallery: Gallery
) -> dict[str, np.ndarray]:
    """The metrics that need no evaluator, float64 [N] each; arguments as `identified` and `skill` take them.

    Examples:
        >>> sorted(reconstruction_metrics(images, images, labels, prior, gallery))
        ['psnr', 'rank1', 'relative_l2', 'skill', 'ssim', 'ssim_range2']
    """
    return {
        "skill": skill(originals, images, prior),
        "rank1": identified(originals, images, labels, gallery),
        "psnr": psnr(originals, images),
        "ssim": ssim(originals, images, data_range=1),
        "ssim_range2": ssim(originals, images, data_range=2),
        "relative_l2": relative_l2(originals, images),
    }


def judged(logits: np.ndarray, labels: np.ndarray) -> dict[str, np.ndarray]:
    """The metrics by one evaluator, float64 [N] each; arguments as `confidence` takes them.

    Examples:
        >>> sorted(judged(predict(network, images), labels))
        ['confidence', 'label_accuracy']
    """
    return {"confidence": confidence(logits, labels), "label_accuracy": label_recovered(logits, labels)}


def _flat(images: np.ndarray) -> np.ndarray:
    return np.asarray(images, np.float64).reshape(len(images), -1)


def _checked(originals: np.ndarray, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    originals, images = np.asarray(originals, np.float64), np.asarray(images, np.float64)
    if originals.shape != images.shape or originals.ndim != 4 or originals.size == 0:
        raise ValueError(
            f"originals have shape {originals.shape}, images {images.shape}; both must be the same "
            "[N, C, H, W], each at least 1: pass one reconstruction for each original."
        )
    if not (np.isfinite(originals).all() and np.isfinite(images).all()):
        raise ValueError("originals or images hold values that are not finite: a mean would hide them.")
    return originals, images
