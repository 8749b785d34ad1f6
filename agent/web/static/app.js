// The page: which part of it is shown, and what has come so far.

import { ask, el, say } from "./dom.js";
import { ZonesPage } from "./editor.js";
import { Feed } from "./feed.js";
import { HealthPage } from "./health.js";
import { IncidentsPage, sentence } from "./incidents.js";
import { LivePage } from "./live.js";

const PAGES = { "": LivePage, camera: LivePage, incidents: IncidentsPage, zones: ZonesPage, health: HealthPage };
const TABS = { "": "live", camera: "live" };
const FIGURES = 240;

class App {
  incidents = [];
  fresh = true;
  figures = [];
  page = null;

  async start() {
    await this.load();
    this.feed = new Feed(this);
    document.addEventListener("visibilitychange", () => this.feed.watch(this.page.watches));
    window.addEventListener("hashchange", () => this.show(true));
    this.show();
  }

  /** What is configured; again after each reload. */
  async load() {
    this.state = await ask("/api/state");
    ask.token = this.state.token;
    this.figures = this.state.figures;
    document.getElementById("device").textContent = this.state.device;
    const logout = document.getElementById("logout");
    logout.hidden = !this.state.password;
    logout.onclick = () => ask("/logout", {}).then(() => location.replace("/login"));
  }

  show(moved = false) {
    const [, part = "", ...rest] = decodeURIComponent(location.hash.slice(1)).split("/");
    const Page = PAGES[part] ?? LivePage;
    this.page?.close?.();
    this.page = new Page(this, rest);
    const main = document.getElementById("main");
    main.replaceChildren(this.page.element);
    document.title = `${this.page.title} · ${this.state.device} · Edgetrack`;
    for (const tab of document.querySelectorAll(".tabs a")) {
      if (tab.dataset.page === (TABS[part] ?? part)) tab.setAttribute("aria-current", "page");
      else tab.removeAttribute("aria-current");
    }
    if (moved) main.focus({ preventScroll: true });
    window.scrollTo(0, 0);
    this.feed.watch(this.page.watches);
  }

  onFrame(frame) {
    this.page?.onFrame?.(frame);
  }

  onFigures(figures) {
    this.figures.push(figures);
    if (this.figures.length > FIGURES) this.figures.shift();
    this.page?.onFigures?.();
  }

  onIncidents(news) {
    const before = this.fresh ? [] : this.incidents; // a new connection begins with all that the agent remembers
    const known = new Map(before.map((incident) => [incident.incident, incident]));
    const first = this.fresh;
    this.fresh = false;
    for (const incident of news) known.set(incident.incident, incident);
    this.incidents = [...known.values()].sort((a, b) => b.number - a.number).slice(0, 200);
    const open = this.incidents.filter((incident) => incident.open).length;
    const count = document.getElementById("open-count");
    count.hidden = !open;
    count.textContent = open;
    count.setAttribute("aria-label", `${open} ongoing`);
    if (news.length && !first) say(sentence(news.at(-1)));
    this.page?.onIncidents?.();
  }

  async onState(connected) {
    const link = document.getElementById("link");
    link.classList.toggle("on", connected);
    link.querySelector("span").textContent = connected ? "live" : "reconnecting";
    if (connected) this.fresh = true;
    if (connected && this.wasConnected === false) {
      await this.load();
      if (this.page.onReload) this.page.onReload();
      else this.show();
    }
    this.wasConnected = connected;
  }
}

new App().start().catch((error) => {
  document.getElementById("main").replaceChildren(el("p.fault", { role: "alert" }, `The page could not start: ${error.message}`));
});
