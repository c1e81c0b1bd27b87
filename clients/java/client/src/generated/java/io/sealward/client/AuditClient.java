// Generated from sealward/v1/audit.proto. Do not edit.
package io.sealward.client;

import io.grpc.MethodDescriptor;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CompletableFuture;

/**
 * Lists and verifies audit trails. An audit trail records actions and attempted actions, with caller, time and network address.
 * <p>Each organization has a trail in its database. The deployment has a trail too, for actions that belong to no organization, and for every
 * call that is refused because a privilege is missing. If the organization of such a call exists, its trail has the refusal too.
 * <p>Records are appended and never changed. Each record has the hash of the previous record, and the last record is signed at intervals.
 * Records contain no secrets and no values of encrypted attributes. docs/audit-trail.md lists the actions, and describes the encoding for
 * verifying a trail without this service.
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
 * <p>A failed call throws a {@link SealwardException}.
 */
public final class AuditClient {
    private static final MethodDescriptor<io.sealward.v1.ListAuditRecordsRequest, io.sealward.v1.ListAuditRecordsResponse> LIST_AUDIT_RECORDS = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.AuditService",
            "ListAuditRecords",
            io.sealward.v1.ListAuditRecordsRequest.getDefaultInstance(),
            io.sealward.v1.ListAuditRecordsResponse.getDefaultInstance());

    private static final MethodDescriptor<io.sealward.v1.VerifyAuditTrailRequest, io.sealward.v1.VerifyAuditTrailResponse> VERIFY_AUDIT_TRAIL = Methods.describe(
            MethodDescriptor.MethodType.UNARY,
            "sealward.v1.AuditService",
            "VerifyAuditTrail",
            io.sealward.v1.VerifyAuditTrailRequest.getDefaultInstance(),
            io.sealward.v1.VerifyAuditTrailResponse.getDefaultInstance());

    /** All rpcs of the service. */
    static final List<MethodDescriptor<?, ?>> METHODS = List.of(LIST_AUDIT_RECORDS, VERIFY_AUDIT_TRAIL);

    private final Calls calls;

    AuditClient(Calls calls) {
        this.calls = calls;
    }

    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */
    public AuditClient withTimeout(Duration timeout) {
        return new AuditClient(calls.withTimeout(timeout));
    }

    /**
     * Lists the records of a trail, newest first, page by page.
     * <p>For the trail of the deployment, the caller needs the privilege in all organizations.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FILTER_INVALID: the filter is invalid.
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>INVALID_ARGUMENT PAGE_TOKEN_INVALID: the page token is invalid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * </ul>
     * <p>Records that are added between two pages don't appear. All other records appear exactly once.
     */
    public io.sealward.v1.ListAuditRecordsResponse listAuditRecords(io.sealward.v1.ListAuditRecordsRequest request) {
        return calls.unary(LIST_AUDIT_RECORDS, request);
    }

    /**
     * The asynchronous form of {@link #listAuditRecords}.
     */
    public CompletableFuture<io.sealward.v1.ListAuditRecordsResponse> listAuditRecordsAsync(io.sealward.v1.ListAuditRecordsRequest request) {
        return calls.unaryAsync(LIST_AUDIT_RECORDS, request);
    }

    /**
     * Returns all records of {@link #listAuditRecords}, from the request's page on. Each page is a call.
     */
    public Pages<io.sealward.v1.AuditRecord> listAllAuditRecords(io.sealward.v1.ListAuditRecordsRequest request) {
        return new Pages<>(
                request.getPageToken(),
                token -> listAuditRecords(request.toBuilder().setPageToken(token).build()),
                page -> page.getAuditRecordsList(),
                page -> page.getNextPageToken());
    }

    /**
     * Verifies a snapshot of a trail: all hashes, links and signatures, and whether the trail still has the last record that the deployment
     * saw. Faults of the trail are reported in the response, not as errors. Each call is recorded.
     * <p>For the trail of the deployment, the caller needs the privilege in all organizations.
     * <p>Errors, in addition to those of every method:
     * <ul>
     * <li>INVALID_ARGUMENT FIELD_INVALID: fields of the request are invalid.
     * <li>NOT_FOUND: the organization doesn't exist.
     * <li>RESOURCE_EXHAUSTED IN_FLIGHT_LIMIT: the caller has too many lists or streams open.
     * </ul>
     * <p>The server reads the whole trail, in about two seconds for 100000 records: set a deadline that is long enough. Only one verification of
     * a trail runs at a time. Calls that arrive while one runs share the result of the next one.
     */
    public io.sealward.v1.VerifyAuditTrailResponse verifyAuditTrail(io.sealward.v1.VerifyAuditTrailRequest request) {
        return calls.unary(VERIFY_AUDIT_TRAIL, request);
    }

    /**
     * The asynchronous form of {@link #verifyAuditTrail}.
     */
    public CompletableFuture<io.sealward.v1.VerifyAuditTrailResponse> verifyAuditTrailAsync(io.sealward.v1.VerifyAuditTrailRequest request) {
        return calls.unaryAsync(VERIFY_AUDIT_TRAIL, request);
    }
}
