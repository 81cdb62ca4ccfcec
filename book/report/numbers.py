"""What the pages show of the run: a page writes {{ name }}, never a number.

`substitutions` makes them; as a Sphinx extension this module hands them, as build.py wrote them down, to the pages. An
unknown name warns, and warnings fail the build.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.config import Config
from sphinx_thebe import init_thebe_core

from report import sentences, tables
from report.context import Report
from report.figures import FIGURES
from report.runs import link
from report.sentences import NOT_RUN
from suppress_privacy.attacks import decoder, inversion, views
from suppress_privacy.defences import masks
from suppress_privacy.defences.layers import MaskLayerDes
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, SSIM_WINDOW
from suppress_privacy.mnist import SIDE
from suppress_study.targets import GALLERY

NUMBERS = Path("generated") / "numbers.json"  # substitutions and the pages' banner, written before the build
TABLES: dict[str, Callable[[Report], str]] = {
    **{
        part.__name__: part
        for part in (
            *(tables.accuracy_table, tables.attack_table, tables.layer_table, tables.judges_table),
            *(tables.verdict_table, tables.arms_table, tables.mechanism_table, tables.gate_table),
            *(sentences.answer, sentences.coverage, sentences.attack_reading, sentences.gap_left),
            *(sentences.verdict_counts, sentences.gate_verdict, sentences.provenance),
        )
    },
    "comparisons_table": lambda report: tables.comparisons_table(report, link),
    "ladder_table": lambda report: tables.by_attack(report, report.ladder, report.pair, tables.OF_IMAGES),
    "depth_table": lambda report: tables.by_attack(report, report.depths, report.arms, tables.OF_IMAGES),
    "gradient_table": lambda report: tables.by_attack(report, report.gradients, report.arms, tables.OF_IMAGES),
    "membership_table": lambda report: tables.by_attack(report, report.membership, report.arms, tables.OF_SCORES),
}


def quoted(report: Report) -> dict[str, Any]:
    """Settings and counts that pages quote, by the name they quote them by."""
    study, summary = report.study, report.summary
    schedule = study.arm(report.profile, study.roles.suppressed).defence or {}
    names = {"reference", "tuned", "decoder", "lira"}
    settings = {name: study.variant(report.profile, name).settings for name in names}
    weights = ("feature_weight", "smoothness_weight", "norm_weight")
    titles = {
        kind: [study.attacks[name].title for name in getattr(report.claims.strongest, kind)]
        for kind in ("reconstruction", "membership")
    }
    return {
        **{name: schedule[name] for name in ("start_epoch", "end_epoch", "mask_times", "sparse_end")},
        "profile": report.profile,
        "data_name": summary.data.name,
        "seeds": "one seed" if len(summary.seeds) == 1 else f"{len(summary.seeds)} seeds",
        "targets": summary.images,
        "evaluator_accuracy": f"{next(iter(summary.evaluators.values())):.4f}",
        "documented_source": summary.documented.source,
        "documented_images": summary.documented.images,
        "strongest": titles["reconstruction"],
        "strongest_membership": titles["membership"],
        "gallery": GALLERY,
        "penalties": decoder.PENALTIES,
        "held_out": views.HELD_OUT,
        "decoder_epochs": settings["decoder"]["epochs"],
        "tuned_iters": settings["tuned"]["iters"],
        "smoothness_weights": settings["tuned"]["smoothness_weights"],
        "anchor_weights": settings["tuned"]["anchor_weights"],
        "shadows": settings["lira"]["shadows"],
        "fpr": f"{100 * FALSE_POSITIVE_RATE:g} %",
        "large_layer": masks.LARGE_LAYER,
        "lower_bound": masks.LOWER_BOUND,
        "upper_bound": MaskLayerDes.upper_bound,
        "noisy_magnitude": masks.NOISY_MAGNITUDE,
        "noise": masks.NOISE,
        "attack_start": inversion.START,
        "attack_step": inversion.STEP,
        "side": SIDE,
        "ssim_window": SSIM_WINDOW,
        "scale_ratio": SIDE,
        "loss_weights": [settings["reference"][name] for name in weights],
        "iters": settings["reference"]["iters"],
    }


def _said(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value


def substitutions(report: Report, figures: Path) -> dict[str, str]:
    """What pages may write between double braces.

    Args:
        report: of the run that they show.
        figures: folder of those that it has.
    """
    shown = {f"figure_{name}": _figure(name, figures) for name in FIGURES}
    written = {name: write(report) or NOT_RUN for name, write in TABLES.items()}
    return {name: _said(value) for name, value in quoted(report).items()} | written | shown


def _figure(name: str, folder: Path) -> str:
    """A figure as a page shows it, or a word that the run has none."""
    if not (folder / f"{name}.png").is_file():
        return NOT_RUN
    entry = FIGURES[name]
    return f"```{{figure}} generated/figures/{name}.png\n:alt: {entry.alt}\n\n{entry.caption}\n```"


def fill(app: Sphinx, config: Config) -> None:
    """Give the pages what was written down for them."""
    written = json.loads((Path(app.srcdir) / NUMBERS).read_text())
    config.myst_substitutions = written["substitutions"]
    config.html_theme_options["announcement"] = written["banner"]
    config.mathjax_path = "mathjax/tex-chtml-full.js"


def without_thebe(app: Sphinx, config: Config) -> None:
    """Keep sphinx-thebe from declaring its script (a CDN's) twice on each page: none has live cells."""
    for listeners in app.events.listeners.values():
        listeners[:] = [entry for entry in listeners if entry.handler is not init_thebe_core]


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", fill)
    app.connect("config-inited", without_thebe)
    return {"parallel_read_safe": True}
