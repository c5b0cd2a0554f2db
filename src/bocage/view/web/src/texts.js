// Texts of the page in its language, requests to the server, and elements. Every name from a file is set as text, never as markup.
const texts = JSON.parse(document.body.dataset.texts);
export const language = document.documentElement.lang;

export function t(key, values = {}) {
  return (texts[key] ?? key).replace(/\{(\w+)(?::[^}]*)?\}/g, (_, name) => values[name] ?? "");
}

export function number(value, digits = 0) {
  return new Intl.NumberFormat(language, { maximumFractionDigits: digits, minimumFractionDigits: digits }).format(value);
}

// Digits after the decimal mark of a coordinate: a tenth of a pixel, in metres as in degrees.
export function digitsOf(resolution) {
  return Math.max(1, 1 + Math.ceil(-Math.log10(resolution)));
}

export function significant(value) {
  return value === null ? "–" : new Intl.NumberFormat(language, { maximumSignificantDigits: 4 }).format(value);
}

export function day(days) {
  return new Date(days * 86400000).toISOString().slice(0, 10);
}

export async function get(address) {
  const separator = address.includes("?") ? "&" : "?";
  const answer = await fetch(`${address}${separator}lang=${language}`);
  const body = await answer.json();
  if (!answer.ok) throw new Error(body.error);
  return body;
}

// Name of a band of a layer: the bands of "validity" are sources, described in the file as "s2: clear dates".
export function bandName(layer, band) {
  return layer === "validity" ? band.replace(/: clear dates$/, "") : band;
}

export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "onclick") element.addEventListener("click", value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

export function swatch(color) {
  const element = make("span", { class: "swatch", "aria-hidden": "true" });
  element.style.background = color;
  return element;
}

export const $ = (id) => document.getElementById(id);

export function say(text) {
  $("status").textContent = text;
}
