"""Texts in two languages: complete, written by the rules of each, and filled with numbers as each writes them."""

import ast
import re
from pathlib import Path

import pytest

import bocage
from bocage.words import LANGUAGES, Note, number, percent, sentence, whole, words_of

FIELDS = re.compile(r"\{\w+(?::[^}]*)?\}")
SAME = {
    "axis_date", "axis_validation", "doctor_pixels", "doctor_pixels_one", "h_dates", "h_provenance", "h_sources", "metric_kappa", "note_advice", "note_pixels", "note_pixels_one",
    "note_text", "pixels", "source",
    "split_test", "split_validation", "stage_importance", "t_dates", "t_dates_one", "total", "view_attention", "view_date", "view_part_test",
    "view_part_validation", "view_pixel",
}  # fmt: skip
"""Keys of texts that are the same words in English and French."""


def test_every_language_has_the_same_keys_and_fields():
    first = words_of("en")
    for language in LANGUAGES[1:]:
        other = words_of(language)
        assert set(other) == set(first)
        for key, text in first.items():
            assert set(FIELDS.findall(other[key])) == set(FIELDS.findall(text)), key
            assert other[key].strip(), key


def test_french_is_not_english():
    english, french = words_of("en"), words_of("fr")
    assert {key for key in english if english[key] == french[key]} == SAME


def test_french_typography():
    """A no-break space before signs and units, and inside quotation marks."""
    faults = re.compile(r"(?<![\u00a0\u202f])[:;?!%±»]|«(?!\u00a0)|0 (?:m|m²|px|ha|km²|Go|s)(?!\w)")
    for key, text in words_of("fr").items():
        prose = re.sub(r'\[[^]]*\]|"[^"]*"', "", FIELDS.sub("0", text))  # settings are written as in a recipe
        assert not faults.search(prose), key


def test_every_stage_has_a_name():
    stages = set()
    for folder in ("run", "jobs"):
        for path in (Path(bocage.__file__).parent / folder).glob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
                    first = node.args[0].values[0] if isinstance(node.args[0], ast.JoinedStr) else node.args[0]
                    if node.func.attr in ("once", "timed", "need", "note") and isinstance(first, ast.Constant):
                        stages.add(str(first.value).partition("/")[0])
    assert {"prepare", "train", "vote", "doctor", "region", "features", "accuracy"} <= stages
    for language in LANGUAGES:
        assert not {stage for stage in stages if f"stage_{stage}" not in words_of(language)}


def _calls(function):
    """Arguments of every call of ``<class>.<function>`` in the package, where the class is Note or Finding."""
    for path in Path(bocage.__file__).parent.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if function in text:
            for node in ast.walk(ast.parse(text)):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
                    yield node.args


def _codes(node):
    """Literal codes of an expression: a text, a choice between texts, or the code of a note."""
    if isinstance(node, ast.Constant):
        return [node.value]
    if isinstance(node, ast.IfExp):
        return _codes(node.body) + _codes(node.orelse)
    return _codes(node.args[0]) if isinstance(node, ast.Call) and ast.unparse(node.func) == "Note.of" else []


@pytest.mark.slow
def test_every_code_of_the_package_has_a_text():
    codes = [code for arguments in _calls("Note.of") for code in _codes(arguments[0])]
    for severity, where, what, *remedy in _calls("Finding.of"):
        assert severity, where
        codes += _codes(remedy[0]) if remedy else [f"{code}_remedy" for code in _codes(what)]
    codes += [code for _, _, *remedy in _calls("Finding.quoting") for code in (_codes(remedy[0]) if remedy else [])]
    assert len(codes) > 60
    assert {f"note_{code}" for code in codes} <= set(words_of("en"))


def test_numbers_of_each_language():
    assert (whole(1234567, "en"), whole(1234567, "fr")) == ("1234567", "1\u202f234\u202f567")
    assert (number(-1234.5, "fr", 1), number(999, "fr", 0)) == ("-1\u202f234,5", "999")
    assert (percent(0.5, "en", 0), percent(0.5, "fr"), percent(None, "fr")) == ("50 %", "50,0\u00a0%", "–")
    quantity = Note.of("quantity_reflectance")
    note = Note.of("out_of_range", share=2.6, low=-0.2, high=1.5, p1=0.25, p99=3210.7, quantity=quantity)
    assert "3 % of the values are outside -0.2 to 1.5" in str(note)
    assert str(note).endswith("0.25 and 3211")
    assert note.text("fr").startswith("3\u00a0% des valeurs sont hors de l'intervalle de -0,2 à 1,5")
    assert note.text("fr").endswith("0,25 et 3\u202f211")


def test_values_in_text_keep_their_form():
    files = ("B04_0.5.tif", "B08_0.5.tif")
    note = Note.of("nodata_undeclared", share=12.0, value="0.5", name="s2", files=files)
    assert "valeur 0.5 (B04_0.5.tif, B08_0.5.tif)" in note.text("fr"), "names, and values to copy into the recipe"


@pytest.mark.parametrize(
    ("language", "one", "two"), [("en", "1 polygon", "2 polygons"), ("fr", "1 polygone", "2 polygones")]
)
def test_a_single_one(language, one, two):
    assert sentence("note_polygons", language, n=1) == one
    assert sentence("note_polygons", language, n=2) == two
    assert Note.of("rejected", count=Note.of("polygons", n=1), reason="?").text(language).startswith(one)
