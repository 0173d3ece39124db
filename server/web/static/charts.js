// Curves and reported plots, drawn by plotly.js as they come into view. Loaded after page.js and plotly.js.
"use strict";

const PALETTE = {
  light: ["#0f6fb4", "#d9650b", "#1d8a4a", "#b42a5c", "#7650b8", "#8a6d00", "#0d8585", "#6b7280"],
  dark: ["#64b1f0", "#f59a4d", "#5ccb86", "#f07aa5", "#b79cf3", "#d9bd4f", "#56cfcf", "#a7b0bd"],
};
const dark = matchMedia("(prefers-color-scheme: dark)");
const tools = document.querySelector(".chart-tools");
const drawn = new Map();  // figure element -> what its address answered

function view() {
  const chosen = tools ? new FormData(tools) : new FormData();
  return { smooth: Number(chosen.get("smooth") || 0), log: chosen.has("log"), x: chosen.get("x") || "step" };
}

// The exponential moving average, corrected for its start at zero: the first value stays what it is.
function smoothed(values, weight) {
  let [last, total] = [0, 0];
  return values.map((value) => {
    if (!Number.isFinite(value)) return value;
    last = last * weight + (1 - weight) * value;
    total = total * weight + (1 - weight);
    return last / total;
  });
}

// Milliseconds since the first report of the series, in a unit that fits the longest.
function durations(series) {
  const longest = Math.max(...series.map(({ time }) => time[time.length - 1] - time[0]));
  const [unit, size] = longest < 180e3 ? ["seconds", 1e3] : longest < 180 * 60e3 ? ["minutes", 60e3] : ["hours", 3600e3];
  return { title: `${unit} since the first report`, x: series.map(({ time }) => time.map((at) => (at - time[0]) / size)) };
}

function abscissae(series, by) {
  if (by === "time") return durations(series);
  if (by === "epoch" && series.some(({ epoch }) => epoch)) return { title: "epoch", x: series.map(({ x, epoch }) => epoch || x) };
  return { title: "iteration", x: series.map(({ x }) => x) };
}

function traces(series, { smooth, x: by }) {
  const palette = PALETTE[dark.matches ? "dark" : "light"];
  const { title, x } = abscissae(series, by);
  const data = series.flatMap(({ name, y }, index) => {
    const color = palette[index % palette.length];
    const dots = y.length <= 20 ? "lines+markers" : "lines";
    const line = { x: x[index], y, name, legendgroup: index, mode: dots, line: { color, width: 2 }, marker: { color, size: y.length === 1 ? 10 : 5 } };
    if (!smooth || y.length < 3) return [line];
    const faint = { ...line, mode: "lines", opacity: 0.3, showlegend: false, hoverinfo: "skip", line: { color, width: 1 } };
    return [faint, { ...line, mode: "lines", y: smoothed(y, smooth) }];
  });
  return { title, data };
}

function curveLayout(title, series, log) {
  const layout = { xaxis: { title: { text: title, standoff: 6 } }, yaxis: { type: log ? "log" : "linear" }, showlegend: series.length > 1, hovermode: "x unified" };
  // One point has no range: show its place and its value instead of an axis of fractions around it.
  const places = new Set(series.flatMap(({ x }) => x));
  if (series.every(({ x }) => x.length === 1) && title === "iteration") {
    layout.xaxis = { ...layout.xaxis, tickvals: [...places], range: [Math.min(...places) - 1, Math.max(...places) + 1] };
  }
  return layout;
}

function dressed(layout) {
  const style = getComputedStyle(document.body);
  const probe = document.createElement("span");
  document.body.append(probe);
  const colour = (name) => { probe.className = name; return getComputedStyle(probe).color; };
  const [ink, quiet, accent, raised] = [style.color, colour("quiet"), colour("accent"), colour("raised")];
  probe.remove();
  const axis = { gridcolor: quiet.replace("rgb(", "rgba(").replace(")", ", 0.18)"), zerolinecolor: quiet, automargin: true };
  const result = { colorway: PALETTE[dark.matches ? "dark" : "light"], ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true };
  delete result.width;
  delete result.height;
  result.font = { ...layout.font, color: ink, size: 12 };
  result.margin = { l: 48, r: 12, t: layout.title && layout.title.text ? 40 : 12, b: 40 };
  result.modebar = { orientation: "v", bgcolor: "rgba(0,0,0,0)", color: quiet, activecolor: accent };
  result.hoverlabel = { bgcolor: raised, bordercolor: quiet, font: { color: ink }, namelength: -1 };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).concat("xaxis", "yaxis")) {
    result[name] = { ...axis, ...layout[name] };
  }
  result.legend = { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", ...layout.legend };
  return result;
}

async function render(figure) {
  const plot = figure.querySelector(".plot");
  const stored = drawn.get(figure);
  const name = figure.querySelector("figcaption").firstChild.textContent.trim() || "figure";
  const options = {
    responsive: true, displaylogo: false, displayModeBar: "hover", showSendToCloud: false,
    modeBarButtonsToRemove: ["lasso2d", "select2d", "toImage"],
    toImageButtonOptions: { filename: name },
  };
  let { data, layout } = stored;
  if (stored.series) {
    const { smooth, log, x } = view();
    // A long legend must not eat the curves.
    plot.style.height = `${19 + 1.8 * Math.max(0, Math.ceil(stored.series.length / 2) - 2)}rem`;
    const curves = traces(stored.series, { smooth, x });
    [data, layout] = [curves.data, { ...curveLayout(curves.title, stored.series, log), uirevision: `${x} ${log}` }];
  }
  await window.Plotly.react(plot, data, dressed(layout), options);
}

async function draw(figure) {
  try {
    const answer = await fetch(figure.dataset.figure);
    if (!answer.ok || !window.Plotly) throw new Error(String(answer.status));
    const stored = await answer.json();
    const layout = typeof stored.layout === "object" && stored.layout ? stored.layout : {};
    if (typeof layout.title === "string") layout.title = { text: layout.title };
    drawn.set(figure, { series: stored.series, data: Array.isArray(stored.data) ? stored.data : [], layout });
    await render(figure);
    if (!figure.querySelector(".exports")) figure.querySelector("figcaption").append(exportsOf(figure));
  } catch {
    figure.querySelector(".plot").textContent = "This cannot be drawn.";
  }
}

function exportsOf(figure) {
  const caption = figure.querySelector("figcaption").textContent.replace(/\s+/g, " ").trim();
  const box = document.createElement("span");
  box.className = "exports";
  const button = (text, title, act) => {
    const made = document.createElement("button");
    Object.assign(made, { type: "button", className: "small-button", textContent: text, title });
    made.setAttribute("aria-label", `${title}: ${caption}`);
    made.addEventListener("click", act);
    box.append(made);
  };
  const file = caption.replace(/[^\w.-]+/g, "_");
  button("PNG", "Download as an image", () => window.Plotly.downloadImage(figure.querySelector(".plot"), { format: "png", scale: 2, width: 900, height: 500, filename: file }));
  if (drawn.get(figure).series) button("CSV", "Download the values", () => save(`${file}.csv`, csv(drawn.get(figure).series)));
  return box;
}

function csv(series) {
  const quoted = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const rows = series.flatMap(({ name, x, y, time, epoch }) => x.map((at, index) =>
    [quoted(name), at, epoch ? epoch[index] : "", new Date(time[index]).toISOString(), y[index] ?? ""].join(",")));
  return ["series,iteration,epoch,time,value", ...rows, ""].join("\n");
}

function save(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

const redraw = () => Promise.all([...drawn.keys()].map(render));

if (tools) {
  // The view is part of the address, so that a link is a view.
  const asked = new URL(location.href).searchParams;
  for (const name of ["smooth", "x"]) if (asked.has(name)) tools.elements[name].value = asked.get(name);
  tools.elements.log.checked = asked.has("log");
  const show = () => { tools.querySelector("output").textContent = view().smooth.toFixed(2); };
  tools.addEventListener("input", () => {
    show();
    const address = new URL(location.href);
    for (const name of ["smooth", "log", "x"]) address.searchParams.delete(name);
    const { smooth, log, x } = view();
    if (smooth) address.searchParams.set("smooth", String(smooth));
    if (log) address.searchParams.set("log", "1");
    if (x !== "step") address.searchParams.set("x", x);
    history.replaceState(null, "", address);
    redraw();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  show();
  tools.hidden = false;
}

const visible = new IntersectionObserver((entries) => {
  for (const entry of entries.filter(({ isIntersecting }) => isIntersecting)) {
    visible.unobserve(entry.target);
    draw(entry.target);
    if (entry.target.dataset.again) repeat(Number(entry.target.dataset.again), () => draw(entry.target));
  }
}, { rootMargin: "300px" });
document.querySelectorAll("[data-figure]").forEach((figure) => visible.observe(figure));
dark.addEventListener("change", redraw);
