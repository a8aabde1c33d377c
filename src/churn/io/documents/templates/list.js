"use strict";
// Sorting, search, filters of the list and the panel of a customer (what is in it: details.js).
// Texts of customers are only ever text nodes.
(() => {
  const { calendars, rows: entries } = JSON.parse(document.getElementById("data").textContent);
  const { make, sections } = details;
  const beside = [...document.querySelectorAll("[data-aside]")].map((box) => ({ box, rows: [...box.querySelectorAll("[data-owner]")] }));
  addEventListener("beforeprint", () => {
    for (const { box, rows } of beside) if (rows.length <= 200) box.open = true;
  });
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
  const SHORT = 60; // rows on show: more would make each key press wait for the layout
  let limit = SHORT;

  function plain(text) {
    return text.normalize("NFKD").replace(/\p{M}/gu, "").toLowerCase();
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
    siftBeside(words, (wanted.find((pair) => pair[0] === "owner") || [])[1]);
    for (const select of filters) select.classList.toggle("on", select.value !== "");
    if (more) more.textContent = wanted.length ? `Filters (${wanted.length})` : "Filters";
    document.getElementById("clear").hidden = !words.length && !wanted.length;
    tell();
  }

  function siftBeside(words, owner) {
    for (const { box, rows } of beside) {
      let count = 0;
      for (const tr of rows) {
        tr.words ??= plain(tr.textContent);
        const fits = (owner === undefined || tr.dataset.owner === owner) && words.every((word) => tr.words.includes(word));
        if (tr.hidden === fits) tr.hidden = !fits;
        count += fits;
      }
      box.hidden = count === 0;
    }
  }

  function lay() {
    let count = 0;
    for (const item of order) {
      count += item.fits;
      const isHidden = !item.fits || count > limit;
      if (item.isHidden !== isHidden) item.tr.hidden = item.isHidden = isHidden;
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
    panel.replaceChildren(
      navigation(item),
      make("h2", { id: "panel-title" }, make("bdi", {}, item.opener.textContent)),
      ...sections(entry, calendars[entry.calendar], button("Copy e-mail", "Copy e-mail draft", () => copy(item))),
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

  // --- a mail to the customer ---

  async function copy(item) {
    const text = item.entry.mail.join("\n\n");
    const ok = await (navigator.clipboard ? navigator.clipboard.writeText(text).then(() => true, () => copiedTheOldWay(text)) : copiedTheOldWay(text));
    document.getElementById("told").textContent = ok
      ? `E-mail draft for ${item.opener.textContent} copied.`
      : "The browser does not allow copying: open the details and copy the draft from there.";
  }

  // Where a page is opened from a disk or in a mail program, there may be no clipboard to write to.
  function copiedTheOldWay(text) {
    const before = document.activeElement;
    const area = make("textarea", { class: "aside", "aria-hidden": "true" }, text);
    (panel.hidden ? document.body : panel).append(area);
    area.select();
    const ok = document.execCommand("copy");
    area.remove();
    if (before) before.focus();
    return ok;
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
    limit = SHORT;
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
    if (event.target.closest(".copy")) copy(item);
    else if (item === opened) dismiss();
    else open(item);
  });
  body.addEventListener("keydown", step);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && opened) dismiss();
  });
  panel.addEventListener("keydown", (event) => {
    const name = { j: "Next customer", k: "Previous customer" }[event.key];
    if (!name || event.target.matches("textarea") || event.ctrlKey || event.metaKey || event.altKey) return;
    panel.querySelector(`[aria-label="${name}"]`).click();
  });
  rest.addEventListener("click", showAll);
  addEventListener("beforeprint", showAll);
  addEventListener("hashchange", () => {
    if (location.hash.includes("=") || !location.hash) recall();
  });
  search.form.hidden = false;
  document.body.classList.add("live");
  recall();
})();
