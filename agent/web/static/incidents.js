// Incidents: what happened, when, and why the rule said so.

import { clock, duration, el, svg } from "./dom.js";

const SENTENCES = {
  enter: (who, where) => `${who} entered ${where}`,
  leave: (who, where) => `${who} left ${where}`,
  inside: (who, where) => `${who} inside ${where}`,
  cross: (who, where) => `${who} crossed ${where}`,
  dwell: (who, where) => `${who} stays in ${where}`,
  occupancy: (_, where) => `Occupancy of ${where}`,
  crowd: (_, where) => `Crowd${where ? ` in ${where}` : ""}`,
  "wrong-way": (who) => `${who} goes the wrong way`,
  speed: (who) => `${who} is too fast`,
  stopped: (who, where) => `${who} stopped${where ? ` in ${where}` : ""}`,
  abandoned: (who) => `${who} left behind`,
  removed: (who) => `${who} taken away`,
  sequence: (who) => `${who} took the watched way`,
  "left-scene": (who) => `${who} left the picture`,
};

/** One line about an incident. */
export function sentence(incident) {
  const who = incident.track ? `${incident.track.label} ${incident.track.id}` : "";
  const where = incident.zone ?? incident.tripwire ?? "";
  const said = SENTENCES[incident.kind]?.(who, where) ?? `${who} ${incident.kind} ${where}`.trim();
  return said[0].toUpperCase() + said.slice(1);
}

/** A list item about an incident. */
function incidentCard(app, incident) {
  const why = reasons(incident);
  const lasting = incident.phase !== "instant";
  const direction = incident.evidence?.direction?.replace("-to-", " → ").toUpperCase();
  return el("li.incident", { "data-incident": incident.incident },
    incident.picture
      ? el("a.thumb", { href: `/api/incidents/${incident.incident}/picture`, target: "_blank", rel: "noopener" },
        el("img", { src: `/api/incidents/${incident.incident}/picture`, alt: `Picture of: ${sentence(incident)}`, loading: "lazy" }))
      : el("div.thumb", {}, sketch(app, incident)),
    el("div.what", {},
      el("p.said", {}, sentence(incident), direction ? ` (${direction})` : ""),
      el("p.muted.facts", {},
        el("time", { datetime: incident.time }, clock(incident.time)),
        ` · ${incident.camera} · ${incident.rule}`,
        lasting ? ` · ${duration(incident.duration_s)}` : "",
        incident.open ? el("span.badge", {}, "ongoing") : null),
      why.length ? el("details", {}, el("summary", {}, "Why"), el("dl", {}, why)) : null));
}

/** Fill a list; what was unfolded stays so, and `none` stands where there are none. */
export function showIncidents(app, list, incidents, none) {
  const open = [...list.querySelectorAll("details[open]")].map((node) => node.closest("li").dataset.incident);
  const cards = incidents.map((incident) => incidentCard(app, incident));
  for (const card of cards) if (open.includes(card.dataset.incident)) card.querySelector("details").open = true;
  list.replaceChildren(...(cards.length ? cards : [none]));
}

/** The evidence, in words. */
function reasons(incident) {
  return Object.entries({ ...incident.evidence, ...labelled(incident.counts) }).flatMap(([key, value]) => [
    el("dt", {}, key.replaceAll("_", " ")), el("dd", {}, shown(value, key)),
  ]);
}

function labelled(counts) {
  return Object.fromEntries(Object.entries(counts ?? {}).map(([key, value]) => [`count ${key}`, value]));
}

function shown(value, key) {
  if (typeof value === "number") {
    const text = Number(value.toFixed(3)).toString();
    return key.endsWith("_s") ? `${text} s` : text;
  }
  if (Array.isArray(value)) return value.map((item) => shown(item, "")).join(", ");
  if (value && typeof value === "object") {
    return Object.entries(value).map(([name, item]) => `${name} ${shown(item, name)}`).join(", ");
  }
  return String(value);
}

/** Where it was, for incidents without a picture. */
function sketch(app, incident) {
  const { width, height } = incident.frame ?? { width: 16, height: 9 };
  const tall = (100 * height) / width;
  const at = (points) => points.map(([x, y]) => `${(100 * x).toFixed(1)},${(tall * y).toFixed(1)}`).join(" ");
  const camera = app.state.cameras.find(({ name }) => name === incident.camera);
  const zone = camera?.zones[incident.zone]?.points;
  const line = camera?.tripwires[incident.tripwire]?.points;
  const { box, path } = incident.track ?? {};
  return svg("svg.sketch", { viewBox: `0 0 100 ${tall}`, "aria-hidden": "true" },
    zone ? svg("polygon.zone", { points: at(zone) }) : null,
    line ? svg("polyline.tripwire", { points: at(line) }) : null,
    path?.length > 1 ? svg("polyline.path", { points: at(path) }) : null,
    box ? svg("rect.box", { x: 100 * box[0], y: tall * box[1], width: 100 * (box[2] - box[0]), height: tall * (box[3] - box[1]), rx: 1 }) : null);
}

export class IncidentsPage {
  title = "Incidents";
  watches = [];

  constructor(app) {
    this.app = app;
    const cameras = app.state.cameras.map(({ name }) => name);
    const rules = [...new Set(app.state.cameras.flatMap((camera) => camera.rules.map(({ name }) => name)))];
    this.camera = this.choice("Camera", cameras);
    this.rule = this.choice("Rule", rules);
    this.list = el("ol.incidents");
    this.element = el("section", {},
      el("div.tools", {}, el("h1", {}, "Incidents"), el("div.filters", {}, this.camera, this.rule)), this.list);
    this.onIncidents();
  }

  choice(title, names) {
    return el("label.field.inline", {}, el("span", {}, title), el("select", { onchange: () => this.onIncidents() },
      el("option", { value: "" }, "all"), names.map((name) => el("option", { value: name }, name))));
  }

  onIncidents() {
    const [camera, rule] = [this.camera, this.rule].map((label) => label.querySelector("select").value);
    const shown = this.app.incidents.filter((incident) =>
      (!camera || incident.camera === camera) && (!rule || incident.rule === rule));
    const none = el("li.muted", {}, "Nothing yet. The last 200 incidents are kept here until the agent stops.");
    showIncidents(this.app, this.list, shown, none);
  }
}
