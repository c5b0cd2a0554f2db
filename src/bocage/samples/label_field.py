"""The field of a table of features that contains the class, from the names and the values of the fields."""

import re
import unicodedata
from pathlib import Path

import geopandas as gpd
import pandas as pd

from bocage.errors import SamplesError
from bocage.legend import plain
from bocage.sources.times import years_within

MOST = 1000
"""Maximum number of distinct values of a field that is proposed as label."""
REPEATED = 0.5
"""Least share of features that have their label in common with another one: the values of identifiers differ."""
CROP = (
    r"main_?crop", r"crop_?type", r"crop[_:]?(code|class|id|name|nam)?$", r"specific_?land_?use(_title)?$", r"product",
    r"cultiu|(^|_)cul_", r"gewas|gws", r"afg", r"grdkod", r"kasvi", r"plodin", r"rastlin|sifra_k", r"snar", r"lnf",
    r"nutzung|kulturart", r"crop(?!field)", r"culture",
)  # fmt: skip
"""Patterns of the names of fields with the crop, in order of preference, in the languages of parcel registers."""
LABEL = (
    r"code", r"class", r"label", r"(^|_)lc(_|$)|land_?cover", r"(^|_)ct(_|$)", r"type", r"kode?|koodi", r"cultu|kultur|nutz",
    r"usage|land_?use", r"hbn|symb|(^|_)art(_|$)", r"cdl", r"species|especie|espece|essence|(^|_)clase|cultiv|(^|_)uso(_|$)",
    r"vegetat|habitat|speculation|oc+upa|cobertura|couvert", r"(^|_)(true|truth|gt|reference)(_|$)",
)  # fmt: skip
"""Patterns of the names of other label fields, in order of preference."""
NO_LABEL = (
    r"(^|_)(fold|split|area|aire|surface|flaeche|length|perim|slope|year|jahr|annee|date|objectid|fid|n_\w+|geom\w*|sample|gml|"
    r"status|confidence|colou?r|nuts\d?|region|regione|county|cnty|kanton|provinc\w*|municip\w*|comarca|obec|okres|kraj)(_|$)"
    r"|(_href|codespace|namespace|_uuid)$"
    # parts of the data
    r"|(^|_)(is_?train|subset|partition|holdout|apprentissage|entrenamiento|treino|treinamento|teilmenge)(_|$)"
    r"|^(is_?)?(train|training|test|teste|prueba|valid(ation|ated|ee?|ado|acion|acao)?|val|set|jeu|conjunto|dataset|datensatz)"
    r"(_?(set|flag|train|test|val|valid|validation|part|jeu|conjunto|id))*$"
    # places
    r"|(^|_)(village|commune|departement|district|distrito|localit\w*|localidad\w*|gemeinde|dorf|landkreis|aldea|aldeia|pueblo)(_|$)"
    r"|^(site|sitio|state|estado|country|pays|pais|land|place|zone|zona)(_?(id|no|nr|num|code|name|nom|nombre|nome))?$"
    # persons and methods
    r"|(^|_)(surveyor|observer|interpreter|enumerator|annotator|labell?er|operator|author|user|team|owner|farmer|enqueteur|"
    r"observateur|interprete|photo_?interprete|operateur|auteur|equipe|exploitant|encuestador|entrevistador|observador|operador|"
    r"autor|equipo|beobachter|bearbeiter)(_|$)"
    # how good a label or its image is
    r"|(^|_)(quality|qualite|calidad|qualidade|qualitaet|certainty|certitude|reliability|fiabilite|confiance|confianza|confianca|"
    r"truncated|tronque|truncado)(_|$)"
)
"""Pattern of the names of fields that are no label, even if they have few values; the names are without accents."""
PARTS = (
    r"(train(ing)?|trn|learn(ing)?|test(ing)?|tst|val(id(ation)?)?|dev|eval(uation)?|hold_?out|cal(ibration)?|unused|none|"
    r"apprentissage|entrainement|entrenamiento|prueba|treino|treinamento|teste|validacion|validacao|validierung)[ _-]?\d*"
)
"""Pattern of the values of a field that gives the part of the data of each feature."""
PREDICTED = (
    r"(^|_)(pred|preds|predict\w*|predit\w*|predi[ch]\w*|prevu|previst[oa]|estimat\w*|estime|estimad[oa]|classified|classifie|"
    r"modell?ed|vorhersage)(_|$)"
)
"""Pattern of the names of fields with the predictions of a model, which are proposed last."""
NAME = r"name|nom|label|desc|libel|bez(_|$)|bezeich|nam(_|$)|naz(e|ev|iv)(_|$)|title|trans_n"
"""Pattern of the names of fields with the name of a class."""
CODE = r"cod|kod|koodi|sifra|_id$"
"""Pattern of the names of fields with the code of a class."""
SHOWN = 30
"""Number of characters of a value that a message shows."""
LOST = r"\w\?+\w"
"""Question marks within words: a program wrote them in place of letters that its encoding lacks."""
ODD = 0.1
"""Least share of values with lost letters at which a field with intact ones is preferred."""


def fields_of(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the names of the fields of a table of features."""
    return [str(c) for c in frame.columns if c != frame.geometry.name]


def label_fields(frame: gpd.GeoDataFrame) -> list[str]:
    """Return the fields that look like a class label, the likeliest first.

    Fields named as a crop in one of the languages of parcel registers come first, then other names of labels, then the rest;
    predictions of a model come last.
    Of fields alike, one with fewer missing values and with intact letters is preferred, then a code to a name, then the latest
    year in the names, then the first one.
    """
    fitting = [f for f in fields_of(frame) if _is_category(frame[f])]
    return sorted(fitting, key=lambda f: _order(frame[f]))


def guessed(frame: gpd.GeoDataFrame, path: Path | str) -> str:
    """Return the likeliest label field.

    Raises
    ------
    SamplesError
        No field looks like a label.
    """
    found = label_fields(frame)
    if not found:
        raise SamplesError(
            f"{path}: no field looks like a class; give --label. Its fields: {', '.join(fields_of(frame))}.{_of_one_class(frame)}"
        )
    return found[0]


def _of_one_class(frame: gpd.GeoDataFrame) -> str:
    """Return a sentence on the fields of text with one value, which may be the only class; empty if there is none."""
    found = {field: frame[field].map(plain) for field in fields_of(frame) if not _is_no_label(field)}
    alone = {
        field: values[values != ""].unique() for field, values in found.items() if frame[field].dtype.kind in "OUTb"
    }
    shown = [f"'{field}' ('{values[0][:SHOWN]}')" for field, values in alone.items() if len(values) == 1]
    return f" Fields with one value: {', '.join(shown)}. A classification needs two classes." if shown else ""


def is_named_as_label(field: str) -> bool:
    """Return whether the name of a field suggests a class."""
    return any(re.search(pattern, field, re.I) for pattern in (*CROP, *LABEL))


def is_predicted(field: str) -> bool:
    """Return whether the name of a field suggests predictions of a model."""
    return bool(re.search(PREDICTED, unaccented(field), re.I))


def _is_no_label(field: str) -> bool:
    return bool(re.search(NO_LABEL, unaccented(field), re.I))


def unaccented(text: str) -> str:
    """Return a text without accents.

    >>> unaccented("Enquêteur")
    'Enqueteur'
    """
    return "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))


def lost_letters(values: pd.Series) -> bool:
    """Return whether a field has question marks in place of letters."""
    found = pd.Series(values.map(plain).unique())
    return bool(len(found)) and bool(found.str.contains(LOST, regex=True).mean() >= ODD)


def year_in(name: str) -> int | None:
    """Return the year in the name of a field, for example of ``CDL2024``; None if there is none."""
    return next(iter(years_within(name)), None)


def _order(column: pd.Series) -> tuple[bool, int, bool, bool, bool, bool, int]:
    name = str(column.name)
    patterns = (*CROP, *LABEL)
    rank = next((i for i, pattern in enumerate(patterns) if re.search(pattern, name, re.I)), len(patterns))
    missing = bool(column.map(plain).eq("").mean() > 0.5)
    is_name, is_code = (bool(re.search(pattern, name, re.I)) for pattern in (NAME, CODE))
    return is_predicted(name), rank, missing, lost_letters(column), is_name, not is_code, -(year_in(name) or 0)


def _is_category(column: pd.Series) -> bool:
    """Return whether a field may be a label: 2 or more values, repeated, neither dates nor measurements nor parts of the data."""
    if column.dtype.kind in "mM" or _is_no_label(str(column.name)):
        return False
    values = column.map(plain)
    values = values[values != ""]
    if all(re.fullmatch(PARTS, unaccented(value), re.I) for value in values.unique()):
        return False
    if column.dtype.kind == "f" and values.str.contains(".", regex=False).any():
        return False
    return 2 <= values.nunique() <= MOST and bool(values.duplicated(keep=False).mean() >= REPEATED)
