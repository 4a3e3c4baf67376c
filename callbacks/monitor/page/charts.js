"use strict";
// Drawing: Plotly for what has axes, canvases for images. Everything here takes values and draws them.

const PHASE_LEVELS = 255;
const dark = matchMedia("(prefers-color-scheme: dark)");
let palettes = null;

const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const rgb = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const element = (id) => document.getElementById(id);

const valueAxis = () => ({
  gridcolor: css("--grid"), zerolinecolor: css("--line"), linecolor: css("--line"), ticks: "outside",
  tickcolor: css("--line"), automargin: true, title: { standoff: 8 }, nticks: 7,
});

/** Plotly's options for a chart in the page's colours. */
function layout(extra) {
  const axis = valueAxis(), { xaxis = {}, yaxis = {}, ...rest } = extra;
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: { l: 8, r: 10, t: 8, b: 8 },
    font: { family: "system-ui, sans-serif", size: 13, color: css("--quiet") }, hoverlabel: { namelength: -1 },
    legend: { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 }, traceorder: "normal" }, showlegend: false,
    xaxis: { ...axis, ...xaxis, title: { ...axis.title, ...(xaxis.title || {}) } },
    yaxis: { ...axis, ...yaxis, title: { ...axis.title, ...(yaxis.title || {}) } },
    uirevision: "kept", ...rest,
  };
}

/** Draw a chart; where there is nothing to draw yet it says so, without axes of numbers that mean nothing. */
function draw(id, traces, options, otherwise = "comes with the first result") {
  if (!traces.some((trace) => trace.x && trace.x.length)) {
    const said = { text: otherwise, xref: "paper", yref: "paper", x: 0.5, y: 0.5, showarrow: false };
    const none = { xaxis: { visible: false }, yaxis: { visible: false }, annotations: [{ ...said, font: { size: 14 } }] };
    return Plotly.react(element(id), [], layout(none), { displayModeBar: false, responsive: true });
  }
  return Plotly.react(element(id), traces, layout(options), { displayModeBar: false, responsive: true });
}

/** Read a message of arrays: its facts, and each array by name. */
async function fetchArrays(path) {
  const reply = await fetch(path);
  if (!reply.ok) {
    const said = await reply.json().catch(() => ({}));
    throw new Error(said.problem || `the monitor answered ${reply.status}`);
  }
  const buffer = await reply.arrayBuffer();
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const types = { uint8: Uint8Array, float32: Float32Array, int32: Int32Array };
  const found = { ...header.facts };
  for (const one of header.arrays) {
    const count = one.shape.reduce((a, b) => a * b, 1);
    found[one.name] = new types[one.dtype](buffer, 4 + length + one.offset, count);
    found[one.name + "_shape"] = one.shape;
  }
  return found;
}

/** Paint bytes (row 0 at the top) with a palette; 255 is grey where `masked`. */
function paint(canvas, bytes, [rows, columns], palette, masked) {
  canvas.width = columns;
  canvas.height = rows;
  const colours = palettes[palette].map(rgb);
  if (masked) colours[255] = [140, 140, 140];
  const context = canvas.getContext("2d"), image = context.createImageData(columns, rows);
  for (let n = 0; n < rows * columns; n++) {
    const [r, g, b] = colours[bytes[n]];
    image.data.set([r, g, b, 255], 4 * n);
  }
  context.putImageData(image, 0, 0);
}

/** Return the plane number `index` across `axis` as a getter of (row, column) -> position in the volume. */
function plane(shape, axis, index) {
  const strides = [shape[1] * shape[2], shape[2], 1];
  const [down, right] = [0, 1, 2].filter((one) => one !== axis);
  return { rows: shape[down], columns: shape[right], down, right,
    at: (row, column) => index * strides[axis] + row * strides[down] + column * strides[right] };
}

/** Paint a slice of a volume, `box` alone, up is up; `colour(position)` gives [r, g, b, alpha]. */
function paintSlice(canvas, shape, axis, index, box, pitch, colour) {
  const cut = plane(shape, axis, index);
  const [top, bottom] = box[cut.down], [left, right] = box[cut.right];
  const rows = bottom - top + 1, columns = right - left + 1;
  const small = new OffscreenCanvas(columns, rows), context = small.getContext("2d");
  const image = context.createImageData(columns, rows);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      image.data.set(colour(cut.at(bottom - row, left + column)), 4 * (row * columns + column));
    }
  }
  context.putImageData(image, 0, 0);
  const wide = columns * pitch[cut.right], high = rows * pitch[cut.down], size = 320;
  canvas.width = canvas.height = size;
  const scale = size / Math.max(wide, high), target = canvas.getContext("2d");
  target.clearRect(0, 0, size, size);
  target.imageSmoothingEnabled = false;
  target.drawImage(small, (size - wide * scale) / 2, (size - high * scale) / 2, wide * scale, high * scale);
}

/** Return first and last index along each axis that the support reaches, with a margin. */
function boundingBox(support, shape, margin = 3) {
  const box = shape.map((size) => [size, -1]);
  let at = 0;
  for (let i = 0; i < shape[0]; i++) for (let j = 0; j < shape[1]; j++) for (let k = 0; k < shape[2]; k++) {
    if (!support[at++]) continue;
    [i, j, k].forEach((place, axis) => {
      box[axis] = [Math.min(box[axis][0], place), Math.max(box[axis][1], place)];
    });
  }
  return box.map(([low, high], axis) =>
    high < 0 ? [0, shape[axis] - 1] : [Math.max(0, low - margin), Math.min(shape[axis] - 1, high + margin)]);
}

const axisNames = (qAxis) => ["x", "y", "z"].map((name, axis) => (axis === qAxis ? `${name} ∥ Q` : name));

let view = null; // Plotly's camera as the mouse left it: the same for all temperatures

/** Draw the surface, seen from where the person left it. */
async function drawCrystal(found, reach) {
  // A colour for each point: values would be interpolated across the wrap from π to −π, colours meet there.
  const level = (phase) => Math.max(0, Math.min(255, Math.round(((phase + Math.PI) * 255) / (2 * Math.PI))));
  const [count, faces] = [found.points_shape[1], found.faces_shape[1]];
  const part = (array, n, size) => array.subarray(n * size, (n + 1) * size);
  const [x, y, z] = [0, 1, 2].map((n) => part(found.points, n, count));
  const [i, j, k] = [0, 1, 2].map((n) => part(found.faces, n, faces));
  const axis = (title) => ({
    title: { text: title, font: { size: 13 } }, range: [-reach, reach], gridcolor: css("--line"), showbackground: false,
    zerolinecolor: css("--line"), color: css("--quiet"), nticks: 5, showspikes: false,
  });
  const mesh = {
    type: "mesh3d", x, y, z, i, j, k, vertexcolor: Array.from(found.phase, (phase) => palettes.phase[level(phase)]),
    flatshading: false, hoverinfo: "skip",
    lighting: { ambient: 0.62, diffuse: 0.7, specular: 0.25, roughness: 0.55, fresnel: 0.05 },
    lightposition: { x: 2000, y: 3000, z: 4000 },
  };
  const far = element("crystal").offsetWidth < 420 ? 1.25 : 1; // a telephone cuts the labels off
  const options = {
    paper_bgcolor: "rgba(0,0,0,0)", margin: { l: 0, r: 0, t: 0, b: 0 }, uirevision: "crystal",
    font: { family: "system-ui, sans-serif", size: 12, color: css("--quiet") },
    scene: { aspectmode: "cube", xaxis: axis("x (nm)"), yaxis: axis("y (nm)"), zaxis: axis("z (nm)"),
      camera: view ?? { eye: { x: 1.35 * far, y: 1.1 * far, z: 0.75 * far }, center: { x: 0, y: 0, z: -0.12 } }, uirevision: "crystal" },
  };
  const chart = element("crystal"), fresh = !chart.data;
  await Plotly.react(chart, [mesh], options, { displayModeBar: false, responsive: true });
  if (!fresh) return;
  for (const turned of ["plotly_relayouting", "plotly_relayout"]) {
    chart.on(turned, (change) => { view = change["scene.camera"] ?? view; });
  }
}
