// How the device and its cameras are doing.

import { duration, el, number, svg } from "./dom.js";

export class HealthPage {
  title = "Health";
  watches = [];

  constructor(app) {
    this.app = app;
    this.body = el("div");
    this.element = el("section", {}, el("div.tools", {}, el("h1", {}, "Health")), this.body);
    this.onFigures();
  }

  onFigures() {
    const { figures } = this.app;
    const now = figures.at(-1);
    if (!now) {
      this.body.replaceChildren(el("p.muted", {}, "Measuring …"));
      return;
    }
    const series = (read) => figures.map(read);
    const broker = now.broker;
    this.body.replaceChildren(el("div", {},
      el("div.plots", {},
        plot("Alerts queued", now.outbox.queued, "", series((f) => f.outbox.queued), broker.connected ? "broker connected" : "broker away"),
        plot("Temperature", now.temperature_c, "°C", series((f) => f.temperature_c), now.temperature_c === undefined ? "not told by this machine" : "of the processor"),
        plot("Memory", now.rss_mb, "MB", series((f) => f.rss_mb), `${number(now.memory_available_mb, 0)} MB left`),
        plot("Load", now.load_1min, "", series((f) => f.load_1min), "average over a minute")),
      broker.error ? el("p.fault", { role: "alert" }, broker.error) : null,
      now.outbox.error ? el("p.fault", { role: "alert" }, now.outbox.error) : null,
      Object.entries(now.cameras).map(([name, camera]) => this.camera(name, camera, now.stages[name] ?? {}, figures)),
      el("dl.facts-list", {},
        fact("Edgetrack", now.version), fact("Running for", duration(now.uptime_s)),
        fact("Alerts delivered", number(now.outbox.acknowledged)), fact("Alerts dropped", number(now.outbox.dropped)),
        fact("Alerts refused", number(now.outbox.refused)), fact("Connections to the broker", number(now.connects)),
        fact("Disk left", now.disk_free_mb === undefined ? "–" : `${number(now.disk_free_mb / 1000)} GB`))));
  }

  camera(name, camera, stages, figures) {
    const of = (key) => figures.map((f) => f.cameras[name]?.[key]);
    return el("section.card.padded", { "aria-label": `Camera ${name}` },
      el("h2", {}, name, el(`span.badge.${camera.state === "online" ? "good" : "bad"}`, {}, camera.state),
        camera.device ? el(`span.badge.${camera.device === "online" ? "good" : "bad"}`, {}, `accelerator ${camera.device}`) : null),
      el("div.plots", {},
        plot("Frames/s", camera.fps, "", of("fps"), `${number(camera.dropped)} dropped since the start`),
        plot("Inference", camera.inference_ms, "ms", of("inference_ms"), "median"),
        plot("In sight", camera.tracks, "", of("tracks"), "objects")),
      stageBars(stages));
  }
}

function fact(title, value) {
  return [el("dt", {}, title), el("dd", {}, value)];
}

/** A figure, and how it went. */
function plot(title, value, unit, values, note) {
  return el("div.plot.card", {},
    el("h3", {}, title),
    el("p.value", {}, number(value), el("small", {}, value === undefined || value === null ? "" : ` ${unit}`)),
    line(title, values),
    el("p.muted", {}, note));
}

function line(title, values) {
  const known = values.filter((value) => value !== undefined && value !== null);
  const [width, height] = [240, 44];
  if (known.length < 2) return svg("svg.line", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
  const [low, high] = [Math.min(0, ...known), Math.max(...known)];
  const reach = high - low || 1;
  const points = values.flatMap((value, index) => (value === undefined || value === null ? [] : [
    `${((index / (values.length - 1)) * width).toFixed(1)},${(height - 3 - ((value - low) / reach) * (height - 8)).toFixed(1)}`]));
  return svg("svg.line", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${title} of the last minutes: ${number(Math.min(...known))} to ${number(high)}` },
  svg("polygon", { points: `${points[0].split(",")[0]},${height} ${points.join(" ")} ${points.at(-1).split(",")[0]},${height}` }), svg("polyline", { points: points.join(" ") }));
}

/** Median times of the stages, beside each other, in the order in which the device tells them. */
function stageBars(stages) {
  const known = Object.keys(stages);
  const worked = known.filter((stage) => stage !== "capture"); // a live camera's capture is mostly waiting
  const whole = worked.reduce((sum, stage) => sum + stages[stage].median, 0) || 1;
  let from = 0;
  const bars = worked.map((stage) => {
    const wide = (100 * stages[stage].median) / whole;
    from += wide;
    return svg(`rect.stage-${stage}`, { x: from - wide, y: 0, width: wide, height: 8 }, svg("title", {}, `${stage} ${number(stages[stage].median, 2)} ms`));
  });
  return el("div.stages", {},
    el("h3", {}, "Time of a frame", el("small.muted", {}, ` ${number(whole, 2)} ms, medians`)),
    svg("svg.bars", { viewBox: "0 0 100 8", preserveAspectRatio: "none", "aria-hidden": "true" }, bars),
    el("table", {},
      el("thead", {}, el("tr", {}, ["Stage", "median", "95 %"].map((head) => el("th", { scope: "col" }, head)))),
      el("tbody", {}, known.map((stage) => el("tr", {},
        el("th", { scope: "row" }, el(`i.key.stage-${stage}`), stage === "capture" ? "capture (with waiting)" : stage),
        el("td", {}, `${number(stages[stage].median, 2)} ms`), el("td", {}, `${number(stages[stage].p95, 2)} ms`))))));
}
