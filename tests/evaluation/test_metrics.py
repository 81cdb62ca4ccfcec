from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio

from suppress_privacy.evaluation import metrics
from suppress_privacy.evaluation.intervals import bootstrap_mean, proportion


@pytest.fixture
def pairs():
    rng = np.random.default_rng(0)
    originals = rng.random((5, 1, 32, 32))
    return originals, np.clip(originals + 0.2 * rng.standard_normal(originals.shape), 0, 1)


def test_a_perfect_reconstruction_scores_perfectly(pairs):
    originals, _ = pairs
    assert np.all(metrics.relative_l2(originals, originals) == 0)
    assert metrics.ssim(originals, originals, data_range=1) == pytest.approx(np.ones(5))


def test_relative_l2_of_black_is_one_and_scales(pairs):
    originals, images = pairs
    assert metrics.relative_l2(originals, 0 * originals) == pytest.approx(np.ones(5))
    expected = [np.linalg.norm(x - y) / np.linalg.norm(x) for x, y in zip(originals, images, strict=True)]
    assert metrics.relative_l2(originals, images) == pytest.approx(expected)
    assert metrics.relative_l2(3 * originals, 3 * images) == pytest.approx(expected)


@pytest.mark.parametrize("data_range", [1, 2])
def test_ssim_is_the_published_formula(pairs, data_range):
    """Wang et al. 2004 with a uniform window and sample covariance, cropped by half a window."""
    originals, images = pairs

    def written_out(x, y):
        mean_x, mean_y = uniform_filter(x, 7), uniform_filter(y, 7)
        sample = 49 / 48
        var_x = sample * (uniform_filter(x * x, 7) - mean_x**2)
        var_y = sample * (uniform_filter(y * y, 7) - mean_y**2)
        covariance = sample * (uniform_filter(x * y, 7) - mean_x * mean_y)
        c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
        similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
        similarity /= (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
        return similarity[3:-3, 3:-3].mean()

    expected = [written_out(x[0], y[0]) for x, y in zip(originals, images, strict=True)]
    found = metrics.ssim(originals, images, data_range=data_range)
    assert found == pytest.approx(expected, rel=1e-9)
    assert metrics.ssim(images, originals, data_range=data_range) == pytest.approx(found)


def test_a_wider_range_inflates_ssim(pairs):
    assert np.all(metrics.ssim(*pairs, data_range=2) > metrics.ssim(*pairs, data_range=1))


def test_confidence_and_recovery():
    logits = np.array([[0, 0, np.log(8)], [5, 0, 0]], np.float32)
    assert metrics.confidence(logits, np.array([2, 1])) == pytest.approx([0.8, 1 / (np.exp(5) + 2)], rel=1e-6)
    assert metrics.label_recovered(logits, np.array([2, 1])).tolist() == [1, 0]


def test_skill_is_one_minus_the_ratio_of_errors(pairs):
    originals, images = pairs
    prior = np.full(originals.shape[1:], 0.5)
    ratio = ((images - originals) ** 2).mean() / ((prior - originals) ** 2).mean()
    assert metrics.skill(originals, images, prior).mean() == pytest.approx(1 - ratio)
    assert np.all(metrics.skill(originals, originals, prior) == 1)
    assert metrics.skill(originals, np.broadcast_to(prior, originals.shape), prior).mean() == pytest.approx(0)
    with pytest.raises(ValueError, match="all equal the mean image"):
        metrics.skill(np.broadcast_to(prior, originals.shape), images, prior)


def test_psnr_is_scikit_images(pairs):
    originals, images = pairs
    expected = [peak_signal_noise_ratio(x, y, data_range=1) for x, y in zip(originals, images, strict=True)]
    assert metrics.psnr(originals, images) == pytest.approx(expected)
    assert np.all(metrics.psnr(originals, originals) == metrics.MOST_PSNR)


def test_identification_is_a_search_among_its_class():
    rng = np.random.default_rng(0)
    originals = rng.random((6, 1, 8, 8))
    labels = np.array([0, 1, 0, 1, 0, 1])
    gallery = {label: rng.random((40, 1, 8, 8)) for label in (0, 1)}
    images = np.clip(originals + rng.normal(0, [0.1, 0.3, 0.6, 1, 2, 4], (1, 8, 8, 6)).transpose(3, 0, 1, 2), 0, 1)
    expected = [
        float(all(np.linalg.norm(image - other) > np.linalg.norm(image - original) for other in gallery[label]))
        for original, image, label in zip(originals, images, labels, strict=True)
    ]
    found = metrics.identified(originals, images, labels, gallery)
    assert found.tolist() == expected and 0 < sum(expected) < 6
    # The mean image is as near to all: it identifies none that it is not by chance nearest to.
    twins = {label: originals[labels == label] for label in (0, 1)}
    assert metrics.identified(originals, originals, labels, twins).sum() == 0  # a tie is not identification


def test_identification_among_all_leaves_out_the_original_itself_and_no_other(monkeypatch):
    rng = np.random.default_rng(1)
    everyone = rng.random((30, 1, 4, 4))
    originals = np.concatenate([everyone[[3, 17, 29]], rng.random((3, 1, 4, 4))])
    themselves = np.array([3, 17, 29, -1, -1, -1])
    images = np.clip(originals + rng.normal(0, [0, 0.4, 1, 0, 0.4, 1], (1, 4, 4, 6)).transpose(3, 0, 1, 2), 0, 1)
    expected = [
        float(all(np.linalg.norm(image - other) > np.linalg.norm(image - original) for other in others))
        for image, original, others in zip(
            images,
            originals,
            [np.delete(everyone, max(own, 0), 0) if own >= 0 else everyone for own in themselves],
            strict=True,
        )
    ]
    assert metrics.identified_among_all(originals, images, everyone, themselves).tolist() == expected
    assert 0 < sum(expected) < 6
    monkeypatch.setattr(metrics, "CANDIDATES", 7)
    assert metrics.identified_among_all(originals, images, everyone, themselves).tolist() == expected
    nowhere = np.full(6, -1)  # an equal image that is not the original itself: a tie
    assert metrics.identified_among_all(originals, originals, everyone, nowhere).tolist() == [0, 0, 0, 1, 1, 1]


def test_identification_among_all_looks_at_every_place(monkeypatch):
    """An original, or the only image that is nearer, at each place of each block."""
    monkeypatch.setattr(metrics, "CANDIDATES", 3)
    rng = np.random.default_rng(0)
    far, original = 5 + rng.random((7, 1, 4, 4)), rng.random((1, 1, 4, 4))
    for place in range(7):
        everyone = far.copy()
        everyone[place] = original[0]
        assert metrics.identified_among_all(original, original + 0.1, everyone, np.array([place])) == [1]
        everyone[place] = original[0] + 0.1
        assert metrics.identified_among_all(original, original + 0.1, everyone, np.array([-1])) == [0]


def test_an_exact_image_has_the_largest_psnr():
    assert metrics.psnr(np.ones((1, 1, 4, 4)), np.ones((1, 1, 4, 4))) == pytest.approx([100])


def test_each_row_of_distances_is_of_an_image():
    with pytest.raises(ValueError, match="shorter"):
        metrics.is_nearest(np.ones((3, 4)), np.array([0, 1]))


def test_the_nearest_of_its_candidates_is_found_by_distance():
    distances = np.array([[0, 1, 2, 0], [3, 1, 2, 5], [4, 3, 0, 2.0]])
    own = np.array([0, 1, 2])
    assert metrics.is_nearest(distances, own).tolist() == [0, 1, 1]  # the first has a tie
    among = [np.array([1, 2]), np.array([0, 3]), np.array([0, 1, 3])]
    assert metrics.is_nearest(distances, own, among).tolist() == [1, 1, 1]
    assert metrics.is_nearest(distances, own[::-1]).tolist() == [0, 1, 0]


def test_the_table_names_every_metric_there_is(pairs):
    gallery = {0: np.zeros((3, 1, 32, 32))}
    found = metrics.reconstruction_metrics(*pairs, np.zeros(5, int), np.zeros((1, 32, 32)), gallery)
    found |= metrics.judged(np.eye(10)[:5], np.zeros(5, int))
    assert all(values.shape == (5,) for values in found.values())
    assert found["label_accuracy"].tolist() == [1, 0, 0, 0, 0]
    for name, data_range in (("ssim", 1), ("ssim_range2", 2)):
        assert np.array_equal(found[name], metrics.ssim(*pairs, data_range=data_range))
    of_others = ("rank1_all", "label_found", "rank1_of_sent", "failed")
    of_images = [name for name, metric in metrics.METRICS.items() if metric.of == "image" and name not in of_others]
    assert list(found) == of_images
    assert [name for name in found if metrics.METRICS[name].judged] == ["confidence", "label_accuracy"]
    assert [name for name, metric in metrics.METRICS.items() if metric.primary] == ["skill", "rank1"]


def test_failed_images_are_counted_and_not_averaged_in():
    failed = np.array([[0.0, 1, 0, 0], [0, 0, 1, 1]])
    values = np.arange(8.0).reshape(2, 4)
    columns = {
        ("skill", ""): values,
        ("confidence", "one"): -values,
        ("failed", ""): failed,
        ("in_training", ""): failed,
    }
    found = metrics.averaged(columns)
    assert np.nanmean(found["skill", ""]) == np.mean([0, 2, 3, 4, 5]) == -np.nanmean(found["confidence", "one"])
    assert found["failed", ""] is failed and found["in_training", ""] is failed
    most = metrics.averaged(columns | {("failed", ""): np.array([[0.0, 0, 0, 0], [0, 1, 1, 1]])})
    assert list(most) == [("failed", ""), ("in_training", "")]  # no mean of a seed's few others
    del columns["failed", ""]
    assert metrics.averaged(columns) == columns


def test_images_of_a_batch_go_with_the_originals_that_they_are_nearest_to(pairs):
    originals, images = pairs
    order = np.array([3, 0, 4, 1, 2])
    assert np.array_equal(images[order][metrics.assigned(originals, images[order])], images)
    # One image that is nearest to both originals goes to one of them alone.
    far, near = originals[:1] * 0, originals[:1]
    assert metrics.assigned(np.concatenate([near, near * 0.9]), np.concatenate([far, near])).tolist() == [1, 0]


def test_values_lie_in_the_range_of_the_table(pairs):
    """At the ends: a perfect image and its negative."""
    originals, _ = pairs
    gallery, prior = {0: np.zeros((3, 1, 32, 32))}, originals.mean(0)
    for images in (originals, 1 - originals, 0 * originals):
        found = metrics.reconstruction_metrics(originals, images, np.zeros(5, int), prior, gallery)
        for name, values in found.items():
            assert values.min() >= metrics.METRICS[name].low - 1e-12, name
            assert values.max() <= metrics.METRICS[name].high + 1e-12, name


def test_an_interval_ends_where_the_metrics_range_does():
    values = np.array([[0.9, 0.95, 1.0], [-0.9, -0.8, 0.2]])  # two seeds apart: Student's interval is wide
    plain = bootstrap_mean(values)
    assert plain.low < -1 and plain.high > 1
    assert metrics.METRICS["psnr"].estimate(values) == plain
    assert metrics.METRICS["skill"].estimate(values) == replace(plain, high=1)
    assert metrics.METRICS["ssim"].estimate(values) == replace(plain, low=-1, high=1)
    assert metrics.METRICS["relative_l2"].estimate(values) == replace(plain, low=0)


def test_metrics_of_zero_and_one_are_proportions():
    values = np.array([[0, 1, 1, 1, 1, 1]])
    for name in ("rank1", "label_accuracy", "label_found"):
        assert metrics.METRICS[name].estimate(values) == proportion(values)
    assert metrics.METRICS["confidence"].estimate(values) == bootstrap_mean(values)


def test_what_is_a_share_of_images_lies_between_none_and_all_of_them():
    shares = {name for name, metric in metrics.METRICS.items() if metric.proportion}
    assert shares == {"rank1", "rank1_all", "rank1_of_sent", "label_accuracy", "label_found", "failed"}
    assert {(metrics.METRICS[name].low, metrics.METRICS[name].high) for name in shares} == {(0, 1)}


def test_of_one_seed_alone_means_are_taken_as_of_several():
    failed, skill = np.array([1.0, 0, 0]), np.array([0.2, 0.4, 0.6])
    found = metrics.averaged({("failed", ""): failed, ("skill", ""): skill})
    assert np.nanmean(found["skill", ""]) == pytest.approx(0.5)


def test_bad_images_are_refused(pairs):
    originals, images = pairs
    for one, other, message in (
        (originals, images[:4], "the same"),
        (originals[:0], images[:0], "each at least 1"),
        (originals[:, 0], images[:, 0], r"\[N, C, H, W\]"),
        (originals, np.where(images > 0.5, np.nan, images), "not finite"),
        (np.where(originals > 0.5, np.nan, originals), images, "not finite"),
        (0 * originals, images, "original image 0 is black"),
    ):
        with pytest.raises(ValueError, match=message):
            metrics.relative_l2(one, other)
    with pytest.raises(ValueError, match="window needs 7"):
        metrics.ssim(originals[..., :5], images[..., :5], data_range=1)
