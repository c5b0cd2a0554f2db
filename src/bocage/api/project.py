"""A recipe in Python, with the folder of its run. Each method runs the stages that it needs, as the command of its name."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

from bocage.api.display import paragraph, section
from bocage.api.land import LandCover, Vectors
from bocage.api.scenes import Imagery
from bocage.api.season import Season
from bocage.api.tables import Accuracy, Labels, Page, Report, Training
from bocage.cli.terminal import terminal
from bocage.errors import MappingError, Problem, RecipeError
from bocage.jobs.doctor import doctor
from bocage.jobs.finish import finish
from bocage.jobs.qgis import project_of
from bocage.jobs.run import run
from bocage.jobs.season import Asked, season
from bocage.jobs.view import viewer_of
from bocage.layout import RunLayout
from bocage.mapping import open_delivered
from bocage.progress import QUIET, Progress
from bocage.provenance import Provenance
from bocage.recipe import Recipe, read_recipe, read_table
from bocage.recipe.writing import toml_value
from bocage.redaction import redacted
from bocage.report.sampled import Sampled
from bocage.run import Run, SitesRun, open_scene
from bocage.words import words_of


def recipe(
    source: str | Path | Mapping[str, Any],
    out: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    quiet: bool = False,
) -> "Project":
    """Open a recipe: a TOML file, or a table with the structure of the file.

    Parameters
    ----------
    source
        Path of the recipe, or the table. Relative paths of a file start at its folder, those of a table at the working folder.
    out
        Folder of the run; default: ``runs/<name of the recipe>``, as on the command line.
    settings
        Dotted key → value, which replaces the value of the recipe: ``{"training.epochs": 20}``; None removes the setting.
    overwrite
        Whether a folder with another run is reused: stages whose inputs or settings changed are repeated.
    quiet
        Whether no progress is shown.

    Raises
    ------
    RecipeError
        The recipe is missing or has problems; the error lists all of them.
    """
    parsed = _parsed(source, _overrides(settings or {}))
    return Project(parsed, Path(out) if out is not None else parsed.out, overwrite, quiet)


def _parsed(source: str | Path | Mapping[str, Any], overrides: Sequence[str]) -> Recipe:
    if isinstance(source, Mapping):
        return read_table(source, Path.cwd(), overrides)
    if not isinstance(source, str | Path):
        message = f"a path or a table is expected; found {type(source).__name__}"
        raise RecipeError("the recipe", [Problem("", message)])
    return read_recipe(Path(source), overrides)


def _overrides(settings: Mapping[str, Any]) -> list[str]:
    if not isinstance(settings, Mapping):
        message = f"a table of keys and values is expected; found {type(settings).__name__}"
        raise RecipeError("settings", [Problem("", message)])
    try:
        return [f"{key}={'' if value is None else toml_value(value)}" for key, value in settings.items()]
    except ValueError as error:
        raise RecipeError("settings", [Problem("", str(error))]) from error


@dataclass(frozen=True)
class Project:
    """A recipe and the folder of its run."""

    recipe: Recipe
    out: Path
    overwrite: bool = False
    quiet: bool = False

    @property
    def layout(self) -> RunLayout:
        """Paths of the files in the folder."""
        return RunLayout(self.out)

    def scene(self, site: str | None = None) -> Imagery:
        """Open the imagery; nothing is written. A recipe with several sites needs the name of one.

        Raises
        ------
        RecipeError
            The recipe has several sites and `site` is None, or no site has this name.
        """
        part = self.recipe.part(self.recipe.find(site)) if site else self.recipe
        with self._progress() as progress:
            return Imagery(open_scene(part, progress, self.out), part.name, self._language)

    def samples(self) -> Labels:
        """Prepare the scene and cut the samples."""
        opened = self._run(())
        if isinstance(opened, SitesRun):
            grids = {name: scene.grid for name, scene in opened.scenes.items()}
            return Labels(opened.joined, grids, self.recipe.name, self._language)
        grids = {"": opened.scene.grid} if opened.scene.ids is None else {}
        return Labels(opened.samples, grids, self.recipe.name, self._language)

    def train(self) -> Training:
        """Train the model on every draw."""
        opened = self._run(("train",))
        draws = opened.joined.draws if isinstance(opened, SitesRun) else opened.samples.draws
        return Training(self.layout, draws, self._title("h_training"), self._language)

    def score(self) -> Accuracy:
        """Train, and measure the accuracy on the test polygons."""
        self._run(("train", "evaluate"))
        with self._progress() as progress:
            Sampled.of_map(self.layout, progress)  # reports a sample of another map
        return Accuracy(self.layout, self._title("h_accuracy"), self._language)

    def season(self, dates: Sequence[date] = (), wanted: float = 0.8, retrain: bool = False) -> Season:
        """Train, and measure the accuracy with the series until each cut-off, as ``bocage season``.

        Parameters
        ----------
        dates
            The cut-offs; empty: the 15th and the last day of the months with new acquisitions, and the last date.
        wanted
            Wanted overall accuracy, and F-measure of each class, above 0 to 1.
        retrain
            Whether a model is also trained for each cut-off, for comparison.

        Raises
        ------
        EvaluationError
            The recipe has no test part, or a cut-off is before the first date of the series.
        SceneError
            No source of the model is a series.
        """
        with self._progress() as progress:
            found = season(self.recipe, self.out, Asked(tuple(dates), wanted, retrain), progress, self.overwrite)
        legend = self.recipe.legend
        colors = dict(zip(legend.names, legend.colors, strict=True))
        return Season(found, colors, self._title("h_season"), self._language)

    def map(self, site: str | None = None) -> LandCover:
        """Train, and map the scene. A recipe with several sites needs the name of one.

        Raises
        ------
        RecipeError
            The recipe has several sites and `site` is None, or no site has this name.
        MappingError
            The sources are tables, which have no map.
        """
        if site is None:
            self.recipe.check_single()
            opened = self._run(("train", "map"))
            if not opened.maps_on_disk():
                raise MappingError("The sources are tables of samples, so no map is computed. Use score().")
            return self._land(self.layout.map.path, self.recipe.name)
        one = self.recipe.find(site)
        self._run(("train",))
        mapped = replace(self, recipe=replace(self.recipe, map=replace(self.recipe.map, sites=(site,))))
        mapped._run(("map",))
        return self._land(self.layout.site(one.slug).map.path, site)

    def finish(self) -> Vectors:
        """Train, map, and regularise, vectorise and sum the map by zone as ``[finish]`` says."""
        self.map()
        with self._progress() as progress:
            layout = finish(self.recipe, self.out, progress)
        return Vectors(layout.finish, self.recipe.name)

    def report(self) -> Report:
        """Run all stages, and write the report."""
        self._run(("train", "evaluate", "map", "report"))
        return Report(self.layout.report)

    def doctor(self) -> Report:
        """Find the reference polygons whose label is doubtful; return the page, beside which the tables are.

        Raises
        ------
        RecipeError
            The recipe has several sites.
        """
        with self._progress() as progress:
            return Report(doctor(self.recipe, self.out, progress, self.overwrite).page)

    def view(self, site: str = "") -> Page:
        """Serve the page of the run as it is now on this computer, as ``bocage view``; no stage is run.

        Raises
        ------
        ViewError
            The page is not part of this installation.
        RunFolderError
            The folder has nothing to show.
        """
        with self._progress() as progress:
            return Page(viewer_of([self.out], site=site, progress=progress))

    def qgis(self, overwrite: bool = False) -> Path:
        """Write the QGIS project of the run as it is now, as ``bocage qgis``, and return its path; no stage is run.

        Parameters
        ----------
        overwrite
            Whether a project that was saved by QGIS since is replaced.

        Raises
        ------
        RunFolderError
            The folder has nothing to show, or the project was saved by QGIS since.
        """
        with self._progress() as progress:
            return project_of(self.out, overwrite=overwrite, progress=progress)

    def _run(self, stages: Sequence[str]) -> Run | SitesRun:
        with self._progress() as progress:
            return run(self.recipe, self.out, stages, progress, self.overwrite)

    @contextmanager
    def _progress(self) -> Iterator[Progress]:
        """Yield the progress of the command line; nothing is shown if the project is quiet."""
        if self.quiet:
            yield QUIET
            return
        with terminal() as progress:
            yield progress

    def _land(self, folder: Path, title: str) -> LandCover:
        return LandCover(open_delivered(folder), title, self._language)

    @property
    def _language(self) -> str:
        return self.recipe.report.language

    def _title(self, key: str) -> str:
        return f"{self.recipe.name}: {words_of(self._language)[key]}"

    def _repr_html_(self) -> str:
        """Return the recipe, the folder and its complete stages."""
        path = self.layout.provenance
        stages = ", ".join(Provenance.load(path).stages) if path.exists() else ""
        text = escape(redacted(self.recipe.text))
        return section(
            self.recipe.name, paragraph(f"{self.out}: {stages}" if stages else str(self.out)), f"<pre>{text}</pre>"
        )
