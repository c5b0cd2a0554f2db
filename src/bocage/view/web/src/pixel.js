// The panel of one pixel: class, probabilities, layers, reference, series, patches.
import { chart, summary, table } from "./chart.js";
import { $, bandName, digitsOf, get, make, number, say, significant, swatch, t } from "./texts.js";

let last = 0;

export async function showPixel(frames, frame, pixel, sources) {
  const mine = ++last;
  const query = `row=${pixel.row}&column=${pixel.column}`;
  const content = $("pixel-content");
  const shown = await get(`pixel/${frame.index}?${query}`);
  if (mine !== last) return;
  const classes = frame.run.classes;
  const found = classes.find((one) => one.code === shown.code);
  const position = t("pixel_at", { row: pixel.row + 1, column: pixel.column + 1 });
  say(t("pair", { name: position, text: found ? found.name : t("no_data") }));
  const probabilities = make("div");
  const series = make("div", {}, make("p", { class: "quiet" }, t("series_loading")));
  content.replaceChildren(facts(frame, shown, found, position), probabilities, patches(frame, query, sources), series);
  if (shown.probabilities) bars(probabilities, classes, shown.probabilities, t(`from_${shown.probabilities_from}`));
  for (const other of frames.filter((one) => one !== frame)) addOther(content, other, frame.centreOf(pixel), mine);
  const [all, model] = await Promise.all([
    get(`series/${frame.index}?${query}`).catch((error) => [{ name: "", error: error.message }]),
    get(`model/${frame.index}?${query}`).catch(() => ({ probabilities: null, attention: {} })),
  ]);
  if (mine !== last) return;
  if (!shown.probabilities && model.probabilities) bars(probabilities, classes, model.probabilities, t("from_model"));
  series.replaceChildren(...all.map((one) => section({ ...one, attention: model.attention[one.name] })));
}

async function addOther(content, other, centre, mine) {
  const pixel = other.pixelAt(centre);
  if (!pixel) return;
  const shown = await get(`pixel/${other.index}?row=${pixel.row}&column=${pixel.column}`);
  if (mine !== last) return;
  const found = other.run.classes.find((one) => one.code === shown.code);
  const entry = [make("dt", {}, t("other_run", { name: other.run.name })), named(found)];
  content.querySelector("dl").append(...entry);
}

function named(found) {
  return found ? make("dd", {}, swatch(found.color), found.name) : make("dd", {}, t("no_data"));
}

function facts(frame, shown, found, position) {
  const list = make("dl");
  const add = (name, value) => list.append(make("dt", {}, name), typeof value === "string" ? make("dd", {}, value) : value);
  add(t("class"), named(found));
  if (shown.reference) add(t("reference"), t("reference_is", { ...shown.reference, part: t(`part_${shown.reference.part}`) }));
  for (const [name, values] of Object.entries(shown.layers)) {
    if (name === "voted" || name === "regularised") {
      add(t(`layer_${name}`), named(frame.run.classes.find((one) => one.code === values[0])));
    } else {
      const bands = frame.run.layers.find((layer) => layer.name === name).bands;
      const text = values.map((value, k) => (values.length > 1 ? t("pair", { name: bandName(name, bands[k]), text: significant(value) }) : significant(value)));
      add(t(`layer_${name}`), text.join(", "));
    }
  }
  const [x, y] = [shown.x, shown.y].map((value) => number(value, digitsOf(frame.run.resolution)));
  add(frame.run.crs, `${x} · ${y}`);
  if (shown.latitude !== null) add(t("latitude_longitude"), `${number(shown.latitude, 5)}° · ${number(shown.longitude, 5)}°`);
  return make("div", {}, make("h3", {}, position), list);
}

function bars(host, classes, probabilities, from) {
  const order = probabilities.map((value, k) => [value ?? 0, classes[k]]).filter(([, one]) => one).sort((a, b) => b[0] - a[0]);
  const list = make("ul", { class: "bars" });
  for (const [value, one] of order.slice(0, 6)) {
    const bar = make("span", { class: "bar", "aria-hidden": "true" });
    bar.style.width = `${100 * value}%`;
    bar.style.background = one.color;
    list.append(make("li", {}, make("span", { class: "name" }, one.name), make("span", { class: "track" }, bar),
      make("span", { class: "share" }, number(100 * value, 0))));
  }
  host.replaceChildren(make("h3", {}, `${t("probabilities")} (%)`), make("p", { class: "quiet" }, from), list);
}

function patches(frame, query, sources) {
  const host = make("div", { class: "patches" });
  for (const source of sources.filter((one) => one.patch > 1)) {
    const caption = t("patch", { source: source.name, size: source.patch });
    const address = `patch/${frame.index}/${encodeURIComponent(source.name)}/${source.date}?${query}`;
    host.append(make("figure", {}, make("img", { src: address, alt: caption }), make("figcaption", {}, caption)));
  }
  return host;
}

function section(series) {
  const host = make("section", { class: "series" }, make("h3", {}, series.name));
  if (series.error) {
    host.append(make("p", { class: "quiet" }, series.error));
  } else if (!series.dated || series.days.length < 2) {
    const list = make("dl");
    series.values.forEach((values, k) => list.append(make("dt", {}, series.bands[k]), make("dd", {}, significant(values[0]))));
    host.append(list);
  } else {
    dated(host, series);
  }
  return host;
}

function dated(host, series) {
  const id = `band-of-${encodeURIComponent(series.name)}`;
  const known = series.filled ? series.bands : series.bands.slice(0, series.values.length);
  const chooser = make("select", { id }, ...known.map((band, k) => make("option", { value: k }, band)));
  chooser.value = Math.max(0, ["ndvi", "nir", "vv"].map((band) => known.indexOf(band)).find((k) => k >= 0) ?? 0);
  const plot = make("div");
  const draw = () => {
    const band = Number(chooser.value);
    plot.replaceChildren(chart(series, band, Math.max(220, host.clientWidth || 320)), table(series, band));
  };
  const keys = make("p", { class: "chart-keys", "aria-hidden": "true" }, key("point", t("clear")), key("tick", t("masked")));
  if (series.filled) keys.append(key("stroke", t("filled")));
  if (series.attention) keys.append(key("weight", t("attention")));
  host.append(make("p", { class: "quiet" }, summary(series)), make("label", { for: id }, t("band")), chooser, keys, plot);
  chooser.addEventListener("change", draw);
  addEventListener("themechange", draw);
  requestAnimationFrame(draw);
}

function key(kind, text) {
  return make("span", {}, make("span", { class: `key-${kind}` }), text);
}
