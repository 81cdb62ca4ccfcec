"""Tables and sentences in Markdown, each written by one function from the summary alone."""

from dataclasses import dataclass
from statistics import median

from suppress_privacy.attacks import ON_FEATURES, ON_GRADIENTS, ON_MEMBERSHIP
from suppress_privacy.evaluation.gates import REQUIRED
from suppress_privacy.lenet import DEPTHS
from suppress_privacy.mnist import SIDE
from suppress_privacy.study.claims import arm_of

ARMS = ("baseline", "suppressed-example")  # the tutorial's two models
CONTROL = "dense-sgd"  # the ordinary network that differs from the suppressed one in the zeros alone
NO_CONTROL = "*The profile that this book shows has no ordinary network of the suppressed one's optimiser.*"
# By family, the attack at each depth; the first dense layer is where all others are compared.
DEPTH_FAMILIES = {
    title: {depth: at_fc1 if depth == "fc1" else f"{prefix}-{depth}" for depth in DEPTHS}
    for title, prefix, at_fc1 in (
        ("tuned inversion", "tuned", "tuned-inversion"),
        ("ridge decoder", "ridge", "decoder-ridge"),
        ("decoder network", "network", "decoder-network"),
    )
}
REPORTED = ("floor-black", "floor-mean", "reference-cpu", "reference-ascend")  # read with the tutorial's metrics
LEARNED = ("decoder-network", "decoder-ridge", "tuned-inversion")  # the attacks that use what the attacker owns
PRIMARY = {
    "skill": "skill",
    "rank1": "identified (rank 1)",
    "psnr": "PSNR (dB)",
    "label_accuracy": "labels recovered",
}
SMOOTHNESS = "smooth-"  # begins the names of the reference attack at other weights
JUDGES = {"": "first", "_lenet2": "second", "_convnet": "other architecture"}
MEMBERSHIP = {"auc": "area under the ROC", "tpr_at_1pct_fpr": "true positives at 1 % false positives"}
METRICS = {
    "relative_l2": "relative L2 distance",
    "ssim_range2": "SSIM (data range 2)",
    "ssim": "SSIM (data range 1)",
    "confidence": "confidence in the true label",
    "label_accuracy": "labels recovered",
}


def of_arms(summary, arms):
    """The summary of some of its arms alone, in their order: what most tables and figures show."""
    arms = [arm for arm in arms if arm in summary["arms"]]

    def kept(by_arm):
        return {arm: by_arm[arm] for arm in arms if arm in by_arm}

    nested = {
        key: {attack: kept(by_arm) for attack, by_arm in summary[key].items() if kept(by_arm)}
        for key in ("attacks", "seeds_of", "differences")
    }
    return summary | nested | {key: kept(summary[key]) for key in ("arms", "mechanism", "strongest")}


@dataclass(frozen=True)
class Groups:
    """A summary's attacks by what they are compared with: dicts from name to title, in the order of study.yaml."""

    ladder: dict  # on features of the first dense layer
    reported: dict  # those to read beside the tutorial's figures
    learned: dict  # those that use what the attacker owns
    depths: dict  # on features of other layers
    gradients: dict
    membership: dict


def groups(summary, study):
    """The attacks of a summary in their groups."""
    attacks = {name: study.attacks[name] for name in study.attacks if name in summary["attacks"]}

    def titles(chosen):
        return {name: attack.title for name, attack in attacks.items() if chosen(name, attack)}

    return Groups(
        ladder=titles(
            lambda name, attack: (
                attack.kind in ON_FEATURES and attack.depth == "fc1" and not name.startswith(SMOOTHNESS)
            )
        ),
        reported=titles(lambda name, attack: name in REPORTED),
        learned=titles(lambda name, attack: name in LEARNED),
        depths=titles(lambda name, attack: attack.depth != "fc1"),
        gradients=titles(lambda name, attack: attack.kind in ON_GRADIENTS),
        membership=titles(lambda name, attack: attack.kind in ON_MEMBERSHIP),
    )


def sparsities(study, profile):
    """Arms that differ from the suppressed example in their sparsity alone, it included: arm -> share suppressed."""
    like = study.arm(profile, ARMS[1]).settings_of_a_run()
    found = {}
    for name in study.profile(profile).arms:
        settings = study.arm(profile, name).settings_of_a_run()
        share = (settings["defence"] or {}).get("sparse_end")
        if share and settings == like | {"defence": like["defence"] | {"sparse_end": share}}:
            found[name] = share
    return found


def smoothness_weights(study, profile):
    """For `figures.smoothness_sensitivity`: the attacks' weights on the CPU's scale, and each device's own."""

    def weight(attack):
        return study.attack(profile, attack).settings["loss_weights"][1]

    names = [name for name in study.attacks if name.startswith(SMOOTHNESS)]
    weights = {name: weight(name) for name in ("reference-cpu", *names)}
    # Of an image of side s that is black at its edges the CPU's sum is s times the mean that other devices take.
    scales = {"CPU": weight("reference-cpu"), "Ascend": weight("reference-ascend") / SIDE}
    return weights, scales


def climbed(ladder):
    """Of the attacks on features those that a figure of all models has room for: one floor, and all that attack."""
    return {name: title for name, title in ladder.items() if name in ("floor-nearest", *REPORTED[2:], *LEARNED)}


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


def ladder_table(summary, titles):
    """The primary metrics of every attack on every arm, each with its interval, and what it is averaged over.

    Args:
        summary (dict): the profile's summary.
        titles (dict): attacks' titles by name, in the order of the rows.
    """
    rows = []
    for attack, title in titles.items():
        found = {
            summary["arms"][arm]["title"]: [
                *(interval(metrics[metric], 1 if metric == "psnr" else 3) for metric in PRIMARY),
                *_averaged_over(summary, attack, arm, "skill"),
            ]
            for arm, metrics in summary["attacks"][attack].items()
        }
        first, *others = found.values()
        if others and all(cells == first for cells in others):
            found = {"any": first}  # a floor that does not look at the model
        for model, cells in found.items():
            rows.append([title, model, *cells])
            title = ""
    return _table(["attack", "model", *PRIMARY.values(), "images", "seeds"], rows)


def judges_table(summary, titles):
    """Labels recovered and confidence by each evaluator. Arguments as `ladder_table`."""
    columns = [f"{metric}{ending}" for metric in ("label_accuracy", "confidence") for ending in JUDGES]
    heads = [f"{word}, {judge}" for word in ("labels", "confidence") for judge in JUDGES.values()]
    rows = []
    for attack, title in titles.items():
        for arm, metrics in summary["attacks"][attack].items():
            rows.append([title, summary["arms"][arm]["title"], *(interval(metrics[column]) for column in columns)])
            title = ""
    return _table(["attack", "model", *heads], rows)


def gradient_table(summary, titles):
    """The primary metrics of attacks on gradients, and how often the attack found the label itself."""
    rows = []
    for attack, title in titles.items():
        for arm, metrics in summary["attacks"][attack].items():
            cells = [interval(metrics[metric]) for metric in ("psnr", "skill", "rank1", "label_found")]
            averaged_over = _averaged_over(summary, attack, arm, "skill")
            rows.append([title, summary["arms"][arm]["title"], *cells, *averaged_over])
            title = ""
    heads = ("PSNR (dB)", "skill", "identified (rank 1)", "label found", "images", "seeds")
    return _table(["attack", "model", *heads], rows)


def membership_table(summary, titles):
    """Membership inference: area under the ROC and true positives at 1 % false positives."""
    rows = []
    for attack, title in titles.items():
        for arm, metrics in summary["attacks"][attack].items():
            cells = [interval(metrics[metric]) for metric in MEMBERSHIP]
            averaged_over = _averaged_over(summary, attack, arm, "auc")
            rows.append([title, summary["arms"][arm]["title"], *cells, *averaged_over])
            title = ""
    return _table(["attack", "model", *MEMBERSHIP.values(), "candidates", "seeds"], rows)


def mechanism_table(summary):
    """How much of an image the first dense layer's features hold, by arm."""
    rows = [
        [
            summary["arms"][arm]["title"],
            interval(values["effective_rank"]),
            _percent_range(values["dead_units"]),
            interval(values["feature_norm"]),
        ]
        for arm, values in summary["mechanism"].items()
    ]
    return _table(["model", "effective rank of the Jacobian", "dead units", "norm of the features"], rows)


def arms_table(summary):
    """Every model of the study: its accuracy, zeros, and what the strongest attack gets from it."""
    rows = []
    for arm, values in summary["arms"].items():
        zeros = [share for shares in values["sparsity"].values() for share in shares]
        cells = []
        for metric in ("skill", "rank1"):
            attack = summary["strongest"][arm].get(metric)
            cells.append(interval(summary["attacks"][attack][arm][metric]) if attack else "n/a")
        rank = interval(summary["mechanism"][arm]["effective_rank"], 1)
        accuracy = _mean_and_range(values["test_accuracy"])
        rows.append([values["title"], accuracy, _percent_range(zeros), *cells, rank, str(len(values["seeds"]))])
    heads = ("skill, strongest attack", "identified, strongest attack", "effective rank", "seeds")
    return _table(["model", "test accuracy", "zeros in each weight matrix", *heads], rows)


def verdict_table(summary, claims):
    """Every claim, its verdict, and the figures of the comparison that decides it."""
    rows = []
    for name, claim in claims.claims.items():
        answer = summary["verdicts"][name]
        decided = answer["effect"] is not None
        figures = (
            [f"{answer['effect']:+.4f}", f"[{answer['low']:+.4f}, {answer['high']:+.4f}]"] if decided else ["", ""]
        )
        p = "" if answer["p"] is None else f"{answer['p']:.2g}"
        rows.append([name, claim.text, claim.source, f"**{answer['verdict']}**", *figures, p, answer["reason"]])
    return _table(["", "claim", "source", "verdict", "effect", "95 % interval", "p (Holm)", "why"], rows)


def comparisons_table(summary, link=None):
    """Every comparison behind the verdicts.

    Args:
        summary (dict): the profile's summary.
        link (Callable or None): from a record's name and a short text to a link to it; None leaves records out.
    """
    rows = []
    for name, answer in summary["verdicts"].items():
        for one in answer["comparisons"]:
            decided_by = f"within ±{one['band']:g}" if one["p"] is None else f"p = {one['p']:.2g}"
            limits = f"[{one['low']:+.4f}, {one['high']:+.4f}]"
            row = [name, one["what"], f"{one['effect']:+.4f}", limits, decided_by, "yes" if one["supports"] else "no"]
            if link:
                row.append(" ".join(link(record, str(number)) for number, record in enumerate(one["records"], 1)))
            rows.append(row)
            name = ""
    heads = ["", "compared", "effect", "95 % interval", "decided by", "supports"]
    return _table(heads + ["records"] * bool(link), rows)


def verdict_counts(summary):
    """How many claims hold, fail, and were not tested: one sentence."""
    answers = [answer["verdict"] for answer in summary["verdicts"].values()]
    return (
        f"Of {len(answers)} claims {answers.count('holds')} hold, {answers.count('fails')} fail, and "
        f"{answers.count('not tested')} were not tested by this run."
    )


def mechanism_results(results):
    """The same of one model."""
    return (
        f"At the first dense layer: effective rank of the Jacobian {results['effective_rank']:.1f}, "
        f"{100 * results['dead_units']:.1f} % of the units dead, norm of the features {results['feature_norm']:.2f}."
    )


def gate_table(summary):
    """Every validity gate: what was asked, what was found."""
    rows = [
        [f"`{gate['name']}`", gate["asked"], f"{gate['found']:.4g}", "passed" if gate["passed"] else "**failed**"]
        for gate in summary["gates"]
    ]
    return _table(["gate", "asked", "found", ""], rows)


def gate_verdict(summary):
    """Whether the attacks are strong enough for their failure to mean anything: one sentence."""
    missing = [name for name in REQUIRED if name not in {gate["name"] for gate in summary["gates"]}]
    failed = [gate for gate in summary["gates"] if not gate["passed"]]
    if failed:
        of_attacks = any(not arm_of(gate["name"]) for gate in failed)
        said = "Attack too weak" if of_attacks else "A model is not what it should be"
        listed = "; ".join(f"`{gate['name']}`: {gate['found']:.4g}, asked was {gate['asked']}" for gate in failed)
        return f"**{said}.** Of {len(summary['gates'])} validity gates {len(failed)} failed: {listed}."
    if missing:
        return f"**Not tested.** This run does not decide the validity gates {', '.join(map(str, missing))}."
    return f"All {len(summary['gates'])} validity gates of this run passed."


def means_table(found):
    """Every metric of every attack on one model: a dict from title to a dict from metric to mean."""
    columns = [metric for metric in (*PRIMARY, *METRICS, *MEMBERSHIP) if any(metric in row for row in found.values())]
    columns = list(dict.fromkeys(columns))
    heads = PRIMARY | METRICS | MEMBERSHIP
    rows = [
        [title, *(f"{values[metric]:.3f}" if metric in values else "" for metric in columns)]
        for title, values in found.items()
    ]
    return _table(["attack", *(heads[metric] for metric in columns)], rows)


def layer_table(summary, arm):
    """Share of zeros in each layer of an arm."""
    rows = [[f"`{layer}`", _percent_range(shares)] for layer, shares in summary["arms"][arm]["sparsity"].items()]
    return _table(["weights", "zeros"], rows)


def layer_report(report):
    """What a `SuppressCtrl.report()` says of each layer at its last mask update, whatever the layers are called."""
    columns = ("weights", "alive", "suppressed", "target", "raised", "lowered", "noised")
    rows = [
        [f"`{name}`", *(f"{entry[column]:,}" for column in columns), f"{entry['threshold']:.4g}"]
        for name, entry in report.items()
    ]
    return _table(["layer", *columns, "threshold"], rows)


def training_facts(facts, report):
    """What there is to say of how a model was made, beyond its curves: the defence's facts, then its layers."""
    rows = [[name.replace("_", " "), f"{value:.4g}"] for name, value in facts.items()]
    parts = [_table(["setting found or fixed", "value"], rows)] if rows else []
    parts += [layer_report(report)] if report else []
    return "\n\n".join(parts) or "This arm has no defence."


def bench_ratios(bench):
    """The benchmark's ratios, each with its bound and whether it is kept."""
    names = {
        "epoch_mindarmour_over_ours": "suppressed epoch: MindArmour / this package",
        "epoch_suppressed_over_dense": "epoch: suppressed / ordinary, this package",
        "step_ours_over_torch": "training step: this package / PyTorch",
        "attack_mindarmour_over_ours": "attack, 30 images x 100 steps: MindArmour / this package",
        "attack_cost_1000_over_100": "attack, this package: 1,000 images / 100 images",
    }
    rows = []
    for name, label in names.items():
        direction, bound = bench["bounds"][name]
        kept = "yes" if bench["within"][name] else "**no**"
        rows.append([label, f"{bench['ratio'][name]:.3g}", f"{direction} {bound:g}", kept])
    return _table(["ratio", "measured", "wanted", "kept"], rows)


def bench_times(bench):
    """Median, least and greatest time of every contender; MindArmour's short stretches scaled to a whole epoch."""
    epoch, found = bench["epoch_steps"], bench["measurements"]

    def row(label, contender, values, scale, unit):
        values = [scale * value for value in values]
        return [label, contender, f"{median(values):.3g} {unit}", f"{min(values):.3g} to {max(values):.3g}"]

    rows = [
        row("training step, batch 32", name, [run["seconds"] for run in runs], 1000, "ms")
        for name, runs in found["step"].items()
    ]
    rows += [
        row("suppressed epoch", name, [run["suppressed"] * epoch / run.get("steps", epoch) for run in runs], 1, "s")
        for name, runs in found["epoch"].items()
    ]
    # As it comes, MindArmour attacked one image: thirty cost thirty times as much, one after the other.
    images = {"mindarmour as it comes": 30}
    rows += [
        row("attack, 30 images, 100 steps", name, [run["seconds"] for run in runs], images.get(name, 1), "s")
        for name, runs in found["attack"].items()
    ]
    rows += [
        row(f"attack, {int(count):,} images", "ours", [run["seconds"] for run in runs], 1, "s")
        for count, runs in found["attack by images"].items()
    ]
    for width, runs in found["step by width"].items():
        for kind in ("dense", "suppressed"):
            label = f"{kind} step, ConvNet of {runs[0]['weights']:,} parameters (width {width})"
            rows.append(row(label, "ours", [run[kind] for run in runs], 1000, "ms"))
    rows += [row("whole training, 10 epochs", "ours", [run["seconds"] for run in found["training"]["ours"]], 1, "s")]
    return _table(["what", "who", "median", "least to greatest"], rows)


def bench_memory(bench):
    """Peak memory of the processes that trained, in GB."""
    found = bench["measurements"]
    peaks = {
        "whole training on MNIST, ours": found["training"]["ours"],
        "suppressed epoch, MindArmour": found["epoch"]["mindarmour"],
        "1,000 images attacked, ours": found["attack by images"]["1000"],
    }
    rows = [[label, f"{max(run['peak_memory_bytes'] for run in runs) / 1e9:.2f} GB"] for label, runs in peaks.items()]
    return _table(["what", "peak memory"], rows)


def bench_profile(bench):
    """Where an ordinary training step spends its time, as oneDNN reports it."""
    rows = [[kind, f"{milliseconds:.2f} ms"] for kind, milliseconds in bench["profile_ms"].items()]
    return _table(["oneDNN primitive", "a step"], rows)


def bench_machine(bench):
    """One sentence: what the benchmark ran on."""
    machine, versions = bench["machine"], bench["machine"]["versions"]
    return (
        f"{machine['cores']} cores of {machine['processor']}, {machine['threads']} threads for every contender, "
        f"MindSpore {versions['mindspore']}, MindArmour {versions['mindarmour']}, PyTorch {machine['torch']}, "
        f"Python {machine['python']}, commit `{bench['commit']}`"
    )


def answer(summary, attacks):
    """What came out, in a few sentences: the cost in accuracy, what the reference attack gets, the tutorial's word.

    Args:
        summary (dict): the profile's summary.
        attacks (dict): titles of the reference attack's variants by name.
    """
    ordinary, suppressed = ARMS
    accuracy = {arm: _mean(summary["arms"][arm]["test_accuracy"]) for arm in ARMS}
    zeros = [share for shares in summary["arms"][suppressed]["sparsity"].values() for share in shares]
    lines = [
        f"With {_percent_range(zeros)} of each weight matrix at zero, test accuracy is {accuracy[suppressed]:.4f}, "
        f"against {accuracy[ordinary]:.4f} for the ordinary model (the tutorial: "
        f"{_documented(summary, suppressed, 'test_accuracy'):.4f} against "
        f"{_documented(summary, ordinary, 'test_accuracy'):.4f}). An independent classifier's confidence in the true "
        "digit, given what the tutorial's attack reconstructs, is"
    ]
    for attack, title in attacks.items():
        values = {arm: summary["attacks"][attack][arm]["confidence"] for arm in ARMS}
        lines.append(
            f"- {interval(values[ordinary])} for the ordinary and {interval(values[suppressed])} for the suppressed "
            f"model ({title}), where the tutorial reports {_documented(summary, ordinary, 'confidence'):.3f} and "
            f"{_documented(summary, suppressed, 'confidence'):.3f}: {_fall(summary, attack)}."
        )
    return "\n".join([lines[0], "", *lines[1:]])


def attack_reading(summary, attacks):
    """A list: how the models differ under each attack, image by image, and whether it beats the mean image."""
    ordinary, suppressed = ARMS
    lines = []
    for attack, title in attacks.items():
        difference = summary["differences"][attack][suppressed]
        floor = summary["attacks"]["floor-mean"][ordinary]["relative_l2"]
        distance = summary["attacks"][attack][ordinary]["relative_l2"]
        lines.append(
            f"- **{title}.** Suppressed minus ordinary, image by image: "
            f"confidence {interval(difference['confidence'])}, "
            f"labels recovered {interval(difference['label_accuracy'])}, "
            f"relative L2 distance {interval(difference['relative_l2'])}. In that distance the reconstructions are, "
            f"even on the ordinary model, {_against(distance, floor)} the mean image, which needs no attack "
            f"({interval(distance)}; {interval(floor)})."
        )
    return "\n".join(lines)


def gap_left(summary, attacks):
    """A list: what is left of the tutorial's gap in confidence between networks of one optimiser, and in skill.

    Arguments as `answer`; the summary is that of all arms.
    """
    ordinary, suppressed = ARMS
    documented = _documented(summary, suppressed, "confidence") - _documented(summary, ordinary, "confidence")
    lines = []
    for attack, title in attacks.items():
        by_arm = summary["attacks"][attack]
        if CONTROL not in by_arm:
            return NO_CONTROL

        def both(metric, by_arm=by_arm):
            return f"{interval(by_arm[suppressed][metric])} against {interval(by_arm[CONTROL][metric])}"

        lines.append(
            f"- **{title}**, suppressed against ordinary network of the same optimiser: confidence "
            f"{both('confidence')}, where the tutorial's own two models are {documented:.3f} apart; by the evaluator "
            f"of another architecture {both('confidence_convnet')}; skill {both('skill')}, 0 being the mean image."
        )
    return "\n".join(lines)


def provenance(summary):
    """Which versions of the code the records were made with: one sentence."""
    commits = ", ".join(f"`{commit}`" for commit in summary["commits"])
    one = len(summary["commits"]) == 1
    said = f"Its records were made at commit {commits}" if one else f"Its records were made at the commits {commits}"
    if summary["uncommitted"]:
        said += f", {summary['uncommitted']} of them while the code had changes that were not committed yet"
    return f"{said}; each record names its own."


def coverage(summary):
    """What the intervals speak of."""
    if len(summary["seeds"]) == 1:
        return (
            "Intervals are 95 % over images of the one model trained for each row; how much another training "
            "would differ they do not cover."
        )
    return (
        f"Intervals are 95 % over up to {len(summary['seeds'])} trainings and their images; where a table says one "
        "seed, over the images of that one model."
    )


def interval(estimate, digits=3):
    """A mean with its 95 % interval, as text."""
    mean, low, high = (f"{estimate[key]:.{digits}f}" for key in ("mean", "low", "high"))
    return f"{mean} [{low}, {high}]"


def _fall(summary, attack):
    """How the change in confidence, paired image by image, compares with the tutorial's."""
    change = summary["differences"][attack][ARMS[1]]["confidence"]
    documented = _documented(summary, ARMS[1], "confidence") - _documented(summary, ARMS[0], "confidence")
    if change["low"] > documented:
        verdict = "a smaller fall than"
    elif change["high"] < documented:
        verdict = "a larger fall than"
    else:
        verdict = "not distinguishable from"
    return f"a change of {interval(change)}, {verdict} the tutorial's {documented:.3f}"


def _against(distance, floor):
    if distance["high"] < floor["low"]:
        return "better than"
    return "worse than" if distance["low"] > floor["high"] else "not distinguishable from"


def _averaged_over(summary, attack, arm, metric):
    """Distinct images or candidates, and seeds, behind a mean: two cells."""
    seeds = len(summary["seeds_of"][attack][arm])
    return f"{summary['attacks'][attack][arm][metric]['n'] // seeds:,}", str(seeds)


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
