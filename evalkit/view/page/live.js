"use strict";
// A run under way: the server says each second where it stands, and the page is drawn anew where something changed.
(function () {
  const number = (value) => value.toLocaleString("en");
  const told = by("told");
  let shown = new Map();

  function figure(id, text, small) {
    by(id).replaceChildren(text, ...(small ? [put(null, "small", {}, small)] : []));
  }
  const said = (value, share) => share ? `${(100 * value).toFixed(value < 0.1 ? 1 : 0)} %` : Math.abs(value) >= 100 ? value.toFixed(0) : value.toFixed(Math.abs(value) >= 10 ? 1 : 2);

  function levels(one) {
    const box = put(null, "figure", {});
    put(box, "h3", {}, `${one.metric} by ${one.parameter}`);
    if (!one.levels.length) { put(box, "p", { class: "muted" }, "No answer yet."); return box; }
    const ends = one.levels.flatMap(([, mean, low, high]) => [mean, low ?? mean, high ?? mean]);
    const low = Math.min(...ends), high = Math.max(...ends), span = high - low || Math.abs(high) || 1, row = 26;
    const x = (value) => 120 + 250 * (value - low) / span;
    const words = one.levels.map(([level, mean]) => `${said(mean, one.share)} at ${level}`).join(", ");
    const svg = put(box, "svg", { class: "levels", viewBox: `0 0 480 ${row * one.levels.length + 6}`, role: "img", "aria-label": `${one.metric}: ${words}` });
    one.levels.forEach(([level, mean, from, to, answers], at) => {
      const y = row * at + row / 2 + 2;
      put(svg, "text", { x: 108, y: y + 4, "text-anchor": "end" }, level.length > 16 ? `${level.slice(0, 15)}…` : level);
      put(svg, "line", { class: "grid", x1: 118, x2: 372, y1: y, y2: y });
      if (from !== null) put(svg, "line", { class: "reach", x1: x(from), x2: x(to), y1: y, y2: y });
      put(svg, "circle", { cx: x(mean), cy: y, r: 4.5 });
      put(svg, "text", { x: 384, y: y + 4 }, said(mean, one.share));
      put(svg, "text", { x: 478, y: y + 4, class: "soft", "text-anchor": "end" }, number(answers));
    });
    return box;
  }
  function answer(one) {
    const card = put(null, "article", { class: "answer", "aria-label": `answer to ${one.prompt}` });
    const head = put(card, "div", { class: "head" });
    put(head, "span", { class: "nth" }, one.prompt);
    put(head, "span", {}, one.setting);
    put(card, "p", { class: "text", dir: "auto", tabindex: 0, role: "group", "aria-label": "its text" }, one.text || "(empty)");
    return card;
  }
  function draw(state) {
    const failed = state.failed.reduce((sum, [, count]) => sum + count, 0);
    by("bar").max = state.planned || 1;
    by("bar").value = state.done;
    figure("done", number(state.done), `of ${state.most ? "at most " : ""}${number(state.planned)}`);
    figure("rate", `${state.rate} / s`, state.left ? `${state.left} left` : "");
    figure("failed", number(failed), state.failed.map(([kind, count]) => `${number(count)} ${kind}`).join(", "));
    figure("cost", state.cost.length ? state.cost[0] : "unknown", state.cost.length > 1 ? `${state.cost[1]} to come` : `${state.tokens} tokens`);
    by("metrics").replaceChildren(...(state.metrics.length ? state.metrics.map(levels) : [put(null, "p", { class: "muted" }, "No parameter has two levels.")]));
    by("race").hidden = !state.race.length;
    by("race-said").textContent = state.race.join(" ");
    if (state.who) {
      by("in").replaceChildren(...state.who.in.map((name) => put(null, "li", {}, name)));
      by("gone").replaceChildren(...(state.who.gone.length ? state.who.gone.map(([name, why, prompts]) => put(null, "li", {}, `${name}: ${why}, on ${prompts} prompts`)) : [put(null, "li", { class: "muted" }, "nobody yet")]));
      if (state.who.more) put(by("gone"), "li", { class: "muted" }, `and ${number(state.who.more)} more`);
    }
    const next = new Map();
    for (const one of state.latest) next.set(one.key, shown.get(one.key) || answer(one));
    by("latest").replaceChildren(...next.values());
    shown = next;
    document.title = document.title.replace(/^(\d+ % · )?/, state.running ? `${Math.floor(100 * state.done / (state.planned || 1))} % · ` : "");
  }
  const here = location.pathname.replace(/\/live$/, "");
  const events = new EventSource(`${here}/events`);
  function end(text, link) {
    events.close();
    told.replaceChildren(text, ...(link ? [" ", put(null, "a", { href: here, id: "over" }, "What the run came to")] : []));
  }
  events.addEventListener("message", (event) => { if (told.className === "warn") { told.className = ""; told.replaceChildren(); } draw(JSON.parse(event.data)); });
  events.addEventListener("over", () => end("The sweep has ended.", true));
  events.addEventListener("gone", (event) => end(JSON.parse(event.data)));
  events.addEventListener("error", () => { told.className = "warn"; told.textContent = "The viewer does not answer; it is asked again."; });
})();
