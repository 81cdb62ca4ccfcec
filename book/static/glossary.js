// Shows what a term means where its link is pointed at or has the focus; Escape closes it.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll("a[href*='glossary.html#term-'][title]").forEach((link, number) => {
    const tip = document.createElement("span");
    tip.id = `term-tip-${number}`;
    tip.className = "term-tip";
    tip.role = "tooltip";
    tip.hidden = true;
    tip.textContent = link.title;
    link.removeAttribute("title");
    link.setAttribute("aria-describedby", tip.id);
    link.classList.add("term");
    const place = document.createElement("span");
    place.className = "term-place";
    link.replaceWith(place);
    place.append(link, tip);
    const show = () => {
      tip.hidden = false;
      tip.style.left = "0";
      const beyond = tip.getBoundingClientRect().right + 8 - document.documentElement.clientWidth;
      tip.style.left = `${-Math.max(0, beyond)}px`;
    };
    const hide = () => (tip.hidden = true);
    place.addEventListener("mouseenter", show);
    place.addEventListener("mouseleave", hide);
    link.addEventListener("focus", show);
    link.addEventListener("blur", hide);
    link.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  });
});
