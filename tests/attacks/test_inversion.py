import mindspore as ms
import numpy as np
import pytest
from mindspore import nn

from suppress_privacy import Features, ImageInversionAttack, LeNet5
from suppress_privacy.attacks import inversion
from suppress_privacy.attacks.inversion import InversionObjective
from suppress_privacy.attacks.views import LOOKS, FeatureView, looks
from suppress_privacy.lenet import Rest, predict

WEIGHTS = (1, 0.1, 5)


@pytest.fixture(scope="module")
def network():
    return Features(LeNet5(seed=0), "fc1")


@pytest.fixture(scope="module")
def images(digits):
    return digits.test_images[::200]


def roughness(x, smoothness):
    """The two scales written out for one image [C, H, W]."""
    height, width = x.shape[1:]
    if smoothness == "cpu":
        rows = sum(np.mean((x[:, i] - x[:, i - 1]) ** 2) for i in range(1, height))
        return rows + sum(np.mean((x[:, :, j] - x[:, :, j - 1]) ** 2) for j in range(1, width))
    below, right = np.zeros_like(x), np.zeros_like(x)
    below[:, :-1], right[:, :, :-1] = x[:, 1:], x[:, :, 1:]
    return np.mean((x - below) ** 2) + np.mean((x - right) ** 2)


def gradient_of(objective):
    """The gradient of the summed objective, as a function of images and target features."""

    def total(images, features):
        return objective(images, features).sum()

    return ms.grad(total)


@pytest.mark.parametrize("smoothness", ["cpu", "ascend"])
def test_the_objective_is_the_equation(network, images, smoothness):
    x = np.random.default_rng(0).random(images.shape).astype(np.float32)
    found, target = predict(network, x), predict(network, images)
    expected = [
        np.mean((f - t) ** 2) / np.mean(t**2) + 0.1 * roughness(image, smoothness) + 5 * np.mean(image**2)
        for f, t, image in zip(found, target, x.astype(np.float64), strict=True)
    ]
    objective = InversionObjective(network, WEIGHTS, smoothness)
    np.testing.assert_allclose(objective(ms.Tensor(x), ms.Tensor(target)).asnumpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("smoothness", ["cpu", "ascend"])
def test_the_gradient_agrees_with_finite_differences(images, smoothness):
    """On a smooth network, where differences converge."""
    network = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 20, weight_init="normal"), nn.Sigmoid())
    target = predict(network, images[:1])
    objective = InversionObjective(network, WEIGHTS, smoothness)
    x = np.random.default_rng(1).random((1, 1, 32, 32)).astype(np.float32)
    gradient = gradient_of(objective)(ms.Tensor(x), ms.Tensor(target)).asnumpy()
    direction = np.random.default_rng(2).standard_normal(x.shape).astype(np.float32)
    step = 1e-2

    def along(distance):
        return float(objective(ms.Tensor(x + np.float32(distance) * direction), ms.Tensor(target)).asnumpy()[0])

    assert (along(step) - along(-step)) / (2 * step) == pytest.approx(float((gradient * direction).sum()), rel=1e-2)


def test_the_cpu_scale_weighs_about_32_times_the_other(images):
    ratios = [roughness(x, "cpu") / roughness(x, "ascend") for x in images.astype(np.float64)]
    assert np.mean(ratios) == pytest.approx(32, rel=0.02)


def test_a_batch_gives_each_image_what_it_would_get_alone(network, images):
    features = predict(network, images)

    def attack(batch_size):
        attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="cpu", batch_size=batch_size)
        return attack.generate(features, iters=20)

    # Sign steps of 0.01: an equal path differs by rounding alone, another path by 0.01 at least.
    together, alone = attack(500), attack(1)
    assert np.mean(np.abs(together - alone) > 0.005) < 0.002


def naive_attack(network, features, start, iters):
    """The reference attack, one image at a time, in single operators."""
    gradient_at = gradient_of(InversionObjective(network, WEIGHTS, "cpu"))
    images = []
    for image, feature in zip(start, features, strict=True):
        x, target = image[None].copy(), ms.Tensor(feature[None])
        for _ in range(iters):
            gradient = gradient_at(ms.Tensor(x), target).asnumpy()
            x = np.clip(x - 0.01 * np.sign(gradient), 0, 1).astype(np.float32)
        images.append(x[0])
    return np.array(images)


def test_the_descent_is_that_of_the_reference(network, images):
    features = predict(network, images[:2])
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="cpu", seed=5)
    start = attack.start(2)
    assert start.min() >= 0 and 0.04 < start.max() <= 0.05
    assert np.mean(np.abs(attack.generate(features, 5) - naive_attack(network, features, start, 5)) > 0.005) < 0.002


def test_the_attack_finds_a_planted_image():
    """Where features are the pixels and nothing else is asked for, the image itself comes back."""
    image = np.random.default_rng(0).random((3, 1, 8, 8)).astype(np.float32)
    attack = ImageInversionAttack(nn.Flatten(), (1, 8, 8), (0, 1), (1, 1e-6, 1e-6), smoothness="cpu")
    assert np.abs(attack.generate(image.reshape(3, -1), 110) - image).max() <= 0.0101


def test_more_steps_lower_the_objective_and_pixels_stay_in_range(network, images):
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="ascend")
    features = predict(network, images)
    objectives = []
    for iters in (1, 20, 100):
        found = attack.descend(features, iters)
        objectives.append(found.objective.mean())
        assert found.images.min() >= 0 and found.images.max() <= 1
    assert objectives[0] > objectives[1] > objectives[2]


def test_the_course_of_watched_images_is_what_shorter_descents_end_in(network, images):
    features, watched = predict(network, images[:5]), (4, 1)
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="cpu", batch_size=2)
    course = attack.descend(features, 40, watched).course
    assert course.targets.tolist() == [4, 1] and len(course.images) == LOOKS + 1 == len(course.objective)
    assert np.array_equal(course.images[0], attack.start(5)[[4, 1]])
    for position, step in enumerate(sorted(looks(40))[1:3], 1):
        shorter = attack.descend(features, step)
        assert np.array_equal(course.images[position], shorter.images[[4, 1]])
        assert np.array_equal(course.objective[position], shorter.objective[[4, 1]])
    assert len(attack.descend(features, 3, watched).course.images) == 4
    assert attack.descend(features, 3).course is None


def test_features_without_signal_give_finite_images(network):
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS)
    assert np.isfinite(attack.generate(np.zeros((2, 120), np.float32), 3)).all()


def test_the_seed_decides_the_start(network, images):
    features = predict(network, images[:2])

    def attack(seed):
        return ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, seed=seed).generate(features, 2)

    assert np.array_equal(attack(0), attack(0)) and not np.array_equal(attack(0), attack(1))


def test_on_a_view_the_attack_has_the_weights_it_is_given(network, images, digits):
    features, owned = predict(network, images[:2]), slice(0, 1000, 20)
    view = FeatureView(
        features, network, Rest(network.network, "fc1"), digits.test_images[owned], digits.test_labels[owned]
    )
    weights = {"smoothness_weight": 0.1, "norm_weight": 5, "iters": 5, "smoothness": "cpu"}
    attack = ImageInversionAttack(network, (1, 32, 32), (0, 1), WEIGHTS, smoothness="cpu", seed=3)
    expected = attack.generate(features, 5)
    assert np.array_equal(inversion.invert(view, seed=3, **weights).images, expected)
    assert not np.array_equal(inversion.invert(view, seed=3, feature_weight=0.001, **weights).images, expected)
