"""Makes an OCI image with an index of all architectures: build_oci.py OUT TARGET=FILE...

Leaves OUT/dovelet-VERSION-oci.tar, an archive of the image layout (`oci-archive:` of skopeo, `podman load`). The
image holds one executable and three empty directories; it runs as any uid, on a read-only root."""
import hashlib
import json
import sys
import time

from packing import OCI, Tree, board_file, compressed, epoch, main, manifest, version, write

USER = 10143
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


def encoded(value):
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def layer(data):
    tree = Tree()
    tree.file("usr/bin/dovelet", data, 0o755)
    tree.file("etc/dovelet/dovelet.toml", board_file("oci/dovelet.toml"))
    tree.file("etc/passwd", f"root:x:0:0::/:\ndovelet:x:{USER}:{USER}::/data:\n")
    tree.file("etc/group", f"root:x:0:\ndovelet:x:{USER}:\n")
    # A volume that is new takes over whose the directory is.
    tree.directory("data", 0o700, (USER, USER))
    tree.directory("tmp", 0o1777)
    return tree.tar(prefix="", root=False)


def annotations():
    package = manifest()
    return {
        "org.opencontainers.image.title": "dovelet",
        "org.opencontainers.image.description": package["description"],
        "org.opencontainers.image.version": package["version"],
        "org.opencontainers.image.licenses": package["license"],
        "org.opencontainers.image.created": created(),
    }


def created():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch()))


def config(target, tar):
    architecture, variant = OCI[target]
    names = json.loads(board_file("oci/image.json"))
    return {
        "architecture": architecture,
        **({"variant": variant} if variant else {}),
        "os": "linux",
        "created": created(),
        "config": {**names, "User": f"{USER}:{USER}", "Labels": annotations()},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(tar).hexdigest()]},
        "history": [{"created": created(), "created_by": "images/build_oci.py"}],
    }


class Layout:
    def __init__(self):
        self.tree = Tree()
        self.tree.file("oci-layout", encoded({"imageLayoutVersion": "1.0.0"}))

    def blob(self, kind, data, **more):
        digest = hashlib.sha256(data).hexdigest()
        self.tree.file(f"blobs/sha256/{digest}", data)
        return {"mediaType": kind, "digest": f"sha256:{digest}", "size": len(data), **more}

    def image(self, target, data):
        tar = layer(data)
        architecture, variant = OCI[target]
        platform = {"os": "linux", "architecture": architecture, **({"variant": variant} if variant else {})}
        image = {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": self.blob(CONFIG, encoded(config(target, tar))),
            "layers": [self.blob(LAYER, compressed(tar))],
            "annotations": annotations(),
        }
        return self.blob(MANIFEST, encoded(image), platform=platform)


def build(out, binaries):
    layout = Layout()
    images = [layout.image(target, data) for target, data in binaries]
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": images, "annotations": annotations()}
    named = layout.blob(INDEX, encoded(index), annotations={"org.opencontainers.image.ref.name": version()})
    layout.tree.file("index.json", encoded({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]}))
    write(out / f"dovelet-{version()}-oci.tar", layout.tree.tar(prefix="", root=False))


if __name__ == "__main__":
    main(build, sys.argv[1:], __doc__)
