"""Plugin of QGIS: the commands of Bocage as algorithms of Processing. Bocage itself runs in an environment of its own."""


def classFactory(interface):
    """Return the plugin."""
    from .plugin import Plugin

    return Plugin()
