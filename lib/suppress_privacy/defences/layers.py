"""Which layers are suppressed, and how: descriptions under MindArmour's name, matched to a network's parameters."""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Annotated, Any

from mindspore import Parameter, nn

from suppress_privacy.checks import Bounds, CheckedFields, Positive, Seed, check, checked, described

STAYS = 16  #: one weight in so many stays in a proposal, as in MindArmour's example, 10 of 150, 150 of 2400, 50 of 840
NAME = "a parameter's name, a part of it that no other has, or a pattern such as 'features.*.weight'"


@dataclass(frozen=True)
class MaskLayerDes(CheckedFields):
    """One layer to suppress, or several that a pattern names.

    Args:
        layer_name: the parameter's name, a part of it that no other parameter has, or a pattern
            (`*`, `?`, `[...]`) for all weight matrices and kernels it matches.
        grad_idx: position of the parameter among the trainable ones; found from the name, so None will do,
            and a position that contradicts the name is refused.
        is_add_noise: add uniform noise to kept weights beyond 0.5 at each update.
        is_lower_clip: move kept weights of at most 0.005 to 0.005.
        min_num: weights that always stay; -1 for no minimum.
        upper_bound: kept weights beyond it are moved to it; never below 0.10.

    Noise and both bounds are without effect in layers of more than 10,000 weights (the upper bound
    still holds if it is the network's first layer). MindArmour's documentation says 100,000, its code
    10,000; the code's is followed.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.

    Examples:
        >>> MaskLayerDes("fc1.weight", grad_idx=None, is_add_noise=True, is_lower_clip=False, min_num=-1).upper_bound
        1.2
    """

    layer_name: Annotated[str, Bounds(at_least=1), NAME]
    grad_idx: Seed | None
    is_add_noise: bool
    is_lower_clip: bool
    min_num: Annotated[int, Bounds(at_least=-1), "the weights that always stay, -1 for no minimum"]
    upper_bound: Positive = 1.20


def _rows(*rows: tuple[str, int, bool, bool, int]) -> list[dict[str, Any]]:
    names = ("layer_name", "grad_idx", "is_add_noise", "is_lower_clip", "min_num")
    return [dict(zip(names, row, strict=True)) for row in rows]


# MindArmour's examples/privacy/sup_privacy/sup_privacy.py, and its tutorial "Protecting user privacy with suppress
# privacy" (r1.3)
DENSE = (("fc1.weight", 2, True, False, -1), ("fc2.weight", 4, True, False, -1), ("fc3.weight", 6, True, False, 50))
PUBLISHED_LAYERS = {
    "mindarmour-example": _rows(("conv1.weight", 0, False, True, 10), ("conv2.weight", 1, False, True, 150), *DENSE),
    "mindarmour-tutorial": _rows(("conv1.weight", 0, True, True, 10), ("conv2.weight", 1, True, True, 50), *DENSE),
}
PROPOSED = "proposed"  #: all maskable layers of whatever network it is
NAMES = ", ".join(map(repr, [*PUBLISHED_LAYERS, PROPOSED]))
Layers = Annotated[
    str | list[dict | str], f"{NAMES}, or a list of parameters' names or of dictionaries of MaskLayerDes's arguments"
]


def mask_layers(layers: str | list[dict[str, Any] | str], network: nn.Cell | None = None) -> list[MaskLayerDes]:
    """The descriptions that settings stand for.

    Args:
        layers: a name of `PUBLISHED_LAYERS`, or for each layer the arguments of `MaskLayerDes`, of which grad_idx may
            be left out; or its parameter's name alone, or a pattern, and it is described as `propose_mask_layers`
            does; "proposed" takes all layers so.
        network: whose layers they are; None leaves out those that are named alone, for a check before there is one.

    Raises:
        TypeError, ValueError: no such name, no layer, or not the arguments of `MaskLayerDes`.

    Examples:
        >>> [layer.layer_name for layer in mask_layers("mindarmour-tutorial")]
        ['conv1.weight', 'conv2.weight', 'fc1.weight', 'fc2.weight', 'fc3.weight']
    """
    check("layers", layers, Layers)
    published: dict[str, list] = {**PUBLISHED_LAYERS, PROPOSED: ["*"]}
    given = published.get(layers) if isinstance(layers, str) else layers
    if not given:
        raise ValueError(f"layers is {layers!r}; there are {', '.join(published)}: name one or describe layers.")
    return [layer for each in given for layer in _described(each, network)]


def _described(layer: dict[str, Any] | str, network: nn.Cell | None) -> list[MaskLayerDes]:
    """The descriptions of one layer, or of those that a name or a pattern stands for."""
    if not isinstance(layer, str):
        try:
            inspect.signature(MaskLayerDes).bind(**({"grad_idx": None} | layer))
        except TypeError as error:
            raise ValueError(f"layers has {described(layer)}, of which {error}: correct its names.") from error
        return [MaskLayerDes(**({"grad_idx": None} | layer))]
    if network is None:
        return []
    meant = _meant(network, layer, first_wins=False)
    return [proposed for proposed in propose_mask_layers(network) if proposed.layer_name in meant]


@dataclass(frozen=True)
class MaskableLayer:
    """A weight matrix or kernel that can be suppressed."""

    layer_name: str
    grad_idx: int
    shape: tuple[int, ...]
    weights: int


@checked
def maskable_layers(network: nn.Cell) -> list[MaskableLayer]:
    """A network's trainable weights of two dimensions or more, in its order; biases and norms are left alone.

    Raises:
        TypeError: not a nn.Cell.

    Examples:
        >>> maskable_layers(network)[0]
        MaskableLayer(layer_name='conv1.weight', grad_idx=0, shape=(6, 1, 5, 5), weights=150)
    """
    return [
        MaskableLayer(parameter.name, index, tuple(parameter.shape), parameter.size)
        for index, parameter in enumerate(network.trainable_params())
        if parameter.ndim >= 2
    ]


@checked
def propose_mask_layers(network: nn.Cell) -> list[MaskLayerDes]:
    """A configuration to begin with, after the pattern of MindArmour's example for LeNet5.

    Kernels are clipped from below; of each kernel and of the last layer a sixteenth of the weights
    always stays; matrices get noise. There is one description for each of the network's maskable layers.

    Raises:
        TypeError, ValueError: not a nn.Cell, or one without maskable layers.

    Examples:
        >>> [layer.min_num for layer in propose_mask_layers(network)]
        [10, 150, -1, -1, 53]
    """
    found = maskable_layers(network)
    if not found:
        raise ValueError(f"network is a {type(network).__name__} without weight matrices or kernels: there is nothing.")
    proposal = []
    for layer in found:
        kernel = len(layer.shape) > 2
        minimum = -(-layer.weights // STAYS) if kernel or layer is found[-1] else -1
        proposal.append(MaskLayerDes(layer.layer_name, layer.grad_idx, not kernel, kernel, minimum))
    return proposal


def matched(
    network: nn.Cell, mask_layers: Sequence[MaskLayerDes], *, first_wins: bool = False
) -> list[tuple[Parameter, MaskLayerDes]]:
    """The (parameter, description) pairs of the layers to suppress, in the network's order.

    Args:
        network: whose parameters.
        mask_layers: their descriptions.
        first_wins: of several parameters that a part of a name fits, take the first, as MindArmour does.

    Raises:
        ValueError: a layer that is unknown, ambiguous, not trained or described twice, or a grad_idx
            that contradicts the layer's name.

    Examples:
        >>> [parameter.name for parameter, _ in matched(network, [MaskLayerDes("fc*.weight", None, True, False, -1)])]
        ['fc1.weight', 'fc2.weight', 'fc3.weight']
    """
    trainable = [parameter.name for parameter in network.trainable_params()]
    chosen: dict[str, MaskLayerDes] = {}
    for layer in mask_layers:
        for name in _meant(network, layer.layer_name, first_wins):
            if name in chosen:
                raise ValueError(f"layer_name {layer.layer_name!r} names {name} a second time: describe it once.")
            if name not in trainable:
                raise ValueError(f"layer_name {layer.layer_name!r} names {name}, which is not trained: choose another.")
            index = trainable.index(name)
            if layer.grad_idx not in (None, index):
                raise ValueError(
                    f"grad_idx is {layer.grad_idx}, but {name} is trainable parameter {index}: correct it or give None."
                )
            chosen[name] = layer
    return [(parameter, chosen[parameter.name]) for parameter in network.get_parameters() if parameter.name in chosen]


def named(network: nn.Cell, layer_name: str, *, first_wins: bool = False) -> str:
    """The one parameter that a name, or a part of one, stands for.

    Raises:
        ValueError: there is none, or more than one.
    """
    names = [parameter.name for parameter in network.get_parameters()]
    matches = [name for name in names if layer_name in name]
    if layer_name in names and not first_wins:
        matches = [layer_name]
    if len(matches) != 1 and not (first_wins and matches):
        found = f"matches {', '.join(matches)}" if matches else f"is none of {', '.join(names)}"
        raise ValueError(f"layer_name is {layer_name!r}, which {found}: name one parameter of the network.")
    return matches[0]


def _meant(network: nn.Cell, layer_name: str, first_wins: bool) -> list[str]:
    """The parameters that a name or a pattern stands for."""
    if not set(layer_name) & set("*?["):
        return [named(network, layer_name, first_wins=first_wins)]
    maskable = [layer.layer_name for layer in maskable_layers(network)]
    matches = [name for name in maskable if fnmatchcase(name, layer_name)]
    if not matches:
        raise ValueError(f"layer_name is {layer_name!r}, which matches none of {', '.join(maskable)}: correct it.")
    return matches
