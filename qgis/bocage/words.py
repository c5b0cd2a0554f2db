"""The texts of the plugin, in English and French."""

from qgis.core import QgsApplication

WORDS = {
    "setting": ("Command 'bocage'", "Commande « bocage »"),
    "no_command": (
        "The command 'bocage' was not found. Install Bocage, and give the path of its command in Settings, Options, "
        "Processing, Providers, Bocage: <environment>/bin/bocage, or <environment>\\Scripts\\bocage.exe.",
        "La commande « bocage » est introuvable. Installez Bocage et donnez le chemin de sa commande dans Préférences, "
        "Options, Traitements, Fournisseurs de traitements, Bocage : <environnement>/bin/bocage, ou "
        "<environnement>\\Scripts\\bocage.exe.",
    ),
    "wrong_command": (
        "{path} does not exist or cannot be executed. Correct the path in Settings, Options, Processing, Providers, Bocage.",
        "{path} n'existe pas ou n'est pas exécutable. Corrigez le chemin dans Préférences, Options, Traitements, "
        "Fournisseurs de traitements, Bocage.",
    ),
    "not_started": ("{path} cannot be started: {why}", "{path} ne peut pas être lancé : {why}"),
    "cancelled": (
        "Cancelled. Completed work is kept: run the algorithm again to resume.",
        "Annulé. Le travail terminé est conservé : relancez l'algorithme pour reprendre.",
    ),
    "failed": ("Bocage ended with the exit code {code}.", "Bocage s'est arrêté avec le code {code}."),
    "not_a_file": (
        "The layer '{name}' is not read from a vector file. Save it as GeoPackage first.",
        "La couche « {name} » ne vient pas d'un fichier vecteur. Enregistrez-la d'abord en GeoPackage.",
    ),
    "not_loaded": ("The project cannot be opened: {path}", "Le projet ne peut pas être ouvert : {path}"),
    "findings": ("errors: {errors}; warnings: {warnings}", "erreurs : {errors} ; avertissements : {warnings}"),
    "recipe": ("Recipe", "Recette"),
    "recipe_filter": ("Recipe (*.toml)", "Recette (*.toml)"),
    "page": ("Page with pictures (HTML)", "Page avec images (HTML)"),
    "page_filter": ("HTML (*.html)", "HTML (*.html)"),
    "images": ("Folder of images", "Dossier des images"),
    "reference": ("Reference polygons", "Polygones de référence"),
    "label": ("Field with the class", "Champ de la classe"),
    "folder": ("Folder of the run", "Dossier du calcul"),
    "model": ("Folder of the model, or of its run", "Dossier du modèle, ou de son calcul"),
    "settings": ("Settings KEY=VALUE, one a line", "Réglages CLÉ=VALEUR, un par ligne"),
    "workers": ("Worker processes of the map", "Processus pour la carte"),
    "overwrite": ("Reuse a folder that has another run", "Réutiliser un dossier qui contient un autre calcul"),
    "load": ("Load the results", "Charger les résultats"),
    "classes": ("Map of classes", "Carte des classes"),
    "report": ("Report", "Rapport"),
    "project": ("QGIS project", "Projet QGIS"),
    "errors": ("Number of errors", "Nombre d'erreurs"),
    "warnings": ("Number of warnings", "Nombre d'avertissements"),
    "polygons": ("Polygons of the map", "Polygones de la carte"),
    "make_recipe": ("1. Make a recipe", "1. Créer une recette"),
    "make_recipe_help": (
        "Writes a recipe for a folder of images and a layer of labelled polygons, and a second one with a random forest. "
        "Without a field, Bocage chooses the one that looks like a class. Read the recipe in a text editor before you run it: "
        "its comments give the reason for each proposal.",
        "Écrit une recette pour un dossier d'images et une couche de polygones étiquetés, et une seconde avec une forêt "
        "aléatoire. Sans champ, Bocage choisit celui qui ressemble à une classe. Lisez la recette dans un éditeur de texte "
        "avant de la lancer : ses commentaires donnent la raison de chaque proposition.",
    ),
    "check": ("2. Check a recipe", "2. Vérifier une recette"),
    "check_help": (
        "Opens every file that the recipe names, and reports what is wrong: grids, shifts, dates, clouds, polygons, classes, "
        "free disk space. Nothing is computed.",
        "Ouvre tous les fichiers que la recette nomme et signale ce qui ne va pas : grilles, décalages, dates, nuages, "
        "polygones, classes, espace disque. Rien n'est calculé.",
    ),
    "run": ("3. Run a recipe", "3. Lancer une recette"),
    "run_help": (
        "Trains the model, measures its accuracy, maps the scene, and writes the report and the QGIS project. Without a folder, "
        "the run is written to the folder runs beside the recipe, under the name of the file. The settings replace those of the "
        "recipe. Completed stages are kept: after a cancellation, run the algorithm again.",
        "Entraîne le modèle, mesure son exactitude, cartographie la scène, et écrit le rapport et le projet QGIS. Sans dossier, "
        "le calcul est écrit dans le dossier runs à côté de la recette, sous le nom du fichier. Les réglages remplacent ceux de "
        "la recette. Les étapes terminées sont conservées : après une annulation, relancez l'algorithme.",
    ),
    "map_with_model": ("4. Map with a model", "4. Cartographier avec un modèle"),
    "map_with_model_help": (
        "Maps the scene of a recipe with the model of another run, for example another year. The accuracy of this map is not "
        "measured.",
        "Cartographie la scène d'une recette avec le modèle d'un autre calcul, par exemple une autre année. L'exactitude de "
        "cette carte n'est pas mesurée.",
    ),
    "finish": ("5. Finish a map", "5. Finaliser une carte"),
    "finish_help": (
        "Regularises the map of a run, writes it as polygons, and sums it by zone, as the section [finish] of its recipe says.",
        "Régularise la carte d'un calcul, l'écrit en polygones et la somme par zone, selon la section [finish] de sa recette.",
    ),
    "open_run": ("6. Open a run", "6. Ouvrir un calcul"),
    "open_run_help": (
        "Writes the QGIS project of a run, finished or not, and loads its layers with their styles.",
        "Écrit le projet QGIS d'un calcul, terminé ou non, et charge ses couches avec leurs styles.",
    ),
}
"""Name of a text → English, French."""


def text(name):
    """Return a text in the language of QGIS."""
    english, french = WORDS[name]
    return french if QgsApplication.locale().startswith("fr") else english
