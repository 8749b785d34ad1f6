// Zones and tripwires: drawn on the live picture, tried on the last minutes, copied or saved.

import { ask, duration, el, say, svg } from "./dom.js";
import { Drawing, drawingTools } from "./drawing.js";
import { Removal, rulesOf } from "./removal.js";
import { RuleForm } from "./rule_form.js";
import { Stage } from "./stage.js";

const TRY_AFTER_MS = 250;
const PATHS_EVERY_MS = 5000;
const LISTED = 6;
const HINTS = {
  zone: "Click or tap round the area, three corners or more. Drag a corner to move it, the middle of a side to bend it.",
  tripwire: "Click or tap the two ends of the line. Objects cross it from side A to side B or back.",
};

export class ZonesPage {
  title = "Zones";

  constructor(app, [chosen]) {
    this.app = app;
    this.camera = app.state.cameras.find(({ name }) => name === chosen) ?? app.state.cameras[0];
    this.stage = new Stage(this.camera);
    this.drawing = new Drawing(() => this.changed());
    this.stage.element.append(this.drawing.element);
    this.stage.element.removeAttribute("role"); // what is in it can be worked with
    this.paths = [];
    this.result = el("div.result", { "aria-live": "polite" });
    this.yaml = el("pre", { tabindex: "0", "aria-label": "YAML" });
    this.outcome = el("div", { role: "status" });
    this.hint = el("p.muted.hint", { id: "drawing-hint" });
    this.rule = new RuleForm(() => this.changed(), () => this.drawing.turn());
    this.removal = new Removal(() => this.remove());
    this.form = this.makeForm();
    this.element = el("div.editor", {},
      el("section.board", { "aria-label": "Picture" },
        el("div.tools", {}, el("h1", {}, "Zones and tripwires"), this.cameraChoice(), drawingTools(this.drawing)),
        el("div.card.camera", {}, this.stage.element), this.hint),
      this.form);
    this.choose("");
    this.timer = setInterval(() => this.loadPaths(), PATHS_EVERY_MS);
    this.loadPaths();
  }

  get watches() {
    return [this.camera.name];
  }

  makeForm() {
    this.existing = el("select", { id: "existing", onchange: () => this.choose(this.existing.value) });
    this.place = Object.fromEntries(["zone", "tripwire"].map((place) =>
      [place, el("input", { type: "radio", name: "place", value: place, onchange: () => this.choosePlace(place) })]));
    this.name = el("input", { id: "name", type: "text", maxlength: "64", pattern: "[A-Za-z0-9][A-Za-z0-9_\\-]*", autocomplete: "off", spellcheck: "false", required: true, oninput: () => this.changed() });
    this.copyButton = el("button", { type: "button", onclick: () => this.copy() }, "Copy YAML");
    this.saveButton = el("button.main", { type: "submit" }, "Save");
    const form = el("form.panel", { novalidate: true, onsubmit: (event) => { event.preventDefault(); this.save(); } },
      el("fieldset", {}, el("legend", {}, "1 · Shape"),
        el("label.field", {}, el("span", {}, "Change or add"), this.existing), this.removal.element,
        el("div.chips", { role: "radiogroup", "aria-label": "What to draw" },
          el("label.chip", {}, this.place.zone, "Zone"), el("label.chip", {}, this.place.tripwire, "Tripwire"))),
      el("fieldset", {}, el("legend", {}, "2 · Name"),
        el("label.field", {}, el("span", {}, "Letters, digits, - and _"), this.name)),
      this.rule.element,
      el("fieldset", {}, el("legend", {}, "4 · Try and keep"), this.result,
        el("details", {}, el("summary", {}, "YAML"), this.yaml),
        this.obstacle(), el("div.buttons", {}, this.saveButton, this.copyButton), this.outcome));
    return form;
  }

  /** Why nothing can be saved here, and what to do instead. */
  obstacle() {
    const { obstacle, file } = this.app.state;
    if (!obstacle) return null;
    return el("div.notice.warn", { role: "note", id: "obstacle" },
      el("strong", {}, "Nothing can be saved from here."), el("p", {}, `${obstacle}.`),
      el("p", {}, `Copy the YAML instead, put it into ${file ?? "a configuration file"} by hand and reload the agent`,
        file ? [", on a Raspberry Pi with ", el("code", {}, "sudo systemctl reload edgetrack-agent")] : "", "."));
  }

  cameraChoice() {
    const { cameras } = this.app.state;
    if (cameras.length < 2) return el("span.muted", {}, this.camera.name);
    return el("label.field.inline", {}, el("span", {}, "Camera"), el("select", {
      onchange: (event) => { location.hash = `#/zones/${event.target.value}`; },
    }, cameras.map(({ name }) => el("option", { value: name, selected: name === this.camera.name }, name))));
  }

  // What is worked on.

  choose(existing) {
    const options = ["zone", "tripwire"].flatMap((place) => Object.keys(this.camera[`${place}s`]).map((name) => [`${place}/${name}`, `${name} (${place})`]));
    this.existing.replaceChildren(el("option", { value: "" }, "a new one"), ...options.map(([value, title]) => el("option", { value }, title)));
    this.existing.value = existing;
    const [place, name] = existing.split("/");
    for (const radio of Object.values(this.place)) radio.disabled = Boolean(existing);
    this.name.readOnly = Boolean(existing);
    this.removal.offer(name, existing ? rulesOf(this.camera, place, name) : [], Boolean(this.app.state.obstacle));
    if (existing) {
      this.name.value = name;
      this.choosePlace(place, this.camera[`${place}s`][name].points);
    } else {
      this.choosePlace("zone");
    }
  }

  choosePlace(place, points = []) {
    this.kind = place;
    this.place[place].checked = true;
    this.hint.textContent = HINTS[place];
    if (!this.existing.value) this.name.value = this.freeName(place === "zone" ? "zone" : "line");
    this.drawing.set(place, points);
    this.rule.offer(place, this.camera.labels, Boolean(this.existing.value));
  }

  freeName(base) {
    const taken = new Set([...Object.keys(this.camera.zones), ...Object.keys(this.camera.tripwires)]);
    for (let number = 1; ; number += 1) if (!taken.has(`${base}-${number}`)) return `${base}-${number}`;
  }

  draft() {
    const shape = { points: this.drawing.points };
    const rule = this.rule.value();
    if (rule && this.drawing.arrow) rule.allowed = this.drawing.arrow;
    return { place: this.kind, name: this.name.value, shape, rule };
  }

  // Trying.

  changed() {
    if (!this.form) return;
    this.outcome.replaceChildren();
    clearTimeout(this.due);
    this.drawing.wantArrow(this.rule.arrow);
    const ready = this.drawing.complete;
    this.copyButton.disabled = !ready;
    this.saveButton.disabled = !ready || Boolean(this.app.state.obstacle);
    if (ready) {
      this.due = setTimeout(() => this.try(), TRY_AFTER_MS);
    } else {
      const missing = this.kind === "zone" ? 3 - this.drawing.points.length : 2 - this.drawing.points.length;
      this.result.replaceChildren(el("p.muted", {}, `${missing} more ${missing === 1 ? "point" : "points"} to draw.`));
      this.yaml.textContent = "";
      this.drawing.paths(this.paths);
    }
  }

  async try() {
    try {
      const trial = await ask(`/api/cameras/${this.camera.name}/try`, this.draft());
      this.yaml.textContent = trial.yaml;
      this.showTrial(trial);
    } catch (error) {
      if (error.status === 409) return;
      this.saveButton.disabled = true;
      this.result.replaceChildren(el("p.fault", { role: "alert" }, error.message));
    }
  }

  showTrial({ fired, span_s: span, objects, events }) {
    const times = fired === 1 ? "once" : `${fired} times`;
    const hot = events.map(({ path }) => path ?? []);
    this.drawing.paths(this.paths, hot);
    this.result.replaceChildren(
      el("p.verdict", {}, el("strong", {}, times), ` in the last ${duration(span)}`, el("span.muted", {}, ` of ${objects} ${objects === 1 ? "object" : "objects"} seen`)),
      span > 0 ? svg("svg.timeline", { viewBox: "0 0 1000 24", preserveAspectRatio: "none", role: "img", "aria-label": `When it would have fired, over the last ${duration(span)}` },
        events.map(({ ago_s: ago }) => svg("line", { x1: 1000 - (1000 * ago) / span, x2: 1000 - (1000 * ago) / span, y1: 3, y2: 21, "vector-effect": "non-scaling-stroke" }))) : "",
      el("ul.events", {}, events.slice(-LISTED).reverse().map((event) => this.eventItem(event))));
  }

  eventItem({ ago_s: ago, kind, label, track, direction, path }) {
    const look = () => this.drawing.paths(this.paths, path ? [path] : []);
    const who = label ? `${label} ${track} ` : "";
    return el("li", {}, el("button.quiet", { type: "button", onpointerenter: look, onfocus: look },
      `${duration(ago)} ago: ${who}${kind}${direction ? ` ${direction.replace("-to-", " → ").toUpperCase()}` : ""}`));
  }

  async loadPaths() {
    try {
      const before = this.paths.length;
      ({ paths: this.paths } = await ask(`/api/cameras/${this.camera.name}/paths`));
      if (!this.drawing.complete || !before) this.drawing.paths(this.paths);
    } catch {
      // The agent restarts; the next time will do.
    }
  }

  // Keeping.

  async copy() {
    const text = this.yaml.textContent;
    try {
      await navigator.clipboard.writeText(text);
    } catch { // without TLS browsers refuse it on any but this machine's own address
      const area = el("textarea.hidden", {}, text);
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    this.outcome.replaceChildren(el("p.good", {}, "Copied. Put it into the configuration, then reload the agent."));
    say("Copied");
  }

  async save() {
    if (!this.form.reportValidity() || !this.drawing.complete) return;
    const draft = this.draft();
    this.saveButton.disabled = true;
    const said = ({ file, kept }) => `Saved ${draft.name} to ${file}; the version before is ${kept}. The cameras begin anew.`;
    const place = `${draft.place}/${draft.name}`;
    if (!await this.put(`/api/cameras/${this.camera.name}/save`, draft, said, place, { "data-saved": draft.name })) this.saveButton.disabled = false;
  }

  remove() {
    const [place, name] = this.existing.value.split("/");
    const said = ({ file, kept }) => `Deleted ${name} from ${file}; the version before is ${kept}. The cameras begin anew.`;
    return this.put(`/api/cameras/${this.camera.name}/remove`, { place, name }, said, `${place}/${name}`, { "data-deleted": name });
  }

  /** Change the file, and offer to undo that. */
  async put(path, content, said, place, marks) {
    this.outcome.replaceChildren(el("p.muted", {}, "Checking and saving …"));
    try {
      const saved = await ask(path, content);
      this.after = place;
      const undo = el("button", { type: "button", id: "undo-saved", onclick: () => {
        const undone = () => "Undone: the version before is back. The cameras begin anew.";
        this.put("/api/undo", { version: saved.version }, undone, place, { "data-undone": "" });
      } }, marks["data-undone"] === undefined ? "Undo" : "Undo the undo");
      this.outcome.replaceChildren(el("p.good", marks, said(saved)), el("div.buttons", {}, undo));
      this.outcome.scrollIntoView({ block: "nearest" });
      return true;
    } catch (error) {
      this.outcome.replaceChildren(el("p.fault", { role: "alert" }, error.message));
      return false;
    }
  }

  /** The agent has taken a configuration anew: what was saved is there now. */
  onReload() {
    const camera = this.app.state.cameras.find(({ name }) => name === this.camera.name);
    if (!camera) return;
    this.camera = this.stage.camera = camera;
    if (!this.after) return;
    const outcome = [...this.outcome.childNodes];
    const [place, name] = this.after.split("/");
    this.choose(camera[`${place}s`][name] ? this.after : "");
    this.after = null;
    this.outcome.replaceChildren(...outcome);
  }

  onFrame(frame) {
    if (frame.camera !== this.camera.name) return;
    this.stage.leftOut = this.existing.value.split("/")[1]; // the board draws it
    this.stage.show(frame);
  }

  close() {
    clearInterval(this.timer);
    clearTimeout(this.due);
    this.stage.close();
    this.drawing.close();
  }
}
