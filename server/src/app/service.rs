//! The service that answers calls: the gates, and the rpcs behind them.

use std::{convert::Infallible, sync::Arc};

use http::{Request, Response};
use sealward_connect::{FramingLayer, Methods};
use sealward_core::deployment::Deployment;
use tonic::body::Body;
use tower::{Layer, Service};

use super::{error::StartError, observation::Observation, reloadable::Reloadable};
use crate::{
    audit::{copy::CopyHandle, denials::Denials},
    bounds::{Bounded, rates::Rates},
    config::Config,
    descriptors,
    drain::Drain,
    gates::{
        self, Layers, arrival::ArrivalBounds, deadline::Deadlines, http_gate::HttpGateLayer, metadata::MetadataGate,
        permission::RpcTable,
    },
    ports::clock::SystemClock,
    rpc::{self, Health, dispatcher::Dispatcher, server::ServerFacts},
    schema::ServedSchema,
    telemetry::shed::Shed,
};

/// The parts of the service.
pub(super) struct Parts<'a> {
    pub(super) config: &'a Config,
    pub(super) served: &'a ServedSchema,
    pub(super) rpcs: Arc<RpcTable>,
    pub(super) deployment: &'a Arc<Deployment>,
    pub(super) audit_copy: CopyHandle,
    pub(super) denials: &'a Denials,
    pub(super) arrival: ArrivalBounds,
    pub(super) health: &'a Health,
    pub(super) facts: ServerFacts,
    pub(super) observation: &'a Observation,
    pub(super) reloadable: &'a Reloadable,
    pub(super) drain: &'a Drain,
    pub(super) shed: &'a Shed,
}

/// Creates the service.
pub(super) fn service(
    parts: Parts<'_>,
) -> Result<
    impl Service<Request<Body>, Response = Response<Body>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static
    + use<>,
    StartError,
> {
    let Parts {
        config,
        served,
        rpcs,
        deployment,
        audit_copy,
        denials,
        arrival,
        health,
        facts,
        observation,
        reloadable,
        drain,
        shed,
    } = parts;
    let limits = &config.limits;
    let dispatcher = Arc::new(Dispatcher {
        deployment: Arc::clone(deployment),
        limits: *limits,
        drain: drain.clone(),
        denials: denials.clone(),
        rates: Rates::new(limits, shed),
        bounded: Bounded::new(limits, shed.clone()),
        audit_copy,
        shed: shed.clone(),
    });
    let descriptors =
        descriptors::complete(config.schema.descriptors()).map_err(|error| StartError::Reflection(Box::new(error)))?;
    let services = rpc::services(dispatcher, served, &descriptors, rpcs, health.clone(), facts)
        .map_err(|error| StartError::Reflection(Box::new(error)))?;
    // With the types of error details: the results of an import contain them.
    let methods = Methods::of(vec![served.descriptors.clone()]);
    let layers = Layers {
        http_gate: HttpGateLayer::new(config.pages.clone(), observation.samples.clone()),
        framing: FramingLayer::new(
            Arc::new(methods),
            usize::try_from(limits.message_size_max_bytes).unwrap_or(usize::MAX),
        ),
        trace: observation.trace.clone(),
        traces: observation.traces.clone(),
        metadata: MetadataGate::new(limits.header_list_size_max_bytes, shed.clone()),
        clock: Arc::new(SystemClock),
        deadlines: Deadlines { default: limits.deadline_default(), max: limits.deadline_max() },
        tls_context: reloadable.tls_context.clone(),
        issuers: reloadable.issuers.clone(),
        forged: observation.forged.clone(),
        policy: reloadable.policy.clone(),
        denials: denials.clone(),
        arrival,
    };
    Ok(gates::stack(layers).layer(services))
}
