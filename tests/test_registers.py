"""Vector files as registers of parcels publish them: archives, layers, GML, lost letters, and which field is the label."""

import io
import zipfile

import geopandas
import pandas as pd
import pytest
import shapely
from affine import Affine

from bocage.cli import main
from bocage.errors import FinishError, MappingError, SamplesError
from bocage.finish.zones import read_zones
from bocage.grid import Grid
from bocage.jobs.check import check
from bocage.jobs.init import write_recipe
from bocage.mapping.region import read_region
from bocage.progress import QUIET
from bocage.samples.labels import read_labels
from bocage.sources import history, open_source, regions
from bocage.testing.fakes import CORNER
from bocage.vectorfile import address_of, layer_of
from test_init import parcels, series

REGISTERS = {
    "at/inspire_schlaege_2025-1_polygon.gpkg.zip": ("SNAR_CODE", "SNAR_BEZEICHNUNG", 15),
    "at_block/inspire_referenzen_2021_polygon.gpkg.zip": ("REF_ART", "REF_ART_BEZEICHNUNG", 3),
    "be_vlg/Landbouwgebruikspercelen_2023_-_Definitief_(extractie_28-03-2024)_GPKG.zip": ("GWSCOD_H", "GWSNAM_H", 15),
    "be_wal/LU_ExistingLandUse_SIGEC2022.gml.zip": ("specificLandUse_title", "", 3),
    "bg/bg_arable_land_2024.zip": ("USAGEENG", "", 3),
    "br_ba_lem/LEM_dataset.zip": ("Jan_2020", "", 9),
    "ch/lwb_nutzungsflaechen_v2_0_lv95.gpkg": ("lnf_code", "nutzung", 2),
    "cz/bd51ec4dea8697946b9a570a6b7c9fe587e2f8334cee74778d2339da43178d38": ("PLODINA_ID", "PLOD_NAZE", 23),
    "de_bb/antrag.zip": ("code", "code_bez", 15),
    "de_sh/Feldbloecke_2026_GPKG.zip": ("HBN", "", 3),
    "dk/Marker_2026.zip": ("Afgkode", "Afgroede", 21),
    "ec_lv/LV_2021.zip": ("PRODUCT_CO", "EC_trans_n", 20),
    "ec_ro/RO_ny.zip": ("LC_MAPCODE", "EC_trans_n", 16),
    "ec_si/SI_2021.zip": ("SIFRA_KMRS", "RASTLINA", 15),
    "es_cat/Cultius_DUN2023_GPKG.zip": ("cultiu", "", 2),
    "fi/LandUse.ExistingLandUse.GSAAAgriculturalParcel.gpkg": ("KASVIKOODI", "KASVIKOODI_SELITE_FI", 19),
    "hr/land_parcels.gpkg": ("land_use_id", "", 6),
    "ie/GSAA_2024.zip": ("specificLandUse_title", "", 12),
    "it_1/iti1_2023.parquet": ("original_code", "", 17),
    "jecam/BD_JECAM_CIRAD_2023_feb.shp": ("CropType1", "", 13),
    "jp/jp_field_polygons_2024.parquet": ("land_type", "land_type_jp", 2),
    "lt/LT_2024.zip": ("crop_name", "", 13),
    "lv/1_100.xml": ("PRODUCT_CODE", "PRODUCT_DESCRIPTION", 6),
    "nl/brpgewaspercelen_definitief_2023.gpkg": ("gewascode", "gewas", 16),
    "nl_block/referentiepercelen.gpkg": ("type", "", 2),
    "nz/irrigated-land-area-raw-2020-update.zip": ("type", "", 4),
    "se/se2023.zip": ("grdkod_mar", "", 6),
    "sk/003b211508235a729804b1d7db871e8928250ed76d7058a36c73cb65a3c7d04c": ("PLODINA", "", 14),
    "us_ca_scm/i15_crop_mapping_2023_provisional_20241127.gdb.zip": ("MAIN_CROP", "", 9),
    "us_usda_cropland/NationalCSB_2017-2024_rev23.zip": ("CDL2024", "", 8),
}
"""File → label field, field beside it, number of classes in the extract."""
REFUSED = {
    "ai4sf/1_vietnam_areas.gpkg": "no field looks like a class; give --label. Its fields: id, country, _predicate",
    "ai4sf/4_cambodia_areas.gpkg": "no field looks like a class",
    "fr/RPG_2-0__GPKG_LAMB93_FXX_2022-01-01.7z.001": "is a 7-Zip archive. Unpack it",
    "india_10k/india_10k.zip": "no field looks like a class; give --label. Its fields: area, sample",
    "pt/Continente.gpkg": r"has 2 layers with features: Culturas_Aveiro \(100 features\), OcupacoesSolo",
    "si/KMRS_2023.rar": "is a RAR archive. Unpack it",
}
"""File → why it gives no legend: fields without a class, two layers to choose from, archives that GDAL does not open."""


@pytest.mark.parametrize("name", REGISTERS)
def test_the_legend_of_a_register_is_proposed(data, name):
    path = data / "registers" / name
    before = sorted(path.parent.iterdir())
    labels = read_labels(path)
    assert (labels.reference.label, labels.beside, len(labels.classes)) == REGISTERS[name]
    assert labels.has_geometry
    assert labels.frame.crs is not None
    assert sorted(path.parent.iterdir()) == before, "GDAL writes no file beside the data"


@pytest.mark.parametrize("name", REFUSED)
def test_a_register_without_a_legend_is_one_line(data, name):
    with pytest.raises(SamplesError, match=REFUSED[name]) as caught:
        read_labels(data / "registers" / name)
    assert "\n" not in str(caught.value)


def test_every_register_is_tried(data):
    files = {p.relative_to(data / "registers").as_posix() for p in (data / "registers").glob("*/*")}
    tried = REGISTERS.keys() | REFUSED.keys()
    rest = [name for name in files - tried if not name.startswith("jecam/")]
    assert all(name.endswith(".csv") for name in rest), "code lists, without geometry"
    assert tried <= files
    assert not read_labels(data / "registers" / "fr/fr_2018.csv").has_geometry


def test_a_layer_of_a_register_is_chosen_and_lost_letters_are_remarked(data):
    labels = read_labels(data / "registers" / "pt/Continente.gpkg", layer="Culturas_Aveiro")
    assert (labels.reference.label, labels.beside, len(labels.classes)) == ("CUL_CODIGO", "CT_português", 19)
    slovak = next((data / "registers/sk").iterdir())
    assert any("'?' in place of letters" in remark for remark in read_labels(slovak).remarks)


# --- archives
def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def shapefile(folder, name="fields"):
    geopandas.read_file(parcels(folder)).to_file(folder / f"{name}.shp")
    return {f"{name}{end}": (folder / f"{name}{end}").read_bytes() for end in (".shp", ".shx", ".dbf", ".prj")}


def test_an_archive_is_read_whatever_its_name_and_folders(tmp_path):
    parts = {f"deep/in/{name}": content for name, content in shapefile(tmp_path).items()}
    plain = zipped(tmp_path / "0d4f", {"deep/readme.txt": b"-", "__MACOSX/deep/._fields.shp": b"-", **parts})
    package = zipped(tmp_path / "p.zip", {"a b/parcels.gpkg": (tmp_path / "parcels.gpkg").read_bytes()})
    columns = io.BytesIO()
    geopandas.read_file(tmp_path / "parcels.gpkg").to_parquet(columns)
    parquet = zipped(tmp_path / "q.zip", {"x.geoparquet": columns.getvalue()})
    for path in (plain, package, parquet):
        assert [c.name for c in read_labels(path).classes] == ["maize", "meadow", "water"]


def test_an_archive_labels_the_pixels_of_a_run(tmp_path):
    series(tmp_path / "images")
    path = zipped(tmp_path / "register.zip", shapefile(tmp_path))
    write_recipe(tmp_path / "images", path, "", tmp_path / "r.toml")
    assert not check(tmp_path / "r.toml").has_errors


def test_an_archive_gives_regions_and_zones_too(tmp_path):
    path = zipped(tmp_path / "regions.zip", {f"in/{name}": content for name, content in shapefile(tmp_path).items()})
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (40, 40))
    assert read_region(path, "", "", grid).inside(grid, grid.window).sum() == 12 * 9
    assert len(read_zones(path, "crop", grid, QUIET).names) == 12
    assert regions.open("zones", regions.Settings(path, "crop")).bands == ("maize", "meadow", "water")


@pytest.mark.parametrize("packed", [False, True])
def test_a_geoparquet_file_gives_regions_and_zones_too(tmp_path, packed):
    """GDAL as pyogrio has it reads no Parquet. The order of the features, days and lists are kept."""
    frame = geopandas.read_file(parcels(tmp_path))
    frame["fid"], frame["seen"] = frame.index // 2, pd.Timestamp("2022-01-01")
    frame["years"] = [[2021, 2022]] * len(frame)
    frame["point"] = frame.centroid
    path = tmp_path / "fields.parquet"
    frame.to_parquet(path)
    if packed:
        path = zipped(tmp_path / "fields.zip", {"in/fields.parquet": path.read_bytes()})
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (40, 40))
    assert read_region(path, "", "crop = 'water'", grid).inside(grid, grid.window).sum() == 4 * 9
    for field, expected in {
        "crop": frame.crop,
        "fid": frame.fid.astype(str),
        "seen": ["2022-01-01"] * 12,
        "years": ["2021, 2022"] * 12,
    }.items():
        zones = read_zones(path, field, grid, QUIET)
        assert zones.names == tuple(expected)
        assert [shape.equals(own) for shape, own in zip(zones.shapes, frame.geometry, strict=True)] == [True] * 12
    assert regions.open("zones", regions.Settings(path, "crop")).bands == ("maize", "meadow", "water")
    past = open_source(
        "past",
        history,
        history.Settings({"w": ("water",)}, path=path, fields={"2021": "crop"}, missing=("maize", "meadow")),
    )
    assert past.read(grid, grid.window)[1].sum() == 4 * 9


def test_a_condition_on_a_field_that_is_not_read_selects_features_of_flatgeobuf(tmp_path):
    frame = geopandas.read_file(parcels(tmp_path)).assign(year=2021)
    frame.to_file(path := tmp_path / "fields.fgb")
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (40, 40))
    assert read_region(path, "", "year = 2021 and crop = 'water'", grid).inside(grid, grid.window).sum() == 4 * 9
    assert len(regions.open("zones", regions.Settings(path, "crop", where="year = 2021")).bands) == 3


def test_a_geoparquet_file_that_changed_is_read_again_and_another_parquet_file_is_refused(tmp_path):
    frame, path = geopandas.read_file(parcels(tmp_path)), tmp_path / "fields.parquet"
    grid = Grid.of("EPSG:32740", Affine(10, 0, CORNER[0], 0, -10, CORNER[1]), (40, 40))
    for count in (12, 5):
        frame[:count].to_parquet(path)
        assert len(read_zones(path, "crop", grid, QUIET)) == count
    frame.drop(columns="geometry").to_parquet(path)
    with pytest.raises(
        FinishError, match=r"cannot be read as GeoParquet: Missing geo metadata.*Convert it to a GeoPackage"
    ):
        read_zones(path, "crop", grid, QUIET)
    with pytest.raises(MappingError, match="cannot be read as GeoParquet"):
        read_region(path, "", "", grid)


def test_the_shapefiles_of_an_archive_are_its_layers(tmp_path):
    files = {**shapefile(tmp_path, "crops"), **shapefile(tmp_path, "blocks")}
    path = zipped(tmp_path / "two.zip", files)
    with pytest.raises(SamplesError, match="2 layers with features: .*crops"):
        read_labels(path)
    assert layer_of(path, "crops", "").name == "crops"
    assert len(read_labels(path, layer="crops").frame) == 12


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("x.rar", b"Rar!\x1a\x07\x01\x00", "is a RAR archive. Unpack it and give the vector file in it"),
        ("x.7z.001", b"7z\xbc\xaf\x27\x1c\x00\x04", "is a 7-Zip archive. Unpack it"),
        ("x.zip", b"PK\x03\x04" + bytes(40), "is no complete zip archive"),
    ],
)
def test_other_archives_and_truncated_ones_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SamplesError, match=message):
        read_labels(tmp_path / name)


def test_an_archive_without_one_vector_file_is_refused(tmp_path):
    with pytest.raises(SamplesError, match="contains no vector file"):
        read_labels(zipped(tmp_path / "a.zip", {"readme.txt": b""}))
    two = {"a.gpkg": b"", "b/c.geojson": b""}
    with pytest.raises(SamplesError, match=r"contains 2 vector files: a.gpkg, b/c.geojson"):
        read_labels(zipped(tmp_path / "b.zip", two))


def test_a_workbook_is_a_zip_archive_that_gdal_opens_itself(tmp_path):
    assert address_of(zipped(tmp_path / "codes.xlsx", {"xl/x.json": b""})) == str(tmp_path / "codes.xlsx")


# --- layers and GML
def test_a_layer_without_features_or_of_one_feature_is_no_choice(tmp_path):
    path = parcels(tmp_path)
    frame = geopandas.read_file(path)
    frame.iloc[:1].to_file(path, layer="outline", mode="a")
    frame.iloc[:0].to_file(path, layer="empty", mode="a")
    labels = read_labels(path)
    assert (labels.reference.layer, len(labels.frame)) == ("parcels", 12)
    assert read_labels(tmp_path / parcels(tmp_path).name, layer="parcels").reference.layer == "parcels"


GML = """<?xml version="1.0"?><gml:FeatureCollection xmlns:gml="http://www.opengis.net/gml/3.2"
 xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:lu="http://x/lu">{}</gml:FeatureCollection>"""
PARCEL = """<gml:featureMember><lu:Parcel gml:id="p{k}"><lu:name>one</lu:name><lu:name>two</lu:name>
<lu:specificLandUse xlink:title="{crop}" xlink:href="http://x"/><lu:geometry><gml:Polygon srsName="EPSG:32631"><gml:exterior>
<gml:LinearRing><gml:posList>0 {k} 9 {k} 9 {end} 0 {k}</gml:posList></gml:LinearRing></gml:exterior></gml:Polygon></lu:geometry>
</lu:Parcel></gml:featureMember>"""


def test_the_crop_in_an_attribute_of_gml_is_read_and_no_file_written(tmp_path):
    members = [PARCEL.format(k=k, end=k + 1, crop=crop) for k, crop in enumerate(["oats", "rye"] * 3)]
    path = tmp_path / "lu.gml"
    path.write_text(GML.format("".join(members)))
    labels = read_labels(path)
    assert (labels.reference.label, labels.counts) == ("specificLandUse_title", (3, 3))
    assert labels.frame["name"][0] == "one, two", "a list is text"
    assert [file.name for file in tmp_path.iterdir()] == ["lu.gml"]


# --- the label field
def labelled(tmp_path, **fields):
    frame = geopandas.GeoDataFrame(fields, geometry=[shapely.box(0, k, 1, k + 1) for k in range(12)], crs="EPSG:32631")
    frame.to_file(tmp_path / "x.gpkg")
    return read_labels(tmp_path / "x.gpkg")


@pytest.mark.parametrize(
    ("fields", "label"),
    [
        ({"status_code": ["a", "b"] * 6, "crop_name": ["rye", "oats"] * 6}, "crop_name"),
        ({"code_bez": ["rye", "oats"] * 6, "code": ["088", "003"] * 6}, "code"),
        ({"CDL2023": [1, 2] * 6, "CDL2024": [1, 3] * 6}, "CDL2024"),
        ({"gewas_n": ["x", "y"] + [None] * 10, "gewas": ["x", "y"] * 6}, "gewas"),
        ({"usage": ["bl? d'hiver x?y", "ma?s"] * 6, "usage_en": ["wheat", "maize"] * 6}, "usage_en"),
        ({"region": ["x", "y"] * 6, "kind": ["a", "b"] * 6}, "kind"),
    ],
)
def test_of_several_fields_the_crop_is_the_label(tmp_path, fields, label):
    assert labelled(tmp_path, **fields).reference.label == label


def test_values_that_are_seldom_repeated_are_identifiers(tmp_path):
    with pytest.raises(SamplesError, match="no field looks like a class"):
        labelled(tmp_path, parcel_code=[1, 1, *range(2, 12)])


def test_names_with_intact_letters_are_preferred_and_lost_ones_remarked(tmp_path):
    names = {"crop_code": [1, 2] * 6, "crop_desc": ["Mie?i", "r?dzi"] * 6}
    assert any("'?' in place of letters" in remark for remark in labelled(tmp_path, **names).remarks)
    intact = labelled(tmp_path, **names, trans_n=["barley", "rye"] * 6)
    assert (intact.beside, intact.remarks) == ("trans_n", [])


def test_labels_of_several_dates_are_remarked(tmp_path):
    labels = labelled(tmp_path, CDL2023=[1, 2] * 6, CDL2024=[1, 1, 3] * 4)
    assert labels.remarks == [
        "the label field 'CDL2024' is one of several dates; for another one give --label: CDL2023"
    ]
    assert labels.years == (2024,)


# --- init --reference
def test_init_prints_what_a_reference_offers(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    path = parcels(tmp_path, code=["a", "b", "c"] * 4)
    assert main(["init", "--reference", str(path), "--label", "crop"]) == 0
    seen = capsys.readouterr().out
    for text in (
        "12 features (12 Polygon; EPSG:32740)",
        "code: 3 values (a, b, c)",
        "Label field: 'crop'",
        "4      1 maize",
    ):
        assert text in seen
    assert [file.name for file in tmp_path.iterdir()] == ["parcels.gpkg"], "no recipe is written"
    assert main(["init", str(tmp_path), str(path), "--reference", str(path)]) == 2
    assert main(["init", str(tmp_path)]) == 2


def test_init_says_that_a_code_list_labels_no_pixel(tmp_path, capsys):
    pd.DataFrame({"code": [1, 2] * 3, "name": ["rye", "oats"] * 3}).to_csv(tmp_path / "codes.csv", index=False)
    assert main(["init", "--reference", str(tmp_path / "codes.csv")]) == 0
    assert "no geometry, so they label no pixel" in capsys.readouterr().out
