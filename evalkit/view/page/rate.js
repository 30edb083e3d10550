"use strict";
// Rating by keyboard or by button: what was shown and what is said of it goes to the server, which keeps it before the next is shown.
(function () {
  const place = location.pathname, csrf = document.querySelector("meta[name=csrf]").content;
  const rater = by("rater"), kind = by("kind"), work = by("work"), told = by("told"), begin = by("begin");
  const judge = new URLSearchParams(location.search).get("judge") || "";
  let now = null, before = [], busy = false;

  try { rater.value = rater.value || localStorage.getItem("evalkit-rater") || ""; } catch { /* a browser that keeps nothing */ }
  const say = (text, warn) => { told.textContent = text; told.className = warn ? "warn" : ""; };

  function show(what) {
    now = what;
    work.hidden = false;
    by("prompt").replaceChildren(...what.prompt.flatMap(([role, text]) => [put(null, "strong", {}, `${role}: `), `${text}\n`]));
    by("left").textContent = what.texts[0];
    if (by("right")) by("right").textContent = what.texts[1];
    for (const one of document.querySelectorAll(".side .text")) { one.scrollTop = 0; if (!one.textContent) put(one, "span", { class: "muted" }, "(empty)"); }
  }
  function far(state) {
    const keys = judge ? "A digit rates" : "←, → and ↓ rate";
    const linked = judge || state.wanted < 2 ? "" : state.joined < state.wanted
      ? ` ${state.joined} of ${state.wanted} settings hang together by comparisons; scores are told when all do.`
      : ` All ${state.wanted} settings hang together: scores are under Ratings.`;
    by("far").textContent = `You have rated ${state.count}.${linked} ${keys}; Backspace goes back to the one before.`;
    if (state.mended) say(state.mended, true);
  }
  async function ask(address, options) {
    try {
      const answer = await fetch(address, options);
      const said = await answer.json();
      if (said.fault && !said.again) throw new Error(said.fault);
      return said;
    } catch (fault) {
      say(fault instanceof TypeError || fault instanceof SyntaxError ? "The viewer does not answer: is evalkit view still running? What you rated is kept." : fault.message, true);
      return null;
    }
  }
  async function next() {
    const said = await ask(`${place}/next?${new URLSearchParams({ rater: rater.value.trim(), judge })}`);
    if (said === null) return;
    begin.textContent = "Go on";
    far(said);
    if (said.over) { work.hidden = true; now = null; say(`There is nothing more to rate: you have rated all ${said.count}.`); return; }
    show(said);
  }
  async function rate(what) {
    if (now === null || busy) return;
    busy = true;
    say("");
    const shown = now;
    const said = await ask(place, {
      method: "POST",
      headers: { "Content-Type": "application/json", "X-Evalkit-CSRF": csrf },
      body: JSON.stringify({ deal: shown.deal, rater: rater.value.trim(), ...what }),
    });
    if (said !== null) {
      if (said.again) say(said.fault, true); else before.push(shown);
      before = before.slice(-50);
      await next();
    }
    busy = false;
  }
  async function start() {
    if (!rater.value.trim()) { say("Give a name first, so that it is told who rated.", true); rater.focus(); return; }
    try { localStorage.setItem("evalkit-rater", rater.value.trim()); } catch { /* as above */ }
    say("");
    before = [];
    await next();
    if (now) document.activeElement.blur();
  }
  begin.addEventListener("click", start);
  rater.addEventListener("keydown", (event) => { if (event.key === "Enter") start(); });
  rater.addEventListener("change", () => { if (now) start(); });
  if (kind) kind.addEventListener("change", () => { location.search = kind.value ? `?judge=${encodeURIComponent(kind.value)}` : ""; });
  for (const one of document.querySelectorAll("[data-verdict]")) one.addEventListener("click", () => rate({ verdict: one.dataset.verdict }));
  for (const one of document.querySelectorAll("[data-score]")) one.addEventListener("click", () => rate({ score: Number(one.dataset.score) }));
  const verdicts = { ArrowLeft: "left", ArrowRight: "right", ArrowDown: "tie" };
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.repeat || now === null || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "Backspace" && before.length) { event.preventDefault(); show(before.pop()); say("The one before: rate it again, and this counts."); return; }
    if (judge && document.querySelector(`[data-score="${event.key}"]`)) { event.preventDefault(); rate({ score: Number(event.key) }); }
    if (!judge && verdicts[event.key]) { event.preventDefault(); rate({ verdict: verdicts[event.key] }); }
  });
  if (rater.value.trim()) start();
})();
