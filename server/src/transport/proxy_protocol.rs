//! PROXY protocol, version 2: a load balancer begins each connection with the address of its client.
//!
//! Only connections from the configured networks are read this way, and they must begin with such a header: a client that could choose
//! would choose its address. Nothing here knows TLS.

use std::{io, net::SocketAddr};

use ipnet::IpNet;
use proxy_header::{ParseConfig, Protocol, ProxyHeader};
use tokio::{io::AsyncReadExt as _, net::TcpStream};

/// The signature, the command, the family and the length.
const FIXED_BYTES: usize = 16;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// The maximum length of addresses and additional fields. Load balancers send about a hundred bytes.
const REST_MAX_BYTES: u16 = 2_048;

/// Whether the connections of this peer begin with a header.
pub(super) fn is_expected(networks: &[IpNet], peer: SocketAddr) -> bool {
    networks.iter().any(|network| network.contains(&peer.ip()))
}

/// Reads the header, and no byte more. Returns the client, or the peer itself if it connected on its own behalf, for a health check.
///
/// # Errors
/// The connection failed, or, with [`io::ErrorKind::InvalidData`], it doesn't begin with a valid header.
pub(super) async fn client(stream: &mut TcpStream, peer: SocketAddr) -> io::Result<SocketAddr> {
    let mut header = vec![0; FIXED_BYTES];
    stream.read_exact(&mut header).await?;
    let rest = match header.as_slice() {
        [begin @ .., high, low] if begin.starts_with(SIGNATURE) => u16::from_be_bytes([*high, *low]),
        _ => return Err(invalid()),
    };
    if rest > REST_MAX_BYTES {
        return Err(invalid());
    }
    header.resize(FIXED_BYTES + usize::from(rest), 0);
    stream.read_exact(header.get_mut(FIXED_BYTES..).unwrap_or_default()).await?;
    parse(&header, peer).ok_or_else(invalid)
}

fn parse(header: &[u8], peer: SocketAddr) -> Option<SocketAddr> {
    let config = ParseConfig { include_tlvs: false, allow_v1: false, allow_v2: true };
    let (parsed, length) = ProxyHeader::parse(header, config).ok()?;
    match parsed.proxied_address() {
        _ if length != header.len() => None,
        None => Some(peer),
        Some(address) if address.protocol == Protocol::Stream => Some(address.source),
        Some(_) => None,
    }
}

fn invalid() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "no valid header of the PROXY protocol, version 2")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use proptest::prelude::*;
    use tokio::{io::AsyncWriteExt as _, net::TcpListener};

    use super::*;

    const PEER: &str = "192.0.2.1:1";

    /// A header with this command, family and rest.
    fn header(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &length, rest].concat()
    }

    const IPV4: [u8; 12] = [198, 51, 100, 7, 203, 0, 113, 1, 0x12, 0x34, 0x1d, 0x13];

    /// The result of reading these bytes, and the bytes after the header.
    async fn read(bytes: &[u8]) -> Result<(String, Vec<u8>), io::ErrorKind> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let mut sender = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        sender.write_all(bytes).await.unwrap();
        sender.shutdown().await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let client = client(&mut stream, PEER.parse().unwrap()).await.map_err(|error| error.kind())?;
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).await.unwrap();
        Ok((client.to_string(), rest))
    }

    #[tokio::test]
    async fn header_names_the_client_and_nothing_behind_it_is_read() {
        let ipv6 = [[0x20, 0x01].as_slice(), &[0; 13], &[7], &[0; 16], &[0x12, 0x34, 0x1d, 0x13]].concat();
        let with_fields = [&IPV4[..], &[4, 0, 1, 0]].concat();
        for (header, client) in [
            (header(0x21, 0x11, &IPV4), "198.51.100.7:4660"),
            (header(0x21, 0x11, &with_fields), "198.51.100.7:4660"),
            (header(0x21, 0x21, &ipv6), "[2001::7]:4660"),
            // A health check of the load balancer.
            (header(0x20, 0x00, &[]), PEER),
            (header(0x20, 0x11, &IPV4), PEER),
        ] {
            let (read, rest) = read(&[&header[..], b"hello"].concat()).await.unwrap();
            assert_eq!((&*read, &*rest), (client, &b"hello"[..]));
        }
    }

    #[tokio::test]
    async fn connection_without_a_valid_header_is_refused() {
        let long = vec![0; usize::from(REST_MAX_BYTES) + 1];
        for bytes in [
            b"PROXY TCP4 198.51.100.7 203.0.113.1 4660 7443\r\n".to_vec(),
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x00\x00\x00\x00\x00".to_vec(),
            header(0x11, 0x11, &IPV4),
            header(0x22, 0x11, &IPV4),
            header(0x21, 0x12, &IPV4),
            header(0x21, 0x11, &IPV4[..11]),
            header(0x21, 0x11, &long),
        ] {
            assert_eq!(read(&bytes).await, Err(io::ErrorKind::InvalidData), "{bytes:?}");
        }
        let whole = header(0x21, 0x11, &IPV4);
        for end in [0, 1, 15, 16, whole.len() - 1] {
            assert_eq!(read(&whole[..end]).await, Err(io::ErrorKind::UnexpectedEof), "{end}");
        }
    }

    #[test]
    fn headers_are_expected_from_the_configured_networks() {
        let networks = ["10.0.0.0/8".parse().unwrap(), "2001:db8::1/128".parse().unwrap()];
        for (peer, expected) in
            [("10.1.2.3:4", true), ("11.1.2.3:4", false), ("[2001:db8::1]:4", true), ("[2001:db8::2]:4", false)]
        {
            assert_eq!(is_expected(&networks, peer.parse().unwrap()), expected, "{peer}");
        }
    }

    proptest! {
        #[test]
        fn any_header_is_parsed_or_refused(command: u8, family: u8, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let _either = parse(&header(command, family, &rest), PEER.parse().unwrap());
        }
    }
}
