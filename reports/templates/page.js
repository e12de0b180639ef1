// Tables: a click on a head sorts, words in the field keep the rows that hold all of them.
const LONG = 8; // rows from which on a field to filter is of use
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, i) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.replaceChildren(button);
    // Chromium repeats a table's head on every printed page only where it holds no button.
    addEventListener("beforeprint", () => head.replaceChildren(button.textContent));
    addEventListener("afterprint", () => head.replaceChildren(button));
    const value = (row) => {
      const cell = row.cells[i];
      if (cell.dataset.v !== undefined) return Number(cell.dataset.v);
      return head.className === "n" ? null : cell.textContent;
    };
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (x === null || y === null) return (x === null) - (y === null);
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return down ? -order : order;
      };
      body.append(...[...body.rows].sort(compare));
    });
  });
  if (body.rows.length < LONG) continue;
  const field = document.createElement("input");
  field.type = "search";
  field.placeholder = "filter rows";
  field.setAttribute("aria-label", "Filter rows: " + table.parentElement.getAttribute("aria-label"));
  const count = document.createElement("span");
  count.setAttribute("role", "status");
  const texts = new Map();
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of body.rows) {
      if (!texts.has(row)) texts.set(row, row.textContent.toLowerCase());
      row.hidden = !words.every((word) => texts.get(row).includes(word));
      shown += !row.hidden;
    }
    count.textContent = words.length ? ` ${shown} of ${body.rows.length} rows` : "";
  });
  const line = document.createElement("p");
  line.className = "filter";
  line.append(field, count);
  table.parentElement.before(line);
}
// What goes on to the right says so.
for (const one of document.querySelectorAll(".wide")) {
  const look = () => one.classList.toggle("more", one.scrollLeft + one.clientWidth < one.scrollWidth - 4);
  one.addEventListener("scroll", look, { passive: true });
  new ResizeObserver(look).observe(one);
}

// Figures are unpacked one after another, so that paper has them too; without a script, and until
// then, they are the files beside the page.
async function unpack(image) {
  const packed = document.getElementById(image.dataset.packed);
  const bytes = Uint8Array.from(atob(packed.textContent), (one) => one.charCodeAt(0));
  const plain = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const svg = await new Response(plain).arrayBuffer();
  image.removeAttribute("loading");
  image.src = URL.createObjectURL(new Blob([svg], { type: "image/svg+xml" }));
  packed.remove();
}
addEventListener("load", async () => {
  for (const image of document.querySelectorAll("img[data-packed]")) await unpack(image);
});

// A place in a closed section is opened, with all that it stands in.
function reveal(name) {
  const place = name && document.getElementById(name);
  if (!place) return;
  for (let one = place; one; one = one.parentElement) {
    if (one instanceof HTMLDetailsElement) one.open = true;
  }
  place.scrollIntoView();
}
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  const name = decodeURIComponent(link.getAttribute("href").slice(1));
  writeAddress(name);
  reveal(name);
  const place = document.getElementById(name);
  const target = place?.querySelector(":scope > summary") ?? place;
  if (target && target.tabIndex < 0) target.tabIndex = -1;
  target?.focus({ preventScroll: true });
});

// All is open on paper.
addEventListener("beforeprint", () => {
  for (const one of document.querySelectorAll("details:not([open])")) {
    one.open = true;
    one.dataset.closed = "";
  }
});
addEventListener("afterprint", () => {
  for (const one of document.querySelectorAll("details[data-closed]")) {
    one.open = false;
    delete one.dataset.closed;
  }
});
