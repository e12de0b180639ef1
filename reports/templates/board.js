// The board: what is shown is kept in the address; switches, the list of methods, and the table
// whose rows are a figure. Everything is drawn from the JSON of the page.
const board = JSON.parse(document.getElementById("board-data").textContent);
const first = board.switches.map((one, i) => one.options.findIndex(([name]) => name === board.start[i]));
const state = { at: [...first], methods: null, unknown: [] }; // methods: null is each view's own choice, else a Set
const drawn = []; // functions that draw anew when something is chosen

const key = (at) => at.map((place, i) => board.switches[i].options[place][0]).join("|");
const view = () => board.views[key(state.at)];
const nameOf = (mark) => board.names[mark[0]];
const [VALUE, LOW, HIGH, TONE, TEXTS, COSTS] = [1, 2, 3, 4, 5, 6];

// Marks of a view that are shown, best first.
function shown(from = view()) {
  const own = new Set(from.shown);
  return from.marks.filter((one) =>
    state.methods ? state.methods.has(nameOf(one)) : own.has(one[0]));
}

// The address: "#tables&recovery=none&methods=l1,taylor"; the first part without "=" is a place.
function readAddress() {
  const parts = location.hash.slice(1).split("&").filter(Boolean);
  const given = new Map(parts.filter((one) => one.includes("=")).map((one) => {
    const [name, value] = one.split("=", 2);
    return [name, value.split(",").map(decodeURIComponent)];
  }));
  const at = board.switches.map((one, i) => {
    const found = one.options.findIndex(([name]) => name === given.get(one.key)?.join(","));
    return found < 0 ? first[i] : found;
  });
  state.at = board.views[key(at)] ? at : [...first];
  const asked = given.get("methods")?.filter((name) => board.names.includes(name));
  state.unknown = given.get("methods")?.filter((name) => !board.names.includes(name)) ?? [];
  state.methods = given.has("all") ? new Set(board.names) : asked?.length ? new Set(asked) : null;
  return decodeURIComponent(parts.find((one) => !one.includes("=")) ?? "");
}

// A jump to a place can be taken back; a choice changes the address that is there.
function writeAddress(place = "") {
  const parts = place ? [encodeURIComponent(place)] : [];
  board.switches.forEach((one, i) => {
    if (state.at[i] !== first[i]) parts.push(`${one.key}=${encodeURIComponent(one.options[state.at[i]][0])}`);
  });
  if (state.methods?.size === board.names.length) parts.push("all=1");
  else if (state.methods) parts.push("methods=" + [...state.methods].map(encodeURIComponent).join(","));
  const now = "#" + parts.join("&");
  if (!place) history.replaceState(null, "", now);
  else if (now !== location.hash) history.pushState(null, "", now);
}

function choose(change) {
  Object.assign(state, { unknown: [] }, change);
  if (!board.views[key(state.at)]) state.at = [...first];
  writeAddress();
  drawn.forEach((draw) => draw());
}

// Elements: make("p", {class: "x"}, "text", child); names of SVG are drawn as such.
const SPACE = new DOMParser().parseFromString("<svg>", "text/html").querySelector("svg").namespaceURI;
const SVG = new Set(["svg", "g", "line", "circle", "path", "text", "rect", "polyline", "title"]);
function make(name, given = {}, ...children) {
  const one = SVG.has(name)
    ? document.createElementNS(SPACE, name) : document.createElement(name);
  for (const [attribute, value] of Object.entries(given)) {
    if (attribute.startsWith("on")) one.addEventListener(attribute.slice(2), value);
    else if (value !== false && value !== null) one.setAttribute(attribute, value === true ? "" : value);
  }
  one.append(...children);
  return one;
}

// "−1.02 [−2.1, −0.5]": the interval is small.
function spanned(text) {
  const at = text.indexOf(" [");
  return at < 0 ? [text] : [text.slice(0, at), make("small", {}, text.slice(at))];
}

// The switches that have several options: two stand side by side, more are a list.
function switches() {
  return board.switches.flatMap((one, i) => {
    if (one.options.length < 2) return [];
    const there = one.options.map((_, place) => {
      const at = [...state.at];
      at[i] = place;
      return key(at) in board.views;
    });
    const pick = (place) => choose({ at: state.at.map((old, j) => (j === i ? place : old)) });
    const group = make("fieldset", {}, make("legend", {}, one.label));
    if (one.options.length > 2) {
      const list = make("select", { "aria-label": one.label, onchange: () => pick(list.selectedIndex) });
      one.options.forEach(([, words], place) => list.append(make("option",
        { selected: place === state.at[i], disabled: !there[place] }, words)));
      group.append(list);
    } else {
      one.options.forEach(([name, words], place) => group.append(make("label", {}, make("input", {
        type: "radio", name: one.key, value: name, checked: place === state.at[i],
        disabled: !there[place], onchange: () => pick(place),
      }), make("span", {}, words))));
    }
    return [group];
  });
}

// The list of methods: a field to search, a box each.
function picker() {
  const named = shown().map(nameOf);
  const list = make("ul");
  for (const name of [...board.names].sort()) {
    const box = make("input", { type: "checkbox", checked: named.includes(name), onchange: () => {
      const now = new Set(shown().map(nameOf));
      box.checked ? now.add(name) : now.delete(name);
      choose({ methods: now.size ? now : null });
    } });
    list.append(make("li", {}, make("label", {}, box, " ", name)));
  }
  const none = make("p", { class: "none", role: "status", hidden: true }, "no method of that name");
  const field = make("input", { type: "search", placeholder: "search", "aria-label": "Search methods",
    oninput: () => {
      for (const item of list.children) {
        item.hidden = !item.textContent.toLowerCase().includes(field.value.trim().toLowerCase());
      }
      none.hidden = [...list.children].some((item) => !item.hidden);
    } });
  const button = (words, methods) => make("button", { type: "button", onclick: () => choose({ methods }) }, words);
  const many = board.names.length;
  return make("details", { class: "picker" },
    make("summary", {}, `Methods: ${named.length} of ${many}`),
    make("div", {}, field, button("The best and the controls", null),
      button(`All ${many}`, new Set(board.names)), none, list));
}

function drawControls() {
  const form = document.getElementById("controls");
  const focused = document.activeElement;
  const kept = form.contains(focused) ? [...form.querySelectorAll("input, select, button, summary")].indexOf(focused) : -1;
  const old = form.querySelector(".picker");
  const groups = switches();
  if (board.names.length > 1) {
    const list = picker();
    list.open = old?.open ?? false;
    const words = old?.querySelector("[type=search]").value;
    groups.push(list);
    form.replaceChildren(...groups);
    if (words) {
      list.querySelector("[type=search]").value = words;
      list.querySelector("[type=search]").dispatchEvent(new Event("input"));
    }
  } else form.replaceChildren(...groups);
  if (state.unknown.length) {
    form.append(make("p", { class: "unknown", role: "status" }, `The address names methods that are not here: ${state.unknown.join(", ")}.`));
  }
  form.hidden = !form.children.length;
  if (kept >= 0) form.querySelectorAll("input, select, button, summary")[kept]?.focus();
}

// An axis on which methods are told apart: at most a quarter of them, far below the rest, lies
// beyond its low end; the widest fifth of the intervals may leave it, and so may the reference
// where it is far away.
function extent(marks, reference) {
  const there = marks.filter((one) => one[VALUE] !== null).sort((a, b) => a[VALUE] - b[VALUE]);
  if (!there.length) return [reference - 1, reference + 1];
  const top = there.at(-1)[VALUE];
  const third = there[Math.floor((there.length - 1) / 4)][VALUE];
  const reach = third - 3 * Math.max(top - third, (top - there[0][VALUE]) / 50);
  let low = there.find((one) => one[VALUE] >= reach)[VALUE];
  if (top - there[0][VALUE] < 2 * (top - low)) low = there[0][VALUE];
  const inside = there.filter((one) => one[VALUE] >= low);
  const fifth = Math.floor(inside.length / 5);
  const ends = (of, sign) => inside.map((one) => sign * (one[of] ?? one[VALUE])).sort((a, b) => a - b)[fifth];
  let [down, up] = [Math.min(low, ends(LOW, 1)), Math.max(top, -ends(HIGH, -1))];
  if (reference > up && reference - up < 2 * (up - down)) up = reference;
  if (reference < down && down - reference < 2 * (up - down)) down = reference;
  const edge = 0.05 * (up - down || 1);
  return [down - edge, up + edge];
}

function ticks(low, high, many = 5) {
  const rough = (high - low) / many;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((one) => one * power >= rough) * power;
  const found = [];
  for (let at = Math.ceil(low / step); at * step <= high; at++) found.push(at * step);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return found.map((at) => [at, (Math.abs(at) < step / 2 ? 0 : at).toFixed(digits).replace("-", "−")]);
}

// The picture in a row: the interval as a line, the value as a dot; beyond the axis a triangle.
const ROW = 28;
function rowPicture(marks, [low, high], lines, small = false) {
  const beyond = (value) => (value < low ? `M 2 ${ROW / 2} l 8 -5 v 10 z` : "");
  const place = (value) => `${(100 * (Math.min(Math.max(value, low), high) - low)) / (high - low)}%`;
  const picture = make("svg", { height: ROW, width: "100%" });
  for (const [value, name] of lines) {
    if (value >= low && value <= high) {
      picture.append(make("line", { x1: place(value), x2: place(value), y1: 0, y2: ROW, class: name }));
    }
  }
  for (const mark of marks) {
    if (mark[VALUE] === null) continue;
    const tone = small ? "other" : mark[TONE] || "open";
    if (!small && mark[LOW] !== null && mark[HIGH] > low) {
      picture.append(make("line", { x1: place(mark[LOW]), x2: place(mark[HIGH]), y1: ROW / 2, y2: ROW / 2, class: `span ${tone}` }));
    }
    if (!small && mark[HIGH] !== null && mark[HIGH] > high) { // an interval that goes on
      const right = make("svg", { x: "100%", overflow: "visible" });
      right.append(make("path", { d: `M -2 ${ROW / 2} l -8 -5 v 10 z`, class: `end ${tone}` }));
      picture.append(right);
    }
    if (!small && mark[LOW] !== null && mark[LOW] < low && !beyond(mark[VALUE])) {
      picture.append(make("path", { d: beyond(mark[LOW]), class: `end ${tone}` }));
    }
    const shape = beyond(mark[VALUE])
      ? make("path", { d: beyond(mark[VALUE]), class: `dot ${tone}` })
      : make("circle", { cx: place(mark[VALUE]), cy: ROW / 2, r: small ? 3 : 5, class: `dot ${tone}` });
    if (small) {
      shape.addEventListener("pointerenter", (event) => tell(mark, event.clientX, event.clientY));
      shape.addEventListener("pointerleave", untell);
    }
    picture.append(shape);
  }
  return picture;
}

function drawForest() {
  const box = document.getElementById("forest");
  const now = view();
  const marks = shown();
  const reference = [-1, ...now.reference.slice(1)];
  const others = now.marks.filter((one) => one[VALUE] !== null && !marks.includes(one));
  const lacking = now.marks.filter((one) => one[VALUE] === null && !marks.includes(one)).length;
  const span = extent(marks, reference[VALUE]);
  const control = now.marks.find((one) => one[TONE] === "control");
  const grid = ticks(...span);
  const lines = [...grid.map(([at]) => [at, "grid"]), [reference[VALUE], "dense"]];
  if (control?.[VALUE] != null) lines.push([control[VALUE], "of-control"]);
  const axis = make("svg", { height: 34, width: "100%" });
  axis.append(make("text", { x: "50%", y: 11, "text-anchor": "middle" }, board.value));
  for (const [at, words] of grid) {
    axis.append(make("text", { x: `${(100 * (at - span[0])) / (span[1] - span[0])}%`, y: 30, "text-anchor": "middle" }, words));
  }
  box.querySelector("thead .plot").replaceChildren(axis);
  const row = (name, mark, picture, kind) => make("tr", { class: kind || null },
    make("th", { scope: "row" }, name), make("td", { class: "plot", "aria-hidden": "true" }, picture),
    ...mark[TEXTS].map((text) => make("td", { class: "n" }, ...spanned(text))));
  const rows = marks.map((one) => row(nameOf(one), one, rowPicture([one], span, lines), one[TONE]));
  rows.unshift(row(now.reference[0], reference, rowPicture([], span, lines), "reference"));
  if (others.length) {
    rows.push(make("tr", { class: "others" },
      make("th", { scope: "row" }, `${others.length} other${others.length > 1 ? "s" : ""}`),
      make("td", { class: "plot", "aria-hidden": "true" }, rowPicture(others, span, lines, true)),
      make("td", { colspan: board.heads.length }, make("button", { type: "button",
        onclick: () => choose({ methods: new Set(board.names) }) }, `Show all ${board.names.length} methods`),
        lacking ? `, of which ${lacking} have no result here` : "",
        make("span", { class: "names" }, others.map(nameOf).join(", ")))));
  }
  box.querySelector("tbody").replaceChildren(...rows);
  const words = board.switches.map((one, i) => one.options[state.at[i]][1]);
  if (now.over) words[words.length - 1] = now.over;
  document.getElementById("view").textContent = words.join(" · ");
  const line = reference[VALUE];
  document.getElementById("dashed").hidden = line === null || line < span[0] || line > span[1];
  box.dispatchEvent(new Event("scroll")); // it may have become wider
}

// What a mark is, beside the pointer or what has the focus.
const tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
document.body.append(tip);
function tell(mark, x, y) {
  const rows = board.heads.map(([head, small], i) => make("div", {}, make("dt", {}, head),
    make("dd", {}, mark[TEXTS][i] + (small === "%" || small === "s" ? " " + small : ""))));
  tip.replaceChildren(make("b", {}, nameOf(mark)), make("dl", {}, ...rows));
  tip.hidden = false;
  const { width, height } = tip.getBoundingClientRect();
  const right = x + 16 + width < document.documentElement.clientWidth;
  tip.style.left = `${Math.max(4, right ? x + 16 : x - 16 - width)}px`;
  tip.style.top = `${Math.max(4, Math.min(y + 12, innerHeight - height - 4))}px`;
}
function untell() {
  tip.hidden = true;
}
addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  untell();
  const list = document.querySelector(".picker[open]");
  if (!list) return;
  list.open = false;
  list.querySelector("summary").focus();
});

document.documentElement.classList.add("drawn");
reveal(readAddress());
if (document.getElementById("forest")) drawn.push(drawControls, drawForest);
addEventListener("hashchange", () => {
  reveal(readAddress());
  drawn.forEach((draw) => draw());
});
