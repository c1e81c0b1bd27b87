import com.google.protobuf.DescriptorProtos.FieldDescriptorProto;
import com.google.protobuf.compiler.PluginProtos.CodeGeneratorResponse.File;
import java.util.ArrayList;
import java.util.List;

/**
 * Text of messages without secrets: what {@code toString} reads of every message and builder of the contract, and a list of the Java fields
 * that hold a secret. `generate` makes these fields transient, so that libraries that write private fields leave them out.
 */
final class JavaRedaction {
    /** The list: a line for each secret, with the Java file and the name of the field in it. */
    static final String SECRET_FIELDS = "secret-fields.txt";

    private final Contract contract;

    JavaRedaction(Contract contract) {
        this.contract = contract;
    }

    List<File> files() {
        List<File> files = new ArrayList<>();
        StringBuilder secretFields = new StringBuilder();
        for (Generator.Declared declared : contract.messages) {
            String file = javaFile(declared);
            boolean hasSecret = !Contract.marked(declared.message).isEmpty();
            files.add(insertion(file, "class_scope:" + declared.fullName(), TEXT + UNKNOWN_FIELDS + (hasSecret ? FIELDS : "")));
            files.add(insertion(file, "builder_scope:" + declared.fullName(), TEXT + BUILDER_TO_STRING));
            List<String> names = new ArrayList<>();
            for (FieldDescriptorProto field : Contract.marked(declared.message)) {
                if (field.getLabel() == FieldDescriptorProto.Label.LABEL_REPEATED) {
                    throw new Generator.ContractException(declared.fullName() + "." + field.getName() + ": a repeated secret isn't supported");
                }
                // The members of a oneof share a field.
                boolean isOneof = field.hasOneofIndex() && !field.getProto3Optional();
                String name = isOneof ? declared.message.getOneofDecl(field.getOneofIndex()).getName() : field.getName();
                if (!names.contains(name)) {
                    names.add(name);
                    secretFields.append(file).append(' ').append(Contract.lowerCamel(name)).append("_\n");
                }
            }
        }
        files.add(Generator.file(SECRET_FIELDS, secretFields.toString()));
        return files;
    }

    private static String javaFile(Generator.Declared declared) {
        String folder = declared.file.getOptions().getJavaPackage().replace('.', '/');
        return folder + "/" + declared.nestedName.split("\\.")[0] + ".java";
    }

    private static File insertion(String file, String point, String content) {
        return File.newBuilder().setName(file).setInsertionPoint(point).setContent(content).build();
    }

    /** Jackson writes the text that {@code JsonValue} marks, and reads nothing else of the object. The annotation isn't needed at run time. */
    private static final String TEXT = String.join(
            "\n",
            "/** Returns the fields as text, without the values of secrets. {@code toString} returns none of them either. */",
            "@com.fasterxml.jackson.annotation.JsonValue",
            "public java.lang.String redactedText() {",
            "  return io.sealward.client.Redaction.toText(this);",
            "}",
            "");

    /** {@code toString} of a builder can be overridden. */
    private static final String BUILDER_TO_STRING = String.join(
            "\n",
            "@java.lang.Override",
            "public java.lang.String toString() {",
            "  return redactedText();",
            "}",
            "");

    /** {@code toString} of a message is final: what it reads is replaced instead. */
    private static final String FIELDS = String.join(
            "\n",
            "@java.lang.Override",
            "public java.util.Map<com.google.protobuf.Descriptors.FieldDescriptor, java.lang.Object> getAllFields() {",
            "  return io.sealward.client.Redaction.fieldsFor(super.getAllFields());",
            "}",
            "");

    /** A message of a newer server can have a secret that this client doesn't know. */
    private static final String UNKNOWN_FIELDS = String.join(
            "\n",
            "@java.lang.Override",
            "public com.google.protobuf.UnknownFieldSet getUnknownFields() {",
            "  return io.sealward.client.Redaction.unknownFieldsFor(super.getUnknownFields());",
            "}",
            "");
}
