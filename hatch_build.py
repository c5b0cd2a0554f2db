"""Build the page of ``bocage view`` with Node before the package is built, also for an editable installation.

The sources are in src/bocage/view/web; ``npm ci`` installs the packages of package-lock.json from the npm registry, and esbuild
writes src/bocage/view/static. A built page that is newer than its sources is kept.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

VIEW = Path("src/bocage/view")


class ViewerHook(BuildHookInterface[Any]):
    """Builds the page, and adds it to the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the page if it is missing or outdated; without Node or its registry, the package is built without it."""
        web, built = Path(self.root) / VIEW / "web", Path(self.root) / VIEW / "static"
        if self.target_name == "wheel" and not is_current(web, built):
            npm = shutil.which("npm")
            if npm is None:
                self.app.display_warning(
                    "npm was not found: 'bocage view' will need 'make viewer', with Node installed"
                )
                return
            try:
                subprocess.run([npm, "ci", "--silent"], cwd=web, check=True)
                subprocess.run([npm, "run", "--silent", "build"], cwd=web, check=True)
            except subprocess.CalledProcessError as error:
                self.app.display_warning(f"the page of 'bocage view' was not built ({error}): run 'make viewer' later")
                return
        build_data["artifacts"].append(f"{VIEW.as_posix()}/static/*")


def is_current(web: Path, built: Path) -> bool:
    """Whether the built page exists and is newer than every source."""
    page = built / "app.js"
    others = ("build.js", "package.json", "package-lock.json")
    sources = [*(web / "src").iterdir(), *(web / name for name in others)] if web.exists() else []
    return page.exists() and all(source.stat().st_mtime <= page.stat().st_mtime for source in sources)
