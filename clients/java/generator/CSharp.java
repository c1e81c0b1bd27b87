import com.google.protobuf.DescriptorProtos.FieldDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.MethodDescriptorProto;
import com.google.protobuf.DescriptorProtos.ServiceDescriptorProto;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorResponse.File;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/** The C# clients of the services, in the shape of gRPC's own plugin, and text of messages without secrets. */
final class CSharp {
    private final Contract contract;

    CSharp(Contract contract) {
        this.contract = contract;
    }

    List<File> files() {
        List<File> files = new ArrayList<>();
        for (FileDescriptorProto file : contract.files) {
            if (file.getServiceCount() > 0) {
                files.add(Generator.file(stem(file) + "Grpc.cs", services(file)));
            }
            String redaction = redaction(file);
            if (redaction != null) {
                files.add(Generator.file(stem(file) + "Redaction.cs", redaction));
            }
        }
        return files;
    }

    private static String stem(FileDescriptorProto file) {
        String name = file.getName().substring(file.getName().lastIndexOf('/') + 1).replace(".proto", "");
        return namespace(file).replace('.', '/') + "/" + Contract.upperCamel(name);
    }

    private static String namespace(FileDescriptorProto file) {
        String google = GOOGLE_NAMESPACES.get(file.getPackage());
        return google == null ? file.getOptions().getCsharpNamespace() : google;
    }

    private String type(String typeName) {
        FileDescriptorProto file = contract.fileOf(typeName);
        return "global::" + namespace(file) + "." + typeName.substring(2 + file.getPackage().length()).replace(".", ".Types.");
    }

    private String services(FileDescriptorProto file) {
        StringBuilder out = new StringBuilder(header(file));
        out.append("#pragma warning disable 0414, 1591, 8981, 0612\n");
        out.append("using grpc = global::Grpc.Core;\n\nnamespace ").append(namespace(file)).append(" {\n");
        for (int index = 0; index < file.getServiceCount(); index++) {
            service(out, file, index);
        }
        return out.append("}\n").toString();
    }

    private void service(StringBuilder out, FileDescriptorProto file, int index) {
        ServiceDescriptorProto service = file.getService(index);
        String client = service.getName() + "Client";
        summary(out, "  ", Contract.comment(file, List.of(6, index)));
        out.append("  public static partial class ").append(service.getName()).append("\n  {\n");
        out.append("    static readonly string __ServiceName = \"").append(file.getPackage()).append('.').append(service.getName()).append("\";\n\n");
        out.append(MARSHALLING);
        Set<String> types = new LinkedHashSet<>();
        for (MethodDescriptorProto method : service.getMethodList()) {
            types.add(method.getInputType());
            types.add(method.getOutputType());
        }
        for (String name : types) {
            out.append("    static readonly grpc::Marshaller<").append(type(name)).append("> ").append(marshaller(name));
            out.append(" = grpc::Marshallers.Create(__Helper_SerializeMessage, context => __Helper_DeserializeMessage(context, ");
            out.append(type(name)).append(".Parser));\n");
        }
        for (MethodDescriptorProto method : service.getMethodList()) {
            String types2 = type(method.getInputType()) + ", " + type(method.getOutputType());
            out.append("\n    static readonly grpc::Method<").append(types2).append("> __Method_").append(method.getName());
            out.append(" = new grpc::Method<").append(types2).append(">(\n        grpc::MethodType.").append(methodType(method));
            out.append(",\n        __ServiceName,\n        \"").append(method.getName()).append("\",\n        ");
            out.append(marshaller(method.getInputType())).append(",\n        ").append(marshaller(method.getOutputType())).append(");\n");
        }
        out.append("\n    /// <summary>Client of the service.</summary>\n");
        out.append("    public partial class ").append(client).append(" : grpc::ClientBase<").append(client).append(">\n    {\n");
        out.append("      /// <summary>Creates a client of a channel.</summary>\n      public ").append(client).append("(grpc::ChannelBase channel) : base(channel)\n      {\n      }\n");
        out.append("      /// <summary>Creates a client of a call invoker, which can have interceptors.</summary>\n      public ").append(client).append("(grpc::CallInvoker callInvoker) : base(callInvoker)\n      {\n      }\n");
        out.append("      /// <summary>Creates a client without a channel, for derived classes.</summary>\n      protected ").append(client).append("() : base()\n      {\n      }\n");
        out.append("      /// <summary>Creates a client with a configuration, for derived classes.</summary>\n      protected ").append(client).append("(ClientBaseConfiguration configuration) : base(configuration)\n      {\n      }\n\n");
        for (int position = 0; position < service.getMethodCount(); position++) {
            method(out, service.getMethod(position), Contract.comment(file, List.of(6, index, 2, position)));
        }
        out.append("      /// <summary>Creates a client of the same channel with another configuration.</summary>\n");
        out.append("      protected override ").append(client).append(" NewInstance(ClientBaseConfiguration configuration)\n      {\n        return new ");
        out.append(client).append("(configuration);\n      }\n    }\n  }\n");
    }

    private void method(StringBuilder out, MethodDescriptorProto method, List<String> comment) {
        String request = type(method.getInputType());
        String answer = type(method.getOutputType());
        String name = method.getName();
        if (method.getClientStreaming()) {
            String call = "grpc::Async" + (method.getServerStreaming() ? "Duplex" : "Client") + "StreamingCall";
            overloads(out, comment, call + "<" + request + ", " + answer + ">", name, "", "CallInvoker." + call.substring(6), "");
        } else if (method.getServerStreaming()) {
            overloads(out, comment, "grpc::AsyncServerStreamingCall<" + answer + ">", name, request, "CallInvoker.AsyncServerStreamingCall", ", request");
        } else {
            overloads(out, comment, answer, name, request, "CallInvoker.BlockingUnaryCall", ", request");
            overloads(out, comment, "grpc::AsyncUnaryCall<" + answer + ">", name + "Async", request, "CallInvoker.AsyncUnaryCall", ", request");
        }
    }

    private static void overloads(
            StringBuilder out, List<String> comment, String result, String name, String request, String call, String argument) {
        String parameter = request.isEmpty() ? "" : request + " request, ";
        String passed = request.isEmpty() ? "" : "request, ";
        String method = name.endsWith("Async") && call.endsWith("AsyncUnaryCall") ? name.substring(0, name.length() - 5) : name;
        summary(out, "      ", comment);
        out.append("      public virtual ").append(result).append(' ').append(name).append('(').append(parameter);
        out.append("grpc::Metadata headers = null, global::System.DateTime? deadline = null, ");
        out.append("global::System.Threading.CancellationToken cancellationToken = default(global::System.Threading.CancellationToken))\n      {\n");
        out.append("        return ").append(name).append('(').append(passed).append("new grpc::CallOptions(headers, deadline, cancellationToken));\n      }\n");
        summary(out, "      ", comment);
        out.append("      public virtual ").append(result).append(' ').append(name).append('(').append(parameter).append("grpc::CallOptions options)\n      {\n");
        out.append("        return ").append(call).append("(__Method_").append(method).append(", null, options").append(argument).append(");\n      }\n\n");
    }

    /** The text of messages with secrets. Returns null if the file has none. Nested messages are printed by the runtime in the same way. */
    private String redaction(FileDescriptorProto file) {
        StringBuilder classes = new StringBuilder();
        for (Generator.Declared declared : contract.messages) {
            List<FieldDescriptorProto> marked = Contract.marked(declared.message);
            if (!declared.file.getName().equals(file.getName()) || marked.isEmpty()) {
                continue;
            }
            if (declared.nestedName.contains(".")) {
                throw new Generator.ContractException(declared.fullName() + ": a nested message with a secret isn't supported for C#");
            }
            for (FieldDescriptorProto field : declared.message.getFieldList()) {
                boolean isOwnMessage = field.getType() == FieldDescriptorProto.Type.TYPE_MESSAGE && !field.getTypeName().startsWith(".google.");
                if (isOwnMessage) {
                    throw new Generator.ContractException(declared.fullName() + ": a secret beside a message isn't supported for C#");
                }
            }
            classes.append("  public sealed partial class ").append(declared.nestedName).append(" : pb::ICustomDiagnosticMessage\n  {\n");
            classes.append("    /// <summary>Returns the fields as text, without the values of secrets. ToString uses it.</summary>\n");
            classes.append("    string pb::ICustomDiagnosticMessage.ToDiagnosticString()\n    {\n      var copy = Clone();\n");
            for (FieldDescriptorProto field : marked) {
                String property = Contract.upperCamel(field.getName());
                String text = field.getType() == FieldDescriptorProto.Type.TYPE_BYTES ? "pb::ByteString.CopyFromUtf8(\"[REDACTED]\")" : "\"[REDACTED]\"";
                classes.append("      if (copy.").append(property).append(".Length != 0)\n      {\n        copy.");
                classes.append(property).append(" = ").append(text).append(";\n      }\n");
            }
            classes.append("      return pb::JsonFormatter.Default.Format(copy);\n    }\n  }\n");
        }
        if (classes.length() == 0) {
            return null;
        }
        return header(file) + "using pb = global::Google.Protobuf;\n\nnamespace " + namespace(file) + " {\n" + classes + "}\n";
    }

    private static String header(FileDescriptorProto file) {
        return "// <auto-generated>\n//     Generated from " + file.getName() + ". Do not edit.\n// </auto-generated>\n";
    }

    private static String marshaller(String typeName) {
        return "__Marshaller_" + typeName.substring(1).replace('.', '_');
    }

    private static String methodType(MethodDescriptorProto method) {
        if (method.getClientStreaming()) {
            return method.getServerStreaming() ? "DuplexStreaming" : "ClientStreaming";
        }
        return method.getServerStreaming() ? "ServerStreaming" : "Unary";
    }

    private static void summary(StringBuilder out, String indent, List<String> comment) {
        out.append(indent).append("/// <summary>\n");
        for (String line : comment) {
            String escaped = line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;");
            out.append((indent + "/// " + escaped).stripTrailing()).append('\n');
        }
        out.append(indent).append("/// </summary>\n");
    }

    private static final Map<String, String> GOOGLE_NAMESPACES = Map.of("google.protobuf", "Google.Protobuf.WellKnownTypes");

    private static final String MARSHALLING = String.join(
            "\n",
            "    static void __Helper_SerializeMessage(global::Google.Protobuf.IMessage message, grpc::SerializationContext context)",
            "    {",
            "      if (message is global::Google.Protobuf.IBufferMessage)",
            "      {",
            "        context.SetPayloadLength(message.CalculateSize());",
            "        global::Google.Protobuf.MessageExtensions.WriteTo(message, context.GetBufferWriter());",
            "        context.Complete();",
            "        return;",
            "      }",
            "      context.Complete(global::Google.Protobuf.MessageExtensions.ToByteArray(message));",
            "    }",
            "",
            "    static T __Helper_DeserializeMessage<T>(grpc::DeserializationContext context, global::Google.Protobuf.MessageParser<T> parser)",
            "        where T : global::Google.Protobuf.IMessage<T>",
            "    {",
            "      return parser.ParseFrom(context.PayloadAsReadOnlySequence());",
            "    }",
            "",
            "");
}
