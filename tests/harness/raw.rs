//! Calls of any rpc with any bytes, which no client library would send.

use prost::bytes::{Buf, BufMut};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use sealward_client::Client;
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::tokio_stream::{self, Stream},
    metadata::{AsciiMetadataKey, MetadataValue},
    transport::Channel,
};

/// Every rpc of the contract.
pub(crate) fn rpcs() -> Vec<MethodDescriptor> {
    let pool = DescriptorPool::decode(sealward::FILE_DESCRIPTOR_SET).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// `/sealward.mail.v1.MailboxService/GetMailbox`
pub(crate) fn path(rpc: &MethodDescriptor) -> String {
    format!("/{}/{}", rpc.parent_service().full_name(), rpc.name())
}

/// The first message of the answer to a call with this message.
pub(crate) async fn call(client: &Client, path: &str, message: &[u8]) -> Result<Option<Vec<u8>>, Status> {
    exchange(client, path, &[], tokio_stream::once(message.to_vec())).await
}

/// The first message of the answer to a call with these headers.
pub(crate) async fn call_with_headers(
    client: &Client,
    path: &str,
    headers: &[(&'static str, &str)],
    message: &[u8],
) -> Result<Option<Vec<u8>>, Status> {
    exchange(client, path, headers, tokio_stream::once(message.to_vec())).await
}

/// The answer to a call whose message never arrives.
pub(crate) async fn call_without_message(client: &Client, path: &str) -> Result<Option<Vec<u8>>, Status> {
    exchange(client, path, &[], tokio_stream::pending()).await
}

async fn exchange(
    client: &Client,
    path: &str,
    headers: &[(&'static str, &str)],
    messages: impl Stream<Item = Vec<u8>> + Send + 'static,
) -> Result<Option<Vec<u8>>, Status> {
    open(client.channel(), path, headers, messages).await?.message().await
}

/// The messages of the answer to a call with these headers and messages.
pub(crate) async fn open(
    channel: Channel,
    path: &str,
    headers: &[(&str, &str)],
    messages: impl Stream<Item = Vec<u8>> + Send + 'static,
) -> Result<Streaming<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.unwrap();
    let mut request = Request::new(messages);
    for (name, value) in headers {
        let name = AsciiMetadataKey::from_bytes(name.as_bytes()).unwrap();
        request.metadata_mut().insert(name, MetadataValue::try_from(*value).unwrap());
    }
    Ok(grpc.streaming(request, path.parse().unwrap(), Bytes).await?.into_inner())
}

#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, message: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining()).to_vec()))
    }
}
