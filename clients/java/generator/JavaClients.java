import com.google.protobuf.DescriptorProtos.DescriptorProto;
import com.google.protobuf.DescriptorProtos.FieldDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.MethodDescriptorProto;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorResponse.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/** The clients of the services: a class for each service, with a blocking and an asynchronous method for each rpc. */
final class JavaClients {
    private static final String PACKAGE = "io.sealward.client";

    /** The name of each service's client, without the suffix {@code Client}. A service that isn't listed is refused. */
    private static final Map<String, String> NAMES = Map.ofEntries(
            Map.entry("OrganizationService", "Organizations"),
            Map.entry("DataEncryptionService", "DataEncryption"),
            Map.entry("SecretAccessService", "SecretAccess"),
            Map.entry("AuditService", "Audit"),
            Map.entry("MetadataService", "Metadata"),
            Map.entry("AccessService", "Access"),
            Map.entry("ServerService", "Server"),
            Map.entry("MailboxService", "Mailboxes"),
            Map.entry("EmailServerProfileService", "EmailServerProfiles"),
            Map.entry("QueueService", "Queues"),
            Map.entry("UserSettingsService", "UserSettings"),
            Map.entry("MailboxConnectionService", "MailboxConnections"));

    private final Contract contract;

    JavaClients(Contract contract) {
        this.contract = contract;
    }

    List<File> files() {
        List<File> files = new ArrayList<>();
        for (FileDescriptorProto file : contract.files) {
            for (int index = 0; index < file.getServiceCount(); index++) {
                files.add(service(file, index));
            }
        }
        return files;
    }

    private File service(FileDescriptorProto file, int index) {
        ServiceDescriptorProto service = file.getService(index);
        String fullName = file.getPackage() + "." + service.getName();
        String stem = NAMES.get(service.getName());
        if (stem == null) {
            throw new Generator.ContractException(fullName + ": add the name of its client to the generator");
        }
        String name = stem + "Client";
        StringBuilder out = new StringBuilder();
        out.append("// Generated from ").append(file.getName()).append(". Do not edit.\n");
        out.append("package ").append(PACKAGE).append(";\n\n");
        out.append("import io.grpc.MethodDescriptor;\n");
        out.append("import java.time.Duration;\n");
        out.append("import java.util.List;\n");
        out.append("import java.util.concurrent.CompletableFuture;\n\n");
        javadoc(out, "", Contract.comment(file, List.of(6, index)), "A failed call throws a {@link SealwardException}.");
        out.append("public final class ").append(name).append(" {\n");
        StringBuilder all = new StringBuilder();
        for (MethodDescriptorProto method : service.getMethodList()) {
            out.append("    private static final MethodDescriptor<").append(java(method.getInputType())).append(", ");
            out.append(java(method.getOutputType())).append("> ").append(constant(method)).append(" = Methods.describe(\n");
            out.append("            MethodDescriptor.MethodType.").append(type(method)).append(",\n");
            out.append("            \"").append(fullName).append("\",\n");
            out.append("            \"").append(method.getName()).append("\",\n");
            out.append("            ").append(java(method.getInputType())).append(".getDefaultInstance(),\n");
            out.append("            ").append(java(method.getOutputType())).append(".getDefaultInstance());\n\n");
            all.append(all.length() == 0 ? "" : ", ").append(constant(method));
        }
        out.append("    /** All rpcs of the service. */\n");
        out.append("    static final List<MethodDescriptor<?, ?>> METHODS = List.of(").append(all).append(");\n\n");
        out.append("    private final Calls calls;\n\n");
        out.append("    ").append(name).append("(Calls calls) {\n        this.calls = calls;\n    }\n\n");
        out.append("    /** Returns a client of the same service with another timeout; see {@link SealwardClient#withTimeout}. */\n");
        out.append("    public ").append(name).append(" withTimeout(Duration timeout) {\n");
        out.append("        return new ").append(name).append("(calls.withTimeout(timeout));\n    }\n");
        for (int position = 0; position < service.getMethodCount(); position++) {
            List<String> comment = Contract.comment(file, List.of(6, index, 2, position));
            method(out, service.getMethod(position), comment);
        }
        out.append("}\n");
        return Generator.file(PACKAGE.replace('.', '/') + "/" + name + ".java", out.toString());
    }

    private void method(StringBuilder out, MethodDescriptorProto method, List<String> comment) {
        String request = java(method.getInputType());
        String answer = java(method.getOutputType());
        String name = Character.toLowerCase(method.getName().charAt(0)) + method.getName().substring(1);
        out.append('\n');
        if (method.getClientStreaming() && method.getServerStreaming()) {
            String sent = "A thread of the client reads the requests as the server takes them. ";
            String more = sent + "Close the stream unless you read it to its end.";
            javadoc(out, "    ", comment, more);
            out.append("    public ResponseStream<").append(answer).append("> ").append(name).append("(Iterable<").append(request);
            out.append("> requests) {\n        return calls.bidirectionalStream(").append(constant(method)).append(", requests);\n    }\n");
            return;
        }
        if (method.getClientStreaming()) {
            javadoc(out, "    ", comment, "The requests are read as the server takes them.");
            out.append("    public ").append(answer).append(' ').append(name).append("(Iterable<").append(request).append("> requests) {\n");
            out.append("        return calls.clientStream(").append(constant(method)).append(", requests);\n    }\n\n");
            javadoc(out, "    ", List.of("The asynchronous form of {@link #" + name + "}. The requests are read in a thread of the client."), "");
            out.append("    public CompletableFuture<").append(answer).append("> ").append(name).append("Async(Iterable<");
            out.append(request).append("> requests) {\n");
            out.append("        return calls.clientStreamAsync(").append(constant(method)).append(", requests);\n    }\n");
            return;
        }
        if (method.getServerStreaming()) {
            javadoc(out, "    ", comment, "Close the stream unless you read it to its end.");
            out.append("    public ResponseStream<").append(answer).append("> ").append(name).append('(').append(request);
            out.append(" request) {\n        return calls.serverStream(").append(constant(method)).append(", request);\n    }\n");
            return;
        }
        String sent = isRepeatable(method) ? name + "Request(request)" : "request";
        javadoc(out, "    ", comment, "");
        out.append("    public ").append(answer).append(' ').append(name).append('(').append(request).append(" request) {\n");
        out.append("        return calls.unary(").append(constant(method)).append(", ").append(sent).append(");\n    }\n\n");
        javadoc(out, "    ", List.of("The asynchronous form of {@link #" + name + "}."), "");
        out.append("    public CompletableFuture<").append(answer).append("> ").append(name).append("Async(").append(request);
        out.append(" request) {\n        return calls.unaryAsync(").append(constant(method)).append(", ").append(sent).append(");\n    }\n");
        if (isRepeatable(method)) {
            out.append("\n    /** Adds an idempotency key, so that the call can be repeated and takes effect once. */\n");
            out.append("    private static ").append(request).append(' ').append(name).append("Request(").append(request).append(" request) {\n");
            out.append("        return request.getRequestId().isEmpty() && !request.getValidateOnly()\n");
            out.append("                ? request.toBuilder().setRequestId(Methods.newRequestId()).build()\n");
            out.append("                : request;\n    }\n");
        }
        FieldDescriptorProto records = records(method);
        if (records != null) {
            String record = java(records.getTypeName());
            String each = "listAll" + method.getName().substring("List".length());
            out.append('\n');
            javadoc(out, "    ", List.of("Returns all records of {@link #" + name + "}, from the request's page on. Each page is a call."), "");
            out.append("    public Pages<").append(record).append("> ").append(each).append('(').append(request).append(" request) {\n");
            out.append("        return new Pages<>(\n");
            out.append("                request.getPageToken(),\n");
            out.append("                token -> ").append(name).append("(request.toBuilder().setPageToken(token).build()),\n");
            out.append("                page -> page.get").append(Contract.upperCamel(records.getName())).append("List(),\n");
            out.append("                page -> page.getNextPageToken());\n    }\n");
        }
    }

    /** Whether the request has an idempotency key. */
    private boolean isRepeatable(MethodDescriptorProto method) {
        DescriptorProto request = contract.message(method.getInputType());
        return Contract.field(request, "request_id") != null && Contract.field(request, "validate_only") != null;
    }

    /** The field with the records of a list, or null if the rpc isn't a list. */
    private FieldDescriptorProto records(MethodDescriptorProto method) {
        DescriptorProto request = contract.message(method.getInputType());
        DescriptorProto answer = contract.message(method.getOutputType());
        if (Contract.field(request, "page_token") == null || Contract.field(answer, "next_page_token") == null) {
            return null;
        }
        if (!method.getName().startsWith("List")) {
            throw new Generator.ContractException(method.getName() + ": an rpc with pages must begin with List");
        }
        for (FieldDescriptorProto field : answer.getFieldList()) {
            if (field.getLabel() == FieldDescriptorProto.Label.LABEL_REPEATED) {
                return field;
            }
        }
        throw new Generator.ContractException(method.getName() + ": the answer has pages, but no records");
    }

    private static String type(MethodDescriptorProto method) {
        if (method.getClientStreaming()) {
            return method.getServerStreaming() ? "BIDI_STREAMING" : "CLIENT_STREAMING";
        }
        return method.getServerStreaming() ? "SERVER_STREAMING" : "UNARY";
    }

    /** {@code CreateMailbox} to {@code CREATE_MAILBOX}. */
    private static String constant(MethodDescriptorProto method) {
        return method.getName().replaceAll("(?<=[a-z])(?=[A-Z])", "_").toUpperCase(java.util.Locale.ROOT);
    }

    /** The Java class of a message. */
    private String java(String typeName) {
        FileDescriptorProto file = contract.fileOf(typeName);
        if (!file.getOptions().getJavaMultipleFiles()) {
            throw new Generator.ContractException(file.getName() + ": java_multiple_files is missing");
        }
        return file.getOptions().getJavaPackage() + typeName.substring(1 + file.getPackage().length());
    }

    /** A comment of the contract as Javadoc. A line that begins with an asterisk is an item of a list. */
    static void javadoc(StringBuilder out, String indent, List<String> comment, String more) {
        List<String> lines = new ArrayList<>();
        boolean isList = false;
        boolean isNewParagraph = false;
        for (String line : comment) {
            boolean isItem = line.startsWith("* ");
            if (line.isBlank()) {
                if (isList) {
                    lines.add("</ul>");
                    isList = false;
                }
                isNewParagraph = true;
                continue;
            }
            if (isItem && !isList) {
                lines.add("<ul>");
                isList = true;
            }
            String start = isItem ? "<li>" : isNewParagraph && !isList ? "<p>" : "";
            lines.add(start + html(isItem ? line.substring(2) : line.strip()));
            isNewParagraph = false;
        }
        if (isList) {
            lines.add("</ul>");
        }
        if (!more.isEmpty()) {
            lines.add("<p>" + more);
        }
        out.append(indent).append("/**\n");
        for (String line : lines) {
            out.append(indent).append(" * ").append(line).append('\n');
        }
        out.append(indent).append(" */\n");
    }

    private static String html(String text) {
        if (text.contains("{@link")) {
            return text;
        }
        StringBuilder out = new StringBuilder();
        boolean isCode = false;
        for (String part : text.split("`", -1)) {
            // Code isn't escaped, and a line that ends inside of it is left as it is.
            out.append(isCode ? "{@code " + part + "}" : escape(part));
            isCode = !isCode;
        }
        return out.toString();
    }

    private static String escape(String text) {
        return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "&#64;").replace("*/", "*&#47;");
    }
}
