"use strict";
// Any metric over any two parameters: means over prompts, computed beforehand.
(function () {
  const place = by("heat");
  if (!place || data.parameters.length < 2) return;
  const [metric, x, y] = ["heat-metric", "heat-x", "heat-y"].map(by);
  for (const one of Object.keys(data.maps)) put(metric, "option", { value: one }, headOf(one));
  for (const select of [x, y]) data.parameters.forEach((one, at) => put(select, "option", { value: at }, one.name));
  const usual = [data.usual.find((name) => data.maps[name]) || Object.keys(data.maps)[0], "0", "1"];
  for (const select of [metric, x, y]) {
    select.addEventListener("change", () => {
      if (x.value === y.value) (select === x ? y : x).value = x.value === "0" ? "1" : "0";
      change({ heat: [metric.value, x.value, y.value] });
    });
  }
  // Cividis, which people read alike whatever their colour vision (Nunez, Anderton & Renslow 2018), in seven steps.
  const SCALE = ["#00224e", "#2b3c6d", "#565c6c", "#7c7b78", "#a59c74", "#d2c060", "#fee838"].map((hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  function colour(share) {
    const at = Math.min(SCALE.length - 2, Math.floor(share * (SCALE.length - 1)));
    const rest = share * (SCALE.length - 1) - at;
    return SCALE[at].map((value, part) => Math.round(value + rest * (SCALE[at + 1][part] - value)));
  }
  function tilesOf(name, one, other) {
    const found = data.maps[name];
    if (!found) return null;
    if (found[`${one}|${other}`]) return found[`${one}|${other}`];
    const turned = found[`${other}|${one}`];
    return turned && turned[0].map((_, at) => turned.map((row) => row[at]));
  }
  onState(function show() {
    const said = state.heat && data.maps[state.heat[0]] && state.heat[1] !== state.heat[2] && data.parameters[state.heat[1]] && data.parameters[state.heat[2]] ? state.heat : usual;
    [metric.value, x.value, y.value] = said;
    const tiles = tilesOf(...said);
    place.replaceChildren();
    if (!tiles) return;
    const across = data.parameters[said[1]], up = data.parameters[said[2]];
    const LEFT = 150, TILE = Math.max(46, Math.min(110, 760 / across.levels.length)), HIGH = 46, TOP = 26, BOTTOM = 58;
    const width = LEFT + TILE * across.levels.length + 20, height = HIGH * up.levels.length + BOTTOM + TOP;
    const drawing = put(place, "svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${headOf(said[0])} over ${across.name} and ${up.name}` });
    const values = tiles.flat().map((tile) => tile[0]).filter((value) => value !== null);
    const low = Math.min(...values), high = Math.max(...values);
    tiles.forEach((row, j) => {
      const top = TOP + HIGH * (up.levels.length - 1 - j);
      put(drawing, "text", { x: LEFT - 8, y: top + HIGH / 2 + 4, "text-anchor": "end" }, up.levels[j]);
      row.forEach(([mean, reach], i) => {
        const left = LEFT + TILE * i;
        const tile = put(drawing, "rect", { class: "tile", x: left + 1, y: top + 1, width: TILE - 2, height: HIGH - 2, rx: 3 });
        const rgb = mean === null ? null : colour(high > low ? (mean - low) / (high - low) : 0.5);
        tile.style.fill = rgb ? `rgb(${rgb.join(",")})` : "none";
        tile.style.stroke = rgb ? "none" : "var(--line)";
        put(tile, "title", {}, `${across.name}=${across.levels[i]}, ${up.name}=${up.levels[j]}: ${mean === null ? "not applicable, without answers, or left out of what is compared" : `${figure(mean, said[0])}${reach === null ? "" : ` ± ${figure(reach, said[0])}`}`}`);
        const bright = rgb && rgb[0] * 0.299 + rgb[1] * 0.587 + rgb[2] * 0.114 > 130;
        const text = (string, below) => {
          const element = put(drawing, "text", { x: left + TILE / 2, y: top + below, "text-anchor": "middle" }, string);
          if (rgb) element.style.fill = bright ? "#111" : "#fff";
        };
        text(figure(mean, said[0]), mean === null || reach === null ? HIGH / 2 + 4 : HIGH / 2 - 2);
        if (mean !== null && reach !== null) text(`±${figure(reach, said[0])}`, HIGH / 2 + 14);
      });
    });
    across.levels.forEach((level, i) => put(drawing, "text", { x: LEFT + TILE * (i + 0.5), y: height - BOTTOM + 24, "text-anchor": "middle" }, level));
    put(drawing, "text", { class: "axisname", x: LEFT + TILE * across.levels.length / 2, y: height - 12, "text-anchor": "middle" }, across.name);
    put(drawing, "text", { class: "axisname", x: 8, y: 14 }, up.name);
    const info = metricOf(said[0]);
    by("heat-said").textContent = `${headOf(said[0])}: ${info.about}. ${info.way ? `${info.way} ` : ""}Mean over prompts and the settings with both levels, ± half of its 95 % interval.`;
  });
})();
