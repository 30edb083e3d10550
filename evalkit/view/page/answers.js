"use strict";
// Choosing a prompt or a setting shows it at once; empty fields are left out of the address.
(function () {
  const form = by("ask");
  function go() {
    const asked = new URLSearchParams();
    for (const [name, value] of new FormData(form)) if (value !== "") asked.append(name, value);
    location.search = String(asked);
  }
  for (const one of form.querySelectorAll("select")) one.addEventListener("change", go);
  form.addEventListener("submit", (event) => { event.preventDefault(); go(); });
  // n and p go through the prompts.
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    const prompt = form.elements.prompt, step = event.key === "n" ? 1 : event.key === "p" ? -1 : 0;
    if (!step || prompt.selectedIndex + step < 0 || prompt.selectedIndex + step >= prompt.length) return;
    prompt.selectedIndex += step;
    go();
  });
})();
