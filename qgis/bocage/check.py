"""Check a recipe and all its inputs (``bocage check``)."""

import json

from qgis.core import QgsProcessingException, QgsProcessingOutputNumber, QgsProcessingParameterFileDestination

from .algorithm import Algorithm
from .command import run
from .words import text


class Check(Algorithm):
    """Reports what is wrong with the inputs of a recipe."""

    NAME = "check"

    def initAlgorithm(self, configuration=None):
        """Add the parameters."""
        self.add_recipe()
        self.add_settings()
        self.addParameter(
            QgsProcessingParameterFileDestination(
                "PAGE", text("page"), fileFilter=text("page_filter"), optional=True, createByDefault=False
            )
        )
        self.addOutput(QgsProcessingOutputNumber("ERRORS", text("errors")))
        self.addOutput(QgsProcessingOutputNumber("WARNINGS", text("warnings")))

    def processAlgorithm(self, parameters, context, feedback):
        """Call the command, and show its findings by severity."""
        recipe = self.path(parameters, "RECIPE", context)
        page = self.parameterAsFileOutput(parameters, "PAGE", context)
        arguments = ["check", recipe, "--json", *self.settings(parameters, context)]
        arguments += ["--html", page] if page else []
        _, output = run(arguments, recipe.parent, feedback, quiet=True)
        try:
            findings = json.loads("\n".join(output))["findings"]
        except (ValueError, KeyError) as error:
            raise QgsProcessingException(text("failed").format(code=error)) from error
        show = {"error": feedback.reportError, "warning": feedback.pushWarning}
        counts = {"error": 0, "warning": 0}
        for finding in findings:
            severity = finding["severity"]
            counts[severity] = counts.get(severity, 0) + 1
            line = f"{severity}: {finding['where']}: {finding['what']} {finding.get('remedy') or ''}"
            show.get(severity, feedback.pushInfo)(line.strip())
        feedback.pushInfo(text("findings").format(errors=counts["error"], warnings=counts["warning"]))
        found = {"ERRORS": counts["error"], "WARNINGS": counts["warning"]}
        return {**found, "PAGE": page} if page else found
