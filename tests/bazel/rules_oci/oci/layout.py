"""Write OCI layouts for the rules beside this file: ``layout.py SPEC.json``."""

import gzip
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path

LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"


def main():
    spec = json.loads(Path(sys.argv[1]).read_bytes())
    {"image": make_image, "index": make_index, "digest": tell_digest}[spec["verb"]](spec)


def make_image(spec):
    out = new_layout(spec["out"])
    if spec["base"]:
        base = Path(spec["base"])
        entry = json.loads((base / "index.json").read_bytes())["manifests"][0]
        manifest = read(base, entry)
        config = read(base, manifest["config"])
        for layer in manifest["layers"]:
            link(out, base / blob(layer["digest"]), layer["digest"])
    else:
        config = {"architecture": spec["architecture"], "os": spec["os"], "config": {}}
        config |= {"rootfs": {"type": "layers", "diff_ids": []}, "history": []}
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "layers": []}
    kind = DOCKER_LAYER if "docker" in manifest.get("mediaType", "") else LAYER
    for tar in map(Path, spec["tars"]):
        add_layer(out, tar, kind, manifest, config, spec["created_by"])
    edit(config.setdefault("config", {}), spec)
    if "annotations" in spec["texts"]:
        lines = dict(line.split("=", 1) for line in read_lines(spec, "annotations"))
        manifest.setdefault("annotations", {}).update(lines)
    media_type = manifest.get("config", {}).get("mediaType", CONFIG)
    manifest["config"] = write_blob(out, config, media_type)
    entry = write_blob(out, manifest, manifest.get("mediaType", MANIFEST))
    platform = {key: config[key] for key in ("os", "architecture", "variant") if config.get(key)}
    write_index(out, [entry | {"platform": platform}])


def add_layer(out, tar, kind, manifest, config, created_by):
    data = tar.read_bytes()
    plain = data
    if data[:2] == b"\x1f\x8b":
        kind, plain = kind + (".gzip" if "docker" in kind else "+gzip"), gzip.decompress(data)
    digest = sha256(data)
    link(out, tar, digest)
    manifest["layers"].append({"mediaType": kind, "size": len(data), "digest": digest})
    config["rootfs"]["diff_ids"].append(sha256(plain))
    line = {"created": "1970-01-01T00:00:00Z", "created_by": created_by}
    config.setdefault("history", []).append(line)


def edit(settings, spec):
    if "entrypoint" in spec["texts"]:
        settings["Entrypoint"] = read_lines(spec, "entrypoint")
        settings.pop("Cmd", None)
    if "cmd" in spec["texts"]:
        settings["Cmd"] = read_lines(spec, "cmd")
    if "env" in spec["texts"]:
        variables = dict(item.split("=", 1) for item in settings.get("Env") or [])
        variables.update(line.split("=", 1) for line in read_lines(spec, "env"))
        settings["Env"] = ["=".join(item) for item in variables.items()]
    if "labels" in spec["texts"]:
        lines = dict(line.split("=", 1) for line in read_lines(spec, "labels"))
        settings["Labels"] = (settings.get("Labels") or {}) | lines
    for key, name in (("User", "user"), ("WorkingDir", "workdir")):
        if spec[name]:
            settings[key] = spec[name]


def read_lines(spec, key):
    return [line for line in Path(spec["texts"][key]).read_text().split("\n") if line]


def make_index(spec):
    out = new_layout(spec["out"])
    entries = []
    for image in map(Path, spec["images"]):
        entries += json.loads((image / "index.json").read_bytes())["manifests"]
        for file in (image / "blobs/sha256").iterdir():
            link(out, file, f"sha256:{file.name}")
    nested = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    write_index(out, [write_blob(out, nested, INDEX)])


def tell_digest(spec):
    entry = json.loads((Path(spec["image"]) / "index.json").read_bytes())["manifests"][0]
    Path(spec["out"]).write_text(entry["digest"])


def new_layout(path):
    out = Path(path)
    shutil.rmtree(out, ignore_errors=True)
    (out / "blobs/sha256").mkdir(parents=True)
    (out / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return out


def link(out, target, digest):
    """Name another target's file, relatively, so that the layout holds no copy of it."""
    place = out / blob(digest)
    if not place.is_symlink():
        place.symlink_to(os.path.relpath(target, place.parent))


def read(layout, descriptor):
    return json.loads((layout / blob(descriptor["digest"])).read_bytes())


def write_blob(out, document, media_type):
    data = json.dumps(document, separators=(",", ":")).encode()
    (out / blob(sha256(data))).write_bytes(data)
    return {"mediaType": media_type, "size": len(data), "digest": sha256(data)}


def write_index(out, entries):
    document = {"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}
    (out / "index.json").write_text(json.dumps(document))


def blob(digest):
    return "blobs/" + digest.replace(":", "/")


def sha256(data):
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


if __name__ == "__main__":
    main()
