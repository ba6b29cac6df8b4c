// The front as an interactive figure: two numbers and a protocol to choose, configurations to read
// and to select. Values are in points: [value, lo, hi, mean of the null, its bound, p].
const MOST_SELECTED = 4;
const MARGIN = { left: 52, right: 16, top: 14, bottom: 46 };

// The page's own drawings know the namespace of SVG: no address stands in this file.
const SVG = document.querySelector("svg")?.namespaceURI;

function svg(name, attributes = {}, ...content) {
  const made = document.createElementNS(SVG, name);
  Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
  made.append(...content);
  return made;
}

const written = (value) => value.toFixed(1).replace("-", "−");
const signedText = (value) => (value > 0 ? "+" : "") + written(value);

function intervalText(values) {
  if (!values) return "undefined";
  const [value, lo, hi] = values;
  return lo == null ? `${written(value)} (no interval)` : `${written(value)} (${written(lo)} to ${written(hi)})`;
}

function nullText(values) {
  if (!values || values[3] == null) return "";
  const p = values[5] == null ? "" : `, p ${values[5].toFixed(3)}`;
  return `; a fair model would show ${written(values[3])}, up to ${written(values[4])}${p}`;
}

// Round numbers between low and high, about five of them.
function ticks(low, high) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough * (1 - 1e-9));
  const count = Math.floor(high / step + 1e-9) - Math.ceil(low / step - 1e-9) + 1;
  return Array.from({ length: count }, (_, n) => (Math.ceil(low / step - 1e-9) + n) * step);
}

class Scatter {
  constructor(figure, data) {
    Object.assign(this, { figure, data, selected: [], focused: 0 });
    this.readout = figure.querySelector(".readout");
    this.plot = figure.querySelector(".plot");
    this.compared = figure.querySelector(".compared");
    this.addControls(figure.querySelector(".controls"));
    figure.hidden = false;
    document.body.classList.add("scripted");
    this.addBoxes();
    this.draw();
    new ResizeObserver(() => { if (this.plot.clientWidth !== this.width) this.draw(); }).observe(this.plot);
  }

  // Controls

  addControls(place) {
    const { numbers, objectives, protocols } = this.data;
    const second = objectives.find((name) => name !== "auc") ?? numbers[1]?.name ?? "auc";
    const names = numbers.map(({ name, title, definition }) => [name, `${title} (${definition})`]);
    this.x = this.addChoice(place, "Across", names, second);
    this.y = this.addChoice(place, "Up", names, "auc");
    this.protocol = this.addChoice(place, "Protocol", protocols.map((name) => [name, name]), protocols[0]);
    this.shown = this.addChoice(place, "Show", [["all", "every configuration"], ["front", "the front"]], "all");
  }

  addChoice(place, title, options, chosen) {
    const select = element("select", {}, ...options.map(([value, text]) => element("option", { value }, text)));
    select.value = chosen;
    select.addEventListener("change", () => { this.draw(); this.compare(); });
    place.append(element("label", {}, `${title} `, select));
    return select;
  }

  // A box to select a configuration in each row of the table.
  addBoxes() {
    this.places = new Map(this.data.configurations.map(({ label }, place) => [label, place]));
    document.getElementById("front-table").addEventListener("change", (event) => {
      const row = event.target.closest("tr");
      if (event.target.matches(".pick")) this.toggle(this.places.get(row.dataset.label));
    });
    const boxed = (row) => {
      const place = this.places.get(row.dataset.label);
      const box = row.querySelector(".pick") ?? this.newBox(row, place);
      box.checked = this.selected.includes(place);
    };
    this.markBoxes = () => document.querySelectorAll("#front-table tbody tr").forEach(boxed);
    this.markBoxes();
    new MutationObserver(() => this.markBoxes()).observe(
      document.querySelector("#front-table tbody"), { childList: true });
  }

  newBox(row, place) {
    const box = element("input", { type: "checkbox", className: "pick" });
    box.setAttribute("aria-label", `Compare ${this.data.configurations[place].name}`);
    row.cells[0].append(box);
    return box;
  }

  // Values

  index(select) { return this.data.numbers.findIndex(({ name }) => name === select.value); }

  values(place, number) { return this.data.values[this.protocol.value][place][number]; }

  drawn() {
    const [x, y] = [this.index(this.x), this.index(this.y)];
    const defined = this.data.configurations.map((each, place) => ({ each, place }))
      .filter(({ each }) => this.shown.value === "all" || each.number)
      .map((point) => ({ ...point, x: this.values(point.place, x), y: this.values(point.place, y) }))
      .filter((point) => point.x && point.y);
    return defined.sort((a, b) => a.x[0] - b.x[0] || a.y[0] - b.y[0]);
  }

  // Figure

  draw() {
    const points = this.drawn();
    this.width = this.plot.clientWidth || 640;
    this.height = Math.round(Math.min(460, Math.max(320, 0.6 * this.width)));
    const [across, up] = [this.x, this.y].map((select) => this.data.numbers[this.index(select)]);
    const left = this.data.configurations.length - points.length;
    this.points = points;
    if (!points.length) {
      this.plot.replaceChildren(element("p", { textContent: "No configuration has both numbers defined." }));
      return;
    }
    const x = this.scale(points.map((p) => p.x), across, MARGIN.left, this.width - MARGIN.right);
    const y = this.scale(points.map((p) => p.y), up, this.height - MARGIN.bottom, MARGIN.top);
    const bars = points.length <= 60;
    this.marks = points.map((point) => this.mark(point, x, y, bars));
    const group = svg("g", { role: "group", "aria-label": "Configurations" });
    group.append(...[...this.marks].sort((a, b) => a.dataset.front - b.dataset.front));
    this.plot.replaceChildren(svg("svg", {
      viewBox: `0 0 ${this.width} ${this.height}`, width: this.width, height: this.height,
    }, ...this.frame(across, up, x, y, points), group));
    this.focused = Math.min(this.focused, points.length - 1);
    this.marks[this.focused].setAttribute("tabindex", "0");
    this.readout.textContent = left
      ? `${points.length} configurations; ${left} not shown (filtered, or without these numbers).`
      : `${points.length} configurations. Test split, protocol ${this.protocol.value}, in points, with intervals.`;
    this.markSelected();
  }

  scale(values, number, start, end) {
    const all = values.flatMap((v) => [v[0], v[1] ?? v[0], v[2] ?? v[0], ...(number.gap ? [v[4] ?? v[0]] : [])]);
    const high = Math.max(...all), low = number.gap ? 0 : Math.min(...all);
    const room = 0.05 * (high - low) || 1;
    const from = number.gap ? Math.min(0, Math.min(...all)) : low - room, to = high + room;
    const place = (value) => start + ((value - from) / (to - from)) * (end - start);
    return Object.assign(place, { ticks: ticks(from, to) });
  }

  frame(across, up, x, y, points) {
    const [bottom, right] = [this.height - MARGIN.bottom, this.width - MARGIN.right];
    const text = (value) => String(+value.toFixed(6)).replace("-", "−");
    const parts = [...this.noise(across, points.map((p) => p.x), x, bottom)];
    for (const value of x.ticks) {
      parts.push(svg("line", { class: "grid", x1: x(value), x2: x(value), y1: MARGIN.top, y2: bottom }));
      parts.push(svg("text", { x: x(value), y: bottom + 17, "text-anchor": "middle" }, text(value)));
    }
    for (const value of y.ticks) {
      parts.push(svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y(value), y2: y(value) }));
      parts.push(svg("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, text(value)));
    }
    const title = ({ title, better }) => `${title}, points; ${better}`;
    parts.push(svg("text", { class: "axis-title", x: (MARGIN.left + right) / 2, y: this.height - 8, "text-anchor": "middle" }, title(across)));
    parts.push(svg("text", { class: "axis-title", transform: `translate(14 ${bottom / 2}) rotate(-90)`, "text-anchor": "middle" }, title(up)));
    return parts;
  }

  // What a fair model would show of a gap: mean of the null to its bound, averaged.
  noise(number, values, x, bottom) {
    const nulls = values.filter((v) => v[4] != null);
    if (!number.gap || !nulls.length) return [];
    const mean = (column) => nulls.reduce((sum, v) => sum + v[column], 0) / nulls.length;
    const [from, to] = [x(mean(3)), x(mean(4))];
    return [svg("rect", { class: "band", x: from, width: Math.max(0, to - from), y: MARGIN.top, height: bottom - MARGIN.top })];
  }

  mark({ each, place, x: across, y: up }, x, y, bars) {
    const [cx, cy] = [x(across[0]), y(up[0])];
    const mark = svg("g", {
      class: "point", role: "checkbox", tabindex: "-1", "aria-checked": "false",
      "aria-label": this.details(place), "data-place": place, "data-front": each.number ? 1 : 0,
    });
    const bar = (x1, x2, y1, y2) => mark.append(svg("line", { class: "bar", stroke: each.colour, x1, x2, y1, y2 }));
    if (bars && across[1] != null) bar(x(across[1]), x(across[2]), cy, cy);
    if (bars && up[1] != null) bar(cx, cx, y(up[1]), y(up[2]));
    mark.append(svg("circle", { class: "ring", cx, cy, r: 11 }));
    const size = bars || each.number ? 1.15 : 0.7;
    mark.append(svg("path", {
      class: "mark", transform: `translate(${cx} ${cy}) scale(${size})`, d: each.path,
      stroke: each.colour, fill: each.number ? each.colour : "var(--paper)",
    }));
    if (each.number) mark.append(svg("text", { class: "strong", x: cx + 8, y: cy - 8 }, String(each.number)));
    mark.append(svg("circle", { class: "hit", cx, cy, r: bars ? 12 : 6 }));
    mark.addEventListener("pointerenter", () => this.read(place));
    mark.addEventListener("focus", () => this.read(place));
    mark.addEventListener("click", () => this.toggle(place));
    mark.addEventListener("keydown", (event) => this.pressed(event, place));
    return mark;
  }

  // Reading

  details(place) {
    const each = this.data.configurations[place];
    const numbers = [this.index(this.y), this.index(this.x)].map((number) => {
      const values = this.values(place, number);
      return `${this.data.numbers[number].title} ${intervalText(values)}${nullText(values)}`;
    });
    const front = each.number ? `number ${each.number} of the front` : "not on the front";
    return `${each.name} (${each.label}), ${front}: ${numbers.join("; ")}`;
  }

  read(place) { this.readout.textContent = this.details(place); }

  pressed(event, place) {
    const steps = { ArrowRight: 1, ArrowUp: 1, ArrowLeft: -1, ArrowDown: -1, Home: -Infinity, End: Infinity };
    if (event.key === "Enter" || event.key === " ") this.toggle(place);
    else if (event.key in steps) this.move(steps[event.key]);
    else return;
    event.preventDefault();
  }

  move(step) {
    this.marks[this.focused].setAttribute("tabindex", "-1");
    this.focused = Math.min(Math.max(this.focused + step, 0), this.marks.length - 1);
    this.marks[this.focused].setAttribute("tabindex", "0");
    this.marks[this.focused].focus();
  }

  // Comparing

  toggle(place) {
    const others = this.selected.filter((each) => each !== place);
    this.selected = others.length < this.selected.length ? others : [...others.slice(1 - MOST_SELECTED), place];
    const focused = this.points.findIndex((point) => point.place === place);
    if (focused >= 0) {
      this.marks[this.focused].setAttribute("tabindex", "-1");
      this.focused = focused;
      this.marks[focused].setAttribute("tabindex", "0");
    }
    this.markSelected();
    this.markBoxes();
    this.compare();
  }

  markSelected() {
    this.marks?.forEach((mark) => {
      const on = this.selected.includes(Number(mark.dataset.place));
      mark.setAttribute("aria-checked", String(on));
      mark.classList.toggle("selected", on);
    });
  }

  compare() {
    const chosen = this.selected.map((place) => this.data.configurations[place]);
    if (!chosen.length) { this.compared.replaceChildren(); return; }
    const head = element("tr", {}, element("th", { scope: "col" }, "Number"),
      ...chosen.map(({ name }) => element("th", { scope: "col" }, name)));
    const lines = this.data.numbers.map((number, n) => {
      const cells = this.selected.map((place, at) => this.comparedCell(n, place, at, chosen[at].name));
      const title = element("th", { scope: "row" }, number.title, element("small", {}, number.definition));
      return element("tr", {}, title, ...cells);
    });
    const caption = `Test split, protocol ${this.protocol.value}, in points. Below a value: its step from the first `
      + "configuration, of the AUC and the objectives with the interval of the paired difference where both are on the front.";
    const clear = element("button", { type: "button", className: "button", textContent: "Clear" });
    clear.addEventListener("click", () => { this.selected = []; this.markSelected(); this.markBoxes(); this.compare(); });
    const table = element("table", { className: "cards" },
      element("caption", {}, element("span", {}, caption)), element("thead", {}, head), element("tbody", {}, ...lines));
    this.compared.replaceChildren(element("h3", {}, `${chosen.length} selected `, clear), table);
  }

  comparedCell(number, place, at, name) {
    const values = this.values(place, number);
    const cell = element("td", {}, element("span", {}, intervalText(values)));
    cell.dataset.head = name;
    const step = at ? this.step(number, this.selected[0], place) : "";
    if (step) cell.append(element("small", {}, step));
    return cell;
  }

  // From the first configuration to another one: with its interval if the page holds it.
  step(number, first, other) {
    const [a, b] = [this.values(first, number), this.values(other, number)];
    if (!a || !b) return "";
    const way = first < other ? 1 : -1;
    const key = [first, other].sort((p, q) => p - q).join(",");
    const usual = this.protocol.value === this.data.protocols[0];
    const paired = usual ? this.data.differences[key]?.[number] : null;
    if (!paired || paired[1] == null) return `${signedText(b[0] - a[0])} (no interval here)`;
    const limits = way > 0 ? [paired[1], paired[2]] : [-paired[2], -paired[1]];
    return `${signedText(way * paired[0])} (${signedText(limits[0])} to ${signedText(limits[1])})`;
  }
}
