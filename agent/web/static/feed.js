// The one connection by which pictures, incidents and figures come; it is renewed for ever.

import { ask } from "./dom.js";

/** Tells `onFrame(frame)`, `onIncidents(list)`, `onFigures(figures)` and `onState(connected)`. */
export class Feed {
  constructor(listener) {
    this.listener = listener;
    this.watched = [];
    this.waitMs = 500;
    this.connect();
  }

  /** Ask for the pictures of these cameras, and of no others. */
  watch(cameras) {
    this.watched = cameras;
    this.send({ watch: document.hidden ? [] : cameras });
  }

  send(message) {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify(message));
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    this.socket = new WebSocket(`${scheme}://${location.host}/api/live`);
    this.socket.binaryType = "arraybuffer";
    let opened = false;
    this.socket.onopen = () => {
      opened = true;
      this.waitMs = 500;
      this.watch(this.watched);
      this.listener.onState(true);
    };
    this.socket.onmessage = ({ data }) => (typeof data === "string" ? this.hear(JSON.parse(data)) : this.see(data));
    this.socket.onclose = () => {
      this.listener.onState(false);
      if (!opened) ask("/api/state").catch(() => {}); // leads to the login once a new agent knows no session of old
      setTimeout(() => this.connect(), this.waitMs);
      this.waitMs = Math.min(2 * this.waitMs, 8000);
    };
  }

  hear(message) {
    if (message.incidents) this.listener.onIncidents(message.incidents);
    if (message.figures) this.listener.onFigures(message.figures);
  }

  /** A frame: the length of its JSON, the JSON, a JPEG. The next one but one is sent when this one is shown. */
  async see(data) {
    const length = new DataView(data).getUint32(0);
    const frame = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    try {
      frame.picture = await createImageBitmap(new Blob([new Uint8Array(data, 4 + length)], { type: "image/jpeg" }));
      this.listener.onFrame(frame);
    } finally {
      this.send({ shown: frame.camera });
    }
  }
}
