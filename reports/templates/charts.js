// Charts below the first screen: accuracy against a cost over budgets, against scoring time, and
// problem by problem. They show what the board shows, and the other methods in grey.
const COLOURS = 12;
const TIME = board.costs.length - 1;
const place = Object.fromEntries(board.switches.map((one, i) => [one.key, i]));

function scale(low, high, from, to, log = false) {
  const f = log ? Math.log : (one) => one;
  return (value) => from + ((f(value) - f(low)) / (f(high) - f(low) || 1)) * (to - from);
}

// A chart's frame: axes with names; `x` and `y` are {low, high, words, ticks, log}.
function frame(box, label, x, y, right) {
  const width = Math.max(300, box.clientWidth);
  const height = Math.round(Math.min(440, Math.max(300, 0.5 * width)));
  const edge = { left: 58, right, top: 12, bottom: 46 };
  const picture = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": label });
  const X = scale(x.low, x.high, edge.left, width - edge.right, x.log);
  const Y = scale(y.low, y.high, height - edge.bottom, edge.top);
  for (const [at, words] of y.ticks) {
    picture.append(make("line", { x1: edge.left, x2: width - edge.right, y1: Y(at), y2: Y(at), class: at ? "grid" : "dense" }));
    picture.append(make("text", { x: edge.left - 8, y: Y(at) + 4, "text-anchor": "end" }, words));
  }
  for (const [at, words] of x.ticks) {
    picture.append(make("text", { x: X(at), y: height - edge.bottom + 18, "text-anchor": "middle" }, words));
  }
  const middle = (edge.left + width - edge.right) / 2;
  picture.append(make("text", { x: middle, y: height - 6, "text-anchor": "middle", class: "axis" }, x.words));
  picture.append(make("text", { transform: `translate(13 ${(edge.top + height - edge.bottom) / 2}) rotate(-90)`, "text-anchor": "middle", class: "axis" }, y.words));
  return { picture, X, Y, width, height, edge };
}

const MARKS = ["M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0", "M-4 -4h8v8h-8z", "M0 -5l5 9h-10z", "M0 -5.5l5.5 5.5l-5.5 5.5l-5.5 -5.5z", "M0 5l5 -9h-10z", "M-2 -5h4v3h3v4h-3v3h-4v-3h-3v-4h3z"];
function looks() {
  const names = shown().map(nameOf);
  const control = view().marks.find((one) => one[TONE] === "control");
  let next = 0;
  return new Map(names.map((name) => {
    if (control && name === nameOf(control)) return [name, { colour: "ink", mark: MARKS[0] }];
    const at = board.names.indexOf(name); // the same whatever else is shown
    return [name, next++ < COLOURS ? { colour: `c${at % COLOURS}`, mark: MARKS[(at + Math.floor(at / COLOURS)) % MARKS.length] } : { colour: "grey", mark: MARKS[0] }];
  }));
}

// Marks that a keyboard walks with its arrows; the one in focus, or under the pointer, tells itself.
function walkable(marks) {
  marks.forEach(([one, mark], i) => {
    one.setAttribute("tabindex", i ? -1 : 0);
    one.setAttribute("role", "img");
    one.setAttribute("aria-label", `${nameOf(mark)}: ${board.heads.map(([head, small], j) => `${head} ${mark[TEXTS][j]} ${small}`).join("; ")}`);
    one.addEventListener("pointerenter", (event) => tell(mark, event.clientX, event.clientY));
    one.addEventListener("pointerleave", untell);
    one.addEventListener("blur", untell);
    one.addEventListener("focus", () => {
      const { right, bottom } = one.getBoundingClientRect();
      tell(mark, right, bottom);
    });
    one.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      marks[(i + step + marks.length) % marks.length][0].focus();
    });
  });
}

// Names beside the ends of lines or dots, moved apart; those without room within their own are left out.
function spread(labels, low, high) {
  const rows = [...labels].sort((a, b) => a.y - b.y);
  rows.forEach((one, i) => { one.at = Math.max(one.y, i ? rows[i - 1].at + 13 : low); });
  let limit = high;
  for (const one of rows.reverse()) {
    one.at = Math.min(one.at, limit);
    limit = one.at - 13;
  }
  return rows.filter((one) => one.at >= low - 1);
}

const budgets = () => {
  const found = board.switches[place.budget].options.map((_, i) => i);
  return (found.length > 1 ? found.slice(1) : found).map((i) => state.at.map((old, j) => (j === place.budget ? i : old)))
    .filter((at) => key(at) in board.views);
};

function drawCosts(box, cost) {
  const lines = new Map();
  for (const at of budgets()) {
    for (const mark of board.views[key(at)].marks) {
      if (mark[VALUE] === null || mark[COSTS][cost] === null) continue;
      if (!lines.has(nameOf(mark))) lines.set(nameOf(mark), []);
      lines.get(nameOf(mark)).push(mark);
    }
  }
  const look = looks();
  const near = [...lines].filter(([name]) => look.has(name)).flatMap(([, marks]) => marks);
  if (!near.length) return box.replaceChildren("Nothing has finished here yet.");
  const [low, high] = extent(near, 0);
  const least = Math.min(...near.map((one) => one[COSTS][cost]));
  const x = { low: 100, high: Math.max(0, least - 2), words: board.costs[cost], ticks: ticks(Math.max(0, least - 2), 100) };
  const wide = box.clientWidth > 600;
  const { picture, X, Y, width, height, edge } = frame(box, `${board.value} against ${board.costs[cost]}: ${[...look.keys()].join(", ")}`, x, { low, high, words: board.value, ticks: ticks(low, high, 6) }, wide ? 150 : 96);
  const within = (mark) => Math.min(Math.max(Y(mark[VALUE]), edge.top), height - edge.bottom);
  const labels = [], walked = [];
  for (const quiet of [true, false]) {
    for (const [name, marks] of lines) {
      const own = look.get(name);
      if (!own === !quiet) continue;
      const path = [[100, Y(0)], ...marks.map((one) => [one[COSTS][cost], within(one)])].map(([at, y]) => `${X(Math.max(at, x.high)).toFixed(1)},${y.toFixed(1)}`).join(" ");
      picture.append(make("polyline", { points: path, class: quiet ? "line grey" : `line ${own.colour}` }));
      if (quiet) continue;
      for (const mark of marks) {
        const dot = make("path", { d: own.mark, class: `dot ${own.colour}`, transform: `translate(${X(mark[COSTS][cost])} ${within(mark)})` });
        picture.append(dot);
        walked.push([dot, mark]);
      }
      const last = marks.at(-1), beyond = Y(last[VALUE]) > height - edge.bottom;
      labels.push({ name, colour: own.colour, y: within(last), x: X(last[COSTS][cost]), value: beyond ? ` (${last[VALUE].toFixed(1).replace("-", "−")})` : "" });
    }
  }
  for (const { name, colour, value, at } of spread(labels, edge.top, height - edge.bottom)) {
    picture.append(make("text", { x: width - edge.right + 8, y: at + 4, class: `name ${colour}` }, (name.length > 22 || !wide ? name.slice(0, wide ? 22 : 14) : name) + (wide ? value : "")));
  }
  walkable(walked);
  box.replaceChildren(picture);
}

function drawTimes(box) {
  const marks = view().marks.filter((one) => one[VALUE] !== null && one[COSTS][TIME] > 0);
  const look = looks();
  const near = marks.filter((one) => look.has(nameOf(one)));
  if (!near.length) return box.replaceChildren("Nothing has finished here yet.");
  const times = marks.map((one) => one[COSTS][TIME]);
  const [low, high] = extent(near, 0);
  const x = { low: Math.min(...times) / 1.5, high: Math.max(...times) * 1.5, words: board.costs[TIME], log: true, ticks: [] };
  for (let power = Math.ceil(Math.log10(x.low)); 10 ** power <= x.high; power++) {
    x.ticks.push([10 ** power, String(+(10 ** power).toPrecision(1))]);
  }
  const { picture, X, Y, width, height, edge } = frame(box, `${board.value} against ${board.costs[TIME]}`, x, { low, high, words: board.value, ticks: ticks(low, high, 6) }, 20);
  const taken = [];
  const walked = [];
  for (const quiet of [true, false]) {
    for (const mark of marks) {
      const own = look.get(nameOf(mark));
      if (!own === !quiet) continue;
      const [left, top] = [X(mark[COSTS][TIME]), Math.min(Math.max(Y(mark[VALUE]), edge.top), height - edge.bottom)];
      const dot = make("path", { d: own?.mark ?? MARKS[0], class: `dot ${own?.colour ?? "grey"}`, transform: `translate(${left} ${top})${own ? "" : " scale(.7)"}` });
      picture.append(dot);
      walked.push([dot, mark]);
      if (quiet) continue;
      const long = 7 * nameOf(mark).length;
      const before = left + long + 10 > width - edge.right;
      const area = before ? [left - long - 10, left] : [left, left + long + 10];
      const spot = [4, -8, 16].find((down) => !taken.some(([a, b, y]) => a < area[1] && area[0] < b && Math.abs(y - top - down) < 12));
      if (spot === undefined) continue;
      taken.push([...area, top + spot]);
      picture.append(make("text", { x: before ? left - 9 : left + 9, y: top + spot, class: `name ${own.colour}`, "text-anchor": before ? "end" : "start" }, nameOf(mark)));
    }
  }
  walkable(walked.sort(([, a], [, b]) => a[COSTS][TIME] - b[COSTS][TIME]));
  box.replaceChildren(picture);
}

// A table a problem, each on a scale of its own; a row a method.
function drawProblems(box) {
  const at = (i) => state.at.map((old, j) => (j === place.problem ? i : old));
  const there = board.switches[place.problem].options.map(([, words], i) => [words, board.views[key(at(i))]])
    .slice(1).filter(([, own]) => own);
  const names = shown().map(nameOf);
  const columns = there.map(([, own]) => {
    const marks = names.map((name) => own.marks.find((one) => nameOf(one) === name));
    return { marks, span: extent(marks.filter(Boolean), own.reference[VALUE]), dense: own.reference[VALUE] };
  });
  box.replaceChildren(...there.map(([words], i) => {
    const { marks, span, dense } = columns[i];
    return make("table", { class: "forest" },
      make("caption", {}, words),
      make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Method"),
        make("td", { class: "plot", "aria-hidden": "true" }), make("th", { scope: "col", class: "n" }, "Change"))),
      make("tbody", {}, ...names.map((name, j) => make("tr", {}, make("th", { scope: "row" }, name),
        make("td", { class: "plot", "aria-hidden": "true" }, marks[j] ? rowPicture([marks[j]], span, [[dense, "dense"]]) : ""),
        make("td", { class: "n" }, ...spanned(marks[j]?.[TEXTS][1] ?? "–"))))));
  }));
}

// Each is drawn when it has a width: a closed section has none.
const CHARTS = { costs: (box) => drawCosts(box, Number(box.dataset.cost ?? 0)), times: drawTimes, problems: drawProblems };
for (const box of document.querySelectorAll("[data-chart]")) {
  const draw = () => box.clientWidth && CHARTS[box.dataset.chart](box);
  let width = 0;
  new ResizeObserver(() => {
    if (box.clientWidth !== width) draw((width = box.clientWidth));
  }).observe(box);
  drawn.push(draw);
  addEventListener("beforeprint", draw);
}
for (const list of document.querySelectorAll("[data-costs]")) {
  list.addEventListener("change", () => {
    const box = document.getElementById(list.dataset.costs);
    box.dataset.cost = list.querySelector(":checked").value;
    drawCosts(box, Number(box.dataset.cost));
  });
}
drawn.forEach((draw) => draw());
