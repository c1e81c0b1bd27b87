//! A path to the server that can lose an answer: a TCP proxy that discards the bytes of the server on request, and then closes the connection.
//! It can also lead new connections to another server, as a balancer does.

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
    time::timeout,
};

use super::PATIENCE;

/// A proxy. It ends with the test.
pub(crate) struct Proxy {
    /// `IP:PORT`
    pub address: String,
    /// `IP:PORT` of the server.
    server: watch::Sender<String>,
    orders: watch::Sender<Orders>,
    /// How many pieces of answers were kept back.
    kept_back: watch::Sender<u64>,
    accepting: JoinHandle<()>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Orders {
    /// Whether answers are discarded.
    keeps_back: bool,
    /// How often all connections were closed.
    cuts: u32,
}

impl Proxy {
    pub(crate) async fn start(server: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (orders, received) = watch::channel(Orders { keeps_back: false, cuts: 0 });
        let kept_back = watch::Sender::new(0);
        let counter = kept_back.clone();
        let (server, current) = watch::channel(server.to_owned());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = current.borrow().clone();
                tokio::spawn(pass(client, server, received.clone(), counter.clone()));
            }
        });
        Proxy { address, server, orders, kept_back, accepting }
    }

    /// Leads new connections to another server.
    pub(crate) fn lead_to(&self, server: &str) {
        self.server.send_replace(server.to_owned());
    }

    /// Discards all answers from now on.
    pub(crate) fn keep_back(&self) {
        self.orders.send_modify(|orders| orders.keeps_back = true);
    }

    /// Waits until the server has made the change whose answer is kept back: calls `ask` now and after each piece of an answer that is kept
    /// back, until its result is the expected one. A server answers after its commit, so that the last piece is late enough.
    pub(crate) async fn until<T>(&self, mut ask: impl AsyncFnMut() -> T, is_expected: impl Fn(&T) -> bool) -> T {
        let mut kept_back = self.kept_back.subscribe();
        let asking = async {
            loop {
                let result = ask().await;
                if is_expected(&result) {
                    return result;
                }
                kept_back.changed().await.unwrap();
            }
        };
        timeout(PATIENCE, asking).await.unwrap()
    }

    /// Closes all connections, and passes everything on in later ones.
    pub(crate) fn cut(&self) {
        self.orders.send_modify(|orders| *orders = Orders { keeps_back: false, cuts: orders.cuts + 1 });
    }

    /// Closes all connections, and accepts no others.
    pub(crate) async fn stop(self) {
        self.accepting.abort();
        assert!(self.accepting.await.unwrap_err().is_cancelled());
        self.orders.send_modify(|orders| orders.cuts += 1);
    }
}

async fn pass(client: TcpStream, server: String, mut orders: watch::Receiver<Orders>, kept_back: watch::Sender<u64>) {
    let cuts = orders.borrow().cuts;
    let received = orders.clone();
    let both = async move {
        let server = TcpStream::connect(server).await?;
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
                if received.borrow().keeps_back {
                    kept_back.send_modify(|pieces| *pieces += 1);
                } else {
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
        // Either side has closed the connection, which isn't a failure of the proxy.
        _ = both => {}
        _ = orders.wait_for(|orders| orders.cuts != cuts) => {}
    }
}
