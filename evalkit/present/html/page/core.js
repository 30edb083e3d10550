// What all parts of the page share: the data and the state that its address holds.
const data = JSON.parse(document.getElementById("data").textContent);
// An answer is packed as [number of its text, number of how it ended, tokens, what more there is of it].
for (const prompts of Object.values(data.answers)) for (const [prompt, rows] of Object.entries(prompts)) {
  prompts[prompt] = rows.map(([text, finish, tokens, more], at) => ({
    r: at, text: text === null ? "" : data.texts[text], finish: finish === null ? undefined : data.texts[finish], tokens: tokens === null ? undefined : tokens,
    spans: text === null ? undefined : data.spans[text], ...more,
  }));
}
function figure(value, metric) {
  if (value === null || value === undefined) return "–";
  const size = Math.abs(value);
  if (metricOf(metric)?.money) return value.toFixed(metricOf(metric).digits);
  if (size > 1e-12 && size < 0.0005) return value.toExponential(1);
  const digits = metricOf(metric)?.digits;
  if (digits < 3) return value.toFixed(digits);
  return size >= 1000 ? value.toFixed(0) : size >= 10 ? value.toFixed(1) : size >= 1 ? value.toFixed(2) : value.toFixed(3);
}

const metricNames = data.metrics.map((one) => one.name);
const metricOf = (name) => data.metrics[metricNames.indexOf(name)];
const headOf = (name) => metricOf(name)?.head ?? name;
const levelOf = (cell, parameter) => {
  const at = data.cells[cell].levels[parameter];
  return at < 0 ? "not applicable" : data.parameters[parameter].levels[at];
};

// The state lives in the address, so that a link opens the same view.
const state = { cell: null, sort: null, columns: null, brush: {}, heat: null, prompt: null, beside: null, find: "", rows: "" };
const listeners = [];
const onState = (run) => listeners.push(run);

function readState() {
  const said = new URLSearchParams(location.hash.slice(1));
  const number = (text, below) => { const n = Number(text); return text !== null && text !== "" && Number.isInteger(n) && n >= 0 && n < below ? n : null; };
  state.cell = number(said.get("cell"), data.cells.length);
  state.sort = said.get("sort");
  state.columns = said.get("columns") ? said.get("columns").split(",").filter((name) => metricNames.includes(name)) : null;
  state.heat = said.get("heat") ? said.get("heat").split("|") : null;
  state.prompt = number(said.get("prompt"), data.prompts.length);
  state.beside = said.get("beside") ? said.get("beside").split(",").map((one) => number(one, data.cells.length)).filter((one) => one !== null).slice(0, 3) : null;
  state.find = said.get("find") || "";
  state.rows = said.get("rows") || "";
  state.brush = {};
  for (const one of (said.get("brush") || "").split(";").filter(Boolean)) {
    const [axis, low, high] = one.split("~");
    if (Number.isFinite(Number(low)) && Number.isFinite(Number(high))) state.brush[axis] = [Number(low), Number(high)];
  }
}

function writeState() {
  const said = new URLSearchParams();
  if (state.cell !== null) said.set("cell", state.cell);
  if (state.sort) said.set("sort", state.sort);
  if (state.columns) said.set("columns", state.columns.join(","));
  if (state.heat) said.set("heat", state.heat.join("|"));
  if (state.prompt !== null) said.set("prompt", state.prompt);
  if (state.beside) said.set("beside", state.beside.join(","));
  if (state.find) said.set("find", state.find);
  if (state.rows) said.set("rows", state.rows);
  const brushed = Object.entries(state.brush).map(([axis, [low, high]]) => `${axis}~${low}~${high}`);
  if (brushed.length) said.set("brush", brushed.join(";"));
  history.replaceState(null, "", said.size === 0 ? location.pathname + location.search : `#${said}`);
}

function change(what) {
  Object.assign(state, what);
  writeState();
  for (const run of listeners) run();
}

const says = (text) => { by("said").textContent = text; };

// Which cells the brushes and the filter leave; the table and the lines follow it.
const axisValue = (axis, cell) => {
  const parameter = data.parameters.findIndex((one) => `p:${one.name}` === axis);
  if (parameter >= 0) return data.cells[cell].levels[parameter];
  const metric = metricOf(axis.slice(2));
  return metric ? metric.mean[cell] : null;
};
function kept(cell) {
  for (const [axis, [low, high]] of Object.entries(state.brush)) {
    const value = axisValue(axis, cell);
    if (value === null || value < low - 1e-12 || value > high + 1e-12) return false;
  }
  return state.rows.toLowerCase().split(/[\s,]+/).filter(Boolean).every((word) => {
    const words = `${data.cells[cell].label} ${data.cells[cell].flags.join(" ")}`.toLowerCase();
    return word.includes("=") ? words.split(/[\s,]+/).includes(word) : words.includes(word);
  });
}
