"""Verdicts as cards, in HTML: what is claimed, the outcome, effects with their intervals, a sentence, the evidence."""

from collections.abc import Sequence
from html import escape
from itertools import islice

from report.context import Report
from report.language import _, told
from report.runs import link
from report.tables import SYMBOLS
from suppress_privacy.evaluation.metrics import METRICS, label
from suppress_privacy.evaluation.verdict import HOLDS, NOT_SHOWN, NOT_TESTED, Comparison, Verdict
from suppress_study.claims import ON_GRADIENTS, STRONGEST, Claim, Equal, Lower, Members, Reproduces

MOST = 6  # comparisons that a card shows
WIDTH = 300  # of a line that an interval is drawn on, in units of its own
OF_MODELS = ("test_accuracy", "kept")  # shares that a model has by itself
PAGES = {"gradients": "gradient_leakage", "outputs": "membership", "features": "strong_attacks"}  # by what is seen
TITLES = {
    "tutorial": "The tutorial, repeated",
    "strong_attacks": "Features",
    "gradient_leakage": "Gradients",
    "membership": "Membership",
    "controls": "Controls",
}


def ordered(report: Report) -> list[str]:
    """The claims' names: the question, the other hypotheses, and last what repeats the tutorial."""
    claims = report.claims.claims
    return sorted(
        claims, key=lambda name: (name != report.claims.question, isinstance(claims[name], Reproduces | Equal))
    )


def verdict_cards(report: Report) -> str:
    """A card for each claim; without an empty line, at which Markdown would end it."""
    return "\n".join(_card(report, name) for name in ordered(report))


def verdict_short(report: Report) -> str:
    """How many claims have which outcome, each with a link to its card."""
    rows = []
    for word in SYMBOLS:
        if names := [name for name in ordered(report) if report.summary.verdicts[name].verdict == word]:
            links = _(", ").join(
                f'<a href="verdict.html#{name}" title="{escape(told(report.claims.claims[name].text))}">{name}</a>'
                for name in names
            )
            said = _("{outcome} {count}: {names}", outcome=_outcome(word), count=len(names), names=links)
            rows.append(f'<li class="{_slug(word)}">{said}</li>')
    return f'<ul class="outcomes">{"".join(rows)}</ul>'


def _outcome(word: str) -> str:
    return f'<span class="outcome"><span aria-hidden="true">{SYMBOLS[word]}</span> {told(word)}</span>'


def _slug(word: str) -> str:
    return word.replace(" ", "-")


def _card(report: Report, name: str) -> str:
    claim, found = report.claims.claims[name], report.summary.verdicts[name]
    considered = judged(claim, found)
    shown = (
        considered[:MOST] if not isinstance(claim, Reproduces) else [one for one in considered if _decides(one, found)]
    )
    page = evidence(report, claim)
    link = f'<a href="{page}.html">{_(TITLES[page])}</a>'
    from_what = _("Evidence: {page}. From: {source}.", page=link, source=escape(told(claim.source)))
    parts = [
        f'<section class="verdict {_slug(found.verdict)}" id="{name}">',
        f'<h3>{_outcome(found.verdict)} <span class="name">{name}</span> {escape(told(claim.text))}</h3>',
        f"<p>{escape(sentence(claim, found))}</p>",
        forest(shown, found) if shown else "",
        f'<p class="evidence">{from_what}</p>',
        _runs(shown, found.p),
        "</section>",
    ]
    return "\n".join(part for part in parts if part)


def judged(claim: Claim, found: Verdict) -> list[Comparison]:
    """The comparisons that a verdict rests on: where a claim has alternatives, those of the one it was judged by."""
    if not isinstance(claim, Reproduces):
        return found.comparisons
    left = iter(found.comparisons)
    groups = [list(islice(left, sum(len(part.bands) for part in parts))) for parts in claim.alternatives]
    return next((group for group in groups if any(_decides(one, found) for one in group)), [])


def _decides(one: Comparison, found: Verdict) -> bool:
    return (one.effect, one.low, one.high) == (found.effect, found.low, found.high)


def evidence(report: Report, claim: Claim) -> str:
    """The page that shows what a claim is decided by."""
    if isinstance(claim, Reproduces | Equal):
        return "tutorial"
    if not isinstance(claim, Lower):
        return "strong_attacks" if isinstance(claim, Members) else "membership"
    asked = claim.attacks[0]
    name = asked if isinstance(asked, str) else str(asked["attack"])
    if any(each.attack == name for each in report.reference):
        return "tutorial"
    if "auc" in claim.metrics:
        return "membership"
    if name == STRONGEST:
        return "controls"
    return "gradient_leakage" if name == ON_GRADIENTS else PAGES[report.study.attacks[name].sees.what()]


def measured_nonetheless(found: Verdict) -> bool:
    """Whether a claim was left untested for what its networks are, or for measurements that it lacks beside others.

    Of one that was left so for attacks that are too weak the effect is known, but would mislead.
    """
    return found.verdict == NOT_TESTED and found.effect is None and bool(found.comparisons)


def sentence(claim: Claim, found: Verdict) -> str:
    """What came out, in words that follow from the comparisons."""
    considered = judged(claim, found)
    if found.verdict == NOT_TESTED or not considered:
        counted = _counted(claim, considered) if considered and measured_nonetheless(found) else ""
        nonetheless = _(" Measured nonetheless: {what}", what=counted) if counted else ""
        return _("Not tested: {reason}.", reason=told(found.reason)) + nonetheless
    if isinstance(claim, Reproduces):
        inside_of = {"count": sum(one.supports for one in considered), "all": len(considered)}
        said = _(
            "{count} of {all} figures is as documented.", "{count} of {all} figures are as documented.", **inside_of
        )
        return said + _(" The one nearest to its limit is shown." if found.verdict == HOLDS else " This one is not:")
    what, *more = _counts(considered)
    if found.verdict == NOT_SHOWN and not more and what != _("no difference"):
        return _(
            "Each interval by itself shows {what}, but not clearly enough where so many claims are tested at once.",
            what=what,
        )
    return _counted(claim, considered)


def _counts(considered: Sequence[Comparison]) -> dict[str, int]:
    """How many comparisons show what, each by its interval alone."""
    inside, against = sum(one.supports for one in considered), sum(one.opposes() for one in considered)
    numbers = {_("the opposite"): against, _("it"): inside, _("no difference"): len(considered) - against - inside}
    return {what: number for what, number in numbers.items() if number}


def _counted(claim: Claim, considered: Sequence[Comparison]) -> str:
    """The same in a sentence."""
    count, counts = len(considered), _counts(considered)
    if isinstance(claim, Equal):
        return _("{count} of {all} differences lie within their margins.", count=counts.get(_("it"), 0), all=count)
    if len(counts) == 1:
        (what,) = counts
        forms = {1: _("The comparison shows {what}.", what=what), 2: _("Both comparisons show {what}.", what=what)}
        return forms.get(count, _("All {count} comparisons show {what}.", count=count, what=what))
    listed = [
        _("{count} shows {what}", "{count} show {what}", count=number, what=what) for what, number in counts.items()
    ]
    return _("Of {count} comparisons, {listed}.", count=count, listed=_(" and ").join(listed))


def forest(shown: Sequence[Comparison], found: Verdict) -> str:
    """Effects with their 95 % intervals, one a line, all on one scale with a line at zero."""
    ends = [end for one in shown for end in (one.low, one.high, one.band or 0.0, -(one.band or 0.0))]
    low, high = min(0.0, *ends), max(0.0, *ends)
    rows = "".join(_line(one, low, high, len(shown) > 1 and _decides(one, found)) for one in shown)
    return f'<ul class="forest">{rows}</ul><p class="ends"><span>{_("← lower")}</span><span>{_("higher →")}</span></p>'


def _line(one: Comparison, low: float, high: float, decides: bool) -> str:
    def at(value: float) -> float:
        return round(8 + (WIDTH - 16) * (value - low) / ((high - low) or 1), 1)

    said, band = effect(one), ""
    label_of = _("{effect}, zero marked", effect=said)
    if one.band is not None:
        width = round(at(one.band) - at(-one.band), 1)
        band = f'<rect x="{at(-one.band)}" y="1" width="{width}" height="14"/>'
    drawn = (
        f'<svg viewBox="0 0 {WIDTH} 16" preserveAspectRatio="none" role="img" aria-label="{label_of}">{band}'
        f'<path class="zero" d="M{at(0)} 0V16"/><path class="reach" d="M{at(one.low)} 8H{at(one.high)}"/>'
        f'<path class="mean" d="M{at(one.effect)} 8h0"/></svg>'
    )
    mark = f" <strong>{_('(decides)')}</strong>" if decides else ""
    return f'<li><span class="what">{escape(what(one))}{mark}</span>{drawn}<span class="effect">{said}</span></li>'


def what(one: Comparison) -> str:
    """What an effect is the difference of, in words."""
    said = told(one.what)
    if one.than:
        said = _("{what}, less that of {other}", what=said, other=told(one.than))
    elif not one.metric:
        said = _("{what}, less what is documented", what=said)
    return said[:1].upper() + said[1:]


def effect(one: Comparison) -> str:
    """An effect with its interval and its unit: shares in points."""
    named = one.metric or next((name for name in (*METRICS, *OF_MODELS) if label(name) in one.what), "")
    share = named in OF_MODELS or (named in METRICS and (METRICS[named].low, METRICS[named].high) == (0, 1))
    values = {"mean": one.effect, "low": one.low, "high": one.high}
    digits = 1 if max(map(abs, values.values())) >= 0.01 else 2  # of points, so that no effect is all noughts
    said = {name: f"{100 * value:+z.{digits}f}" if share else f"{value:+z.3f}" for name, value in values.items()}
    if share:
        return _("{mean} points [{low} to {high}]", **said)
    return _("{mean} skill [{low} to {high}]" if named == "skill" else "{mean} [{low} to {high}]", **said)


def _runs(shown: Sequence[Comparison], p: float | None) -> str:
    """The runs behind a card's comparisons, folded; with the claim's p."""
    links = [" ".join(link(run, str(number)) for number, run in enumerate(one.runs, 1)) for one in shown]
    lists = "".join(
        f"<li>{_('{what}: {runs}', what=escape(what(one)), runs=runs)}</li>"
        for one, runs in zip(shown, links, strict=True)
    )
    corrected = "" if p is None else _("p = {p}, after Holm's correction.", p=f"{p:.2g}")
    said = f"<p>{corrected}</p>" if corrected else ""
    return f"<details><summary>{_('The runs behind it')}</summary>{said}<ol>{lists}</ol></details>" if shown else ""
