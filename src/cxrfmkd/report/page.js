for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const written = [...body.rows];
  for (const [column, head] of [...table.tHead.rows[0].cells].entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const before = head.getAttribute("aria-sort");
      const next = { null: "descending", descending: "ascending", ascending: null }[before];
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      if (next) head.setAttribute("aria-sort", next);
      const value = (row) => {
        const cell = row.cells[column];
        const text = (cell.dataset.v ?? cell.textContent).trim().replace("−", "-");
        const number = parseFloat(text);
        return Number.isNaN(number) ? text : number;
      };
      const compare = (a, b) => {
        const [x, y] = [value(a), value(b)];
        if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
        const order = typeof x === "number" ? x - y : x.localeCompare(y);
        return next === "ascending" ? order : -order;
      };
      body.append(...(next ? [...written].sort(compare) : written));
    });
  }
}

const glossary = JSON.parse(document.getElementById("glossary").textContent);
const paper = document.getElementById("paper");
const root = document.documentElement;
const dark = () => root.dataset.paper === "dark" ||
  (!root.dataset.paper && matchMedia("(prefers-color-scheme: dark)").matches);
const label = () => { paper.textContent = dark() ? "Light paper" : "Dark paper"; };
paper.hidden = false;
paper.addEventListener("click", () => { root.dataset.paper = dark() ? "light" : "dark"; label(); });
label();

addEventListener("beforeprint", () => {
  // Tables of numbers and tools are not printed.
  for (const fold of document.querySelectorAll("details:not(.numbers, .tools details)")) fold.open = true;
});

const links = new Map([...document.querySelectorAll("nav a")].map((a) => [a.hash.slice(1), a]));
const seen = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    for (const link of links.values()) link.removeAttribute("aria-current");
    links.get(entry.target.id)?.setAttribute("aria-current", "true");
  }
}, { rootMargin: "-10% 0px -80% 0px" });
for (const section of document.querySelectorAll("main > section")) seen.observe(section);

// --- tables: filter, columns, CSV; a click on a model shows it in all figures

const rowsOf = (table) => [...table.tBodies[0].rows];

function csv(table) {
  const shown = (cells) => [...cells].filter((cell) => !cell.hidden);
  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  // A cell that a spreadsheet would take for a formula is text.
  const plain = (text) => (/^[=+@\t\r]|^-(?![\d.])/.test(text) ? `'${text}` : text);
  const words = (cell) => {
    const text = (cell.dataset.v ?? cell.innerText).replace(/\s*[↕↑↓]\s*$/, "").replace(/\s+/g, " ").trim();
    return quoted(/^[−+]?[\d.,]+/.test(text) ? text.replaceAll("−", "-").replace(/^\+/, "") : plain(text));
  };
  const lines = [table.tHead.rows[0], ...rowsOf(table).filter((row) => !row.hidden)];
  return lines.map((row) => shown(row.cells).map(words).join(",")).join("\n") + "\n";
}

function download(name, text) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

function addTools(table) {
  const tools = document.createElement("div");
  tools.className = "tools";
  const filter = document.createElement("input");
  filter.type = "search";
  filter.placeholder = "Filter rows";
  filter.setAttribute("aria-label", `Filter rows of ${table.caption?.innerText ?? table.id}`);
  filter.addEventListener("input", () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rowsOf(table)) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
    }
  });
  const columns = document.createElement("details");
  const summary = document.createElement("summary");
  summary.textContent = "Columns";
  const list = document.createElement("div");
  for (const [i, head] of [...table.tHead.rows[0].cells].entries()) {
    const label = document.createElement("label");
    const box = document.createElement("input");
    box.type = "checkbox";
    box.checked = true;
    box.addEventListener("change", () => {
      for (const row of [table.tHead.rows[0], ...rowsOf(table)]) row.cells[i].hidden = !box.checked;
    });
    label.append(box, ` ${head.textContent.trim() || "(first)"}`);
    list.append(label);
  }
  columns.append(summary, list);
  const save = document.createElement("button");
  save.type = "button";
  save.textContent = "CSV";
  save.setAttribute("aria-label", `Download ${table.id} as CSV`);
  save.addEventListener("click", () => download(`${table.id}.csv`, csv(table)));
  tools.append(filter, columns, save);
  table.closest(".table").before(tools);
}

for (const table of document.querySelectorAll("main .table > table")) {
  if (rowsOf(table).length > 6) addTools(table);
}

// --- numbers of a figure: a table that is built when it is opened

async function unpacked(id) {
  const bytes = Uint8Array.from(atob(document.getElementById(id).textContent), (c) => c.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
}
const columnsOf = (columns) =>
  Object.entries(columns).map(([name, c]) => [name, c.codes ? c.codes.map((i) => c.values[i]) : c]);

let numbers;
for (const fold of document.querySelectorAll("details.numbers")) {
  const key = fold.id.replace("numbers-", "");
  fold.addEventListener("toggle", async () => {
    if (!fold.open || fold.dataset.built) return;
    fold.dataset.built = "true";
    numbers ??= unpacked("numbers").then(JSON.parse);
    const columns = columnsOf((await numbers)[key]);
    const region = document.createElement("div");
    region.className = "table";
    region.tabIndex = 0;
    const table = document.createElement("table");
    table.id = fold.dataset.file;
    const head = table.createTHead().insertRow();
    for (const [name] of columns) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = name;
      cell.title = glossary[name] ?? "";
      head.append(cell);
    }
    const body = table.createTBody();
    for (let i = 0; i < columns[0][1].length; i++) {
      const row = body.insertRow();
      for (const [, values] of columns) row.insertCell().textContent = values[i] ?? "";
    }
    region.append(table);
    fold.append(region);
    addTools(table);
  });
}

function openTarget() {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let fold = target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", openTarget);
document.addEventListener("click", (event) => {
  if (event.target.closest?.('a[href^="#"]')) setTimeout(openTarget);
});

for (const block of document.querySelectorAll(".copyable")) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    const text = block.querySelector("pre").innerText;
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      getSelection().selectAllChildren(block.querySelector("pre"));
      document.execCommand("copy");
    }
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  block.append(button);
}

// --- charts, drawn after the page has been painted

let charts = {};
const views = new Map();
const chosen = document.getElementById("picked");
let picked = "";

function pick(name) {
  picked = !name || name === picked ? "" : name;
  for (const view of views.values()) view.signal("picked", picked).run();
  chosen.hidden = !picked;
  chosen.textContent = `Highlighted: ${picked} ✕`;
  for (const row of document.querySelectorAll("main .table tbody tr")) {
    const text = [...row.cells].slice(0, 2).map((cell) => cell.innerText.trim()).filter(Boolean);
    row.classList.toggle("picked", picked !== "" && (text[0] === picked || `${text[0]} (${text[1]})` === picked));
  }
}
chosen.addEventListener("click", () => pick(""));
addEventListener("keydown", (event) => { if (event.key === "Escape") pick(""); });

const rows = (columns) => {
  const named = columnsOf(columns);
  return named[0][1].map((_, i) => Object.fromEntries(named.map(([name, v]) => [name, v[i]])));
};

const themed = (spec) => JSON.parse(
  JSON.stringify(spec).replaceAll("#1f2328", "var(--ink)").replaceAll("#ffffff", "var(--paper)")
    .replaceAll("#8a9199", "var(--axis)"),
);

const look = (narrow) => ({
  background: null,
  font: "Liberation Sans, Arial, Helvetica, sans-serif",
  view: { stroke: "var(--rule)" },
  axis: {
    labelColor: "var(--muted)", titleColor: "var(--muted)", gridColor: "var(--rule)", domainColor: "var(--axis)",
    tickColor: "var(--axis)", labelFontSize: 11, titleFontSize: 11.5, titleFontWeight: "normal", labelOverlap: "greedy",
  },
  axisX: { tickCount: narrow ? 3 : 5 },
  axisY: { labelLimit: narrow ? 175 : 190, labelColor: "var(--ink)" },
  header: { labelColor: "var(--ink)", labelFontSize: 12 },
  text: { color: "var(--muted)" },
});

async function draw(key) {
  const place = document.getElementById(`chart-${key}`);
  const result = place.getAttribute("aria-label");
  const width = place.clientWidth || place.closest("section").clientWidth;
  const spec = themed(charts[key].spec);
  const { panels, apart } = spec.usermeta;
  const narrow = width < 560;
  const least = narrow ? 400 : spec.usermeta.least * 0.82;
  const labels = spec.usermeta.labels || (narrow ? 185 : 205);
  const fitting = Math.floor(apart ? width / (least + labels) : (width - labels) / least);
  const columns = Math.max(1, Math.min(panels, fitting));
  const beside = labels * (apart ? columns : 1) + 26 * columns;
  const size = Math.max(110, Math.floor((width - beside) / columns));
  (spec.spec ?? spec).width = Math.min(size, panels === 1 ? 560 : 420);
  if (spec.spec) spec.columns = columns;
  spec.datasets = { rows: rows(charts[key].rows) };
  const { view } = await window.vegaEmbed(place, spec, {
    actions: false, renderer: "svg", logLevel: 1, config: look(narrow), tooltip: { disableDefaultStyle: true },
  });
  // Vega names the place after itself; it is one picture that says its result, beside its numbers.
  place.setAttribute("role", "img");
  place.setAttribute("aria-label", result);
  place.removeAttribute("aria-roledescription");
  place.querySelector("svg").setAttribute("aria-hidden", "true");
  view.addEventListener("click", (_, item) => pick(item?.datum?.name));
  views.set(key, view);
  place.dataset.width = place.clientWidth;
  place.dataset.drawn = "true";
  if (picked) view.signal("picked", picked).run();
}

async function drawAll() {
  charts = JSON.parse(await unpacked("charts"));
  if (!Object.keys(charts).length) return;
  const script = document.createElement("script");
  script.textContent = await unpacked("library");
  document.body.append(script);
  for (const key of Object.keys(charts)) {
    await draw(key);
    await new Promise((done) => { setTimeout(done); });
  }
  document.documentElement.dataset.charts = "drawn";
  openTarget();
}
requestAnimationFrame(() => setTimeout(drawAll, 30));

let waiting;
addEventListener("resize", () => {
  clearTimeout(waiting);
  waiting = setTimeout(async () => {
    for (const [key] of views) {
      const place = document.getElementById(`chart-${key}`);
      if (place.clientWidth && Math.abs(place.clientWidth - place.dataset.width) > 40) await draw(key);
    }
  }, 200);
});
for (const fold of document.querySelectorAll("main details:not(.numbers)")) {
  fold.addEventListener("toggle", async () => {
    for (const place of fold.querySelectorAll('.chart[data-drawn]')) {
      if (place.clientWidth && Math.abs(place.clientWidth - place.dataset.width) > 40) await draw(place.id.slice(6));
    }
  });
}
