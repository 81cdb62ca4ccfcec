"""What the explorer shows is what was published: each picture, each value; by keyboard, without a request, in 2 MB."""

import io
import json
import re
import shutil
import urllib.parse
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from planted import planted

from browser import browser_page
from conftest import ROOT
from planted_study import study
from report import explorer
from report.context import NOBODY, Report
from report.filling import without_empty_sections
from suppress_privacy.evaluation.metrics import relative_l2
from suppress_study.pictures import Course

PAGE = (ROOT / "book" / "explorer.md").read_text()
STATIC = ROOT / "book" / "static"
SENTENCES = (explorer.explorer_view, explorer.explorer_sparsity, explorer.explorer_descent)
LOOKS = 5


def with_pictures(report, draw, courses=None):
    """A report with other pictures: what `draw` makes of each that there is."""
    pictures = report.results.pictures
    images = {run: {at: draw(image) for at, image in own.items()} for run, own in pictures.images.items()}
    originals = {at: draw(image) for at, image in pictures.originals.items()}
    changed = replace(pictures, images=images, originals=originals, courses=courses or {})
    return replace(report, results=replace(report.results, pictures=changed))


def noise(channels=1, side=8):
    rng = np.random.default_rng(0)
    return lambda _: rng.integers(1, 256, (channels, side, side), np.uint8)


def descents(report, draw):
    """A course of every attack on features and each of the tutorial's models, whose objectives fall."""
    targets = np.array([*report.firsts.values()])
    return {
        report.picture(attack, arm.factors): Course(
            targets,
            np.stack([[draw(None) for _ in targets] for _ in range(LOOKS)]),
            np.linspace(1, 0.1, LOOKS)[:, None] * (1 + number + np.arange(len(targets))),
        )
        for number, arm in enumerate(report.pair)
        for attack in report.ladder
        if attack.kind in ("reference", "tuned")
    }


@pytest.fixture(scope="module")
def report():
    """Of a profile that sweeps over sparsity, with pictures of which each is another, and descents."""
    attacks = ["black", "mean", "analytic-planted", "reference", "tuned", "ridge", "decoder"]
    found, draw = planted("tiny", study(attacks=attacks)), noise()
    return with_pictures(found, draw, descents(found, draw))


@pytest.fixture(scope="module")
def tile(data, folder):
    """The pixels at a place of the picture, as [C, H, W]: of the file, by what the page's script is told."""
    picture = np.asarray(Image.open(folder / "_static" / "explorer.png"))
    height, width, columns = (data["picture"][name] for name in ("height", "width", "columns"))

    def cut(place):
        top, left = place // columns * height, place % columns * width
        return picture[top : top + height, left : left + width][None]

    return cut


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    """The page as it is built, without the book around it, to be opened as a file."""
    made = tmp_path_factory.mktemp("book")
    static = made / "_static"
    static.mkdir()
    explorer.write(report, static)
    for name in ("explorer.js", "explorer.css"):
        shutil.copyfile(STATIC / name, static / name)
    html = "".join(re.findall(r"^```\{raw\} html\n(.*?)^```$", PAGE, flags=re.M | re.S))
    html = html.replace("</noscript>", '<img src="none.png" alt="A grid"></noscript>')
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    (made / "explorer.html").write_text(f"{head}<title>Explorer</title><main>{html}</main></html>")
    return made


def told(folder):
    """What the page's script is told."""
    return json.loads((folder / explorer.DATA).read_text().removeprefix("const DATA = ").rstrip(";\n"))


@pytest.fixture(scope="module")
def data(folder):
    return told(folder / "_static")


def test_every_picture_that_was_published_is_shown_as_it_is(report, data, tile):
    pictures, shown = report.results.pictures, 0
    targets = report.firsts.values()
    for place, target in zip(data["originals"], targets, strict=True):
        np.testing.assert_array_equal(tile(place), pictures.originals[target])
    for arm in report.summary.arms:
        made = data["networks"][arm.title]["attacks"]
        for attack in report.attacks:
            run = report.picture(attack, NOBODY if attack.alone else arm.factors)
            assert (attack.title in made) == (run in pictures.images and not attack.network), attack.title
            for place, target in zip(made.get(attack.title, {"images": []})["images"], targets, strict=False):
                np.testing.assert_array_equal(tile(place), pictures.images[run][target])
                shown += 1
    assert shown > 300 and data["classes"] == [*"0123456789"]
    assert [*data["networks"]] == [arm.title for arm in report.summary.arms]
    assert "loss threshold" not in data["attacks"] and data["attacks"]["mean image"] == "nothing"


def test_values_are_those_of_the_tables(report, data):
    arm, attack = report.pair[1], report.learned[0]
    rows = report.results.arrays(report.picture(attack, arm.factors)).set_index("image").loc[[*report.firsts.values()]]
    main, *_ = report.study.evaluators
    cell = data["networks"][arm.title]["attacks"][attack.title]
    own, judged = rows[rows.evaluator == ""], rows[rows.evaluator == main]
    assert cell["skill"] == pytest.approx(own.skill.tolist(), abs=1e-4) and cell["rank1"] == own.rank1.tolist()
    assert cell["confidence"] == pytest.approx(judged.confidence.tolist(), abs=1e-4)
    assert cell["means"] == {"skill": 0.5, "rank1": 0.5, "confidence": 0.5}
    assert data["networks"][arm.title]["strongest"] == report.strongest_attack("rank1", arm).title


def test_what_is_not_there_is_null(report):
    """One picture and one value; as JSON, which has no NaN."""
    attack, arm = report.learned[0], report.pair[0]
    run, target = report.picture(attack, arm.factors), report.firsts[3]
    images = report.results.images.copy()
    images.loc[(images.run == run) & (images.image == target), "skill"] = np.nan
    pictures = report.results.pictures
    fewer = {at: image for at, image in pictures.images[run].items() if at != target}
    pictures = replace(pictures, images=pictures.images | {run: fewer})
    changed = replace(report, results=replace(report.results, images=images, pictures=pictures))
    cell = explorer.explored(changed)[0]["networks"][arm.title]["attacks"][attack.title]
    assert [at for at, place in enumerate(cell["images"]) if place is None] == [3]
    assert [at for at, value in enumerate(cell["skill"]) if value is None] == [3]


def test_the_sweep_begins_with_the_ordinary_network_trained_alike(report, data):
    assert [each["zeros"] for each in data["sweep"]] == pytest.approx([0, 50, 80, 90, 95, 98])
    assert data["sweep"][0]["network"] == report.arm(report.study.roles.control).title
    assert data["sweep"][4]["network"] == report.pair[1].title


def test_descents_have_their_images_objectives_and_distances(report, data, tile):
    assert [(each["network"], each["attack"]) for each in data["courses"]] == [
        (arm.title, attack) for attack in ("reference attack (cpu)", "tuned inversion") for arm in report.pair
    ]
    last, run = data["courses"][-1], report.picture(report.learned[0], report.pair[1].factors)
    course, (third, target) = report.results.pictures.courses[run], [*enumerate(report.firsts.values())][3]
    assert report.learned[0].title == "tuned inversion" and last["steps"] == 200
    for look, frame in enumerate(course.frames[:, third]):
        np.testing.assert_array_equal(tile(last["images"][look][third]), frame)
        distance = relative_l2(report.results.pictures.originals[target][None] / 255, frame[None] / 255)
        assert last["distance"][look][third] == pytest.approx(distance[0], abs=1e-4)
    assert np.array(last["objective"]) == pytest.approx(course.objective, abs=1e-4)


def test_the_first_sentences_say_what_there_is_to_see(report):
    view, sparsity, descent = (each(report) for each in SENTENCES)
    values = report.results.images[report.results.images.image.isin(report.firsts.values())]

    def counted(attack, arm):
        rows = values[(values.run == report.picture(attack, arm.factors)) & (values.evaluator == "")]
        return int(rows.rank1.sum())

    strongest = [counted(report.strongest_attack("rank1", arm), arm) for arm in report.pair]
    tutorials = [counted(report.reference[0], arm) for arm in report.pair]
    assert re.findall(r"\d+", view) == [*map(str, (10, *strongest, *tutorials))]
    assert sparsity.startswith("**More zeros leak about as much**") and "50 % with 0 %" in sparsity
    assert descent.startswith("**Each objective falls farther") and descent.count("objective -90") == 4
    courses = {run: replace(each, objective=each.objective[::-1]) for run, each in descents(report, noise()).items()}
    risen = explorer.explorer_descent(with_pictures(report, noise(), courses))
    assert risen.startswith("From the first image") and "objective +900" in risen


def test_a_run_without_sweep_or_descents_has_no_sections_of_them():
    report = planted("smoke")
    names = {each.__name__: each(report) for each in SENTENCES} | {"overview": "x"}
    page = without_empty_sections(PAGE, names)
    assert page.startswith("# ") and 'id="views"' in page and "<script" in page
    assert 'id="sparsity"' not in page and 'id="descent"' not in page
    assert explorer.explored(report)[0]["sweep"] == explorer.explored(report)[0]["courses"] == []


def test_images_in_colour_are_shown_in_colour_and_others_refused(tmp_path):
    report = with_pictures(planted("smoke"), noise(3))
    explorer.write(report, tmp_path)
    picture, place = np.asarray(Image.open(tmp_path / explorer.PICTURE)), told(tmp_path)["originals"][4]
    shown = picture[place // 40 * 8 :, place % 40 * 8 :][:8, :8].transpose(2, 0, 1)
    np.testing.assert_array_equal(shown, report.results.pictures.originals[report.firsts[4]])
    with pytest.raises(ValueError, match=r"shape \(2, 8, 8\).*1 channel\(s\) \(grey\) or 3 channel\(s\) \(colour\)"):
        explorer.write(with_pictures(report, noise(2)), tmp_path)
    sprite = explorer.Sprite()
    sprite.place(np.zeros((1, 8, 8), np.uint8))
    with pytest.raises(ValueError, match="of one size"):
        sprite.place(np.zeros((1, 9, 8), np.uint8))


def test_a_picture_that_is_too_large_has_fewer_levels_of_brightness(report, tmp_path, monkeypatch):
    *_, sprite = explorer.explored(report)
    exact = np.asarray(Image.open(io.BytesIO(sprite.png(256)))).astype(int)
    explorer.write(report, tmp_path)
    before, picture = sum(path.stat().st_size for path in tmp_path.iterdir()), len(sprite.png(256))
    monkeypatch.setattr(explorer, "LARGEST", before - picture // 5)
    explorer.write(report, tmp_path)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= explorer.LARGEST
    fewer = np.asarray(Image.open(tmp_path / explorer.PICTURE)).astype(int)
    levels = len(np.unique(fewer))
    assert levels == told(tmp_path)["picture"]["levels"] in explorer.LEVELS[1:]
    assert 0 < abs(fewer - exact).max() <= 255 / (levels - 1) / 2 + 0.5
    monkeypatch.setattr(explorer, "LARGEST", 1000)
    with pytest.raises(ValueError, match="publish pictures of fewer attacks"):
        explorer.write(report, tmp_path)


def test_the_published_runs_explorer_is_under_two_megabytes_of_twice_as_many_networks_too(tmp_path, monkeypatch):
    """Those that are added have the others' pictures in a mirror."""
    published = Report.load(ROOT / "results" / "full")
    turned = with_pictures(published, lambda image: image[..., ::-1].copy(), published.results.pictures.courses)
    data, sprite = explorer.explored(published)
    values = explorer._values(turned)
    for arm in published.summary.arms:
        cells = explorer._cells(turned, arm, values, sprite)
        data["networks"][f"{arm.title}, again"] = data["networks"][arm.title] | {"attacks": cells}
    monkeypatch.setattr(explorer, "explored", lambda _: (data, sprite))
    explorer.write(published, tmp_path)
    files = [STATIC / "explorer.js", STATIC / "explorer.css", *tmp_path.iterdir()]
    assert len(files) == 4 and sum(path.stat().st_size for path in files) < 2_000_000
    assert len(told(tmp_path)["networks"]) == 2 * len(published.summary.arms)


@pytest.fixture(scope="module")
def page(folder):
    with browser_page(folder.as_uri()) as page:
        yield page


@pytest.fixture(params=[390, 768, 1280])
def opened(page, request):
    """The page, opened as a file on a phone, a tablet and a wide screen; nothing on it goes wrong."""
    page.set_viewport_size({"width": request.param, "height": 1000})
    page.complaints.clear()
    page.goto("about:blank")
    page.goto(f"{page.home}/explorer.html")
    page.wait_for_selector("#descent canvas >> nth=0")
    page.complaints[:] = [each for each in page.complaints if each != "about:blank"]
    yield page
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def seen(page, selector):
    """The pixels that a canvas shows, at the middle of each, [H, W]."""
    canvas = page.locator(selector)
    shown = Image.open(io.BytesIO(canvas.screenshot())).convert("L")
    values = np.asarray(shown)[2:-2, 2:-2]  # without the frame
    at = ((np.arange(8) + 0.5) * len(values) / 8).astype(int)
    return values[np.ix_(at, at)]


def captions(page, part="views"):
    return [each.inner_text() for each in page.locator(f"#{part} figcaption").all()]


def test_the_first_view_is_of_the_tutorials_models_under_the_strongest_attack(opened, report, data, tile):
    for number, arm in enumerate(report.pair, 1):
        made = data["networks"][arm.title]
        cell = made["attacks"][made["strongest"]]
        place = f"#views figure:nth-child({number + 1}) canvas"
        assert np.array_equal(seen(opened, place), tile(cell["images"][0])[0])
        lines = captions(opened)[number].splitlines()
        assert lines[:2] == [f"{arm.title}: {made['strongest']}", f"skill {cell['skill'][0]:.2f}"]
        known = "identified" if cell["rank1"][0] else "not identified"
        assert lines[2:4] == [known, f"confidence {100 * cell['confidence'][0]:.0f}\N{NO-BREAK SPACE}%"]
        frame = "identified" in (opened.locator(place).get_attribute("class") or "")
        assert frame == bool(cell["rank1"][0])
    assert np.array_equal(seen(opened, "#views figure:nth-child(1) canvas"), tile(data["originals"][0])[0])


def test_all_is_chosen_by_keyboard_and_said(opened, report, data, tile):
    before = captions(opened)
    for name in ("first", "first-attack", "second", "second-attack", "image"):
        opened.keyboard.press("Tab")
        assert opened.evaluate("document.activeElement.name") == name
    opened.keyboard.press("ArrowRight")  # of the images
    opened.focus("[name=second]")
    opened.keyboard.press("ArrowDown")
    networks = [*data["networks"]]
    title = networks[networks.index(report.pair[1].title) + 1]
    cell = data["networks"][title]["attacks"][data["networks"][title]["strongest"]]
    assert np.array_equal(seen(opened, "#views figure:nth-child(3) canvas"), tile(cell["images"][1])[0])
    after = captions(opened)
    assert after[2].startswith(f"{title}: ") and after[2] != before[2] and "1" in after[0]
    live = opened.locator("#views figcaption[aria-live=polite]").all_inner_texts()
    assert live == after[1:]
    words = opened.locator("#views figure:nth-child(3) canvas").get_attribute("aria-label")
    assert words == f"1 by {data['networks'][title]['strongest']} from {title}"


def test_sliders_change_picture_and_text_and_the_address_keeps_the_view(opened, data, tile):
    for name, times in (("zeros", 2), ("steps", 3)):
        opened.focus(f"[name={name}]")
        for _ in range(times):
            opened.keyboard.press("ArrowLeft")
    swept, last = data["sweep"][-3], data["courses"][-1]
    assert opened.locator("[name=zeros]").get_attribute("aria-valuetext") == f"{swept['zeros']:g} %" == "90 %"
    attack = opened.locator("[name=zeros-attack]").input_value()
    said = opened.locator("#sparsity p").inner_text()
    assert said.startswith(f"{swept['network']}: test accuracy")
    cell = data["networks"][swept["network"]]["attacks"][attack]
    assert f"{sum(cell['rank1']):.0f} of these identified" in said
    assert opened.locator("#sparsity canvas.identified").count() == sum(cell["rank1"])
    assert np.array_equal(seen(opened, "#descent figure >> nth=-1 >> canvas"), tile(last["images"][1][0])[0])
    *_, caption = captions(opened, "descent")
    assert caption.splitlines()[1:3] == ["step 50 of 200", f"objective {last['objective'][1][0]:#.3g}"]
    address = urllib.parse.parse_qs(opened.evaluate("location.hash").removeprefix("#"))
    assert address["zeros"] == ["90 %"] and address["second"] == [data["start"][1]]
    shown = captions(opened), captions(opened, "descent"), said
    where = opened.url
    opened.goto("about:blank")
    opened.goto(where)
    opened.wait_for_selector("#descent canvas >> nth=0")
    opened.complaints[:] = [each for each in opened.complaints if each != "about:blank"]
    assert shown == (captions(opened), captions(opened, "descent"), opened.locator("#sparsity p").inner_text())


def test_an_address_of_another_edition_is_passed_over(opened, data):
    before = captions(opened)
    opened.evaluate("location.hash = 'first=gone&first-attack=gone&image=x&zeros=1 %25&other=1'")
    opened.wait_for_timeout(50)
    assert captions(opened) == before
    rare = "tuned inversion at conv1"
    network = next(title for title, each in data["networks"].items() if rare not in each["attacks"])
    wanted = urllib.parse.urlencode({"first": network, "first-attack": rare, "image": "7"})
    opened.evaluate(f"location.hash = {wanted!r}")
    opened.wait_for_function("document.querySelector('#views figcaption').innerText.includes('7')")
    strongest = data["networks"][network]["strongest"]
    assert captions(opened)[1].startswith(f"{network}: {strongest}\n")  # which was made on it
    ordinary = data["start"][0]
    opened.evaluate(f"location.hash = {urllib.parse.urlencode({'second': ordinary, 'second-attack': rare})!r}")
    opened.wait_for_function(f"document.querySelectorAll('#views figcaption')[2].innerText.includes('{rare}')")
    opened.select_option("[name=second]", network)
    assert captions(opened)[2].startswith(f"{network}: {strongest}\n")


def test_a_descent_is_played_to_its_end_without_a_word_for_each_image(opened):
    opened.focus("#descent button")
    opened.keyboard.press("Enter")
    assert opened.locator("#descent button").inner_text() == "Stop"
    assert opened.locator("#descent .beside").get_attribute("aria-busy") == "true"
    assert opened.locator("[name=steps]").input_value() == "0" and "step 0 of" in captions(opened, "descent")[-1]
    opened.wait_for_function("document.querySelector('#descent button').textContent === 'Play'", timeout=5000)
    assert "step 200 of 200" in captions(opened, "descent")[-1]
    assert opened.locator("#descent .beside").get_attribute("aria-busy") == "false"


def test_pictures_of_fewer_levels_of_brightness_say_so(page, folder):
    script = folder / "_static" / explorer.DATA
    exact = script.read_text()
    words = "To keep this page small, its pictures have 32 levels of brightness instead of 256."
    for text, said in ((exact.replace('"levels":256', '"levels":32'), [words]), (exact, [])):
        script.write_text(text)
        page.goto("about:blank")
        page.goto(f"{page.home}/explorer.html")
        page.wait_for_selector("#descent canvas >> nth=0")
        assert page.locator("#views > p").all_inner_texts() == said


def test_every_control_and_picture_has_a_name(opened):
    unnamed = opened.evaluate("""[...document.querySelectorAll('select, input, button, canvas, summary')]
        .filter(each => !each.closest('[aria-hidden=true]'))
        .filter(each => !each.labels?.length && !each.getAttribute('aria-label') && !each.textContent.trim())
        .map(each => each.outerHTML)""")
    assert unnamed == []
    assert opened.locator("fieldset").count() == opened.locator("fieldset > legend").count() == 3


def test_without_javascript_there_is_a_picture_and_nothing_that_cannot_be_used(page):
    plain = page.context.browser.new_page(java_script_enabled=False)
    plain.goto(f"{page.home}/explorer.html")
    assert plain.get_by_alt_text("A grid").is_visible()
    assert not any(each.is_visible() for each in plain.locator("select, input, button, canvas").all())
    plain.close()
