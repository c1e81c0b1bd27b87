package io.sealward.client;

import com.google.protobuf.Message;
import io.grpc.MethodDescriptor;
import io.grpc.protobuf.ProtoUtils;
import java.util.UUID;

/** What the generated clients need to describe their rpcs. */
final class Methods {
    private Methods() {}

    /** Describes an rpc. Whether it can be repeated is decided by {@link RetryFacts} and by its request. */
    static <Q extends Message, A extends Message> MethodDescriptor<Q, A> describe(
            MethodDescriptor.MethodType type, String service, String name, Q request, A answer) {
        return MethodDescriptor.<Q, A>newBuilder()
                .setType(type)
                .setFullMethodName(MethodDescriptor.generateFullMethodName(service, name))
                .setRequestMarshaller(ProtoUtils.marshaller(request))
                .setResponseMarshaller(ProtoUtils.marshaller(answer))
                .build();
    }

    /** Generates an idempotency key, a random UUID. */
    static String newRequestId() {
        return UUID.randomUUID().toString();
    }
}
