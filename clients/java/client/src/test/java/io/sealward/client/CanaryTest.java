package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.gson.Gson;
import com.google.gson.GsonBuilder;
import com.google.protobuf.Any;
import com.google.protobuf.ByteString;
import com.google.protobuf.Descriptors.Descriptor;
import com.google.protobuf.Descriptors.FieldDescriptor;
import com.google.protobuf.Descriptors.FileDescriptor;
import com.google.protobuf.Message;
import com.google.protobuf.TextFormat;
import com.google.protobuf.UnknownFieldSet;
import com.google.protobuf.util.JsonFormat;
import io.grpc.Metadata;
import io.grpc.Status;
import io.sealward.mail.v1.EmailServerProfileOuterClass;
import io.sealward.mail.v1.MailboxConnection;
import io.sealward.mail.v1.MailboxOuterClass;
import io.sealward.mail.v1.QueueOuterClass;
import io.sealward.mail.v1.UserSettingsOuterClass;
import io.sealward.v1.Access;
import io.sealward.v1.Audit;
import io.sealward.v1.DataEncryption;
import io.sealward.v1.Export;
import io.sealward.v1.ItemStatusOuterClass;
import io.sealward.v1.OrganizationOuterClass;
import io.sealward.v1.SecretAccess;
import io.sealward.v1.SecretValue;
import io.sealward.v1.Server;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.lang.reflect.Field;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeSet;
import java.util.logging.Formatter;
import java.util.logging.LogRecord;
import java.util.logging.SimpleFormatter;
import java.util.logging.XMLFormatter;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.slf4j.helpers.MessageFormatter;

/** Prints every message with every secret set to a canary, in every way that a program prints, and searches for the canary. */
class CanaryTest {
    private static final String CANARY = "canary-5ecret";
    private static final List<FileDescriptor> FILES = List.of(
            Access.getDescriptor(),
            Audit.getDescriptor(),
            DataEncryption.getDescriptor(),
            io.sealward.v1.Errors.getDescriptor(),
            Export.getDescriptor(),
            ItemStatusOuterClass.getDescriptor(),
            io.sealward.v1.Metadata.getDescriptor(),
            OrganizationOuterClass.getDescriptor(),
            SecretAccess.getDescriptor(),
            Server.getDescriptor(),
            EmailServerProfileOuterClass.getDescriptor(),
            MailboxOuterClass.getDescriptor(),
            MailboxConnection.getDescriptor(),
            QueueOuterClass.getDescriptor(),
            UserSettingsOuterClass.getDescriptor());

    private record Holder(Message message, List<Message> list, Map<String, Message> map, Optional<Message> optional) {}

    @Test
    void no_secret_is_printed_in_any_way() throws Exception {
        int printed = 0;
        int found = 0;
        int secrets = 0;
        TreeSet<String> messages = new TreeSet<>();
        for (Message message : messages()) {
            Message filled = fill(message, 0);
            boolean hasSecret = search(message.getDescriptorForType(), 0);
            assertEquals(hasSecret, explicit(filled).contains(CANARY), message.getDescriptorForType().getFullName());
            if (hasSecret) {
                secrets++;
                messages.add(message.getDescriptorForType().getName());
            }
            for (Map.Entry<String, String> way : ways(filled).entrySet()) {
                printed++;
                if (leaks(way.getValue())) {
                    found++;
                    System.out.println("canary found: " + message.getDescriptorForType().getFullName() + " by " + way.getKey());
                }
            }
        }
        System.out.println("canary: " + messages().size() + " messages, " + secrets + " of them with secrets (" + String.join(", ", messages) + "), "
                + printed + " texts, canary found in " + found);
        assertEquals(0, found);
        assertTrue(secrets > 10, "messages with secrets: " + secrets);
    }

    @Test
    void explicit_conversions_keep_the_value() throws Exception {
        SecretValue secret = SecretValue.newBuilder().setText(CANARY).build();
        assertTrue(TextFormat.printer().printToString(secret).contains(CANARY));
        assertTrue(JsonFormat.printer().print(secret).contains(CANARY));
        assertEquals(secret, SecretValue.parseFrom(secret.toByteArray()));
        assertEquals(CANARY, secret.getAllFields().values().iterator().next());
        assertEquals(secret, SecretValue.newBuilder().mergeFrom((Message) secret).build());
        assertEquals(secret, TextFormat.parse(TextFormat.printer().printToString(secret), SecretValue.class));
    }

    @Test
    void search_finds_a_value_that_is_printed() {
        assertTrue(leaks("password: \"" + CANARY + "\""));
        assertTrue(leaks(java.util.Base64.getEncoder().encodeToString(CANARY.getBytes(StandardCharsets.UTF_8))));
        assertTrue(leaks(Arrays.toString(CANARY.getBytes(StandardCharsets.UTF_8))));
        assertFalse(leaks("password: \"[REDACTED]\""));
    }

    @Test
    void unknown_field_of_a_newer_server_is_not_printed() throws Exception {
        UnknownFieldSet unknown = UnknownFieldSet.newBuilder()
                .addField(99, UnknownFieldSet.Field.newBuilder().addLengthDelimited(ByteString.copyFromUtf8(CANARY)).build())
                .build();
        io.sealward.v1.Organization organization = io.sealward.v1.Organization.newBuilder().setName("organizations/a").setUnknownFields(unknown).build();
        for (Map.Entry<String, String> way : ways(organization).entrySet()) {
            // Gson reads a private field of protobuf's runtime. README.md says so.
            assertEquals(way.getKey().startsWith("gson of"), leaks(way.getValue()), way.getKey());
        }
        assertTrue(organization.toString().contains("99: \"[REDACTED]\""), organization.toString());
        assertEquals(organization, io.sealward.v1.Organization.parseFrom(organization.toByteArray()));
    }

    @Test
    void message_of_another_package_prints_no_secret_of_a_message_in_it() {
        Any packed = Any.pack(SecretValue.newBuilder().setText(CANARY).build());
        assertFalse(Redaction.toText(packed).contains(CANARY));
        assertFalse(Redaction.toText(SecretValue.newBuilder().setText(CANARY)).contains(CANARY));
    }

    @Test
    void builder_and_token_print_no_secret() {
        SealwardClientBuilder builder = SealwardClient.builder("https://127.0.0.1:1")
                .bearerToken(CANARY)
                .identityPem(CANARY.getBytes(StandardCharsets.UTF_8), CANARY.getBytes(StandardCharsets.UTF_8));
        assertFalse(leaks(builder.toString()));
        try (SealwardClient client = SealwardClient.builder("https://127.0.0.1:1").bearerToken(CANARY).connect()) {
            assertFalse(leaks(client.toString() + client.mailboxes() + client.channel()));
            SealwardException error = org.junit.jupiter.api.Assertions.assertThrows(
                    SealwardException.class,
                    () -> client.dataEncryption()
                            .setDataEncryptionKey(io.sealward.v1.SetDataEncryptionKeyRequest.newBuilder().setEncryptionKey(CANARY).build()));
            assertFalse(leaks(trace(error)));
        }
    }

    /** The texts of a message, by the way in which they are printed. */
    private static Map<String, String> ways(Message message) throws IOException {
        Map<String, String> ways = new LinkedHashMap<>();
        ways.put("toString", message.toString());
        ways.put("String.valueOf", String.valueOf(message));
        ways.put("concatenation", "" + message);
        ways.put("String.format", String.format("%s %S", message, message));
        ways.put("StringBuilder", new StringBuilder().append(message).toString());
        ways.put("Objects.toString", Objects.toString(message));
        ways.put("builder", message.toBuilder().toString());
        ways.put("redactedText", Redaction.toText(message));
        ways.put("list", List.of(message).toString());
        ways.put("array", Arrays.toString(new Object[] {message}));
        ways.put("map", Map.of("message", message).toString());
        ways.put("Optional", Optional.of(message).toString());
        ways.put("record", new Holder(message, List.of(message), Map.of("a", message), Optional.of(message)).toString());
        ways.put("print stream", printed(message));
        ways.put("java.util.logging", logged(new SimpleFormatter(), message));
        ways.put("java.util.logging as XML", logged(new XMLFormatter(), message));
        ways.put("slf4j", MessageFormatter.arrayFormat("{} {}", new Object[] {message, List.of(message)}).getMessage());
        ways.put("slf4j to standard error", simpleLogger(message));
        ways.put("System.Logger", java.text.MessageFormat.format("{0}", message));
        ways.put("exception", trace(new IllegalStateException("failed: " + message)));
        ways.put("cause", trace(new RuntimeException("outer", new IllegalArgumentException(String.valueOf(message)))));
        ways.put("assertion", trace(new AssertionError(message)));
        ways.put("typed error", trace(SealwardException.ofClient(Status.Code.INTERNAL, "failed: " + message, null)));
        ways.put("status", trace(Status.INTERNAL.withDescription("failed: " + message).asRuntimeException(new Metadata())));
        for (Map.Entry<FieldDescriptor, Object> field : message.getAllFields().entrySet()) {
            if (field.getKey().getJavaType() == FieldDescriptor.JavaType.MESSAGE) {
                ways.put("field " + field.getKey().getName(), field.getValue().toString());
            }
        }
        gson(message, ways);
        jackson(message, ways);
        return ways;
    }

    /** Gson reads private fields. It refuses some of them, and what it writes before that counts. */
    private static void gson(Message message, Map<String, String> ways) {
        List<Object> objects = List.of(message, message.toBuilder());
        for (Object object : objects) {
            StringBuilder out = new StringBuilder();
            Gson gson = new GsonBuilder().create();
            try {
                gson.toJson(object, out);
            } catch (RuntimeException | StackOverflowError error) {
                out.append(error);
            }
            ways.put("gson of " + (object == message ? "message" : "builder"), out.toString());
        }
    }

    @Test
    void libraries_that_read_fields_print_what_is_not_secret() throws IOException {
        Map<String, String> ways = ways(io.sealward.v1.SetDataEncryptionKeyRequest.newBuilder()
                .setOrganization("organizations/a")
                .setEncryptionKey(CANARY)
                .build());
        for (String way : List.of("gson of message", "gson of builder", "jackson", "jackson of builder", "toString", "builder")) {
            assertTrue(ways.get(way).contains("organizations/a"), way + ": " + ways.get(way));
        }
    }

    private static void jackson(Message message, Map<String, String> ways) throws IOException {
        ObjectMapper mapper = new ObjectMapper();
        ways.put("jackson", mapper.writeValueAsString(message));
        ways.put("jackson of builder", mapper.writeValueAsString(message.toBuilder()));
        ways.put("jackson of record", mapper.writeValueAsString(Map.of("message", message)));
    }

    private static String explicit(Message message) {
        return TextFormat.printer().printToString(message);
    }

    private static boolean leaks(String text) {
        byte[] bytes = CANARY.getBytes(StandardCharsets.UTF_8);
        String base64 = java.util.Base64.getEncoder().withoutPadding().encodeToString(bytes);
        String numbers = Arrays.toString(bytes);
        return text.toLowerCase(java.util.Locale.ROOT).contains(CANARY)
                || text.contains(base64)
                || text.replace(" ", "").contains(numbers.replace(" ", "").substring(1, numbers.replace(" ", "").length() - 1));
    }

    private static String printed(Message message) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        try (PrintStream out = new PrintStream(bytes, true, StandardCharsets.UTF_8)) {
            out.println(message);
            out.printf("%s%n", message);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static String logged(Formatter formatter, Message message) {
        LogRecord entry = new LogRecord(java.util.logging.Level.INFO, "message {0}");
        entry.setParameters(new Object[] {message});
        entry.setThrown(new IllegalStateException("failed: " + message));
        return formatter.format(entry);
    }

    private static String simpleLogger(Message message) {
        PrintStream before = System.err;
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        System.setErr(new PrintStream(bytes, true, StandardCharsets.UTF_8));
        try {
            org.slf4j.LoggerFactory.getLogger("canary").error("message {}", message, new IllegalStateException("failed: " + message));
        } finally {
            System.setErr(before);
        }
        return bytes.toString(StandardCharsets.UTF_8);
    }

    private static String trace(Throwable error) {
        StringWriter text = new StringWriter();
        error.printStackTrace(new PrintWriter(text, true));
        return text.toString();
    }

    /** An instance of every message of the contract. */
    private static List<Message> messages() throws ReflectiveOperationException {
        List<Message> messages = new ArrayList<>();
        for (FileDescriptor file : FILES) {
            for (Descriptor type : file.getMessageTypes()) {
                add(messages, file.getOptions().getJavaPackage() + "." + type.getName(), type);
            }
        }
        return messages;
    }

    private static void add(List<Message> messages, String className, Descriptor type) throws ReflectiveOperationException {
        messages.add((Message) Class.forName(className).getMethod("getDefaultInstance").invoke(null));
        for (Descriptor nested : type.getNestedTypes()) {
            if (!nested.getOptions().getMapEntry()) {
                add(messages, className + "$" + nested.getName(), nested);
            }
        }
    }

    /** Whether a message can contain a secret. */
    private static boolean search(Descriptor type, int depth) {
        for (FieldDescriptor field : type.getFields()) {
            boolean isMessage = field.getJavaType() == FieldDescriptor.JavaType.MESSAGE;
            if (field.getOptions().getDebugRedact() || isMessage && depth < DEPTH_MAX && search(field.getMessageType(), depth + 1)) {
                return true;
            }
        }
        return false;
    }

    /** The message with a value in every field, and the canary in every secret. Of a oneof, the first member is set. */
    private static Message fill(Message message, int depth) {
        Message.Builder builder = message.newBuilderForType();
        for (FieldDescriptor field : message.getDescriptorForType().getFields()) {
            boolean isLaterMember = field.getRealContainingOneof() != null && builder.hasOneof(field.getRealContainingOneof());
            boolean isTooDeep = field.getJavaType() == FieldDescriptor.JavaType.MESSAGE && depth >= DEPTH_MAX;
            if (isLaterMember || isTooDeep) {
                continue;
            }
            Object value = value(builder, field, depth);
            if (field.isRepeated()) {
                builder.addRepeatedField(field, value);
            } else {
                builder.setField(field, value);
            }
        }
        return builder.build();
    }

    private static Object value(Message.Builder parent, FieldDescriptor field, int depth) {
        boolean isSecret = field.getOptions().getDebugRedact();
        switch (field.getJavaType()) {
            case MESSAGE:
                return fill(parent.newBuilderForField(field).build(), depth + 1);
            case STRING:
                return isSecret ? CANARY : "text";
            case BYTE_STRING:
                return isSecret ? ByteString.copyFromUtf8(CANARY) : ByteString.copyFromUtf8("data");
            case ENUM:
                return field.getEnumType().getValues().get(0);
            case BOOLEAN:
                return true;
            case INT:
                return 1;
            case LONG:
                return 1L;
            case DOUBLE:
                return 1.0;
            case FLOAT:
            default:
                return 1.0f;
        }
    }

    @Test
    void data_of_a_secret_value_is_not_printed() throws IOException {
        SecretValue data = SecretValue.newBuilder().setData(ByteString.copyFromUtf8(CANARY)).build();
        for (Map.Entry<String, String> way : ways(data).entrySet()) {
            assertFalse(leaks(way.getValue()), way.getKey());
        }
    }

    @Test
    void fields_with_secrets_are_transient() throws ReflectiveOperationException {
        int secrets = 0;
        for (Message message : messages()) {
            for (FieldDescriptor field : message.getDescriptorForType().getFields()) {
                if (!field.getOptions().getDebugRedact()) {
                    continue;
                }
                secrets++;
                String name = field.getRealContainingOneof() == null ? field.getJsonName() : field.getRealContainingOneof().getName();
                for (Class<?> type : List.of(message.getClass(), message.toBuilder().getClass())) {
                    Field stored = type.getDeclaredField(name + "_");
                    assertTrue(java.lang.reflect.Modifier.isTransient(stored.getModifiers()), stored.toString());
                }
            }
        }
        assertTrue(secrets >= 10, "secrets: " + secrets);
    }

    @Test
    void every_file_of_the_contract_is_printed() throws IOException {
        TreeSet<String> printed = new TreeSet<>();
        FILES.forEach(file -> printed.add(file.getName()));
        TreeSet<String> contract = new TreeSet<>();
        Path proto = DevServer.root().resolve("proto");
        try (Stream<Path> files = Files.walk(proto)) {
            files.filter(Files::isRegularFile).forEach(file -> contract.add(proto.relativize(file).toString()));
        }
        // The options of the contract are about messages, and aren't sent.
        contract.remove("sealward/schema/v1/annotations.proto");
        assertEquals(contract, printed);
    }

    private static final int DEPTH_MAX = 3;
}
