"""Read a table of reference polygons from a PostGIS database."""

import re
from typing import Any
from urllib.parse import unquote

import geopandas as gpd

from bocage.errors import SamplesError
from bocage.redaction import redacted_address

POSTGIS = re.compile(
    r"postgres(?:ql)?(?:\+psycopg)?://(?:(?P<user>[^:@/?]*)(?::(?P<password>[^?]*(?=@)))?@)?(?P<place>.*)",
    re.I | re.S,
)
"""Address of a database. Blanks, ``@`` and ``/`` in a password need no percent-encoding."""


def read_table(address: str, table: str) -> gpd.GeoDataFrame:
    """Return all features and fields of a table of a database; `table` may begin with its schema.

    Raises
    ------
    SamplesError
        The packages for databases are not installed, no table is given, or it cannot be read.
    """
    shown = redacted_address(address)
    try:
        import sqlalchemy
    except ImportError as error:
        raise SamplesError("Reading PostGIS needs two more packages: pip install 'bocage[postgis]'.") from error
    if not table:
        raise SamplesError(f'{shown}: no table is given. Set [reference] layer = "schema.table".')
    try:
        engine = sqlalchemy.create_engine(_engine_url(address))
        name = ".".join('"' + part.replace('"', '""') + '"' for part in table.split("."))
        return gpd.read_postgis(f"SELECT * FROM {name}", engine, geom_col=_geometry_column(engine, table))
    except SamplesError:
        raise
    except Exception as error:
        first = str(error).splitlines()[0]
        raise SamplesError(f"{shown}, table {table}: {first}.") from error


def _engine_url(address: str) -> Any:
    """Return the address for SQLAlchemy, whose own parser ends a password at the first ``@``."""
    import sqlalchemy

    match = POSTGIS.fullmatch(address)
    assert match
    user, password = (None if part is None else unquote(part) for part in (match["user"], match["password"]))
    return sqlalchemy.make_url(f"postgresql+psycopg://{match['place']}").set(username=user, password=password)


def _geometry_column(engine: Any, table: str) -> str:
    import sqlalchemy

    schema, _, name = table.rpartition(".")
    query = sqlalchemy.text(
        "SELECT f_geometry_column FROM geometry_columns "
        "WHERE f_table_name = :table AND (:schema = '' OR f_table_schema = :schema)"
    )
    with engine.connect() as connection:
        found = connection.execute(query, {"table": name, "schema": schema}).scalars().all()
    if not found:
        raise SamplesError(f"The database has no table '{table}' with a geometry column. Check [reference] layer.")
    return str(found[0])
