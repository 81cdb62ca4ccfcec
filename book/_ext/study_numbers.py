"""What the pages show of the run: a page writes {{ name }}, never a number.

An unknown name warns, and warnings fail the build.
"""

import json
from pathlib import Path

from sphinx_thebe import init_thebe_core

from suppress_privacy.attacks import inversion
from suppress_privacy.attacks.decoder import PENALTIES
from suppress_privacy.attacks.views import HELD_OUT
from suppress_privacy.defences import suppress
from suppress_privacy.evaluation.metrics import SSIM_WINDOW
from suppress_privacy.mnist import SIDE
from suppress_privacy.study import tables
from suppress_privacy.study.claims import Claims
from suppress_privacy.study.records import FALSE_POSITIVE_RATE
from suppress_privacy.study.runs import GALLERY
from suppress_privacy.study.settings import Study, project_folder

NOT_RUN = "*Not part of the profile that this book shows.*"
# Figures that a profile may leave out: alternative text and caption.
FIGURES = {
    "ladder": (
        "Two panels with a row for every attack: skill against the mean image, and share of images identified, "
        "each with its 95 % interval for every model",
        "Every attack on features of the first dense layer, from no attack at all to the strongest.",
    ),
    "convergence": (
        "Lines falling over the steps of the tuned attack, one a model, the middle half of the images shaded",
        "The tuned attack's best objective so far: median over the private images, and their middle half.",
    ),
    "extremes": (
        "Pairs of rows of nine digits: originals, and under them the three best, three median and three worst "
        "reconstructions by every learned attack on both models",
        "The private images that each attack reconstructs best, in the middle and worst, by skill; each pair of rows "
        "has its own.",
    ),
    "depth": (
        "A panel for each family of attacks: skill against the depth of the features it is given, one line a model",
        "Skill by the layer whose features the attacker sees.",
    ),
    "gradients": (
        "Rows of ten digits, one of each class: the originals, and what each attack on gradients makes of them",
        "The first private image of each class, from the gradients of one step on it.",
    ),
    "smoothness": (
        "Two panels: confidence and skill of the tutorial's attack against its weight of smoothness, with the weight "
        "that each device gives it marked",
        "The tutorial's attack at other weights of smoothness, on the scale that the reference has on a CPU; dashed "
        "lines mark what its own weight comes to on each device.",
    ),
    "ladder_by_model": (
        "Two panels with a row for every model: skill and share of images identified by every attack, each with its "
        "95 % interval",
        "What every attack on features of the first dense layer gets from every model.",
    ),
    "grid_all": (
        "Rows of ten digits, one of each class: the originals, and what one learned attack makes of the features of "
        "every model",
        "The first private image of each class, as the last of the learned attacks reconstructs it from every model.",
    ),
    "trade_off": (
        "Two panels with a point for every model: what the strongest attack gets, as skill and as share of images "
        "identified, against the test error on a logarithmic axis",
        "What each defence costs, and what the strongest attack still gets: to the left is accurate, below is private.",
    ),
    "sweep": (
        "Three panels against the share of weights suppressed: test accuracy, and skill and identified share of the "
        "strongest attack, each with its interval",
        "The suppressed example at other sparsities.",
    ),
    "rank": (
        "A point for every model: effective rank of the first dense layer's Jacobian against the skill of the "
        "strongest attack",
        "How much of an image the features can hold, and how much the strongest attack gets out of them.",
    ),
    "roc": (
        "Receiver operating characteristics on logarithmic axes, one panel an attack, with the diagonal of guessing",
        "Membership inference: true against false positive rate on log axes; the vertical line is where it is judged.",
    ),
}


def substitutions(everything, study, claims):
    """The names pages may write between double braces."""
    summary = tables.of_arms(everything, tables.ARMS)  # the tutorial's two models; the controls have a page
    profile_name = summary["profile"]
    schedule = study.arm(profile_name, "suppressed-example").defence
    seeds = len(summary["seeds"])
    groups = tables.groups(summary, study)
    reference = {name: title for name, title in groups.reported.items() if name.startswith("reference")}
    settings = study.attack(profile_name, "reference-cpu").settings
    tuned = study.attack(profile_name, "tuned-inversion").settings
    return {
        "profile": summary["profile"],
        "data_name": summary["data"]["name"],
        "seeds": "one seed" if seeds == 1 else f"{seeds} seeds",
        "targets": str(summary["images"]),
        "provenance": tables.provenance(summary),
        "evaluator_accuracy": f"{summary['evaluator']['test_accuracy']:.4f}",
        "documented_source": summary["documented"]["source"],
        "documented_images": str(summary["documented"]["images"]),
        "start_epoch": str(schedule.start_epoch),
        "end_epoch": str(schedule.end_epoch),
        "mask_times": str(schedule.mask_times),
        "sparse_end": f"{schedule.sparse_end:g}",
        "accuracy_table": tables.accuracy_table(summary),
        "attack_table": tables.attack_table(summary, groups.reported),
        "layer_table": tables.layer_table(summary, "suppressed-example"),
        "answer": tables.answer(summary, reference),
        "coverage": tables.coverage(summary),
        "attack_reading": tables.attack_reading(summary, reference),
        "ladder_table": tables.ladder_table(summary, groups.ladder),
        "judges_table": tables.judges_table(summary, groups.ladder),
        "verdict_counts": tables.verdict_counts(everything),
        "verdict_table": tables.verdict_table(everything, claims),
        "comparisons_table": tables.comparisons_table(everything, record_link),
        "arms_table": tables.arms_table(everything),
        "gap_left": tables.gap_left(everything, reference),
        "strongest": ", ".join(study.attacks[name].title for name in claims.strongest.reconstruction),
        "strongest_membership": ", ".join(study.attacks[name].title for name in claims.strongest.membership),
        "depth_table": tables.ladder_table(everything, groups.depths) if groups.depths else NOT_RUN,
        "gradient_table": tables.gradient_table(everything, groups.gradients) if groups.gradients else NOT_RUN,
        "membership_table": tables.membership_table(everything, groups.membership) if groups.membership else NOT_RUN,
        "mechanism_table": tables.mechanism_table(summary),
        "gate_table": tables.gate_table(summary),
        "gate_verdict": tables.gate_verdict(summary),
        "gallery": str(GALLERY),
        "penalties": ", ".join(f"{penalty:g}" for penalty in PENALTIES),
        "held_out": str(HELD_OUT),
        "decoder_epochs": str(study.attack(profile_name, "decoder-network").settings["epochs"]),
        "tuned_iters": str(tuned["iters"]),
        "smoothness_weights": ", ".join(f"{weight:g}" for weight in tuned["smoothness_weights"]),
        "anchor_weights": ", ".join(f"{weight:g}" for weight in tuned["anchor_weights"]),
        "shadows": str(study.attack(profile_name, "membership-lira").settings["shadows"]),
        "fpr": f"{100 * FALSE_POSITIVE_RATE:g} %",
        "large_layer": f"{suppress.LARGE_LAYER:,}",
        "lower_bound": f"{suppress.LOWER_BOUND:g}",
        "upper_bound": f"{schedule.layers[0].upper_bound:g}",
        "noisy_magnitude": f"{suppress.NOISY_MAGNITUDE:g}",
        "noise": f"{suppress.NOISE:g}",
        "attack_start": f"{inversion.START:g}",
        "attack_step": f"{inversion.STEP:g}",
        "side": str(SIDE),
        "ssim_window": str(SSIM_WINDOW),
        "scale_ratio": str(SIDE),
        "loss_weights": ", ".join(f"{weight:g}" for weight in settings["loss_weights"]),
        "iters": str(settings["iters"]),
    }


def record_link(name, text):
    """A link to a record, as Markdown."""
    return f"{{download}}`{text} <generated/records/{name}.json>`"


def figure(name, folder):
    """One of the figures as a page shows it, or a word that the run has none."""
    if not (folder / f"{name}.png").is_file():
        return NOT_RUN
    alt, caption = FIGURES[name]
    return f"```{{figure}} generated/figures/{name}.png\n:alt: {alt}\n\n{caption}\n```"


def bench_substitutions(bench):
    """The names that the page on speed may write."""
    return {
        "bench_ratios": tables.bench_ratios(bench),
        "bench_times": tables.bench_times(bench),
        "bench_memory": tables.bench_memory(bench),
        "bench_profile": tables.bench_profile(bench),
        "bench_machine": tables.bench_machine(bench),
    }


def banner(summary, note):
    """One line for the top of every page: which run it shows, and what is wrong with its data if anything is."""
    seeds = len(summary["seeds"])
    counted = "1 seed" if seeds == 1 else f"up to {seeds} seeds"
    if summary["missing"]:
        note = f"{note} This run is not complete: {summary['missing']} of its records are still to be made."
    return f"Profile <b>{summary['profile']}</b>: {summary['data']['name']}, {counted}. {note} {summary['notice']}"


def fill(app, config):
    summary = json.loads((Path(app.srcdir) / "generated" / "summary.json").read_text())
    study = Study.load(project_folder() / "study.yaml")
    bench = json.loads((project_folder() / "results" / "bench.json").read_text())
    figures = {f"figure_{name}": figure(name, Path(app.srcdir) / "generated" / "figures") for name in FIGURES}
    claims = Claims.load(project_folder() / "results" / "claims.yaml")
    config.myst_substitutions = substitutions(summary, study, claims) | bench_substitutions(bench) | figures
    config.html_theme_options["announcement"] = banner(summary, study.profile(summary["profile"]).note)
    config.mathjax_path = "mathjax/tex-chtml-full.js"


def without_thebe(app, config):
    """Keep sphinx-thebe from declaring its script (a CDN's) twice on each page: none has live cells."""
    for listeners in app.events.listeners.values():
        listeners[:] = [entry for entry in listeners if entry.handler is not init_thebe_core]


def setup(app):
    app.connect("config-inited", fill)
    app.connect("config-inited", without_thebe)
    return {"parallel_read_safe": True}
