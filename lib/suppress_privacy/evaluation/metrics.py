"""What a reconstruction has in common with its original, one value an image."""

import numpy as np
from scipy.special import softmax
from skimage.metrics import structural_similarity

SSIM_WINDOW = 7  # pixels, uniform: the reference's, and scikit-image's default


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
    pairs = zip(originals, images, strict=True)
    return np.array(
        [structural_similarity(x, y, win_size=SSIM_WINDOW, data_range=data_range, channel_axis=0) for x, y in pairs]
    )


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


def reconstruction_metrics(originals, images, labels, evaluator_logits):
    """All of the study's metrics of one attack: a dict from metric to float64 [N]."""
    return {
        "relative_l2": relative_l2(originals, images),
        "ssim": ssim(originals, images, data_range=1),
        "ssim_range2": ssim(originals, images, data_range=2),
        "confidence": confidence(evaluator_logits, labels),
        "label_accuracy": label_recovered(evaluator_logits, labels),
    }


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
