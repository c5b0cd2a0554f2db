// The page of a run, or of two side by side.
import View from "ol/View.js";
import "ol/ol.css";
import "uplot/dist/uPlot.min.css";
import "./app.css";
import { ERROR, Frame, PARTS, RIGHT, projectionOf } from "./frame.js";
import { showPixel } from "./pixel.js";
import { $, bandName, day, digitsOf, get, make, number, say, significant, swatch, t } from "./texts.js";

const state = { layer: "classes", band: 1, opacity: 75, swipe: 100, source: null, date: 0, hidden: new Set(), pixel: null };
let frames = [];
let scenes = [];
let view;

function readLink() {
  const said = new URLSearchParams(location.hash.slice(1));
  for (const key of ["layer", "source"]) if (said.has(key)) state[key] = said.get(key);
  for (const key of ["band", "opacity", "swipe", "date"]) {
    if (/^\d+$/.test(said.get(key) ?? "")) state[key] = Number(said.get(key));
  }
  state.hidden = new Set((said.get("hide") ?? "").split(",").filter(Boolean).map(Number));
  const pixel = (said.get("pixel") ?? "").split(",").map(Number);
  if (pixel.length === 3 && pixel.every(Number.isInteger)) state.pixel = pixel;
  for (const id of ["show-polygons", "show-test", "show-vectors"]) $(id).checked = said.has(id);
  const place = (said.get("at") ?? "").split(",").map(Number);
  return place.length === 3 && place.every(Number.isFinite) ? place : null;
}

function writeLink() {
  const [x, y] = view.getCenter().map((value) => value.toFixed(digitsOf(frames[0].run.resolution) + 2));
  const said = new URLSearchParams({
    at: [x, y, view.getResolution().toPrecision(6)].join(","),
    layer: state.layer, band: state.band, opacity: state.opacity, swipe: state.swipe,
  });
  if (state.source !== null) said.set("source", state.source);
  if (state.source) said.set("date", state.date);
  if (state.hidden.size) said.set("hide", [...state.hidden].join(","));
  if (state.pixel) said.set("pixel", state.pixel.join(","));
  for (const id of ["show-polygons", "show-test", "show-vectors"]) if ($(id).checked) said.set(id, "1");
  history.replaceState(null, "", `#${said}`);
}

const isCategorical = (name) => ["classes", "voted", "regularised"].includes(name);

function showLayers() {
  const k = Math.max(0, frames.findIndex(({ run }) => run.layers.some((one) => one.name === state.layer)));
  const bands = frames[k].run.layers.find((one) => one.name === state.layer)?.bands ?? [];
  for (const frame of frames) {
    const shown = frame.run.classes.map((one) => one.code).filter((code) => !state.hidden.has(code));
    const band = bands.length > 1 ? bands[state.band - 1] : null;
    frame.showLayer(state.layer, band, isCategorical(state.layer) && state.hidden.size ? shown : null);
    frame.raster.setOpacity(state.opacity / 100);
  }
  $("band-row").hidden = bands.length < 2;
  $("band").replaceChildren(...bands.map((band, k) => make("option", { value: k + 1 }, bandName(state.layer, band))));
  $("band").value = state.band;
  $("ramp").hidden = isCategorical(state.layer) || !bands.length;
  $("ramp-bar").className = ["novelty", "set_size", "validity"].includes(state.layer) ? "cividis" : "viridis";
  if (!$("ramp").hidden) showScale(`scale/${k}/${state.layer}?band=${state.band}`).catch((error) => say(error.message));
  writeLink();
}

// Values of the ends of the colour ramp. Larger values of novelty have the lightest colour, too.
async function showScale(address) {
  showScale.asked = address;
  const { high } = await get(address);
  if (showScale.asked !== address) return;
  $("scale-low").textContent = number(0);
  $("scale-high").textContent = (state.layer === "novelty" ? "≥ " : "") + significant(high);
}

// Classes of all runs, in the order of the first; a code with several names or colours has one line for each, with its runs.
function legendLines() {
  const byCode = new Map();
  for (const { run } of frames) {
    for (const { code, name, color } of run.classes) {
      const lines = byCode.get(code) ?? [];
      byCode.set(code, lines);
      const same = lines.find((line) => line.name === name && line.color === color);
      if (same) same.runs.push(run.name);
      else lines.push({ code, name, color, runs: [run.name] });
    }
  }
  const text = (line, alone) => (alone ? line.name : `${line.name} (${line.runs.join(", ")})`);
  return [...byCode.values()].flatMap((lines) => lines.map((line) => ({ ...line, text: text(line, lines.length === 1) })));
}

function hide(code, hidden) {
  for (const box of $("legend").querySelectorAll(`input[value="${code}"]`)) box.checked = !hidden;
  if (hidden) state.hidden.add(code);
  else state.hidden.delete(code);
}

function fillLegend() {
  const items = legendLines().map(({ code, color, text }) => {
    const box = make("input", { type: "checkbox", value: code });
    box.checked = !state.hidden.has(code);
    box.addEventListener("change", () => {
      hide(code, !box.checked);
      showLayers();
    });
    return make("li", {}, make("label", { class: "check" }, box, swatch(color), text));
  });
  $("legend").replaceChildren(...items);
}

function filterAll(hidden) {
  for (const box of $("legend").querySelectorAll("input")) hide(Number(box.value), hidden);
  showLayers();
}

function fillLayers() {
  const names = [...new Set(frames.flatMap((frame) => frame.run.layers.map((one) => one.name)))];
  const options = names.map((name) => make("option", { value: name }, t(`layer_${name}`)));
  $("layer").replaceChildren(...options, make("option", { value: "" }, t("layer_none")));
  if (!names.includes(state.layer)) state.layer = names[0] ?? "";
  $("layer").value = state.layer;
}

function showImages() {
  frames.forEach((frame, k) => {
    const own = [k, 0].find((index) => scenes[index]?.sources.some((one) => one.name === state.source));
    const source = scenes[own]?.sources.find((one) => one.name === state.source);
    frame.showImage(frames[own], source ? state.source : "", Math.min(state.date, (source?.days.length ?? 1) - 1), scenes[own]?.resolutions);
  });
  const source = scenes[0]?.sources.find((one) => one.name === state.source);
  $("date-row").hidden = !source?.dated || source.days.length < 2;
  $("date").replaceChildren(...(source?.days ?? []).map((days, k) => make("option", { value: k }, day(days))));
  $("date").value = state.date;
  writeLink();
}

function chooseSource(name) {
  state.source = name;
  state.date = scenes[0].sources.find((one) => one.name === name)?.date ?? 0;
  showImages();
}

async function openScenes() {
  say(t("scene_loading"));
  scenes = await Promise.all(frames.map((frame) => get(`scene/${frame.index}`)));
  const sources = scenes[0].sources;
  $("source").append(...sources.map((one) => make("option", { value: one.name }, `${one.name} (${one.bands.join(", ")})`)));
  if (state.source === null || (state.source && !sources.some((one) => one.name === state.source))) {
    state.source = sources[0]?.name ?? "";
    state.date = sources[0]?.date ?? 0;
  }
  $("source").value = state.source;
  showImages();
  showMissing(scenes.flatMap((scene) => scene.missing));
  if (sources.length) say(t("scene_ready"));
}

function showMissing(lines) {
  const unique = [...new Set(lines)];
  $("missing").hidden = !unique.length;
  $("missing-list").replaceChildren(...unique.map((line) => make("li", {}, line)));
}

function pick(frame, coordinate) {
  const pixel = frame.pixelAt(coordinate);
  if (!pixel) return say(t("pixel_outside"));
  return choosePixel(frame, pixel);
}

async function choosePixel(frame, pixel) {
  state.pixel = [frame.index, pixel.row, pixel.column];
  const centre = frame.centreOf(pixel);
  for (const one of frames) one.markPixel(one.pixelAt(centre));
  writeLink();
  $("panel").scrollTop = 0;
  try {
    await showPixel(frames, frame, pixel, scenes[frame.index]?.sources ?? []);
  } catch (error) {
    say(error.message);
  }
}

async function openBookmarks() {
  const all = await Promise.all(frames.map((frame) => (frame.run.tested ? get(`bookmarks/${frame.index}`) : [])));
  $("bookmarks").hidden = !frames.some((frame) => frame.run.tested);
  const items = all.flatMap((places, k) => places.map((place) => {
    const text = t("bookmark", { ...place, n: place.pixels, share: number(100 * place.share) });
    const where = frames.length > 1 ? `${frames[k].run.name}: ` : "";
    const go = () => {
      view.animate({ center: frames[k].centreOf(place), resolution: Math.min(view.getResolution(), frames[k].run.resolution / 8), duration: 0 });
      choosePixel(frames[k], place);
    };
    return make("li", {}, make("button", { type: "button", class: "link", onclick: go }, where + text));
  }));
  $("bookmark-list").replaceChildren(...(items.length ? items : [make("li", {}, t("bookmarks_none"))]));
}

function listen() {
  $("layer").addEventListener("change", (event) => { state.layer = event.target.value; state.band = 1; showLayers(); });
  $("band").addEventListener("change", (event) => { state.band = Number(event.target.value); showLayers(); });
  $("opacity").addEventListener("input", (event) => {
    state.opacity = Number(event.target.value);
    for (const frame of frames) frame.raster.setOpacity(state.opacity / 100);
    writeLink();
  });
  $("swipe").addEventListener("input", (event) => { state.swipe = Number(event.target.value); swipe(); writeLink(); });
  $("source").addEventListener("change", (event) => chooseSource(event.target.value));
  $("date").addEventListener("change", (event) => { state.date = Number(event.target.value); showImages(); });
  $("all").addEventListener("click", () => filterAll(false));
  $("none").addEventListener("click", () => filterAll(true));
  for (const id of ["show-polygons", "show-test", "show-vectors"]) $(id).addEventListener("change", () => { overlay(); writeLink(); });
  $("permalink").addEventListener("click", async () => {
    writeLink();
    await navigator.clipboard.writeText(location.href).catch(() => {});
    say(t("copied"));
  });
  $("theme").addEventListener("click", () => {
    const dark = getComputedStyle(document.documentElement).colorScheme === "dark";
    document.documentElement.dataset.theme = dark ? "light" : "dark";
    dispatchEvent(new Event("themechange"));
  });
  $("language").addEventListener("click", (event) => { event.currentTarget.href = `?lang=${event.currentTarget.lang}${location.hash}`; });
}

function swipe() {
  for (const frame of frames) frame.swipe(state.swipe / 100);
}

function overlay() {
  const failed = (error) => say(error.message);
  $("parts").hidden = !$("show-polygons").checked;
  $("test-keys").hidden = !$("show-test").checked;
  for (const frame of frames) {
    frame.test.setVisible($("show-test").checked);
    if (frame.run.polygons) frame.showPolygons($("show-polygons").checked).catch(failed);
    if (frame.run.vectors) frame.showVectors($("show-vectors").checked);
  }
}

function fillOverlays() {
  const has = (key) => frames.some((frame) => frame.run[key]);
  for (const [id, key] of [["show-polygons", "polygons"], ["show-test", "tested"], ["show-vectors", "vectors"]]) {
    $(id).disabled = !has(key);
  }
  const keys = Object.entries(PARTS).map(([part, { color }]) => make("li", {}, swatch(color), t(`part_${part}`)));
  $("test-keys").replaceChildren(make("li", {}, swatch(RIGHT), t("right")), make("li", {}, swatch(ERROR), t("wrong")));
  $("parts").replaceChildren(...keys, make("li", {}, swatch(ERROR), t("with_errors")));
}

function follow(frame) {
  const digits = digitsOf(frame.run.resolution);
  const read = (x, y) => `${number(x, digits)} ${number(y, digits)} · ${frame.run.crs}`;
  frame.map.on("pointermove", (event) => { $("position").textContent = read(...event.coordinate); });
  frame.map.on("click", (event) => pick(frame, event.coordinate));
  frame.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      pick(frame, view.getCenter());
    }
  });
}

function controls(extent) {
  const button = (text, label, work) => make("button", { type: "button", title: label, "aria-label": label, onclick: work }, text);
  const zoom = (by) => view.animate({ zoom: view.getZoom() + by, duration: 150 });
  return make("div", { class: "zoom" }, button("+", t("zoom_in"), () => zoom(1)), button("−", t("zoom_out"), () => zoom(-1)),
    button("⤢", t("whole"), () => view.fit(extent, { padding: [20, 20, 20, 20] })));
}

async function open() {
  const place = readLink();
  const runs = await get("runs");
  const first = runs[0];
  const projection = projectionOf(first);
  const coarsest = first.resolution * 2 ** (first.native + 1);
  view = new View({ projection, maxResolution: coarsest, minResolution: first.resolution / 64, showFullExtent: true });
  $("maps").classList.toggle("two", runs.length > 1);
  frames = runs.map((run, k) => new Frame(k, run, view, projection, $("maps")));
  for (const frame of frames) frame.map.updateSize();
  if (place) {
    view.setCenter(place.slice(0, 2));
    view.setResolution(place[2]);
  } else {
    view.fit(first.bounds, { size: frames[0].map.getSize(), padding: [20, 20, 20, 20] });
  }
  $("maps").append(controls(first.bounds));
  $("swipe").value = state.swipe;
  $("opacity").value = state.opacity;
  fillLayers();
  fillLegend();
  fillOverlays();
  showMissing(runs.flatMap((run) => run.missing));
  listen();
  showLayers();
  swipe();
  overlay();
  frames.forEach(follow);
  view.on("change", () => { clearTimeout(open.waiting); open.waiting = setTimeout(writeLink, 200); });
  frames[0].map.once("rendercomplete", () => { document.body.dataset.ready = "map"; });
  await Promise.all([openScenes(), openBookmarks()]);
  frames[0].map.once("rendercomplete", () => { document.body.dataset.ready = "all"; });
  frames[0].map.render();
  if (state.pixel && frames[state.pixel[0]]) await choosePixel(frames[state.pixel[0]], { row: state.pixel[1], column: state.pixel[2] });
}

open().catch((error) => say(error.message));
