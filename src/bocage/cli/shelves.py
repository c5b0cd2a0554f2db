"""Commands that list networks, sensors, indices, metrics and writers."""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from bocage.shelf import Shelf


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def models(as_json: bool) -> None:
    """List the networks with their input, size, cost and source.

    Parameters and multiply-adds are counted for the published configuration and input shapes, with 10 classes.
    "(reconstruction)": some layer sizes are not published, and Bocage chose them.
    To use your own network, write 'module:name' in the recipe.

    \b
    Examples:
      bocage models
      bocage models --json > models.json
    """
    from bocage.jobs.models import stored_facts

    found = stored_facts()
    if as_json:
        click.echo(json.dumps([asdict(facts) for facts in found], indent=1, ensure_ascii=False))
        return
    from bocage.cli.tables import print_models

    print_models(found)


def _listing(name: str, load: Callable[[], tuple[Shelf[Any], Callable[[Any], str]]]) -> click.Command:
    """Return the command that lists a shelf, one line per entry."""

    @click.command(name, help=f"List the {name}, one per line. To use your own, write 'module:name' in the recipe.")
    def command() -> None:
        shelf, line = load()
        for key in shelf:
            click.echo(f"{key:18} {line(shelf.get(key))}")

    return command


def _first_line(entry: Any) -> str:
    return (entry.__doc__ or "").strip().splitlines()[0]


def _sensors() -> tuple[Shelf[Any], Callable[[Any], str]]:
    from bocage.sources import SENSORS

    return SENSORS, lambda sensor: str(sensor.SPEC.title)


def _indices() -> tuple[Shelf[Any], Callable[[Any], str]]:
    from bocage.scene.indices import INDICES

    return INDICES, _first_line


def _metrics() -> tuple[Shelf[Any], Callable[[Any], str]]:
    from bocage.evaluation.metrics import METRICS

    return METRICS, _first_line


def _writers() -> tuple[Shelf[Any], Callable[[Any], str]]:
    from bocage.mapping.writers import WRITERS

    return WRITERS, _first_line


sensors = _listing("sensors", _sensors)
indices = _listing("indices", _indices)
metrics = _listing("metrics", _metrics)
writers = _listing("writers", _writers)
