"""The exact attack on gradients: a dense layer with a bias gives its own input away (Phong et al. 2018)::

    dL/dW_i = sum_n d_ni h_n,    dL/db_i = sum_n d_ni        of z = W h + b, with d_ni = dL_n/dz_i for image n

Of one image every row with dL/db_i != 0 gives h = dL/dW_i / dL/db_i (Geiping et al. 2020, Prop. 3.1). Of a batch a row
does so whose unit was active for one image alone. Nobody tells the attacker which rows those are: mixtures differ from
row to row, so what two rows agree on counts. Where a mask keeps entries of dL/dW back, each is taken from the rows that
have it; what no row has is what the attacker's own images lead to expect. A decoder makes images of inputs.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from mindspore import Parameter, Tensor, nn
from scipy.sparse.csgraph import connected_components

from suppress_privacy.attacks.gradients import must_be_finite
from suppress_privacy.attacks.perceptron import decoders
from suppress_privacy.attacks.registry import attack
from suppress_privacy.attacks.views import FeatureView, GradientView, Reconstruction
from suppress_privacy.checks import Seed
from suppress_privacy.lenet import predict
from suppress_privacy.runtime import operator_by_operator

AGREE = 1e-3  #: how near two rows' inputs must be to count as one, relative
SHARED = 3  #: entries that must agree, for by chance fewer might
SHRINKAGE = 1e-3  #: added to the inputs' variances, relative to their mean, for some inputs never vary


def inputs_in(layers: Sequence[nn.Cell], network: nn.Cell, images: np.ndarray) -> list[tuple[nn.Cell, np.ndarray]]:
    """What layers of a network are given for images, in the order of the forward pass, however it is written.

    Hooks see it, which MindSpore has outside graph mode alone.
    """
    seen: list[tuple[nn.Cell, np.ndarray]] = []

    def look(layer: nn.Cell, given: tuple[Tensor, ...]) -> None:
        seen.append((layer, given[0].asnumpy()))

    network.set_train(False)
    with operator_by_operator():
        hooks = [layer.register_forward_pre_hook(look) for layer in layers]
        network(Tensor(images))
        for hook in hooks:
            hook.remove()
    return seen


class Inputs(nn.Cell):
    """A network up to the inputs of one of its layers; from images, [N, C, H, W], to [N, F]."""

    def __init__(self, network: nn.Cell, layer: nn.Cell) -> None:
        super().__init__(auto_prefix=False)
        self.network, self.layer = network, layer

    def __call__(self, images: Tensor) -> Tensor:
        ((_, found),) = inputs_in([self.layer], self.network, images.asnumpy())
        return Tensor(found)


def first_dense(network: nn.Cell, image_shape: tuple[int, ...]) -> nn.Cell:
    """The first layer in the forward pass that gives its input away: z = W h + b, trained, once for each image.

    Raises:
        ValueError: the network has none.
    """
    trained = {id(parameter) for parameter in network.trainable_params()}

    def dense(cell: nn.Cell) -> bool:
        weight, bias = getattr(cell, "weight", None), getattr(cell, "bias", None)
        if not (isinstance(weight, Parameter) and isinstance(bias, Parameter)):
            return False
        return {id(weight), id(bias)} <= trained and weight.ndim == 2 and bias.shape == weight.shape[:1]

    layers = [cell for _, cell in network.cells_and_names() if dense(cell)]
    calls = inputs_in(layers, network, np.zeros((1, *image_shape), np.float32))
    once = [cell for cell, x in calls if x.ndim == 2 and sum(other is cell for other, _ in calls) == 1]
    if not once:
        raise ValueError(
            f"network is a {type(network).__name__} without a trained dense layer with a bias that sees each image "
            "once, which alone gives its input away: attack another, or match its gradients."
        )
    return once[0]


def inputs_from(weight: np.ndarray, bias: np.ndarray, kept: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a dense layer that its gradients give away, for as many of `count` images as they do.

    Args:
        weight, bias: the gradients, [O, F] and [O].
        kept: bool [O, F], where the weight's are not masked.
        count: images of whose mean loss they are.

    Returns:
        inputs, float64 [count, F], and which of their entries are known, bool [count, F]; what is not is zero.
    """
    rows = np.flatnonzero(bias)
    weight, bias, kept = weight[rows].astype(np.float64), bias[rows].astype(np.float64), kept[rows]
    groups = [np.arange(len(rows))] if count == 1 else agreeing(weight / bias[:, None] * kept, kept)[:count]
    found, known = np.zeros((count, weight.shape[1])), np.zeros((count, weight.shape[1]), bool)
    for number, group in enumerate(groups):
        # Least squares: the larger a row's gradient, the less rounding there is in it.
        power = bias[group] ** 2 @ kept[group]
        known[number] = power > 0
        found[number] = np.divide(bias[group] @ (weight * kept)[group], power, out=found[number], where=power > 0)
    return found, known


def agreeing(inputs: np.ndarray, kept: np.ndarray) -> list[np.ndarray]:
    """Groups of at least two rows that give the same input on the entries that both have; the largest first."""
    there, has = (inputs != 0).astype(np.float64), kept.astype(np.float64)
    squares = inputs**2 @ has.T  # [O, O], of row i on the entries that row k has too
    apart = squares + squares.T - 2 * inputs @ inputs.T
    shared = there @ has.T + has @ there.T - there @ there.T  # entries that are zero in both say little
    same = (apart <= AGREE**2 * np.maximum(squares, squares.T)) & (shared >= SHARED)
    _, of_group = connected_components(same, directed=False)
    groups = [np.flatnonzero(of_group == number) for number in np.unique(of_group)]
    return sorted((group for group in groups if len(group) > 1), key=len, reverse=True)


def completed(inputs: np.ndarray, known: np.ndarray, like: np.ndarray) -> np.ndarray:
    """Inputs with what is not known of them as inputs `like` them, [M, F], lead one to expect: by their covariance."""
    mean, full = like.mean(0), inputs.copy()
    covariance = np.atleast_2d(np.cov(like, rowvar=False))
    covariance += SHRINKAGE * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
    for row, has in zip(full, known, strict=True):
        if not has.all():
            on_known = np.linalg.solve(covariance[np.ix_(has, has)], row[has] - mean[has])
            row[~has] = mean[~has] + covariance[np.ix_(~has, has)] @ on_known
    return full


@attack("analytic", sees="gradients")
def analytic(views: list[GradientView], *, seed: Seed, decoder: dict[str, Any] | None = None) -> Reconstruction:
    """The inputs of the first dense layer with a bias, exactly, and what a decoder makes of them.

    Where the layer's input is the image, that is the answer. An image whose input is not found gets what the attacker
    expects of any.

    Args:
        views: one for each batch, all of one network.
        seed: of the decoder.
        decoder: settings of the attack of that name, whose network is taken where it does better on the attacker's
            held-out images than the ridge decoder; None: the ridge decoder.

    Returns:
        Reconstruction; the images of each batch in no particular order. `chosen` says of which layer, how many inputs
        were found, and what the decoder chose.

    Raises:
        ValueError: no layer gives its input away; gradients that are not finite.

    Examples:
        >>> from suppress_privacy.attacks.gradients import Observer
        >>> from suppress_privacy.attacks.views import GradientView
        >>> from suppress_privacy.controls import Perceptron
        >>> victim = Perceptron(seed=0)  # its first dense layer sees the image itself
        >>> sent = Observer(victim, classes=10)(images[:1], labels[:1])
        >>> seen = GradientView(sent, victim, (1, 32, 32), known, known_labels)
        >>> found = analytic([seen], seed=0)
        >>> bool(np.allclose(found.images, images[:1], atol=1e-4))
        True
    """
    must_be_finite(views)
    view = views[0]
    layer = first_dense(view.network, view.image_shape)
    parameters = view.network.trainable_params()
    weight, bias = (next(i for i, p in enumerate(parameters) if p is own) for own in (layer.weight, layer.bias))
    ones = tuple(Tensor(np.ones(parameter.shape, np.float32)) for parameter in parameters)
    kept = view.sent.on_gradients(ones)[weight].asnumpy() != 0
    upto = Inputs(view.network, layer)
    like = predict(upto, view.auxiliary)
    given = [inputs_from(each.gradients[weight], each.gradients[bias], kept, each.batch_size) for each in views]
    found, known = map(np.concatenate, zip(*given, strict=True))
    found, chosen = completed(found, known, like), {"layer": layer.weight.name, "found": int(known.any(1).sum())}
    if np.array_equal(like, view.auxiliary.reshape(len(like), -1)):
        images = np.clip(found, 0, 1).astype(np.float32).reshape(-1, *view.image_shape)
        return Reconstruction(images, chosen=chosen)
    own = FeatureView(found, upto, nn.Identity(), view.auxiliary, view.auxiliary_labels)
    kept = view.learned.setdefault(hashlib.sha256(view.auxiliary.tobytes() + like.tobytes()).hexdigest(), {})
    own.learned.update(kept)
    fitted = decoders(own, seed=seed, settings=decoder)
    kept.update(own.learned)
    made = fitted[0].reconstruct(own)
    chosen |= {"decoder": type(fitted[0]).__name__.lower(), **(made.chosen or {})}
    return Reconstruction(made.images, chosen=chosen, search_seconds=sum(each.search_seconds for each in fitted))
