"""Pins images by digest, for a release build. Needs `docker buildx` and the registries.

    python tools/pin_images.py                                        # foreign images, in the files that name them
    python tools/pin_images.py registry.example.com/mercato/ 1.2.0    # values of the chart, for our own pushed images

The first form rewrites `python:3.13.15-slim-trixie` to `python:3.13.15-slim-trixie@sha256:...`; a digest that is there
already is replaced. A service keeps the image of its digest when its tag moves.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
IMAGE = re.compile(r"^( *(?:ARG PYTHON=|image: ))([a-z][a-z0-9./-]*:[\w.-]+)(?:@sha256:[0-9a-f]{64})?$", re.MULTILINE)
"""A foreign image, alone on its line; ours have variables in their names."""


def files() -> list[Path]:
    """Return the files that name foreign images."""
    return [ROOT / "Dockerfile.base", ROOT / "docker-compose.yml", *sorted(ROOT.glob("k8s/**/*.yaml"))]


def digest(image: str) -> str:
    """Return the digest that a tag names now, for all platforms. Raises SystemExit if there is no such image."""
    command = ["docker", "buildx", "imagetools", "inspect", "--format", "{{.Manifest.Digest}}", image]
    done = subprocess.run(command, capture_output=True, text=True)  # noqa: S603, S607  a fixed command
    found = done.stdout.strip()
    if done.returncode or not re.fullmatch("sha256:[0-9a-f]{64}", found):
        raise SystemExit(f"{image}: no digest: {done.stderr.strip() or found}")
    return found


def pin_foreign() -> None:
    """Write the digest of each foreign image; if one is missing, write nothing."""
    texts = {path: path.read_text() for path in files()}
    named = {match[2] for text in texts.values() for match in IMAGE.finditer(text)}
    digests = {image: digest(image) for image in sorted(named)}
    for path, text in texts.items():
        path.write_text(IMAGE.sub(lambda match: f"{match[1]}{match[2]}@{digests[match[2]]}", text))
    for image, found in digests.items():
        sys.stdout.write(f"{image}@{found}\n")


def own_values(prefix: str, tag: str) -> str:
    """Return values of the chart that name the digest of each service's image."""
    names = sorted(path.parent.name for path in ROOT.glob("services/*/service.py"))
    lines = (f'  {name}: {{image: {{tag: "{tag}@{digest(f"{prefix}{name}:{tag}")}"}}}}' for name in names)
    return "\n".join(("services:", *lines))


if __name__ == "__main__":
    if len(sys.argv) == 3:
        sys.stdout.write(f"{own_values(*sys.argv[1:])}\n")
    else:
        pin_foreign()
