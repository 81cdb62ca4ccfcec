"""Gradient leakage: the twin network is the network, second derivatives are right, planted images are found."""

from dataclasses import replace

import mindspore as ms
import numpy as np
import pytest
import yaml
from mindspore import nn, ops

from conftest import ROOT
from suppress_privacy.attacks import gradients
from suppress_privacy.attacks.views import GradientView
from suppress_privacy.controls import SigmoidLeNet
from suppress_privacy.evaluation import gates
from suppress_privacy.evaluation.intervals import bootstrap_mean
from suppress_privacy.lenet import LeNet5, predict
from suppress_privacy.training import Defence

CLASSES = 10


def view_of(network, digits, image, label):
    """Of one image's gradient; the attacker's own are test images."""
    gradient = gradients.Observer(network, CLASSES)(image[None], [label])
    own = np.repeat(digits.test_images[-200:], image.shape[0], 1), digits.test_labels[-200:]
    return GradientView(gradient, network, image.shape, *own)


def views_of(network, digits, count):
    labels = digits.train_labels[:: len(digits.train_labels) // count][:count]
    images = digits.train_images[:: len(digits.train_images) // count][:count]
    observe = gradients.Observer(network, CLASSES)
    first = view_of(network, digits, images[0], labels[0])
    seen = [
        replace(first, gradients=observe(image[None], [label])) for image, label in zip(images, labels, strict=True)
    ]
    return seen, images, labels


def test_the_twin_is_the_network(digits):
    network = LeNet5(seed=0)
    twin = gradients.twice_differentiable(network)
    images = digits.test_images[:20]
    assert predict(twin, images) == pytest.approx(predict(network, images), abs=1e-6)
    assert [weight.name for weight in twin.trainable_params()] == [weight.name for weight in network.trainable_params()]


def test_a_network_that_lists_no_stages_is_taken_as_it_is():
    network = SigmoidLeNet(0)
    assert gradients.twice_differentiable(network) is network


def test_its_gradients_are_those_of_training(digits):
    network = LeNet5(seed=0)
    loss = nn.WithLossCell(network, nn.SoftmaxCrossEntropyWithLogits(sparse=True, reduction="mean"))
    image, label = digits.train_images[7], int(digits.train_labels[7])
    wanted = ops.GradOperation(get_by_list=True)(loss, network.trainable_params())(
        ms.Tensor(image[None]), ms.Tensor(np.array([label], np.int32))
    )
    found = gradients.Observer(gradients.twice_differentiable(network), CLASSES)(image[None], [label])
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours == pytest.approx(theirs.asnumpy(), abs=1e-6)


def test_second_derivatives_agree_with_finite_differences(digits):
    network = SigmoidLeNet(0)
    (view,), _, _ = views_of(network, digits, 1)
    step = ops.value_and_grad(gradients.SquaredDistance(network, Defence()), (0, 1))
    rng = np.random.default_rng(0)
    image = rng.random((1, 1, 32, 32), np.float32)
    logits = rng.standard_normal((1, CLASSES)).astype(np.float32)
    targets = tuple(map(ms.Tensor, view.gradients))
    scale = ms.Tensor(np.sqrt(sum((gradient**2).sum() for gradient in view.gradients)))

    def value(image, logits):
        return float(step(ms.Tensor(image), ms.Tensor(logits), targets, scale)[0].asnumpy())

    _, (of_image, of_logits) = step(ms.Tensor(image), ms.Tensor(logits), targets, scale)
    for of, base, place in ((of_image, image, 0), (of_logits, logits, 1)):
        direction = of.asnumpy() / np.linalg.norm(of.asnumpy())  # along the gradient, where float32 sees most
        length = 0.02
        shifted = [[image, logits], [image, logits]]
        shifted[0][place], shifted[1][place] = base + length * direction, base - length * direction
        slope = (value(*shifted[0]) - value(*shifted[1])) / (2 * length)
        assert slope == pytest.approx(np.linalg.norm(of.asnumpy()), rel=0.02)


def test_idlgs_rule_reads_the_label_from_the_gradients(digits):
    views, _, labels = views_of(gradients.twice_differentiable(LeNet5(seed=3)), digits, 20)
    assert [gradients.label_of(view.gradients) for view in views] == labels.tolist()


class Classifier(nn.Cell):
    """A hidden layer of features of one sign or both, and an output layer without bias."""

    def __init__(self, seed, activation, channels=1):
        super().__init__()
        self.flatten, self.activation = nn.Flatten(), activation
        self.hidden, self.out = nn.Dense(1024 * channels, 24), nn.Dense(24, CLASSES, has_bias=False)
        rng = np.random.default_rng(seed)
        for parameter in self.trainable_params():
            drawn = rng.uniform(-0.5, 0.5, parameter.shape) / np.sqrt(parameter.shape[-1])
            parameter.set_data(ms.Tensor((4 * drawn).astype(np.float32)))

    def construct(self, x):
        return self.out(self.activation(self.hidden(self.flatten(x))))


@pytest.mark.parametrize("activation", [ops.relu, ops.tanh])
def test_the_label_is_read_from_a_network_whose_last_layer_has_no_bias(digits, activation):
    observe = gradients.Observer(Classifier(1, activation), CLASSES)
    images, labels = digits.test_images[::50], np.arange(20) % CLASSES
    found = [gradients.label_of(observe(image[None], [label])) for image, label in zip(images, labels, strict=True)]
    assert found == list(labels)


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("shape", [(), (7,), (3, 2, 2)], ids=["bias", "weight", "kernel"])
@pytest.mark.parametrize("signs", ["of one sign", "of both signs"])
def test_the_label_is_read_from_bias_weight_or_kernel(classes, shape, signs):
    """Of (p - onehot) h for any h, but of two classes and without a bias where h is not negative."""
    rng = np.random.default_rng(classes)
    for case in range(50):
        label, p = case % classes, rng.dirichlet(np.ones(classes))
        h = rng.standard_normal(shape) if signs == "of both signs" else rng.random(shape)
        last = np.multiply.outer(p - np.eye(classes)[label], h if shape else 1.0).astype(np.float32)
        if classes > 2 or not shape or signs == "of one sign":
            assert gradients.label_of((np.zeros(7), last)) == label


@pytest.mark.parametrize(("attack", "channels"), [("dlg", 1), ("idlg", 3), ("cosine", 3)])
def test_an_attack_needs_no_bias_in_the_last_layer_and_takes_colour(digits, attack, channels):
    network = Classifier(0, ops.sigmoid, channels=channels)
    images = np.stack([np.repeat(digits.test_images[number], channels, 0) for number in (3, 400)])
    labels = [7, 2]
    views = [view_of(network, digits, image, label) for image, label in zip(images, labels, strict=True)]
    more = {"iters": 120, "lr": 0.1, "tv_weight": 1e-4} if attack == "cosine" else {"iters": 100}
    found = getattr(gradients, attack)(views, seed=0, restarts=1, **more)
    psnr = -10 * np.log10(np.maximum(((found.images - images) ** 2).mean((1, 2, 3)), 1e-12))
    assert found.labels.tolist() == labels and psnr.min() > 15, psnr


class OutputFirst(nn.Cell):
    """Defines its output layer before its hidden one, so that the last parameter is the hidden layer's."""

    def __init__(self):
        super().__init__()
        self.out, self.hidden, self.flatten = nn.Dense(24, CLASSES), nn.Dense(1024, 24), nn.Flatten()

    def construct(self, x):
        return self.out(ops.sigmoid(self.hidden(self.flatten(x))))


@pytest.mark.parametrize("attack", ["dlg", "idlg", "cosine"])
def test_gradients_that_no_label_can_be_read_from_are_refused_where_it_is_needed(digits, attack):
    (view,), _, _ = views_of(OutputFirst(), digits, 1)
    options = {"seed": 0, "restarts": 1, "iters": 2} | ({"lr": 0.05, "tv_weight": 0} if attack == "cosine" else {})
    if attack == "dlg":  # it seeks the label itself
        assert gradients.dlg([view], **options).images.shape == (1, 1, 32, 32)
        return
    with pytest.raises(
        ValueError, match=r"\Anetwork tells 10 classes apart, but its last trainable parameter, hidden.bi"
    ):
        getattr(gradients, attack)([view], **options)


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2, 2), nn.AdaptiveMaxPool2d((16, 16)), nn.AvgPool2d(2, 2)])
def test_a_layer_without_second_derivatives_is_refused_by_its_name(digits, pool):
    network = nn.SequentialCell(pool, nn.Flatten(), nn.Dense(256, CLASSES))
    (view,), _, _ = views_of(network, digits, 1)
    message = rf"\Anetwork has the layer 0, a {type(pool).__name__}, which has no second derivative on a CPU"
    with pytest.raises(ValueError, match=message):
        gradients.dlg([view], seed=0, restarts=1, iters=2)


def test_a_twin_that_would_not_be_the_network_is_refused():
    network = LeNet5(seed=0)
    layer, activation, _ = network.stages[0]
    network.stages = ((layer, activation, (nn.MaxPool2d(3, 2),)), *network.stages[1:])
    with pytest.raises(ValueError, match=r"\Anetwork pools with MaxPool2d.*; its twin pools 2x2 with stride 2"):
        gradients.twice_differentiable(network)


@pytest.mark.parametrize("attack", ["dlg", "idlg", "cosine"])
def test_gradients_of_a_network_that_diverged_are_refused(digits, attack):
    (view,), _, _ = views_of(SigmoidLeNet(0), digits, 1)
    spoiled = replace(view, gradients=(view.gradients[0] * np.nan, *view.gradients[1:]))
    options = {"seed": 0, "restarts": 1, "iters": 2} | ({"lr": 0.05, "tv_weight": 0} if attack == "cosine" else {})
    with pytest.raises(ValueError, match=r"\Agradients hold values that are not finite"):
        getattr(gradients, attack)([spoiled], **options)


def test_descents_that_end_in_no_number_are_told_of(digits, caplog):
    network = SigmoidLeNet(0)
    views, _, _ = views_of(network, digits, 2)
    network.dense.bias.set_data(network.dense.bias * np.nan)  # what the good gradients are compared with
    found = gradients.cosine(views, seed=0, restarts=1, iters=3, lr=0.05, tv_weight=0.0)
    assert np.isfinite(found.images).all() and np.all(found.objective == gradients.NO_NUMBER) and found.failed.all()
    assert caplog.messages[0].startswith("The descents of 2 of 2 images came to nothing")


@pytest.mark.parametrize("attack", [gradients.dlg, gradients.idlg])
def test_an_image_and_its_label_are_found_from_an_untrained_networks_gradients(digits, attack):
    views, images, labels = views_of(SigmoidLeNet(0), digits, 2)
    found = attack(views, seed=0, restarts=1, iters=150)
    psnr = -10 * np.log10(((found.images - images) ** 2).mean((1, 2, 3)))
    assert found.labels.tolist() == labels.tolist() and not found.failed.any()
    assert psnr.min() > 25, psnr


@pytest.mark.parametrize("certainty", [0, 40])
def test_the_cosine_is_one_at_the_true_image_however_small_its_gradients(digits, certainty):
    network = SigmoidLeNet(0)
    label = int(digits.train_labels[0])
    network.dense.bias.set_data(ms.Tensor((certainty * np.eye(CLASSES)[label]).astype(np.float32)))
    (view,), images, _ = views_of(network, digits, 1)
    norm = np.sqrt(sum((gradient.astype(np.float64) ** 2).sum() for gradient in view.gradients))
    assert norm < 1e-4 if certainty else norm > 1e-2
    unit = ms.mutable(tuple(ms.Tensor((gradient / norm).astype(np.float32)) for gradient in view.gradients))
    step = ops.value_and_grad(gradients.CosineDistance(network, Defence()), 0)
    one_hot, no_weight = np.eye(CLASSES, dtype=np.float32)[[label]], np.float32(0)
    value, gradient = step(ms.Tensor(images), ms.Tensor(one_hot), unit, ms.Tensor(no_weight))
    assert abs(float(value.asnumpy())) < 1e-3 and np.isfinite(gradient.asnumpy()).all()


def test_cosine_matching_comes_near(digits):
    views, images, labels = views_of(SigmoidLeNet(0), digits, 1)
    found = gradients.cosine(views, seed=0, restarts=1, iters=200, lr=0.05, tv_weight=1e-3)
    psnr = -10 * np.log10(((found.images - images) ** 2).mean((1, 2, 3)))
    assert found.labels.tolist() == labels.tolist()
    assert psnr.min() > 15, psnr


@pytest.mark.parametrize(("attack", "options"), [("dlg", {}), ("idlg", {}), ("cosine", {"lr": 0.05, "tv_weight": 0})])
def test_a_gradient_of_several_images_is_refused_where_one_is_sought(digits, attack, options):
    (view,), _, _ = views_of(SigmoidLeNet(0), digits, 1)
    with pytest.raises(ValueError, match=r"\Abatch_size is 2; this attack seeks one image a gradient: give it 1\."):
        getattr(gradients, attack)([replace(view, batch_size=2)], seed=0, restarts=1, iters=2, **options)


def test_the_weight_of_total_variation_is_the_one_that_serves_best_on_the_attackers_own_images(digits):
    views, _, _ = views_of(SigmoidLeNet(0), digits, 1)
    few = [replace(view, auxiliary=view.auxiliary[-3:], auxiliary_labels=view.auxiliary_labels[-3:]) for view in views]
    options = {"seed": 0, "restarts": 1, "iters": 60, "lr": 0.05}
    found = gradients.cosine(few, **options, tv_weight=[1e-2, 100.0])
    best, errors = found.chosen["tv_weight"], found.chosen["held_out_mse"]
    assert 0 < best < 1e-2 and found.chosen["at_edge"] == []  # it lies beyond the end, and not at one
    assert errors[f"{best:g}"] <= min(errors.values()) * 1.001 < errors["0.01"] < errors["100"]
    assert found.search_seconds > 0
    alone = gradients.cosine(few, **options, tv_weight=best)
    assert np.array_equal(alone.images, found.images) and alone.chosen is None


def test_a_descent_fails_that_ends_above_the_mean_image_or_not_far_below_its_start():
    assert not gradients.came_to_nothing(0.1, 1.0, 0.2)
    for end, *others in ((0.3, 1.0, 0.2), (1.0, 1.0, 2.0), (np.nan, 1.0, 1.0), (0.1, np.nan, 0.05), (np.inf, np.inf)):
        assert gradients.came_to_nothing(end, *others)


def test_a_descent_starts_and_stays_within_the_pixels_range_and_fails_its_check_where_it_does_not(digits, monkeypatch):
    """The positive control of the study, whose gate tells a descent from one without bounds and from a normal start."""
    settings = yaml.safe_load((ROOT / "study" / "study.yaml").read_text())["attacks"]["dlg-sigmoids"]["settings"]
    views, images, _ = views_of(SigmoidLeNet(0), digits, 5)
    minimize, seen = gradients.minimize, []

    def watched(objective, start, *more, **options):
        return minimize(
            lambda point, *known: (seen.append(point[:1024]), objective(point, *known))[1], start, *more, **options
        )

    def gate():
        found = gradients.dlg(views, seed=0, **settings | {"restarts": 1}).images
        return gates.sigmoids_give_in(bootstrap_mean(-10 * np.log10(((found - images) ** 2).mean((1, 2, 3)))[None]))

    monkeypatch.setattr(gradients, "minimize", watched)
    assert gate().passed
    assert len(seen) > 500 and np.min(seen) >= 0 and np.max(seen) <= 1
    monkeypatch.setattr(gradients, "started", lambda rng, pixels, logits: rng.standard_normal(pixels + logits))
    monkeypatch.setattr(gradients, "minimize", lambda *given, bounds, **options: minimize(*given, **options))
    assert not gate().passed


def test_to_match_no_better_than_an_image_without_gradients_is_to_have_failed(digits):
    """Of a network that is sure of the image its gradients are tiny, and any other image of that label has as small."""
    network = SigmoidLeNet(0)
    label = int(digits.train_labels[0])
    network.dense.bias.set_data(ms.Tensor((25 * np.eye(CLASSES)[label]).astype(np.float32)))
    (view,), _, _ = views_of(network, digits, 1)
    found = gradients.idlg([view], seed=0, restarts=1, iters=1)
    assert found.failed.all()
