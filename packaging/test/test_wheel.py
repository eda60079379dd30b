"""What PyPI and who looks into the wheels would see."""

import re
import zipfile

import pytest
from conftest import DIST, TOP, VERSION

WHEELS = sorted(DIST.glob("drain_init-*.whl"))


def test_there_is_a_wheel_for_each_architecture():
    assert len(WHEELS) == 2
    for cpu in ("x86_64", "aarch64"):
        assert [wheel for wheel in WHEELS if wheel.name.endswith(f"_{cpu}.whl")]


@pytest.mark.parametrize("wheel", WHEELS, ids=["aarch64", "x86_64"])
def test_the_description_has_no_link_that_is_dead_on_pypi(wheel):
    metadata = zipfile.ZipFile(wheel).read(f"drain_init-{VERSION}.dist-info/METADATA").decode()
    description = metadata.partition("\n\n")[2]
    assert description.startswith("# drain-init\n")
    links = re.findall(r"\]\(([^)]*)\)", description)
    assert len(links) >= 4
    for link in links:
        assert link.startswith("https://github.com/drain-init/drain-init"), link
        path = re.search(r"/blob/main/([^#]*)", link)
        assert path is None or (TOP / path[1]).is_file(), link


@pytest.mark.parametrize("wheel", WHEELS, ids=["aarch64", "x86_64"])
def test_the_wheel_carries_the_notices_of_what_is_linked_in(wheel):
    for name in ("NOTICES", "LICENSE-MIT", "LICENSE-APACHE"):
        assert zipfile.ZipFile(wheel).read(f"drain_init-{VERSION}.dist-info/licenses/{name}") == (TOP / name).read_bytes()


def test_the_release_carries_the_notices():
    assert (DIST / "NOTICES").read_bytes() == (TOP / "NOTICES").read_bytes()
    assert "  NOTICES\n" in (DIST / "SHA256SUMS").read_text()
