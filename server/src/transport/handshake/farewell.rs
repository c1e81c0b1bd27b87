//! How a refused connection is closed.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// How long, and for how many bytes, a refused connection is read on so that the alert arrives.
const FAREWELL_MAX: Duration = Duration::from_secs(1);
const FAREWELL_BYTES_MAX: u64 = 64 * 1024;

/// Ends a connection so that what was written last arrives. If it were closed while bytes are unread, the system would reset it, and the
/// reset would overtake the alert.
pub(super) async fn say_goodbye(mut stream: TcpStream) {
    let farewell = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(FAREWELL_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _either_way_it_closes = timeout(FAREWELL_MAX, farewell).await;
}
