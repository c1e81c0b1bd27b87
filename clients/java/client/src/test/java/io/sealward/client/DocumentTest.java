package io.sealward.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** Pastes the examples of docs/clients/java.md into jshell, and compares what they print. */
class DocumentTest {
    private static final Path DOCUMENT = DevServer.root().resolve("docs/clients/java.md");

    private record Example(String code, String output) {}

    @Test
    void examples_print_what_the_document_says() throws Exception {
        List<Example> examples = examples(Files.readString(DOCUMENT));
        assertTrue(examples.size() > 8, "examples: " + examples.size());
        assertEquals(10, examples.get(0).code.lines().count());
        StringBuilder input = new StringBuilder();
        try (DevServer server = DevServer.start()) {
            for (Example example : examples) {
                input.append(example.code.replace("127.0.0.1:7443", "127.0.0.1:" + server.port()).replace("localhost:7443", "localhost:" + server.port()));
                input.append("System.out.println(\"").append(END).append("\");\n");
            }
            String printed = jshell(server, input.toString());
            String[] parts = printed.split(END + "\n", -1);
            assertEquals(examples.size() + 1, parts.length, printed);
            for (int index = 0; index < examples.size(); index++) {
                Example example = examples.get(index);
                assertTrue(pattern(example.output).matcher(parts[index]).matches(), example.code + "printed:\n" + parts[index]);
            }
            System.out.println("ten lines:\n" + examples.get(0).code + "printed:\n" + parts[0]);
            System.out.println("documents: " + examples.size() + " examples passed");
        }
    }

    private static String jshell(DevServer server, String input) throws Exception {
        String classPath = System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
        Path program = Path.of(System.getProperty("java.home"), "bin", "jshell");
        Path output = Files.createTempFile("sealward-java-", ".txt");
        // With `-s`, jshell prints what the examples print, and its own reports of errors.
        String preferences = "-J-Djava.util.prefs.userRoot=" + server.data().getParent();
        Process process = new ProcessBuilder(program.toString(), preferences, "-s", "--class-path", classPath, "-")
                .directory(server.data().getParent().toFile())
                .redirectError(ProcessBuilder.Redirect.DISCARD)
                .redirectOutput(output.toFile())
                .start();
        process.outputWriter(StandardCharsets.UTF_8).append("import java.util.*;\nimport java.nio.file.*;\n").append(input).append("/exit\n").close();
        process.waitFor();
        String printed = Files.readString(output);
        Files.delete(output);
        assertTrue(printed.lines().noneMatch(line -> line.startsWith("|")), printed);
        return printed;
    }

    /** The examples in their order, each with the output that follows it. */
    private static List<Example> examples(String document) throws IOException {
        List<Example> examples = new ArrayList<>();
        Matcher block = Pattern.compile("(?ms)^```(\\S+)( no_run)?\\n(.*?)^```$").matcher(document);
        while (block.find()) {
            boolean isOutput = block.group(1).equals("text") && !examples.isEmpty();
            if (isOutput) {
                Example last = examples.remove(examples.size() - 1);
                examples.add(new Example(last.code, block.group(3)));
            } else if (block.group(1).equals("java") && block.group(2) == null) {
                examples.add(new Example(block.group(3), ""));
            }
        }
        return examples;
    }

    /** A line `…` stands for any lines, and `…` inside a line for any text. */
    private static Pattern pattern(String output) {
        StringBuilder pattern = new StringBuilder();
        for (String line : output.lines().toList()) {
            pattern.append(line.equals("…") ? "(.*\\n)*?" : Pattern.quote(line).replace("…", "\\E.*\\Q") + "\\n");
        }
        return Pattern.compile(pattern + "\\s*");
    }

    private static final String END = "--- end of example";
}
