"""The Dockerfile without Docker: what it copies and installs is there, and who it runs as."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def instructions() -> list[tuple[str, str]]:
    """(name, arguments) in order, lines that go on joined."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.M)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines if line]


def of(name: str) -> list[str]:
    return [arguments for instruction, arguments in instructions() if instruction == name]


def test_what_is_copied_is_there_and_reaches_the_build() -> None:
    sources = [
        source
        for arguments in of("COPY")
        if not arguments.startswith("--from")
        for source in arguments.split()[:-1]
    ]
    assert {"matnet_jax", "data_pipeline", "configs", "constraints.txt"} <= set(sources)
    let_in = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for source in sources:
        assert f"!{source.rstrip('*')}" in let_in, source
        assert source == "wheelhouse*" or (ROOT / source).exists(), source
    assert "*" in let_in


def test_it_installs_extras_that_there_are_and_readme_s_libraries() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    [extras] = [value.removeprefix("EXTRAS=") for value in of("ARG") if value.startswith("EXTRAS=")]
    assert set(extras.split(",")) <= set(config["options.extras_require"])
    page = (ROOT / "docs" / "deploy.md").read_text(encoding="utf-8")
    assert f"--dest wheelhouse '.[{extras}]'" in page  # what it is built of without a network
    [wanted] = re.findall(r"^apt-get install (.*)$", (ROOT / "README.md").read_text(), re.M)
    libraries = {word for word in wanted.split() if word.startswith("lib")}
    last = of("RUN")[-1]
    assert libraries and libraries <= set(last.split())


def test_the_image_serves_as_nobody_and_is_asked_whether_it_is_well() -> None:
    [user] = of("USER")
    assert f"--uid {user} " in of("RUN")[-1] and int(user) > 0
    [check] = of("HEALTHCHECK")
    assert "/healthz" in check and f":{of('EXPOSE')[0]}/" in check
    assert of("ENTRYPOINT") == ['["matnet"]'] and '"serve"' in of("CMD")[0]
