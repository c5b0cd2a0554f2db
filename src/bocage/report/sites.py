"""Report of a run of several sites: accuracy pooled and by site, and the maps of the sites."""

import datetime
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bocage.disk import write_json
from bocage.evaluation import Corrected, Promised, Score
from bocage.layout import RunLayout
from bocage.mapping import LandCoverMap
from bocage.provenance import Provenance
from bocage.report import figures
from bocage.report.page import rejected
from bocage.report.render import render
from bocage.report.sections import accuracy, area, confidence, sets, summary
from bocage.report.sections.land_cover import without_class
from bocage.report.sections.parts import parts
from bocage.report.settings import Reporting
from bocage.samples import Samples
from bocage.scene import Scene
from bocage.training import Importance
from bocage.words import Note, number, percent, whole, words_of


@dataclass(frozen=True)
class SitesMaterial:
    """Results of a run of several sites, as input of its report."""

    layout: RunLayout
    scenes: Mapping[str, Scene]
    """Site → its scene."""
    samples: Samples
    score: Score
    """Score of the test pixels of all sites."""
    by_site: Mapping[str, Score]
    """Site → score of its test pixels."""
    maps: Mapping[str, LandCoverMap]
    """Site → its map, if it is current."""
    provenance: Provenance
    settings: Reporting
    mapped: int = 0
    """Draw whose model made the maps, from 0."""
    promised: Promised | None = None
    """Coverage of the prediction sets; None without sets."""
    corrected: Mapping[str, Corrected] = field(default_factory=dict)
    """Site → areas of its map, corrected by the test pixels of the site."""
    importance: Mapping[str, Importance] = field(default_factory=dict)
    """Site → importance of its sources; empty if it was not measured."""
    until: datetime.date | None = None
    """Last day of the series of the maps; None: all acquisitions."""

    @property
    def notes(self) -> tuple[Note, ...]:
        """Notes on the sources and the reference polygons, with the name of the site, and on the season of the maps."""
        scenes = (
            Note.of("at_site", site=site, note=note) for site, scene in self.scenes.items() for note in scene.notes
        )
        early = (Note.of("map_until", day=str(self.until)),) if self.until and self.maps else ()
        return (*scenes, *self.samples.notes, *early)


def write_sites_report(made: SitesMaterial) -> Path:
    """Write ``report.html`` and ``report.json`` in the folder of the run; return the path of the page."""
    language, score = made.settings.language, made.score
    w = words_of(language)
    unmapped = [site for site in made.scenes if site not in made.maps]
    sources = ", ".join(made.samples.cuts)
    context = {
        "name": made.provenance.name,
        "about": w["sites_about"].format(model=made.provenance.model, n=len(made.samples.sites), sources=sources),
        "started": made.provenance.started[:16].replace("T", " "),
        "headline": summary.headline(score, language),
        "how": summary.how(score, made.samples.split, made.mapped, language),
        "notes": [note.text(language) for note in made.notes],
        "parts": parts("site", made.by_site, score, made.samples, language),
        "maps": [_map(made, site, land) for site, land in made.maps.items()],
        "unmapped": w["sites_unmapped"].format(sites=", ".join(unmapped)) if unmapped else "",
        "areas": _areas(made) if made.maps else None,
        "matrix": accuracy.matrix(score.matrix, language),
        "confidence": confidence.confidence(score, made.layout, language),
        "sets": sets.sets(made.promised, made.samples.legend, language, made.until) if made.promised else None,
        "importance": _importance(made) if made.importance else None,
        "rejections": [rejected(r, language) for r in made.samples.rejections],
        "versions": list(made.provenance.versions.items()),
        "recipe": made.layout.recipe.read_text(encoding="utf-8"),
        "inputs": sorted(made.provenance.inputs.items()),
    }
    write_json(made.layout.report_numbers, _numbers(made))
    return render("sites.html", language, made.layout.report, context)


def _areas(made: SitesMaterial) -> dict[str, Any]:
    """Return a table of corrected areas for each site that has them, what they are, and the sites without."""
    language, without = made.settings.language, [site for site in made.maps if site not in made.corrected]
    found = {site: area.by_model(one, made.maps[site].areas, language) for site, one in made.corrected.items()}
    w, polygons = words_of(language), sum(one.units for one in made.corrected.values())
    return {
        "tables": list(found.items()),
        "about": w["area_model_about"].format(n=whole(polygons, language)) if found else "",
        "unadjusted": w["sites_unadjusted"].format(sites=", ".join(without)) if without else "",
    }


def _importance(made: SitesMaterial) -> dict[str, Any]:
    """Return the accuracy lost at each site (columns) when a source (rows) is shuffled, in points."""
    language, sources = made.settings.language, list(made.samples.cuts)
    there = {site: set(made.scenes[site].cubes) for site in made.importance}

    def lost(source: str) -> list[str]:
        found = ((one.by_source[source], source in there[site]) for site, one in made.importance.items())
        return [number(100 * value, language, 1) if seen else "–" for value, seen in found]

    rows = [(source, lost(source)) for source in sources]
    counts = ", ".join(f"{whole(found.samples, language)} ({site})" for site, found in made.importance.items())
    about = words_of(language)["importance_sites_about"].format(counts=counts)
    return {"about": about, "sites": list(made.importance), "rows": rows}


def _map(made: SitesMaterial, site: str, land: LandCoverMap) -> dict[str, Any]:
    """Return the pictures, the size and the shares of the classes of one map."""
    language, grid, file = made.settings.language, land.grid, land.files["classes"]
    gsd = number(grid.metres[0], language, 2).rstrip("0").rstrip(".,")
    rows = zip(land.legend.codes, land.legend.names, land.legend.colors, land.areas.shares, strict=True)
    size = words_of(language)["site_size"].format(
        height=whole(grid.shape[0], language), width=whole(grid.shape[1], language), gsd=gsd, crs=grid.crs_name,
        area=number(land.areas.total / 100, language, 2),
    )  # fmt: skip
    seen = land.is_readable
    return {
        "name": site,
        "size": size,
        "unclassified": without_class(land, language),
        "file": str(file.relative_to(made.layout.path)),
        "picture": figures.map_picture(file, land.legend) if seen else None,
        "confidence": figures.confidence_picture(land.files["confidence"])
        if seen and "confidence" in land.files
        else None,
        "rows": [
            {"code": code, "name": name, "color": color, "share": percent(share, language)}
            for code, name, color, share in rows
        ],
    }


def _numbers(made: SitesMaterial) -> Mapping[str, Any]:
    """Return the content of ``report.json``; all its texts are English."""
    return {
        "name": made.provenance.name,
        "model": made.provenance.model,
        "score": made.score.as_dict(),
        "sites": {site: score.as_dict() for site, score in made.by_site.items()},
        "sets": made.promised.as_dict(made.samples.legend.names) if made.promised else None,
        "mapped_pixels": {
            site: dict(zip(land.legend.names, land.areas.pixels.tolist(), strict=True))
            for site, land in made.maps.items()
        },
        "area_model": {site: found.as_dict() for site, found in made.corrected.items()} or None,
        "confidence": confidence.answer(made.score.trust) if made.score.trust else None,
        "importance": {site: found.by_source for site, found in made.importance.items()} or None,
        "mapped_hectares": {site: land.areas.total for site, land in made.maps.items()},
        "rejections": [{**asdict(r), "text": r.text()} for r in made.samples.rejections],
        "notes": [str(note) for note in made.notes],
        "versions": dict(made.provenance.versions),
        "inputs": dict(made.provenance.inputs),
    }
