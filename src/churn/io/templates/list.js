"use strict";
// Sorting, search, filters and details of the list. Texts of customers are only ever text nodes.
(() => {
  const { calendars, rows: entries } = JSON.parse(document.getElementById("data").textContent);
  const table = document.querySelector("main > table");
  if (!table) return;
  const body = table.tBodies[0];
  const panel = document.getElementById("panel");
  const search = document.getElementById("q");
  const sorter = document.getElementById("sort");
  const more = document.getElementById("more");
  const rest = document.getElementById("rest");
  const filters = [...document.querySelectorAll("[data-filter]")];
  const heads = [...table.querySelectorAll("th[data-sort]")];
  const items = [...body.rows].map((tr) => {
    const entry = entries[Number(tr.dataset.row)];
    const words = [tr.textContent, ...entry.ids.map((pair) => pair[1])].join(" ");
    return { tr, entry, fits: true, opener: tr.querySelector(".open"), words: plain(words) };
  });
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const falling = new Set(["risk", "stake"]);
  let sort = { key: "rank", way: "up" };
  let order = items;
  let opened = null;
  let limit = 120; // rows on show: more would make each key press wait for the layout

  function plain(text) {
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
  }

  function make(tag, settings = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(settings)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  function draw(tag, settings, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(settings)) element.setAttribute(name, value);
    element.append(...children);
    return element;
  }

  // --- sorting and filtering ---

  function compare(one, other) {
    const [left, right] = [one.entry.sort[sort.key], other.entry.sort[sort.key]];
    if (left === null || right === null) return (left === null) - (right === null);
    const way = sort.way === "up" ? 1 : -1;
    return way * (typeof left === "string" ? collator.compare(left, right) : left - right);
  }

  function arrange() {
    order = [...items].sort((one, other) => compare(one, other) || one.entry.sort.rank - other.entry.sort.rank);
    body.append(...order.map((item) => item.tr));
    lay();
    for (const head of heads) {
      if (head.dataset.sort !== sort.key) head.removeAttribute("aria-sort");
      else head.setAttribute("aria-sort", sort.way === "up" ? "ascending" : "descending");
    }
    const choice = `${sort.key}:${sort.way}`;
    if ([...sorter.options].some((option) => option.value === choice)) sorter.value = choice;
  }

  function chosen(select) {
    return select.value === "" ? null : select.selectedOptions[0].textContent;
  }

  function sift() {
    const words = plain(search.value).split(/\s+/).filter(Boolean);
    const wanted = filters.map((select) => [select.dataset.filter, chosen(select)]).filter((pair) => pair[1] !== null);
    for (const item of items) {
      item.fits =
        words.every((word) => item.words.includes(word)) &&
        wanted.every(([key, value]) => item.entry.keys[key].includes(value));
    }
    lay();
    for (const select of filters) select.classList.toggle("on", select.value !== "");
    if (more) more.textContent = wanted.length ? `Filters (${wanted.length})` : "Filters";
    document.getElementById("clear").hidden = !words.length && !wanted.length;
    tell();
  }

  function lay() {
    let count = 0;
    for (const item of order) {
      count += item.fits;
      item.tr.hidden = !item.fits || count > limit;
    }
    rest.hidden = count <= limit;
    rest.textContent = `Show all ${count.toLocaleString("en")}`;
  }

  function showAll() {
    limit = Infinity;
    lay();
  }

  function shown() {
    return order.filter((item) => item.fits);
  }

  function stake(visible) {
    const sums = new Map();
    for (const { entry } of visible) {
      const [sign, amount] = entry.stake;
      if (amount !== null) sums.set(sign, (sums.get(sign) || 0) + amount);
    }
    return [...sums].map(([sign, sum]) => sign + Math.round(sum).toLocaleString("en")).join(" + ");
  }

  function tell() {
    const visible = shown();
    const leavers = visible.reduce((sum, item) => sum + (item.entry.sort.risk || 0), 0);
    const [some, all] = [visible.length, items.length].map((count) => count.toLocaleString("en"));
    const parts = [
      `${some} of ${all} customers`,
      leavers >= 1 ? `about ${Math.round(leavers)} expected to leave` : "fewer than one expected to leave",
    ];
    if (stake(visible)) parts.push(`${stake(visible)} a year at stake`);
    document.getElementById("count").textContent = some === all ? `All ${all} customers` : parts.join(" · ");
    document.getElementById("nothing").hidden = visible.length > 0;
    table.hidden = visible.length === 0;
  }

  // --- the address remembers the view, so that it can be bookmarked and sent ---

  function remember() {
    const state = new URLSearchParams();
    if (search.value) state.set("q", search.value);
    for (const select of filters) if (chosen(select) !== null) state.set(select.dataset.filter, chosen(select));
    if (sort.key !== "rank" || sort.way !== "up") state.set("sort", `${sort.key}:${sort.way}`);
    if (opened) state.set("open", idOf(opened));
    const text = state.toString();
    try {
      history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    } catch {
      // Some viewers of local files forbid it; the view works all the same.
    }
  }

  function recall() {
    const state = new URLSearchParams(location.hash.slice(1));
    search.value = state.get("q") || "";
    for (const select of filters) {
      const option = [...select.options].find((one) => one.value && one.textContent === state.get(select.dataset.filter));
      select.value = option ? option.value : "";
    }
    const [key, way] = (state.get("sort") || "rank:up").split(":");
    if (heads.some((head) => head.dataset.sort === key)) sort = { key, way: way === "down" ? "down" : "up" };
    arrange();
    sift();
    const item = items.find((one) => idOf(one) === state.get("open"));
    if (item) open(item);
    else close();
  }

  function idOf(item) {
    return item.entry.ids[0][1];
  }

  // --- details ---

  function definitions(pairs, kind = "") {
    const list = make("dl", { class: kind });
    for (const [name, value] of pairs) {
      list.append(make("dt", {}, name), make("dd", {}, make("bdi", {}, value)));
    }
    return list;
  }

  function section(title, ...children) {
    return make("section", {}, make("h3", {}, title), ...children);
  }

  function chart(title, values, usual, ceiling, weeks) {
    const [left, right, top, base] = [34, 496, 10, 82];
    const [slot, height] = [(right - left) / values.length, base - top];
    const y = (value) => base - (height * value) / ceiling;
    const said = `${title} over ${values.length} weeks${usual === null ? "" : `, usually ${usual}`}; last four: ${values.slice(-4).join(", ")}`;
    const svg = draw("svg", { class: "chart", viewBox: "0 0 540 102", role: "img", "aria-label": said });
    values.forEach((value, i) => {
      const bar = { x: left + i * slot + 2, y: value ? y(value) : base - 1, width: slot - 4, height: value ? base - y(value) : 1 };
      const kind = i >= values.length - 4 ? "recent" : "before";
      svg.append(draw("rect", { ...bar, class: kind }, draw("title", {}, `Week of ${weeks[i]}: ${value}`)));
    });
    svg.append(draw("line", { x1: left, x2: right, y1: base, y2: base, class: "axis" }));
    svg.append(draw("text", { x: left - 6, y: top + 4, "text-anchor": "end" }, String(ceiling)));
    svg.append(draw("text", { x: left - 6, y: base + 3, "text-anchor": "end" }, "0"));
    const middle = Math.floor(values.length / 2);
    svg.append(draw("text", { x: left, y: base + 16 }, weeks[0]));
    svg.append(draw("text", { x: left + middle * slot, y: base + 16, "text-anchor": "middle" }, weeks[middle]));
    svg.append(draw("text", { x: right, y: base + 16, "text-anchor": "end" }, weeks[weeks.length - 1]));
    if (usual !== null) {
      svg.append(draw("line", { x1: left, x2: right, y1: y(usual), y2: y(usual), class: "usual" }));
      svg.append(draw("text", { x: right + 5, y: y(usual) + 4, class: "usual-label" }, String(usual)));
    }
    return svg;
  }

  function numbers(weeks, entry) {
    const rows = weeks.map((week, i) => make("tr", {}, make("th", { scope: "row" }, week), make("td", {}, String(entry.activity[i])), make("td", {}, String(entry.events[i]))));
    const head = ["Week of", "Active days", "Events"].map((name) => make("th", { scope: "col" }, name));
    const inner = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.reverse()));
    return make("details", {}, make("summary", {}, "The numbers"), inner);
  }

  function usage(entry) {
    const weeks = calendars[entry.calendar];
    if (!weeks.length) return [];
    const peak = Math.max(1, ...entry.events, entry.usual[1] || 0);
    return [
      section(
        `Use over the last ${weeks.length} weeks`,
        make("p", { class: "legend" }, "Active days a week"),
        chart("Active days a week", entry.activity, entry.usual[0], 7, weeks),
        make("p", { class: "legend" }, "Events a week"),
        chart("Events a week", entry.events, entry.usual[1], peak, weeks),
        make("p", { class: "legend" }, "Dates are week starts. Coloured: the last four weeks. Dashed: usual for them before that."),
        numbers(weeks, entry),
      ),
    ];
  }

  function reason(one, largest) {
    const bar = draw(
      "svg",
      { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: "track", width: 100, height: 4 }),
      draw("rect", { class: "level", width: (100 * one.size) / largest, height: 4 }),
    );
    const way = make("span", { class: "way" }, one.raises ? "▲ raises" : "▼ lowers", bar);
    const said = make("span", {}, make("bdi", {}, one.sentence), make("span", { class: "sub" }, ` ${one.family}`));
    return make("li", { class: one.raises ? "raises" : "lowers" }, way, said);
  }

  function why(entry) {
    if (!entry.reasons.length) return [];
    const largest = Math.max(1e-9, ...entry.reasons.map((one) => one.size));
    const ranked = [...entry.reasons].sort((one, other) => other.raises - one.raises || other.size - one.size);
    return [section("What moves the risk", make("ul", { class: "reasons" }, ...ranked.map((one) => reason(one, largest))))];
  }

  function button(label, name, action) {
    const element = make("button", { type: "button", "aria-label": name }, label);
    element.disabled = !action;
    if (action) element.addEventListener("click", action);
    return element;
  }

  function navigation(item) {
    const visible = shown();
    const place = visible.indexOf(item);
    const go = (step) => (place >= 0 && visible[place + step] ? () => open(visible[place + step], step) : null);
    return make(
      "div",
      { class: "nav" },
      make("span", {}, place < 0 ? "" : `${place + 1} of ${visible.length}`),
      button("↑ Previous", "Previous customer", go(-1)),
      button("Next ↓", "Next customer", go(1)),
      button("✕ Close", "Close details", dismiss),
    );
  }

  function open(item) {
    if (opened) opened.tr.classList.remove("selected");
    opened = item;
    if (item.tr.hidden) showAll();
    item.tr.classList.add("selected");
    const { entry } = item;
    const lead = make("div", { class: "lead" }, ...entry.lead.map(([name, value]) => make("span", {}, make("b", {}, value), name)));
    panel.replaceChildren(
      navigation(item),
      make("h2", { id: "panel-title" }, make("bdi", {}, item.opener.textContent)),
      lead,
      ...usage(entry),
      ...why(entry),
      ...(entry.facts.length ? [section("This week", definitions(entry.facts))] : []),
      ...(entry.contract.length ? [section("Contract and account", definitions(entry.contract))] : []),
      section("For reference", definitions(entry.ids, "mono")),
    );
    panel.hidden = false;
    panel.scrollTop = 0;
    panel.focus();
    item.tr.scrollIntoView({ block: "nearest" });
    remember();
  }

  function close() {
    panel.hidden = true;
    if (opened) opened.tr.classList.remove("selected");
    opened = null;
  }

  function dismiss() {
    const opener = opened && opened.opener;
    close();
    remember();
    if (opener) opener.focus();
  }

  // --- what people do ---

  function step(event) {
    const way = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!way || !event.target.classList.contains("open")) return;
    const visible = shown();
    const next = visible[visible.findIndex((item) => item.opener === event.target) + way];
    if (next && !next.tr.hidden) next.opener.focus();
    event.preventDefault();
  }

  function change() {
    sift();
    remember();
  }

  function choose(key, way) {
    sort = { key, way };
    arrange();
    remember();
  }

  for (const head of heads) {
    const key = head.dataset.sort;
    const first = falling.has(key) ? "down" : "up";
    const control = head.querySelector("button");
    control.disabled = false;
    control.addEventListener("click", () => choose(key, sort.key !== key ? first : sort.way === "up" ? "down" : "up"));
  }
  for (const item of items) item.opener.disabled = false;
  for (const select of filters) select.addEventListener("change", change);
  search.addEventListener("input", change);
  if (more) {
    more.addEventListener("click", () => {
      more.setAttribute("aria-expanded", String(search.form.classList.toggle("all")));
    });
  }
  sorter.addEventListener("change", () => choose(...sorter.value.split(":")));
  search.form.addEventListener("submit", (event) => event.preventDefault());
  document.getElementById("clear").addEventListener("click", () => {
    search.value = "";
    for (const select of filters) select.value = "";
    change();
    search.focus();
  });
  body.addEventListener("click", (event) => {
    const tr = event.target.closest("tr");
    if (!tr || String(getSelection())) return;
    const item = items.find((one) => one.tr === tr);
    if (item === opened) dismiss();
    else open(item);
  });
  body.addEventListener("keydown", step);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) dismiss();
  });
  rest.addEventListener("click", showAll);
  addEventListener("beforeprint", showAll);
  addEventListener("hashchange", () => {
    if (location.hash.includes("=") || !location.hash) recall();
  });
  search.form.hidden = false;
  recall();
})();
