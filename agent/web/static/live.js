// All cameras, or one, as they are now, and what happened last.

import { el, number } from "./dom.js";
import { showIncidents } from "./incidents.js";
import { Stage, layerSwitches } from "./stage.js";

const LATEST = 8;

export class LivePage {
  title = "Live";

  constructor(app, [chosen]) {
    this.app = app;
    const found = app.state.cameras.filter((camera) => camera.name === chosen);
    this.cameras = found.length ? found : app.state.cameras;
    this.stages = new Map(this.cameras.map((camera) => [camera.name, new Stage(camera)]));
    this.captions = new Map();
    this.latest = el("ol.incidents.compact");
    const single = this.cameras.length === 1;
    this.element = el("div.live", {},
      el("section.cameras", { "aria-label": "Cameras" },
        el("div.tools", {},
          el("h1", {}, single ? this.cameras[0].name : "Live"),
          layerSwitches(() => this.stages.forEach((stage) => stage.draw()))),
        el(`div.grid${single ? ".single" : ""}`, {}, this.cameras.map((camera) => this.card(camera, single))),
        app.state.privacy === "none" ? null : el("p.muted.note", {}, privacyNote(app.state.privacy))),
      el("aside", { "aria-label": "Latest incidents" },
        el("h2", {}, "Latest incidents", el("a.more", { href: "#/incidents" }, "all")), this.latest));
    this.onFigures();
    this.onIncidents();
  }

  get watches() {
    return this.cameras.map((camera) => camera.name);
  }

  card(camera, single) {
    const caption = el("span.facts");
    this.captions.set(camera.name, caption);
    const card = el("figure.card.camera", {},
      this.stages.get(camera.name).element,
      el("figcaption", {},
        single ? el("strong", {}, camera.name) : el("a", { href: `#/camera/${camera.name}` }, camera.name),
        caption,
        el("span.space"),
        el("a.button", { href: `#/zones/${camera.name}` }, "Edit zones"),
        el("button", { type: "button", onclick: () => fullScreen(card) }, "Full screen")));
    return card;
  }

  onFrame(frame) {
    this.stages.get(frame.camera)?.show(frame);
  }

  onFigures() {
    const now = this.app.figures.at(-1);
    for (const [name, caption] of this.captions) {
      const camera = now?.cameras?.[name];
      const state = camera?.state ?? "…";
      caption.replaceChildren(el(`i.dot.${state === "online" ? "good" : "bad"}`), ` ${state}`,
        camera?.state === "online" ? ` · ${number(camera.fps)} frames/s` : "");
    }
  }

  onIncidents() {
    const shown = this.app.incidents.filter(({ camera }) => this.stages.has(camera)).slice(0, LATEST);
    const ruled = this.app.state.cameras.some((camera) => camera.rules.length);
    const none = el("li.muted", {}, ruled ? "Nothing yet." : ["No rules yet. ", el("a", { href: "#/zones" }, "Draw a zone"), " to begin."]);
    showIncidents(this.app, this.latest, shown, none);
  }

  close() {
    this.stages.forEach((stage) => stage.close());
  }
}

function fullScreen(card) {
  if (document.fullscreenElement) document.exitFullscreen();
  else card.requestFullscreen?.();
}

export function privacyNote(privacy) {
  return `People are made unrecognisable here (web.privacy: ${privacy}); a detector that cannot tell people from ` +
    "other things has what moves hidden, not who stands still.";
}
