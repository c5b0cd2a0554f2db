"""Colours of classes by their names: water blue, forest green. All are colours of the palette, so that they can be told apart."""

import re
from collections.abc import Sequence

from bocage.legend import PALETTE, plain

KINDS = {
    "#20476e": "water river lake pond sea ocean reservoir canal eau rivière fleuve lac étang mer agua água río lago wasser",
    "#34f7d0": "wetland marsh swamp mangrove flooded marais marécage humide inondé humedal manglar pântano feuchtgebiet",
    "#6ebd82": "forest wood woodland tree forêt bois boisé arbre bosque floresta wald baum",
    "#a9e46e": "grass grassland meadow pasture herbaceous prairie herbe pelouse pâturage pâture pasto pastagem grünland wiese",
    "#a98220": "shrub shrubland bush scrub heath savanna savannah lande arbuste broussaille savane maquis matorral cerrado",
    "#d04747": "urban built built-up developed building settlement artificial bâti urbain construit artificiel urbano siedlung",
    "#d0965b": "bare soil sand sediment rock quarry nu sable roche carrière suelo arena solo areia boden",
    "#96f7f7": "snow ice glacier neige glace nieve hielo neve gelo schnee eis",
    "#e4bd20": "wheat barley cereal crop agriculture blé orge céréale culture agricole trigo cultivo weizen getreide acker",
}
"""Colour of the palette → words for which it is expected, in the singular, in several languages."""
_COLOR_OF = {plain(word).casefold(): color for color, words in KINDS.items() for word in words.split()}


def colors_of(names: Sequence[str]) -> tuple[str, ...]:
    """Return a colour ``#rrggbb`` of the palette for each class, each used once; none if no name is known or there are too many.

    A class gets the colour of the first word in its name that has one, unless an earlier class has it. The other
    classes get what is left, in the order of the palette.

    >>> colors_of(["Forêt dense", "maize", "rivers"])
    ('#6ebd82', '#e4bd20', '#20476e')
    >>> colors_of(["maize", "teff"])
    ()
    """
    wanted = [_expected(name) for name in names]
    if not any(wanted) or len(names) > len(PALETTE):
        return ()
    given: dict[int, str] = {}
    for i, color in enumerate(wanted):
        if color and color not in given.values():
            given[i] = color
    free = iter(color for color in PALETTE if color not in given.values())
    return tuple(given.get(i) or next(free) for i in range(len(names)))


def _expected(name: str) -> str:
    for word in re.findall(r"\w[\w-]*", plain(name).casefold()):
        if found := _COLOR_OF.get(word) or _COLOR_OF.get(word.removesuffix("s")) or _COLOR_OF.get(word.split("-")[0]):
            return found
    return ""
