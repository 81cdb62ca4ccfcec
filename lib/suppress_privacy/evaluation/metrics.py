"""What a reconstruction has in common with its original, one value an image."""

import numpy as np
from scipy.spatial.distance import cdist
from scipy.special import softmax
from skimage.metrics import structural_similarity

SSIM_WINDOW = 7  # pixels, uniform: the reference's, and scikit-image's default
MOST_PSNR = 100.0  # dB; a perfect image would have none


def relative_l2(originals, images):
    """|x - x^| / |x|, per image.

    Args:
        originals, images (numpy.ndarray): [N, C, H, W], the same shape, finite.

    Returns:
        numpy.ndarray, float64 [N]; 0 is perfect, 1 is what a black image scores.

    Raises:
        ValueError: shapes differ or are not [N, C, H, W], values are not finite, or an original is black.
    """
    originals, images = _checked(originals, images)
    norm = np.sqrt((originals**2).sum((1, 2, 3)))
    if (norm == 0).any():
        raise ValueError(
            f"original image {int((norm == 0).argmax())} is black, so no distance relative to it exists: leave it out."
        )
    return np.sqrt(((originals - images) ** 2).sum((1, 2, 3))) / norm


def ssim(originals, images, *, data_range):
    """Structural similarity (Wang et al. 2004), per image: mean over channels, 7x7 uniform window.

    Args:
        originals, images (numpy.ndarray): [N, C, H, W], the same shape, finite, sides of 7 at least.
        data_range (float): span of the pixel values; images in [0, 1] span 1, and the reference says 2.

    Returns:
        numpy.ndarray, float64 [N] in [-1, 1]; 1 is perfect.

    Raises:
        ValueError: as `relative_l2`, or an image smaller than the window.
    """
    originals, images = _checked(originals, images)
    if min(originals.shape[2:]) < SSIM_WINDOW:
        raise ValueError(
            f"images are {originals.shape[2:]} pixels; SSIM's window needs {SSIM_WINDOW} a side: give larger images."
        )
    # One call for all of them: images below each other, and of its map the places whose window lies in one image.
    columns = originals.shape[3]
    _, similarity = structural_similarity(
        originals.reshape(-1, columns),
        images.reshape(-1, columns),
        win_size=SSIM_WINDOW,
        data_range=data_range,
        full=True,
    )
    edge = SSIM_WINDOW // 2
    return similarity.reshape(originals.shape)[:, :, edge:-edge, edge:-edge].mean((1, 2, 3))


def confidence(logits, labels):
    """The softmax probability of the true label, per image.

    Args:
        logits (numpy.ndarray): [N, C], an evaluator's output for the reconstructions.
        labels (numpy.ndarray): int [N], the originals' labels.

    Returns:
        numpy.ndarray, float64 [N] in [0, 1].
    """
    return softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]


def label_recovered(logits, labels):
    """Whether the evaluator gives the reconstruction its original's label: 1.0 or 0.0, per image."""
    return (logits.argmax(1) == labels).astype(np.float64)


def mse(originals, images):
    """Mean squared error, per image: float64 [N]. Arguments and errors as `relative_l2`, black originals aside."""
    originals, images = _checked(originals, images)
    return ((originals - images) ** 2).mean((1, 2, 3))


def skill(originals, images, prior):
    """1 - MSE / MSE(mean image), in terms whose mean over images is exactly that.

    Args:
        originals, images (numpy.ndarray): [N, C, H, W], the same shape, finite.
        prior (numpy.ndarray): [C, H, W], the mean image of what the attacker owns.

    Returns:
        numpy.ndarray, float64 [N] up to 1; 1 is perfect, 0 is what the mean image scores on average. Each
        term is divided by the mean image's error averaged over all originals.

    Raises:
        ValueError: as `mse`; or all originals equal the mean image.
    """
    of_prior = mse(originals, np.broadcast_to(prior, np.shape(originals))).mean()
    if of_prior == 0:
        raise ValueError("originals all equal the mean image: no skill against it exists, give other images.")
    return 1 - mse(originals, images) / of_prior


def psnr(originals, images):
    """Peak signal-to-noise ratio in dB for images that span 1, per image: float64 [N], at most 100."""
    return -10 * np.log10(np.maximum(mse(originals, images), 10 ** (-MOST_PSNR / 10)))


def identified(originals, images, labels, gallery):
    """Whether the original is the nearest to its reconstruction among it and others of its class (rank 1).

    Args:
        originals, images (numpy.ndarray): [N, C, H, W], the same shape, finite.
        labels (numpy.ndarray): int [N].
        gallery (dict): from label to other images of that class, [G, C, H, W], none of them an original.

    Returns:
        numpy.ndarray, float64 [N] of 0 and 1; a blind guess scores 1 / (G + 1). Distances are Euclidean; a
        tie is not identification.
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


def reconstruction_metrics(originals, images, labels, logits, prior, gallery):
    """All of the study's metrics of one attack: a dict from metric to float64 [N].

    Args:
        originals, images (numpy.ndarray): [N, C, H, W], the same shape, finite.
        labels (numpy.ndarray): int [N].
        logits (dict): what each evaluator makes of the images, [N, K]; the first one's verdict goes by the
            plain names, the others' carry their name.
        prior, gallery: as `skill` and `identified` take them.
    """
    found = {
        "skill": skill(originals, images, prior),
        "rank1": identified(originals, images, labels, gallery),
        "psnr": psnr(originals, images),
        "ssim": ssim(originals, images, data_range=1),
        "ssim_range2": ssim(originals, images, data_range=2),
        "relative_l2": relative_l2(originals, images),
    }
    for number, (name, values) in enumerate(logits.items()):
        ending = f"_{name}" if number else ""
        found[f"confidence{ending}"] = confidence(values, labels)
        found[f"label_accuracy{ending}"] = label_recovered(values, labels)
    return found


def _flat(images):
    return np.asarray(images, np.float64).reshape(len(images), -1)


def _checked(originals, images):
    originals, images = np.asarray(originals, np.float64), np.asarray(images, np.float64)
    if originals.shape != images.shape or originals.ndim != 4 or len(originals) == 0:
        raise ValueError(
            f"originals have shape {originals.shape}, images {images.shape}; both must be the same "
            "[N, C, H, W] with N at least 1: pass one reconstruction for each original."
        )
    if not (np.isfinite(originals).all() and np.isfinite(images).all()):
        raise ValueError("originals or images hold values that are not finite: a mean would hide them.")
    return originals, images
