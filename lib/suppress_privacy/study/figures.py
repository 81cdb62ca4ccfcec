"""Figures, each drawn by one function from records alone and returned closed: show them by naming them."""

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import NullFormatter, ScalarFormatter

from suppress_privacy.evaluation.membership import roc
from suppress_privacy.lenet import DEPTHS
from suppress_privacy.study.records import FALSE_POSITIVE_RATE, attack_name

# Okabe & Ito's colours, told apart in the usual colour blindnesses.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
ERROR_TICKS = (0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 90)  # per cent
STYLE = {
    "figure.dpi": 110,
    "figure.constrained_layout.use": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "legend.frameon": False,
}
METRIC_LABELS = {  # those that the tutorial reports, or is often read to report
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
        matplotlib.figure.Figure, or None where there was no training.
    """
    history = record["results"]["history"]
    if not history["loss"]:
        return None
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


def reconstruction_grid(records, arms, attacks, seed, targets, count=10):
    """The same digits, the first target of each class, in every arm and attack: rows under the originals.

    Args:
        records (Records): where the reconstructions are.
        arms, attacks (dict): titles by name, in the order of the rows; an arm without an attack is passed over.
        seed (int): the seed whose models are shown.
        targets (Targets): with the originals and their labels, in their order.
        count (int): columns, so many classes.

    Returns:
        matplotlib.figure.Figure.
    """

    positions = [int(np.flatnonzero(targets.labels == label)[0]) for label in range(count)]
    rows = [("original", [targets.images[position, 0] for position in positions])]
    for attack, attack_title in attacks.items():
        found = _reconstructions(records, attack, arms, seed)
        if not found:
            continue  # run on other seeds alone
        lines = {arm: [_first_of(arrays, label) for label in range(count)] for arm, arrays in found.items()}
        first, *others = lines.values()
        if all(np.array_equal(first, other) for other in others):
            rows.append((attack_title, first))  # a floor does not look at the model
            continue
        rows += [(f"{attack_title}:\n{arms[arm]}", line) for arm, line in lines.items()]
    return _pictures(rows)


def extremes(records, arms, attacks, seed, targets, each):
    """The targets that an attack on a model reconstructs best, in the middle and worst, under their originals.

    Args:
        records, arms, attacks, seed, targets: as `reconstruction_grid`.
        each (int): how many best, as many middle and worst, all among the targets whose pictures the record keeps;
            each row has its own.

    Returns:
        matplotlib.figure.Figure.
    """
    rows = []
    for attack, attack_title in attacks.items():
        for arm, arrays in _reconstructions(records, attack, arms, seed).items():
            shown = _extremes_kept(arrays, each)
            rows.append(("original", [targets.images[position, 0] for position in shown]))
            rows.append((f"{attack_title}:\n{arms[arm]}", [_picture(arrays, position) for position in shown]))
    heads = [f"{word} {number + 1}" for word in ("best", "median", "worst") for number in range(each)]
    return _pictures(rows, heads)


def _extremes_kept(arrays, each):
    """Positions of the best, the middle and the worst by skill, which a record rounds: neighbours may be swapped."""
    skill, kept = arrays["skill"], arrays["pictured"]
    ranks = np.argsort(np.argsort(-skill, kind="stable"))
    kept = sorted(map(int, kept), key=lambda position: ranks[position])
    middle = sorted(kept, key=lambda position: abs(ranks[position] - (len(skill) - 1) / 2))[:each]
    return [*kept[:each], *sorted(middle, key=lambda position: ranks[position]), *kept[-each:]]


def _picture(arrays, position):
    """The reconstruction of the target at a position, of those that the record keeps."""
    return arrays["reconstruction"][int(np.flatnonzero(arrays["pictured"] == position)[0]), 0] / 255


def _first_of(arrays, label):
    """The reconstruction of the first target of a class."""
    return _picture(arrays, int(np.flatnonzero(arrays["label"] == label)[0]))


def _reconstructions(records, attack, arms, seed):
    """The arrays of an attack on one seed's models, of those arms that have it."""
    names = {arm: attack_name(attack, arm, seed) for arm in arms}
    return {arm: records.arrays(name) for arm, name in names.items() if records.has(name)}


def _pictures(rows, heads=()):
    """Rows of images, each with a title at its left."""
    count = len(rows[0][1])
    with plt.rc_context(STYLE | {"axes.grid": False}):
        figure, axes = plt.subplots(len(rows), count, figsize=(0.62 * count + 2.2, 0.66 * len(rows)))
        for (title, images), line in zip(rows, axes, strict=True):
            for image, axis in zip(images, line, strict=True):
                axis.imshow(image, cmap="gray", vmin=0, vmax=1)
                axis.set(xticks=[], yticks=[])
            line[0].set_ylabel(title, rotation=0, ha="right", va="center", fontsize=8)
        for axis, head in zip(axes[0], heads, strict=False):
            axis.set_title(head, fontsize=7)
    plt.close(figure)
    return figure


def convergence(records, arms, attacks, seed):
    """The objective against the steps, for every attack that keeps a curve: median and middle half of the targets.

    Args:
        records, arms, attacks, seed: as `reconstruction_grid`.

    Returns:
        matplotlib.figure.Figure, or None where no attack keeps a curve.
    """
    curves = [
        (f"{title}, {arms[arm]}", arrays["curve"], records.read(attack_name(attack, arm, seed))["settings"]["settings"])
        for attack, title in attacks.items()
        for arm, arrays in _reconstructions(records, attack, arms, seed).items()
        if "curve" in arrays
    ]
    if not curves:
        return None
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(7, 3.5))
        for number, (label, curve, settings) in enumerate(curves):
            low, middle, high = curve
            steps = np.linspace(0, settings["iters"], len(middle))
            style = {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}
            axis.plot(steps, middle, label=label, markersize=4, **style)
            axis.fill_between(steps, low, high, color=style["color"], alpha=0.2, linewidth=0)
        axis.set(xlabel="step", ylabel="best objective so far", yscale="log")
        figure.legend(loc="outside upper center", ncols=2, fontsize=8)
    plt.close(figure)
    return figure


def ladder(summary, titles):
    """Skill and rank-1 identification of every attack on every arm with 95 % intervals.

    Args:
        summary (dict): the profile's summary.
        titles (dict): attacks' titles by name, in the order of the rows.

    Returns:
        matplotlib.figure.Figure.
    """
    panels = {"skill": "skill against the mean image", "rank1": "identified among its class (share)"}
    positions = np.arange(len(titles))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 0.38 * len(titles) + 1.4), sharey=True)
        for axis, (metric, label) in zip(axes, panels.items(), strict=True):
            _estimates(axis, summary, list(titles), metric)
            axis.axvline(0, color="black", linewidth=1)
            axis.set(xlabel=label, yticks=positions, yticklabels=titles.values(), ylim=(len(titles) - 0.4, -0.6))
        # A bad attack is worse than the mean image without bound: what is left of the axis does not matter.
        axes[0].set_xlim(left=max(axes[0].get_xlim()[0], -1.0))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    plt.close(figure)
    return figure


def ladder_by_model(summary, titles):
    """The ladder the other way round: a row for every model, a marker for every attack.

    Args:
        summary (dict): the profile's summary.
        titles (dict): attacks' titles by name; at most seven.

    Returns:
        matplotlib.figure.Figure.
    """
    panels = {"skill": "skill against the mean image", "rank1": "identified among its class (share)"}
    arms = list(summary["arms"])
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10, 0.38 * len(arms) + 1.6), sharey=True)
        for axis, (metric, label) in zip(axes, panels.items(), strict=True):
            for number, (attack, title) in enumerate(titles.items()):
                made = [arm for arm in arms if arm in summary["attacks"][attack]]
                means, ends = _means_and_ends([summary["attacks"][attack][arm][metric] for arm in made])
                at = [arms.index(arm) for arm in made]
                style = {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": "", "capsize": 2}
                axis.errorbar(means, at, xerr=ends, label=title, **style)
            axis.axvline(0, color="black", linewidth=1)
            names = [summary["arms"][arm]["title"] for arm in arms]
            axis.set(xlabel=label, yticks=range(len(arms)), yticklabels=names, ylim=(len(arms) - 0.4, -0.6))
        axes[0].set_xlim(left=max(axes[0].get_xlim()[0], -1.0))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    plt.close(figure)
    return figure


def depth_curve(summary, families):
    """Skill of each family of attacks by the depth of the features it is given, for every arm.

    Args:
        summary (dict): the profile's summary.
        families (dict): title -> dict from depth to the attack's name in the summary; one that the summary has
            at fewer than two depths is left out.

    Returns:
        matplotlib.figure.Figure, or None where no family is left.
    """
    families = {
        title: attacks for title, attacks in families.items() if len(summary["attacks"].keys() & attacks.values()) > 1
    }
    if not families:
        return None
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(families), figsize=(3.2 * len(families), 3.2), sharey=True, squeeze=False)
        for axis, (title, attacks) in zip(axes[0], families.items(), strict=True):
            places_of = {
                arm: [
                    (position, summary["attacks"][attacks[depth]][arm]["skill"])
                    for position, depth in enumerate(DEPTHS)
                    if arm in summary["attacks"].get(attacks[depth], {})
                ]
                for arm in summary["arms"]
            }
            closer = {arm: places for arm, places in places_of.items() if len(places) > 1}
            for number, (arm, places) in enumerate(closer.items()):
                at, values = zip(*places, strict=True)
                means, ends = _means_and_ends(values)
                style = _style(number) | {"linestyle": "-"}
                axis.errorbar(at, means, yerr=ends, label=summary["arms"][arm]["title"], **style)
            axis.axhline(0, color="black", linewidth=1)
            axis.set(title=title, xlabel="features seen at", xticks=range(len(DEPTHS)), xticklabels=DEPTHS)
        axes[0][0].set(ylabel="skill against the mean image")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    plt.close(figure)
    return figure


def trade_off(summary):
    """What each model costs in accuracy, and what the strongest attack still gets from it: two panels.

    Args:
        summary (dict): the profile's summary.

    Returns:
        matplotlib.figure.Figure; the error is on a logarithmic axis, intervals are 95 %, of the error the range
        over seeds.
    """
    panels = {"skill": "skill of the strongest attack", "rank1": "identified by the strongest attack (share)"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(10.5, 5))
        for axis, (metric, label) in zip(axes, panels.items(), strict=True):
            for number, (arm, strongest) in enumerate(summary["strongest"].items()):
                if metric not in strongest:
                    continue
                value = summary["attacks"][strongest[metric]][arm][metric]
                errors = [100 * (1 - accuracy) for accuracy in summary["arms"][arm]["test_accuracy"]]
                middle = np.mean(errors)
                axis.errorbar(
                    middle,
                    value["mean"],
                    xerr=[[middle - min(errors)], [max(errors) - middle]],
                    yerr=[[abs(value["mean"] - value["low"])], [abs(value["high"] - value["mean"])]],
                    label=summary["arms"][arm]["title"],
                    **_style(number),
                )
            axis.set(xlabel="test error (%)", ylabel=label, xscale="log")
            axis.xaxis.set_major_formatter(ScalarFormatter())
            low, high = axis.get_xlim()
            ticks = [tick for tick in ERROR_TICKS if low <= tick <= high]
            if len(ticks) > 1:
                axis.set_xticks(ticks)
            # Of models that are much alike the logarithm's own ticks are all there is to read.
            axis.xaxis.set_minor_formatter(NullFormatter() if len(ticks) > 1 else ScalarFormatter())
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    plt.close(figure)
    return figure


def sparsity_sweep(summary, sparsities):
    """Accuracy, and what the strongest attack gets, against the share of weights suppressed.

    Args:
        summary (dict): the profile's summary.
        sparsities (dict): arm -> share of zeros it was suppressed to; arms the summary lacks are left out.

    Returns:
        matplotlib.figure.Figure, or None where fewer than two are left.
    """
    sparsities = {arm: share for arm, share in sparsities.items() if summary["strongest"].get(arm)}
    if len(sparsities) < 2:
        return None
    arms = sorted(sparsities, key=sparsities.get)
    at = [100 * sparsities[arm] for arm in arms]
    labels = {
        "test_accuracy": "test accuracy (%)",
        "skill": "skill of the strongest attack",
        "rank1": "identified (share)",
    }
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 3, figsize=(10.5, 3.2))
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            if metric == "test_accuracy":
                values = [100 * np.array(summary["arms"][arm][metric]) for arm in arms]
                means = np.array([value.mean() for value in values])
                ends = np.abs([[value.min() for value in values], [value.max() for value in values]] - means)
            else:
                means, ends = _means_and_ends(
                    [summary["attacks"][summary["strongest"][arm][metric]][arm][metric] for arm in arms]
                )
            axis.errorbar(at, means, yerr=ends, color=COLOURS[0], marker="o", capsize=2)
            axis.set(xlabel="weights suppressed (%)", ylabel=label)
    plt.close(figure)
    return figure


def rank_against_skill(summary):
    """Effective rank of the features' Jacobian against the skill of the strongest attack, a point a model.

    Args:
        summary (dict): the profile's summary.

    Returns:
        matplotlib.figure.Figure.
    """
    with plt.rc_context(STYLE):
        figure, axis = plt.subplots(figsize=(8, 4.2))
        for number, (arm, strongest) in enumerate(summary["strongest"].items()):
            if not strongest:
                continue
            values = (summary["mechanism"][arm]["effective_rank"], summary["attacks"][strongest["skill"]][arm]["skill"])
            (rank, skill), (rank_ends, skill_ends) = zip(*(_means_and_ends([value]) for value in values), strict=True)
            label = summary["arms"][arm]["title"]
            axis.errorbar(rank, skill, xerr=rank_ends, yerr=skill_ends, label=label, **_style(number))
        axis.set(xlabel="effective rank of the Jacobian at fc1", ylabel="skill of the strongest attack")
        figure.legend(loc="outside right upper", fontsize=8)
    plt.close(figure)
    return figure


def smoothness_sensitivity(summary, weights, scales):
    """The reference attack's outcome against its weight of smoothness, on the scale that MindSpore uses on a CPU.

    Args:
        summary (dict): the profile's summary.
        weights (dict): attack -> its weight on that scale.
        scales (dict): title -> weight, of the devices, to be marked.

    Returns:
        matplotlib.figure.Figure, or None where fewer than two of the attacks were made.
    """
    weights = {attack: weight for attack, weight in weights.items() if attack in summary["attacks"]}
    if len(weights) < 2:
        return None
    attacks = sorted(weights, key=weights.get)
    labels = {"confidence": "confidence in the true label", "skill": "skill against the mean image"}
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, 2, figsize=(9, 3.4))
        for axis, (metric, label) in zip(axes, labels.items(), strict=True):
            for number, (arm, values) in enumerate(summary["arms"].items()):
                made = [attack for attack in attacks if arm in summary["attacks"][attack]]
                means, ends = _means_and_ends([summary["attacks"][attack][arm][metric] for attack in made])
                at = [weights[attack] for attack in made]
                style = {"color": COLOURS[number], "marker": MARKERS[number], "capsize": 2}
                axis.errorbar(at, means, yerr=ends, label=values["title"], **style)
            for title, weight in scales.items():
                axis.axvline(weight, color="grey", linewidth=1, linestyle="--")
                axis.annotate(title, (weight, 1), xycoords=("data", "axes fraction"), fontsize=7, ha="center")
            axis.set(xlabel="weight of smoothness (CPU scale)", ylabel=label, xscale="log")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, fontsize=8)
    plt.close(figure)
    return figure


def _style(number):
    """A colour and a marker that no other of up to 49 models has."""
    marker = MARKERS[(number + number // len(COLOURS)) % len(MARKERS)]
    return {"color": COLOURS[number % len(COLOURS)], "marker": marker, "linestyle": "", "capsize": 2}


def _means_and_ends(estimates):
    """Means of several estimates, and how far their intervals reach below and above: [K] and [2, K]."""
    means = np.array([value["mean"] for value in estimates])
    return means, np.abs([[value["low"] for value in estimates], [value["high"] for value in estimates]] - means)


def membership_roc(records, summary, attacks):
    """ROC of membership inference on log axes, one panel an attack, one line a seed.

    Args:
        records (Records): where the scores are.
        summary (dict): the profile's summary.
        attacks (dict): titles by name.

    Returns:
        matplotlib.figure.Figure.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(1, len(attacks), figsize=(4 * len(attacks), 3.6), sharey=True, squeeze=False)
        for axis, (attack, title) in zip(axes[0], attacks.items(), strict=True):
            least = 1.0
            for number, (arm, seeds) in enumerate(summary["seeds_of"][attack].items()):
                for line, seed in enumerate(seeds):
                    arrays = records.arrays(attack_name(attack, arm, seed))
                    curve = roc(arrays["score"], arrays["member"])
                    least = min(least, 1 / np.sum(~arrays["member"]))
                    label = None if line else summary["arms"][arm]["title"]
                    style = {"color": COLOURS[number % len(COLOURS)], "linestyle": ("-", "--", ":", "-.")[number % 4]}
                    axis.plot(curve.false_positive_rate, curve.true_positive_rate, label=label, linewidth=1, **style)
            axis.plot([least, 1], [least, 1], color="lightgrey", linewidth=4, zorder=1, label="guessing")
            axis.axvline(FALSE_POSITIVE_RATE, color="grey", linewidth=1)
            axis.set(title=title, xlabel="false positive rate", xscale="log", yscale="log")
            axis.set(xlim=(least, 1), ylim=(least, 1))
        axes[0][0].set(ylabel="true positive rate")
        figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    plt.close(figure)
    return figure


def _estimates(axis, summary, attacks, metric):
    """One row an attack, one marker an arm: means with their intervals."""
    arms = list(summary["arms"])
    for number, arm in enumerate(arms):
        shift = 0.2 * (number - (len(arms) - 1) / 2)
        places = [
            (position + shift, summary["attacks"][attack][arm][metric])
            for position, attack in enumerate(attacks)
            if arm in summary["attacks"][attack]
        ]
        if not places:
            continue
        at, values = zip(*places, strict=True)
        means, ends = _means_and_ends(values)
        style = {"color": COLOURS[number], "marker": MARKERS[number], "linestyle": "", "capsize": 2}
        axis.errorbar(means, at, xerr=ends, label=summary["arms"][arm]["title"], **style)


def documented_against_reproduced(summary, titles):
    """The tutorial's metrics of some attacks on every arm with 95 % intervals, beside the tutorial's figures.

    Args:
        summary (dict): the profile's summary.
        titles (dict): attacks' titles by name, in the order of the rows.

    Returns:
        matplotlib.figure.Figure.
    """
    documented = summary["documented"]
    positions = np.arange(len(titles))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(2, 3, figsize=(8.5, 2 * (0.4 * len(titles) + 1.2)), sharey=True)
        *panels, legend = axes.flat
        for axis, (metric, label) in zip(panels, METRIC_LABELS.items(), strict=True):
            _estimates(axis, summary, list(titles), metric)
            for number, arm in enumerate(summary["arms"]):
                published = documented["models"].get(documented["arms"].get(arm), {}).get(metric)
                if published is not None:
                    line = {"color": COLOURS[number], "linestyle": "--", "linewidth": 1}
                    axis.axvline(published, label=f"{summary['arms'][arm]['title']}, documented", **line)
            axis.set(xlabel=label, yticks=positions, yticklabels=titles.values(), ylim=(len(titles) - 0.4, -0.6))
        handles, names = panels[0].get_legend_handles_labels()
        legend.axis("off")
        legend.legend(handles, names, loc="center", fontsize=8)
    plt.close(figure)
    return figure
