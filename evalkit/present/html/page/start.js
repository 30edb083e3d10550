"use strict";
// Last: show what the address asks for, and follow it.
(function () {
  function open() {
    readState();
    for (const run of listeners) run();
    if (state.cell !== null) {
      const row = document.querySelector(`tr[data-cell="${state.cell}"]`);
      if (row) row.scrollIntoView({ block: "center" });
    }
  }
  for (const button of document.querySelectorAll("button.copy")) {
    button.hidden = false;
    button.addEventListener("click", () => {
      const code = by(button.dataset.of);
      const done = () => says("Copied.");
      const by_hand = () => { getSelection().selectAllChildren(code); says("Selected: copy it with your keyboard."); };
      if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(done, by_hand); else by_hand();
    });
  }
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
  window.addEventListener("hashchange", open);
  open();
})();
