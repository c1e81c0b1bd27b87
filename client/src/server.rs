//! ServerService: the build of the server, and its state.

use sealward::methods;

use crate::{
    client::{Client, decode},
    codec::Encoded,
    error::Error,
    method::Method,
    v1::{GetServerInfoRequest, GetServerStatusRequest, ServerInfo, ServerStatus},
};

impl Client {
    /// Returns the version of the server, its schema, its formats and its cryptographic modules.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn server_info(&self) -> Result<ServerInfo, Error> {
        decode(&self.unary(&Method::of(methods::GetServerInfo), Encoded::of(&GetServerInfoRequest {})).await?)
    }

    /// Returns the state of the server, with its problems and their remedies.
    ///
    /// # Errors
    /// [`Error`], with the reasons of the rpc in the contract.
    pub async fn server_status(&self) -> Result<ServerStatus, Error> {
        decode(&self.unary(&Method::of(methods::GetServerStatus), Encoded::of(&GetServerStatusRequest {})).await?)
    }
}
