// Live parts, the console's tail, figures, and times in the reader's zone. Without it every page still works.
"use strict";

const offline = document.querySelector(".offline");
const pad = (number) => String(number).padStart(2, "0");

function local(date, withDay) {
  const clock = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  if (!withDay) return `${clock}:${pad(date.getSeconds())}`;
  const today = new Date().toDateString() === date.toDateString();
  const day = date.toLocaleDateString(undefined, { month: "short", day: "numeric" });
  return today ? clock : `${day}, ${clock}`;
}

function span(seconds) {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (whole < 60) return `${whole} s`;
  return hours ? `${hours}:${pad(minutes)}:${pad(rest)}` : `${minutes}:${pad(rest)}`;
}

function dress(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const date = new Date(time.dateTime);
    if (!Number.isNaN(date.valueOf())) time.textContent = local(date, true);
  }
  for (const stamp of root.querySelectorAll(".stamp:empty")) {
    stamp.textContent = local(new Date(Number(stamp.dataset.epoch) * 1000), false);
  }
}

function tick() {
  const now = Date.now() / 1000;
  for (const running of document.querySelectorAll("[data-since]")) {
    running.textContent = span(now - Number(running.dataset.since));
  }
}

// The fragment of this page, or null where nothing changed. Throws when the server does not answer.
async function fragment(extra, tag) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  address.searchParams.set("fragment", "1");
  for (const [name, value] of Object.entries(extra)) address.searchParams.set(name, value);
  const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {} });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { tag: answer.headers.get("ETag"), nodes: [...parsed.body.childNodes] };
}

// Calls `look` every so often while the page is seen; a hidden page asks for nothing.
function repeat(milliseconds, look) {
  let failures = 0;
  async function round() {
    if (!document.hidden) {
      try {
        await look();
        failures = 0;
      } catch {
        failures += 1;
      }
      offline.hidden = failures < 2;
    }
    setTimeout(round, milliseconds * Math.min(1 + failures, 5));
  }
  setTimeout(round, milliseconds);
}

function replace(area, nodes) {
  const focused = area.contains(document.activeElement) ? document.activeElement : null;
  const open = [...area.querySelectorAll("details[open][id]")].map((details) => details.id);
  const ticked = [...area.querySelectorAll("input:checked[id]")].map((input) => input.id);
  const scrolled = [...area.querySelectorAll(".picture, .wide-table, .console")].map((box) => [box.scrollLeft, box.scrollTop]);
  const place = focused && (focused.id ? `#${CSS.escape(focused.id)}` : focused.getAttribute("href") && `[href="${CSS.escape(focused.getAttribute("href"))}"]`);
  area.replaceChildren(...nodes);
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
  for (const id of ticked) { const input = document.getElementById(id); if (input) input.checked = true; }
  [...area.querySelectorAll(".picture, .wide-table, .console")].forEach((box, index) => {
    if (scrolled[index]) [box.scrollLeft, box.scrollTop] = scrolled[index];
  });
  if (place) area.querySelector(place)?.focus({ preventScroll: true });
  dress(area);
  tick();
}

const live = document.querySelector("[data-live]");
if (live) {
  let tag = null;
  repeat(Number(live.dataset.live), async () => {
    const busy = live.querySelector("details.menu[open]") || (String(getSelection()) && live.contains(getSelection().anchorNode));
    if (busy) return;
    const found = await fragment({}, tag);
    if (!found) return;
    if (tag !== null || live.textContent.trim() !== "") replace(live, found.nodes);
    tag = found.tag;
  });
}

const output = document.querySelector("[data-console]");
if (output) {
  output.scrollTop = output.scrollHeight;
  repeat(Number(output.dataset.console), async () => {
    const entries = output.querySelectorAll(".entry");
    const numbers = [...entries].slice(-200).map((entry) => Number(entry.dataset.number));
    const found = await fragment({ after: Math.max(0, ...numbers) });
    if (!found || !found.nodes.some((node) => node.nodeType === 1)) return;
    const atEnd = output.scrollHeight - output.scrollTop - output.clientHeight < 40;
    output.append(...found.nodes);
    dress(output);
    if (atEnd) output.scrollTop = output.scrollHeight;
  });
}

function colours(layout) {
  const style = getComputedStyle(document.body);
  const probe = document.createElement("span");
  document.body.append(probe);
  const colour = (name) => { probe.className = name; return getComputedStyle(probe).color; };
  const [ink, line] = [style.color, colour("quiet")];
  probe.remove();
  const axis = { gridcolor: line.replace("rgb(", "rgba(").replace(")", ", 0.18)"), zerolinecolor: line, automargin: true };
  const dressed = { ...layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", autosize: true };
  delete dressed.width;
  delete dressed.height;
  dressed.font = { ...layout.font, color: ink, size: 12 };
  dressed.margin = { l: 48, r: 12, t: layout.title && layout.title.text ? 40 : 12, b: 40 };
  for (const name of Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).concat("xaxis", "yaxis")) {
    dressed[name] = { ...axis, ...layout[name] };
  }
  dressed.legend = { orientation: "h", y: -0.22, ...layout.legend };
  return dressed;
}

async function draw(figure) {
  const plot = figure.querySelector(".plot");
  try {
    await drawn(figure, plot);
  } catch {
    plot.textContent = "This cannot be drawn.";
  }
}

async function drawn(figure, plot) {
  const answer = await fetch(figure.dataset.figure);
  if (!answer.ok || !window.Plotly) throw new Error(String(answer.status));
  const found = await answer.json();
  const layout = typeof found.layout === "object" && found.layout ? found.layout : {};
  if (typeof layout.title === "string") layout.title = { text: layout.title };
  const options = { responsive: true, displaylogo: false, displayModeBar: "hover", modeBarButtonsToRemove: ["lasso2d", "select2d"] };
  await window.Plotly.react(plot, Array.isArray(found.data) ? found.data : [], colours(layout), options);
}

const seen = new IntersectionObserver((entries) => {
  for (const entry of entries.filter((each) => each.isIntersecting)) {
    seen.unobserve(entry.target);
    draw(entry.target);
    if (entry.target.dataset.again) repeat(Number(entry.target.dataset.again), () => draw(entry.target));
  }
}, { rootMargin: "300px" });
// plotly.js is deferred like this file and comes after it: draw once both have run.
addEventListener("DOMContentLoaded", () => document.querySelectorAll("[data-figure]").forEach((figure) => seen.observe(figure)));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
  if (window.Plotly) document.querySelectorAll("[data-figure]").forEach(draw);
});

addEventListener("keydown", (event) => {
  const open = document.querySelector("details.menu[open]");
  if (event.key === "Escape" && open) {
    open.removeAttribute("open");
    open.querySelector("summary").focus();
  }
  if (event.key === "/" && !/^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) {
    const search = document.querySelector("input[type=search]");
    if (search) { event.preventDefault(); search.focus(); }
  }
});
addEventListener("click", (event) => {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(event.target)) menu.removeAttribute("open");
  }
});

dress(document);
tick();
setInterval(tick, 1000);
