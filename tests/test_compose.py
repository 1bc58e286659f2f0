"""docker/: checked by Docker Compose where it is at hand, and everywhere for names, files and ports that fit."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker" / "compose.yaml"
DOCKERFILE = ROOT / "docker" / "Dockerfile"


def have_compose() -> bool:
    if shutil.which("docker") is None:
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0


@pytest.fixture
def services() -> dict[str, dict]:
    return yaml.safe_load(COMPOSE.read_text())["services"]


@pytest.mark.skipif(not have_compose(), reason="needs `docker compose`; no engine is needed")
def test_docker_compose_accepts_the_file():
    done = subprocess.run(["docker", "compose", "-f", COMPOSE, "config", "--quiet"], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def test_a_service_has_an_image_or_a_dockerfile_that_exists(services):
    for service in services.values():
        if "image" not in service:
            context = (COMPOSE.parent / service["build"]["context"]).resolve()
            assert (context / service["build"]["dockerfile"]).is_file()


def test_cassandra_is_of_the_series_that_the_development_cluster_runs(services):
    from tfcass.devcluster.jars import CASSANDRA_VERSION

    assert services["cassandra"]["image"] == f"cassandra:{CASSANDRA_VERSION.rpartition('.')[0]}"


def test_services_wait_for_services_that_exist_and_have_a_health_check(services):
    for service in services.values():
        for name, wait in service.get("depends_on", {}).items():
            assert wait["condition"] == "service_healthy"
            assert services[name]["healthcheck"]["test"][0] == "CMD"


def test_named_volumes_are_declared(services):
    declared = yaml.safe_load(COMPOSE.read_text())["volumes"]

    for service in services.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert source in declared or source.startswith((".", "/", "$"))


def test_ports_are_open_to_this_machine_only(services):
    for service in services.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_the_commands_are_commands_of_tfcass(services):
    from typer.testing import CliRunner

    from tfcass.cli import app

    program, *arguments = services["tfcass"]["command"]
    assert program == "tfcass"
    assert CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


def instructions() -> list[tuple[str, list[str]]]:
    """Each instruction of the Dockerfile with its words."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, shlex.split(rest)) for name, _, rest in (line.partition(" ") for line in text.splitlines()) if name]


def test_the_dockerfile_has_known_instructions_only():
    assert {name for name, _ in instructions()} <= {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "CMD"}
    assert instructions()[0][0] == "FROM"


def test_the_dockerfile_copies_from_stages_that_it_has_built():
    built = set()
    for name, words in instructions():
        if name == "FROM" and "AS" in words:
            built.add(words[words.index("AS") + 1])
        if name == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in built


def test_the_dockerfile_builds_with_a_make_target_that_exists():
    used = {
        target
        for name, words in instructions()
        if name == "RUN"
        for target in re.findall(r"make (\w+)", " ".join(words))
    }
    used -= {"&&"}
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

    assert "wheel" in used
    assert used <= targets
