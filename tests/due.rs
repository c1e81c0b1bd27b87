//! Keys that should be changed: reported in the status, in the log and as a metric.

use sealward_client::v1::reencryption::State;
use sealward_server::development::Person;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::harness::{DEFAULT, Folder, Server, inside::lose_configuration, process::Process, settled};

/// What a scraper gets from an address.
pub(crate) async fn scraped(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("content-type: application/openmetrics-text"), "{answer}");
    answer
}

fn with_metrics(config: &mut sealward_server::config::Config) {
    config.listen.metrics_address = Some("127.0.0.1:0".parse().unwrap());
}

#[tokio::test]
async fn a_generated_key_is_due_until_it_is_changed() {
    let server = Server::start_with(with_metrics).await;
    let admin = server.client(Person::Admin);
    assert!(admin.is_data_encryption_active(DEFAULT).await.unwrap().is_key_change_due);
    let metrics = scraped(server.metrics_address()).await;
    for line in [
        r#"sealward_encryption_active{organization="default"} 1"#,
        r#"sealward_key_change_due{organization="default"} 1"#,
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
    admin.change_key(DEFAULT, &"a new key, number 2".into()).await.unwrap();
    assert_eq!(settled(&admin).await.state(), State::Done);
    assert!(!admin.is_data_encryption_active(DEFAULT).await.unwrap().is_key_change_due);
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains(r#"sealward_key_change_due{organization="default"} 0"#), "{metrics}");
    assert!(metrics.contains(r#"sealward_key_change_due_time_seconds{organization="default"} "#), "{metrics}");

    let server = server.restart(lose_configuration, with_metrics).await;
    let metrics = scraped(server.metrics_address()).await;
    assert!(metrics.contains(r#"sealward_encryption_active{organization="default"} 0"#), "{metrics}");
}

#[tokio::test]
async fn due_key_is_logged_at_start() {
    let folder = Folder::new();
    Process::start(&folder.path()).kill();
    let log = folder.path().join("log");
    let server = Process::start_logging(&folder.path(), std::fs::File::create(&log).unwrap());
    // A call is answered after what is reported at the start.
    folder.client(&server.address, Person::Admin).is_data_encryption_active(DEFAULT).await.unwrap();
    server.kill();
    let log = std::fs::read_to_string(log).unwrap();
    assert!(log.contains("generated encryption key in use"), "{log}");
}
