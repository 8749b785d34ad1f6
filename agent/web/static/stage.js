// One camera's picture with what the agent sees on it.

import { headPath } from "./arrow.js";
import { el } from "./dom.js";

// Okabe-Ito: eight colours that people with colour-blindness can tell apart.
const PALETTE = ["#e69f00", "#56b4e9", "#2bc49a", "#f0e442", "#3d9be9", "#ff7a3d", "#e59ac6", "#ffffff"];
const ZONE = "#ffd34d";
const TRIPWIRE = "#ff8f4d";
const ARROW = "#56b4e9";
const TRAIL_MS = 6000;

export const LAYERS = { boxes: "Boxes", labels: "Labels", trails: "Trails", zones: "Zones", tripwires: "Tripwires" };

/** Which layers are switched on; kept by the browser. */
export const layers = { ...Object.fromEntries(Object.keys(LAYERS).map((key) => [key, true])), ...stored() };

function stored() {
  try {
    return JSON.parse(localStorage.getItem("edgetrack-layers")) ?? {};
  } catch {
    return {};
  }
}

/** The switches of all layers. */
export function layerSwitches(onChange) {
  const boxes = Object.entries(LAYERS).map(([key, title]) => {
    const box = el("input", { type: "checkbox", checked: layers[key], onchange: () => {
      layers[key] = box.checked;
      localStorage.setItem("edgetrack-layers", JSON.stringify(layers));
      onChange();
    } });
    return el("label.chip", {}, box, title);
  });
  return el("fieldset.chips", {}, el("legend.hidden", {}, "What is drawn on the picture"), boxes);
}

/** A picture and its overlay; `show` takes each frame. */
export class Stage {
  constructor(camera) {
    this.camera = camera;
    this.trails = new Map();
    this.picture = el("canvas.picture", { width: 16, height: 9 });
    this.overlay = el("canvas.overlay", { "aria-hidden": "true" });
    this.empty = el("p.empty", {}, "Waiting for a picture …");
    this.element = el("div.stage", { role: "img", "aria-label": `Live picture of ${camera.name}` },
      this.picture, this.overlay, this.empty);
    this.shape(camera.size);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
  }

  shape(size) {
    this.size = size ?? [16, 9];
    this.element.style.aspectRatio = `${this.size[0]} / ${this.size[1]}`;
  }

  show(frame) {
    const { picture } = frame;
    if (this.picture.width !== picture.width || this.picture.height !== picture.height) {
      Object.assign(this.picture, { width: picture.width, height: picture.height });
    }
    if (frame.size.join() !== this.size.join()) this.shape(frame.size);
    this.picture.getContext("2d").drawImage(picture, 0, 0);
    picture.close();
    this.empty.hidden = true;
    this.tracks = frame.tracks;
    this.remember(frame.tracks);
    this.draw();
    const seen = frame.tracks.filter((track) => !track.lost).length;
    this.element.setAttribute("aria-label", `Live picture of ${this.camera.name}: ${seen} objects in sight`);
  }

  remember(tracks) {
    const now = performance.now();
    for (const { id, box, lost } of tracks) {
      const trail = this.trails.get(id) ?? [];
      if (!lost) trail.push([(box[0] + box[2]) / 2, box[3], now]);
      this.trails.set(id, trail);
    }
    const alive = new Set(tracks.map((track) => track.id));
    for (const [id, trail] of this.trails) {
      while (trail.length && now - trail[0][2] > TRAIL_MS) trail.shift();
      if (!alive.has(id)) this.trails.delete(id);
    }
  }

  draw() {
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [this.element.clientWidth, this.element.clientHeight];
    if (!width) return;
    Object.assign(this.overlay, { width: width * ratio, height: height * ratio });
    const pen = this.overlay.getContext("2d");
    pen.scale(ratio, ratio);
    pen.lineJoin = pen.lineCap = "round";
    pen.font = "600 12px system-ui, sans-serif";
    const at = ([x, y]) => [x * width, y * height];
    const shown = (places) => Object.entries(places).filter(([name]) => name !== this.leftOut);
    if (layers.zones) for (const [name, zone] of shown(this.camera.zones)) drawZone(pen, name, zone.points.map(at));
    if (layers.zones) for (const { allowed } of this.camera.rules) if (allowed) drawArrow(pen, allowed.map(at));
    if (layers.tripwires) for (const [name, line] of shown(this.camera.tripwires)) drawTripwire(pen, name, line.points.map(at));
    for (const track of this.tracks ?? []) {
      const colour = PALETTE[track.id % PALETTE.length];
      if (layers.trails) drawTrail(pen, (this.trails.get(track.id) ?? []).map(at), colour);
      drawTrack(pen, track, at, colour);
    }
  }
}

function drawZone(pen, name, points) {
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  pen.closePath();
  pen.fillStyle = `${ZONE}26`;
  pen.fill();
  stroke(pen, ZONE, 1.5);
  const top = points.reduce((a, b) => (b[1] < a[1] ? b : a));
  drawText(pen, name, top[0], top[1] - 6, ZONE);
}

/** The right way of a wrong-way rule. */
function drawArrow(pen, [a, b]) {
  pen.beginPath();
  pen.moveTo(...a);
  pen.lineTo(...b);
  stroke(pen, ARROW, 2);
  pen.stroke(new Path2D(headPath(a, b, 12)));
}

function drawTripwire(pen, name, [a, b]) {
  pen.beginPath();
  pen.moveTo(...a);
  pen.lineTo(...b);
  stroke(pen, TRIPWIRE, 2.5);
  const length = Math.hypot(b[0] - a[0], b[1] - a[1]) || 1;
  const [across, along] = [[-(b[1] - a[1]) / length, (b[0] - a[0]) / length], [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2]];
  pen.fillStyle = TRIPWIRE;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (const [side, letter] of [[-13, "A"], [13, "B"]]) {
    pen.fillText(letter, along[0] + across[0] * side, along[1] + across[1] * side);
  }
  pen.textAlign = "start";
  pen.textBaseline = "alphabetic";
  drawText(pen, name, a[0] + 6, a[1] - 8, TRIPWIRE);
}

function drawTrail(pen, points, colour) {
  if (points.length < 2) return;
  pen.beginPath();
  points.forEach(([x, y]) => pen.lineTo(x, y));
  stroke(pen, colour, 2);
}

function drawTrack(pen, track, at, colour) {
  const [left, top] = at(track.box.slice(0, 2));
  const [right, bottom] = at(track.box.slice(2));
  if (layers.boxes) {
    pen.setLineDash(track.lost ? [5, 5] : []);
    pen.beginPath();
    pen.roundRect(left, top, right - left, bottom - top, 3);
    stroke(pen, colour, 2);
    pen.setLineDash([]);
  }
  if (layers.labels && !track.lost) {
    const score = track.label === "motion" ? "" : ` ${Math.round(100 * track.score)} %`;
    drawText(pen, `${track.label} ${track.id}${score}`, left, top - 6, colour);
  }
}

/** A line with a dark edge: it is seen on any picture. */
function stroke(pen, colour, width) {
  pen.strokeStyle = "rgb(0 0 0 / 55%)";
  pen.lineWidth = width + 2;
  pen.stroke();
  pen.strokeStyle = colour;
  pen.lineWidth = width;
  pen.stroke();
}

function drawText(pen, text, x, y, colour) {
  const width = pen.measureText(text).width + 10;
  const right = pen.canvas.clientWidth - width - 2;
  const left = Math.max(2, Math.min(x, right));
  const base = Math.max(16, y);
  pen.fillStyle = "rgb(8 12 14 / 78%)";
  pen.beginPath();
  pen.roundRect(left, base - 13, width, 18, 4);
  pen.fill();
  pen.fillStyle = colour;
  pen.fillText(text, left + 5, base);
}
