"use strict";
// What the panel of a customer shows, built from text nodes and SVG alone.
const details = (() => {
  const [LEFT, RIGHT, TOP, BASE] = [34, 496, 10, 82];

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

  function given(title, pairs, kind) {
    return pairs.length ? [section(title, definitions(pairs, kind))] : [];
  }

  // --- use over the weeks ---

  function axes(svg, ceiling, labels) {
    svg.append(draw("line", { x1: LEFT, x2: RIGHT, y1: BASE, y2: BASE, class: "axis" }));
    svg.append(draw("text", { x: LEFT - 6, y: TOP + 4, "text-anchor": "end" }, ceiling));
    svg.append(draw("text", { x: LEFT - 6, y: BASE + 3, "text-anchor": "end" }, "0"));
    labels.forEach((label, i) => {
      const x = LEFT + (i * (RIGHT - LEFT)) / Math.max(1, labels.length - 1);
      const anchor = i === 0 ? "start" : i === labels.length - 1 ? "end" : "middle";
      svg.append(draw("text", { x, y: BASE + 16, "text-anchor": anchor }, label));
    });
  }

  function chart(title, values, { usual, band, ceiling, weeks, marks }) {
    const slot = (RIGHT - LEFT) / values.length;
    const y = (value) => BASE - ((BASE - TOP) * Math.min(value, ceiling)) / ceiling;
    const normal = band ? `, normally ${band[0]} to ${band[1]}` : usual === null ? "" : `, usually ${usual}`;
    const said = `${title} over ${values.length} weeks${normal}; last four: ${values.slice(-4).join(", ")}`;
    const svg = draw("svg", { class: "chart", viewBox: "0 0 540 102", role: "img", "aria-label": said });
    if (band) svg.append(draw("rect", { x: LEFT, y: y(band[1]), width: RIGHT - LEFT, height: Math.max(1, y(band[0]) - y(band[1])), class: "band" }));
    values.forEach((value, i) => {
      const bar = { x: LEFT + i * slot + 2, y: value ? y(value) : BASE - 1, width: slot - 4, height: value ? BASE - y(value) : 1 };
      const kind = i >= values.length - 4 ? "recent" : "before";
      svg.append(draw("rect", { ...bar, class: kind }, draw("title", {}, `Week of ${weeks[i]}: ${value}`)));
    });
    for (const [i, day, , words] of marks) {
      const x = LEFT + (i + 0.5) * slot;
      svg.append(draw("line", { x1: x, x2: x, y1: TOP - 2, y2: BASE, class: "mark" }));
      svg.append(draw("path", { d: `M${x} ${TOP - 8}l5 5l-5 5l-5 -5z`, class: "mark" }, draw("title", {}, `${day}: ${words}`)));
    }
    axes(svg, String(ceiling), [weeks[0], weeks[Math.floor(weeks.length / 2)], weeks[weeks.length - 1]]);
    if (usual !== null && !band) {
      svg.append(draw("line", { x1: LEFT, x2: RIGHT, y1: y(usual), y2: y(usual), class: "usual" }));
      svg.append(draw("text", { x: RIGHT + 5, y: y(usual) + 4, class: "usual-label" }, String(usual)));
    }
    return svg;
  }

  function numbers(weeks, entry) {
    const rows = weeks.map((week, i) => make("tr", {}, make("th", { scope: "row" }, week), make("td", {}, String(entry.activity[i])), make("td", {}, String(entry.events[i]))));
    const head = ["Week of", "Active days", "Events"].map((name) => make("th", { scope: "col" }, name));
    const inner = make("table", {}, make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...rows.reverse()));
    return make("details", {}, make("summary", {}, "The numbers"), inner);
  }

  function happened(marks) {
    const lines = marks.map(([, day, kind, words]) => make("li", {}, make("span", { class: "sub" }, `${day} · ${kind}`), " ", make("bdi", {}, words)));
    if (!lines.length) return [];
    const list = make("ul", { class: "marks" }, ...lines.reverse());
    if (lines.length <= 5) return [list];
    return [make("details", {}, make("summary", {}, `What happened (${lines.length})`), list)];
  }

  function usage(entry, weeks) {
    if (!weeks.length) return [];
    const peak = Math.max(1, ...entry.events, entry.usual[1] || 0);
    const normal = entry.band ? "Shaded: normal for them." : "Dashed: usual for them before that.";
    return [
      section(
        `Use over the last ${weeks.length} weeks`,
        make("p", { class: "legend" }, "Active days a week"),
        chart("Active days a week", entry.activity, { usual: entry.usual[0], band: entry.band, ceiling: 7, weeks, marks: entry.marks }),
        ...happened(entry.marks),
        make("p", { class: "legend" }, "Events a week"),
        chart("Events a week", entry.events, { usual: entry.usual[1], band: null, ceiling: peak, weeks, marks: [] }),
        make("p", { class: "legend" }, `Dates are week starts. Coloured: the last four weeks. ${normal}${entry.marks.length ? " ◆ something happened." : ""}`),
        numbers(weeks, entry),
      ),
    ];
  }

  // --- risk over the lists ---

  function percent(share) {
    return share >= 0.0995 ? `${Math.round(100 * share)} %` : `${(100 * share).toFixed(1)} %`;
  }

  function history(entry) {
    if (entry.scores.length < 2) return [];
    const ceiling = Math.min(1, Math.ceil(10 * Math.max(0.05, ...entry.scores.map((pair) => pair[1]))) / 10);
    const x = (i) => LEFT + (i * (RIGHT - LEFT)) / (entry.scores.length - 1);
    const y = (risk) => BASE - ((BASE - TOP) * risk) / ceiling;
    const points = entry.scores.map(([, risk], i) => `${x(i).toFixed(1)},${y(risk).toFixed(1)}`);
    const said = `Risk on ${entry.scores.length} lists: ${entry.scores.map(([day, risk]) => `${day} ${percent(risk)}`).join(", ")}`;
    const svg = draw("svg", { class: "chart", viewBox: "0 0 540 102", role: "img", "aria-label": said });
    axes(svg, percent(ceiling), [entry.scores[0][0], entry.scores[entry.scores.length - 1][0]]);
    svg.append(draw("polyline", { points: points.join(" "), class: "risk-line" }));
    entry.scores.forEach(([day, risk], i) => {
      svg.append(draw("circle", { cx: x(i), cy: y(risk), r: 3.5, class: "risk-dot" }, draw("title", {}, `${day}: ${percent(risk)}`)));
    });
    return [section("Risk, list by list", svg)];
  }

  // --- reasons ---

  function reason(one, largest) {
    const bar = draw(
      "svg",
      { class: "bar", viewBox: "0 0 100 4", preserveAspectRatio: "none", "aria-hidden": "true" },
      draw("rect", { class: "track", width: 100, height: 4 }),
      draw("rect", { class: "level", width: (100 * one.size) / largest, height: 4 }),
    );
    const way = make("span", { class: "way" }, one.raises ? "▲ raises" : "▼ lowers", bar);
    const beside = [one.family, one.evidence].filter(Boolean).join(" · ");
    const said = make("span", {}, make("bdi", {}, one.sentence), make("span", { class: "sub" }, " ", make("bdi", {}, beside)));
    return make("li", { class: one.raises ? "raises" : "lowers" }, way, said);
  }

  function listed(reasons) {
    const largest = Math.max(1e-9, ...reasons.map((one) => one.size));
    const ranked = [...reasons].sort((one, other) => other.raises - one.raises || other.size - one.size);
    return make("ul", { class: "reasons" }, ...ranked.map((one) => reason(one, largest)));
  }

  function why(entry) {
    const change = entry.change ? [make("p", { class: "change" }, make("bdi", {}, entry.change))] : [];
    const before = entry.before.length ? [make("details", {}, make("summary", {}, "Reasons a week ago"), listed(entry.before))] : [];
    if (!entry.reasons.length && !change.length && !before.length) return [];
    return [section("What moves the risk", ...change, ...(entry.reasons.length ? [listed(entry.reasons)] : []), ...before)];
  }

  // --- what to do ---

  function mail(entry, copy) {
    const [subject, body] = entry.mail;
    const text = make("textarea", { class: "draft", readonly: "", rows: 9, "aria-label": "E-mail draft" });
    text.value = `${subject}\n\n${body}`;
    return make("details", {}, make("summary", {}, "E-mail draft"), make("div", { class: "nav" }, copy), text);
  }

  function contacts(entry) {
    if (!entry.contacts.length) return [];
    const lines = entry.contacts.map((contact) => make("li", {}, make("bdi", {}, contact)));
    return [section("Contacts", make("ul", { class: "plain" }, ...lines))];
  }

  function sections(entry, weeks, copy) {
    const lead = make("div", { class: "lead" }, ...entry.lead.map(([name, value]) => make("span", {}, make("b", {}, value), name)));
    return [
      lead,
      ...why(entry),
      section("What to do", ...(entry.play.length ? [definitions(entry.play)] : []), mail(entry, copy)),
      ...usage(entry, weeks),
      ...history(entry),
      ...given("How sure this is", entry.sure),
      ...contacts(entry),
      ...given("This week", entry.facts),
      ...given("Contract and account", entry.contract),
      ...given("For reference", entry.ids, "mono"),
    ];
  }

  return { make, sections };
})();
