"""Suppress-Privacy on current MindSpore, and the attacks that test it."""

# First: it sets the environment that MindSpore reads when it loads.
from suppress_privacy.runtime import configure  # isort: split

from suppress_privacy.defences.layers import MaskLayerDes, maskable_layers, propose_mask_layers
from suppress_privacy.defences.suppress import SuppressCtrl, SuppressPrivacyFactory
from suppress_privacy.lenet import Features, LeNet5
from suppress_privacy.mindarmour import ImageInversionAttack, LogUtil, SuppressMasker, SuppressModel
from suppress_privacy.mnist import generate_mnist_dataset, load_images, load_mnist
from suppress_privacy.training import Defence, load_checkpoint, save_checkpoint, train

__all__ = ["Defence", "Features", "LeNet5", "configure", "generate_mnist_dataset", "load_checkpoint", "load_images"]
__all__ += ["ImageInversionAttack", "LogUtil", "MaskLayerDes", "SuppressCtrl", "SuppressMasker", "SuppressModel"]
__all__ += ["SuppressPrivacyFactory", "load_mnist", "maskable_layers", "propose_mask_layers", "save_checkpoint"]
__all__ += ["train"]
