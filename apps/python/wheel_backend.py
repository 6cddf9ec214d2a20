"""Builds the wheel: Python files alone, so that pip needs no network and no tools for it.

PEP 517's hooks. A wheel is a zip file with the package and a folder of metadata (PEP 427).
"""

import base64
import hashlib
import io
import os
import re
import tarfile
import zipfile

_HERE = os.path.dirname(os.path.abspath(__file__))


def _read(name):
    with open(os.path.join(_HERE, name), "rb") as file:
        return file.read()


def _field(name):
    found = re.search(r'^%s = "([^"]*)"$' % name, _read("pyproject.toml").decode(), re.MULTILINE)
    if found is None:
        raise ValueError("pyproject.toml has no %s" % name)
    return found.group(1)


def _sources():
    package = os.path.join(_HERE, "larder")
    return sorted("larder/" + name for name in os.listdir(package)
                  if name.endswith(".py") or name == "py.typed")


def _metadata():
    return "\n".join([
        "Metadata-Version: 2.1",
        "Name: larder",
        "Version: " + _field("version"),
        "Summary: " + _field("description"),
        "License: MIT",
        "Requires-Python: " + _field("requires-python"),
        "Provides-Extra: numpy",
        "Requires-Dist: numpy; extra == 'numpy'",
        "Description-Content-Type: text/markdown",
        "",
        _read("README.md").decode(),
    ]).encode()


_WHEEL = b"Wheel-Version: 1.0\nGenerator: larder\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    stem = "larder-" + _field("version")
    info = stem + ".dist-info/"
    files = {name: _read(name) for name in _sources()}
    files[info + "METADATA"] = _metadata()
    files[info + "WHEEL"] = _WHEEL
    record = []
    for name, data in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        record.append("%s,sha256=%s,%d\n" % (name, digest, len(data)))
    record.append(info + "RECORD,,\n")
    files[info + "RECORD"] = "".join(record).encode()
    name = stem + "-py3-none-any.whl"
    with zipfile.ZipFile(os.path.join(wheel_directory, name), "w", zipfile.ZIP_DEFLATED) as wheel:
        for path, data in files.items():
            # The earliest time a zip file knows: the same sources make the same wheel.
            wheel.writestr(zipfile.ZipInfo(path, (1980, 1, 1, 0, 0, 0)), data)
    return name


def build_sdist(sdist_directory, config_settings=None):
    stem = "larder-" + _field("version")
    name = stem + ".tar.gz"
    with tarfile.open(os.path.join(sdist_directory, name), "w:gz") as archive:
        for path in [*_sources(), "pyproject.toml", "README.md", "wheel_backend.py"]:
            archive.add(os.path.join(_HERE, path), stem + "/" + path)
        info = tarfile.TarInfo(stem + "/PKG-INFO")
        info.size = len(_metadata())
        archive.addfile(info, io.BytesIO(_metadata()))
    return name
