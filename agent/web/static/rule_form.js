// The rule that is to watch what was drawn.

import { el } from "./dom.js";

const seconds = (key, title, value) => ({ key, title, value, unit: "s", min: 0.1, step: "any" });
const count = (key, title, value, min = 1) => ({ key, title, value, unit: "objects", min, step: 1 });

const KINDS = {
  zone: {
    zone: { title: "enters, leaves or is inside", when: true, fields: [] },
    dwell: { title: "stays for long (loitering)", fields: [seconds("min_s", "longer than", 10)] },
    occupancy: { title: "more inside than allowed", fields: [count("above", "more than", 3, 0)] },
    crowd: { title: "stand close together", fields: [count("min_count", "at least", 4, 2)] },
    stopped: { title: "comes to rest and stays", fields: [seconds("min_s", "longer than", 20)] },
    speed: { title: "is too fast", fields: [{ key: "above_px_s", title: "more than", value: 200, unit: "px/s", min: 1, step: "any" }] },
    "wrong-way": { title: "goes the wrong way", arrow: true, fields: [seconds("for_s", "for longer than", 0.5)] },
    removed: { title: "was at rest and is taken away", fields: [seconds("settled_s", "rested for", 10)] },
  },
  tripwire: {
    tripwire: { title: "crosses the line", direction: true, fields: [] },
  },
};
const WHEN = { enter: "enters", leave: "leaves", inside: "is inside" };
const DIRECTIONS = { both: "either way", "a-to-b": "from A to B", "b-to-a": "from B to A" };

/** A fieldset; `value()` gives the rule as it stands in the file, or null for none; `arrow` whether one belongs to it. */
export class RuleForm {
  constructor(onChange, onTurn) {
    Object.assign(this, { onChange, onTurn });
    this.own = el("div.fields");
    this.labels = el("input", { type: "text", id: "rule-labels", placeholder: "all", autocomplete: "off", list: "known-labels", oninput: onChange });
    this.known = el("datalist", { id: "known-labels" });
    this.cooldown = el("input", { type: "number", id: "rule-cooldown", min: 0, step: "any", value: "0", inputmode: "decimal", oninput: onChange });
    this.snapshot = el("input", { type: "checkbox", id: "rule-snapshot", onchange: onChange });
    this.kind = el("select", { id: "rule-kind", onchange: () => this.show() });
    this.element = el("fieldset", {}, el("legend", {}, "3 · Rule"),
      el("label.field", {}, el("span", {}, "Alert when something"), this.kind), this.own,
      el("details", {}, el("summary", {}, "More"),
        el("label.field", {}, el("span", {}, "Only these classes, with commas between"), this.labels), this.known,
        el("label.field", {}, el("span", {}, "Silent after an alert for"), el("span.unit", {}, this.cooldown, "s")),
        el("label.check", {}, this.snapshot, "Take a picture")));
  }

  /** Offer the kinds of a place; with `none`, also no rule at all. */
  offer(place, labels, none) {
    this.place = place;
    this.known.replaceChildren(...labels.map((label) => el("option", { value: label })));
    this.kind.replaceChildren(
      ...(none ? [el("option", { value: "" }, "no further rule, only the shape")] : []),
      ...Object.entries(KINDS[place]).map(([kind, { title }]) => el("option", { value: kind }, title)));
    this.show();
  }

  show() {
    const kind = KINDS[this.place][this.kind.value];
    const parts = (kind?.fields ?? []).map(({ key, title, value, unit, min, step }) => el("label.field", {},
      el("span", {}, title), el("span.unit", {}, el("input", { type: "number", "data-key": key, value: String(value), min: String(min), step: String(step), inputmode: "decimal", required: true, oninput: this.onChange }), unit)));
    if (kind?.when) {
      parts.push(el("div.chips", { role: "group", "aria-label": "When" }, Object.entries(WHEN).map(([when, title]) =>
        el("label.chip", {}, el("input", { type: "checkbox", "data-when": when, checked: when === "enter", onchange: this.onChange }), title))));
    }
    if (kind?.direction) {
      parts.push(el("label.field", {}, el("span", {}, "Which way"), el("select", { "data-key": "direction", onchange: this.onChange },
        Object.entries(DIRECTIONS).map(([value, title]) => el("option", { value }, title)))));
    }
    if (kind?.arrow) {
      parts.push(el("p.muted.hint", { id: "arrow-hint" }, "The arrow in the zone is the right way. Drag its ends, or Tab to them and use the arrow keys."),
        el("div.buttons", {}, el("button", { type: "button", onclick: this.onTurn }, "Turn the arrow round")));
    }
    this.own.replaceChildren(...parts);
    this.onChange();
  }

  get arrow() {
    return Boolean(KINDS[this.place][this.kind.value]?.arrow);
  }

  value() {
    const kind = this.kind.value;
    if (!kind) return null;
    const rule = { kind };
    const when = [...this.own.querySelectorAll("[data-when]:checked")].map((box) => box.dataset.when);
    if (KINDS[this.place][kind].when && when.join() !== "enter") rule.when = when;
    for (const field of this.own.querySelectorAll("[data-key]")) {
      if (field.type === "number") rule[field.dataset.key] = field.value === "" ? null : Number(field.value);
      else if (field.value !== "both") rule[field.dataset.key] = field.value;
    }
    const labels = this.labels.value.split(",").map((label) => label.trim()).filter(Boolean);
    if (labels.length) rule.labels = labels;
    if (Number(this.cooldown.value) > 0) rule.cooldown_s = Number(this.cooldown.value);
    if (this.snapshot.checked) rule.snapshot = true;
    return rule;
  }
}
