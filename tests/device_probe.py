"""One suppressed training and one attack on one device in one mode, for test_devices.py: writes what came out.

python tests/device_probe.py DEVICE MODE OUT.npz
"""

import os
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from mindspore import nn

import suppress_privacy as sp
from suppress_privacy.attacks.inversion import SMOOTHNESS_SCALES, InversionObjective
from suppress_privacy.lenet import predict
from suppress_privacy.training import TrainStep, with_cross_entropy


def main(device, mode, out):
    sp.configure(device, mode)
    import mindspore as ms

    data = sp.load_mnist("embedded")
    order = np.random.default_rng(0).permutation(len(data.train_labels))
    network = sp.LeNet5(seed=0)
    control = sp.SuppressPrivacyFactory().create(
        network, sp.propose_mask_layers(network), end_epoch=1, batch_num=30, start_epoch=1, mask_times=4, lr=0.1
    )
    step = TrainStep(with_cross_entropy(network), nn.SGD(network.trainable_params(), 0.1), control).set_train()
    found = {}
    for number in range(1, 31):
        batch = order[32 * number : 32 * number + 32]
        step(ms.Tensor(data.train_images[batch]), ms.Tensor(data.train_labels[batch]))
        control.after_step(number)
    for parameter in network.get_parameters():
        found[f"weight.{parameter.name}"] = parameter.asnumpy()
    for mask in control.masks:
        found[mask.name] = mask.asnumpy()
    images = data.test_images[::100]
    victim = sp.Features(network, "fc1")
    found["features"] = predict(victim, images)
    for smoothness in SMOOTHNESS_SCALES:
        objective = InversionObjective(victim, (1, 0.1, 5), smoothness)
        found[f"objective.{smoothness}"] = objective(
            ms.Tensor(0.5 * images), ms.Tensor(found["features"] + np.float32(0.01))
        ).asnumpy()
        attack = sp.ImageInversionAttack(victim, (1, 32, 32), (0, 1), (1, 0.1, 5), smoothness=smoothness)
        found[f"reconstruction.{smoothness}"] = attack.generate(found["features"], 20)
    np.savez(out, **found)


if __name__ == "__main__":
    main(*sys.argv[1:])
