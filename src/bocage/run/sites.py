"""A run of several sites: one model trained on the samples of all, its accuracy at each, and a map of each.

The folder has ``scene/<site>/`` and ``map/<site>/``. To map a site, its own files and the model are read, nothing of the other
sites.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bocage.disk import artefact, digest, remove_folder, write_json
from bocage.errors import EvaluationError, Problem, RecipeError, SamplesError
from bocage.evaluation import Corrected, Predictions, Score, corrected, predictions_of
from bocage.layout import RunLayout
from bocage.legend import Legend
from bocage.machine import device_of
from bocage.mapping import Computing, Forward, LandCoverMap, make_map, open_map, predict_at
from bocage.models import Network
from bocage.progress import QUIET, Named, Progress
from bocage.recipe import Recipe, Site
from bocage.run.folder import Inputs, RunFolder
from bocage.run.opened import read_for, scene_of
from bocage.run.parts import polygons_by_site, score_by_part
from bocage.run.sets import promised_by
from bocage.run.stages import NOT_MEASURED, STAGES, report_absent, score_of_draw, score_of_draws, train_draw
from bocage.samples import Needs, Samples, Survey, WindowNeeds
from bocage.samples.cut import STORE, Reach
from bocage.samples.join import join_samples
from bocage.samples.make import Usable, cut_usable
from bocage.samples.reference import fingerprint_vector
from bocage.scene import Scene, Scenes, limited, prepare_scene
from bocage.training import (
    Choice,
    Importance,
    Temperature,
    Trained,
    Trainer,
    check_device,
    check_sites,
    classified,
    idle_settings,
    importance,
    needs_for,
)


@dataclass(frozen=True)
class _SiteNeeds:
    """Footprints that a network requires from the scene of one site."""

    footprints: Mapping[str, Reach]
    any_source: bool


@contextmanager
def _naming(site: Site) -> Iterator[None]:
    """Name the site in errors about its samples."""
    try:
        yield
    except SamplesError as error:
        raise SamplesError(f"Site '{site.name}': {error}") from error


def _needs_at(site: Site, choice: Choice, network: Network, scene: Scene) -> Needs:
    """Return what the training of a network requires from a site, which may lack some of its sources: footprints, or windows.

    Raises
    ------
    SamplesError
        The site has no windows, or their side does not suit the network or the map.
    """
    with _naming(site):
        needs = needs_for(choice, network, scene)
    footprints = {name: one for name, one in needs.footprints.items() if name in scene.cubes}
    if isinstance(needs, WindowNeeds):
        return replace(needs, footprints=footprints)
    return _SiteNeeds(footprints, needs.any_source)


@dataclass
class SitesRun:
    """A run of a recipe with several sites; each public method is a stage."""

    recipe: Recipe
    scenes: dict[str, Scene]
    """Name of each opened site → its scene."""
    folder: RunFolder
    progress: Progress
    keys: dict[str, str]
    """Stage → digest of its inputs and settings: "train", "evaluate", and "samples/<site>" of every site with polygons."""
    samples: Samples | None = None
    """Samples of all sites; None if the sites were opened to be mapped only."""

    @property
    def layout(self) -> RunLayout:
        """Paths of the run's folder."""
        return self.folder.layout

    @property
    def sites(self) -> list[Site]:
        """The opened sites."""
        return [site for site in self.recipe.sites if site.name in self.scenes]

    @property
    def _device(self) -> str:
        return self.recipe.choice.training.device

    @property
    def joined(self) -> Samples:
        """Samples of all sites."""
        assert self.samples is not None
        return self.samples

    def train(self) -> None:
        """Train the model on every draw; complete draws are kept."""
        self.joined.check_draws()  # before hours of training
        self.folder.keep_draws(self.joined.draws, self.progress)
        if not self.folder.is_current("train/0", self.keys["train"]):
            for note in idle_settings(self.recipe.choice):
                self.progress.say(note.advised)
        learning = {site: self.scenes[site] for site in self.joined.sites}
        trainer = Trainer(self.recipe.choice, Scenes(learning), self.joined)
        for k in range(self.joined.draws):
            work = partial(train_draw, trainer, k, self.layout.split(k), self.progress)
            self.folder.once(f"train/{k}", self.keys["train"], work, self.progress)

    def evaluate(self) -> Score:
        """Classify the test polygons of every draw; write ``score.json``, pooled and by site, and return the pooled score."""
        draws = self.joined.draws
        for k in range(draws):
            self.folder.need(f"train/{k}", self.keys["train"], "train")
            self.folder.once(f"evaluate/{k}", self.keys["evaluate"], partial(self._score, k), self.progress)
            self.progress.step("evaluating", k + 1, draws)
        score = self.score
        sites = {name: one.as_dict() for name, one in self.score_by_site().items()}
        if not score.is_in(self.layout.score, sites=sites):
            score.save(self.layout.score, sites=sites)
        return score

    @property
    def score(self) -> Score:
        """Score over all draws, of the test pixels of all sites."""
        return score_of_draws(self.layout, self.joined, self.recipe.evaluation)

    def score_by_site(self) -> dict[str, Score]:
        """Return the score of the test pixels of each site, over the draws in which it has some."""
        samples = self.joined
        return score_by_part(self.layout, samples, polygons_by_site(samples), self.recipe.evaluation.names)

    def _score(self, k: int) -> None:
        """Classify the test pixels of draw `k`; write ``test.parquet`` and ``score.json``."""
        samples, split = self.joined, self.layout.split(k)
        trained, test = Trained.load(split.model.path), samples.draw(k).test
        report_absent(samples, k, self.progress)
        pixels, made = samples.pixels(test), self._probabilities(trained, test, k)
        predictions = predictions_of(pixels.row, pixels.column, pixels.polygon, pixels.label, *made)
        predictions.to_parquet(split.test)
        score_of_draw(samples, k, predictions, self.recipe.evaluation.names).save(split.score)

    def _probabilities(
        self, trained: Trained, test: NDArray[np.int64], k: int
    ) -> tuple[NDArray[np.float32], Temperature]:
        """Return the class probabilities (N, K) of test pixels, computed from the scene of their site, and their temperature."""
        samples = self.joined
        if not trained.has_context:
            return classified(trained, samples.chips, test, self._device)
        found = np.zeros((len(test), len(trained.legend.classes)), np.float32)
        temperature = np.full(len(test), trained.calibration.temperature)
        for name in samples.sites:
            rows, scene = np.flatnonzero(samples.at(name)[test]), self.scenes[name]
            task = f"classifying test polygons, draw {k + 1}"
            pixels, how = samples.pixels(test[rows]), Forward(device_of(self._device))
            made = predict_at(trained.for_scene(scene), scene, pixels, how, Named(self.progress, f"{name}: "), task)
            found[rows], temperature[rows] = made.probabilities, made.temperature
        return found, temperature

    def map(self) -> dict[str, LandCoverMap]:
        """Map the sites of ``[map] sites`` with the model of the draw ``[map] draw``; return site → map."""
        k, wanted = self.recipe.map.draw, self.recipe.map.sites
        self.folder.need(f"train/{k}", self.keys["train"], "train")
        trained = Trained.load(self.layout.split(k).model.path)
        maps = {}
        for site in self.sites:
            if wanted and site.name not in wanted:
                continue
            work = partial(self._make_map, trained, site)
            self.folder.once(f"map/{site.slug}", self._map_key(site), work, self.progress)
            maps[site.name] = self._open_map(trained.legend, site)
        return maps

    def _make_map(self, trained: Trained, site: Site) -> LandCoverMap:
        bands = {name: record.spec.bands for name, record in trained.sources.items()}
        scene, computing = limited(self.scenes[site.name], bands), Computing(self._device, self.recipe.workers)
        settings = replace(self.recipe.map, region=site.region, region_layer=site.region_layer, where=site.where)
        folder = self.layout.site(site.slug).map.path
        return make_map(trained, scene, settings, folder, computing, Named(self.progress, f"{site.name}: "))

    def _map_key(self, site: Site) -> str:
        """Return the digest of what determines the map of a site: the model, and the files and settings of the site."""
        settings = replace(self.recipe.map, region=None, region_layer="", where="", sites=())
        region = (fingerprint_vector(site.region) if site.region else "", site.region_layer, site.where)
        images = self.folder.inputs.parts[site.name].images
        return digest(self.keys["train"], settings, *region, images, site.grid, site.sources)

    def _open_map(self, legend: Legend, site: Site) -> LandCoverMap:
        return open_map(legend, self.scenes[site.name].grid, self.recipe.map, self.layout.site(site.slug).map.path)

    def maps_on_disk(self) -> dict[str, LandCoverMap]:
        """Return the complete maps in the run's folder."""
        legend = self.recipe.legend if self.samples is None else self.samples.legend
        return {
            site.name: self._open_map(legend, site)
            for site in self.sites
            if self.layout.site(site.slug).map.is_complete
        }

    def report(self) -> Path:
        """Write ``report.html``: accuracy pooled and by site, and the maps of the sites; return its path."""
        from bocage.report.sites import SitesMaterial, write_sites_report  # matplotlib takes a second to import

        for k in range(self.joined.draws):
            self.folder.need(f"evaluate/{k}", self.keys["evaluate"], "evaluate")
        maps = {
            site.name: self._open_map(self.joined.legend, site)
            for site in self.sites
            if self.folder.is_current(f"map/{site.slug}", self._map_key(site))
        }
        return write_sites_report(
            SitesMaterial(
                self.layout, self.scenes, self.joined, self.score, self.score_by_site(), maps, self.folder.provenance,
                self.recipe.report, self.recipe.map.draw,
                promised_by(self.layout, self.joined.draws, self.recipe.map), self._corrected(maps),
                self._importance(), self.recipe.map.until,
            )
        )  # fmt: skip

    def _importance(self) -> dict[str, Importance]:
        """Return the importance of the sources of each site with test pixels, for the draw of the map; it is measured once."""
        most, draw, samples = self.recipe.evaluation.importance, self.recipe.map.draw, self.joined
        split, test = self.layout.split(draw), samples.draw(draw).test
        if not most or not len(test):
            return {}
        if samples.windows is not None:
            self.progress.say(NOT_MEASURED)
            return {}

        def measure() -> None:
            trained, found = Trained.load(split.model.path), {}
            for name in samples.sites:
                members, said = test[samples.at(name)[test]], Named(self.progress, f"{name}: ")
                if len(members):
                    measured = importance(trained, samples, members, most, self._device, said)
                    found[name] = asdict(measured)
            write_json(split.importance, found, None)

        self.folder.once("importance", digest(self.keys["evaluate"], draw, most), measure, self.progress)
        with artefact(split.importance):
            record = json.loads(split.importance.read_text(encoding="utf-8"))
            return {name: Importance(**one) for name, one in record.items()}

    def _corrected(self, maps: Mapping[str, LandCoverMap]) -> dict[str, Corrected]:
        """Correct the mapped areas of each site by its own test pixels of the draw of the map.

        Sites without test pixels of every class, and those whose mapped areas the rates of confusion do not explain, are left
        out; so are all sites if the maps end before the series that were tested.
        """
        samples, draw, found = self.joined, self.recipe.map.draw, dict[str, Corrected]()
        if self.recipe.map.until:
            return found
        tested, test = Predictions.from_parquet(self.layout.split(draw).test), samples.draw(draw).test
        for name in maps:
            if name in samples.sites:
                one = tested.take(samples.at(name)[test])
                shares, names = maps[name].areas.shares, samples.legend.names
                with suppress(EvaluationError):  # the report names the site
                    areas = corrected(one.predicted, one.label, one.polygon, shares, names)
                    areas.check()
                    found[name] = areas
        return found


def open_sites(
    recipe: Recipe, out: Path, progress: Progress = QUIET, overwrite: bool = False, stages: Sequence[str] = STAGES
) -> SitesRun:
    """Claim the run's folder, and open the sites of a recipe for the stages `stages`.

    To map only, the sites to map are opened, and no other; otherwise all sites.

    Raises
    ------
    RecipeError
        ``[map] draw`` is not the number of a draw.
    TrainingError
        The sources of the sites do not allow one network.
    """
    check_device(recipe.choice.training)
    mapping, wanted = set(stages) == {"map"}, recipe.map.sites
    sites = [site for site in recipe.sites if not mapping or not wanted or site.name in wanted]
    scenes = {site.name: scene_of(site.grid, site.sources, Named(progress, f"{site.name}: ")) for site in sites}
    for name, scene in scenes.items():
        _check_imagery(recipe, name, scene)
    parts = {site.name: Inputs.read(scenes[site.name], site.reference, site.region) for site in sites}
    folder = RunFolder.claim(RunLayout(out), recipe, Inputs.together(parts), overwrite)
    scenes = {site.name: _prepared(recipe, site, scenes[site.name], folder, progress) for site in sites}
    if mapping:
        return _for_mapping(SitesRun(recipe, scenes, folder, progress, {}))
    return _for_training(SitesRun(recipe, scenes, folder, progress, {}))


def _check_imagery(recipe: Recipe, name: str, scene: Scene) -> None:
    if scene.ids is not None:
        message = "its sources are tables of samples; a recipe with [[site]] takes imagery"
        raise RecipeError(recipe.path, [Problem(f"site '{name}'", message)])


def _prepared(recipe: Recipe, site: Site, scene: Scene, folder: RunFolder, progress: Progress) -> Scene:
    """Write the prepared cubes of a site, as ``[scene]`` selects, and return the scene that reads them."""
    where, said = folder.layout.site(site.slug).scene, Named(progress, f"{site.name}: ")
    ready, _ = prepare_scene(scene, where, recipe.scene, said)
    for note in ready.notes[len(scene.notes) :]:
        said.say(note)
    return ready


def _for_training(run: SitesRun) -> SitesRun:
    """Check the sources of the sites with polygons, cut their samples, and join them."""
    recipe, learning = run.recipe, [site for site in run.recipe.sites if site.reference]
    scenes = Scenes({site.name: run.scenes[site.name] for site in learning})
    bands = scenes.meeting()
    for note in scenes.unused(bands):
        run.progress.say(note.advised)
    scenes = Scenes({name: limited(scene, bands) for name, scene in scenes.by_site.items()})
    network = recipe.choice.build(scenes, recipe.legend)
    check_sites(scenes, recipe.choice, network)
    run.scenes |= scenes.by_site
    usable, new = {}, False
    for site in learning:
        needs = _needs_at(site, recipe.choice, network, scenes.by_site[site.name])
        stage, key = f"samples/{site.slug}", _samples_key(run, site, scenes.by_site[site.name], needs)
        run.keys[stage] = key
        new |= not run.folder.is_current(stage, key)
        usable[site.name] = _cut(run, site, needs, key)
    run.samples = join_samples(usable, recipe.legend, recipe.split)
    run.samples.to_parquet(run.layout.samples)
    for note in run.samples.notes if new else ():  # the report keeps them
        run.progress.say(note)
    if recipe.map.draw >= run.samples.draws:
        message = f"draws are numbered 0 to {run.samples.draws - 1}; found {recipe.map.draw}"
        raise RecipeError(recipe.path, [Problem("map.draw", message)])
    return _with_keys(run)


def _cut(run: SitesRun, site: Site, needs: Needs, key: str) -> Usable:
    """Cut the samples of a site, or open the samples cut before with the same key."""
    folder, stage, where = run.folder, f"samples/{site.slug}", run.layout.site(site.slug).cut
    assert site.reference is not None
    survey, said = Survey(site.reference, run.recipe.legend, run.recipe.split), Named(run.progress, f"{site.name}: ")

    def work() -> Usable:
        with _naming(site):
            return cut_usable(run.scenes[site.name], survey, needs, where, said)

    if folder.is_current(stage, key):
        return work()
    folder.say_damage(stage, key, run.progress)
    folder.forget(stage)
    remove_folder(where)
    with folder.timed(stage, key):
        return work()


def _for_mapping(run: SitesRun) -> SitesRun:
    """Compute the keys of the samples of the opened sites from the model that is to map; those of the others are recorded.

    A model that is missing is reported by the stage.
    """
    recipe = run.recipe
    model = run.layout.split(recipe.map.draw).model
    if not model.description.exists():
        return _with_keys(run)
    trained = Trained.load(model.path)
    bands = {name: record.spec.bands for name, record in trained.sources.items()}
    for site in recipe.sites:
        stage = f"samples/{site.slug}"
        if site.reference is None:
            continue
        if site.name in run.scenes:
            scene = limited(run.scenes[site.name], bands)
            run.keys[stage] = _samples_key(run, site, scene, _needs_at(site, recipe.choice, trained.model, scene))
        else:
            record = run.folder.provenance.stages.get(stage)
            run.keys[stage] = record.key if record else ""
    return _with_keys(run)


def _samples_key(run: SitesRun, site: Site, scene: Scene, needs: Needs) -> str:
    """Return the digest of what determines the samples of a site."""
    used = read_for(site.sources, needs.footprints)
    bands = {name: scene.cubes[name].bands for name in needs.footprints}
    contents = run.folder.inputs.parts[site.name].contents
    side = (needs.side,) if isinstance(needs, WindowNeeds) else ()
    read = (needs.footprints, needs.any_source, *side)
    return digest(STORE, contents, site.grid, run.recipe.legend, used, site.reference, *read, bands)


def _with_keys(run: SitesRun) -> SitesRun:
    """Complete the keys of the stages: training depends on the samples of all sites, and the draws on the order of the sites."""
    recipe, choice = run.recipe, run.recipe.choice
    samples = {stage: key for stage, key in run.keys.items() if stage.startswith("samples/")}
    settings = (recipe.split, choice.name, choice.config, choice.training, *choice.trainings)
    train = digest(samples, recipe.order_of_sites, *settings)
    return replace(run, keys={**samples, "train": train, "evaluate": digest(train, recipe.evaluation.metrics)})
