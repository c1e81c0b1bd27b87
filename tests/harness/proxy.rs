//! A way to the server that can lose an answer: a TCP proxy that, told so, keeps what the server says to itself and then hangs up.

use std::sync::Arc;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A proxy. Gone with the test.
pub(crate) struct Proxy {
    /// `IP:PORT`
    pub address: String,
    told: watch::Sender<Told>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Told {
    /// Whether what the server says is kept back.
    keeps_back: bool,
    /// How often everybody was cut off.
    cuts: u32,
}

impl Proxy {
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (told, hears) = watch::channel(Told { keeps_back: false, cuts: 0 });
        let server: Arc<str> = server.into();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, Arc::clone(&server), hears.clone()));
            }
        });
        Proxy { address, told, accepting }
    }

    /// From now on no answer comes through.
    pub(crate) fn keep_back(&self) {
        self.told.send_modify(|told| told.keeps_back = true);
    }

    /// Hangs up on everybody, and passes on what whoever comes back says and hears.
    pub(crate) fn cut(&self) {
        self.told.send_modify(|told| *told = Told { keeps_back: false, cuts: told.cuts + 1 });
    }

    /// Hangs up on everybody, for good.
    pub(crate) async fn stop(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
        self.told.send_modify(|told| told.cuts += 1);
    }
}

async fn pass(client: TcpStream, server: Arc<str>, mut told: watch::Receiver<Told>) {
    let cuts = told.borrow().cuts;
    let hears = told.clone();
    let both = async move {
        let server = TcpStream::connect(&*server).await?;
        let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
            (client.into_split(), server.into_split());
        let asking = async move { tokio::io::copy(&mut from_client, &mut to_server).await };
        let answering = async move {
            let mut buffer = vec![0; 16 * 1024];
            loop {
                let length = from_server.read(&mut buffer).await?;
                if length == 0 {
                    return std::io::Result::Ok(());
                }
                if !hears.borrow().keeps_back {
                    to_client.write_all(&buffer[..length]).await?;
                }
            }
        };
        tokio::select! {
            asked = asking => asked.map(drop),
            answered = answering => answered,
        }
    };
    tokio::select! {
        // Either side has hung up, which is no failure of the proxy.
        _ = both => {}
        _ = told.wait_for(|told| told.cuts != cuts) => {}
    }
}
