import com.google.protobuf.DescriptorProtos.DescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorRequest;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorResponse;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorResponse.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;

/**
 * A protoc plugin that adds to protoc's own Java or C# code what protoc doesn't have: text of messages without secrets, and clients of the
 * services. The parameter, {@code java} or {@code csharp}, selects the language.
 *
 * <p>It knows the contract only by its descriptors. Whether the generated files are complete is for their checks to decide.
 */
public final class Generator {
    private Generator() {}

    /** Reads a request of protoc from standard input, and writes the answer to standard output. */
    public static void main(String[] arguments) throws IOException {
        CodeGeneratorRequest request = CodeGeneratorRequest.parseFrom(System.in);
        CodeGeneratorResponse.Builder response =
                CodeGeneratorResponse.newBuilder().setSupportedFeatures(CodeGeneratorResponse.Feature.FEATURE_PROTO3_OPTIONAL_VALUE);
        try {
            Contract contract = new Contract(request);
            List<File> files = new ArrayList<>();
            switch (request.getParameter()) {
                case "java":
                    files.addAll(new JavaRedaction(contract).files());
                    files.addAll(new JavaClients(contract).files());
                    break;
                case "csharp":
                    files.addAll(new CSharp(contract).files());
                    break;
                default:
                    throw new ContractException("unknown parameter `" + request.getParameter() + "`: use java or csharp");
            }
            response.addAllFile(files);
        } catch (ContractException error) {
            response.setError(error.getMessage());
        }
        response.build().writeTo(System.out);
    }

    /** A file with its whole text. */
    static File file(String name, String content) {
        return File.newBuilder().setName(name).setContent(content).build();
    }

    /** A message with the file that declares it and its name in the file, such as {@code AttributeMetadata.Choice}. */
    static final class Declared {
        final FileDescriptorProto file;
        final DescriptorProto message;
        final String nestedName;

        Declared(FileDescriptorProto file, DescriptorProto message, String nestedName) {
            this.file = file;
            this.message = message;
            this.nestedName = nestedName;
        }

        /** The name in the contract, such as {@code sealward.v1.AttributeMetadata.Choice}. */
        String fullName() {
            return file.getPackage() + "." + nestedName;
        }
    }

    /** The contract can't be generated as it is. The text says why. */
    static final class ContractException extends RuntimeException {
        private static final long serialVersionUID = 1;

        ContractException(String message) {
            super(message);
        }
    }
}
