//! A load on one server: the calls, by which load generator, and their figures.

use std::path::Path;

use sealward::methods::Method;

use crate::{
    deployment::{Caller, Deployment},
    driver,
    figures::Round,
    h2load::{self, Amount},
    outcome::Outcome,
    process::Process,
    shape::Shape,
    target::{drive, write_requests},
};

/// The calls of a load.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load<'a> {
    pub(crate) method: Method,
    pub(crate) caller: Caller,
    /// The body of each request. If there is one, h2load sends it, otherwise the driver sends all in turn.
    pub(crate) bodies: &'a [Vec<u8>],
    pub(crate) shape: Shape,
    /// The length of each answer, so that h2load's refused calls are found.
    pub(crate) answer_bytes: Option<usize>,
    pub(crate) seconds: f64,
    /// Calls per second; as many as the server answers if it isn't set. Only for h2load.
    pub(crate) rate: Option<f64>,
}

impl Load<'_> {
    /// Runs the load on a process, with the callers of a deployment. Refused calls are an error.
    pub(crate) async fn run(&self, process: &Process, deployment: &Deployment, scratch: &Path) -> Outcome<Round> {
        let (requests, log) = (scratch.join("request"), scratch.join("load.log"));
        let Shape { in_flight, connections } = self.shape;
        write_requests(&requests, self.bodies.iter().cloned())?;
        let cpu = process.cpu()?;
        let log = if let [_] = self.bodies {
            let load = h2load::Load {
                address: process.address,
                paths: &[self.method.path.to_owned()],
                headers: &h2load::grpc_headers(&deployment.token(self.caller)?),
                body: Some(&requests),
                success: h2load::HTTP_OK,
                answer_bytes: self.answer_bytes,
                connections,
                in_flight,
                amount: Amount::Seconds(self.seconds),
                rate: self.rate,
                log: &log,
            };
            h2load::run(&load).await?
        } else {
            let load = driver::Load {
                address: process.address,
                method: self.method.path,
                tls: &deployment.tls(),
                caller: self.caller,
                connections,
                in_flight,
                requests: &requests,
                messages: 1,
                seconds: Some(self.seconds),
                log: &log,
            };
            drive(&load).await?
        };
        if log.refused > 0 {
            return Err(format!("{} of {} calls of {} were refused", log.refused, log.calls(), self.method.path));
        }
        Round::of(log, process.cpu()?.saturating_sub(cpu))
    }
}
