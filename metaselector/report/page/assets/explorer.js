// Shows one user of a run.

const COLOURS = 7;

const number = value => (value === null || value === undefined ? "" : value.toFixed(4));
const share = value => (value === null ? "" : (value / 10000).toFixed(3));
const mark = value => (value === null ? "not observed" : String(value));

function time(value, timed) {
  if (!timed) return `row ${value}`;
  const date = new Date(value * 1000);
  return isNaN(date) ? String(value) : date.toISOString().slice(0, 16).replace("T", " ");
}

// columns: pairs of title and class; rows: arrays of texts, the first of which names the row.
function table(caption, columns, rows, kind = "") {
  const head = columns.map(([title, kind]) => element("th", { scope: "col", class: kind }, title));
  const cell = (text, at) => (at
    ? element("td", { class: columns[at][1] }, text)
    : element("th", { scope: "row", class: columns[0][1] }, text));
  const made = element("table", {}, element("caption", {}, caption),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows.map(row => element("tr", {}, ...row.map(cell)))));
  makeSortable(made);
  const box = { class: `scroll ${kind}`, role: "region", tabindex: "0", "aria-label": caption };
  return element("div", box, made);
}

// lines: name, colour and values by step. The table below the charts has the same numbers.
function chart(title, lines, most) {
  const [width, height, left, right, top, bottom] = [360, 190, 44, 10, 10, 34];
  const values = lines.flatMap(line => line.values);
  const [least, largest] = [Math.min(...values), Math.max(...values)];
  const margin = Math.max(0.05, largest - least) / 8;
  const low = Math.max(0, least - margin);
  const high = Math.min(most, Math.max(largest + margin, low + 0.05));
  const steps = lines[0].values.length - 1;
  const x = step => left + (width - left - right) * (steps ? step / steps : 0.5);
  const y = value => height - bottom - (height - top - bottom) * (value - low) / (high - low);
  const text = (content, attributes) => shape("text", attributes, content);
  const drawn = shape("svg", { viewBox: `0 0 ${width} ${height}`, class: "values", tabindex: "0",
    role: "group", "aria-label": `${title}: use the arrow keys` });
  for (const part of [0, 0.5, 1]) {
    const value = low + part * (high - low);
    drawn.append(
      shape("line", { class: "axis", x1: left, x2: width - right, y1: y(value), y2: y(value) }),
      text(value.toFixed(2), { x: left - 6, y: y(value) + 4, "text-anchor": "end" }));
  }
  const every = Math.ceil((steps + 1) / 10);
  for (let step = 0; step <= steps; step += every) {
    drawn.append(text(String(step), { x: x(step), y: height - bottom + 16, "text-anchor": "middle" }));
  }
  drawn.append(text("inner steps", { x: (left + width - right) / 2, y: height - 3, "text-anchor": "middle" }));
  const legend = element("ul", { class: "legend" });
  for (const { name, colour, values } of lines) {
    const kind = `series c${colour % COLOURS}`;
    const points = values.map((value, step) => [x(step).toFixed(1), y(value).toFixed(1)]);
    drawn.append(
      shape("polyline", { class: kind, points: points.join(" "), "data-name": name }),
      ...points.map(([cx, cy], step) => shape("circle", { class: `${kind} point`, cx, cy, r: 2.5,
        "data-hint": `${name}, step ${step}: ${number(values[step])}` })));
    const swatch = shape("svg", { viewBox: "0 0 28 10", "aria-hidden": "true" },
      shape("line", { class: kind, x1: 0, x2: 28, y1: 5, y2: 5 }));
    legend.append(element("li", {}, swatch, name));
  }
  return element("div", { class: "chart" }, element("h4", {}, title), drawn, legend);
}

function charts(about, user) {
  const colour = name => (name === "selector" ? COLOURS - 1 : about.base_models.indexOf(name));
  const lines = prefix => about.inner.map((column, at) => [column, at])
    .filter(([column]) => column.startsWith(prefix))
    .map(([column, at]) => [column.slice(prefix.length), user.steps.map(step => step[at])])
    .map(([name, values]) => ({ name, values, colour: colour(name) }));
  const columns = [["steps", "number"], ...about.inner.map(name => [name.replace("_", " "), "number"])];
  const rows = user.steps.map((step, at) => [at, ...step.map(number)]);
  return [
    element("div", { class: "charts" },
      chart(`Mean weight of each base model on the test rows${about.tasks.length > 1 ? " and tasks" : ""}`, lines("weight_"), 1),
      chart("Distance of the parameters from their initial values", lines("moved_"), Infinity)),
    table("Inner steps: support loss, weights, distances", columns, rows),
  ];
}

function losses(about, user) {
  const tasks = Object.entries(user.losses);
  const title = (task, [count]) =>
    `${tasks.length > 1 ? `${task}: ` : ""}${count} test row${count === 1 ? "" : "s"}`;
  const rows = about.scored.map((name, at) => [name, ...tasks.map(([, values]) => number(values[at + 1]))]);
  const columns = [["model", ""], ...tasks.map(([task, values]) => [title(task, values), "number"])];
  return table("Logloss of the user's test rows", columns, rows, "narrow");
}

// Columns that identify a row, as far as the data has them.
function described(about, items, place, times) {
  const [named, titled] = [0, 1].map(part => items.some(item => item[part]));
  return {
    columns: [...(named ? [["item", ""]] : []), ...(titled ? [["title", "title"]] : []),
      [about.timed ? "time (UTC)" : "row", ""]],
    cells: row => [...(named ? [items[place[row]][0]] : []), ...(titled ? [items[place[row]][1]] : []),
      time(times[row], about.timed)],
  };
}

function support(about, items, user) {
  if (!user.support.length) return element("p", {}, "There are no support rows, so nothing adapts.");
  const [place, times, ...labels] = user.support;
  const { columns, cells } = described(about, items, place, times);
  const rows = place.map((_, row) => [...cells(row), ...labels.map(column => mark(column[row]))]);
  return table(`History: ${rows.length} support rows, most recent last`,
    [...columns, ...about.labels.map(name => [`label ${name}`, "number"])], rows, "tall");
}

function test(about, items, user) {
  const [place, times, tasks, labels, ...models] = user.test;
  const several = about.tasks.length > 1;
  const { columns, cells } = described(about, items, place, times);
  const rows = place.map((_, row) => [...cells(row), ...(several ? [tasks[row]] : []),
    mark(labels[row]), ...models.map(column => share(column[row]))]);
  const total = Object.values(user.losses).reduce((sum, [count]) => sum + count, 0);
  const shown = rows.length < total ? `the first ${rows.length} of ${total}` : `all ${total}`;
  return table(`Test rows: predicted probability of label 1 by model; ${shown}`,
    [...columns, ...(several ? [["task", ""]] : []), ["label", "number"],
      ...about.predicted.map(name => [name, "number"])], rows, "tall");
}

class Explorer {
  constructor(root, { about, items, users }) {
    Object.assign(this, { about, items, users });
    this.prefix = root.dataset.prefix;
    const [find, order, list] = root.querySelectorAll("input, select");
    Object.assign(this, { find, order, list });
    this.count = root.querySelector("[data-role=count]");
    this.user = root.querySelector("[data-role=user]");
    this.facts = new Map(users.map(user => [user, this.summed(user)]));
    if (!about.scored.includes("uniform")) {
      for (const option of [...order.options].slice(3)) option.remove();
    }
    find.addEventListener("input", () => this.choose(this.fill()));
    order.addEventListener("change", () => this.choose(this.fill()));
    list.addEventListener("change", () => this.choose(users[Number(list.value)]));
    find.addEventListener("keydown", event => {
      if (event.key !== "ArrowDown" && event.key !== "Enter") return;
      event.preventDefault();
      list.focus();
    });
    this.show(this.fill());
  }

  // Rows and mean logloss over all tasks, of the explored model and of the uniform average.
  summed(user) {
    const [own, uniform] = [this.about.model, "uniform"].map(name => this.about.scored.indexOf(name) + 1);
    let [rows, loss, other] = [0, 0, 0];
    for (const values of Object.values(user.losses)) {
      rows += values[0];
      loss += values[0] * values[own];
      other += uniform ? values[0] * values[uniform] : 0;
    }
    return { rows, loss: loss / rows, gain: (other - loss) / rows };
  }

  // List the users that match, and return the first one.
  fill() {
    const wanted = this.find.value.trim().toLowerCase();
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    const fact = user => this.facts.get(user);
    const orders = {
      name: (a, b) => compare(a.name, b.name),
      rows: (a, b) => fact(b).rows - fact(a).rows,
      high: (a, b) => fact(b).loss - fact(a).loss,
      gain: (a, b) => fact(b).gain - fact(a).gain,
      loss: (a, b) => fact(a).gain - fact(b).gain,
    };
    // An exact match comes first in any order.
    const exact = user => Number(user.name.toLowerCase() === wanted);
    const found = this.users.filter(user => user.name.toLowerCase().includes(wanted))
      .sort((a, b) => exact(b) - exact(a) || orders[this.order.value](a, b));
    const places = new Map(this.users.map((user, at) => [user, at]));
    this.list.replaceChildren(...found.map(user => {
      const { rows, loss } = fact(user);
      return element("option", { value: places.get(user) }, `${user.name} · ${rows} · ${loss.toFixed(3)}`);
    }));
    this.count.textContent = found.length === 1 ? "1 user" : `${found.length} users`;
    if (!found.length) this.user.replaceChildren(element("p", {}, "No user name matches."));
    this.list.selectedIndex = found.length ? 0 : -1;
    return found[0];
  }

  address(user) {
    return `#${this.prefix}${encodeURIComponent(user.name)}`;
  }

  // A user that a reader chose is in the page's address, so that it can be sent.
  choose(user) {
    if (!user) return;
    history.replaceState(null, "", this.address(user));
    this.show(user);
  }

  // Show the user of the page's address, if it names one of this run.
  follow() {
    const user = this.users.find(user => this.address(user) === location.hash);
    if (!user) return;
    this.find.value = "";
    this.fill();
    this.list.value = String(this.users.indexOf(user));
    this.show(user);
    this.user.scrollIntoView();
  }

  show(user) {
    if (!user) return;
    const { about, items } = this;
    this.user.replaceChildren(
      element("h3", {}, element("a", { href: this.address(user) }, `User ${user.name}`)),
      losses(about, user),
      ...(user.steps.length ? charts(about, user) : []),
      support(about, items, user),
      test(about, items, user));
  }
}

const data = JSON.parse(document.getElementById("users").textContent);
for (const root of document.querySelectorAll(".explorer")) {
  const explorer = new Explorer(root, data[Number(root.dataset.run)]);
  explorer.follow();
  addEventListener("hashchange", () => explorer.follow());
}
