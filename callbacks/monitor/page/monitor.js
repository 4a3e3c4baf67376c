"use strict";
// What the page does: hears what changed, draws those parts, answers the controls.

const state = {}, due = new Set(), crystals = new Map(), surfaces = new Map(), patterns = new Map();
const wanted = new URLSearchParams(location.search).get("series");
let selected = null, following = true, playing = null, stream = null, lostSince = null, places = null, reach = 0, frameBusy = false;
let difference = { first: null, second: null };

const SECTIONS = ["series", "heading", "progress", "trace", "curves", "curve", "frame", "results"];
const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const rows = () => (state.results ? state.results.rows : []);
const shown = () => rows().filter((row) => row.readable);
const byUid = (uid) => rows().find((row) => row.uid === uid);
const KINDS = { good: "trusted", wait: "trusted, provisional", doubt: "not trusted", early: "not final", bad: "failed" };

/** Return how far a row is to be believed: a key of KINDS, and a class of the style sheet. */
function kindOf(row) {
  if (row.stage === "failed") return "bad";
  if (row.stage !== "final") return "early";
  return !row.trusted ? "doubt" : row.provisional ? "wait" : "good";
}
const solid = (row) => kindOf(row) === "good";
const minus = (text) => text.replace("-", "−");

function duration(seconds) {
  if (seconds === null || !isFinite(seconds)) return "–";
  if (seconds < 0) seconds = 0;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
/** Return a time of day as a clock on the wall shows it, with the day where it is not today. */
function clock(epoch) {
  const date = new Date(epoch * 1000), now = new Date();
  const day = date.toDateString() === now.toDateString() ? {} : { weekday: "short" };
  return date.toLocaleString("en-GB", { hour: "2-digit", minute: "2-digit", ...day });
}

const QUIET_WITHIN = 120, QUIET_BETWEEN = 1200; // seconds; a stage may take long to settle between two scans

/** Return since how many seconds a measurement that goes on should have said something; 0 where all is well. */
function quiet() {
  const now = state.progress || {};
  if (!state.heading || !state.heading.live || !now.newest || now.share >= 1) return 0;
  const age = Date.now() / 1000 - now.newest;
  return age > (now.between ? QUIET_BETWEEN : QUIET_WITHIN + 20 * (now.pace || 0)) ? age : 0;
}

function listen() {
  stream = new EventSource("/events" + (wanted ? `?series=${encodeURIComponent(wanted)}` : ""));
  for (const name of SECTIONS) {
    stream.addEventListener(name, (event) => {
      lostSince = null;
      state[name] = JSON.parse(event.data);
      later(name);
    });
  }
  stream.onopen = () => { lostSince = null; later("heading"); };
  stream.onerror = async () => {
    lostSince = lostSince || new Date();
    later("heading");
    if (stream.readyState !== EventSource.CLOSED) return;
    const reply = await fetch("/palettes").catch(() => null);
    if (reply && (reply.status === 401 || reply.status === 403)) location.reload();
    else setTimeout(listen, 2000);
  };
}

function later(name) {
  if (!due.size) setTimeout(() => requestAnimationFrame(update), 30);
  due.add(name);
}

function update() {
  const names = [...due];
  due.clear();
  for (const name of names) {
    try { DRAW[name](); } catch (error) { console.error(name, error); }
  }
}

const DRAW = {
  series() {
    const chooser = element("series"), { known, newest } = state.series;
    chooser.replaceChildren(new Option(`newest (${newest || "none yet"})`, ""), ...known.map((uid) => new Option(uid, uid)));
    if (wanted && !known.includes(wanted)) chooser.add(new Option(wanted, wanted));
    chooser.value = wanted || "";
  },

  heading() {
    const heading = state.heading || { messages: [], notes: [] };
    document.title = heading.uid ? `${heading.uid} · VO₂ monitor` : "VO₂ monitor";
    element("title").textContent = heading.sample ? `${heading.sample} · ${heading.uid}` : heading.uid || "VO₂ monitor";
    const silent = quiet();
    const badges = [silent ? ["silent", "SILENT"] : heading.live ? ["live", "LIVE"] : ["stored", "STORED"]];
    if (heading.simulated === true) badges.push(["simulated", "SIMULATED"]);
    if (heading.simulated === false) badges.push(["real", "REAL"]);
    element("badges").replaceChildren(...badges.map(([kind, text]) => text_("span", text, `badge ${kind}`)));
    const messages = heading.messages.map((said) => text_("p", said));
    if (lostSince) {
      const since = lostSince.toLocaleTimeString("en-GB");
      messages.unshift(text_("p", `The monitor does not answer since ${since}. This page goes on by itself when it is back; ` +
        "if it was stopped, start it with 'vo2 monitor'."));
    }
    if (silent) {
      messages.push(text_("p", `Nothing has come from the measurement since ${clock(state.progress.newest)}. It is paused, waits for ` +
        "the beam or the temperature, or its session has ended: status() at its prompt says which. A series whose session " +
        "ended is gone on with by 'vo2 series --resume -1'."));
    }
    messages.push(...heading.notes.map((said) => text_("p", said, "note")));
    const texts = (nodes) => [...nodes].map((node) => node.textContent).join("\n");
    if (texts(messages) !== texts(element("messages").children)) element("messages").replaceChildren(...messages);
  },

  progress() {
    const now = state.progress, over = now.share >= 1;
    element("activity").textContent = now.activity || "nothing measured yet";
    element("scan-of").textContent = now.scans ? `${now.scan} of ${now.scans}` : "–";
    element("point-of").textContent = now.size ? `${now.points} of ${now.size}` : "–";
    element("analysed").textContent = now.scans ? `${now.analysed} of ${now.scans}` : `${now.analysed ?? "–"}`;
    element("bar-series").style.width = `${100 * (now.share || 0)}%`;
    element("bar-scan").style.width = `${100 * (now.scan_share || 0)}%`;
    tick();
  },

  trace() {
    const { time, temperature, setpoint } = state.trace;
    const x = time.map((one) => new Date(one * 1000));
    draw("trace", [
      { x, y: setpoint, mode: "lines", name: "setpoint", line: { color: css("--quiet"), width: 1.4, dash: "dot", shape: "hv" } },
      { x, y: temperature, mode: "lines", name: "sample", line: { color: css("--warm"), width: 2.2 } },
    ], { showlegend: true, yaxis: { title: { text: "temperature (K)" }, ...atLeast([...temperature, ...setpoint.filter(Number.isFinite)], 2) },
      xaxis: { type: "date", tickformat: time[time.length - 1] - time[0] > 480 ? "%H:%M" : "%H:%M:%S", nticks: element("trace").offsetWidth < 360 ? 4 : 6, tickangle: 0, title: { text: "time of day" } } });
    const last = temperature.length - 1;
    element("trace-note").textContent = last < 0 ? "" :
      `${temperature[last].toFixed(2)} K${setpoint[last] === null || setpoint[last] === undefined ? "" : `, setpoint ${setpoint[last].toFixed(2)} K`}`;
  },

  curves() { DRAW.curve(); },

  curve() {
    const done = state.curves || [], now = state.curve || {};
    const others = done.filter((one) => one.uid !== now.uid);
    const traces = others.map((one) => ({
      x: one.angle, y: one.counts, mode: "lines", name: one.label, opacity: 0.6,
      line: { color: temperatureColour(one.label), width: 1.2 }, hovertemplate: `${one.label}<extra></extra>`,
    }));
    if (now.angle) {
      traces.push({ x: now.angle, y: now.counts, mode: "lines+markers", name: now.label, marker: { size: 4 },
        line: { color: css("--warm"), width: 2.2 }, hovertemplate: "%{x:.4f}°: %{y:,.0f} counts<extra></extra>" });
    }
    element("curve-note").textContent = now.angle ? `${now.label}, ${now.angle.length} of ${now.size} points${
      others.length ? "; earlier scans thin" : ""}` : "no scan yet";
    const range = now.window && now.window[0] !== null ? { range: now.window } : {};
    draw("curve", traces, { yaxis: { type: "log", title: { text: "counts per frame" }, exponentformat: "power", dtick: 1 },
      xaxis: { title: { text: `${now.axis === "th" ? "θ" : "η"} (°)` }, ...range } });
  },

  async frame() {
    const { uid, label, points } = state.frame;
    if (!uid) element("frame-note").textContent = "no frame yet";
    if (!uid || frameBusy || document.hidden) return;
    frameBusy = true; // one frame a second is enough for the eye
    setTimeout(() => { frameBusy = false; if (state.frame.points !== points || state.frame.uid !== uid) DRAW.frame(); }, 1000);
    try {
      const found = await fetchArrays(`/frame/${state.heading.uid}/${uid}?v=${points}`);
      paint(element("frame"), found.frame, found.frame_shape, "counts", true);
      element("frame-note").textContent = `${label}, frame ${found.number + 1}`;
      element("frame-most").textContent = `${Math.round(found.largest).toLocaleString("en")} counts`;
    } catch (error) { element("frame-note").textContent = error.message; }
  },

  results() {
    // Before the first result what is measured stands at the top, and what would be empty is left out.
    document.body.classList.toggle("before-results", !rows().length);
    element("play").hidden = shown().filter((row) => row.stage === "final").length < 2;
    drawOrder();
    drawTable();
    drawComponents();
    drawStructure();
    const list = shown();
    if (following && list.length) selected = list.reduce((a, b) => (b.number >= a.number ? b : a)).uid;
    element("trust-note").replaceChildren(...trustInWords());
    if (!byUid(selected)) selected = list.length ? list[list.length - 1].uid : null;
    chooseDifference();
    drawSelected();
    DRAW.curve();
  },
};

function text_(tag, said, kind) {
  const made = document.createElement(tag);
  made.textContent = said;
  if (kind) made.className = kind;
  return made;
}

/** Return what is said beside the number of analysed scans: how many of them are not to be trusted, and which. */
function trustInWords() {
  const bad = rows().filter((row) => ["doubt", "bad"].includes(kindOf(row))), done = rows().filter((row) => row.stage === "final");
  if (bad.length) return [text_("b", `not trusted: ${bad.map((row) => row.label).join(", ")}`, "pill doubt")];
  return done.length ? [text_("b", done.length === 1 ? "trusted" : "all trusted", "pill good")] : [];
}

/** Return a range about the values, no narrower than `least`, so that noise about a setpoint does not fill the chart. */
function atLeast(values, least) {
  if (!values.length) return {};
  // A loop: the values may be too many for the arguments of Math.min. The range is always given: a chart that had
  // one and loses it is not scaled again by Plotly, and its lines are out of sight.
  const low = values.reduce((a, b) => Math.min(a, b)), high = values.reduce((a, b) => Math.max(a, b));
  const half = Math.max(least / 2, 0.55 * (high - low)), middle = (low + high) / 2;
  return { range: [middle - half, middle + half] };
}

function tick() {
  const now = state.progress;
  if (!now) return;
  const silent = quiet(), over = now.share >= 1, age = Date.now() / 1000 - now.newest;
  const left = now.ends && !over && !silent ? now.ends - Date.now() / 1000 : null;
  element("left").textContent = over ? "none" : left !== null && left < 1 ? "any moment" : duration(left);
  element("ends").textContent = over ? (now.newest ? clock(now.newest) : "–") : now.ends && !silent ? clock(now.ends) : "–";
  element("point-note").textContent = now.scan_ends && !over && !silent ? `point, scan ends ${clock(now.scan_ends)}` : "point";
  element("ends-note").textContent = over ? "ended at" : "ends at";
  element("age").textContent = !now.newest || over ? "now" : age < 5 ? "now" : `last news ${duration(age)} ago`;
  if (silent || element("badges").textContent.includes("SILENT")) DRAW.heading();
}

function temperatureColour(label) {
  const scans = [...(state.curves || []), state.curve || {}].map((one) => parseFloat(one.label)).filter(isFinite);
  const all = [...rows().map((row) => row.setpoint).filter((one) => one !== null), ...scans];
  const value = parseFloat(label), low = Math.min(...all), high = Math.max(...all);
  const share = high > low ? Math.max(0, Math.min(1, (value - low) / (high - low) || 0)) : 0.5;
  // The ends of the palette that the paper, or the dark, would swallow are left out.
  return palettes.temperature[Math.round(dark.matches ? 80 + 175 * share : 210 * share)];
}

// -- order parameter, components, structure, table ---------------------------------------------------------

function drawOrder() {
  const found = rows().filter((row) => row.order !== null && row.order !== undefined), fit = state.results.fit;
  const traces = [];
  const parts = [...new Set(state.results.fit_part)];
  for (const part of parts.length ? parts : [null]) {
    const keep = (_, n) => part === null || state.results.fit_part[n] === part;
    traces.push({ x: fit.temperature.filter(keep), y: fit.order.filter(keep), mode: "lines", name: "best fit",
      showlegend: part === (parts[0] ?? null), line: { color: css("--warm"), width: 1.6 }, hoverinfo: "skip" });
  }
  for (const kind of ["good", "wait", "doubt"]) {
    for (const branch of ["heating", "cooling"]) {
      const some = found.filter((row) => kindOf(row) === kind && row.branch === branch), name = KINDS[kind];
      if (!some.length) continue;
      const colour = css(kind === "doubt" ? "--bad" : "--blue");
      traces.push({
        x: some.map((row) => row.temperature), y: some.map((row) => row.order), mode: "markers",
        name: branch === "cooling" ? `${name}, cooling` : name, text: some.map((row) => `${row.label}: ${row.verdict}`),
        hovertemplate: "%{text}<br>T %{x:.2f} K, O %{y:.2f} rad<extra></extra>",
        error_y: { type: "data", array: some.map((row) => Math.abs(row.error ?? 0)), color: colour, thickness: 1.4, width: 4 },
        marker: { size: 12, symbol: (branch === "cooling" ? "triangle-down" : "circle") + (kind === "good" ? "" : "-open"),
          color: colour, line: { color: colour, width: 2.5 } },
      });
    }
  }
  const steps = state.results.transitions.map((one) =>
    `T_c ${one.t_c.toFixed(1)} ± ${one.t_c_error === null ? "?" : one.t_c_error.toFixed(1)} K (${one.branch})`);
  const count = `${found.length}${state.results.expected ? ` of ${state.results.expected}` : ""} temperatures`;
  const bars = found.length ? ["bars: scatter of the reconstruction"] : [];
  element("order-note").textContent = [found.length ? count : "no temperature yet", ...steps, ...bars].join(" · ");
  draw("order", traces, { showlegend: found.length > 0, xaxis: { title: { text: "temperature (K)" } },
    yaxis: { title: { text: "order parameter O (rad)" } } });
}

function drawComponents() {
  const { eigenvalues, explained } = state.results, enough = rows().filter((row) => row.order !== null && row.order !== undefined).length > 1;
  if (!enough) {
    for (const id of ["scree", "clusters"]) draw(id, [], {}, "comes with the second result");
    element("scree-note").textContent = "";
    return;
  }
  draw("scree", [{ x: eigenvalues.map((_, n) => n + 1), y: eigenvalues, mode: "lines+markers", line: { color: css("--blue") },
    text: explained.map((share) => `${(100 * (share || 0)).toFixed(1)} %`), hovertemplate: "%{text}<extra></extra>" }],
  { xaxis: { title: { text: "principal component" }, dtick: 1 }, yaxis: { title: { text: "eigenvalue λ (rad²)" }, rangemode: "tozero" } });
  element("scree-note").textContent = explained.length ? `the first explains ${(100 * (explained[0] || 0)).toFixed(0)} %` : "";
  const found = rows().filter((row) => row.pc2 !== null && row.pc2 !== undefined);
  draw("clusters", [{ x: found.map((row) => row.order), y: found.map((row) => row.pc2), text: found.map((row) => row.label),
    mode: "markers+text", textposition: "top center", textfont: { size: 11 }, cliponaxis: false, hovertemplate: "%{text}<extra></extra>",
    marker: { size: 11, symbol: found.map((row) => (solid(row) ? "circle" : "circle-open")),
      color: found.map((row) => temperatureColour(row.label)), line: { width: 2, color: css("--card") } } }],
  { xaxis: { title: { text: "PC1 (rad)" } }, yaxis: { title: { text: "PC2 (rad)" } } });
}

function drawStructure() {
  const found = rows().filter((row) => row.stage === "final"), x = found.map((row) => row.label);
  const line = (name, key, colour, scale = 1) => ({ x, y: found.map((row) => (row[key] === null ? null : row[key] * scale)),
    mode: "lines+markers", name, line: { color: css(colour), width: 1.6 },
    marker: { symbol: found.map((row) => (solid(row) ? "circle" : "circle-open")), size: 7 } });
  const labels = { type: "category", tickangle: -45, nticks: 20 };
  draw("strain", [line("bulk", "bulk_sigma", "--blue", 1e4), line("surface", "surface_sigma", "--warm", 1e4)],
    { showlegend: true, xaxis: labels, yaxis: { rangemode: "tozero", title: { text: "σ of ε (10⁻⁴)" } } });
  const kinds = [["compressive", "#3b6fb6"], ["neutral", "#b9c3cf"], ["tensile", "#c8553d"], ["missing", "#4a4f57"]];
  draw("domains", kinds.map(([kind, color]) => ({ type: "bar", x, y: found.map((row) => row[kind]), name: kind,
    marker: { color }, hovertemplate: `${kind} %{y:.1%}<extra></extra>` })),
  { barmode: "stack", bargap: 0.15, showlegend: true, xaxis: labels, yaxis: { tickformat: ".0%", range: [0, 1], title: { text: "share of the volume" } } });
  // Early results and previews are drawn hollow, behind the final ones, and joined by no line.
  const early = rows().filter((row) => ["early", "preview"].includes(row.stage));
  const hollow = { x: early.map((row) => row.label), y: early.map((row) => row.chi_squared), mode: "markers",
    name: "χ², not final", text: early.map((row) => row.verdict), hovertemplate: "%{text}<br>χ² %{y:.4f}<extra></extra>",
    marker: { size: 9, color: css("--blue"), symbol: early.map((row) => (row.stage === "early" ? "circle-open" : "diamond-open")) } };
  const chi = { type: "log", title: { text: "χ²" }, dtick: 1, exponentformat: "power", color: css("--blue") };
  // Before the first final result there is no noise ratio, and Plotly places no axis beside one without a trace.
  if (!found.length) return void draw("quality", early.length ? [hollow] : [], { showlegend: true, xaxis: labels, yaxis: chi });
  draw("quality", [line("χ²", "chi_squared", "--blue"), { ...line("noise ratio", "noise_ratio", "--warm"), yaxis: "y2" },
    ...(early.length ? [hollow] : [])],
    { showlegend: early.length > 0, xaxis: { ...labels, anchor: "y2" }, yaxis: { ...chi, domain: [0.58, 1] },
      yaxis2: { ...valueAxis(), title: { text: "noise ratio", standoff: 8 }, rangemode: "tozero", nticks: 4, color: css("--warm"),
        domain: [0, 0.42] } });
}

function drawTable() {
  const head = ["T", "stage", "verdict", "χ²", "noise ratio", "O (rad)", "d (Å)", "σ bulk (10⁻⁴)", "missing", "islands"];
  const line = document.createElement("tr");
  line.append(...head.map((said) => text_("th", said, ["stage", "verdict"].includes(said) ? said : "")));
  const body = rows().map((row) => {
    const made = document.createElement("tr"), said = text_("td", "", "text");
    const cut = row.verdict.indexOf(": "), [word, why] = cut < 0 ? [row.verdict, ""] : [row.verdict.slice(0, cut), row.verdict.slice(cut + 2)];
    said.append(text_("span", word, `pill ${kindOf(row)}`));
    if (why) said.append(text_("small", why));
    if (row.advice) said.append(text_("small", row.advice));
    for (const note of row.notes ?? []) said.append(text_("small", `note: ${note}`));
    const islands = row.islands ? Object.values(row.islands).reduce((a, b) => a + b, 0) : null;
    const order = row.order === null || row.order === undefined ? "–" : minus(`${row.order.toFixed(2)} ± ${row.error === null || row.error === undefined ? "?" : row.error.toFixed(2)}`);
    made.append(text_("td", row.label), text_("td", row.stage), said, text_("td", number(row.chi_squared, 4)),
      text_("td", number(row.noise_ratio, 2)), text_("td", order), text_("td", number(row.d_spacing, 5)),
      text_("td", row.bulk_sigma === null ? "–" : (1e4 * row.bulk_sigma).toFixed(2)),
      text_("td", row.missing === null ? "–" : `${(100 * row.missing).toFixed(1)} %`), text_("td", islands ?? "–"));
    [...made.children].forEach((cell, n) => { cell.dataset.name = head[n]; cell.classList.toggle("none", cell.textContent === "–"); });
    made.children[1].className = "stage";
    return made;
  });
  if (!body.length) {
    const empty = document.createElement("tr");
    empty.append(text_("td", "No result yet: the first comes when the first scan was analysed.", "empty"));
    empty.firstChild.colSpan = head.length;
    body.push(empty);
  }
  element("table").replaceChildren(line, ...body);
}

element("series").onchange = (event) => {
  location.search = event.target.value ? `?series=${encodeURIComponent(event.target.value)}` : "";
};

/** Paint the colour scales: each canvas names its palette. */
function paintScales() {
  for (const canvas of document.querySelectorAll("canvas[data-palette]")) {
    paint(canvas, Uint8Array.from({ length: 255 }, (_, n) => n), [1, 255], canvas.dataset.palette, false);
  }
}

// A card changes its height with its neighbours: Plotly itself looks at the window alone.
const sizes = new ResizeObserver((changed) => {
  for (const { target } of changed) if (target.data && target.offsetWidth) Plotly.Plots.resize(target);
});
document.querySelectorAll(".chart").forEach((chart) => sizes.observe(chart));
dark.addEventListener("change", () => SECTIONS.forEach((name) => state[name] && later(name)));
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden && state.frame) later("frame"); });

(async function begin() {
  palettes = await (await fetch("/palettes")).json();
  paintScales();
  listen();
})();
