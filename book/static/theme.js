// Gives what the theme leaves without them names and the roles that are in use, for screen readers.
document.addEventListener("DOMContentLoaded", () => {
  document.getElementById("pst-primary-sidebar")?.setAttribute("role", "complementary");
  for (const summary of document.querySelectorAll(".bd-sidenav summary")) {
    summary.setAttribute("aria-label", summary.closest("li").querySelector("a").textContent);
  }
  for (const entry of document.querySelectorAll(".citation")) entry.setAttribute("role", "listitem"); // of a list
});
