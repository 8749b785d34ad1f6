// Elements, numbers and times, in few words.

const SVG = "http://www.w3.org/2000/svg";

/** An element: `el("a.big", {href: "#"}, "text", child)`; `on…` attributes are listeners, null ones left out. */
export function el(name, attributes = {}, ...children) {
  return fill(document, name, attributes, children);
}

/** The same, of SVG. */
export function svg(name, attributes = {}, ...children) {
  return fill(SVG, name, attributes, children);
}

function fill(space, name, attributes, children) {
  const [tag, ...classes] = name.split(".");
  const made = space === SVG ? document.createElementNS(SVG, tag) : document.createElement(tag);
  if (classes.length) made.classList.add(...classes);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (key in made && typeof value !== "string" && space !== SVG) made[key] = value;
    else made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.flat(3).filter((child) => child !== null && child !== undefined));
  return made;
}

/** A number with as many digits as say something. */
export function number(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  return Number(value).toLocaleString("en", { maximumFractionDigits: digits });
}

/** Seconds as people say them. */
export function duration(seconds) {
  const whole = Math.round(seconds);
  if (seconds < 10) return `${number(seconds)} s`;
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  const days = Math.floor(whole / 86400);
  return `${days ? `${days} d ` : ""}${Math.floor((whole % 86400) / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}

/** A time of day, with the date where that is not today. */
export function clock(time) {
  const date = new Date(time);
  const today = date.toDateString() === new Date().toDateString();
  const hours = date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return today ? hours : `${date.toLocaleDateString([], { day: "numeric", month: "short" })}, ${hours}`;
}

/** Say something to who cannot see it happen. */
export function say(text) {
  document.getElementById("said").textContent = text;
}

/** Ask the agent; faults are thrown as one Error, a line each. */
export async function ask(path, content) {
  const options = content === undefined ? {} : {
    method: "POST",
    headers: { "content-type": "application/json", "x-edgetrack-token": ask.token },
    body: JSON.stringify(content),
  };
  const answer = await fetch(path, options);
  if (answer.status === 401) location.replace("/login");
  const said = await answer.json().catch(() => ({ faults: [`expected an answer, got ${answer.status}`] }));
  if (!answer.ok) throw Object.assign(new Error((said.faults ?? ["no answer"]).join("\n")), { status: answer.status });
  return said;
}
ask.token = "";
