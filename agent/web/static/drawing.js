// A polygon or a line, and an arrow, drawn on a picture with mouse, touch or keyboard.

import { arrowIn, arrowShapes, isArrow } from "./arrow.js";
import { el, say, svg } from "./dom.js";

const HIT = 18; // px round a corner that take it
const MAX_POINTS = 40;
const STEP = { plain: 0.01, shift: 0.05 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

const clamp = (value) => Math.round(1000 * Math.min(1, Math.max(0, value))) / 1000;
const copy = (points) => points && points.map((point) => [...point]);
const percent = ([x, y]) => `${Math.round(100 * x)} % from the left, ${Math.round(100 * y)} % from the top`;

/** Calls `onChange()` whenever `points` or `arrow`, [x, y] as fractions of the picture, have changed. */
export class Drawing {
  constructor(onChange) {
    this.onChange = onChange;
    this.kind = "zone";
    this.points = [];
    this.arrow = null; // its tail and its head, once one is wanted in a finished zone
    this.history = [];
    this.cursor = null; // of the keyboard
    this.backdrop = svg("g");
    this.shape = svg("g");
    this.element = svg("svg.drawing", {
      tabindex: "0", role: "application",
      "aria-label": "Drawing board. Arrow keys move a cross, Enter sets a corner, Backspace takes the last one back, Tab goes to the corners.",
      onpointerdown: (event) => this.press(event), onpointermove: (event) => this.move(event),
      onpointerup: (event) => this.release(event), onpointercancel: () => this.drop(), onpointerleave: () => this.hover(null),
      onkeydown: (event) => this.key(event), onblur: () => this.leave(),
    }, this.backdrop, this.shape);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  close() {
    this.observer.disconnect();
  }

  get complete() {
    return this.kind === "zone" ? this.points.length >= 3 : this.points.length === 2;
  }

  /** Begin with other points. */
  set(kind, points) {
    Object.assign(this, { kind, points: copy(points), arrow: null, history: [], cursor: null });
    this.draw();
  }

  undo() {
    if (!this.history.length) return;
    Object.assign(this, this.history.pop());
    this.changed();
  }

  clear() {
    this.keep();
    Object.assign(this, { points: [], arrow: null });
    this.changed();
  }

  keep() {
    this.history.push({ points: copy(this.points), arrow: copy(this.arrow) });
  }

  /** Whether an arrow belongs to the zone; one that comes lies in its middle. */
  wantArrow(wanted) {
    const arrow = wanted && this.complete ? this.arrow ?? arrowIn(this.points) : null;
    if (arrow === this.arrow) return;
    this.arrow = arrow;
    this.draw();
  }

  /** Turn the arrow round. */
  turn() {
    if (!this.arrow) return;
    this.keep();
    this.arrow.reverse();
    this.changed();
  }

  changed() {
    this.draw();
    this.onChange();
  }

  add(point) {
    if (this.points.length >= (this.kind === "zone" ? MAX_POINTS : 2)) return;
    this.keep();
    this.points.push(point);
    this.changed();
    say(`${this.kind === "zone" ? "Corner" : "End"} ${this.points.length}: ${percent(point)}`);
  }

  /** The points that a handle is one of. */
  listOf(handle) {
    return isArrow(handle) ? this.arrow : this.points;
  }

  remove(index) {
    this.keep();
    this.points.splice(index, 1);
    this.changed();
    this.element.focus();
  }

  // Mouse and touch.

  at(event) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    return [clamp((event.clientX - left) / width), clamp((event.clientY - top) / height)];
  }

  /** The handle under the pointer, { of, index }, or null; an index and a half lies on the middle of a side. */
  hit(event) {
    const { left, top, width, height } = this.element.getBoundingClientRect();
    const reach = event.pointerType === "touch" ? HIT * 1.5 : HIT;
    const near = ([x, y]) => Math.hypot(left + x * width - event.clientX, top + y * height - event.clientY);
    let [best, found] = [reach, null];
    const look = (of, points, half = 0) => points.forEach((point, index) => {
      if (near(point) < best) [best, found] = [near(point), { of, index: index + half }];
    });
    look("arrow", this.arrow ?? []);
    look("corner", this.points);
    if (found !== null || this.kind !== "zone") return found;
    best = HIT * 0.8;
    look("corner", this.middles(), 0.5);
    return found;
  }

  middles() {
    if (this.points.length < 3) return [];
    return this.points.map((point, index) => {
      const next = this.points[(index + 1) % this.points.length];
      return [(point[0] + next[0]) / 2, (point[1] + next[1]) / 2];
    });
  }

  press(event) {
    if (event.button) return;
    event.preventDefault();
    this.element.focus({ preventScroll: true });
    this.element.setPointerCapture(event.pointerId);
    this.cursor = null;
    const handle = this.hit(event);
    this.dragged = handle;
    this.pressed = handle === null;
    if (this.pressed) return;
    this.keep();
    if (handle.index % 1) {
      handle.index = Math.ceil(handle.index);
      this.points.splice(handle.index, 0, this.at(event));
    }
  }

  move(event) {
    if (this.dragged) {
      this.listOf(this.dragged)[this.dragged.index] = this.at(event);
      this.changed();
    } else {
      this.hover(this.at(event));
      this.element.classList.toggle("grab", this.hit(event) !== null);
    }
  }

  release(event) {
    if (this.pressed) this.add(this.at(event));
    else if (this.dragged) this.changed();
    this.drop();
  }

  drop() {
    this.dragged = null;
    this.pressed = false;
  }

  hover(point) {
    this.hovered = point;
    this.drawRubber();
  }

  // Keyboard.

  key(event) {
    const handle = handleOf(event.target);
    const arrow = ARROWS[event.key];
    if (arrow) {
      event.preventDefault();
      const step = event.shiftKey ? STEP.shift : STEP.plain;
      const shift = ([x, y]) => [clamp(x + arrow[0] * step), clamp(y + arrow[1] * step)];
      if (!handle) return this.aim(shift(this.cursor ?? [0.5, 0.5]));
      const points = this.listOf(handle);
      this.keep();
      points[handle.index] = shift(points[handle.index]);
      this.changed();
      return say(percent(points[handle.index]));
    }
    if ((event.key === "Delete" || event.key === "Backspace") && this.points.length) {
      event.preventDefault();
      if (!isArrow(handle)) this.remove(handle ? handle.index : this.points.length - 1);
    } else if ((event.key === "Enter" || event.key === " ") && !handle) {
      event.preventDefault();
      if (this.cursor) this.add([...this.cursor]);
      else this.aim([0.5, 0.5]);
    } else if (event.key === "z" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      this.undo();
    }
  }

  aim(point) {
    this.cursor = point;
    this.draw();
    if (point) say(percent(point));
  }

  /** Nothing is drawn anew here: the focus is on its way to a corner, which must stay. */
  leave() {
    this.cursor = null;
    this.shape.querySelector(".cross")?.remove();
  }

  // The picture of it.

  draw() {
    const { clientWidth: width, clientHeight: height } = this.element;
    if (!width) return;
    this.scale = ([x, y]) => [x * width, y * height];
    this.element.setAttribute("viewBox", `0 0 ${width} ${height}`);
    const focused = handleOf(document.activeElement);
    const at = this.points.map(this.scale);
    const drawn = [];
    if (this.kind === "zone" && at.length > 2) drawn.push(svg("polygon.zone", { points: at.join(" ") }));
    else if (at.length > 1) drawn.push(svg(`polyline.${this.kind}`, { points: at.join(" ") }));
    if (this.kind === "tripwire" && at.length === 2) drawn.push(...sides(at));
    this.rubber = svg("line.rubber");
    drawn.push(this.rubber);
    for (const middle of this.kind === "zone" ? this.middles() : []) {
      const [cx, cy] = this.scale(middle);
      drawn.push(svg("circle.middle", { cx, cy, r: 4 }));
    }
    at.forEach(([cx, cy], index) => drawn.push(svg("circle.corner", {
      cx, cy, r: 7, tabindex: "0", role: "button", "data-of": "corner", "data-index": index,
      "aria-label": `${this.kind === "zone" ? "Corner" : "End"} ${index + 1}: ${percent(this.points[index])}. Arrow keys move it, Delete removes it.`,
    })));
    if (this.arrow) {
      drawn.push(...arrowShapes(this.arrow.map(this.scale), (index) => `${percent(this.arrow[index])}. Arrow keys move it.`));
    }
    if (this.cursor) {
      const [x, y] = this.scale(this.cursor);
      drawn.push(svg("path.cross", { d: `M${x - 14} ${y}h28M${x} ${y - 14}v28` }));
    }
    this.shape.replaceChildren(...drawn);
    if (focused) this.element.querySelector(`[data-of="${focused.of}"][data-index="${focused.index}"]`)?.focus();
    this.drawRubber();
  }

  drawRubber() {
    const last = this.points.at(-1);
    const open = this.kind === "zone" ? this.points.length < 3 : this.points.length < 2;
    const shown = this.hovered && last && open && this.scale;
    this.rubber?.classList.toggle("hidden", !shown);
    if (!shown) return;
    const [[x1, y1], [x2, y2]] = [this.scale(last), this.scale(this.hovered)];
    for (const [key, value] of Object.entries({ x1, y1, x2, y2 })) this.rubber.setAttribute(key, value);
  }

  /** Paths behind the drawing; those in `hot` stand out. */
  paths(all, hot = []) {
    const [width, height] = [1000, 1000];
    const path = (points, name) => svg(`polyline.${name}`, { points: points.map(([x, y]) => [x * width, y * height]).join(" "), "vector-effect": "non-scaling-stroke" });
    this.backdrop.replaceChildren(svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", width: "100%", height: "100%" },
      all.map((points) => path(points, "past")), hot.map((points) => path(points, "hot"))));
  }
}

/** Which point an element is the handle of. */
function handleOf(element) {
  const { of, index } = element?.dataset ?? {};
  return of ? { of, index: Number(index) } : null;
}

/** A and B on their sides of a line: A at the left hand of who walks from its first end to its second. */
function sides([a, b]) {
  const [dx, dy] = [b[0] - a[0], b[1] - a[1]];
  const length = Math.hypot(dx, dy) || 1;
  const [mx, my] = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
  return [["A", -1], ["B", 1]].map(([letter, side]) => svg("text.side", {
    x: mx + (-dy / length) * 18 * side, y: my + (dx / length) * 18 * side, "text-anchor": "middle", "dominant-baseline": "central",
  }, letter));
}

/** The buttons beside a drawing. */
export function drawingTools(drawing) {
  return el("div.buttons", {},
    el("button", { type: "button", onclick: () => drawing.undo() }, "Undo"),
    el("button", { type: "button", onclick: () => drawing.clear() }, "Clear"));
}
