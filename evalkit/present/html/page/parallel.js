"use strict";
// A line a setting over parallel axes; dragging along an axis, or the arrow keys on it, keeps a part of it.
(function () {
  const place = by("parallel");
  if (!place || !data.parameters.length || !data.metrics.length) return;
  const WIDTH = 1000, HEIGHT = 340, TOP = 46, BOTTOM = 26, SIDE = 60;
  const picked = new Set(data.usual.slice(0, 5));
  const chooser = by("parallel-metrics");
  for (const metric of data.metrics) {
    const label = put(chooser, "label");
    const box = put(label, "input", { type: "checkbox", value: metric.name });
    box.checked = picked.has(metric.name);
    label.append(` ${metric.head}`);
    box.addEventListener("change", () => { box.checked ? picked.add(metric.name) : picked.delete(metric.name); draw(); });
  }
  by("parallel-clear").addEventListener("click", () => change({ brush: {} }));
  const drawing = put(place, "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "group", "aria-label": "Parallel coordinates: a line a setting. Each axis can be narrowed with the arrow keys." });
  let lines = [];
  let axes = [];

  function axisOf(key, name, better, levels) {
    const values = data.cells.map((_, cell) => axisValue(key, cell)).filter((value) => value !== null && value >= (levels ? 0 : -Infinity));
    let low = levels ? 0 : Math.min(...values), high = levels ? levels.length - 1 : Math.max(...values);
    if (!(high > low)) { high = low + (Math.abs(low) || 1); if (!Number.isFinite(low)) { low = 0; high = 1; } }
    return { key, name, better, levels, low, high, y: (value) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (value - low) / (high - low)) };
  }
  const shown = (axis, value) => axis.levels ? axis.levels[Math.round(value)] : figure(value, axis.name);

  function draw() {
    drawing.replaceChildren();
    axes = data.parameters.map((one) => axisOf(`p:${one.name}`, one.name, null, one.levels));
    for (const metric of data.metrics) if (picked.has(metric.name)) axes.push(axisOf(`m:${metric.name}`, metric.name, metric.better, null));
    axes.forEach((axis, at) => { axis.x = SIDE + (axes.length > 1 ? at * (WIDTH - 2 * SIDE) / (axes.length - 1) : 0); });
    const group = put(drawing, "g");
    const order = data.cells.map((_, cell) => cell).sort((a, b) => rank(a) - rank(b));
    lines = order.map((cell) => {
      let path = "", pen = "M";
      for (const axis of axes) {
        const value = axisValue(axis.key, cell);
        if (value === null || (axis.levels && value < 0)) { pen = "M"; continue; }
        path += `${pen}${axis.x.toFixed(1)},${axis.y(value).toFixed(1)}`;
        pen = "L";
      }
      const line = put(group, "path", { d: path || "M0,0", "data-cell": cell, on: { click: () => change({ cell }) } });
      put(line, "title", {}, data.cells[cell].label);
      return { cell, line };
    });
    for (const axis of axes) drawAxis(axis);
    show();
  }
  const rank = (cell) => { const flags = data.cells[cell].flags; return flags.includes("chosen") ? 3 : flags.includes("tied") ? 2 : flags.includes("satisfies") ? 1 : 0; };

  function drawAxis(axis) {
    const group = put(drawing, "g", {
      class: "axis", tabindex: 0, role: "slider", "aria-orientation": "vertical", "aria-label": `${axis.name}, part that is kept`,
      "aria-valuemin": axis.low, "aria-valuemax": axis.high, on: { keydown: (event) => keyed(axis, event) },
    });
    axis.group = group;
    put(group, "line", { x1: axis.x, x2: axis.x, y1: TOP, y2: HEIGHT - BOTTOM });
    const head = headOf(axis.name), apart = head.includes(" ") ? " " : "_";
    const words = head.length > 13 ? head.split(apart === " " ? / (?=answers)/ : /_(?=[^_]*$)/) : [head];
    const arrow = axis.better === "higher" ? " ↑" : axis.better === "lower" ? " ↓" : "";
    words.forEach((word, at) => put(group, "text", { class: "name", x: axis.x, y: 16 + 13 * at, "text-anchor": "middle" }, word + (at === words.length - 1 ? arrow : at < words.length - 1 ? apart : "")));
    const ticks = axis.levels ? axis.levels.map((_, at) => at) : [axis.low, (axis.low + axis.high) / 2, axis.high];
    const every = Math.ceil(ticks.length / 10);
    ticks.forEach((tick, at) => {
      if (at % every) return;
      put(group, "line", { x1: axis.x - 3, x2: axis.x + 3, y1: axis.y(tick), y2: axis.y(tick) });
      put(group, "text", { x: axis.x + 6, y: axis.y(tick) + 4 }, shown(axis, tick));
    });
    axis.brush = put(group, "rect", { class: "brush", x: axis.x - 9, width: 18, y: TOP, height: 0 });
    const grip = put(group, "rect", { class: "grip", x: axis.x - 14, width: 28, y: TOP - 6, height: HEIGHT - TOP - BOTTOM + 12 });
    grip.addEventListener("pointerdown", (event) => {
      grip.setPointerCapture(event.pointerId);
      const start = valueAt(axis, event);
      let moved = false;
      const move = (to) => { moved = true; brushTo(axis, start, valueAt(axis, to)); };
      grip.addEventListener("pointermove", move);
      grip.addEventListener("pointerup", () => {
        grip.removeEventListener("pointermove", move);
        if (!moved) brushTo(axis, null);
      }, { once: true });
    });
  }
  function valueAt(axis, event) {
    const box = drawing.getBoundingClientRect();
    const scale = Math.min(box.width / WIDTH, box.height / HEIGHT);
    const y = (event.clientY - box.top - (box.height - HEIGHT * scale) / 2) / scale;
    const share = 1 - (y - TOP) / (HEIGHT - TOP - BOTTOM);
    return axis.low + Math.max(0, Math.min(1, share)) * (axis.high - axis.low);
  }
  function brushTo(axis, one, other) {
    const brush = { ...state.brush };
    if (one === null) delete brush[axis.key];
    else {
      const pad = axis.levels ? 0.4 : 0;
      brush[axis.key] = [Math.min(one, other) - pad, Math.max(one, other) + pad].map((value) => Number(value.toPrecision(5)));
    }
    change({ brush });
    const left = data.cells.filter((_, cell) => kept(cell)).length;
    says(`${axis.name}: ${one === null ? "all" : "narrowed"}; ${left} of ${data.cells.length} settings left`);
  }
  function keyed(axis, event) {
    const step = axis.levels ? 1 : (axis.high - axis.low) / 20;
    let [low, high] = state.brush[axis.key] || [axis.low, axis.high];
    if (axis.levels) { low = Math.ceil(low); high = Math.floor(high); }
    const up = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1 }[event.key];
    if (event.key === "Escape") brushTo(axis, null);
    else if (up) {
      if (event.shiftKey) high = Math.min(axis.high, Math.max(low, high + up * step));
      else low = Math.max(axis.low, Math.min(high, low + up * step));
      brushTo(axis, low, high);
    } else return;
    event.preventDefault();
  }

  function show() {
    for (const { cell, line } of lines) {
      const flags = data.cells[cell].flags;
      const classes = ["line", flags.includes("chosen") ? "chosen" : flags.includes("tied") ? "tied" : "", data.chooses && !flags.includes("satisfies") ? "misses" : ""];
      line.setAttribute("class", [...classes, kept(cell) ? "" : "out", cell === state.cell ? "here" : ""].filter(Boolean).join(" "));
    }
    for (const axis of axes) {
      const [low, high] = state.brush[axis.key] || [null, null];
      const top = low === null ? 0 : axis.y(Math.min(high, axis.high)), end = low === null ? 0 : axis.y(Math.max(low, axis.low));
      axis.brush.setAttribute("y", top);
      axis.brush.setAttribute("height", low === null ? 0 : Math.max(4, end - top));
      axis.group.setAttribute("aria-valuenow", low === null ? axis.low : Math.max(low, axis.low));
      axis.group.setAttribute("aria-valuetext", low === null ? "all" : `from ${shown(axis, Math.max(low, axis.low))} to ${shown(axis, Math.min(high, axis.high))}`);
    }
  }
  onState(show);
  draw();
})();
