"""The command of Bocage as a process: its progress on the bar of the algorithm, its messages in the log, its end on cancel."""

import os
import queue
import re
import shutil
import subprocess
import threading

from qgis.core import QgsProcessingException

from .words import text

SETTING = "BOCAGE_EXECUTABLE"
"""Name of the setting, and of an environment variable that replaces it."""
PROGRESS = re.compile(r"(?P<task>.+): (?P<done>\d+)/(?P<total>\d+)\b")
"""Line of progress of Bocage where its error stream is no terminal."""
OF_QGIS = (
    "PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "GDAL_DATA", "GDAL_DRIVER_PATH", "PROJ_LIB", "PROJ_DATA", "QT_PLUGIN_PATH",
)  # fmt: skip
"""Variables with which QGIS points to its own libraries, which those of Bocage would load."""
PAUSE = 0.1
"""Seconds between two looks at the button Cancel."""
GRACE = 30
"""Seconds that a command has to end after it was cancelled."""


def found():
    """Return the path of the command on the search path; empty without one."""
    return shutil.which("bocage") or ""


def executable():
    """Return the path of the command.

    Raises
    ------
    QgsProcessingException
        It is not set, or does not exist.
    """
    from processing.core.ProcessingConfig import ProcessingConfig

    path = os.environ.get(SETTING) or ProcessingConfig.getSetting(SETTING) or found()
    if not path:
        raise QgsProcessingException(text("no_command"))
    if shutil.which(path) is None:
        raise QgsProcessingException(text("wrong_command").format(path=path))
    return path


def run(arguments, folder, feedback, quiet=False):
    """Run a command of Bocage in a folder and return its exit code and the lines of its output.

    Parameters
    ----------
    quiet
        Whether the output stays out of the log; messages and progress are always shown.

    Raises
    ------
    QgsProcessingException
        The command cannot be started, ended with an error that it explains, or was cancelled.
    """
    command = [executable(), *(str(argument) for argument in arguments)]
    feedback.pushCommandInfo(subprocess.list2cmdline(command))
    environment = {name: value for name, value in os.environ.items() if name not in OF_QGIS}
    environment.update(PYTHONUNBUFFERED="1", PYTHONUTF8="1", COLUMNS="100")
    # Without CREATE_NO_WINDOW, Windows opens a console.
    options = {"creationflags": subprocess.CREATE_NO_WINDOW} if os.name == "nt" else {}
    try:
        process = subprocess.Popen(
            command, cwd=str(folder) if folder.is_dir() else None, env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
            errors="replace", **options,
        )  # fmt: skip
    except OSError as error:
        raise QgsProcessingException(text("not_started").format(path=command[0], why=error)) from error
    output, errors = _follow(process, feedback, quiet)
    if feedback.isCanceled():
        raise QgsProcessingException(text("cancelled"))
    if process.returncode not in (0, 1) or errors:
        raise QgsProcessingException("\n".join(errors) or text("failed").format(code=process.returncode))
    return process.returncode, output


def _follow(process, feedback, quiet):
    """Show what a process writes until its end; return the lines of its output, and those of its error."""
    lines, output, errors = queue.Queue(), [], []
    streams = ((process.stdout, False), (process.stderr, True))
    readers = [threading.Thread(target=_read, args=(stream, told, lines), daemon=True) for stream, told in streams]
    for reader in readers:
        reader.start()
    try:
        while any(reader.is_alive() for reader in readers) or not lines.empty():
            if feedback.isCanceled():
                break
            try:
                line, told = lines.get(timeout=PAUSE)
            except queue.Empty:
                continue
            if not told:
                output.append(line)
            if told or not quiet:
                _show(line, told, feedback, errors)
    finally:
        _end(process, feedback)
    return output, errors


def _read(stream, told, lines):
    """Put the lines of a stream on a queue."""
    for line in stream:
        lines.put((line.rstrip("\r\n"), told))
    stream.close()


def _show(line, told, feedback, errors):
    """Show a line: progress on the bar, an error in `errors`, any other in the log."""
    progress = PROGRESS.match(line) if told else None
    if progress:
        feedback.setProgressText(line)
        feedback.setProgress(100 * int(progress["done"]) / max(1, int(progress["total"])))
    elif told and (errors or line.lower().startswith(("error: ", "unexpected error: "))):
        errors.append(line if errors else line.partition(": ")[2])
    elif line:
        feedback.pushInfo(line)


def _end(process, feedback):
    """Wait for a process; if the algorithm was cancelled, ask it to end, and end it by force after a while."""
    if feedback.isCanceled() and process.poll() is None:
        process.terminate()
    try:
        process.wait(GRACE if feedback.isCanceled() else None)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
