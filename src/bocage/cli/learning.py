"""Commands for trained networks: adapt, pretrain, embed, export."""

from pathlib import Path

import click

from bocage.cli.options import ALLOW, DEVICES, OUT, OVERWRITE, RECIPE, SET, SITE, opened, out_option
from bocage.cli.terminal import started, terminal
from bocage.layout import ModelLayout, RunLayout


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option(
    "--scene", "recipe", required=True, type=click.Path(path_type=Path), help="Recipe of the scene to adapt to."
)
@click.option("--polygons", is_flag=True, help="Also train on the recipe's reference polygons.")
@click.option("--always", is_flag=True, help="Adapt also where no gain is expected.")
@SET
@SITE
@out_option("Folder of the adapted model [default: runs/<name of the recipe>-adapted].")
@OVERWRITE
@ALLOW
def adapt(model: Path, recipe: Path, site: str | None, out: Path | None, overwrite: bool, **given: bool) -> None:
    """Adapt a trained network to another year or region, if a gain is expected.

    The command estimates the accuracy of the network on the scene, without labels. If the scene differs from that of
    the training so much that an adaptation is expected to help, the network is trained on its most confident
    predictions for pixels of the scene. Otherwise, the folder gets the network as it is, and the report says why.

    With --polygons, the network is also trained on the reference polygons of the scene, even if they are few. With
    --polygons or --always, it is always adapted. The command uses the sources and the grid of the recipe, and
    [reference] with --polygons.

    \b
    Examples:
      bocage adapt runs/2022/splits/0/model --scene 2023.toml --out runs/2023
      bocage adapt runs/2022/splits/0/model --scene 2023.toml --always --out runs/2023-always
      bocage adapt runs/2022/splits/0/model --scene 2023.toml --polygons --out runs/2023-polygons
      bocage map 2023.toml --model runs/2023/model --out runs/2023
    """
    parsed = opened(recipe, site)
    from bocage.jobs.adapt import adapt_to
    from bocage.training import Adapting

    folder = out or parsed.out.with_name(f"{parsed.out.name}-adapted")
    with terminal() as progress:
        adapt_to(
            parsed, model, folder, Adapting(polygons=given["polygons"], always=given["always"]), progress, overwrite
        )
    click.echo(f"model: {RunLayout(folder).own.model.path}")


@click.command()
@RECIPE
@OUT
@OVERWRITE
@click.option(
    "--pixels",
    type=click.IntRange(256),
    default=16_384,
    show_default=True,
    help="Number of pixels drawn from the scene, inside [map] region if there is one.",
)
@click.option("--epochs", type=click.IntRange(1), default=20, show_default=True, help="Number of epochs.")
@DEVICES
def pretrain(recipe: Path, out: Path | None, overwrite: bool, pixels: int, epochs: int, devices: int | None) -> None:
    """Pretrain a network without labels.

    Use it if you have few polygons. The network learns to reconstruct masked dates and sources. 'bocage train' and
    'bocage run' in the same folder start from the pretrained encoder. Another run can use it with [training]
    pretrained = "<folder>/pretrained". The reference polygons are not read.

    \b
    Examples:
      bocage pretrain recipe.toml && bocage run recipe.toml
      bocage pretrain recipe.toml --out runs/first --pixels 131072
    """
    parsed = opened(recipe, devices=devices)
    from bocage.jobs.pretrain import pretrain_on
    from bocage.training import Pretraining

    folder = out or parsed.out
    with terminal() as progress:
        pretrain_on(parsed, folder, Pretraining(pixels=pixels, epochs=epochs), progress, overwrite)
    click.echo(f"pretrained encoder: {RunLayout(folder).pretrained.path}")


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--scene", "recipe", required=True, type=click.Path(path_type=Path), help="Recipe of the scene.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder of the raster.")
@SET
@SITE
@OVERWRITE
@ALLOW
def embed(model: Path, recipe: Path, site: str | None, out: Path, overwrite: bool) -> None:
    """Write the features of a network as a raster.

    MODEL is the folder of a pretraining, of a model or of a run, or a TOML file that declares an ONNX graph and its
    inputs. The raster has a band for each feature, on the grid of
    the map, and is a source of other recipes with the sensor image. The network must have an encoder (patchwork). The
    reference polygons are not read.

    \b
    Examples:
      bocage embed runs/start --scene recipe.toml --out features
      bocage embed runs/start/pretrained --scene next_year.toml --out features_2023
    """
    parsed = opened(recipe, site)
    from bocage.jobs.embed import embed as write

    with terminal() as progress:
        path = write(parsed, model, out, progress, overwrite)
    click.echo(f"features: {path}")
    click.echo(f'As a source of a recipe: sensor = "image", path = "{path}"')


@click.command()
@click.argument("model", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.argument("folder", type=click.Path(path_type=Path))
@ALLOW
def export(model: Path, folder: Path) -> None:
    """Export a trained network to ONNX.

    MODEL is the folder of a model or of a run. Writes its network, with a STAC item (MLM extension), to a new FOLDER.
    The logits of the ONNX graph are compared with those of PyTorch before the files are kept. Random forests and
    boosted trees cannot be exported.

    \b
    Examples:
      bocage export runs/demo exported/
      bocage export runs/demo/splits/3/model exported/
    """
    started(f"export of {model}")
    from bocage.training import Trained
    from bocage.training.export import GRAPH, ITEM
    from bocage.training.export import export as write

    trained = Trained.load(ModelLayout.of(model).path)
    write(trained, folder)
    click.echo(f"{folder / GRAPH}: {trained.name}, same logits as PyTorch within 1e-4")
    click.echo(f"{folder / ITEM}: STAC item")
