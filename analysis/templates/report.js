"use strict";
// Tables: sorted by a button in each head, shown in pages, searched by name. Without this script
// they stand as written, with the first rows of a long one.
const PAGE_ROWS = 50;

function element(name, properties = {}, ...content) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...content);
  return made;
}

class Table {
  constructor(table, more) {
    this.table = table;
    this.body = table.tBodies[0];
    const holder = element("template", { innerHTML: more.join("") });
    this.rows = [...this.body.rows, ...holder.content.querySelectorAll("tr")];
    this.found = this.rows;
    this.page = 0;
    if (table.classList.contains("sortable")) this.addButtons();
    if (this.rows.length > PAGE_ROWS) this.addPager();
  }

  addButtons() {
    this.table.querySelectorAll("thead th").forEach((head, column) => {
      const button = element("button", { type: "button" }, ...head.childNodes);
      button.addEventListener("click", () => this.sort(column, head));
      head.append(button);
    });
  }

  sort(column, head) {
    const ascending = head.getAttribute("aria-sort") !== "ascending";
    this.table.querySelectorAll("thead th").forEach((each) => each.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.key ?? row.cells[column].textContent.trim();
    const compare = (a, b) => {
      const [left, right] = [key(a), key(b)];
      if (left === "" || right === "") return (left === "") - (right === "");  // undefined ones last
      const numbers = !isNaN(left) && !isNaN(right);
      const order = numbers ? Number(left) - Number(right) : left.localeCompare(right);
      return ascending ? order : -order;
    };
    this.rows.sort(compare);
    this.find();
  }

  addPager() {
    const button = (text, step) => {
      const made = element("button", { type: "button", className: "button", textContent: text });
      made.addEventListener("click", () => { this.page += step; this.show(); });
      return made;
    };
    this.search = element("input", { type: "search" });
    this.search.addEventListener("input", () => this.find());
    this.where = element("span", { role: "status" });
    this.back = button("Previous", -1);
    this.next = button("Next", 1);
    const label = element("label", {}, "Find a configuration ", this.search);
    const scroll = this.table.closest(".scroll");
    scroll.before(element("div", { className: "pager" }, label, this.back, this.next, this.where));
    scroll.parentElement.querySelectorAll(".unseen").forEach((note) => {
      if (note.previousElementSibling === scroll) note.remove();
    });
    this.show();
  }

  find() {
    const words = this.search ? this.search.value.toLowerCase().split(/\s+/) : [];
    const has = (row) => words.every((word) => row.textContent.toLowerCase().includes(word));
    this.found = this.rows.filter(has);
    this.page = 0;
    this.show();
  }

  show() {
    const last = Math.max(0, Math.ceil(this.found.length / PAGE_ROWS) - 1);
    this.page = Math.min(Math.max(this.page, 0), last);
    const start = this.page * PAGE_ROWS;
    const shown = this.search ? this.found.slice(start, start + PAGE_ROWS) : this.found;
    this.body.replaceChildren(...shown);
    if (!this.search) return;
    this.where.textContent = shown.length
      ? `${start + 1} to ${start + shown.length} of ${this.found.length}`
      : "none";
    this.back.disabled = this.page === 0;
    this.next.disabled = this.page === last;
  }
}

// What the page holds in compressed form; null where it holds nothing or the browser cannot unpack.
async function unpacked() {
  const packed = document.getElementById("packed");
  if (!packed || typeof DecompressionStream === "undefined") return null;
  const bytes = Uint8Array.from(atob(packed.textContent), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

function offerDownload(csv) {
  const href = URL.createObjectURL(new Blob([csv], { type: "text/csv" }));
  const link = element("a", { className: "button", download: "front.csv", href }, "Download as CSV");
  document.getElementById("download").prepend(link, " ");
}

unpacked().then((content) => {
  document.querySelectorAll("table.sortable, table.cards").forEach(
    (table) => new Table(table, content?.rows?.[table.id] ?? []));
  if (content) {
    offerDownload(content.csv);
    new Scatter(document.getElementById("explore"), content.scatter);
  }
  document.documentElement.dataset.ready = "yes";
});
