"""What the pages show of the run: a page writes {{ name }}, never a number; see `filling`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from report import (
    cards,
    cite,
    deviations,
    everything,
    explorer,
    findings,
    front,
    previous,
    sentences,
    small,
    status,
    tables,
    yours,
)
from report.context import Report
from report.elsewhere import elsewhere
from report.figures import FIGURES
from report.language import _, told
from report.provenance import Source, sources, with_line
from report.runs import link
from suppress_privacy.attacks import decoder, gradients, inversion, views
from suppress_privacy.defences import masks
from suppress_privacy.defences.layers import MaskLayerDes
from suppress_privacy.evaluation.audit import largest_epsilon
from suppress_privacy.evaluation.game import detectable, least_spread
from suppress_privacy.evaluation.gates import MATCHED
from suppress_privacy.evaluation.metrics import FALSE_POSITIVE_RATE, SSIM_WINDOW
from suppress_privacy.mnist import SIDE
from suppress_study import compare
from suppress_study.claims import Claims
from suppress_study.jobs import NONE, Model
from suppress_study.launch import EXIT_CODES
from suppress_study.plan import Study
from suppress_study.results import PUBLISHED
from suppress_study.summary import AUDITED
from suppress_study.targets import CHOICE, GALLERY

NEAR = 0.1  # a true positive rate that canaries may have
NOBODY = Model(NONE, 0)
OVERVIEW, PLACE = "overview", "figures"  # the first page's figure; where figures are, under generated/
PARTS = (
    *(tables.accuracy_table, tables.attack_table, tables.ladder_table, tables.judges_table, tables.depth_table),
    *(tables.candidates_table, tables.weaker_table, tables.bounds_table),
    *(tables.gradient_table, tables.membership_table, tables.mechanism_table, tables.arms_table, tables.layer_table),
    *(tables.verdict_table, tables.gate_table, findings.gap_found, small.gap_small),
    *(sentences.gate_verdict, sentences.coverage, sentences.provenance),
    deviations.deviations_table,
    *(findings.tutorial_found, findings.accuracy_found, findings.attacks_found, findings.limits_found),
    *(findings.weaker_found, findings.depth_found, findings.mechanism_found, findings.gradients_found),
    *(findings.membership_found, findings.games_found, findings.controls_found, findings.private_found),
    *(findings.sweep_found, findings.rank_found),
    *(small.tutorial_small, small.attacks_small, small.limits_small, small.weaker_small, small.depth_small),
    *(small.checks_small, small.gradients_small, small.membership_small, small.games_small, small.controls_small),
    *(explorer.explorer_view, explorer.explorer_sparsity, explorer.explorer_descent),
)
OF_FRONT = front.answer, front.short_answer, front.why, front.facts, front.scope
OF_BOTH = (*OF_FRONT, cards.verdict_cards, cards.verdict_short, sentences.verdict_counts)


def comparisons(report: Report) -> str:
    """Every comparison behind the verdicts, with its runs."""
    return tables.comparisons_table(report, lambda run, _: run)


TABLES = {part.__name__: part for part in PARTS if part.__module__ == tables.__name__} | {
    "comparisons_table": comparisons
}


def behind(report: Report, figures: Path) -> dict[str, Source]:
    """What is behind all tables and figures of a report, by name; arguments as of `substitutions`."""
    drawn = [name for name in FIGURES if (figures / f"{name}.html").is_file()]
    return {"estimates": everything.estimates(report)} | sources(report, TABLES, drawn)


def substitutions(
    report: Report,
    figures: Path,
    own: Report | None = None,
    others: Mapping[str, Report] | None = None,
    known: Mapping[str, Source] | None = None,
    before: compare.Comparison | None = None,
) -> dict[str, Any]:
    """What pages may write between double braces: tables, sentences, figures, settings; empty where there is none.

    Args:
        report: of the published run, which they show.
        figures: folder of those that it has.
        own: of a run to hold beside it.
        others: of other campaigns that are published.
        known: what `behind` gives, where that is at hand.
        before: it beside the edition before it.
    """
    written = {part.__name__: part(report) for part in PARTS}
    written["comparisons_table"] = tables.comparisons_table(report, link)
    shown = {name: (f"figure_{name}", _figure(report, name, figures)) for name in FIGURES if name != OVERVIEW}
    shown |= {name: (name, written[name]) for name in TABLES}
    known = behind(report, figures) if known is None else known
    written |= {place: with_line(text, name, known.get(name), report) for name, (place, text) in shown.items()}
    written["all_figures"] = "\n\n".join(written[f"figure_{name}"] for name in known if f"figure_{name}" in written)
    written |= previous.substitutions(before, report)
    written |= status.substitutions(report) | elsewhere(report, others or {}, Claims.load().across)
    return _said(quoted(report)) | written | of_both(report, figures, own, known) | _beside(own, report)


def of_both(
    report: Report, figures: Path, own: Report | None, known: Mapping[str, Source], place: str = PLACE
) -> dict[str, Any]:
    """What those pages may write that there are in both languages, in the one that texts are made in.

    Args:
        report, figures, own, known: as of `substitutions`.
        place: under generated/, of figures in this language.
    """
    strongest, attacks = report.claims.strongest, report.study.attacks
    said = {
        "strongest": [told(attacks[name].title) for name in strongest.reconstruction],
        "strongest_membership": [told(attacks[name].title) for name in strongest.membership],
        "exit_codes": [f"{told(verdict)} {code}" for verdict, code in EXIT_CODES.items()],
        "agreement_codes": [f"{told(verdict)} {code}" for verdict, code in compare.EXIT_CODES.items()],
        "masks": {name: value for name, value in vars(masks).items() if name.isupper()},
    }
    overview = with_line(_figure(report, OVERVIEW, figures, place), OVERVIEW, known.get(OVERVIEW), report)
    written = {part.__name__: part(report) for part in OF_BOTH} | cite.substitutions(report)
    return _said(said) | written | {OVERVIEW: overview, "your_run": yours.your_run(own, report)}


def _beside(own: Report | None, published: Report) -> dict[str, str]:
    """What is said of a run beside the published one."""
    if own is None:
        return {}
    found = yours.comparison(own, published)
    return {
        "your_notice": sentences.warnings(own),
        "agreement": found.said(),
        "outside_list": yours.outside_list(found),
        "conditions_table": yours.conditions_table(found),
        "first_page_table": yours.figures_table(yours.of_first_page(found, published)),
        "figures_table": yours.figures_table(found.figures),
    }


def quoted(report: Report) -> dict[str, Any]:
    """Settings and counts: of the library's constants by their names, of the study's by defence or attack."""
    study, summary = report.study, report.summary
    today = Study.load()  # which the pages describe; the published run may be of an earlier edition
    return {
        "defence": study.arm(report.profile, study.roles.suppressed).defence,
        "attacks": {name: today.variant(report.profile, name).settings for name in today.attacks},
        "documented": today.documented.model_dump(include={"source", "images"}) if today.documented else {},
        "run": {"profile": report.profile, "data": summary.data.name, "targets": summary.images},
        "seeds": "one seed" if len(summary.seeds) == 1 else f"{len(summary.seeds)} seeds",
        "evaluator_accuracy": f"{next(iter(summary.evaluators.values())):.4f}",
        "upper_bound": MaskLayerDes.upper_bound,
        "inversion": {"START": inversion.START, "STEP": inversion.STEP},
        "penalties": decoder.PENALTIES,
        "held_out": views.HELD_OUT,
        "choice_images": round(CHOICE * summary.data.test),
        "matched": f"{100 * MATCHED:g} points",
        "own_images": gradients.OWN,
        "game": _game(today),
        "gallery": GALLERY,
        "chance": f"{100 / (1 + GALLERY):.1f} %",
        "side": SIDE,
        "ssim_window": SSIM_WINDOW,
        "fpr": f"{100 * FALSE_POSITIVE_RATE:g} %",
    }


def _game(study: Study) -> dict[str, Any]:
    """How large the published study's game with canaries is, and what so many models and canaries could show."""
    canaries, models = study.game(PUBLISHED.name, "canaries").canaries, study.coins(PUBLISHED.name, "canaries", NOBODY)
    spread = least_spread(NEAR, canaries // 2)
    return {
        "canaries": canaries,
        "models": models,
        "delta": f"{AUDITED:.5f}",
        "largest": round(largest_epsilon(canaries * models, AUDITED), 1),
        "near": f"{100 * NEAR:g} %",
        "detectable": f"{100 * detectable(models, spread):.1f} points",
    }


def _said(value: Any) -> Any:
    """Numbers as prose has them, in dictionaries too."""
    if isinstance(value, dict):
        return {name: _said(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return _(", ").join(str(_said(each)) for each in value)
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else value


def _figure(report: Report, name: str, folder: Path, place: str = PLACE) -> str:
    """A figure as a page shows it, or nothing where the run has none."""
    if not (folder / f"{name}.html").is_file():
        return ""
    shown = f"```{{raw}} html\n:file: generated/{place}/{name}.html\n```"
    return f"{shown}\n\n:::{{container}} caption-of-figure\n{FIGURES[name].said(report)}\n:::"
