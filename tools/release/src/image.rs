//! The container image: the server, the shared libraries that it needs, and the CA certificates. No shell, no package manager.
//!
//! It is written as the OCI image specification defines it, so no container engine is needed to build it: blobs named by their SHA-256, a
//! manifest, an index, all in one tar archive. `podman load`, `skopeo copy oci-archive:…` and `docker load` read it.
//!
//! The libraries are those of the Debian packages of this machine. They are a layer of their own, which doesn't change with the server. The
//! CA certificates come from Debian's package too, and not from `/etc/ssl`, which has what an administrator of this machine has added.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    command::{Failure, file, text},
    files::entries,
    programs::Program,
    source::Source,
    sums::sha256,
    tree::{Effort, FILE, PROGRAM, Tree, gzip},
};

/// The user and group of the server: the number that images without a shell commonly use for "nonroot".
pub(crate) const USER: u32 = 65532;

/// The data folder: the only folder in which the server writes.
pub(crate) const DATA: &str = "var/lib/sealward";

/// The folder for configuration, certificates and root key, which the operator mounts.
pub(crate) const CONFIGURATION: &str = "etc/sealward";

/// The name of the image's archive.
pub(crate) fn name(source: &Source) -> Result<String, Failure> {
    Ok(format!("sealward-server-{}-linux-{}.oci.tar", source.version, architecture(source)?))
}

/// The name of the image where it was loaded from the archive.
pub(crate) fn reference(source: &Source) -> String {
    format!("sealward-server:{}", source.version)
}

/// Writes the image as an OCI archive.
pub(crate) fn write(source: &Source, server: &Program, out: &Path, effort: Effort) -> Result<(), Failure> {
    let layers = [base(source, server)?, application(source, server)?];
    let path = out.join(name(source)?);
    fs::write(&path, layout(source, &layers, effort)?.tar(source.time)?).map_err(file("write", &path))
}

/// The first layer: libraries, certificates, the user.
fn base(source: &Source, server: &Program) -> Result<Tree, Failure> {
    let mut tree = Tree::default();
    // As in Debian, where programs and libraries have one folder.
    for folder in ["bin", "lib", "lib64"] {
        tree.link(folder, format!("usr/{folder}"));
    }
    let mut packages = BTreeSet::new();
    for library in libraries(source, &server.binary)? {
        let (package, content) = (package_of(source, &library)?, fs::read(&library).map_err(file("read", &library))?);
        let path = library.to_string_lossy();
        let path = path.trim_start_matches('/');
        let path = if path.starts_with("usr/") { path.to_owned() } else { format!("usr/{path}") };
        tree.file(path, PROGRAM, content);
        packages.insert(package);
    }
    tree.file("etc/ssl/certs/ca-certificates.crt", FILE, certificates()?);
    packages.insert("ca-certificates".to_owned());
    for package in &packages {
        let copyright = format!("usr/share/doc/{package}/copyright");
        let path = Path::new("/").join(&copyright);
        tree.file(&copyright, FILE, fs::read(&path).map_err(file("read", &path))?);
    }
    // Scanners read the state of Debian packages here.
    for package in &packages {
        tree.file(format!("var/lib/dpkg/status.d/{package}"), FILE, status(source, package)?);
    }
    tree.file("etc/os-release", FILE, fs::read("/etc/os-release").map_err(file("read", Path::new("/etc/os-release")))?);
    tree.file("etc/passwd", FILE, format!("sealward:x:{USER}:{USER}:Sealward:/{DATA}:/usr/sbin/nologin\n"));
    tree.file("etc/group", FILE, format!("sealward:x:{USER}:\n"));
    tree.file("etc/nsswitch.conf", FILE, "passwd: files\ngroup: files\nhosts: files dns\n");
    Ok(tree)
}

/// The second layer: the server with its documents, and the mount points.
fn application(source: &Source, server: &Program) -> Result<Tree, Failure> {
    let mut tree = Tree::default();
    tree.file("usr/bin/sealward-server", PROGRAM, server.binary.clone());
    let documents = "usr/share/doc/sealward-server";
    tree.file(format!("{documents}/LICENSE"), FILE, source.read("LICENSE")?);
    tree.file(format!("{documents}/THIRD-PARTY-LICENSES"), FILE, server.licenses.clone());
    tree.file(format!("{documents}/sbom.cdx.json"), FILE, server.sbom.clone());
    tree.folder(CONFIGURATION, 0o755, 0);
    tree.folder(DATA, 0o700, USER);
    // Mount points of engines, which can't create them in a read-only image.
    for folder in ["dev", "proc", "sys"] {
        tree.folder(folder, 0o755, 0);
    }
    tree.folder("tmp", 0o1777, 0);
    Ok(tree)
}

/// The layout of the image: its blobs, and the files that lead to them.
fn layout(source: &Source, layers: &[Tree], effort: Effort) -> Result<Tree, Failure> {
    let architecture = architecture(source)?;
    let mut blobs = BTreeMap::new();
    let (mut descriptors, mut diff_ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for layer in layers {
        let archive = layer.tar(source.time)?;
        diff_ids.push(format!("sha256:{}", sha256(&archive)));
        let kind = "application/vnd.oci.image.layer.v1.tar+gzip";
        descriptors.push(add(&mut blobs, kind, gzip(&archive, effort)));
        history.push(json!({ "created": source.time_rfc3339()?, "created_by": "cargo xtask release" }));
    }
    let configuration = json!({
        "created": source.time_rfc3339()?,
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { "7443/tcp": {} },
            "Env": ["PATH=/usr/bin"],
            "Entrypoint": ["/usr/bin/sealward-server"],
            "Cmd": ["serve", "--config", format!("/{CONFIGURATION}/sealward.toml")],
            "WorkingDir": format!("/{DATA}"),
            "Labels": labels(source)?,
            "StopSignal": "SIGTERM",
        },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let configuration = add(&mut blobs, "application/vnd.oci.image.config.v1+json", configuration.to_string().into());
    let manifest_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": manifest_type,
        "config": configuration,
        "layers": descriptors,
        "annotations": labels(source)?,
    });
    let mut manifest = add(&mut blobs, manifest_type, manifest.to_string().into());
    if let Some(descriptor) = manifest.as_object_mut() {
        // Tools for layouts find the image by the tag. Podman and containerd name it by the second annotation when they load it.
        let names = json!({
            "org.opencontainers.image.ref.name": source.version,
            "io.containerd.image.name": format!("localhost/{}", reference(source)),
        });
        descriptor.insert("annotations".into(), names);
        descriptor.insert("platform".into(), json!({ "architecture": architecture, "os": "linux" }));
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });

    let mut layout = Tree::default();
    layout.file("oci-layout", FILE, r#"{"imageLayoutVersion":"1.0.0"}"#);
    layout.file("index.json", FILE, index.to_string());
    for (sum, blob) in blobs {
        layout.file(format!("blobs/sha256/{sum}"), FILE, blob);
    }
    Ok(layout)
}

/// Adds a blob, and returns its descriptor.
fn add(blobs: &mut BTreeMap<String, Vec<u8>>, media_type: &str, content: Vec<u8>) -> Value {
    let (sum, size) = (sha256(&content), content.len());
    blobs.insert(sum.clone(), content);
    json!({ "mediaType": media_type, "digest": format!("sha256:{sum}"), "size": size })
}

fn labels(source: &Source) -> Result<Value, Failure> {
    Ok(json!({
        "org.opencontainers.image.title": "sealward-server",
        "org.opencontainers.image.description": "gRPC service for records with encrypted fields",
        "org.opencontainers.image.version": source.version,
        "org.opencontainers.image.revision": source.revision(),
        "org.opencontainers.image.created": source.time_rfc3339()?,
        "org.opencontainers.image.licenses": "Apache-2.0",
        "org.opencontainers.image.source": "https://git.example.com/sealward",
        "org.opencontainers.image.documentation": "https://git.example.com/sealward/docs/install.md",
    }))
}

/// The processor as Go names it, which the specification demands.
fn architecture(source: &Source) -> Result<&'static str, Failure> {
    match source.arch {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => Err(Failure::wrong(format!("no image for {other}: add its name in Go"))),
    }
}

/// The shared libraries of a program, with the loader: `ldd` runs the loader itself, which finds the same as at a start.
fn libraries(source: &Source, binary: &[u8]) -> Result<Vec<PathBuf>, Failure> {
    let folder = TempDir::new().map_err(file("create", Path::new("a temporary folder")))?;
    let mut tree = Tree::default();
    tree.file("program", PROGRAM, binary);
    tree.write_to(folder.path())?;
    let listed = text(source.command("ldd").arg(folder.path().join("program")))?;
    // `libc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x…)`, and `/lib64/ld-linux-x86-64.so.2 (0x…)`; the kernel's vdso has no path.
    let paths = listed.lines().filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    let paths: Vec<PathBuf> = paths.map(PathBuf::from).collect();
    if listed.contains("not found") || paths.is_empty() {
        return Err(Failure::wrong(format!("not all libraries of the server are here:\n{listed}")));
    }
    Ok(paths)
}

/// The Debian package of a library. Its database has the path in `/lib` or in `/usr/lib`, which are one folder.
fn package_of(source: &Source, library: &Path) -> Result<String, Failure> {
    let real = library.canonicalize().map_err(file("find", library))?;
    let known = real.strip_prefix("/usr").map(|path| Path::new("/").join(path)).unwrap_or_default();
    let found = [real, known, library.to_owned()].iter().find_map(|path| {
        let found = text(source.command("dpkg-query").arg("--search").arg(path)).ok()?;
        Some(found.split(':').next()?.to_owned())
    });
    found.ok_or_else(|| Failure::wrong(format!("{} is in no Debian package", library.display())))
}

/// What dpkg knows about a package.
fn status(source: &Source, package: &str) -> Result<String, Failure> {
    Ok(format!("{}\n", text(source.command("dpkg-query").args(["--status", package]))?))
}

/// Mozilla's CAs, as Debian packages them.
fn certificates() -> Result<Vec<u8>, Failure> {
    let mut bundle = Vec::new();
    for path in entries(Path::new("/usr/share/ca-certificates/mozilla"))? {
        bundle.extend(fs::read(&path).map_err(file("read", &path))?);
    }
    Ok(bundle)
}
