import com.google.protobuf.DescriptorProtos.DescriptorProto;
import com.google.protobuf.DescriptorProtos.FieldDescriptorProto;
import com.google.protobuf.DescriptorProtos.FileDescriptorProto;
import com.google.protobuf.DescriptorProtos.SourceCodeInfo.Location;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorRequest;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** The files, messages and comments of the contract. */
final class Contract {
    /** The files to generate, in protoc's order. */
    final List<FileDescriptorProto> files = new ArrayList<>();

    /** All messages of these files except map entries, in their order. */
    final List<Generator.Declared> messages = new ArrayList<>();

    private final Map<String, FileDescriptorProto> fileOfMessage = new HashMap<>();
    private final Map<String, DescriptorProto> messageByName = new HashMap<>();

    Contract(CodeGeneratorRequest request) {
        for (FileDescriptorProto file : request.getProtoFileList()) {
            boolean isGenerated = request.getFileToGenerateList().contains(file.getName());
            if (isGenerated) {
                files.add(file);
            }
            for (DescriptorProto message : file.getMessageTypeList()) {
                add(file, message, message.getName(), isGenerated);
            }
        }
    }

    private void add(FileDescriptorProto file, DescriptorProto message, String nestedName, boolean isGenerated) {
        String name = "." + file.getPackage() + "." + nestedName;
        fileOfMessage.put(name, file);
        messageByName.put(name, message);
        if (isGenerated && !message.getOptions().getMapEntry()) {
            messages.add(new Generator.Declared(file, message, nestedName));
        }
        for (DescriptorProto nested : message.getNestedTypeList()) {
            add(file, nested, nestedName + "." + nested.getName(), isGenerated);
        }
    }

    /** Returns a message by its type name, such as {@code .sealward.v1.Organization}. */
    DescriptorProto message(String typeName) {
        DescriptorProto message = messageByName.get(typeName);
        if (message == null) {
            throw new Generator.ContractException("unknown message " + typeName);
        }
        return message;
    }

    /** Returns the file of a message by its type name. */
    FileDescriptorProto fileOf(String typeName) {
        return fileOfMessage.get(typeName);
    }

    /** Returns the field of a message, or null. */
    static FieldDescriptorProto field(DescriptorProto message, String name) {
        for (FieldDescriptorProto field : message.getFieldList()) {
            if (field.getName().equals(name)) {
                return field;
            }
        }
        return null;
    }

    /** Returns the fields of a message that are marked as secret. */
    static List<FieldDescriptorProto> marked(DescriptorProto message) {
        List<FieldDescriptorProto> marked = new ArrayList<>();
        for (FieldDescriptorProto field : message.getFieldList()) {
            if (field.getOptions().getDebugRedact()) {
                marked.add(field);
            }
        }
        return marked;
    }

    /** Returns the comment before the declaration at a path of the descriptor, without its leading blanks. */
    static List<String> comment(FileDescriptorProto file, List<Integer> path) {
        List<String> lines = new ArrayList<>();
        for (Location location : file.getSourceCodeInfo().getLocationList()) {
            if (location.getPathList().equals(path)) {
                for (String line : location.getLeadingComments().split("\n", -1)) {
                    lines.add(line.startsWith(" ") ? line.substring(1) : line);
                }
            }
        }
        while (!lines.isEmpty() && lines.get(lines.size() - 1).isBlank()) {
            lines.remove(lines.size() - 1);
        }
        return lines;
    }

    /** {@code encryption_key} to {@code encryptionKey}. */
    static String lowerCamel(String snake) {
        String upper = upperCamel(snake);
        return upper.isEmpty() ? upper : Character.toLowerCase(upper.charAt(0)) + upper.substring(1);
    }

    /** {@code encryption_key} to {@code EncryptionKey}. */
    static String upperCamel(String snake) {
        StringBuilder camel = new StringBuilder();
        for (String word : snake.split("_")) {
            if (!word.isEmpty()) {
                camel.append(Character.toUpperCase(word.charAt(0))).append(word.substring(1));
            }
        }
        return camel.toString();
    }
}
