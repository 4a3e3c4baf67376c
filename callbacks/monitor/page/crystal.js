"use strict";
// The selected temperature: its surface, slices, diffraction; the difference of two; playing through all.

const keyOf = (row) => `${row.uid}@${row.stage}@${row.version}@${state.results.stamp}`;

/** Return what belongs to a row, asked for once; of rows that are replaced nothing is kept. */
function kept(cache, kind, uid) {
  const row = byUid(uid), key = keyOf(row);
  if (!cache.has(key)) {
    const present = new Set(shown().map(keyOf));
    for (const old of cache.keys()) if (!present.has(old)) cache.delete(old);
    const made = fetchArrays(
      `/${kind}/${state.heading.uid}/${uid}?stage=${row.stage}&v=${row.version}-${state.results.stamp}`);
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
    const chip = text_("button", row.stage === "final" ? row.label : `${row.label} ${row.stage}`, kindOf(row));
    chip.setAttribute("aria-pressed", row.uid === selected);
    chip.title = row.verdict;
    chip.onclick = () => { stopPlaying(); choose(row.uid); };
    return chip;
  }));
  const row = byUid(selected);
  element("crystal-empty").hidden = Boolean(row);
  element("crystal").hidden = !row;
  element("slices-empty").hidden = Boolean(row);
  if (!row) return;
  const uid = selected;
  element("slices-note").textContent = `${row.label}${row.stage === "final" ? "" : ` (${row.stage})`}`;
  if (!element("crystal").dataset.shown) element("crystal-note").textContent = `${row.label}: being drawn …`;
  await Promise.allSettled([showSurface(uid, row), showSlices(uid), showDiffraction(uid, row)]);
}

async function showSurface(uid, row) {
  try {
    const found = await kept(surfaces, "surface", uid);
    if (uid !== selected) return;
    reach = Math.max(reach, found.points.reduce((most, one) => Math.max(most, Math.abs(one)), 0) * 1.02);
    const note = text_("b", row.verdict.split(":")[0], `pill ${kindOf(row)}`);
    element("crystal-note").replaceChildren(`${row.label} `, note);
    await drawCrystal(found, reach);
    element("crystal").dataset.shown = uid;
  } catch (error) { element("crystal-note").textContent = `${row.label}: ${error.message}`; }
}

async function showSlices(uid) {
  element("slices").classList.add("waiting"); // what is still shown belongs to another temperature
  try {
    const found = await kept(crystals, "crystal", uid);
    if (uid !== selected) return;
    buildSlices(found);
    await paintSlices();
    element("slices").classList.remove("waiting");
    await paintDifference();
  } catch (error) { element("slices-note").textContent = error.message; }
}

async function showDiffraction(uid, row) {
  try {
    const found = await kept(patterns, "diffraction", uid);
    if (uid !== selected) return;
    element("patterns").hidden = false;
    element("diffraction-empty").hidden = true;
    paint(element("measured"), found.measured, found.measured_shape, "counts", true);
    paint(element("calculated"), found.calculated, found.calculated_shape, "counts", true);
    element("diffraction-note").textContent = `${row.label}, middle of the rocking curve, χ² ${found.chi_squared.toFixed(4)}`;
    element("diffraction-most").textContent = `${Math.round(found.largest).toLocaleString("en")} counts`;
  } catch (error) { element("diffraction-note").textContent = error.message; }
}

function buildSlices(found) {
  if (places && found.pitch.every((one, axis) => Math.abs(one - places.pitch[axis]) < 1e-6)) return;
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
  element("difference-card").hidden = list.length < 2;
  const done = list.filter((row) => row.stage === "final"), ends = done.length > 1 ? done : list;
  for (const [id, otherwise] of [["first", ends[ends.length - 1]], ["second", ends[0]]]) {
    const chooser = element(id), kept_ = difference[id] && byUid(difference[id]) ? difference[id] : otherwise && otherwise.uid;
    chooser.replaceChildren(...list.map((row) =>
      new Option(row.stage === "final" ? row.label : `${row.label} (${row.stage})`, row.uid)));
    if (kept_) chooser.value = kept_;
    chooser.onchange = () => { difference[id] = chooser.value; paintDifference(); };
  }
}

async function paintDifference() {
  const [a, b] = [element("first").value, element("second").value], note = element("difference-note"), card = element("difference");
  if (!a || !b || !places) return;
  card.classList.add("waiting"); // until the chosen two are there it shows others
  if (a === b) { note.textContent = "choose two different temperatures"; return; }
  note.textContent = "being drawn …";
  let one, two;
  try {
    [one, two] = await Promise.all([kept(crystals, "crystal", a), kept(crystals, "crystal", b)]);
  } catch (error) { note.textContent = error.message; return; }
  if (a !== element("first").value || b !== element("second").value) return; // chosen anew since
  if (one.pitch[0] !== two.pitch[0]) { note.textContent = "one of them is being replaced"; return; }
  card.classList.remove("waiting");
  note.textContent = "";
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
  const list = shown().filter((row) => row.stage === "final");
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
