"""Run the core suite on every other supported CPython of this machine; say of the rest whether their wheels resolve.

Interpreters are looked for on ``PATH`` and among pyenv's versions. One that is not installed is not silently skipped:
pip is asked whether all dependencies have wheels for it, and the answer is printed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
ROOT = Path(__file__).resolve().parent.parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def runs(candidate: Path, version: str) -> bool:
    code = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([candidate, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    except OSError:
        return False
    return done.returncode == 0 and done.stdout.strip() == version


def find(version: str) -> Path | None:
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"), "versions")
    candidates = [path / "bin" / "python" for path in sorted(pyenv.glob(f"{version}.*"), reverse=True)]
    if found := shutil.which(f"python{version}"):
        candidates.insert(0, Path(found))
    return next((path for path in candidates if runs(path, version)), None)


def test(version: str, interpreter: Path) -> int:
    venv = ROOT / ".cache" / "interpreters" / version
    python = venv / "bin" / "python"
    if not python.exists():
        subprocess.run([interpreter, "-m", "venv", venv], check=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-e", ".[dev]"]
    subprocess.run(install, cwd=ROOT, check=True)
    print(f"== Python {version} ({interpreter})", flush=True)
    return subprocess.run([python, "-m", "pytest", "-m", "not service"], cwd=ROOT, check=False).returncode


def resolves(version: str) -> str | None:
    """None if every dependency has a wheel for that version, else pip's last words."""
    with tempfile.TemporaryDirectory() as folder:
        wheel = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "-w", folder, str(ROOT)]
        subprocess.run(wheel, check=True)
        package = next(Path(folder).glob("*.whl"))
        report = str(Path(folder) / "report.json")
        ask = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        ask += ["--only-binary=:all:", "--python-version", version, "--target", folder, "--report", report]
        done = subprocess.run([*ask, str(package)], capture_output=True, text=True, check=False)
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def main() -> int:
    failed = []
    for version in SUPPORTED:
        if version == HERE:
            continue
        interpreter = find(version)
        if interpreter is not None:
            if test(version, interpreter):
                failed.append(f"{version} (tests)")
        elif problem := resolves(version):
            failed.append(f"{version} (wheels: {problem})")
        else:
            print(f"== Python {version} is not installed here; wheels of all dependencies resolve for it", flush=True)
    if failed:
        print("failed on Python " + ", ".join(failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
