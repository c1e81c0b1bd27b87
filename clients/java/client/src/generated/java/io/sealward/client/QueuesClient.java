// Generated from sealward/mail/v1/queue.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Manages queues: places where messages and work wait to be processed.
 * <p>Every method requires TLS and an identity. Every method can return these errors:
 * <ul>
 * <li>FAILED_PRECONDITION HTTPS_REQUIRED
 * <li>UNAUTHENTICATED IDENTITY_REQUIRED
 * <li>PERMISSION_DENIED PRIVILEGE_MISSING
 * <li>INVALID_ARGUMENT MESSAGE_INVALID
 * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE
 * <li>UNAVAILABLE STORE_UNAVAILABLE, AUDIT_UNAVAILABLE or SHUTTING_DOWN
 * <li>DEADLINE_EXCEEDED, CANCELLED or INTERNAL
 * </ul>
 * <p>Encrypted attributes are write-only. They are absent from every response, including the responses of Create and Update.
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class QueuesClient {
    private static final MethodDescriptor<io.sealward.mail.v1.CreateQueueRequest, io.sealward.mail.v1.Queue> CREATE_QUEUE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "CreateQueue",
            io.sealward.mail.v1.CreateQueueRequest.getDefaultInstance(),
            io.sealward.mail.v1.Queue.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.GetQueueRequest, io.sealward.mail.v1.Queue> GET_QUEUE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "GetQueue",
            io.sealward.mail.v1.GetQueueRequest.getDefaultInstance(),
            io.sealward.mail.v1.Queue.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ListQueuesRequest, io.sealward.mail.v1.ListQueuesResponse> LIST_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "ListQueues",
            io.sealward.mail.v1.ListQueuesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ListQueuesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.UpdateQueueRequest, io.sealward.mail.v1.Queue> UPDATE_QUEUE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "UpdateQueue",
            io.sealward.mail.v1.UpdateQueueRequest.getDefaultInstance(),
            io.sealward.mail.v1.Queue.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.DeleteQueueRequest, com.google.protobuf.Empty> DELETE_QUEUE = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "DeleteQueue",
            io.sealward.mail.v1.DeleteQueueRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchGetQueuesRequest, io.sealward.mail.v1.BatchGetQueuesResponse> BATCH_GET_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "BatchGetQueues",
            io.sealward.mail.v1.BatchGetQueuesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchGetQueuesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchCreateQueuesRequest, io.sealward.mail.v1.BatchCreateQueuesResponse> BATCH_CREATE_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "BatchCreateQueues",
            io.sealward.mail.v1.BatchCreateQueuesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchCreateQueuesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchUpdateQueuesRequest, io.sealward.mail.v1.BatchUpdateQueuesResponse> BATCH_UPDATE_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "BatchUpdateQueues",
            io.sealward.mail.v1.BatchUpdateQueuesRequest.getDefaultInstance(),
            io.sealward.mail.v1.BatchUpdateQueuesResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.BatchDeleteQueuesRequest, com.google.protobuf.Empty> BATCH_DELETE_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.mail.v1.QueueService",
            "BatchDeleteQueues",
            io.sealward.mail.v1.BatchDeleteQueuesRequest.getDefaultInstance(),
            com.google.protobuf.Empty.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.mail.v1.ImportQueuesRequest, io.sealward.mail.v1.ImportQueuesResponse> IMPORT_QUEUES = Methods.describe(
            MethodDescriptor.MethodType.BIDI_STREAMING,
            "sealward.mail.v1.QueueService",
            "ImportQueues",
            io.sealward.mail.v1.ImportQueuesRequest.getDefaultInstance(),
            io.sealward.mail.v1.ImportQueuesResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(CREATE_QUEUE, GET_QUEUE, LIST_QUEUES, UPDATE_QUEUE, DELETE_QUEUE, BATCH_GET_QUEUES, BATCH_CREATE_QUEUES, BATCH_UPDATE_QUEUES, BATCH_DELETE_QUEUES, IMPORT_QUEUES);

    private final Calls calls;

    QueuesClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public QueuesClient withTimeout(Duration timeout) {
        return new QueuesClient(calls.withTimeout(timeout));
    }

    /**
     * Creates a queue and returns it as stored, with defaults filled in.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: a queue with this id exists.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queue was created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Create changes nothing. It returns the queue as it is now, or
     * NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS if {@code queue_id} is set. Otherwise it creates
     * another queue.
     */
    public io.sealward.mail.v1.Queue createQueue(io.sealward.mail.v1.CreateQueueRequest request) {
        return calls.unary(CREATE_QUEUE, createQueueRequest(request));
    }

    /**
     * The asynchronous form of {@link #createQueue}.
     */
    public CompletableFuture<io.sealward.mail.v1.Queue> createQueueAsync(io.sealward.mail.v1.CreateQueueRequest request) {
        return calls.unaryAsync(CREATE_QUEUE, createQueueRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.CreateQueueRequest createQueueRequest(io.sealward.mail.v1.CreateQueueRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns a queue, or only the fields of it that {@code read_mask} names.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization or the queue doesn't exist.
     * </ul>
     */
    public io.sealward.mail.v1.Queue getQueue(io.sealward.mail.v1.GetQueueRequest request) {
        return calls.unary(GET_QUEUE, request);
    }

    /**
     * The asynchronous form of {@link #getQueue}.
     */
    public CompletableFuture<io.sealward.mail.v1.Queue> getQueueAsync(io.sealward.mail.v1.GetQueueRequest request) {
        return calls.unaryAsync(GET_QUEUE, request);
    }

    /**
     * Lists the queues of an organization that match {@code filter}, in the order of {@code order_by}, page by page.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT ENCRYPTED_ATTRIBUTE: the filter or the order names an encrypted attribute.
     * <li>INVALID_ARGUMENT FILTER_INVALID: the filter is invalid.
     * <li>INVALID_ARGUMENT FIELD_INVALID: other fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid. It is checked only if all other fields are valid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * </ul>
     * <p>If several of the INVALID_ARGUMENT reasons apply, the error has the first one in this order, and lists all violations.
     * <p>Pages aren't a snapshot. A record that is created or deleted between two pages may or may not appear. A record that doesn't change
     * appears exactly once. If an update changes an attribute that the list filters or orders by, the record moves. It can then be missing
     * from two successive pages, or appear on both.
     */
    public io.sealward.mail.v1.ListQueuesResponse listQueues(io.sealward.mail.v1.ListQueuesRequest request) {
        return calls.unary(LIST_QUEUES, request);
    }

    /**
     * The asynchronous form of {@link #listQueues}.
     */
    public CompletableFuture<io.sealward.mail.v1.ListQueuesResponse> listQueuesAsync(io.sealward.mail.v1.ListQueuesRequest request) {
        return calls.unaryAsync(LIST_QUEUES, request);
    }

    /**
     * Returns all records of {@link #listQueues}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.mail.v1.Queue> listAllQueues(io.sealward.mail.v1.ListQueuesRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listQueues(request.toBuilder().setPageToken(token).build()),
                page -> page.getQueuesList(),
                page -> page.getNextPageToken());
    }

    /**
     * Updates the attributes that {@code update_mask} names and returns the queue as it is now.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the queue doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the queue was changed after the etag was read.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value. Clearing an
     * encrypted attribute needs no key.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queue was updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Update changes nothing. It returns the queue as it is now, or
     * NOT_FOUND if it was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of other
     * callers. If the request has an etag, the repetition returns ETAG_MISMATCH instead.
     */
    public io.sealward.mail.v1.Queue updateQueue(io.sealward.mail.v1.UpdateQueueRequest request) {
        return calls.unary(UPDATE_QUEUE, updateQueueRequest(request));
    }

    /**
     * The asynchronous form of {@link #updateQueue}.
     */
    public CompletableFuture<io.sealward.mail.v1.Queue> updateQueueAsync(io.sealward.mail.v1.UpdateQueueRequest request) {
        return calls.unaryAsync(UPDATE_QUEUE, updateQueueRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.UpdateQueueRequest updateQueueRequest(io.sealward.mail.v1.UpdateQueueRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes a queue, including its encrypted attributes. No built-in entity refers to queues.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or the queue doesn't exist.
     * <li>ABORTED ETAG_MISMATCH: the queue was changed after the etag was read.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queue was deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed Delete changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND, or deletes a queue that was created with the same id since.
     */
    public com.google.protobuf.Empty deleteQueue(io.sealward.mail.v1.DeleteQueueRequest request) {
        return calls.unary(DELETE_QUEUE, deleteQueueRequest(request));
    }

    /**
     * The asynchronous form of {@link #deleteQueue}.
     */
    public CompletableFuture<com.google.protobuf.Empty> deleteQueueAsync(io.sealward.mail.v1.DeleteQueueRequest request) {
        return calls.unaryAsync(DELETE_QUEUE, deleteQueueRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.DeleteQueueRequest deleteQueueRequest(io.sealward.mail.v1.DeleteQueueRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Returns up to 1,000 queues, in the order of {@code names}: all of them, or an error.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a name is listed twice. The error lists all violations.
     * <li>NOT_FOUND: the organization or some of the queues don't exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or batches open.
     * </ul>
     */
    public io.sealward.mail.v1.BatchGetQueuesResponse batchGetQueues(io.sealward.mail.v1.BatchGetQueuesRequest request) {
        return calls.unary(BATCH_GET_QUEUES, request);
    }

    /**
     * The asynchronous form of {@link #batchGetQueues}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchGetQueuesResponse> batchGetQueuesAsync(io.sealward.mail.v1.BatchGetQueuesRequest request) {
        return calls.unaryAsync(BATCH_GET_QUEUES, request);
    }

    /**
     * Creates up to 1,000 queues in one transaction, all or none, and returns them as stored, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid. The error lists all violations, with their request:
     * {@code requests[3].queue_id}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>ALREADY_EXISTS: some of the ids exist. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the response would exceed the maximum size of a message. Nothing was created.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queues were created.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the queues as they are now, or
     * NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition returns ALREADY_EXISTS for ids that the requests set, and otherwise
     * creates other queues.
     */
    public io.sealward.mail.v1.BatchCreateQueuesResponse batchCreateQueues(io.sealward.mail.v1.BatchCreateQueuesRequest request) {
        return calls.unary(BATCH_CREATE_QUEUES, batchCreateQueuesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchCreateQueues}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchCreateQueuesResponse> batchCreateQueuesAsync(io.sealward.mail.v1.BatchCreateQueuesRequest request) {
        return calls.unaryAsync(BATCH_CREATE_QUEUES, batchCreateQueuesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchCreateQueuesRequest batchCreateQueuesRequest(io.sealward.mail.v1.BatchCreateQueuesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Updates up to 1,000 queues in one transaction, all or none, and returns them as they are now, in the order of the requests.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a queue is named twice. The error lists all violations, with
     * their request: {@code requests[3].queue.name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the queues don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the queues were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored queues or the response would exceed the maximum size of a message. Nothing was
     * updated.
     * <li>FAILED_PRECONDITION DATA_ENCRYPTION_INACTIVE or DATA_LOSS KEY_RING_DAMAGED: only if an encrypted attribute gets a value.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queues were updated.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing. It returns the queues as they are now, or
     * NOT_FOUND if one was deleted. Without a {@code request_id}, a repetition writes the same values again and overwrites later changes of other
     * callers, unless the requests have etags.
     */
    public io.sealward.mail.v1.BatchUpdateQueuesResponse batchUpdateQueues(io.sealward.mail.v1.BatchUpdateQueuesRequest request) {
        return calls.unary(BATCH_UPDATE_QUEUES, batchUpdateQueuesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchUpdateQueues}.
     */
    public CompletableFuture<io.sealward.mail.v1.BatchUpdateQueuesResponse> batchUpdateQueuesAsync(io.sealward.mail.v1.BatchUpdateQueuesRequest request) {
        return calls.unaryAsync(BATCH_UPDATE_QUEUES, batchUpdateQueuesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchUpdateQueuesRequest batchUpdateQueuesRequest(io.sealward.mail.v1.BatchUpdateQueuesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Deletes up to 1,000 queues in one transaction, all or none, including their encrypted attributes. References to them are handled as by
     * DeleteQueue.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid, or a queue is named twice. The error lists all violations, with
     * their request: {@code requests[3].name}.
     * <li>INVALID_ARGUMENT REQUEST_ID_REUSED: a different request had the same {@code request_id}.
     * <li>NOT_FOUND: the organization or some of the queues don't exist. The error names them.
     * <li>ABORTED ETAG_MISMATCH: some of the queues were changed after their etags were read. The error names them.
     * <li>OUT_OF_RANGE MESSAGE_TOO_LARGE: also if the stored queues exceed the maximum size of a message together. Nothing was deleted.
     * <li>FAILED_PRECONDITION REFERENCE_IN_USE: a reference of the schema prevents the deletion. No built-in reference does.
     * <li>UNAVAILABLE OUTCOME_UNKNOWN: it isn't known whether the queues were deleted.
     * </ul>
     * <p>Safe to repeat with a {@code request_id}: the repetition of a completed call changes nothing and returns the same response. Without a
     * {@code request_id}, a repetition returns NOT_FOUND.
     */
    public com.google.protobuf.Empty batchDeleteQueues(io.sealward.mail.v1.BatchDeleteQueuesRequest request) {
        return calls.unary(BATCH_DELETE_QUEUES, batchDeleteQueuesRequest(request));
    }

    /**
     * The asynchronous form of {@link #batchDeleteQueues}.
     */
    public CompletableFuture<com.google.protobuf.Empty> batchDeleteQueuesAsync(io.sealward.mail.v1.BatchDeleteQueuesRequest request) {
        return calls.unaryAsync(BATCH_DELETE_QUEUES, batchDeleteQueuesRequest(request));
    }

    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */
    private static io.sealward.mail.v1.BatchDeleteQueuesRequest batchDeleteQueuesRequest(io.sealward.mail.v1.BatchDeleteQueuesRequest request) {
        return request.getRequestId().isEmpty() && !request.getValidateOnly()
                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()
                : request;
    }

    /**
     * Creates any number of queues from a stream, and returns a result for each, in the order of the requests. Each queue is created or
     * refused on its own.
     * <p>The first message names the organization. The server collects requests into groups and creates each group in one transaction: up to
     * 1,000 queues, or the requests that have arrived when no further one is waiting. It returns the results of a group when the group is on
     * disk. It reads ahead only a few groups, so read the results while you send.
     * <p>Errors, in addition to those of every method, which end the stream:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: the first message is invalid, or a message has too many requests.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many streams open.
     * <li>UNAVAILABLE CONNECTION_ENDING: the connection is closing. Continue with the first request that has no result, on another connection.
     * </ul>
     * <p>Errors of a single queue are in its result, and are those of CreateQueue. If the stream ends with an error, requests without a result
     * may have been executed.
     * <p>Safe to repeat if every request has a {@code request_id}: the repetition of a request that was executed creates nothing and returns the same
     * name. The same applies to requests with an id, but their repetition returns ALREADY_EXISTS. A repetition of other requests creates
     * other queues.
     * <p>A thread of the client reads the requests as the server takes them. Close the stream unless you read it to its end.
     */
    public ResponseStream<io.sealward.mail.v1.ImportQueuesResponse> importQueues(Iterable<io.sealward.mail.v1.ImportQueuesRequest> requests) {
        return calls.bidirectionalStream(IMPORT_QUEUES, requests);
    }
}
