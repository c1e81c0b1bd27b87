//! Other systems that do comparable work, where their programs are found: OpenBao on raft, and PostgreSQL with pgcrypto.
//!
//! Both are durable, use TLS, and run with their defaults otherwise.

mod openbao;
mod postgres;

use std::path::{Path, PathBuf};

use crate::{
    deployment::Deployment,
    figures::Round,
    outcome::Outcome,
    shape::Shape,
    work::{PUT, Work},
};

pub(crate) use postgres::Postgres;

/// The programs of the peers.
#[derive(Clone, Debug, Default)]
pub(crate) struct Programs {
    /// The program `bao`.
    pub(crate) bao: Option<PathBuf>,
    /// The folder of PostgreSQL's programs.
    pub(crate) postgres: Option<PathBuf>,
}

impl Programs {
    /// The given programs, or those of the system.
    pub(crate) fn find(bao: Option<PathBuf>, postgres: Option<PathBuf>) -> Self {
        Self { bao: bao.or_else(openbao::find), postgres: postgres.or_else(postgres::find) }
    }
}

/// A running peer.
pub(crate) enum Peer {
    OpenBao(openbao::OpenBao),
    Postgres(Postgres),
}

impl Peer {
    /// Starts the peers whose programs were found, with the server certificate of a deployment.
    pub(crate) async fn start_all(programs: &Programs, deployment: &Deployment, scratch: &Path) -> Outcome<Vec<Self>> {
        let mut peers = Vec::new();
        if let Some(program) = &programs.bao {
            let peer = openbao::OpenBao::start(program, &deployment.tls(), &scratch.join("openbao")).await?;
            peers.push(Self::OpenBao(peer));
        }
        if let Some(programs) = &programs.postgres {
            peers.push(Self::Postgres(Postgres::start(programs, &deployment.tls()).await?));
        }
        Ok(peers)
    }

    /// What the peer does, for the report.
    pub(crate) fn title(&self, work: Work) -> &'static str {
        match (self, work) {
            (Self::OpenBao(_), Work::Read | Work::Reveal) => "OpenBao KV get",
            (Self::OpenBao(_), Work::Create | Work::Update) => PUT,
            (Self::Postgres(_), Work::Read) => "PostgreSQL SELECT",
            (Self::Postgres(_), Work::Create) => "PostgreSQL INSERT, pgp_sym_encrypt",
            (Self::Postgres(_), Work::Update) => "PostgreSQL UPDATE, pgp_sym_encrypt",
            (Self::Postgres(_), Work::Reveal) => "PostgreSQL SELECT, pgp_sym_decrypt",
        }
    }

    /// The load generator.
    pub(crate) fn load_by(&self) -> &'static str {
        match self {
            Self::OpenBao(_) => "h2load",
            Self::Postgres(_) => "pgbench",
        }
    }

    /// A round of this work.
    pub(crate) async fn run(&self, work: Work, shape: Shape, seconds: f64, scratch: &Path) -> Outcome<Round> {
        match self {
            Self::OpenBao(peer) => peer.run(work, shape, seconds, scratch).await,
            Self::Postgres(peer) => peer.run(work, shape, seconds, scratch).await,
        }
    }

    /// Stops the peer, so that it removes its shared memory.
    pub(crate) async fn stop(self) -> Outcome<()> {
        match self {
            Self::OpenBao(peer) => peer.process.stop().await,
            Self::Postgres(peer) => peer.process.stop().await,
        }
    }
}
