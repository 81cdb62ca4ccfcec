"""What the pages show of the run: a page writes {{ name }}, never a number.

An unknown name warns, and warnings fail the build.
"""

import json
from pathlib import Path

from sphinx_thebe import init_thebe_core

from suppress_privacy.study import tables
from suppress_privacy.study.settings import Study, project_folder


def substitutions(summary, study):
    """The names pages may write between double braces."""
    profile_name = summary["profile"]
    schedule = study.arm(profile_name, "suppressed-example").defence
    seeds = len(summary["seeds"])
    groups = tables.groups(summary, study)
    reference = {name: title for name, title in groups.reported.items() if name.startswith("reference")}
    settings = study.attack(profile_name, "reference-cpu").settings
    return {
        "profile": summary["profile"],
        "data_name": summary["data"]["name"],
        "train_images": f"{summary['data']['train']:,}",
        "test_images": f"{summary['data']['test']:,}",
        "seeds": "one seed" if seeds == 1 else f"{seeds} seeds",
        "targets": str(summary["images"]),
        "commits": ", ".join(f"`{commit}`" for commit in summary["commits"]),
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
        "loss_weights": ", ".join(f"{weight:g}" for weight in settings["loss_weights"]),
        "iters": str(settings["iters"]),
    }


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
    counted = "1 seed" if seeds == 1 else f"{seeds} seeds"
    return f"Profile <b>{summary['profile']}</b>: {summary['data']['name']}, {counted}. {note} {summary['notice']}"


def fill(app, config):
    summary = json.loads((Path(app.srcdir) / "generated" / "summary.json").read_text())
    study = Study.load(project_folder() / "study.yaml")
    bench = json.loads((project_folder() / "results" / "bench.json").read_text())
    config.myst_substitutions = substitutions(summary, study) | bench_substitutions(bench)
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
