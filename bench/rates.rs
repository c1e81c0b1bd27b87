//! Throughput of Get and durable Create over TLS on loopback, compared with a bare tonic server that answers the same calls from memory.
//!
//! Compare the ratios. The rounds of both servers alternate, so that other load on the machine affects both.
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a measurement may stop at the first surprise")]

use std::{sync::Arc, time::Instant};

use sealward_client::{
    Client, RetryPolicy,
    mail_v1::{
        self, Mailbox,
        mailbox_service_client::MailboxServiceClient,
        mailbox_service_server::{MailboxService, MailboxServiceServer},
    },
};
use sealward_server::{
    app::App,
    development::{Development, Person},
};
use tokio::{net::TcpListener, task::JoinSet};
use tonic::{
    Request, Response, Status,
    transport::{Certificate, Channel, Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

const ROUNDS: usize = 5;
const CALLS_PER_ROUND: usize = 8_000;
const CONNECTIONS: usize = 4;
const CALLS_AT_ONCE: usize = 64;

#[tokio::main]
async fn main() {
    let folder = tempfile::tempdir().unwrap();
    let development = Development::prepare(&folder.path().join("dev")).unwrap();
    let mut config = development.config().unwrap();
    config.listen.address = "127.0.0.1:0".parse().unwrap();
    let running = App::start(config).await.unwrap();
    running.ensure_organization(&"default".parse().unwrap()).await.unwrap();
    let echo = echo_server(&development).await;

    let sealward = connect(&development, &running.address().to_string());
    let echo = connect(&development, &echo);
    let stored = client(&sealward, 0).create_mailbox(create(Some("hunter2"))).await.unwrap().into_inner().name;
    let get = Arc::new(mail_v1::GetMailboxRequest { name: stored, ..Default::default() });

    let mut rates = [const { Vec::new() }; 5];
    for round in 0..=ROUNDS {
        let measured = [
            load(&echo, Call::Get(Arc::clone(&get))).await,
            load(&sealward, Call::Get(Arc::clone(&get))).await,
            load(&echo, Call::Create(Some("hunter2"))).await,
            load(&sealward, Call::Create(None)).await,
            load(&sealward, Call::Create(Some("hunter2"))).await,
        ];
        // The first round warms up.
        if round > 0 {
            rates.iter_mut().zip(measured).for_each(|(rates, rate)| rates.push(rate));
        }
    }
    let [echo_get, get, echo_create, create, create_sealed] = rates.map(median);
    println!(
        "calls/s over TLS, {CONNECTIONS} connections, {CALLS_AT_ONCE} concurrent calls, median of {ROUNDS} rounds"
    );
    println!("  bare tonic Get                        {echo_get:>9.0}");
    println!("  Get                                   {get:>9.0}   {:.2} of bare tonic", get / echo_get);
    println!("  bare tonic Create                     {echo_create:>9.0}");
    println!("  durable Create                        {create:>9.0}   {:.2} of bare tonic", create / echo_create);
    println!(
        "  durable Create, one attribute sealed  {create_sealed:>9.0}   {:.2} of bare tonic",
        create_sealed / echo_create
    );
}

/// One kind of call.
#[derive(Clone)]
enum Call {
    Get(Arc<mail_v1::GetMailboxRequest>),
    Create(Option<&'static str>),
}

fn create(password: Option<&str>) -> mail_v1::CreateMailboxRequest {
    let mailbox = Mailbox {
        display_name: Some("Sales".to_owned()),
        username: Some("sales@example.com".to_owned()),
        password: password.map(str::to_owned),
        ..Mailbox::default()
    };
    mail_v1::CreateMailboxRequest {
        parent: "organizations/default".to_owned(),
        mailbox: Some(mailbox),
        mailbox_id: String::new(),
        ..Default::default()
    }
}

/// Makes a round of calls, and returns the calls per second.
async fn load(channels: &[Channel], call: Call) -> f64 {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..CALLS_AT_ONCE {
        let mut client = client(channels, task);
        let call = call.clone();
        tasks.spawn(async move {
            for _ in 0..CALLS_PER_ROUND / CALLS_AT_ONCE {
                match &call {
                    Call::Get(request) => client.get_mailbox((**request).clone()).await.unwrap(),
                    Call::Create(password) => client.create_mailbox(create(*password)).await.unwrap(),
                };
            }
        });
    }
    tasks.join_all().await;
    CALLS_PER_ROUND as f64 / start.elapsed().as_secs_f64()
}

fn client(channels: &[Channel], task: usize) -> MailboxServiceClient<Channel> {
    MailboxServiceClient::new(channels.iter().cycle().nth(task).unwrap().clone())
}

fn connect(development: &Development, address: &str) -> Vec<Channel> {
    (0..CONNECTIONS)
        .map(|_| {
            Client::builder(format!("https://{address}"))
                .ca_file(development.ca())
                .identity_files(development.certificate(Person::Writer), development.key(Person::Writer))
                .retry(RetryPolicy::never())
                .connect_lazy()
                .unwrap()
                .channel()
        })
        .collect()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap()
}

/// A service that returns a constant mailbox: the cost of a call without Sealward.
struct Echo;

/// Starts a bare tonic server with the same certificates, and returns its address.
async fn echo_server(development: &Development) -> String {
    let folder = development.folder().join("tls");
    let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
    let tls = ServerTlsConfig::new()
        .identity(Identity::from_pem(read("server.pem"), read("server.key")))
        .client_ca_root(Certificate::from_pem(read("ca.pem")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let server = Server::builder().tls_config(tls).unwrap().add_service(MailboxServiceServer::new(Echo));
    tokio::spawn(server.serve_with_incoming(incoming));
    address
}

fn constant_mailbox() -> Mailbox {
    Mailbox {
        name: "organizations/default/mailboxes/0191e2a4-5b6c-7d8e-9fa0-b1c2d3e4f506".to_owned(),
        etag: "1".to_owned(),
        display_name: Some("Sales".to_owned()),
        username: Some("sales@example.com".to_owned()),
        is_password_set: Some(true),
        ..Mailbox::default()
    }
}

#[tonic::async_trait]
impl MailboxService for Echo {
    async fn create_mailbox(&self, _: Request<mail_v1::CreateMailboxRequest>) -> Result<Response<Mailbox>, Status> {
        Ok(Response::new(constant_mailbox()))
    }

    async fn get_mailbox(&self, _: Request<mail_v1::GetMailboxRequest>) -> Result<Response<Mailbox>, Status> {
        Ok(Response::new(constant_mailbox()))
    }

    async fn list_mailboxes(
        &self,
        _: Request<mail_v1::ListMailboxesRequest>,
    ) -> Result<Response<mail_v1::ListMailboxesResponse>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn update_mailbox(&self, _: Request<mail_v1::UpdateMailboxRequest>) -> Result<Response<Mailbox>, Status> {
        Err(Status::unimplemented("not measured"))
    }

    async fn delete_mailbox(&self, _: Request<mail_v1::DeleteMailboxRequest>) -> Result<Response<()>, Status> {
        Err(Status::unimplemented("not measured"))
    }
}
