"use strict";
// Shows the pictures of DATA, see report/explorer.py. What is chosen stands in the address behind #, in words.

(() => {
  const { name, columns, height, width, levels } = DATA.picture;
  const networks = Object.keys(DATA.networks);
  const sheet = new Image();
  const source = new URL(name, document.currentScript.src);
  const [views, sparsity, descent] = ["views", "sparsity", "descent"].map((id) => document.getElementById(id));
  const SIDES = ["first", "second"];
  const ALL_LEVELS = 256;
  const FRAME = 300; // milliseconds that one is shown when all are played

  const shown = (value, digits) => (value ?? null) === null ? "n/a" : value.toFixed(digits);
  const share = (value) => (value ?? null) === null ? "n/a" : `${Math.round(100 * value)}\u00a0%`;
  const control = (name) => document.querySelector(`.explorer [name="${name}"]`);
  const chosen = (name) => (document.querySelector(`.explorer [name="${name}"]:checked`) ?? control(name)).value;

  const make = (tag, parent, more = {}) => parent.appendChild(Object.assign(document.createElement(tag), more));

  function tell(element, lines) {
    const text = lines.join("\n");
    if (element.textContent !== text) element.textContent = text; // what is as before is not announced
  }

  /** Draw the image at a place of the sheet; where there is none, nothing. */
  function paint(canvas, place, words, identified = false) {
    Object.assign(canvas, { width, height });
    canvas.classList.toggle("identified", identified);
    if (words) canvas.setAttribute("aria-label", words);
    if ((place ?? null) === null) return;
    const [x, y] = [(place % columns) * width, Math.floor(place / columns) * height];
    canvas.getContext("2d").drawImage(sheet, x, y, width, height, 0, 0, width, height);
  }

  /** Offer some texts in a select, in groups if these have names. */
  function offer(select, texts, groups = {}) {
    const places = {};
    for (const text of texts) {
      const group = groups[text];
      const place = group ? places[group] ??= make("optgroup", select, { label: group }) : select;
      make("option", place, { value: text, textContent: text });
    }
  }

  /** Make a slider over some texts, which it says. */
  function slide(range, texts, at) {
    Object.assign(range, { max: texts.length - 1, value: at, texts });
  }

  const said = (each) => each.texts ? each.texts[each.value] : each.value;

  // Two views

  function prepareViews() {
    for (const [at, side] of SIDES.entries()) {
      offer(control(side), networks);
      offer(control(`${side}-attack`), Object.keys(DATA.attacks), DATA.attacks);
      control(side).value = DATA.start[at] ?? networks[0];
      settle(side, DATA.networks[chosen(side)].strongest);
    }
    for (const [at, text] of DATA.classes.entries()) {
      const label = make("label", views.querySelector(".strip"));
      make("input", label, { type: "radio", name: "image", value: text, checked: at === 0 });
      make("span", label, { textContent: text });
      for (let row = 0; row < 3; row++) make("canvas", label).setAttribute("aria-hidden", "true");
    }
  }

  /** Let the attacks be chosen that were made on the network; where the chosen one was not, take the strongest. */
  function settle(side, wanted = control(`${side}-attack`).value) {
    const select = control(`${side}-attack`);
    const { attacks, strongest } = DATA.networks[chosen(side)];
    for (const option of select.options) option.disabled = !(option.value in attacks);
    select.value = [wanted, strongest].find((each) => each in attacks) ?? Object.keys(attacks).at(-1);
  }

  function showViews() {
    const at = DATA.classes.indexOf(chosen("image"));
    const figures = [...views.querySelectorAll("figure")];
    const labels = [...views.querySelectorAll(".strip label")];
    const [original] = figures;
    paint(original.firstChild, DATA.originals[at], `private image, ${DATA.classes[at]}`);
    tell(original.lastChild, ["Private image", DATA.classes[at]]);
    labels.forEach((label, number) => paint(label.querySelector("canvas"), DATA.originals[number]));
    for (const [number, side] of SIDES.entries()) {
      settle(side);
      const [network, attack] = [chosen(side), chosen(`${side}-attack`)];
      const cell = DATA.networks[network].attacks[attack];
      const { firstChild: canvas, lastChild: caption } = figures[number + 1];
      paint(canvas, cell.images[at], `${DATA.classes[at]} by ${attack} from ${network}`, cell.rank1[at] === 1);
      const known = { 0: "not identified", 1: "identified" }[cell.rank1[at]] ?? "identified: n/a";
      const values = [`skill ${shown(cell.skill[at], 2)}`, known, `confidence ${share(cell.confidence[at])}`];
      const { rank1, confidence } = cell.means;
      const all = ["All images:", `${share(rank1)} identified`, `confidence ${share(confidence)}`];
      tell(caption, [`${network}: ${attack}`, ...values, ...all]);
      labels.forEach((label, column) => {
        const own = label.querySelectorAll("canvas")[number + 1];
        paint(own, cell.images[column], "", cell.rank1[column] === 1);
      });
    }
  }

  // Sparsity

  function prepareSparsity() {
    const made = DATA.sweep.map(({ network }) => DATA.networks[network].attacks);
    const last = DATA.networks[DATA.sweep.at(-1).network];
    offer(control("zeros-attack"), Object.keys(DATA.attacks).filter((each) => made.every((one) => each in one)));
    if (made.every((one) => last.strongest in one)) control("zeros-attack").value = last.strongest;
    slide(control("zeros"), DATA.sweep.map(({ zeros }) => `${+zeros.toFixed(1)} %`), DATA.sweep.length - 1);
    for (const _ of DATA.classes) make("canvas", sparsity.querySelector(".strip"));
  }

  function showSparsity() {
    const { network } = DATA.sweep[chosen("zeros")];
    const attack = chosen("zeros-attack");
    const cell = DATA.networks[network].attacks[attack];
    sparsity.querySelectorAll("canvas").forEach((canvas, at) => {
      canvas.setAttribute("role", "img");
      const known = cell.rank1[at] === 1;
      paint(canvas, cell.images[at], `${DATA.classes[at]}, ${known ? "identified" : "not identified"}`, known);
    });
    const { rank1, skill, confidence } = cell.means;
    const count = cell.rank1.filter((each) => each === 1).length;
    tell(sparsity.querySelector("p"), [
      `${network}: test accuracy ${shown(100 * DATA.networks[network].accuracy, 1)}\u00a0%, ${count} of these identified.`,
      `All images: ${share(rank1)} identified, skill ${shown(skill, 2)}, confidence ${share(confidence)}.`,
    ]);
  }

  // Descents

  function prepareDescent() {
    const looks = Math.max(...DATA.courses.map(({ images }) => images.length));
    offer(control("descent-image"), DATA.classes);
    slide(control("steps"), [...Array(looks).keys()].map((look) => share(look / (looks - 1))), looks - 1);
    for (const _ of DATA.courses) {
      const figure = make("figure", descent.querySelector(".beside"));
      make("canvas", figure).setAttribute("role", "img");
      figure.insertAdjacentHTML("beforeend", '<svg viewBox="0 0 100 40" aria-hidden="true"></svg>');
      make("figcaption", figure);
    }
    descent.querySelector("button").addEventListener("click", play);
  }

  function showDescent() {
    const at = DATA.classes.indexOf(chosen("descent-image"));
    const [original, ...figures] = descent.querySelectorAll("figure");
    paint(original.firstChild, DATA.originals[at], `private image, ${DATA.classes[at]}`);
    tell(original.lastChild, ["Private image", DATA.classes[at]]);
    DATA.courses.forEach((course, number) => {
      const last = course.images.length - 1;
      const look = Math.round(last * chosen("steps") / control("steps").max);
      const { firstChild: canvas, children: [, chart], lastChild: caption } = figures[number];
      const lines = [course.objective, course.distance].map((values) => values.map((each) => each[at]));
      paint(canvas, course.images[look][at], `${DATA.classes[at]} by ${course.attack} from ${course.network}`);
      const [objective, distance] = lines.map((values) => values[look]);
      const steps = `step ${Math.round(course.steps * look / last)} of ${course.steps}`;
      const values = [`objective ${objective.toPrecision(3)}`, `distance ${shown(distance, 2)}`];
      tell(caption, [`${course.network}: ${course.attack}`, steps, ...values]);
      chart.innerHTML = lines.map((values, line) => curve(values, look, line ? "4 3" : "none")).join("");
    });
  }

  /** A line over the looks, as shares of its largest value, and a point at one of them. */
  function curve(values, look, dashes) {
    const most = Math.max(...values);
    const points = values.map((each, at) => [2 + 96 * at / (values.length - 1), 38 - 36 * each / most]);
    const [x, y] = points[look];
    const line = `<polyline points="${points.join(" ")}" stroke-dasharray="${dashes}"/>`;
    return `${line}<circle cx="${x}" cy="${y}" r="2" fill="currentColor"/>`;
  }

  let timer = null;
  function play() {
    const [button, range] = [descent.querySelector("button"), control("steps")];
    const stop = timer !== null;
    clearInterval(timer);
    timer = stop ? null : setInterval(() => {
      range.valueAsNumber += 1;
      if (range.value === range.max) play();
      show();
    }, FRAME);
    if (!stop && range.value === range.max) range.value = 0;
    button.textContent = stop ? "Play" : "Stop";
    descent.querySelector(".beside").setAttribute("aria-busy", String(!stop)); // not each image of a film is announced
    show();
  }

  /** Say that pictures are not quite as published, if so. */
  function sayLevels() {
    if (levels === ALL_LEVELS) return;
    const words = `To keep this page small, its pictures have ${levels} levels of brightness instead of ${ALL_LEVELS}.`;
    make("p", views, { textContent: words });
  }

  // All of them

  const parts = [[views, DATA.networks, prepareViews, showViews], [sparsity, DATA.sweep, prepareSparsity, showSparsity]];
  parts.push([descent, DATA.courses, prepareDescent, showDescent]);
  const there = parts.filter(([place, data]) => place && Object.keys(data).length);
  const controls = () => [...document.querySelectorAll(".explorer :is(select, input)")];

  function show() {
    for (const range of controls().filter((each) => each.texts)) {
      range.setAttribute("aria-valuetext", said(range));
      range.parentElement.querySelector("output").textContent = said(range);
    }
    for (const [, , , draw] of there) draw();
  }

  /** Choose what the address says, as far as there is such a thing. */
  function read() {
    const wanted = new URLSearchParams(location.hash.slice(1));
    for (const each of controls().filter(({ name }) => wanted.has(name))) {
      const text = wanted.get(each.name);
      if (each.type === "radio") each.checked ||= each.value === text;
      else if (each.texts?.includes(text)) each.value = each.texts.indexOf(text);
      else if (each.texts) continue;
      else if ([...each.options].some(({ value, disabled }) => value === text && !disabled)) each.value = text;
      if (SIDES.includes(each.name)) settle(each.name);
    }
    show();
  }

  function write() {
    const chosen = controls().filter((each) => each.type !== "radio" || each.checked);
    const words = new URLSearchParams(chosen.map((each) => [each.name, said(each)]));
    history.replaceState(null, "", `#${words}`);
  }

  sheet.addEventListener("load", () => {
    for (const [place, , prepare] of there) {
      prepare();
      place.hidden = false;
      place.addEventListener("input", show);
      place.addEventListener("change", write);
    }
    sayLevels();
    addEventListener("hashchange", read);
    read();
  });
  sheet.src = source;
})();
