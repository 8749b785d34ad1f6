// A zone or tripwire that goes, with the rules that watch it: asked about once, brought back by Undo.

import { el } from "./dom.js";

/** Names of the rules of a camera that watch a place, and so go with it. */
export function rulesOf(camera, place, name) {
  const watches = (rule) => (place === "tripwire" ? rule.tripwire === name : rule.zone === name || rule.zones?.includes(name));
  return camera.rules.filter(watches).map((rule) => rule.name);
}

/** A button that asks before it calls `onRemove()`. */
export class Removal {
  constructor(onRemove) {
    this.onRemove = onRemove;
    this.element = el("div.removal", { hidden: true, onkeydown: (event) => { if (event.key === "Escape") this.keep(); } });
  }

  /** Offer to delete a place; null for none that is there. */
  offer(name, rules = [], disabled = false) {
    Object.assign(this, { name, rules, disabled });
    this.element.hidden = !name;
    this.show();
  }

  show() {
    this.button = el("button", { type: "button", id: "delete", disabled: this.disabled, onclick: () => this.confirm() }, `Delete ${this.name} …`);
    this.element.replaceChildren(this.button);
  }

  confirm() {
    const { rules } = this;
    const also = rules.length ? ` and ${rules.length === 1 ? "the rule" : `${rules.length} rules`} watching it (${rules.join(", ")})` : "";
    const keep = el("button", { type: "button", onclick: () => this.keep() }, "Keep");
    this.element.replaceChildren(el("div.confirm", { role: "group", "aria-labelledby": "delete-question" },
      el("p", { id: "delete-question" }, `Delete ${this.name}${also}? The version before is kept, and Undo brings it back.`),
      el("div.buttons", {}, el("button.danger", { type: "button", id: "delete-now", onclick: () => { this.show(); this.onRemove(); } }, "Delete"), keep)));
    keep.focus();
  }

  keep() {
    if (this.button.isConnected) return;
    this.show();
    this.button.focus();
  }
}
