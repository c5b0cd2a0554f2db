"""Paths in the folder of a run.

::

    runs/<name>/
    ├── recipe.toml  provenance.json  plan.json
    ├── scene/                      prepared cubes and cut samples
    ├── samples.parquet  pretrained/  pretrained.csv
    ├── splits/<k>/                 model/  curves.csv  training.parquet  members/  test.parquet  score.json  importance.json
    ├── map/                        classes.tif  confidence.tif  …  areas.csv  item.json  checksums.sha256
    │                               with several sites: map/<site>/ and scene/<site>/
    ├── objects/                    objects.{tif,parquet}
    ├── doctor/                     polygons.{csv,gpkg}  doctor.{html,json}  draws/<k>.csv
    ├── finish/                     votes.{csv,parquet}  voted_areas.csv  areas.csv  score.json
    │                               polygons.{gpkg,parquet,fgb}  zones.{csv,parquet}
    ├── scout/                      fields.{gpkg,csv}  tours.gpx  scout.{html,json}
    ├── maps/<region>/              as map/, and region.json
    ├── season/                     season.{csv,json}  results.json
    ├── score.json  sample.json  validation.gpkg
    ├── report.html  report.json
    ├── qgis/                       project.qgz  reference.gpkg  <source>.{vrt,tif}
    ├── mapped.json  adapted.json   a map by a model of another run; an adaptation (model/, curves.csv)
    ├── adapted.parquet             reference pixels that trained in an adaptation
    ├── fusion.json  test.parquet   a fusion of maps, in map/; predictions of the fused map at test pixels of all its maps
    ├── reconciled.json  districts.csv  test.parquet   a map reconciled with statistics of districts, in map/
    └── compare/<label>/  comparison.{html,csv,tex,json}  speed.json
"""

from dataclasses import dataclass
from pathlib import Path

from bocage.layout.advice import DoctorLayout, ScoutLayout, SeasonLayout
from bocage.layout.parts import FinishLayout, ObjectsLayout, QgisLayout


@dataclass(frozen=True)
class ModelLayout:
    """A model folder, with all files that mapping needs."""

    path: Path

    @property
    def description(self) -> Path:
        """Description of the network and of its training data."""
        return self.path / "trained.json"

    @property
    def weights(self) -> Path:
        """Parameters and buffers."""
        return self.path / "weights.safetensors"

    @property
    def domain(self) -> Path:
        """Training samples as points, for the novelty layer."""
        return self.path / "training_domain.safetensors"

    @property
    def precision(self) -> Path:
        """Comparison of bfloat16 with float32 on validation samples."""
        return self.path / "bfloat16.json"

    @property
    def pretrained(self) -> Path:
        """Description of an encoder that was pretrained without labels."""
        return self.path / "pretrained.json"

    @property
    def checksums(self) -> Path:
        """SHA-256 of every other file."""
        return self.path / "checksums.sha256"

    @property
    def files(self) -> list[Path]:
        """All files that exist, without the checksums."""
        known = (self.description, self.pretrained, self.weights, self.domain, self.precision)
        return [path for path in known if path.exists()]

    @classmethod
    def of(cls, folder: Path) -> "ModelLayout":
        """Return `folder` as a model folder, or the model in it: of an adaptation, or of the first draw of a run."""
        run = RunLayout(folder)
        inside = (cls(folder), run.own.model, run.split(0).model)
        return next((model for model in inside if model.description.exists()), cls(folder))


@dataclass(frozen=True)
class SplitLayout:
    """The folder of one draw or fold, or of another training."""

    path: Path

    @property
    def model(self) -> ModelLayout:
        """The trained model."""
        return ModelLayout(self.path / "model")

    @property
    def curves(self) -> Path:
        """Loss and F-measure of every epoch."""
        return self.path / "curves.csv"

    @property
    def training(self) -> Path:
        """Coordinates of the samples of the training and validation parts."""
        return self.path / "training.parquet"

    @property
    def checkpoint(self) -> Path:
        """State of an unfinished training."""
        return self.path / "checkpoint.safetensors"

    @property
    def members(self) -> Path:
        """Folder of the members of a mixture, each in a folder like this one."""
        return self.path / "members"

    @property
    def tested(self) -> list[Path]:
        """Files of the test of the model, which say nothing about another model."""
        return [self.test, self.score, self.importance]

    def member(self, number: int) -> "SplitLayout":
        """Folder of member `number` of a mixture, from 0."""
        return SplitLayout(self.members / str(number))

    @property
    def identity(self) -> Path:
        """Digest of the settings and samples of a complete member of a mixture."""
        return self.path / "identity.txt"

    @property
    def all_curves(self) -> list[Path]:
        """Curves of the network, or of the members of a mixture that have epochs, in their order."""
        if self.curves.exists():
            return [self.curves]
        return sorted(self.members.glob("*/curves.csv"), key=lambda path: int(path.parent.name))

    @property
    def twins(self) -> Path:
        """Folder of the networks trained without some polygons, for the calibration, until the model is complete."""
        return self.path / "twins"

    def twin(self, number: int) -> "SplitLayout":
        """Folder of network `number` of them, from 0."""
        return SplitLayout(self.twins / str(number))

    @property
    def unlabelled(self) -> Path:
        """Pixels of the training scene that are cut to describe it; removed at the end."""
        return self.path / "unlabelled"

    @property
    def test(self) -> Path:
        """Prediction of every test pixel."""
        return self.path / "test.parquet"

    @property
    def score(self) -> Path:
        """Accuracy on the test pixels."""
        return self.path / "score.json"

    @property
    def importance(self) -> Path:
        """Importance of sources and dates."""
        return self.path / "importance.json"

    @property
    def confusion(self) -> Path:
        """Confusion matrix of a model on other reference polygons."""
        return self.path / "confusion.csv"


@dataclass(frozen=True)
class MapLayout:
    """The folder of a map."""

    path: Path

    def layer(self, name: str, suffix: str, complete: bool = True) -> Path:
        """File of a layer in one format; an incomplete file has ``.partial`` in its name."""
        return self.path / f"{name}{'' if complete else '.partial'}{suffix}"

    @property
    def layers(self) -> list[Path]:
        """Files of the layers that exist, in all formats, without styles and metadata, which users may edit."""
        others = (".qml", ".sld", ".csv", ".json", ".xml", ".sha256")
        found = [path for path in self.path.glob("[!.]*") if path.is_file() and path.suffix not in others]
        return [path for path in found if path not in (self.voted, self.regularised)]

    @property
    def voted(self) -> Path:
        """Classes after the votes of objects or parcels, which ``bocage finish`` writes."""
        return self.path / "voted.tif"

    @property
    def regularised(self) -> Path:
        """Classes after the regularisation, which ``bocage finish`` writes."""
        return self.path / "regularised.tif"

    @property
    def finished(self) -> list[Path]:
        """Every file that ``bocage finish`` may have made of the classes, here and in ``finish/`` of a folder with its record."""
        around = RunLayout(self.path.parent)
        recorded = around.provenance.exists() or around.as_map.provenance.exists()
        beside = around.finish.files if recorded and around.map == self else []
        own = [self.voted, self.regularised]
        return [*own, *(path.with_name(f"{path.name}.aux.xml") for path in own), *beside]

    @property
    def incomplete(self) -> list[Path]:
        """Files of incomplete layers."""
        return list(self.path.glob("*.partial.*"))

    @property
    def windows(self) -> Path:
        """Folder of the completed windows."""
        return self.path / ".windows"

    @property
    def qml(self) -> Path:
        """Style for QGIS."""
        return self.path / "classes.qml"

    @property
    def sld(self) -> Path:
        """Style for map servers."""
        return self.path / "classes.sld"

    @property
    def areas(self) -> Path:
        """Pixels and hectares of every class."""
        return self.path / "areas.csv"

    @property
    def item(self) -> Path:
        """STAC item."""
        return self.path / "item.json"

    @property
    def region(self) -> Path:
        """Vector file and condition of a map of a region of a run."""
        return self.path / "region.json"

    @property
    def checksums(self) -> Path:
        """SHA-256 of every file; written last."""
        return self.path / "checksums.sha256"

    @property
    def is_complete(self) -> bool:
        """Whether the folder has a complete map."""
        return self.checksums.exists()

    @classmethod
    def of(cls, folder: Path) -> "MapLayout":
        """Return the map folder inside a run folder if it has a complete map, otherwise `folder` as a map folder."""
        inside = RunLayout(folder).map
        return inside if inside.is_complete else cls(folder)


@dataclass(frozen=True)
class SiteLayout:
    """Folders of one site in the folder of a run with several sites."""

    run: Path
    slug: str
    """Name of the site, safe as a file name."""

    @property
    def scene(self) -> Path:
        """Prepared cubes."""
        return self.run / "scene" / self.slug

    @property
    def cut(self) -> Path:
        """Cut samples."""
        return self.scene / "samples"

    @property
    def map(self) -> MapLayout:
        """The map."""
        return MapLayout(self.run / "map" / self.slug)


@dataclass(frozen=True)
class RunLayout:
    """The folder of a run."""

    path: Path

    @property
    def recipe(self) -> Path:
        """Copy of the recipe, without passwords."""
        return self.path / "recipe.toml"

    @property
    def provenance(self) -> Path:
        """Inputs, versions, and completed stages."""
        return self.path / "provenance.json"

    @property
    def plan(self) -> Path:
        """Estimated cost."""
        return self.path / "plan.json"

    @property
    def scene(self) -> Path:
        """Prepared cubes."""
        return self.path / "scene"

    @property
    def cut(self) -> Path:
        """Cut samples."""
        return self.scene / "samples"

    @property
    def scratch(self) -> Path:
        """Pixels cut for an adaptation or a pretraining; removed at its end."""
        return self.path / "pixels"

    @property
    def samples(self) -> Path:
        """Table of the labelled pixels."""
        return self.path / "samples.parquet"

    def split(self, number: int) -> SplitLayout:
        """Folder of draw or fold `number`, from 0."""
        return SplitLayout(self.path / "splits" / str(number))

    def splits_from(self, number: int) -> dict[int, SplitLayout]:
        """Number → folder of the draws from `number` on that have one."""
        found = (int(path.name) for path in self.path.glob("splits/*") if path.name.isdecimal())
        return {k: self.split(k) for k in sorted(found) if k >= number}

    def site(self, slug: str) -> SiteLayout:
        """Folders of a site, in a run with several sites."""
        return SiteLayout(self.path, slug)

    @property
    def own(self) -> SplitLayout:
        """The folder of the run as that of a single training (adaptation, pretraining)."""
        return SplitLayout(self.path)

    @property
    def pretrained(self) -> ModelLayout:
        """Encoder that was pretrained on the scene."""
        return ModelLayout(self.path / "pretrained")

    @property
    def pretraining_curves(self) -> Path:
        """Loss of every epoch of the pretraining."""
        return self.path / "pretrained.csv"

    @property
    def map(self) -> MapLayout:
        """The map."""
        return MapLayout(self.path / "map")

    def region(self, name: str) -> MapLayout:
        """Folder of the map of a region, or until a day, beside the map of the run."""
        return MapLayout(self.path / "maps" / name)

    @property
    def objects(self) -> ObjectsLayout:
        """Objects of a segmentation."""
        return ObjectsLayout(self.path / "objects")

    @property
    def season(self) -> SeasonLayout:
        """Accuracy against the cut-off of the series."""
        return SeasonLayout(self.path / "season")

    @property
    def doctor(self) -> DoctorLayout:
        """Doubtful polygons."""
        return DoctorLayout(self.path / "doctor")

    @property
    def finish(self) -> FinishLayout:
        """What follows the classification."""
        return FinishLayout(self.path / "finish")

    @property
    def scout(self) -> ScoutLayout:
        """Fields to survey next."""
        return ScoutLayout(self.path / "scout")

    @property
    def score(self) -> Path:
        """Accuracy over all draws."""
        return self.path / "score.json"

    @property
    def sample(self) -> Path:
        """Estimates from a labelled validation sample."""
        return self.path / "sample.json"

    @property
    def validation(self) -> Path:
        """Default path of the validation sample to label."""
        return self.path / "validation.gpkg"

    @property
    def report(self) -> Path:
        """The report."""
        return self.path / "report.html"

    @property
    def report_numbers(self) -> Path:
        """Every number of the report."""
        return self.path / "report.json"

    @property
    def qgis(self) -> QgisLayout:
        """QGIS project."""
        return QgisLayout(self.path / "qgis")

    @property
    def mapped(self) -> Path:
        """Record of a map by a model of another run."""
        return self.path / "mapped.json"

    @property
    def adapted(self) -> Path:
        """Record of an adaptation."""
        return self.path / "adapted.json"

    @property
    def adapted_pixels(self) -> Path:
        """Reference pixels that trained in an adaptation, with their coordinates."""
        return self.path / "adapted.parquet"

    @property
    def speed(self) -> Path:
        """Measured map speed of the model."""
        return self.path / "speed.json"

    def files_of(self, stage: str) -> list[Path]:
        """Files of a complete stage that other stages, or a later run, read."""
        kind, _, name = stage.partition("/")
        if name and kind in ("samples", "map"):
            site = self.site(name)
            return (
                [*site.cut.glob("*")]
                if kind == "samples"
                else [p for p in (site.map.areas, *site.map.layers) if p.exists()]
            )
        split = self.split(int(name)) if name.isdecimal() else self.own
        land = self.region(name) if kind == "region" else self.map
        model = split.model
        files = {
            "samples": [self.samples, *self.cut.glob("*")],
            "pretrain": [self.pretrained.checksums],
            "train": [*split.all_curves, model.description, model.weights, model.domain],
            "evaluate": [split.test, split.score],
            "importance": list(self.path.glob("splits/*/importance.json")),
            "segment": [self.objects.ids],
            "doctor": [self.doctor.page, self.doctor.summary, *self.doctor.path.glob("polygons.*")],
            "doubt": [self.doctor.draw(int(name))] if name.isdecimal() else [],
            "features": [self.objects.table],
            "vote": [self.map.voted, self.finish.voted_areas, *self.finish.all_votes],
            "accuracy": [self.finish.score],
            "regularise": [self.map.regularised, self.finish.areas],
            "vectors": self.finish.all_polygons,
            "season": [self.season.table, self.season.summary],
            "zones": self.finish.all_zones,
            "map": [land.areas, *land.layers],
            "region": [land.areas, *land.layers],
        }
        return [path for path in files.get(kind, []) if path.exists()]

    @property
    def as_map(self) -> "MapOnlyLayout":
        """The same folder, if it has a map that no run made."""
        return MapOnlyLayout(self.path)

    def rival(self, slug: str) -> "RunLayout":
        """Folder of another model of a comparison."""
        return RunLayout(self.path / "compare" / slug)

    def comparison(self, suffix: str) -> Path:
        """Comparison of models in one format (html, csv, tex, json)."""
        return self.path / f"comparison.{suffix}"


@dataclass(frozen=True)
class MapOnlyLayout(RunLayout):
    """The folder of a map without a run: a fusion, a reconciled map, or a map by a model of another run."""

    @property
    def provenance(self) -> Path:
        """Completed stages of ``bocage finish``."""
        return self.finish.path / ".provenance.json"
