"""Figures, each drawn by one function from records alone and returned closed: show them by naming them."""

import matplotlib.pyplot as plt
import numpy as np

from suppress_privacy.study.records import attack_name

# Okabe & Ito's colours, told apart in the usual colour blindnesses.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
METRIC_LABELS = {
    "relative_l2": "relative L2 distance",
    "ssim": "SSIM (range 1)",
    "ssim_range2": "SSIM (range 2)",
    "confidence": "confidence in the true label",
    "label_accuracy": "labels recovered (share)",
}


def training_curves(record):
    """Loss, test accuracy and sparsity of one training run, epoch by epoch.

    Args:
        record (dict): a training record.

    Returns:
        matplotlib.figure.Figure.
    """
    history = record["results"]["history"]
    epochs = np.arange(1, len(history["loss"]) + 1)
    with plt.rc_context(STYLE):
        figure, (loss, accuracy, zeros) = plt.subplots(1, 3, figsize=(10, 3))
        loss.plot(epochs, history["loss"], color=COLOURS[0], marker="o")
        loss.set(xlabel="epoch", ylabel="training loss (nats)", yscale="log")
        accuracy.plot(epochs, 100 * np.array(history["test_accuracy"]), color=COLOURS[0], marker="o")
        accuracy.set(xlabel="epoch", ylabel="test accuracy (%)")
        for colour, (layer, shares) in zip(COLOURS, history["sparsity"].items(), strict=False):
            zeros.plot(epochs, 100 * np.array(shares), color=colour, marker=".", label=layer.removesuffix(".weight"))
        zeros.set(xlabel="epoch", ylabel="weights at zero (%)", ylim=(-3, 103))
        zeros.legend(fontsize=8)
    plt.close(figure)
    return figure


def layer_report(report):
    """Share of each layer's weights that a defence suppressed, against the share it aimed at.

    Args:
        report (dict): of `SuppressCtrl.report()`, for layers of any names.

    Returns:
        matplotlib.figure.Figure.
    """
    names = list(report)
    positions = np.arange(len(names))
    shares = {
        key: np.array([100 * report[name][key] / report[name]["weights"] for name in names])
        for key in ("suppressed", "target")
    }
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 0.4 * len(names) + 1.2))
        axis.barh(positions, shares["suppressed"], color=COLOURS[0], height=0.6, label="suppressed")
        axis.plot(
            shares["target"], positions, color=COLOURS[1], marker="|", markersize=16, linestyle="", label="target"
        )
        axis.set(xlabel="share of the layer's weights (%)", yticks=positions, yticklabels=names, xlim=(0, 100))
        axis.invert_yaxis()
        figure.legend(loc="outside upper right", ncols=2, fontsize=8)
    plt.close(figure)
    return figure


def reconstruction_grid(records, arms, attacks, seed, originals, count=10):
    """The same digits, one a class, in every arm and attack: rows of images under the originals.

    Args:
        records (Records): where the reconstructions are.
        arms, attacks (dict): titles by name, in the order of the rows.
        seed (int): the seed whose models are shown.
        originals (numpy.ndarray): [N, 1, 32, 32] in [0, 1], the targets in their order.
        count (int): columns; the first target of each of so many classes.

    Returns:
        matplotlib.figure.Figure.
    """
    rows = [("original", originals)]
    labels = None
    for attack, attack_title in attacks.items():
        found = {arm: records.arrays(attack_name(attack, arm, seed)) for arm in arms}
        labels = next(iter(found.values()))["label"]
        images = [arrays["reconstruction"] / 255 for arrays in found.values()]
        if all(np.array_equal(images[0], other) for other in images[1:]):
            rows.append((attack_title, images[0]))  # a floor does not look at the model
            continue
        rows += [(f"{attack_title}:\n{arms[arm]}", image) for arm, image in zip(arms, images, strict=True)]
    columns = [int(np.flatnonzero(labels == label)[0]) for label in range(count)]
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(len(rows), count, figsize=(0.62 * count + 2.2, 0.66 * len(rows)))
        for (title, images), line in zip(rows, axes, strict=True):
            for column, axis in zip(columns, line, strict=True):
                axis.imshow(images[column, 0], cmap="gray", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
            line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
    plt.close(figure)
    return figure


def documented_against_reproduced(summary):
    """Every metric of every attack and arm with its 95 % interval, beside the tutorial's figure.

    Args:
        summary (dict): the profile's summary.

    Returns:
        matplotlib.figure.Figure.
    """
    documented, attacks = summary["documented"], list(summary["attacks"])
    positions = np.arange(len(attacks))
    arms = list(summary["arms"])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(8.5, 2 * (0.4 * len(attacks) + 1.2)), sharey=True)
        *panels, legend = axes.flat
        for axis, (metric, label) in zip(panels, METRIC_LABELS.items(), strict=True):
            for number, arm in enumerate(arms):
                shift = 0.2 * (number - (len(arms) - 1) / 2)
                values = [summary["attacks"][attack][arm][metric] for attack in attacks]
                means = np.array([value["mean"] for value in values])
                ends = np.abs([[value["low"] for value in values], [value["high"] for value in values]] - means)
                style = {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": "", "capsize": 2}
                axis.errorbar(means, positions + shift, xerr=ends, label=summary["arms"][arm]["title"], **style)
                published = documented["models"].get(documented["arms"].get(arm), {}).get(metric)
                if published is not None:
                    line = {"color": COLOURS[number], "linestyle": "--", "linewidth": 1}
                    axis.axvline(published, label=f"{summary['arms'][arm]['title']}, documented", **line)
            axis.set(xlabel=label, yticks=positions, yticklabels=attacks, ylim=(len(attacks) - 0.4, -0.6))
        handles, names = panels[0].get_legend_handles_labels()
        legend.axis("off")
        legend.legend(handles, names, loc="center", fontsize=8)
    plt.close(figure)
    return figure
