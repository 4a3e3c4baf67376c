"use strict";
// What the page does: hears what changed, draws those parts, answers the controls.

const state = {}, due = new Set(), crystals = new Map(), surfaces = new Map();
const wanted = new URLSearchParams(location.search).get("series");
let selected = null, following = true, playing = null, stream = null, lostSince = null, places = null, reach = 0, frameBusy = false;
let difference = { first: null, second: null };

const SECTIONS = ["series", "heading", "progress", "trace", "curves", "curve", "frame", "results"];
const number = (value, digits) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const rows = () => (state.results ? state.results.rows : []);
const shown = () => rows().filter((row) => row.readable);
const byUid = (uid) => rows().find((row) => row.uid === uid);
const solid = (row) => row.trusted && !row.provisional && row.stage === "final";

function duration(seconds) {
  if (seconds === null || !isFinite(seconds)) return "–";
  if (seconds < 0) seconds = 0;
  if (seconds < 100) return `${Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3600).toFixed(1)} h`;
}
const clock = (epoch) => new Date(epoch * 1000).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });

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
    const badges = [heading.live ? ["live", "LIVE"] : ["stored", "STORED"]];
    if (heading.simulated === true) badges.push(["simulated", "SIMULATED"]);
    if (heading.simulated === false) badges.push(["real", "REAL"]);
    element("badges").replaceChildren(...badges.map(([kind, text]) => text_("span", text, `badge ${kind}`)));
    const messages = heading.messages.map((said) => text_("p", said));
    if (lostSince) {
      const since = lostSince.toLocaleTimeString();
      messages.unshift(text_("p", `The monitor does not answer since ${since}. This page goes on by itself when it is back; ` +
        "if it was stopped, start it with 'vo2 monitor'."));
    }
    messages.push(...heading.notes.map((said) => text_("p", said, "note")));
    element("messages").replaceChildren(...messages);
  },

  progress() {
    const now = state.progress, over = now.share >= 1;
    element("activity").textContent = now.activity || "nothing measured yet";
    element("scan-of").textContent = now.scans ? `${now.scan} of ${now.scans}` : "–";
    element("point-of").textContent = now.size ? `${now.points} of ${now.size}` : "–";
    element("analysed").textContent = now.scans ? `${now.analysed} of ${now.scans}` : `${now.analysed ?? "–"}`;
    element("bar-series").style.width = `${100 * (now.share || 0)}%`;
    element("bar-scan").style.width = `${100 * (now.scan_share || 0)}%`;
    element("ends").textContent = over ? "–" : now.ends ? clock(now.ends) : "–";
    tick();
  },

  trace() {
    const { time, temperature, setpoint } = state.trace;
    const x = time.map((one) => new Date(one * 1000));
    draw("trace", [
      { x, y: setpoint, mode: "lines", name: "setpoint", line: { color: css("--quiet"), width: 1.2, dash: "dot", shape: "hv" } },
      { x, y: temperature, mode: "lines", name: "sample", line: { color: css("--warm"), width: 1.8 } },
    ], { showlegend: true, yaxis: { title: { text: "T (K)" } }, xaxis: { type: "date" } });
  },

  curves() { DRAW.curve(); },

  curve() {
    const done = state.curves || [], now = state.curve || {};
    const others = done.filter((one) => one.uid !== now.uid);
    const traces = others.map((one) => ({
      x: one.angle, y: one.counts, mode: "lines", name: one.label, opacity: 0.35,
      line: { color: temperatureColour(one.label), width: 1 }, hovertemplate: `${one.label}<extra></extra>`,
    }));
    if (now.angle) {
      traces.push({ x: now.angle, y: now.counts, mode: "lines+markers", name: now.label, marker: { size: 3 },
        line: { color: css("--blue"), width: 1.8 } });
    }
    element("curve-note").textContent = now.angle ? `${now.label}, ${now.angle.length} of ${now.size} points` : "";
    const range = now.window && now.window[0] !== null ? { range: now.window } : {};
    draw("curve", traces, { yaxis: { type: "log", title: { text: "counts" }, exponentformat: "power", dtick: 1 },
      xaxis: { title: { text: `${now.axis === "th" ? "θ" : "η"} (°)` }, ...range } });
  },

  async frame() {
    const { uid, label, points } = state.frame;
    if (!uid || frameBusy || document.hidden) return;
    frameBusy = true; // one frame a second is enough for the eye
    setTimeout(() => { frameBusy = false; if (state.frame.points !== points || state.frame.uid !== uid) DRAW.frame(); }, 1000);
    try {
      const found = await fetchArrays(`/frame/${state.heading.uid}/${uid}?v=${points}`);
      paint(element("frame"), found.frame, found.frame_shape, "counts", true);
      element("frame-note").textContent =
        `${label}, frame ${found.number + 1}, brightest ${found.largest.toLocaleString()} counts, log scale, gaps grey`;
    } catch (error) { element("frame-note").textContent = error.message; }
  },

  results() {
    drawOrder();
    drawTable();
    drawComponents();
    drawStructure();
    const list = shown();
    if (following && list.length) selected = list.reduce((a, b) => (b.number >= a.number ? b : a)).uid;
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

function tick() {
  const now = state.progress;
  if (!now) return;
  const left = now.ends && now.share < 1 ? now.ends - Date.now() / 1000 : null;
  element("left").textContent = now.share >= 1 ? "measured" : duration(left);
}

function temperatureColour(label) {
  const all = rows().map((row) => row.setpoint).filter((one) => one !== null);
  const value = parseFloat(label), low = Math.min(...all), high = Math.max(...all);
  const level = high > low ? Math.round((230 * (value - low)) / (high - low)) : 120;
  return palettes.temperature[Math.max(0, Math.min(255, level || 0))];
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
  for (const [kind, name] of [[true, "trusted"], [false, "not trusted or provisional"]]) {
    for (const branch of ["heating", "cooling"]) {
      const some = found.filter((row) => solid(row) === kind && row.branch === branch);
      if (!some.length) continue;
      traces.push({
        x: some.map((row) => row.temperature), y: some.map((row) => row.order), mode: "markers",
        name: branch === "cooling" ? `${name}, cooling` : name, text: some.map((row) => `${row.label}: ${row.verdict}`),
        hovertemplate: "%{text}<br>T %{x:.2f} K, O %{y:.2f} rad<extra></extra>",
        error_y: { type: "data", array: some.map((row) => Math.abs(row.error ?? 0)), color: css("--blue"), thickness: 1.2, width: 3 },
        marker: { size: 10, symbol: (branch === "cooling" ? "triangle-down" : "circle") + (kind ? "" : "-open"),
          color: css("--blue"), line: { color: css("--blue"), width: 2 } },
      });
    }
  }
  const steps = state.results.transitions.map((one) =>
    `T_c ${one.t_c.toFixed(1)} ± ${one.t_c_error === null ? "?" : one.t_c_error.toFixed(1)} K (${one.branch})`);
  const count = `${found.length}${state.results.expected ? ` of ${state.results.expected}` : ""} temperatures`;
  element("order-note").textContent = [found.length ? count : "no temperature yet", ...steps].join(" · ");
  draw("order", traces, { showlegend: found.length > 0, xaxis: { title: { text: "temperature (K)" } },
    yaxis: { title: { text: "order parameter O (rad)" } } });
}

function drawComponents() {
  const { eigenvalues, explained } = state.results;
  draw("scree", [{ x: eigenvalues.map((_, n) => n + 1), y: eigenvalues, mode: "lines+markers", line: { color: css("--blue") },
    text: explained.map((share) => `${(100 * (share || 0)).toFixed(1)} %`), hovertemplate: "%{text}<extra></extra>" }],
  { xaxis: { title: { text: "principal component" }, dtick: 1 }, yaxis: { title: { text: "λ (rad²)" }, rangemode: "tozero" } });
  const found = rows().filter((row) => row.pc2 !== null && row.pc2 !== undefined);
  draw("clusters", [{ x: found.map((row) => row.order), y: found.map((row) => row.pc2), text: found.map((row) => row.label),
    mode: "markers+text", textposition: "top center", textfont: { size: 10 }, hovertemplate: "%{text}<extra></extra>",
    marker: { size: 10, symbol: found.map((row) => (solid(row) ? "circle" : "circle-open")),
      color: found.map((row) => temperatureColour(row.label)), line: { width: 1.5, color: css("--card") } } }],
  { xaxis: { title: { text: "PC1 (rad)" } }, yaxis: { title: { text: "PC2 (rad)" } } });
}

function drawStructure() {
  const found = rows().filter((row) => row.stage === "final"), x = found.map((row) => row.label);
  const line = (name, key, colour, scale = 1) => ({ x, y: found.map((row) => (row[key] === null ? null : row[key] * scale)),
    mode: "lines+markers", name, line: { color: css(colour), width: 1.6 },
    marker: { symbol: found.map((row) => (solid(row) ? "circle" : "circle-open")), size: 7 } });
  const labels = { type: "category", tickangle: -45, nticks: 20 };
  draw("strain", [line("bulk", "bulk_sigma", "--blue", 1e4), line("surface", "surface_sigma", "--warm", 1e4)],
    { showlegend: true, xaxis: labels, yaxis: { rangemode: "tozero" } });
  const kinds = [["compressive", "#3b6fb6"], ["neutral", "#b9c3cf"], ["tensile", "#c8553d"], ["missing", "#4a4f57"]];
  draw("domains", kinds.map(([kind, color]) => ({ type: "bar", x, y: found.map((row) => row[kind]), name: kind,
    marker: { color }, hovertemplate: `${kind} %{y:.1%}<extra></extra>` })),
  { barmode: "stack", bargap: 0.15, showlegend: true, xaxis: labels, yaxis: { tickformat: ".0%", range: [0, 1] } });
  // Early results and previews are drawn hollow, behind the final ones, and joined by no line.
  const early = rows().filter((row) => ["early", "preview"].includes(row.stage));
  const hollow = { x: early.map((row) => row.label), y: early.map((row) => row.chi_squared), mode: "markers",
    name: "χ², not final", text: early.map((row) => row.verdict), hovertemplate: "%{text}<br>χ² %{y:.4f}<extra></extra>",
    marker: { size: 9, color: css("--blue"), symbol: early.map((row) => (row.stage === "early" ? "circle-open" : "diamond-open")) } };
  draw("quality", [line("χ²", "chi_squared", "--blue"), { ...line("noise ratio", "noise_ratio", "--warm"), yaxis: "y2" },
    ...(early.length ? [hollow] : [])],
    { showlegend: true, xaxis: labels, yaxis: { rangemode: "tozero" }, margin: { l: 8, r: 36, t: 8, b: 8 },
      yaxis2: { overlaying: "y", side: "right", rangemode: "tozero", nticks: 6, tickformat: ".2f", tickmode: "auto", showgrid: false, color: css("--warm") } });
}

function drawTable() {
  const head = ["T", "stage", "verdict", "χ²", "noise ratio", "O (rad)", "d (Å)", "σ bulk", "missing", "islands"];
  const line = document.createElement("tr");
  line.append(...head.map((said) => text_("th", said, ["stage", "verdict"].includes(said) ? "text" : "")));
  const body = rows().map((row) => {
    const made = document.createElement("tr"), said = text_("td", "", "text");
    const kind = row.stage === "failed" ? "bad" : solid(row) ? "good" : "doubt";
    said.append(text_("span", row.verdict, `pill ${kind}`));
    if (row.advice) said.append(text_("small", row.advice));
    for (const note of row.notes ?? []) said.append(text_("small", `note: ${note}`));
    const islands = row.islands ? Object.values(row.islands).reduce((a, b) => a + b, 0) : null;
    const order = row.order === null || row.order === undefined ? "–" : `${row.order.toFixed(2)} ± ${Math.abs(row.error ?? 0).toFixed(2)}`;
    made.append(text_("td", row.label), text_("td", row.stage), said, text_("td", number(row.chi_squared, 4)),
      text_("td", number(row.noise_ratio, 2)), text_("td", order), text_("td", number(row.d_spacing, 5)),
      text_("td", row.bulk_sigma === null ? "–" : row.bulk_sigma.toExponential(2)),
      text_("td", row.missing === null ? "–" : `${(100 * row.missing).toFixed(1)} %`), text_("td", islands ?? "–"));
    made.children[1].style.textAlign = "left";
    return made;
  });
  if (!body.length) {
    const empty = document.createElement("tr");
    empty.append(text_("td", "No result yet: the first comes when the first scan was analysed."));
    empty.firstChild.colSpan = head.length;
    body.push(empty);
  }
  element("table").replaceChildren(line, ...body);
}

// -- the selected temperature ------------------------------------------------------------------------------

function kept(cache, kind, uid) {
  const key = `${uid}@${state.results.stamp}`;
  if (!cache.has(key)) {
    for (const old of cache.keys()) if (!old.endsWith(`@${state.results.stamp}`)) cache.delete(old);
    const made = fetchArrays(`/${kind}/${state.heading.uid}/${uid}?v=${state.results.stamp}`);
    made.catch(() => cache.delete(key));
    cache.set(key, made);
  }
  return cache.get(key);
}

function choose(uid) {
  selected = uid;
  const list = shown();
  following = list.length > 0 && uid === list[list.length - 1].uid && !playing;
  drawSelected();
}

async function drawSelected() {
  element("chips").replaceChildren(...shown().map((row) => {
    const chip = text_("button", row.label, solid(row) ? "" : "doubt");
    chip.setAttribute("aria-pressed", row.uid === selected);
    chip.title = row.verdict;
    chip.onclick = () => { stopPlaying(); choose(row.uid); };
    return chip;
  }));
  const row = byUid(selected);
  element("crystal-empty").hidden = Boolean(row);
  element("crystal").hidden = !row;
  if (!row) return;
  const uid = selected;
  element("slices-note").textContent = `${row.label}: amplitude left, phase right`;
  await Promise.allSettled([showSurface(uid, row), showSlices(uid), showDiffraction(uid, row)]);
}

async function showSurface(uid, row) {
  try {
    const found = await kept(surfaces, "surface", uid);
    if (uid !== selected) return;
    reach = Math.max(reach, found.points.reduce((most, one) => Math.max(most, Math.abs(one)), 0) * 1.02);
    element("crystal-note").textContent = `${row.label}, ${row.verdict.split(":")[0]}`;
    await drawCrystal(found, reach);
    element("crystal").dataset.shown = uid;
  } catch (error) { element("crystal-note").textContent = `${row.label}: ${error.message}`; }
}

async function showSlices(uid) {
  try {
    const found = await kept(crystals, "crystal", uid);
    if (uid !== selected) return;
    buildSlices(found);
    paintSlices();
    await paintDifference();
  } catch (error) { element("slices-note").textContent = error.message; }
}

async function showDiffraction(uid, row) {
  try {
    const found = await fetchArrays(`/diffraction/${state.heading.uid}/${uid}?v=${state.results.stamp}`);
    if (uid !== selected) return;
    paint(element("measured"), found.measured, found.measured_shape, "counts", true);
    paint(element("calculated"), found.calculated, found.calculated_shape, "counts", true);
    element("diffraction-note").textContent = `${row.label}, χ² ${found.chi_squared.toFixed(4)}, one log scale`;
  } catch (error) { element("diffraction-note").textContent = error.message; }
}

function buildSlices(found) {
  if (places) return;
  const shape = found.amplitude_shape, box = boundingBox(found.support, shape), names = axisNames(found.q_axis);
  places = { at: box.map(([low, high]) => Math.round((low + high) / 2)), box, shape, pitch: found.pitch };
  for (const id of ["slices", "difference"]) {
    element(id).replaceChildren(...[0, 1, 2].map((axis) => {
      const made = text_("div", "", "slice"), pair = text_("div", "", "row"), label = text_("label", names[axis] + " ");
      pair.append(document.createElement("canvas"), document.createElement("canvas"));
      for (const canvas of pair.children) canvas.setAttribute("role", "img");
      pair.children[1].classList.add("light");
      if (id === "difference") pair.children[0].classList.add("light");
      const slider = Object.assign(document.createElement("input"), { type: "range", min: box[axis][0], max: box[axis][1],
        value: places.at[axis] });
      slider.dataset.axis = axis;
      slider.oninput = () => { places.at[axis] = Number(slider.value); paintSlices(); paintDifference(); };
      label.append(slider, text_("span", ""));
      made.append(pair, label);
      return made;
    }));
  }
}

function eachSlice(id, work) {
  [...element(id).children].forEach((made, axis) => {
    const index = places.at[axis], [left, right] = made.querySelectorAll("canvas");
    const nanometres = (index - Math.floor(places.shape[axis] / 2)) * places.pitch[axis];
    made.querySelector("input").value = index;
    made.querySelector("label span").textContent = `${nanometres.toFixed(0)} nm, ${index - places.box[axis][0] + 1} of ${
      places.box[axis][1] - places.box[axis][0] + 1}`;
    work(axis, index, left, right);
  });
}

async function paintSlices() {
  const uid = selected, found = await kept(crystals, "crystal", uid);
  if (uid !== selected || !places) return;
  const grey = palettes.amplitude.map(rgb), hue = palettes.phase.map(rgb);
  eachSlice("slices", (axis, index, left, right) => {
    paintSlice(left, places.shape, axis, index, places.box, places.pitch, (at) => [...grey[found.amplitude[at]], 255]);
    paintSlice(right, places.shape, axis, index, places.box, places.pitch, (at) =>
      [...hue[found.phase[at]], Math.min(255, 6 * found.amplitude[at])]);
    left.setAttribute("aria-label", "amplitude");
    right.setAttribute("aria-label", "phase");
  });
}

// -- difference --------------------------------------------------------------------------------------------

function chooseDifference() {
  const list = shown();
  for (const [id, otherwise] of [["first", list[list.length - 1]], ["second", list[0]]]) {
    const chooser = element(id), kept_ = difference[id] && byUid(difference[id]) ? difference[id] : otherwise && otherwise.uid;
    chooser.replaceChildren(...list.map((row) => new Option(row.label, row.uid)));
    if (kept_) chooser.value = kept_;
    chooser.onchange = () => { difference[id] = chooser.value; paintDifference(); };
  }
}

async function paintDifference() {
  const [a, b] = [element("first").value, element("second").value];
  if (!a || !b || !places) return;
  const [one, two] = await Promise.all([kept(crystals, "crystal", a), kept(crystals, "crystal", b)]);
  const hue = palettes.phase.map(rgb), diverging = palettes.difference.map(rgb);
  eachSlice("difference", (axis, index, left, right) => {
    paintSlice(left, places.shape, axis, index, places.box, places.pitch, (at) => {
      const change = (one.amplitude[at] * one.largest) / two.largest - two.amplitude[at];
      const level = Math.max(0, Math.min(255, Math.round(127.5 + change / 2)));
      return [...diverging[level], Math.min(255, 6 * Math.max(one.amplitude[at], two.amplitude[at]))];
    });
    paintSlice(right, places.shape, axis, index, places.box, places.pitch, (at) => {
      const turn = (((one.phase[at] - two.phase[at] + 127.5) % PHASE_LEVELS) + PHASE_LEVELS) % PHASE_LEVELS;
      return [...hue[Math.round(turn)], Math.min(255, 6 * Math.min(one.amplitude[at], two.amplitude[at]))];
    });
    left.setAttribute("aria-label", "difference of the amplitudes");
    right.setAttribute("aria-label", "difference of the phases");
  });
}

// -- play --------------------------------------------------------------------------------------------------

function stopPlaying() {
  clearTimeout(playing);
  playing = null;
  element("play").textContent = "▶";
}

async function playOn() {
  const list = shown();
  if (!playing || !list.length) return stopPlaying();
  const next = (list.findIndex((row) => row.uid === selected) + 1) % list.length;
  choose(list[next].uid);
  await kept(surfaces, "surface", list[next].uid).catch(() => null);
  if (playing) playing = setTimeout(playOn, 900);
}

element("play").onclick = () => {
  if (playing) return stopPlaying();
  element("play").textContent = "❚❚";
  playing = setTimeout(playOn, 0);
};

element("series").onchange = (event) => {
  location.search = event.target.value ? `?series=${encodeURIComponent(event.target.value)}` : "";
};

function paintBar() {
  const canvas = element("phase-bar");
  paint(canvas, Uint8Array.from({ length: 256 }, (_, n) => n), [1, 256], "phase", false);
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => SECTIONS.forEach((name) => state[name] && later(name)));
setInterval(tick, 1000);
document.addEventListener("visibilitychange", () => { if (!document.hidden && state.frame) later("frame"); });

(async function begin() {
  palettes = await (await fetch("/palettes")).json();
  paintBar();
  listen();
})();
