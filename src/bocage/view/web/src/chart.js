// The series of one band: clear dates as points, masked dates as ticks, the gap-filled series as a line, attention as bars.
import uPlot from "uplot";
import { day, language, make, significant, t } from "./texts.js";

const DAY = 86400;

// A row for each date: a day has two dates where two orbits pass.
function rows(series, band) {
  const found = new Map();
  const each = (dates, work) => {
    const seen = new Map();
    dates?.forEach((days, k) => {
      const n = seen.get(days) ?? 0;
      seen.set(days, n + 1);
      const id = 100 * days + n;
      if (!found.has(id)) found.set(id, { days, seen: null, masked: null, filled: null, weight: null });
      work(found.get(id), k);
    });
  };
  each(series.days, (row, k) => {
    if (series.clear[k]) row.seen = series.values[band]?.[k] ?? null;
    else row.masked = true;
  });
  each(series.filled?.days, (row, k) => { row.filled = series.filled.values[band][k]; });
  each(series.attention?.days, (row, k) => { row.weight = series.attention.weights[k]; });
  return [...found].sort((a, b) => a[0] - b[0]).map(([, row]) => [row.days, row]);
}

function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// Ticks at the bottom of the plot for the masked dates.
function ticks(masked) {
  return (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.strokeStyle = ink("--masked");
    ctx.lineWidth = 2 * devicePixelRatio;
    for (const x of masked) {
      const left = plot.valToPos(x, "x", true);
      ctx.beginPath();
      ctx.moveTo(left, bbox.top + bbox.height);
      ctx.lineTo(left, bbox.top + bbox.height - 8 * devicePixelRatio);
      ctx.stroke();
    }
    ctx.restore();
  };
}

export function chart(series, band, width) {
  const data = rows(series, band);
  const x = data.map(([days]) => days * DAY);
  const columns = [x, data.map(([, row]) => row.seen)];
  const drawn = [{}, {
    label: t("clear"), stroke: ink("--accent"), width: series.filled ? 0 : 1, spanGaps: true,
    points: { show: true, size: 7, fill: ink("--accent") },
  }];
  if (series.filled) {
    columns.push(data.map(([, row]) => row.filled));
    drawn.push({ label: t("filled"), stroke: ink("--ink"), width: 1.5, spanGaps: true, points: { show: false } });
  }
  if (series.attention) {
    columns.push(data.map(([, row]) => row.weight));
    drawn.push({
      label: t("attention"), scale: "a", stroke: ink("--attention"), fill: ink("--attention-fill"),
      paths: uPlot.paths.bars({ size: [0.6, 12] }), points: { show: false },
    });
  }
  const axis = { stroke: ink("--ink"), grid: { stroke: ink("--grid") }, ticks: { stroke: ink("--grid") } };
  const host = make("div", { class: "chart", role: "img", "aria-label": summary(series) });
  new uPlot({
    width, height: 180, series: drawn, legend: { show: false }, cursor: { show: false },
    scales: { a: { range: (plot, low, high) => [0, Math.max(high, 0.01) * 2.5] } },
    axes: [{ ...axis, values: (plot, splits) => splits.map((at) => day(at / DAY).slice(2)), space: 70 },
      { ...axis, size: 60, values: (plot, splits) => splits.map(significant) }],
    hooks: { draw: [ticks(data.filter(([, row]) => row.masked).map(([days]) => days * DAY))] },
  }, columns, host);
  return host;
}

export function summary(series) {
  const clear = series.clear.filter(Boolean).length;
  return t("pair", { name: series.name, text: t("clear_count", { clear, n: series.days.length }) });
}

export function table(series, band) {
  const body = make("tbody");
  for (const [days, row] of rows(series, band)) {
    const state = row.masked ? t("masked") : row.seen !== null ? t("clear") : t("filled");
    const cells = [day(days), significant(row.seen ?? row.filled), state];
    if (series.attention) cells.push(significant(row.weight));
    body.append(make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  }
  const heads = [t("date"), t("value"), t("state"), ...(series.attention ? [t("attention")] : [])];
  const head = make("thead", {}, make("tr", {}, ...heads.map((one) => make("th", { scope: "col" }, one))));
  return make("details", {}, make("summary", {}, t("table")), make("table", { lang: language }, head, body));
}
