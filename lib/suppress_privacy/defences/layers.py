"""Which layers are suppressed, and how: descriptions under MindArmour's name, matched to a network's parameters."""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from mindspore import nn

from suppress_privacy.checks import checked

STAYS = 16  # one weight in so many stays in a proposal, as in MindArmour's example: 10 of 150, 150 of 2400, 50 of 840
NAME = "a parameter's name, a part of it that no other has, or a pattern such as 'features.*.weight'"


class MaskLayerDes:
    """One layer to suppress, or several that a pattern names.

    Args:
        layer_name (str): the parameter's name, a part of it that no other parameter has, or a pattern
            (`*`, `?`, `[...]`) for all weight matrices and kernels it matches.
        grad_idx (int or None): position of the parameter among the trainable ones; found from the name,
            so None will do, and a position that contradicts the name is refused.
        is_add_noise (bool): add uniform noise to kept weights beyond 0.5 at each update.
        is_lower_clip (bool): move kept weights of at most 0.005 to 0.005.
        min_num (int): weights that always stay; -1 for no minimum.
        upper_bound (float): kept weights beyond it are moved to it; never below 0.10.

    Noise and both bounds are without effect in layers of more than 10,000 weights (the upper bound
    still holds if it is the network's first layer). MindArmour's documentation says 100,000, its code
    10,000; the code's is followed.

    Raises:
        TypeError, ValueError: an argument of the wrong type or out of its range.
    """

    def __init__(self, layer_name, grad_idx, is_add_noise, is_lower_clip, min_num, upper_bound=1.20):
        self.layer_name = checked("layer_name", layer_name, str, NAME, lambda v: v != "")
        self.grad_idx = grad_idx
        if grad_idx is not None:
            checked("grad_idx", grad_idx, int, "an integer from 0, or None", lambda v: v >= 0)
        self.is_add_noise = checked("is_add_noise", is_add_noise, bool, "True or False")
        self.is_lower_clip = checked("is_lower_clip", is_lower_clip, bool, "True or False")
        self.min_num = checked("min_num", min_num, int, "an integer from -1 (no minimum)", lambda v: v >= -1)
        self.upper_bound = checked("upper_bound", upper_bound, float, "a number above 0", lambda v: v > 0)

    def __repr__(self):
        arguments = (self.layer_name, self.grad_idx, self.is_add_noise, self.is_lower_clip, self.min_num)
        return f"MaskLayerDes({', '.join(map(repr, arguments))}, upper_bound={self.upper_bound!r})"


@dataclass(frozen=True)
class MaskableLayer:
    """A weight matrix or kernel that can be suppressed."""

    layer_name: str
    grad_idx: int
    shape: tuple
    weights: int


def maskable_layers(network):
    """A network's trainable weights of two dimensions or more, in its order; biases and norms are left alone.

    Args:
        network (nn.Cell): the network to look at.

    Returns:
        list of MaskableLayer.

    Raises:
        TypeError: not a nn.Cell.
    """
    checked("network", network, nn.Cell, "a nn.Cell")
    return [
        MaskableLayer(parameter.name, index, tuple(parameter.shape), parameter.size)
        for index, parameter in enumerate(network.trainable_params())
        if parameter.ndim >= 2
    ]


def propose_mask_layers(network):
    """A configuration to begin with, after the pattern of MindArmour's example for LeNet5.

    Kernels are clipped from below; of each kernel and of the last layer a sixteenth of the weights
    always stays; matrices get noise.

    Args:
        network (nn.Cell): the network that will be trained.

    Returns:
        list of MaskLayerDes, one for each of its maskable layers.

    Raises:
        TypeError, ValueError: not a nn.Cell, or one without maskable layers.
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


def matched(network, mask_layers, *, first_wins=False):
    """The (parameter, description) pairs of the layers to suppress, in the network's order.

    Args:
        network (nn.Cell): whose parameters.
        mask_layers (list of MaskLayerDes): their descriptions.
        first_wins (bool): of several parameters that a part of a name fits, take the first, as MindArmour does.

    Raises:
        ValueError: a layer that is unknown, ambiguous, not trained or described twice, or a grad_idx
            that contradicts the layer's name.
    """
    trainable = [parameter.name for parameter in network.trainable_params()]
    chosen = {}
    for layer in mask_layers:
        for name in _meant(network, layer.layer_name, first_wins):
            if name in chosen:
                raise ValueError(f"layer_name {layer.layer_name!r} names {name} a second time: describe it once.")
            if name not in trainable:
                raise ValueError(
                    f"layer_name {layer.layer_name!r} names {name}, which is not trained: choose a trainable parameter."
                )
            if layer.grad_idx is not None and layer.grad_idx != trainable.index(name):
                raise ValueError(
                    f"grad_idx is {layer.grad_idx}, but {name} is trainable parameter {trainable.index(name)}: "
                    "correct it or give None."
                )
            chosen[name] = layer
    return [(parameter, chosen[parameter.name]) for parameter in network.get_parameters() if parameter.name in chosen]


def named(network, layer_name, *, first_wins=False):
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


def _meant(network, layer_name, first_wins):
    """The parameters that a name or a pattern stands for."""
    if not set(layer_name) & set("*?["):
        return [named(network, layer_name, first_wins=first_wins)]
    maskable = [layer.layer_name for layer in maskable_layers(network)]
    matches = [name for name in maskable if fnmatchcase(name, layer_name)]
    if not matches:
        raise ValueError(f"layer_name is {layer_name!r}, which matches none of {', '.join(maskable)}: correct it.")
    return matches
