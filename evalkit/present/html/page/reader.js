"use strict";
// The answers to one prompt in up to three settings beside each other; each setting is reached by sliding its parameters.
(function () {
  const place = by("reader");
  if (!place) return;
  const choose = by("prompt-choice");
  data.prompts.forEach((prompt, at) => put(choose, "option", { value: at }, prompt.id));
  choose.addEventListener("change", () => change({ prompt: Number(choose.value) }));
  by("find").addEventListener("input", (event) => change({ find: event.target.value }));
  by("add-column").addEventListener("click", () => { const now = beside(); if (now.length < 3) change({ beside: [...now, now[now.length - 1]] }); });

  const chosen = data.cells.findIndex((cell) => cell.flags.includes("chosen"));
  const reference = data.cells.findIndex((cell) => cell.flags.includes("reference"));
  const first = data.cells.length > 1 ? [...new Set([chosen < 0 ? data.cells.length - 1 : chosen, reference < 0 ? 0 : reference])] : [0];
  const usual = first.length < 2 && data.cells.length > 1 ? [first[0], first[0] === 0 ? data.cells.length - 1 : 0] : first;
  const beside = () => state.beside && state.beside.length ? state.beside : usual;
  const shownPrompts = data.prompts.map((_, at) => at).filter((at) => data.cells.some((_, cell) => (data.answers[cell] || {})[at]));
  const prompt = () => state.prompt !== null ? state.prompt : shownPrompts.length ? shownPrompts[0] : 0;

  // The setting that has most of the wanted levels, that of the parameter just moved before all others.
  function nearest(levels, moved) {
    let best = 0, most = -Infinity;
    data.cells.forEach((cell, at) => {
      let score = 0;
      cell.levels.forEach((level, parameter) => {
        if (level === levels[parameter]) score += parameter === moved ? 1000 : 10;
        else if (level < 0) score += 9;
        else score -= Math.abs(level - levels[parameter]) / 100;
      });
      if (score > most) { most = score; best = at; }
    });
    return best;
  }

  function marked(parent, text, spans, find) {
    const edges = [];
    for (const [begin, end, kind] of spans || []) edges.push([begin, end, kind]);
    const wanted = find.toLowerCase();
    const low = text.toLowerCase();
    if (wanted && low.length === text.length) {
      for (let at = low.indexOf(wanted), n = 0; at >= 0 && n < 500; at = low.indexOf(wanted, at + wanted.length), n += 1) edges.push([at, at + wanted.length, "hit"]);
    }
    const cuts = [...new Set([0, text.length, ...edges.flatMap(([begin, end]) => [begin, end])])].sort((a, b) => a - b);
    for (let at = 0; at + 1 < cuts.length; at += 1) {
      const kinds = edges.filter(([begin, end]) => begin <= cuts[at] && end >= cuts[at + 1]).map((edge) => edge[2]);
      const part = text.slice(cuts[at], cuts[at + 1]);
      if (kinds.length) put(parent, "mark", { class: [...new Set(kinds)].join(" ") }, part);
      else parent.append(part);
    }
  }

  function column(cell, at, count) {
    const box = put(place, "section", { class: "column", "aria-label": `Setting ${at + 1}: ${data.cells[cell].label}` });
    const head = put(box, "h3", {}, data.cells[cell].label);
    for (const flag of data.cells[cell].flags) if (flag === "chosen" || flag === "reference" || (flag === "tied" && !data.cells[cell].flags.includes("chosen"))) put(head, "span", { class: `tag ${flag}` }, flag === "chosen" ? "recommended" : flag);
    data.parameters.forEach((parameter, number) => {
      const row = put(box, "label", { class: "slider" });
      put(row, "span", {}, parameter.name);
      const level = data.cells[cell].levels[number];
      const slider = put(row, "input", { type: "range", min: 0, max: parameter.levels.length - 1, step: 1, "aria-valuetext": levelOf(cell, number), "data-parameter": number });
      slider.value = Math.max(0, level);
      put(row, "output", {}, levelOf(cell, number));
      slider.addEventListener("input", () => {
        const levels = data.cells[cell].levels.map((one, other) => other === number ? Number(slider.value) : Math.max(0, one));
        const next = [...beside()];
        next[at] = nearest(levels, number);
        change({ beside: next });
        const again = place.children[at] && place.children[at].querySelector(`[data-parameter="${number}"]`);
        if (again) again.focus();
      });
    });
    if (count > 1) put(box, "button", { type: "button", on: { click: () => change({ beside: beside().filter((_, other) => other !== at) }) } }, "Take away");
    const answers = (data.answers[cell] || {})[prompt()] || [];
    if (!answers.length) put(box, "p", { class: "muted" }, "No answer to this prompt is in this page.");
    for (const answer of answers) show(box, answer);
  }

  function show(box, answer) {
    const card = put(box, "article", { class: answer.failed ? "answer failed" : "answer", "aria-label": `answer ${answer.r + 1}` });
    const head = put(card, "div", { class: "head" });
    put(head, "span", {}, `#${answer.r + 1}`);
    if (answer.failed) put(head, "span", { class: "warn" }, `failed: ${answer.failed}`);
    if (answer.tokens !== undefined) put(head, "span", {}, `${answer.tokens} tokens`);
    if (answer.finish) put(head, "span", { class: answer.cut ? "warn" : "" }, answer.cut ? "cut off by max_tokens" : `ended by ${answer.finish}`);
    if (answer.like) put(head, "span", { class: "warn" }, answer.like[1] === 1 ? `the same as #${answer.like[0] + 1}` : `near-duplicate of #${answer.like[0] + 1} (${answer.like[1]})`);
    if ((answer.spans || []).some((span) => span[2] === "loop")) put(head, "span", { class: "warn" }, "ends in a loop");
    const text = put(card, "p", { class: "text", dir: "auto", tabindex: 0, role: "group", "aria-label": `text of answer ${answer.r + 1}` });
    if (answer.text) marked(text, answer.text, answer.spans, state.find);
    else if (!answer.failed) put(text, "span", { class: "muted" }, "(empty)");
    if (answer.more) put(card, "p", { class: "muted" }, `… ${answer.more.toLocaleString("en")} more characters in responses.jsonl`);
    if (answer.reasoning) {
      const more = put(card, "details");
      put(more, "summary", {}, "reasoning");
      put(more, "p", { class: "text", dir: "auto" }, answer.reasoning);
    }
  }

  let searched = null;
  function search() {
    const found = by("find-said"), list = by("find-hits");
    if (searched === state.find) return;
    searched = state.find;
    list.replaceChildren();
    found.textContent = "";
    const wanted = state.find.toLowerCase();
    if (!wanted) return;
    let count = 0;
    for (const [cell, prompts] of Object.entries(data.answers)) {
      for (const [at, answers] of Object.entries(prompts)) {
        const hits = answers.filter((answer) => answer.text.toLowerCase().includes(wanted)).length;
        if (hits && list.children.length < 12) {
          const item = put(list, "li");
          put(item, "button", { type: "button", on: { click: () => change({ prompt: Number(at), beside: [Number(cell), ...beside().filter((one) => one !== Number(cell))].slice(0, 2) }) } }, `${data.prompts[at].id}, ${data.cells[cell].label}: ${hits}`);
        }
        count += hits;
      }
    }
    found.textContent = `${count.toLocaleString("en")} answers hold it${count && list.children.length === 12 ? "; the first settings with some:" : "."}`;
  }

  onState(function showAll() {
    choose.value = prompt();
    by("prompt-text").replaceChildren(...data.prompts[prompt()].messages.flatMap(([role, text]) => [put(null, "strong", {}, `${role}: `), `${text}\n`]));
    if (by("find").value !== state.find) by("find").value = state.find;
    place.replaceChildren();
    const now = beside();
    now.forEach((cell, at) => column(cell, at, now.length));
    by("add-column").disabled = now.length >= 3;
    search();
  });
})();
