// What is wrong with the page as it is shown now, in words, see pages.py.
const ALIKE = 4; // siblings of one tag and class, such as rows of a table: axe is shown the first of them, for time

const kind = (element) => [element.localName, ...element.classList].join(".");

/** Of what kinds the page's elements are, without those of formulas and pictures. */
const kinds = () => {
  const all = [...document.body.querySelectorAll("*")].filter((each) => !each.closest("mjx-container, svg"));
  return [...new Set(all.map(kind))];
};

/** What axe need not be shown: siblings like others, and what pictures are drawn of. */
function spared(element) {
  const counts = {};
  return [...element.children].flatMap((each) => {
    counts[kind(each)] = (counts[kind(each)] ?? 0) + 1;
    return counts[kind(each)] > ALIKE || each.matches(".drawn svg > *") ? [each] : spared(each);
  });
}

/** What axe finds by some of its rules. */
async function ask(options) {
  const places = spared(document.body).map((each) => [each, document.createComment("")]);
  for (const [each, place] of places) each.replaceWith(place);
  const { violations } = await axe.run({ ...options, preload: false, resultTypes: ["violations"] });
  for (const [each, place] of places) place.replaceWith(each);
  return violations.map(({ id, help, nodes }) => `${id} (${help}): ${nodes.length}, first ${nodes[0].html.slice(0, 160)}`);
}

/** What is wrong by measure. */
function measure({ smallest, fewest }) {
  const found = [];
  const told = (element) => (element.textContent.trim() || element.outerHTML).replace(/\s+/g, " ").slice(0, 40);
  const note = (elements, words) => {
    if (elements.length) found.push(`${words}: ${elements.length}, first "${told(elements[0])}"`);
  };

  const texts = new Set(document.querySelectorAll("input, select, textarea"));
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) if (walker.currentNode.data.trim()) texts.add(walker.currentNode.parentElement);
  const shown = [...texts].filter(
    (each) =>
      each.checkVisibility({ visibilityProperty: true, opacityProperty: true }) &&
      !each.parentElement.closest("select") &&
      !each.closest("mjx-container"), // formulas: indices of indices are small in print, too, and fonts are MathJax's
  );

  /* In CSS pixels of the screen: an SVG's own are scaled. */
  const size = (element) => {
    const scale = element instanceof SVGElement ? element.getScreenCTM() : { b: 0, d: 1 };
    return parseFloat(getComputedStyle(element).fontSize) * Math.hypot(scale.b, scale.d);
  };
  note(shown.filter((each) => size(each) < smallest - 0.05), `text smaller than ${smallest} pixels`);

  const probe = document.body.appendChild(document.createElement("span"));
  const asked = ["base", "heading", "monospace"].map((kind) => {
    probe.style.fontFamily = `var(--pst-font-family-${kind})`;
    return getComputedStyle(probe).fontFamily;
  });
  probe.remove();
  note(shown.filter((each) => !asked.includes(getComputedStyle(each).fontFamily)), "text in a font that is not the page's");
  for (const face of document.fonts) if (face.status === "error") found.push(`font ${face.family} is missing`);
  note([...document.querySelectorAll("i[class*='fa-'], [data-icon='missing']")], "icons that are not drawn");

  const pictures = [...document.querySelectorAll("main img:not(.toggler), main .drawn svg")].filter((each) => each.checkVisibility());
  const words = (picture) => picture.alt ?? picture.getAttribute("aria-label") ?? "";
  const named = (picture) => words(picture).length >= fewest && !picture.src?.includes(words(picture)); // not by its file
  note(pictures.filter((each) => !named(each)), "pictures without words");
  note(pictures.filter((each) => each.naturalWidth === 0), "pictures that are not there");
  const count = (figure) => pictures.filter((each) => figure.contains(each)).length;
  note([...document.querySelectorAll("main .drawn")].filter((each) => count(each) !== 1), "figures not shown once");

  const page = document.documentElement;
  if (page.scrollWidth > page.clientWidth) found.push(`scrolls sideways, being ${page.scrollWidth} pixels wide`);
  /* Between which pixels what is in an element is shown: all, where one can scroll. */
  const known = new Map([[page, [0, page.clientWidth]]]);
  const room = (element) => {
    if (!known.has(element)) {
      const { overflowX } = getComputedStyle(element);
      const { left, right, width } = element.getBoundingClientRect();
      const [from, to] = room(element.parentElement);
      const hides = overflowX !== "visible" && width > 1;
      const within = hides ? [Math.max(left, from), Math.min(right, to)] : [from, to];
      known.set(element, ["auto", "scroll"].includes(overflowX) ? [-Infinity, Infinity] : within);
    }
    return known.get(element);
  };
  const cut = (element) => {
    const { left, right, width } = element.getBoundingClientRect();
    const [from, to] = room(element);
    return width > 1 && (left < from - 1 || right > to + 1); // what is narrower is for screen readers alone
  };
  note(shown.filter(cut), "text that is cut");
  return found;
}
