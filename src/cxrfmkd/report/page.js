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

const paper = document.getElementById("paper");
const root = document.documentElement;
const dark = () => root.dataset.paper === "dark" ||
  (!root.dataset.paper && matchMedia("(prefers-color-scheme: dark)").matches);
const label = () => { paper.textContent = dark() ? "Light paper" : "Dark paper"; };
paper.hidden = false;
paper.addEventListener("click", () => { root.dataset.paper = dark() ? "light" : "dark"; label(); });
label();

addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("details")) fold.open = true;
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
