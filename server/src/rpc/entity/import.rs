//! Imports of records: a stream of requests in, a result for each out, in their order.
//!
//! Requests that have arrived are written in groups: a full one, or the requests that wait when no further one has arrived. At most
//! [`GROUPS_IN_FLIGHT`] groups are written at a time, and one is collected meanwhile. Results wait until the caller reads them, so a caller
//! that doesn't read them is read no further. When the server drains or the connection has to close, no more requests are read, and the
//! received ones are finished.

use std::{collections::VecDeque, future::ready, sync::Arc};

use http::Extensions;
use sealward_core::{
    id::RecordId,
    random::{Pooled, Random},
    record::{
        RecordPlace,
        check::check_create,
        create::NewRecord,
        import::{Import, ImportItem, Imported},
    },
    schema::Entity,
    violation::{Problem, Violation},
};
use tokio::{sync::oneshot, task::JoinHandle};
use tonic::{Status, Streaming};

use super::fields::{new_id, request_id};
use crate::{
    rpc::{
        answers::{Answered, Answers, Left, answers},
        codec::{BatchItem, CreateRequest, EntityReply, EntityRequest, ImportRequest},
        dispatcher::Dispatcher,
        name,
    },
    status::{self, Refusal},
    transport::connection_ending::ConnectionEnding,
};

/// The number of groups that are written at a time: one waits for the disk while the next one is sealed.
const GROUPS_IN_FLIGHT: usize = 2;

/// The size at which results are sent in a message of their own. An error has up to 8 KiB, so the message fits the smallest limit.
const RESULTS_BYTES: usize = 64 * 1024;

/// The size of a name in a result, at most.
const NAME_BYTES: usize = 256;

/// Admits an import by its first message, and begins it.
pub(super) async fn begin(
    dispatcher: Arc<Dispatcher>,
    entity: Arc<Entity>,
    extensions: &Extensions,
    mut stream: Streaming<EntityRequest>,
) -> Result<Answered<EntityReply>, Status> {
    let connection = ConnectionEnding::of(extensions);
    let first = tokio::select! {
        refusal = ends(&dispatcher, &connection) => return Err(refusal.into()),
        first = stream.message() => first?,
    };
    let first = first.map(import_request).transpose()?;
    let (parent, first) = match first {
        Some(ImportRequest { parent, items, validate_only }) => (parent, Some((items, validate_only))),
        None => (None, None),
    };
    let parent = parent.unwrap_or_else(|| name::organization("parent", ""));
    let permit = dispatcher.enter_to_write(extensions, &parent, &entity).await?;
    dispatcher.refresh_schema(permit.organization()).await?;
    let (items, is_dry_run) = match (parent.resource, first) {
        (Ok(_), Some((items, is_dry_run))) => {
            (items.map_err(|violation| dispatcher.invalid(vec![violation]))?, is_dry_run)
        }
        (parent, _) => return Err(dispatcher.invalid(parent.err().into_iter().collect())),
    };
    let held = dispatcher.bounded.streams.enter(&permit.caller().identity)?;
    let (answers, answered) = answers();
    let drain = dispatcher.drain.clone();
    let mut running = Running::new(dispatcher, entity, Import::begin(permit, is_dry_run));
    running.collect(items);
    drain.spawn(async move {
        let _held = (held, connection.hold());
        match running.run(stream, &connection, &answers).await {
            Ok(()) => answers.done(),
            Err(Some(status)) => answers.fail(status),
            Err(None) => {}
        }
    });
    Ok(answered)
}

/// Resolves when an import has to end.
async fn ends(dispatcher: &Dispatcher, connection: &ConnectionEnding) -> Refusal {
    tokio::select! {
        () = dispatcher.drain.begun() => Refusal::ShuttingDown,
        () = connection.begun() => Refusal::ConnectionEnding,
    }
}

fn import_request(request: EntityRequest) -> Result<ImportRequest, Status> {
    if let EntityRequest::Import(request) = request { Ok(request) } else { Err(status::message_invalid()) }
}

/// A running import.
struct Running {
    dispatcher: Arc<Dispatcher>,
    entity: Arc<Entity>,
    import: Arc<Import>,
    place: RecordPlace,
    /// The received requests that aren't in a group yet, each with its size.
    waiting: VecDeque<(Result<ImportItem, Status>, usize)>,
    waiting_bytes: usize,
    groups: VecDeque<Group>,
    /// Resolves when the last group is complete.
    last_complete: Option<oneshot::Receiver<()>>,
}

/// A group that is being written.
struct Group {
    /// The results of requests that were refused before, by their position in the group.
    refused: Vec<(usize, Status)>,
    written: JoinHandle<Result<Vec<Imported>, Status>>,
}

impl Running {
    fn new(dispatcher: Arc<Dispatcher>, entity: Arc<Entity>, import: Import) -> Self {
        Running {
            place: import.place(),
            dispatcher,
            entity,
            import: Arc::new(import),
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            groups: VecDeque::new(),
            last_complete: None,
        }
    }

    /// Runs until the stream ends. The inner `None` means that the caller has left.
    async fn run(
        mut self,
        mut stream: Streaming<EntityRequest>,
        connection: &ConnectionEnding,
        answers: &Answers<EntityReply>,
    ) -> Result<(), Option<Status>> {
        // The end of the stream, after the received requests are finished.
        let mut end: Option<Result<(), Status>> = None;
        let dispatcher = Arc::clone(&self.dispatcher);
        loop {
            let has_room = self.waiting_bytes < self.group_bytes_max() && self.waiting.len() < self.group_records_max();
            let can_write = !self.waiting.is_empty() && self.groups.len() < GROUPS_IN_FLIGHT;
            if self.waiting.is_empty()
                && self.groups.is_empty()
                && let Some(end) = end.take()
            {
                return end.map_err(Some);
            }
            tokio::select! {
                // In this order, a group is begun only if it is full, or if no further request has arrived.
                biased;
                refusal = ends(&dispatcher, connection), if end.is_none() => end = Some(Err(refusal.into())),
                () = answers.left() => return Err(None),
                results = next_group(&mut self.groups), if !self.groups.is_empty() => {
                    self.answer(results.map_err(Some)?, answers).await?;
                }
                message = stream.message(), if end.is_none() && has_room => match message.and_then(|message| message.map(import_request).transpose()) {
                    Ok(Some(request)) => end = self.receive(request).err().map(Err),
                    Ok(None) => end = Some(Ok(())),
                    Err(status) => end = Some(Err(status)),
                },
                () = ready(()), if can_write => self.write_group(),
            }
        }
    }

    /// Takes a message after the first one.
    fn receive(&mut self, ImportRequest { parent, items, validate_only }: ImportRequest) -> Result<(), Status> {
        let mut violations = Vec::new();
        if let Some(parent) = parent
            && parent.resource.as_ref().ok() != Some(&self.place.organization.name)
        {
            let form = self.place.organization.resource_name();
            violations.push(Violation::new("parent", Problem::NotAName { form }));
        }
        if validate_only {
            violations.push(Violation::new("validate_only", Problem::OfBatch));
        }
        match items {
            Ok(items) if violations.is_empty() => {
                self.collect(items);
                Ok(())
            }
            items => {
                violations.extend(items.err());
                Err(self.dispatcher.invalid(violations))
            }
        }
    }

    fn collect(&mut self, items: Vec<BatchItem<CreateRequest>>) {
        let dispatcher = Arc::clone(&self.dispatcher);
        let random = Pooled::new(&*dispatcher.deployment.ports.random);
        for BatchItem { request, violations, bytes } in items {
            self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
            let item =
                self.item(request, violations, &random).map_err(|violations| self.dispatcher.invalid(violations));
            self.waiting.push_back((item, bytes));
        }
    }

    fn item(
        &self,
        mut request: CreateRequest,
        mut violations: Vec<Violation>,
        random: &dyn Random,
    ) -> Result<ImportItem, Vec<Violation>> {
        let id = new_id(&self.dispatcher.deployment, random, &self.entity, &request.id);
        match (id, request_id(&request.write.request_id)) {
            (Ok((id, id_origin)), Ok(request_id)) if violations.is_empty() => {
                Ok(ImportItem { record: NewRecord { id, id_origin, draft: request.draft }, request_id })
            }
            (id, request_id) => {
                violations.extend(id.err().into_iter().chain(request_id.err()));
                violations.extend(check_create(&self.place.entity, &mut request.draft));
                Err(violations)
            }
        }
    }

    /// The maximum number of requests in a group, at most those of a second, so that results arrive at the rate.
    fn group_records_max(&self) -> usize {
        let limits = &self.dispatcher.limits;
        let of_rate = Some(limits.calls_per_second_per_identity).filter(|rate| *rate > 0);
        let max = of_rate.unwrap_or(u32::MAX).min(limits.import_group_max_records);
        usize::try_from(max).unwrap_or(usize::MAX)
    }

    fn group_bytes_max(&self) -> usize {
        usize::try_from(self.dispatcher.limits.import_group_max_bytes).unwrap_or(usize::MAX)
    }

    /// Begins to write the next group, in a separate task, so that it is finished even if the caller leaves.
    fn write_group(&mut self) {
        let (records_max, bytes_max) = (self.group_records_max(), self.group_bytes_max());
        let (mut items, mut refused, mut bytes) = (Vec::new(), Vec::new(), 0_usize);
        while let Some((_, next)) = self.waiting.front() {
            let position = items.len() + refused.len();
            if position == records_max || (position > 0 && bytes.saturating_add(*next) > bytes_max) {
                break;
            }
            let Some((item, next)) = self.waiting.pop_front() else { break };
            bytes = bytes.saturating_add(next);
            match item {
                Ok(item) => items.push(item),
                Err(status) => refused.push((position, status)),
            }
        }
        self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
        let (complete, is_complete) = oneshot::channel();
        let earlier = self.last_complete.replace(is_complete);
        let (dispatcher, import) = (Arc::clone(&self.dispatcher), Arc::clone(&self.import));
        let (place, requests) = (self.place.clone(), items.len() + refused.len());
        let written = self.dispatcher.drain.spawn(async move {
            let _complete = complete;
            tokio::select! {
                () = dispatcher.rates.pace(import.identity(), &place.organization.name, requests) => {}
                () = dispatcher.drain.begun() => return Err(Refusal::ShuttingDown.into()),
            }
            let earlier = async {
                if let Some(earlier) = earlier {
                    // It ends with an error, because its sender is dropped.
                    let _ended = earlier.await;
                }
            };
            let written = import.group(&dispatcher.deployment, items, earlier).await;
            written.map_err(|error| status::record(error, &place))
        });
        self.groups.push_back(Group { refused, written });
    }

    /// Sends the results of a group. The inner `None` means that the caller has left.
    async fn answer(
        &self,
        (refused, written): (Vec<(usize, Status)>, Vec<Imported>),
        answers: &Answers<EntityReply>,
    ) -> Result<(), Option<Status>> {
        let mut refused = refused.into_iter().peekable();
        let mut written = written.into_iter();
        let (mut results, mut bytes) = (Vec::new(), 0_usize);
        for position in 0.. {
            let result = match refused.next_if(|(refused, _)| *refused == position) {
                Some((_, status)) => Err(status),
                None => match written.next() {
                    Some(imported) => imported.map_err(|error| status::record(error, &self.place)),
                    None => break,
                },
            };
            bytes += result.as_ref().map_or_else(|status| status.details().len(), |_: &RecordId| NAME_BYTES);
            results.push(result);
            if bytes >= RESULTS_BYTES {
                self.send(std::mem::take(&mut results), answers).await?;
                bytes = 0;
            }
        }
        if results.is_empty() { Ok(()) } else { self.send(results, answers).await }
    }

    async fn send(
        &self,
        results: Vec<Result<RecordId, Status>>,
        answers: &Answers<EntityReply>,
    ) -> Result<(), Option<Status>> {
        let reply = EntityReply::Imported(self.place.organization.name.clone(), results);
        answers.send(reply).await.map_err(|Left| None)
    }
}

/// Waits for the first of these groups, and removes it.
async fn next_group(groups: &mut VecDeque<Group>) -> Result<(Vec<(usize, Status)>, Vec<Imported>), Status> {
    let Some(first) = groups.front_mut() else { return std::future::pending().await };
    let written = (&mut first.written).await.map_err(|_| status::broken())??;
    let refused = groups.pop_front().map(|group| group.refused).unwrap_or_default();
    Ok((refused, written))
}
