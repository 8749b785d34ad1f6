// The arrow of a wrong-way rule: from its tail to its head is the way that is right.

import { svg } from "./dom.js";

const LENGTH = 0.2; // of the picture, when it comes
const HEAD = 26; // px, longer than the handle on it

export const isArrow = (handle) => handle?.of === "arrow";

/** An arrow in the middle of a zone, to the right, its ends within the picture. */
export function arrowIn(points) {
  const middle = (axis) => points.reduce((sum, point) => sum + point[axis], 0) / points.length;
  const round = (value) => Math.round(1000 * value) / 1000;
  const x = Math.min(1 - LENGTH / 2, Math.max(LENGTH / 2, middle(0)));
  return [[round(x - LENGTH / 2), round(middle(1))], [round(x + LENGTH / 2), round(middle(1))]];
}

/** The two sides of its head, as a path; `a` and `b` in px. */
export function headPath([ax, ay], [bx, by], size = HEAD) {
  const angle = Math.atan2(by - ay, bx - ax);
  const side = (turn) => `${bx - size * Math.cos(angle + turn)} ${by - size * Math.sin(angle + turn)}`;
  return `M${side(0.5)}L${bx} ${by}L${side(-0.5)}`;
}

/** Its line, head and two handles; `where(index)` says where an end is. */
export function arrowShapes(ends, where) {
  const [a, b] = ends;
  const line = svg("path.arrow", { d: `M${a[0]} ${a[1]}L${b[0]} ${b[1]}${headPath(a, b)}` });
  const handles = ["Tail", "Head"].map((name, index) => svg("circle.corner.end", {
    cx: ends[index][0], cy: ends[index][1], r: index ? 7 : 6, tabindex: "0", role: "button", "data-of": "arrow", "data-index": index,
    "aria-label": `${name} of the arrow: ${where(index)}`,
  }));
  return [line, ...handles];
}
