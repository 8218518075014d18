// Verifies a line and its receipt with nothing but a JDK (17 or later): no library, no network, no word of the hub.
//
//     java Verify.java LINE AGENCY X [RECEIPT LOG_KEY [CROSSING ...]]
//
// LINE and RECEIPT are files as `lintas publish --save` writes them. X is `x` of the agency's key in `GET /v1/keys`: compare
// the key's fingerprint, which is printed, with what the agency told you. LOG_KEY is the log's key from your invitation. Each
// CROSSING is the receipt of a change of the log's key since then (`GET /v1/log/key/{key_id}`), in order.
//
// `check` is the whole client. What follows it refuses everything that is spelt in a second way, for a line is known by the
// hash of its bytes. Formats: docs/spec/line.md, docs/spec/log.md. Test vectors: tests/vectors.

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static java.nio.charset.StandardCharsets.UTF_8;

import java.io.IOException;
import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.MessageDigest;
import java.security.Signature;
import java.security.SignatureException;
import java.security.spec.X509EncodedKeySpec;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;
import java.util.regex.Pattern;
import java.util.stream.Stream;

public final class Verify {
    private Verify() {}

    public static void main(String[] args) {
        try {
            demand(args.length == 3 || args.length >= 5, "see the first lines of this file");
            check(args);
        } catch (IOException | Broken fault) {
            System.err.println("does not hold: " + fault.getMessage());
            System.exit(1);
        }
    }

    static void check(String[] args) throws IOException {
        byte[] bytes = Files.readAllBytes(Path.of(args[0])), key = unb64u(args[2]);
        boolean isFile = bytes.length > 0 && bytes[bytes.length - 1] == '\n'; // a file has a line feed after the line
        var record = Map.<String, Object>of("agency", args[1], "kid", thumbprint(key), "public", hex(key));
        var line = checkLine(isFile ? Arrays.copyOf(bytes, bytes.length - 1) : bytes, record);
        System.out.printf("signed    by %s, key %s: %s %s%n", args[1], record.get("kid"), line.header().get("typ"), line.id());
        if (args.length == 3) return;
        var keys = keysOf(args[4]);
        for (int at = 5; at < args.length; at++) keys = readCrossing(Files.readAllBytes(Path.of(args[at])), keys);
        byte[] receipt = Files.readAllBytes(Path.of(args[3]));
        var event = checkReceipt(receipt, line.id(), keys);
        long index = parseReceipt(receipt).index(), time = (Long) event.get("time");
        System.out.printf("logged    %s at index %d of %s%n", event.get("kind"), index, keys.get(0).key().name());
        System.out.printf("when      %s, by the hub's clock%n", Instant.ofEpochMilli(time / 1000));
    }

    static final class Broken extends RuntimeException {
        Broken(String why) {
            super(why);
        }
    }

    static void demand(boolean holds, String why) {
        if (!holds) throw new Broken(why);
    }

    // ---- the line

    record Line(Map<String, Object> header, String id) {}

    record Kind(int sizeMax, List<String> must, List<String> may) {}

    private static final String ID = "[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]", WORD = "[a-z0-9][a-z0-9.-]*";
    private static final String AGENCY = "[a-z]{2}-[a-z][a-z0-9]{1,23}";
    private static final long VALIDITY_S_MAX = 5L * 366 * 86_400;
    private static final Map<String, Predicate<Object>> VALUES = Map.ofEntries(
        Map.entry("alg", like("Ed25519|EdDSA")), Map.entry("typ", like(".*")), Map.entry("kid", like(ID)),
        Map.entry("iss", like(AGENCY + "|admin/[a-z][a-z0-9-]{0,31}")),
        Map.entry("aud", like("[a-z0-9](?:[a-z0-9.-]{0,62}[a-z0-9])?-[a-z0-9]{8}")),
        Map.entry("iat", Verify::isTime), Map.entry("exp", Verify::isTime), Map.entry("enc", like("hpke")),
        Map.entry("kind", like(WORD)), Map.entry("topic", like(WORD)), Map.entry("urgency", like(WORD)),
        Map.entry("purpose", like(WORD)), Map.entry("tlp", like("CLEAR|GREEN|AMBER|AMBER\\+STRICT|RED")),
        Map.entry("release_to", value -> List.of("*").equals(value) || isSorted(value, 256, like(AGENCY))),
        Map.entry("refs", value -> isSorted(value, 16, like("(?:supersedes|recalls|answers|endorses|comments):" + ID))),
        Map.entry("scope", like("read|subscribe|admin")), Map.entry("sub", like("[a-z0-9][a-z0-9._/-]{0,63}")),
        Map.entry("case_ref", like("[A-Za-z0-9][A-Za-z0-9 ._/()-]{0,63}")));
    private static final List<String> ALWAYS = List.of("alg", "typ", "kid", "iss", "aud", "iat");
    private static final Map<String, Kind> KINDS = Map.of(
        "vnd.lintas.bulletin", new Kind(262_144, with("exp", "kind", "topic", "tlp", "release_to", "urgency"), List.of("refs", "enc")),
        "vnd.lintas.order", new Kind(262_144, ALWAYS, List.of("sub")),
        "vnd.lintas.key", new Kind(16_384, ALWAYS, List.of()),
        "vnd.lintas.ack", new Kind(4_096, ALWAYS, List.of("sub")),
        "vnd.lintas.token", new Kind(2_048, with("exp", "scope"), List.of("purpose", "case_ref", "sub")));

    private static List<String> with(String... more) {
        return Stream.concat(ALWAYS.stream(), Stream.of(more)).toList();
    }

    private static Predicate<Object> like(String pattern) {
        var whole = Pattern.compile(pattern, Pattern.DOTALL);
        return value -> value instanceof String text && whole.matcher(text).matches();
    }

    private static boolean isTime(Object value) {
        return value instanceof Long second && second >= 0;
    }

    private static boolean isSorted(Object value, int most, Predicate<Object> isItem) {
        if (!(value instanceof List<?> list) || list.isEmpty() || list.size() > most || !list.stream().allMatch(isItem)) return false;
        for (int at = 1; at < list.size(); at++) {
            if (((String) list.get(at - 1)).compareTo((String) list.get(at)) >= 0) return false;
        }
        return true;
    }

    // `record` names the key: `agency`, `kid`, `public` in hexadecimal, as in the event `key.enrolled`.
    static Line checkLine(byte[] line, Map<String, Object> record) {
        String[] parts = utf8(line).split("\\.", -1);
        demand(parts.length == 3 && parts[2].length() == 86, "a line has three parts, the last of 86 characters");
        byte[] head = unb64u(parts[0]), signature = unb64u(parts[2]);
        unb64u(parts[1]);
        demand(head.length <= 4_096, "the header is too large");
        var header = parseObject(head);
        checkHeader(header, line.length);
        demand(like("[0-9a-f]{64}").test(record.get("public")), "the record has no key");
        byte[] key = HexFormat.of().parseHex((String) record.get("public"));
        checkPoint(key);
        demand(thumbprint(key).equals(record.get("kid")) && header.get("kid").equals(record.get("kid")), "signed with another key");
        demand(header.get("iss").equals(record.get("agency")), "the key is another party's");
        demand(isSigned(key, signature, Arrays.copyOf(line, line.length - 87)), "the signature does not belong to this line");
        return new Line(header, b64u(sha256(line)));
    }

    private static void checkHeader(Map<String, Object> header, int size) {
        demand(header.get("typ") instanceof String typ && KINDS.containsKey(typ), "`typ` names no kind of line");
        var kind = KINDS.get((String) header.get("typ"));
        demand(size <= kind.sizeMax(), "the line is too large for its kind");
        demand(header.keySet().containsAll(kind.must()), "the header lacks a member");
        header.forEach((name, value) -> demand(
            (kind.must().contains(name) || kind.may().contains(name)) && VALUES.get(name).test(value),
            "a member is unknown here or has no valid value"));
        if (header.get("release_to") instanceof List<?> to) {
            boolean isWide = List.of("CLEAR", "GREEN").contains(header.get("tlp")) && !header.containsKey("enc");
            demand(!to.contains("*") || isWide, "this may not go to every partner");
            demand(!to.contains(header.get("iss")), "the issuer is no recipient");
        }
        if (header.get("exp") instanceof Long end) {
            demand(end - (Long) header.get("iat") <= VALIDITY_S_MAX, "it is valid too long");
        }
    }

    static String thumbprint(byte[] key) { // RFC 7638
        return b64u(sha256(("{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"" + b64u(key) + "\"}").getBytes(UTF_8)));
    }

    // ---- the receipt (C2SP tlog-proof), under the log's keys: the pinned one, then those that followed it

    record Receipt(byte[] body, long index, List<byte[]> proof, byte[] checkpoint) {}

    record Tree(long size, byte[] root) {}

    record VerifierKey(String name, String id, byte[] bytes, String text) {}

    record LogKey(VerifierKey key, long seq) {}

    static Map<String, Object> checkReceipt(byte[] bytes, String lineId, List<LogKey> keys) {
        var event = parseObject(provenBody(parseReceipt(bytes), keys));
        var detail = event.get("detail") instanceof Map<?, ?> map ? map : Map.of();
        var named = new ArrayList<Object>();
        named.add(event.get("object"));
        if ("bulletin.released".equals(event.get("kind")) && detail.get("ids") instanceof List<?> ids) named.addAll(ids);
        if (List.of("bulletin.opened", "bulletin.acknowledged").contains(String.valueOf(event.get("kind")))) named.add(detail.get("ack"));
        demand(named.contains(lineId), "the receipt is for another line");
        demand(event.get("kind") instanceof String kind && !kind.endsWith(".refused"), "the log says that the hub refused this line");
        return event;
    }

    static Receipt parseReceipt(byte[] bytes) {
        demand(bytes.length <= 262_144, "the receipt is too large");
        String text = new String(bytes, ISO_8859_1);
        int end = Math.max(text.indexOf("\n\n"), 0);
        var lines = new ArrayList<>(List.of(text.substring(0, end).split("\n", -1)));
        demand(lines.remove(0).equals("c2sp.org/tlog-proof@v1"), "this is no tlog-proof");
        boolean hasBody = !lines.isEmpty() && lines.get(0).startsWith("extra ");
        byte[] body = hasBody ? unb64(lines.remove(0).substring(6)) : null;
        demand(!lines.isEmpty() && lines.get(0).startsWith("index "), "the receipt has no index");
        long index = decimal(lines.remove(0).substring(6));
        demand(lines.size() <= 63, "the proof is too long");
        return new Receipt(body, index, lines.stream().map(Verify::hashOf).toList(), Arrays.copyOfRange(bytes, end + 2, bytes.length));
    }

    private static byte[] provenBody(Receipt receipt, List<LogKey> keys) {
        demand(receipt.body() != null, "the receipt has no event");
        var tree = openCheckpoint(receipt.checkpoint(), keys);
        checkInclusion(sha256(new byte[] {0}, sha256(receipt.body())), receipt.index(), tree.size(), receipt.proof(), tree.root());
        return receipt.body();
    }

    static void checkInclusion(byte[] leaf, long index, long size, List<byte[]> proof, byte[] root) { // RFC 9162 section 2.1.3.2
        demand(index >= 0 && index < size, "the tree has no such leaf");
        long node = index, last = size - 1;
        byte[] found = leaf, inner = {1};
        for (byte[] sibling : proof) {
            demand(last > 0, "the proof is too long");
            if ((node & 1) == 1 || node == last) {
                found = sha256(inner, sibling, found);
                for (; node != 0 && (node & 1) == 0; last >>= 1) node >>= 1;
            } else {
                found = sha256(inner, found, sibling);
            }
            node >>= 1;
            last >>= 1;
        }
        demand(last == 0 && Arrays.equals(found, root), "the proof does not lead to the root");
    }

    static List<LogKey> keysOf(String vkey) {
        return List.of(new LogKey(parseVkey(vkey, 1), -1));
    }

    // The newest key that was announced below the size of a checkpoint must have signed it, whoever else did.
    static Tree openCheckpoint(byte[] bytes, List<LogKey> keys) {
        var note = openNote(bytes, keys);
        String[] lines = note.text().split("\n", -1);
        var rest = lines.length < 4 ? List.of("") : Arrays.asList(lines).subList(3, lines.length - 1);
        demand(lines.length >= 4 && lines[lines.length - 1].isEmpty() && !rest.contains(""), "this is no checkpoint");
        var tree = new Tree(decimal(lines[1]), hashOf(lines[2]));
        var wanted = keys.get(0).key();
        for (var each : keys) wanted = each.seq() < tree.size() ? each.key() : wanted;
        demand(lines[0].equals(wanted.name()), "the checkpoint is of another log");
        demand(note.signers().contains(wanted.text()), "the checkpoint is not signed with the key of its time");
        demand(tree.size() > 0 || Arrays.equals(tree.root(), sha256()), "the root is not that of an empty tree");
        return tree;
    }

    // The receipt of a `log.key` event, under a checkpoint that the former key and the new one signed.
    static List<LogKey> readCrossing(byte[] bytes, List<LogKey> keys) {
        var receipt = parseReceipt(bytes);
        var event = parseObject(provenBody(receipt, keys));
        var newest = keys.get(keys.size() - 1);
        var names = Set.of("v", "kind", "time", "party", "party_seq", "object", "detail", "salt");
        boolean isEvent = event.keySet().equals(names) && Long.valueOf(1).equals(event.get("v")) && "log.key".equals(event.get("kind"))
            && event.get("time") instanceof Long && event.get("party") instanceof String && event.get("party_seq") instanceof Long
            && event.get("salt") instanceof String && (event.get("object") == null || event.get("object") instanceof String);
        demand(isEvent && event.get("detail") instanceof Map, "this announces no key");
        var detail = (Map<?, ?>) event.get("detail");
        demand(detail.get("log_key") instanceof String && detail.get("until") instanceof Long, "this announces no key");
        var key = parseVkey((String) detail.get("log_key"), 1);
        boolean follows = newest.key().text().equals(detail.get("former")) && receipt.index() > newest.seq();
        boolean isNew = keys.stream().noneMatch(each -> each.key().text().equals(key.text()));
        demand(follows && isNew && key.name().equals(newest.key().name()), "this key does not follow the log's");
        var crossed = Stream.concat(keys.stream(), Stream.of(new LogKey(key, receipt.index()))).toList();
        openCheckpoint(receipt.checkpoint(), crossed);
        return crossed;
    }

    // ---- notes (C2SP signed-note)

    record Note(String text, Set<String> signers) {}

    private static final Pattern NAME = Pattern.compile(
        "[^\\x00-\\x20+\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000\\ud800-\\udfff]+");
    private static final Pattern SIGNATURE = Pattern.compile("\u2014 ([^ ]*) (.*)", Pattern.DOTALL);

    static VerifierKey parseVkey(String text, int algorithm) {
        String[] parts = text.split("\\+", 3); // the base64 may have plus signs of its own
        demand(parts.length == 3 && NAME.matcher(parts[0]).matches(), "a key is name+id+base64");
        byte[] typed = unb64(parts[2]);
        demand(typed.length == 33 && typed[0] == algorithm, "the key is of another algorithm");
        byte[] digest = sha256((parts[0] + "\n").getBytes(UTF_8), typed), key = Arrays.copyOfRange(typed, 1, 33);
        demand(hex(digest).substring(0, 8).equals(parts[1]), "the id is not that of this key: mistyped or tampered with");
        checkPoint(key);
        return new VerifierKey(parts[0], parts[1], key, text);
    }

    private static Note openNote(byte[] note, List<LogKey> keys) {
        demand(note.length <= 262_144, "the note is too large");
        for (byte each : note) demand(each < 0 || each >= 0x20 || each == '\n', "the note has a control character");
        String whole = utf8(note);
        int end = whole.lastIndexOf("\n\n");
        demand(end >= 0 && whole.endsWith("\n"), "a note is a text, an empty line, signatures");
        String text = whole.substring(0, end + 1);
        String[] lines = whole.substring(Math.min(end + 2, whole.length() - 1), whole.length() - 1).split("\n", -1);
        demand(lines.length <= 64, "too many signatures");
        var signers = new HashSet<String>();
        for (String line : lines) {
            var parts = SIGNATURE.matcher(line);
            demand(parts.matches() && NAME.matcher(parts.group(1)).matches(), "a signature line is a dash, a name, base64");
            byte[] data = unb64(parts.group(2));
            demand(data.length > 4, "a signature line without a signature");
            String id = hex(Arrays.copyOf(data, 4));
            for (var each : keys) { // the other lines are a witness's, or a key's that nobody pinned
                if (!each.key().name().equals(parts.group(1)) || !each.key().id().equals(id)) continue;
                byte[] signature = Arrays.copyOfRange(data, 4, data.length);
                demand(isSigned(each.key().bytes(), signature, text.getBytes(UTF_8)), "a signature does not belong to this note");
                signers.add(each.key().text());
            }
        }
        demand(!signers.isEmpty(), "no pinned key signed this note");
        return new Note(text, signers);
    }

    // ---- spellings: one for each value

    static String hex(byte[] bytes) {
        return HexFormat.of().formatHex(bytes);
    }

    static String b64(byte[] bytes) {
        return Base64.getEncoder().encodeToString(bytes);
    }

    static String b64u(byte[] bytes) {
        return Base64.getUrlEncoder().withoutPadding().encodeToString(bytes);
    }

    static byte[] unb64(String text) {
        return decoded(text, Base64.getDecoder(), Base64.getEncoder());
    }

    static byte[] unb64u(String text) {
        return decoded(text, Base64.getUrlDecoder(), Base64.getUrlEncoder().withoutPadding());
    }

    private static byte[] decoded(String text, Base64.Decoder decoder, Base64.Encoder encoder) {
        try {
            byte[] bytes = decoder.decode(text);
            demand(encoder.encodeToString(bytes).equals(text), "this is not canonical base64");
            return bytes;
        } catch (IllegalArgumentException fault) {
            throw new Broken("this is not base64");
        }
    }

    private static byte[] hashOf(String text) {
        byte[] bytes = unb64(text);
        demand(bytes.length == 32, "a hash has 32 bytes");
        return bytes;
    }

    private static long decimal(String text) {
        demand(text.matches("0|[1-9][0-9]{0,15}"), "this is no plain decimal number");
        return Long.parseLong(text);
    }

    private static String utf8(byte[] bytes) {
        try {
            return UTF_8.newDecoder().decode(ByteBuffer.wrap(bytes)).toString();
        } catch (CharacterCodingException fault) {
            throw new Broken("this is not UTF-8");
        }
    }

    static byte[] sha256(byte[]... parts) {
        try {
            var digest = MessageDigest.getInstance("SHA-256");
            for (byte[] part : parts) digest.update(part);
            return digest.digest();
        } catch (GeneralSecurityException fault) {
            throw new IllegalStateException(fault);
        }
    }

    // Strict JSON (RFC 8259, RFC 7493): objects become maps, integers Long.
    static Map<String, Object> parseObject(byte[] bytes) {
        return new Json(utf8(bytes), 16).whole();
    }

    static final class Json {
        private final String text;
        private final int depthMax;
        private int at;

        Json(String text, int depthMax) {
            this.text = text;
            this.depthMax = depthMax;
        }

        Map<String, Object> whole() {
            expect("{");
            var found = object(1);
            blanks();
            demand(at == text.length(), "something follows the object");
            return found;
        }

        private void blanks() {
            while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) at++;
        }

        private boolean peek(String mark) {
            blanks();
            boolean found = text.startsWith(mark, at);
            at += found ? mark.length() : 0;
            return found;
        }

        private void expect(String mark) {
            demand(peek(mark), "this is not strict JSON");
        }

        private Map<String, Object> object(int depth) {
            demand(depth <= depthMax, "this is nested too deep");
            var members = new LinkedHashMap<String, Object>();
            if (peek("}")) return members;
            do {
                expect("\"");
                String name = string();
                demand(!members.containsKey(name), "a member stands twice");
                expect(":");
                members.put(name, value(depth));
            } while (peek(","));
            expect("}");
            return members;
        }

        private List<Object> list(int depth) {
            demand(depth <= depthMax, "this is nested too deep");
            var items = new ArrayList<Object>();
            if (peek("]")) return items;
            do items.add(value(depth)); while (peek(","));
            expect("]");
            return items;
        }

        private Object value(int depth) {
            if (peek("{")) return object(depth + 1);
            if (peek("[")) return list(depth + 1);
            if (peek("\"")) return string();
            if (peek("true")) return true;
            if (peek("false")) return false;
            if (peek("null")) return null;
            return integer();
        }

        private Long integer() {
            int begin = at;
            while (at < text.length() && "+-.0123456789eE".indexOf(text.charAt(at)) >= 0) at++;
            String digits = text.substring(begin, at);
            demand(digits.matches("0|-?[1-9][0-9]{0,15}"), "this is no plain integer");
            long found = Long.parseLong(digits);
            demand(Math.abs(found) < 1L << 53, "an integer is out of range");
            return found;
        }

        private String string() { // behind its opening quote
            var found = new StringBuilder();
            for (char each = next(); each != '"'; each = next()) {
                demand(each >= 0x20, "a text has a control character");
                found.append(each == '\\' ? escaped(next()) : each);
            }
            String whole = found.toString();
            demand(whole.indexOf(0) < 0 && UTF_8.newEncoder().canEncode(whole), "a text has NUL or a lone surrogate");
            return whole;
        }

        private char escaped(char mark) {
            if (mark != 'u') {
                int place = "\"\\/bfnrt".indexOf(mark);
                demand(place >= 0, "this is not strict JSON");
                return "\"\\/\b\f\n\r\t".charAt(place);
            }
            String digits = text.substring(at, Math.min(at + 4, text.length()));
            demand(digits.matches("[0-9a-fA-F]{4}"), "this is not strict JSON");
            at += 4;
            return (char) Integer.parseInt(digits, 16);
        }

        private char next() {
            demand(at < text.length(), "this is not strict JSON");
            return text.charAt(at++);
        }
    }

    // ---- Ed25519 with the two rules of docs/spec/line.md: a key of prime order, an R that is not the neutral element

    private static final BigInteger ONE = BigInteger.ONE, ZERO = BigInteger.ZERO, TWO = BigInteger.TWO;
    private static final BigInteger P = TWO.pow(255).subtract(BigInteger.valueOf(19));
    private static final BigInteger ORDER = TWO.pow(252).add(new BigInteger("27742317777372353535851937790883648493"));
    private static final BigInteger D = BigInteger.valueOf(-121_665).multiply(BigInteger.valueOf(121_666).modInverse(P)).mod(P);
    private static final byte[] NEUTRAL = Arrays.copyOf(new byte[] {1}, 32);
    private static final byte[] BEFORE_KEY = HexFormat.of().parseHex("302a300506032b6570032100"); // RFC 8410

    private static boolean isSigned(byte[] key, byte[] signature, byte[] data) {
        if (signature.length != 64 || Arrays.equals(Arrays.copyOf(signature, 32), NEUTRAL)) return false;
        try {
            byte[] encoded = Arrays.copyOf(BEFORE_KEY, BEFORE_KEY.length + 32);
            System.arraycopy(key, 0, encoded, BEFORE_KEY.length, 32);
            var engine = Signature.getInstance("Ed25519");
            engine.initVerify(KeyFactory.getInstance("Ed25519").generatePublic(new X509EncodedKeySpec(encoded)));
            engine.update(data);
            return engine.verify(signature);
        } catch (SignatureException fault) {
            return false;
        } catch (GeneralSecurityException fault) {
            throw new IllegalStateException(fault);
        }
    }

    private static BigInteger number(byte[] littleEndian) {
        byte[] bytes = littleEndian.clone();
        for (int at = 0; at < bytes.length; at++) bytes[at] = littleEndian[bytes.length - 1 - at];
        return new BigInteger(1, bytes);
    }

    private static void checkPoint(byte[] key) { // RFC 8032 section 5.1.3, then ORDER times the point
        demand(key.length == 32, "a public key has 32 bytes");
        boolean sign = key[31] < 0;
        BigInteger y = number(key).clearBit(255), yy = y.multiply(y);
        var square = yy.subtract(ONE).multiply(D.multiply(yy).add(ONE).modInverse(P)).mod(P);
        var x = square.modPow(P.add(BigInteger.valueOf(3)).shiftRight(3), P);
        if (!x.multiply(x).mod(P).equals(square)) x = x.multiply(TWO.modPow(P.subtract(ONE).shiftRight(2), P)).mod(P);
        demand(y.compareTo(P) < 0 && x.multiply(x).mod(P).equals(square), "the key is no point of the curve");
        demand(x.signum() != 0, "the key is the neutral element, of order two, or spelt in another way");
        if (x.testBit(0) != sign) x = P.subtract(x);
        BigInteger[] sum = {ZERO, ONE, ONE, ZERO}, point = {x, y, ONE, x.multiply(y).mod(P)};
        for (int bit = 0; bit < ORDER.bitLength(); bit++) {
            if (ORDER.testBit(bit)) sum = add(sum, point);
            point = add(point, point);
        }
        demand(sum[0].signum() == 0 && sum[1].equals(sum[2]), "the key is of small or mixed order");
    }

    private static BigInteger[] add(BigInteger[] p, BigInteger[] q) { // section 5.1.4
        var a = p[1].subtract(p[0]).multiply(q[1].subtract(q[0]));
        var b = p[1].add(p[0]).multiply(q[1].add(q[0]));
        var c = TWO.multiply(p[3]).multiply(q[3]).multiply(D);
        var d = TWO.multiply(p[2]).multiply(q[2]);
        BigInteger e = b.subtract(a).mod(P), f = d.subtract(c).mod(P), g = d.add(c).mod(P), h = b.add(a).mod(P);
        return new BigInteger[] {e.multiply(f).mod(P), g.multiply(h).mod(P), f.multiply(g).mod(P), e.multiply(h).mod(P)};
    }
}
