// Asks examples/Verify.java about the shared test vectors: prints {file: [{"gives": ...} or {"fault": "..."}, ...]}.
//
//     javac -d OUT examples/Verify.java tests/independent/AskVerify.java && java -cp OUT AskVerify .../receipts.json ...

import static java.nio.charset.StandardCharsets.UTF_8;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

public final class AskVerify {
    private static final int DEPTH_MAX = 64; // a file has cases that are as deep as an object may be

    public static void main(String[] files) throws Exception {
        var answers = new LinkedHashMap<String, Object>();
        for (String file : files) {
            var found = new Verify.Json(Files.readString(Path.of(file)), DEPTH_MAX).whole();
            var outcomes = new ArrayList<Object>();
            for (Object each : (List<?>) found.get("cases")) {
                outcomes.add(outcome((String) found.get("check"), member((Map<?, ?>) each, "given")));
            }
            answers.put((String) found.get("check"), outcomes);
        }
        System.out.print(written(answers));
    }

    // Only a Broken is a refusal: any other fault ends this program, and fails the test.
    private static Map<String, Object> outcome(String check, Map<String, Object> given) {
        var outcome = new LinkedHashMap<String, Object>();
        try {
            outcome.put("gives", gives(check, given));
        } catch (Verify.Broken fault) {
            outcome.put("fault", fault.getMessage());
        }
        return outcome;
    }

    private static Object gives(String check, Map<String, Object> given) {
        switch (check) {
            case "objects":
                return Verify.parseObject(bytes(given, "object"));
            case "keys":
                var key = Verify.parseVkey((String) given.get("vkey"), ((Long) given.get("algorithm")).intValue());
                return Map.of("name", key.name(), "id", key.id(), "public", Verify.hex(key.bytes()));
            case "checkpoints", "rotations":
                var tree = Verify.openCheckpoint(bytes(given, "note"), keys(given));
                return Map.of("size", String.valueOf(tree.size()), "root", Verify.b64(tree.root()));
            case "inclusions":
                var proof = ((List<?>) given.get("proof")).stream().map(each -> hash((String) each)).toList();
                long index = Long.parseLong((String) given.get("index")), size = Long.parseLong((String) given.get("size"));
                byte[] leaf = Verify.unb64((String) given.get("leaf")), root = Verify.unb64((String) given.get("root"));
                Verify.checkInclusion(leaf, index, size, proof, root);
                return null;
            case "receipts":
                byte[] receipt = bytes(given, "receipt");
                var event = Verify.checkReceipt(receipt, (String) given.get("line_id"), keys(given));
                return Map.of("kind", event.get("kind"), "seq", String.valueOf(Verify.parseReceipt(receipt).index()));
            case "lines":
                var line = Verify.checkLine(bytes(given, "line"), member(given, "record"));
                return Map.of("id", line.id(), "iss", line.header().get("iss"), "typ", line.header().get("typ"));
            default:
                throw new IllegalArgumentException(check);
        }
    }

    private static byte[] hash(String text) {
        byte[] bytes = Verify.unb64(text);
        Verify.demand(bytes.length == 32, "a hash has 32 bytes");
        return bytes;
    }

    private static List<Verify.LogKey> keys(Map<String, Object> given) {
        var keys = Verify.keysOf((String) ((List<?>) given.get("keys")).get(0));
        for (Object crossing : (List<?>) given.get("crossings")) keys = Verify.readCrossing(((String) crossing).getBytes(UTF_8), keys);
        return keys;
    }

    // Bytes are text, base64 under a name that ends in `_b64`, or runs of text under one that ends in `_runs`.
    private static byte[] bytes(Map<String, Object> given, String name) {
        if (given.get(name) instanceof String text) return text.getBytes(UTF_8);
        if (given.get(name + "_b64") instanceof String text) return Verify.unb64(text);
        var runs = (List<?>) given.get(name + "_runs");
        return runs.stream().map(each -> (List<?>) each)
            .map(run -> ((String) run.get(0)).repeat(((Long) run.get(1)).intValue())).collect(Collectors.joining()).getBytes(UTF_8);
    }

    @SuppressWarnings("unchecked")
    private static Map<String, Object> member(Map<?, ?> members, String name) {
        return (Map<String, Object>) members.get(name);
    }

    private static String written(Object value) {
        if (value instanceof Map<?, ?> members) {
            return members.entrySet().stream().map(each -> written(each.getKey()) + ":" + written(each.getValue()))
                .collect(Collectors.joining(",", "{", "}"));
        }
        if (value instanceof Collection<?> items) {
            return items.stream().map(AskVerify::written).collect(Collectors.joining(",", "[", "]"));
        }
        if (!(value instanceof String text)) return String.valueOf(value);
        return text.chars().mapToObj(each -> String.format("\\u%04x", each)).collect(Collectors.joining("", "\"", "\""));
    }
}
