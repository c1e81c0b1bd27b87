package io.sealward.client;

import com.google.protobuf.AbstractMessage;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.MessageOrBuilder;
import com.google.protobuf.TextFormat;
import com.google.protobuf.UnknownFieldSet;
import io.sealward.v1.SecretValue;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/**
 * Text of messages without the values of secrets: of fields that the contract marks with {@code debug_redact}, at any depth.
 *
 * <p>{@code toString} of a message is final in protobuf's runtime. It prints what {@code getAllFields} and {@code getUnknownFields} return. So
 * the messages of the contract override these two: to {@code toString}, and only to it, they return a placeholder for each secret. That also
 * covers {@code toString} of a message of another package that contains a message of the contract. Explicit conversions, such as
 * {@code TextFormat.printer()}, {@code JsonFormat} and the wire format, keep the values.
 *
 * <p>This depends on the runtime's {@code toString}. {@link SealwardClientBuilder#connect} verifies it, and refuses a runtime in which secrets
 * would be printed.
 */
public final class Redaction {
    private Redaction() {}

    /**
     * Returns the fields of a message as text, without the values of secrets. The values of unknown fields are left out too: a field that this
     * client doesn't know can be a secret.
     */
    public static String toText(MessageOrBuilder message) {
        StringBuilder out = new StringBuilder();
        append(out, message, "");
        return out.toString();
    }

    /** For the generated messages: returns {@code fields} as they are, or without secrets if {@code toString} reads them. */
    public static Map<FieldDescriptor, Object> fieldsFor(Map<FieldDescriptor, Object> fields) {
        if (!isReadByToString()) {
            return fields;
        }
        Map<FieldDescriptor, Object> redacted = new TreeMap<>(fields);
        redacted.replaceAll((field, value) -> isSecret(field) ? placeholder(field) : value);
        return Collections.unmodifiableMap(redacted);
    }

    /** For the generated messages: returns {@code fields} as they are, or without their values if {@code toString} reads them. */
    public static UnknownFieldSet unknownFieldsFor(UnknownFieldSet fields) {
        if (fields == UnknownFieldSet.getDefaultInstance() || !isReadByToString()) {
            return fields;
        }
        UnknownFieldSet.Builder redacted = UnknownFieldSet.newBuilder();
        for (Integer number : fields.asMap().keySet()) {
            redacted.addField(number, UnknownFieldSet.Field.newBuilder().addLengthDelimited(REDACTED_BYTES).build());
        }
        return redacted.build();
    }

    /**
     * Verifies that the runtime's {@code toString} prints no secret.
     *
     * @throws SetupException if it does
     */
    static void verify() {
        if (!IS_EFFECTIVE) {
            throw new SetupException("this version of protobuf-java would print secrets: use a version that the client's README names");
        }
    }

    /**
     * Whether the caller's caller is called by {@code toString} of a message, without code of another library between them. The frames of
     * this class and of the generated method are skipped.
     */
    private static boolean isReadByToString() {
        return STACK.walk(frames -> frames.skip(GENERATED_FRAMES)
                .takeWhile(frame -> frame.getClassName().startsWith(RUNTIME_PACKAGE))
                .anyMatch(frame -> frame.getMethodName().equals("toString") && MESSAGES.contains(frame.getClassName())));
    }

    private static void append(StringBuilder out, MessageOrBuilder message, String indent) {
        for (Map.Entry<FieldDescriptor, Object> entry : message.getAllFields().entrySet()) {
            FieldDescriptor field = entry.getKey();
            if (isSecret(field)) {
                out.append(indent).append(field.getName()).append(": \"").append(REDACTED).append("\"\n");
            } else if (field.getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
                List<?> values = field.isRepeated() ? (List<?>) entry.getValue() : List.of(entry.getValue());
                for (Object value : values) {
                    out.append(indent).append(field.getName()).append(" {\n");
                    append(out, (MessageOrBuilder) value, indent + "  ");
                    out.append(indent).append("}\n");
                }
            } else {
                String lines = TextFormat.printer().printFieldToString(field, entry.getValue());
                lines.lines().forEach(line -> out.append(indent).append(line).append('\n'));
            }
        }
        for (Integer number : message.getUnknownFields().asMap().keySet()) {
            out.append(indent).append(number).append(": \"").append(REDACTED).append("\"\n");
        }
    }

    /** Whether the contract marks a field as secret. The content of an Any isn't known. */
    private static boolean isSecret(FieldDescriptor field) {
        return field.getOptions().getDebugRedact()
                || field.getContainingType().getFullName().equals(Any.getDescriptor().getFullName()) && field.getName().equals("value");
    }

    private static Object placeholder(FieldDescriptor field) {
        return field.getJavaType() == FieldDescriptor.JavaType.BYTE_STRING ? REDACTED_BYTES : REDACTED;
    }

    private static boolean isEffective() {
        SecretValue secret = SecretValue.newBuilder()
                .setText("printed")
                .setUnknownFields(UnknownFieldSet.newBuilder()
                        .addField(1000, UnknownFieldSet.Field.newBuilder().addLengthDelimited(ByteString.copyFromUtf8("printed")).build())
                        .build())
                .build();
        return secret.toString().contains(REDACTED) && !secret.toString().contains("printed");
    }

    private static final String REDACTED = "[REDACTED]";
    private static final ByteString REDACTED_BYTES = ByteString.copyFromUtf8(REDACTED);

    private static final StackWalker STACK = StackWalker.getInstance();

    /** {@code isReadByToString}, the method for generated messages, and the generated method. */
    private static final int GENERATED_FRAMES = 3;

    /** The names come from the classes, so that they are right if a build moves the runtime to another package. */
    private static final String RUNTIME_PACKAGE = AbstractMessage.class.getPackageName() + ".";

    private static final Set<String> MESSAGES = Set.of(AbstractMessage.class.getName(), AbstractMessage.Builder.class.getName());

    private static final boolean IS_EFFECTIVE = isEffective();
}
