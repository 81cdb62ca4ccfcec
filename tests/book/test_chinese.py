"""The Chinese edition says what the English one says, figure by figure, and nothing of it is left in English."""

import re
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from bs4 import BeautifulSoup

import readme
import texts
from conftest import ROOT
from report import language, numbers
from report.filling import with_comments
from suppress_privacy.evaluation.verdict import Comparison
from suppress_study import claims as of_claims
from suppress_study.claims import Claims, Sources
from suppress_study.compare import Compared
from suppress_study.plan import Study

TEXTS = texts.texts()
KNOWN = {name: language.catalogue(name) for name in TEXTS}
PAIRS = [(name, text, KNOWN[name].get(text, "")) for name, found in TEXTS.items() for text in found]
UNITS = {"%": "%", "points": "points", "个百分点": "points", None: ""}
FIELD = re.compile(r"\{\{ [\w.]+ \}\}|\{\w+(?::[^}`]*)?\}(?!`)")
CODE = re.compile(r"(?:(\{[\w:]+\}))?`(?:[^`<]*<)?([^`>]+)>?`")
# Latin words of lower case that experts write in Chinese too, or that the code has for names.
WORDS = {"epsilon", "rank", "one", "arm", "campaign", "epoch", "shell", "npm", "pandas", "mlxtend", "baseline"}
WORDS |= {
    "make",
    "study",
    "cost",
    "quick",
    "full",
    "smoke",
    "auto",
    "results",
    "runs",
    "mine",
    "sbatch",
    "yaml",
    "json",
}
WORDS |= {"summary", "attack", "depth", "evaluator"}  # a file, and columns
HAN = "[\u4e00-\u9fff]"


def figures(text):
    """How often each number is there, with its sign and its unit."""
    found = re.findall(r"([-+]?\d+(?:[.,]\d+)*)\s*(%|points|个百分点)?", text)
    return Counter((number, UNITS[unit or None]) for number, unit in found)


def parts(text):
    """What a translation has to keep: numbers, names of values, code, and what roles lead to."""
    code = CODE.findall(text)
    return Counter(FIELD.findall(CODE.sub("", text))), Counter(code), figures(CODE.sub("", text))


def english(text):
    """The words of lower case in a text that are no code, no name of a value and not known above."""
    return {*re.findall(r"(?<![\w-])[a-z]{3,}(?![\w-])", FIELD.sub("", prose(text)))} - WORDS


def prose(text):
    """A text without its code and the places of its links."""
    return re.sub(r"\]\([^)]*\)", "]", CODE.sub("", text))


def read(html):
    """The text of a piece of a page, and what it says to who does not see it."""
    soup = BeautifulSoup(html, "html.parser")
    said = [each[name] for name in ("title", "aria-label") for each in soup.select(f"[{name}]")]
    for part in soup.select("code"):
        part.decompose()
    return " ".join([soup.get_text(" "), *said])


def test_every_text_is_translated_for_sure():
    assert [(name, text) for name, text, said in PAIRS if not said] == [], "make texts, and translate what is new"


def test_a_translation_has_the_figures_names_and_links_of_its_text():
    assert [(text, said) for _, text, said in PAIRS if parts(text) != parts(said)] == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("of 95 % in {{ strongest }}", "{{ strongest }} 的 96%"),
        ("from {low}", "从 {high}"),
        ("-2 points", "+2 个百分点"),
        ("see {term}`skill`", "见{term}`技巧评分 <identified>`"),
        ("`make book` first", "先用 `make pdf`"),
    ],
)
def test_another_figure_name_or_link_would_be_seen(text, said):
    assert parts(text) != parts(said)


def test_what_is_translated_is_chinese():
    for _, _, said in PAIRS:
        text = prose(said)
        assert not english(said), said
        assert not re.search(rf"{HAN}[,;:!?(]|[,;:!?)]{HAN}", text), said  # points are of full width
        assert not re.search(rf"{HAN}[A-Za-z0-9]|[A-Za-z0-9%]{HAN}", text), said  # with a space between


def test_comments_in_code_are_translated_and_nothing_else_of_it():
    page = "# Title\n\n```bash\nmake study # all of it\n# too\n```\n\n`# not`\n"
    known = {"all of it": "全部", "too": "也"}
    assert with_comments(page, known) == page.replace("# all of it", "# 全部").replace("# too", "# 也")
    with pytest.raises(KeyError):
        with_comments(page, {})


def test_a_text_that_is_not_translated_is_refused_and_no_name_of_ones_own():
    with language.in_chinese():
        with pytest.raises(KeyError):
            language._("never written")
        assert language.told("my network") == "my network" and language.told("") == ""
    assert language._("never written") == "never written"
    assert language._("{count} run", "{count} runs", count=2) == "2 runs"


@pytest.fixture(scope="module")
def both(published, tmp_path_factory):
    """What pages of both languages write of the published run: in English, in Chinese."""
    folder = tmp_path_factory.mktemp("figures")
    (folder / "overview.html").touch()
    known = numbers.behind(published, folder)
    with language.in_chinese():
        chinese = numbers.of_both(published, folder, None, known)
    return numbers.of_both(published, folder, None, known), chinese


def test_what_is_computed_has_the_same_figures_in_both_languages(both):
    for name, said in both[0].items():
        assert figures(read(str(said))) == figures(read(str(both[1][name]))), name
    assert len(figures(read(both[0]["verdict_cards"]))) > 30


def test_another_figure_would_be_seen(both):
    changed = both[1]["answer"].replace("95%", "96%")
    assert changed != both[1]["answer"] and figures(changed) != figures(both[0]["answer"])


def test_what_is_computed_has_no_english_in_it(both):
    for name, said in both[1].items():
        if name not in ("cite", "editions"):  # as BibTeX and the changelog have it
            text = re.sub(r"^```\{raw\} html$.*?^```$|^:::.*$", "", str(said), flags=re.M | re.S)
            assert not english(read(text)), name


def composed(monkeypatch):
    """What every claim of the study puts together: of its comparisons, and of why there is none."""
    study, said = Study.load(), []

    def compare(what, *others, **_):
        said.extend([what, *(f"{other} (3 seeds)" for other in others if isinstance(other, str))])
        return Comparison(what, 0.0, 0.0, 0.0, 0.5, False)

    names = ("lower", "lower_auc", "higher", "inside", "higher_in_one_group")
    monkeypatch.setattr(of_claims, "verdict", SimpleNamespace(**dict.fromkeys(names, compare)))
    monkeypatch.setattr(of_claims, "apart", MagicMock())
    monkeypatch.setattr(of_claims, "over_victims", lambda values: SimpleNamespace(low=1.0))

    class Every(Sources):
        """As if everything had been measured."""

        def cell(self, attack, arm):
            return MagicMock(attack=attack)

        def arm(self, name):
            found = MagicMock(settings=SimpleNamespace(title=self.title(name)))
            found.reported.return_value = {0: 0.9}
            return found

        def pair(self, attack, metric, arms):
            return MagicMock(attack="decoder"), MagicMock(attack="tuned"), [0, 1, 2]

        def victims(self, game, attack, arm, among, metric):
            return {seed: (0.5, "run") for seed in range(3)}

        def documented(self, model):
            return MagicMock()

    claims = Claims.load()
    measured = MagicMock(study=study)
    measured.gained.return_value = {0: 1.0, 1: 1.0, 2: 1.0}
    sources = Every(measured, claims.strongest)
    for claim in claims.claims.values():
        claim.evidence(sources)
    for one in (sources.too_few("a training", "magnitude-finetuned", "baseline"), sources.too_few("LiRA", "baseline")):
        said.append(str(one))
    said.append("nothing to lower: LiRA among canaries of ordinary, the suppressed one's optimiser finds no members")
    figure = Compared("pruned and fine-tuned", "ridge decoder", "identified among its class", 0.5, low=0.1, high=0.2)
    other = replace(figure, attack="", metric="test accuracy")
    differing = f"4 differ beyond chance ({figure}, {other} and 2 more)"
    agree = "3 of 7 figures agree with the published run; about 1 of them would lie outside by chance"
    return [*said, f"{agree}; {differing}."]


def test_what_the_study_puts_together_is_translated_in_all_its_parts(monkeypatch):
    said = composed(monkeypatch)
    kinds = {claim.kind for claim in Claims.load().claims.values()}
    assert len({*said}) > 25 and kinds == {"reproduces", "equal", "lower", "found-less", "remembered"}
    with language.in_chinese():
        for text in said:
            assert not english(language.told(text)), (text, language.told(text))
            assert figures(language.told(text)) == figures(text), text


@pytest.fixture(scope="module")
def readmes():
    return readme.README.read_text("utf-8"), readme.CHINESE.read_text("utf-8")


def test_both_readmes_have_the_same_figures_code_and_parts(readmes):
    english_one, chinese = readmes
    assert figures(chinese) == figures(english_one)
    code = [re.sub(r"# .*", "", "".join(re.findall(r"^```\w+$.*?^```$", text, re.M | re.S))) for text in readmes]
    assert code[0] == code[1] and code[0].count("```") > 6
    assert [line.split()[0] for line in chinese.splitlines() if line[:2] in ("# ", "##")] == [
        line.split()[0] for line in english_one.splitlines() if line[:2] in ("# ", "##")
    ]
    assert "(README.zh.md)" in english_one and "(README.md)" in chinese


def test_the_chinese_readme_begins_with_the_published_answer(published, readmes):
    assert readmes[1] == readme.written_in_chinese(published, readmes[1]), "python book/readme.py writes it anew"
    stale = readmes[1].replace("95%", "12%")
    assert stale != readmes[1] and readme.written_in_chinese(published, stale) == readmes[1]


def test_its_picture_says_what_the_published_run_gives(published, tmp_path):
    with language.in_chinese():
        readme.figures.keep(published, "overview", tmp_path / "overview.svg")
    paths = (tmp_path / "overview.svg", ROOT / readme.CHINESE_PICTURE)
    words = [
        [each.text for each in BeautifulSoup(text, "html.parser").select("text")]
        for text in (path.read_text("utf-8") for path in paths)
    ]
    assert words[0] == words[1] and "抑制网络" in words[0], "python book/readme.py draws it anew"
    assert not any(english(each) for each in words[0])
