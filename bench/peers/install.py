"""Make a virtual environment for each peer: `python bench/peers/install.py DIRECTORY`.

What cannot be installed does not stop the others: `installed.json` in the directory says which
versions there are, and why some are not. Peers that are there already are left as they are.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import venv
from pathlib import Path
from typing import Any

PACKAGES = {
    "monty": ["pydantic-monty", "pyzmq", "msgpack"],
    "jupyter": ["jupyter_client", "ipykernel"],
    "langgraph": ["langgraph", "langgraph-checkpoint-sqlite"],
    "dbos": ["dbos"],
    "pools": ["loky", "pebble"],
    "ray": ["ray"],
}
SECONDS_MAX = 240.0


def main() -> int:
    """Install what can be installed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(PACKAGES), default=list(PACKAGES))
    asked = parser.parse_args()
    report = asked.directory / "installed.json"
    found: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
    for name in asked.only:
        if "versions" not in found.get(name, {}):
            found[name] = installed(asked.directory / name, PACKAGES[name])
        print(f"{name}: {found[name]}", flush=True)
        report.write_text(json.dumps(found, indent=2) + "\n")
    return 0


def installed(place: Path, packages: list[str]) -> dict[str, Any]:
    """The versions in this environment, or the reason that there are none."""
    try:
        venv.create(place, with_pip=True)
        python = str(place / "bin" / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check"]
        run([*pip, "install", "--quiet", *packages])
        listed = json.loads(run([*pip, "list", "--format", "json"]))
    except (subprocess.SubprocessError, OSError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return {"reason": said.strip().splitlines()[-1][:300]}
    versions = {each["name"].lower().replace("_", "-"): each["version"] for each in listed}
    wanted = [package.replace("_", "-") for package in packages]
    return {"versions": {name: versions[name] for name in wanted}}


def run(command: list[str]) -> str:
    """What a command prints; raises if it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS_MAX, check=True)
    return ended.stdout


if __name__ == "__main__":
    sys.exit(main())
