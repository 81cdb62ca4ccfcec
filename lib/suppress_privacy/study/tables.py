"""Tables and sentences in Markdown, each written by one function from the summary alone."""

METRICS = {
    "relative_l2": "relative L2 distance",
    "ssim_range2": "SSIM (data range 2)",
    "ssim": "SSIM (data range 1)",
    "confidence": "confidence in the true label",
    "label_accuracy": "labels recovered",
}


def accuracy_table(summary):
    """Test accuracy and sparsity of each arm, next to the documented accuracy."""
    rows = []
    for arm, values in summary["arms"].items():
        documented = _documented(summary, arm, "test_accuracy")
        accuracies = values["test_accuracy"]
        zeros = [share for shares in values["sparsity"].values() for share in shares]
        rows.append([values["title"], _number(documented), _mean_and_range(accuracies), _percent_range(zeros)])
    return _table(
        ["model", "test accuracy, documented", "test accuracy, reproduced", "zeros in each weight matrix"], rows
    )


def attack_table(summary, titles):
    """Every metric of every attack: documented figure, then mean [95 % interval] for each attack.

    Args:
        summary (dict): the profile's summary.
        titles (dict): attacks' titles by name, in the order of the columns.
    """
    rows = []
    for metric, label in METRICS.items():
        for arm, values in summary["arms"].items():
            cells = [interval(summary["attacks"][attack][arm][metric]) for attack in titles]
            rows.append([label, values["title"], _number(_documented(summary, arm, metric)), *cells])
            label = ""
    return _table(["metric", "model", "documented", *titles.values()], rows)


def means_table(means):
    """Every metric of every attack on one model: a dict from title to a dict from metric to mean."""
    rows = [[title, *(f"{values[metric]:.3f}" for metric in METRICS)] for title, values in means.items()]
    return _table(["attack", *METRICS.values()], rows)


def layer_table(summary, arm):
    """Share of zeros in each layer of an arm."""
    rows = [[f"`{layer}`", _percent_range(shares)] for layer, shares in summary["arms"][arm]["sparsity"].items()]
    return _table(["weights", "zeros"], rows)


def answer(summary):
    """What came out, in three sentences: cost in accuracy, what the reference attack gets, and the tutorial's word."""
    arms = ("baseline", "suppressed-example")
    accuracy = [_mean(summary["arms"][arm]["test_accuracy"]) for arm in arms]
    documented_accuracy = [_documented(summary, arm, "test_accuracy") for arm in arms]
    confidence = [summary["attacks"]["reference-cpu"][arm]["confidence"] for arm in arms]
    documented_confidence = [_documented(summary, arm, "confidence") for arm in arms]
    labels = summary["attacks"]["reference-cpu"]["suppressed-example"]["label_accuracy"]
    zeros = [share for shares in summary["arms"]["suppressed-example"]["sparsity"].values() for share in shares]
    return (
        f"With {_percent_range(zeros)} of each weight matrix at zero, test accuracy goes from {accuracy[0]:.4f} to "
        f"{accuracy[1]:.4f} (the tutorial: {documented_accuracy[0]:.4f} to {documented_accuracy[1]:.4f}). "
        "Under the tutorial's attack, an independent classifier's confidence in the true digit goes from "
        f"{interval(confidence[0])} to {interval(confidence[1])}; the tutorial reports {documented_confidence[0]:.3f} "
        f"to {documented_confidence[1]:.3f}. Of the suppressed model's private digits it still recognises "
        f"{100 * labels['mean']:.1f} % [{100 * labels['low']:.1f}, {100 * labels['high']:.1f}] in the reconstructions."
    )


def attack_reading(summary, attacks):
    """A list: for each attack, whether the models differ by it, and whether it beats the mean image."""
    floor = summary["attacks"]["floor-mean"]["baseline"]["relative_l2"]
    lines = []
    for attack in attacks:
        ordinary, suppressed = (summary["attacks"][attack][arm] for arm in ("baseline", "suppressed-example"))
        lines.append(
            f"- **{attack}.** The evaluator's confidence in the true label is {interval(ordinary['confidence'])} on "
            f"the ordinary model and {interval(suppressed['confidence'])} on the suppressed one: the intervals "
            f"{_overlap(ordinary['confidence'], suppressed['confidence'])}. Labels are recovered for "
            f"{interval(ordinary['label_accuracy'])} and {interval(suppressed['label_accuracy'])} of the images. In "
            f"relative L2 distance the attack on the ordinary model, {interval(ordinary['relative_l2'])}, is "
            f"{_against(ordinary['relative_l2'], floor)} the mean image, {interval(floor)}, which needs no attack."
        )
    return "\n".join(lines)


def interval(estimate):
    """A mean with its 95 % interval, as text."""
    return f"{estimate['mean']:.3f} [{estimate['low']:.3f}, {estimate['high']:.3f}]"


def _overlap(one, other):
    return "do not overlap" if one["high"] < other["low"] or other["high"] < one["low"] else "overlap"


def _against(distance, floor):
    if distance["high"] < floor["low"]:
        return "better than"
    return "worse than" if distance["low"] > floor["high"] else "not distinguishable from"


def _mean(values):
    return sum(values) / len(values)


def _documented(summary, arm, metric):
    model = summary["documented"]["arms"].get(arm)
    return summary["documented"]["models"].get(model, {}).get(metric)


def _number(value):
    return "n/a" if value is None else f"{value:.4f}"


def _mean_and_range(values):
    mean = _mean(values)
    spread = f" ({min(values):.4f} to {max(values):.4f})" if len(values) > 1 else ""
    return f"{mean:.4f}{spread}"


def _percent_range(shares):
    low, high = 100 * min(shares), 100 * max(shares)
    return f"{low:.1f} %" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f} %"


def _table(header, rows):
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
