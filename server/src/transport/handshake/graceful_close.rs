//! Closes a refused connection so that the client receives the last message.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// The maximum time, and the maximum number of bytes, for which a refused connection is still read so that the alert arrives.
const CLOSE_TIME_MAX: Duration = Duration::from_secs(1);
const CLOSE_BYTES_MAX: u64 = 64 * 1024;

/// Closes a connection so that the last written bytes arrive. If it were closed with unread bytes, the system would reset it, and the reset
/// could discard the alert.
pub(super) async fn close_gracefully(mut stream: TcpStream) {
    let close = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(CLOSE_BYTES_MAX), &mut tokio::io::sink()).await
    };
    let _closes_in_any_case = timeout(CLOSE_TIME_MAX, close).await;
}
