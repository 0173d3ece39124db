// Live parts, the console's tail, and local times. Every page works without it.
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
    stamp.textContent = local(new Date(Number(stamp.parentElement.dataset.time)), false);
  }
}

function tick() {
  const now = Date.now() / 1000;
  for (const running of document.querySelectorAll("[data-since]")) {
    running.textContent = span(now - Number(running.dataset.since));
  }
}

// Returns a live part of this page, or null if it has not changed. Throws if the server does not answer.
async function fragment(extra, tag) {
  const address = new URL(location.href);
  address.searchParams.delete("done");
  address.searchParams.set("fragment", "live");
  for (const [name, value] of Object.entries(extra)) address.searchParams.set(name, value);
  const answer = await fetch(address, { headers: tag ? { "If-None-Match": tag } : {} });
  if (answer.status === 304) return null;
  if (!answer.ok) throw new Error(String(answer.status));
  const parsed = new DOMParser().parseFromString(await answer.text(), "text/html");
  return { tag: answer.headers.get("ETag"), nodes: [...parsed.body.childNodes] };
}

// Polls while the page is visible; a hidden page asks for nothing.
function repeat(milliseconds, poll) {
  let failures = 0;
  async function round() {
    if (!document.hidden) {
      try {
        await poll();
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

for (const live of document.querySelectorAll("[data-live]")) {
  let tag = null;
  repeat(Number(live.dataset.live), async () => {
    const busy = live.querySelector("details.menu[open]") || (String(getSelection()) && live.contains(getSelection().anchorNode));
    if (busy) return;
    const answer = await fragment({ fragment: live.dataset.block || "live" }, tag);
    if (!answer) return;
    replace(live, answer.nodes);
    tag = answer.tag;
  });
}

// Reports can arrive out of the order of their times.
function insert(log, entry) {
  let [earlier, later] = [log.lastElementChild, null];
  while (earlier && Number(earlier.dataset.time) > Number(entry.dataset.time)) {
    [earlier, later] = [earlier.previousElementSibling, earlier];
  }
  log.insertBefore(entry, later);
}

const output = document.querySelector("[data-console]");
if (output) {
  const follow = document.getElementById("follow");
  const toEnd = () => { output.scrollTop = output.scrollHeight; };
  const isAtEnd = () => output.scrollHeight - output.scrollTop - output.clientHeight < 40;
  let after = Number(output.dataset.after);
  toEnd();
  // Who scrolls up wants to read; who comes back to the end wants to follow.
  output.addEventListener("scroll", () => { follow.checked = isAtEnd(); });
  for (const box of [follow, document.getElementById("by-agent")]) {
    box.addEventListener("change", () => { if (follow.checked) toEnd(); });
  }
  repeat(Number(output.dataset.console), async () => {
    const answer = await fragment({ after });
    const entries = answer ? answer.nodes.filter((node) => node.nodeType === Node.ELEMENT_NODE) : [];
    if (!entries.length) return;
    for (const entry of entries) insert(output, entry);
    after = Math.max(after, ...entries.map((entry) => Number(entry.dataset.number)));
    dress(output);
    if (follow.checked) toEnd();
  });
}

addEventListener("keydown", (event) => {
  const open = document.querySelector("details.menu[open]");
  if (event.key === "Escape" && open) {
    open.removeAttribute("open");
    open.querySelector("summary").focus();
  }
  // Enter in a field of a menu presses the menu's own first button, not that of the form around it.
  if (event.key === "Enter" && event.target.matches(".ticked .menu input")) {
    event.preventDefault();
    event.target.closest(".menu").querySelector("button").click();
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
