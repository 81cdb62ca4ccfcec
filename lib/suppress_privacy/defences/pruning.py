"""What suppression is compared with: the same numbers of zeros, by other choices of which weights go.

Magnitude pruning sets the smallest weights of a trained network to zero at once (Han et al. 2015); random masks
follow suppression's own schedule with weights drawn by lot.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from mindspore import Parameter, ParameterTuple, Tensor, nn, ops

from suppress_privacy.checks import Share, checked
from suppress_privacy.defences.layers import Layers, MaskLayerDes, mask_layers, matched
from suppress_privacy.defences.masks import LayerUpdate, weights_to_suppress
from suppress_privacy.defences.settings import DefenceSettings
from suppress_privacy.defences.suppress import SuppressCtrl, Suppression, beside
from suppress_privacy.training import Defence, Facts, Plan, must_belong


class Magnitude(Defence):
    """Prunes a trained network when it is made; what is zero stays zero in any training that follows.

    Args:
        network: changed in place.
        mask_layers: the layers to prune, and how many of their weights must stay; nothing else of them is used.
        sparsity: share of each layer's weights to set to zero.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range, an unknown layer, or no weight
            to prune.
    """

    @checked
    def __init__(self, network: nn.Cell, mask_layers: list[MaskLayerDes], sparsity: Share) -> None:
        super().__init__(auto_prefix=False)
        layers = matched(network, mask_layers)
        self.weights = ParameterTuple([weight for weight, _ in layers])
        masks: list[Parameter] = []
        self._report: dict[str, Facts] = {}
        for weight, layer in layers:
            values = weight.asnumpy().ravel()
            count = weights_to_suppress(weight.size, sparsity, layer.min_num)
            smallest = np.argsort(np.abs(values), kind="stable")[:count]
            mask = np.ones(weight.size, bool)
            mask[smallest] = False
            threshold = float(np.abs(values[smallest[-1]])) if count else 0.0
            self._report[weight.name] = LayerUpdate(mask, values * mask, threshold).entry(count)
            masks.append(beside(weight, "mask", mask.reshape(weight.shape)))
            weight.set_data(Tensor((values * mask).reshape(weight.shape)))
        if not any(entry["suppressed"] for entry in self._report.values()):
            raise ValueError(
                f"sparsity is {sparsity}, at which no weight goes: raise it, or lower the layers' min_num."
            )
        self.masks = ParameterTuple(masks)

    def begin(self, network: nn.Cell, **training: int) -> None:
        must_belong(network, self.weights, "defence")

    def after_update(self) -> None:
        for index in range(len(self.weights)):
            ops.assign(self.weights[index], self.weights[index] * self.masks[index])

    def report(self) -> dict[str, Facts]:
        """By layer, as `SuppressCtrl.report`."""
        return {name: dict(entry) for name, entry in self._report.items()}


@dataclass(frozen=True, kw_only=True)
class MagnitudePruning(DefenceSettings, kind="magnitude"):
    """Settings of `Magnitude`; `layers` is what `mask_layers` takes.

    Examples:
        >>> from suppress_privacy.training import Plan, sparsity
        >>> plan = Plan(data, epochs=1, batch_size=100, lr=0.1, seed=0)
        >>> pruned = LeNet5(seed=0)
        >>> defence = MagnitudePruning(sparsity=0.9, layers=["fc1.weight"]).make(pruned, plan)
        >>> round(sparsity(pruned)["fc1.weight"], 3)
        0.9
    """

    sparsity: Share
    layers: Layers

    starts_trained: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        mask_layers(self.layers)

    def make(self, network: nn.Cell, plan: Plan) -> Magnitude:
        return Magnitude(network, mask_layers(self.layers, network), self.sparsity)


class MasksAlone(SuppressCtrl):
    """Suppression's schedule and counts; none of the weights that stay is moved."""

    def updated(self, index: int, weights: np.ndarray, mask: np.ndarray, suppress: int) -> LayerUpdate | None:
        wanted = suppress - (mask.size - np.count_nonzero(mask))
        if wanted < 1:
            return None
        mask = mask.copy()
        gone = self.chosen(weights, np.flatnonzero(mask), wanted)
        mask[gone] = False
        return LayerUpdate(mask, weights * mask, threshold=self.threshold(weights[gone]))

    def chosen(self, weights: np.ndarray, alive: np.ndarray, wanted: int) -> np.ndarray:
        """Which of the positions `alive` go next, so many."""
        raise NotImplementedError

    def threshold(self, gone: np.ndarray) -> float:
        """Up to what magnitude all go, if that decides; else 0."""
        return 0.0


class RandomMasks(MasksAlone):
    """Which weights go is drawn by lot."""

    def chosen(self, weights: np.ndarray, alive: np.ndarray, wanted: int) -> np.ndarray:
        return self._rng.choice(alive, wanted, replace=False)


@dataclass(frozen=True, kw_only=True)
class RandomMasking(Suppression, kind="random-mask"):
    """Settings of `RandomMasks`.

    Examples:
        >>> from suppress_privacy import train
        >>> model = nn.SequentialCell(nn.Flatten(), nn.Dense(1024, 10))
        >>> rise = {"start_epoch": 1, "end_epoch": 1, "mask_times": 4, "sparse_start": 0.0, "sparse_end": 0.9}
        >>> defence = RandomMasking(layers="proposed", **rise).make(model, plan)
        >>> optimizer = nn.SGD(model.trainable_params(), 0.1)
        >>> history = train(model, optimizer, data, epochs=1, batch_size=100, seed=0, defence=defence)
        >>> round(sparsity(model)["1.weight"], 1)
        0.9
    """

    control: ClassVar[type[SuppressCtrl]] = RandomMasks


class GradualMagnitude(MasksAlone):
    """The smallest weights go (Zhu & Gupta 2017): suppression without its moves and noise."""

    def chosen(self, weights: np.ndarray, alive: np.ndarray, wanted: int) -> np.ndarray:
        return alive[np.argsort(np.abs(weights[alive]), kind="stable")[:wanted]]

    def threshold(self, gone: np.ndarray) -> float:
        return float(np.abs(gone).max())


@dataclass(frozen=True, kw_only=True)
class GradualPruning(Suppression, kind="gradual-magnitude"):
    """Settings of `GradualMagnitude`.

    Examples:
        >>> isinstance(GradualPruning(layers="proposed", **rise).make(model, plan), GradualMagnitude)
        True
    """

    control: ClassVar[type[SuppressCtrl]] = GradualMagnitude
