// One map in the CRS of the run: imagery below, a raster of the map above it, polygons on top.
import Feature from "ol/Feature.js";
import OlMap from "ol/Map.js";
import ScaleLine from "ol/control/ScaleLine.js";
import GeoJSON from "ol/format/GeoJSON.js";
import { fromExtent } from "ol/geom/Polygon.js";
import TileLayer from "ol/layer/Tile.js";
import VectorLayer from "ol/layer/Vector.js";
import { bbox } from "ol/loadingstrategy.js";
import Projection from "ol/proj/Projection.js";
import { getRenderPixel } from "ol/render.js";
import VectorSource from "ol/source/Vector.js";
import XYZ from "ol/source/XYZ.js";
import Fill from "ol/style/Fill.js";
import Stroke from "ol/style/Stroke.js";
import Style from "ol/style/Style.js";
import TileGrid from "ol/tilegrid/TileGrid.js";
import { get, make, number, say, t } from "./texts.js";

export const PARTS = {
  train: { color: "#1b7f5c", dash: undefined },
  validation: { color: "#8a6bd1", dash: [6, 4] },
  test: { color: "#d0702f", dash: [2, 4] },
  unused: { color: "#777777", dash: [1, 6] },
};
const THUMB = 28; // width of the thumb of the swipe, as in the style sheet
export const ERROR = "#d7191c";
export const RIGHT = "#2c7bb6";
const geojson = new GeoJSON();

// The CRS of a run for the scale line, which asks for metres on the ground: degrees, feet and Web Mercator are none.
export function projectionOf(run) {
  return new Projection({
    code: "map", units: "m", extent: run.bounds, getPointResolution: (resolution, [, y]) => resolution * metresAt(run, y),
  });
}

// Metres on the ground of a unit of the CRS at a northing, between the places from north to south where the server gives them.
function metresAt({ bounds: [, south, , north], metres }, y) {
  const at = Math.min(1, Math.max(0, (north - y) / (north - south))) * (metres.length - 1);
  const k = Math.min(Math.floor(at), metres.length - 2);
  return metres[k] + (at - k) * (metres[k + 1] - metres[k]);
}

// Outline in the colour of the part; red below it, as wide as the share of wrong test pixels; thinner where the map is small.
function styleOf(pixel) {
  return (feature, resolution) => {
    const part = PARTS[feature.get("part")] ?? PARTS.unused;
    const size = Math.min(1, Math.max(0.4, pixel / resolution / 3));
    const share = feature.get("wrong") / Math.max(1, feature.get("tested"));
    const line = (color, width, lineDash) => new Style({ stroke: new Stroke({ color, width: width * size, lineDash }) });
    const styles = [line("rgba(255,255,255,0.85)", share ? 7 + 5 * share : 5)];
    if (share) styles.push(line(ERROR, 4 + 5 * share));
    return [...styles, line(part.color, 3, part.dash?.map((length) => length * size))];
  };
}

export class Frame {
  constructor(index, run, view, projection, parent) {
    this.index = index;
    this.run = run;
    this.projection = projection;
    this.element = make("div", { class: "map", role: "application", tabindex: "0", "aria-label": t("map_label") });
    this.caption = make("p", { class: "caption", "aria-hidden": "true" }, run.name);
    this.line = make("div", { class: "line" });
    parent.append(make("div", { class: "frame" }, this.element, this.caption, this.line,
      make("div", { class: "cross", "aria-hidden": "true" })));
    this.image = new TileLayer({ preload: 1 });
    this.raster = new TileLayer({ preload: 1 });
    this.test = new TileLayer({ visible: false });
    this.polygons = new VectorLayer({ visible: false, style: styleOf(run.resolution) });
    this.vectors = new VectorLayer({
      visible: false,
      style: new Style({ stroke: new Stroke({ color: "#111", width: 0.8 }), fill: new Fill({ color: "rgba(255,255,255,0.01)" }) }),
    });
    this.mark = new VectorLayer({
      source: new VectorSource(),
      style: [
        new Style({ stroke: new Stroke({ color: "#000", width: 4 }) }),
        new Style({ stroke: new Stroke({ color: "#fff", width: 2 }) }),
      ],
    });
    this.map = new OlMap({
      target: this.element, view, controls: [new ScaleLine()],
      layers: [this.image, this.raster, this.test, this.vectors, this.polygons, this.mark],
    });
    this.share = 1;
    for (const layer of [this.raster, this.test]) this.clip(layer);
    if (run.tested) this.test.setSource(this.tiles("test", `layer/${index}/test/{z}/{y}/{x}.png`, this.resolutions(run.native)));
  }

  resolutions(deepest) {
    return Array.from({ length: deepest + 1 }, (_, level) => this.run.resolution * 2 ** (this.run.native - level));
  }

  tiles(name, url, resolutions) {
    const [west, south, east, north] = this.run.bounds;
    const source = new XYZ({
      url, projection: this.projection, interpolate: false, transition: 0,
      tileGrid: new TileGrid({
        origin: [west, north], extent: [west, south, east, north], resolutions, tileSize: this.run.tile,
      }),
    });
    source.on("tileloaderror", (event) => this.explain(name, event.tile.src_));
    return source;
  }

  async explain(name, address) {
    try {
      await get(address);
    } catch (error) {
      say(t("unreadable", { layer: name, why: error.message }));
    }
  }

  // Show a layer of the map; `band` is the name of one of several (runs may have other classes and sources), null of the only
  // one; `only` are the codes shown, null for all.
  showLayer(name, band, only) {
    const known = this.run.layers.find((layer) => layer.name === name);
    const number = known && band !== null ? known.bands.indexOf(band) + 1 : 1;
    if (!known || !number) return this.raster.setSource(null);
    const query = only ? `?only=${only.join(",")}` : `?band=${number}`;
    this.raster.setSource(this.tiles(name, `layer/${this.index}/${name}/{z}/{y}/{x}.png${query}`, this.resolutions(this.run.native)));
  }

  // Show a source of a run, which is that of this map, or of the first where this one has no such source.
  showImage(owner, source, date, resolutions) {
    if (!source) return this.image.setSource(null);
    const url = `image/${owner.index}/${encodeURIComponent(source)}/${date}/{z}/{y}/{x}.png`;
    this.image.setSource(owner.tiles(source, url, resolutions));
  }

  // Draw a layer only left of the swipe.
  clip(layer) {
    layer.on("prerender", (event) => {
      const context = event.context;
      const [width, height] = this.map.getSize();
      const end = this.end(width);
      const corners = [[0, 0], [end, 0], [end, height], [0, height]].map((at) => getRenderPixel(event, at));
      context.save();
      context.beginPath();
      corners.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
      context.closePath();
      context.clip();
    });
    layer.on("postrender", (event) => event.context.restore());
  }

  // Where the swipe is in a map of some width: at the middle of its thumb.
  end(width) {
    return this.share >= 1 ? width : this.share * (width - THUMB) + (this.share > 0 ? THUMB / 2 : 0);
  }

  swipe(share) {
    this.share = share;
    this.line.hidden = share >= 1 || share <= 0;
    this.line.style.left = `calc(${100 * share}% + ${THUMB * (0.5 - share)}px)`;
    this.map.render();
  }

  async showPolygons(visible) {
    if (visible && !this.polygons.getSource()) {
      const found = await get(`polygons/${this.index}`);
      this.polygons.setSource(new VectorSource({ features: geojson.readFeatures(found) }));
    }
    this.polygons.setVisible(visible);
  }

  showVectors(visible) {
    if (visible && !this.vectors.getSource()) {
      const source = new VectorSource({
        strategy: bbox,
        loader: (extent, resolution, projection, success, failure) => {
          get(`vectors/${this.index}?bounds=${extent.join(",")}`).then((found) => {
            const features = geojson.readFeatures(found);
            source.addFeatures(features);
            if (!found.complete) {
              source.removeLoadedExtent(extent);
              say(t("zoom_vectors", { n: number(features.length) }));
            }
            success(features);
          }, (error) => {
            say(error.message);
            failure();
          });
        },
      });
      this.vectors.setSource(source);
    }
    this.vectors.setVisible(visible);
  }

  // Row and column of a coordinate; null outside the map.
  pixelAt([x, y]) {
    const [west, south, east, north] = this.run.bounds;
    const [height, width] = this.run.shape;
    const row = Math.floor(((north - y) / (north - south)) * height);
    const column = Math.floor(((x - west) / (east - west)) * width);
    return row >= 0 && row < height && column >= 0 && column < width ? { row, column } : null;
  }

  centreOf({ row, column }) {
    const [west, south, east, north] = this.run.bounds;
    const [height, width] = this.run.shape;
    return [west + ((column + 0.5) / width) * (east - west), north - ((row + 0.5) / height) * (north - south)];
  }

  markPixel(pixel) {
    const source = this.mark.getSource();
    source.clear();
    if (!pixel) return;
    const [x, y] = this.centreOf(pixel);
    const half = this.run.resolution / 2;
    source.addFeature(new Feature(fromExtent([x - half, y - half, x + half, y + half])));
  }
}
