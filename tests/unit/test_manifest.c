#include "manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* cmocka wants the four above first */
#include <cmocka.h>

#define SHA256_A "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define SHA256_B "sha256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define HEX_64 "cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define SHA512_C "sha512:" HEX_64 HEX_64
#define GIT_SHA "0123456789abcdef0123456789abcdef01234567"

/* What every case changes in one place. */
static const char right[] =
    "{\"schemaVersion\":\"1.0\",\"gitSha\":\"" GIT_SHA "\",\"buildTimestamp\":\"2026-03-01T10:00:00Z\","
    "\"artifacts\":[{\"name\":\"primary-image\",\"type\":\"docker-image\",\"digest\":\"" SHA256_A "\","
    "\"uri\":\"ghcr.io/acme/shop:1.4@" SHA256_A "\"},"
    "{\"name\":\"cli\",\"type\":\"binary\",\"digest\":\"" SHA512_C "\"}],"
    "\"sbomReference\":{\"uri\":\"sbom.json\",\"digest\":\"" SHA256_B "\"},"
    "\"evidenceReference\":{\"uri\":\"oci://ghcr.io/acme/evidence@" SHA256_B "\"},"
    "\"attestation\":{\"status\":\"enabled\",\"signatures\":[{\"artifact\":\"cli\",\"signatureUri\":\"cli.sig\",\"keyId\":\"ci\"}"
    "],"
    "\"issueLink\":\"https://acme.example/1\"},"
    "\"promotionHistory\":[{\"environment\":\"dev\",\"timestamp\":\"2026-03-01T11:00:00+01:00\",\"actor\":\"ana\","
    "\"notes\":\"first\"}]}";

/* `right` with the first `was` replaced; the caller frees it. */
static char *changed(const char *was, const char *becomes) {
    const char *at = strstr(right, was);
    if (!at) fail_msg("the right manifest lacks %s", was);
    size_t size = sizeof right + strlen(becomes);
    char *text = malloc(size);
    assert_non_null(text);
    (void)snprintf(text, size, "%.*s%s%s", (int)(at - right), right, becomes, at + strlen(was));
    return text;
}

struct fixture {
    struct arena arena;
    struct manifest manifest;
    struct error error;
};

static int read_text(struct fixture *fixture, const char *text) {
    return manifest_read(&fixture->arena, slice_str(text), NULL, NULL, &fixture->manifest, &fixture->error);
}

static int setup(void **state) {
    struct fixture *fixture = calloc(1, sizeof *fixture);
    if (!fixture) return -1;
    arena_init(&fixture->arena, 64 * 1024 * 1024);
    *state = fixture;
    return 0;
}

static int teardown(void **state) {
    struct fixture *fixture = *state;
    arena_release(&fixture->arena);
    free(fixture);
    return 0;
}

static void a_right_manifest_is_read_whole(void **state) {
    struct fixture *f = *state;
    if (read_text(f, right)) fail_msg("%s %s: %s", f->error.path, f->error.code, f->error.message);
    assert_true(slice_is(f->manifest.git_sha, GIT_SHA));
    assert_int_equal(f->manifest.artifact_count, 2);
    assert_true(slice_is(f->manifest.artifacts[0].name, "primary-image"));
    assert_true(slice_is(f->manifest.artifacts[0].type, "docker-image"));
    assert_true(slice_is(f->manifest.artifacts[0].digest, SHA256_A));
    assert_true(slice_is(f->manifest.artifacts[0].uri, "ghcr.io/acme/shop:1.4@" SHA256_A));
    assert_true(slice_is(f->manifest.artifacts[1].digest, SHA512_C));
    assert_null(f->manifest.artifacts[1].uri.p);
    assert_true(slice_is(f->manifest.sbom.uri, "sbom.json"));
    assert_true(slice_is(f->manifest.sbom.digest, SHA256_B));
    assert_null(f->manifest.evidence.digest.p);
    assert_true(f->manifest.attestation_enabled);
    assert_ptr_equal(f->manifest.text.p, right);
}

/* `printf '{}' | sha256sum`, so that nobody has to trust the code under test. */
static void the_digest_is_that_of_sha256sum(void **state) {
    struct fixture *f = *state;
    char command[128], expected[65] = "", text[DIGEST_TEXT], path[] = "/tmp/test_manifest.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    assert_non_null(file);
    assert_int_equal(fputs(right, file) < 0, 0);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(command, sizeof command, "sha256sum %s", path);
    FILE *output = popen(command, "r");
    assert_non_null(output);
    assert_int_equal(fread(expected, 1, 64, output), 64);
    (void)pclose(output);
    (void)remove(path);
    assert_int_equal(read_text(f, right), 0);
    digest_text(text, &f->manifest.digest);
    assert_memory_equal(text + 7, expected, 64);
}

static void what_keeps_the_rules_is_read(void **state) {
    struct fixture *f = *state;
    static const struct {
        const char *was, *becomes;
    } cases[] = {
        {"\"1.0\"", "\"1\""},
        {"\"1.0\"", "\"1.0.3\""},
        {GIT_SHA, HEX_64},
        {"2026-03-01T10:00:00Z", "2026-03-01T10:00:00.123456789-05:30"},
        {"2026-03-01T10:00:00Z", "2016-12-31T23:59:60Z"},
        {"docker-image", "other"},
        {"ghcr.io/acme/shop:1.4@" SHA256_A, "https://user@dl.acme.example:8443/cli"},
        {"ghcr.io/acme/shop:1.4@" SHA256_A, "https://dl.acme.example/pkg@1.2.3"},
        {"ghcr.io/acme/shop:1.4@" SHA256_A, "https://dl.acme.example/cli@" SHA256_A},
        {"ghcr.io/acme/shop:1.4@" SHA256_A, "shop image"},
        {",\"digest\":\"" SHA256_B "\"}", "}"},
        {",\"issueLink\":\"https://acme.example/1\"", ""},
        {"\"enabled\"", "\"disabled\""},
        {",\"notes\":\"first\"", ""},
        {"\"environment\":\"dev\"", "\"environment\":\"staging-2\""},
        {"\"cli\",\"type\":\"binary\"",
         "\"Primary-image\",\"type\":\"archive\",\"digest\":\"" SHA256_A "\"},{\"name\":\"cli\",\"type\":\"binary\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *text = changed(cases[i].was, cases[i].becomes);
        if (read_text(f, text)) fail_msg("%s: %s %s: %s", cases[i].becomes, f->error.path, f->error.code, f->error.message);
        free(text);
    }
}

/* One row a rule: what is changed, where the problem is found, and its code. */
static const struct broken {
    const char *rule, *was, *becomes, *path, *code;
} broken[] = {
    /* strict JSON */
    {"nothing stands after the end", "\"first\"}]}", "\"first\"}]}]", "", "not-json"},
    {"no member stands twice", "\"type\":\"docker-image\"", "\"type\":\"other\",\"type\":\"other\"", "/artifacts/0/type",
     "duplicate-member"},
    {"an escaped name is the same name", "\"type\":\"docker-image\"", "\"type\":\"other\",\"\\u0074ype\":\"other\"",
     "/artifacts/0/type", "duplicate-member"},
    {"no text has U+0000", "\"first\"", "\"fi\\u0000rst\"", "/promotionHistory/0/notes", "text-invalid"},
    {"text is UTF-8", "\"first\"", "\"fi\xffrst\"", "", "not-json"},
    {"nesting is limited", "\"1.0\"", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]", "",
     "too-deep"},
    /* the schema */
    {"the version is 1", "\"1.0\"", "\"2.0\"", "/schemaVersion", "manifest-invalid"},
    {"the version is a text", "\"1.0\"", "1", "/schemaVersion", "manifest-invalid"},
    {"every member is needed", "\"schemaVersion\":\"1.0\",", "", "", "manifest-invalid"},
    {"the SHA is full", GIT_SHA, "0123456", "/gitSha", "manifest-invalid"},
    {"the SHA is lower case", GIT_SHA, "0123456789ABCDEF0123456789abcdef01234567", "/gitSha", "manifest-invalid"},
    {"the SHA has no line break", GIT_SHA "\"", GIT_SHA "\\n\"", "/gitSha", "manifest-invalid"},
    {"the type is known", "docker-image", "image", "/artifacts/0/type", "manifest-invalid"},
    {"a name is no empty text", "\"primary-image\"", "\"\"", "/artifacts/0/name", "manifest-invalid"},
    {"a name has no control characters", "primary-image", "primary\\u001bimage", "/artifacts/0/name", "manifest-invalid"},
    {"members are known", "\"schemaVersion\"", "\"extra\":1,\"schemaVersion\"", "/extra", "unknown-member"},
    {"members of artifacts are known", "\"type\":\"docker-image\"", "\"type\":\"other\",\"size\":1", "/artifacts/0/size",
     "unknown-member"},
    {"members of signatures are known", "\"keyId\":\"ci\"", "\"keyId\":\"ci\",\"extra\":true", "/attestation/signatures/0/extra",
     "unknown-member"},
    {"a signature has a key", ",\"keyId\":\"ci\"", "", "/attestation/signatures/0", "manifest-invalid"},
    {"the status is known", "\"enabled\"", "\"maybe\"", "/attestation/status", "manifest-invalid"},
    {"an SBOM has a place", "\"uri\":\"sbom.json\",", "", "/sbomReference", "manifest-invalid"},
    {"an environment is named as the contract says", "\"environment\":\"dev\"", "\"environment\":\"Dev\"",
     "/promotionHistory/0/environment", "manifest-invalid"},
    /* integrity */
    {"a digest has its algorithm's length", SHA256_A, "sha256:mock", "/artifacts/0/digest", "digest-invalid"},
    {"a digest is lower case", SHA256_A, "sha256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
     "/artifacts/0/digest", "digest-invalid"},
    {"a digest has an algorithm", SHA256_A, HEX_64, "/artifacts/0/digest", "digest-invalid"},
    {"a digest's algorithm is known", SHA256_A, "md5:d41d8cd98f00b204e9800998ecf8427e", "/artifacts/0/digest", "digest-invalid"},
    {"a digest is no sha512 of sha256's length", SHA512_C, "sha512:" HEX_64, "/artifacts/1/digest", "digest-invalid"},
    {"a reference's digest is well formed", "\"digest\":\"" SHA256_B, "\"digest\":\"sha256:0", "/sbomReference/digest",
     "digest-invalid"},
    {"a uri agrees with the digest", "@" SHA256_A, "@" SHA256_B, "/artifacts/0/uri", "digest-invalid"},
    {"a uri's digest is of the same algorithm", "@" SHA256_A, "@" SHA512_C, "/artifacts/0/uri", "digest-invalid"},
    {"a uri's digest is well formed", "@" SHA256_A, "@sha256:mock", "/artifacts/0/uri", "digest-invalid"},
    {"a uri's digest cannot hide in upper case", "@" SHA256_A,
     "@SHA256:bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb", "/artifacts/0/uri", "digest-invalid"},
    {"a uri's digest cannot hide behind another algorithm", "@" SHA256_A, "@md5:d41d8cd98f00b204e9800998ecf8427e",
     "/artifacts/0/uri", "digest-invalid"},
    {"a web address agrees too", "ghcr.io/acme/shop:1.4@" SHA256_A, "https://dl.acme.example/shop@" SHA256_B, "/artifacts/0/uri",
     "digest-invalid"},
    {"a reference's uri agrees with its digest", "\"sbom.json\"", "\"oci://ghcr.io/acme/sbom@" SHA256_A "\"",
     "/sbomReference/uri", "digest-invalid"},
    {"a uri's digest is well formed where there is no other", "evidence@" SHA256_B, "evidence@sha256:1", "/evidenceReference/uri",
     "digest-invalid"},
    {"no two artifacts have one name", "{\"name\":\"cli\"",
     "{\"name\":\"primary-image\",\"type\":\"other\",\"digest\":\"" SHA256_B "\"},{\"name\":\"cli\"", "/artifacts/1/name",
     "manifest-invalid"},
    {"enabled needs a signature", "{\"artifact\":\"cli\",\"signatureUri\":\"cli.sig\",\"keyId\":\"ci\"}", "",
     "/attestation/signatures", "manifest-invalid"},
    {"enabled needs signatures", "\"signatures\":[{\"artifact\":\"cli\",\"signatureUri\":\"cli.sig\",\"keyId\":\"ci\"}],", "",
     "/attestation", "manifest-invalid"},
    {"a signature is of an artifact that exists", "\"artifact\":\"cli\"", "\"artifact\":\"clo\"",
     "/attestation/signatures/0/artifact", "manifest-invalid"},
    {"disabled needs an issueLink",
     "\"enabled\",\"signatures\":[{\"artifact\":\"cli\",\"signatureUri\":\"cli.sig\",\"keyId\":\"ci\"}],"
     "\"issueLink\":\"https://acme.example/1\"",
     "\"disabled\"", "/attestation", "manifest-invalid"},
    {"an issueLink says something", "\"https://acme.example/1\"", "\"\"", "/attestation/issueLink", "manifest-invalid"},
    {"the build's day exists", "2026-03-01T10:00:00Z", "2026-02-29T10:00:00Z", "/buildTimestamp", "manifest-invalid"},
    {"the build's hour exists", "2026-03-01T10:00:00Z", "2026-03-01T25:00:00Z", "/buildTimestamp", "manifest-invalid"},
    {"the build's time has an offset", "2026-03-01T10:00:00Z", "2026-03-01T10:00:00", "/buildTimestamp", "manifest-invalid"},
    {"a leap second stands where one can be", "2026-03-01T10:00:00Z", "2026-03-01T10:00:60Z", "/buildTimestamp",
     "manifest-invalid"},
    {"a promotion's instant is real", "2026-03-01T11:00:00+01:00", "2026-13-01T11:00:00+01:00", "/promotionHistory/0/timestamp",
     "manifest-invalid"},
};

static void each_rule_has_its_place_and_code(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        const struct broken *b = &broken[i];
        char *text = changed(b->was, b->becomes);
        f->manifest.artifact_count = 77;
        f->error = (struct error){.kind = ERROR_NONE};
        if (read_text(f, text) != -1) fail_msg("%s: was read", b->rule);
        if (strcmp(f->error.path, b->path) != 0 || strcmp(f->error.code, b->code) != 0)
            fail_msg("%s: %s %s (%s), not %s %s", b->rule, f->error.path, f->error.code, f->error.message, b->path, b->code);
        assert_int_equal(f->error.kind, ERROR_INPUT);
        assert_int_equal(f->manifest.artifact_count, 77); /* untouched */
        free(text);
    }
}

struct told {
    size_t count, enough;
    char lines[16][512];
};

static bool tell(void *context, const char *path, const char *code, const char *message) {
    struct told *told = context;
    assert_true(message[0] && !strchr(message, '\n'));
    if (told->count < 16) (void)snprintf(told->lines[told->count], sizeof told->lines[0], "%s %s", path, code);
    return ++told->count != told->enough;
}

/* The same rows, and every one is told once. */
static void each_rule_is_told_to_a_listener(void **state) {
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char expected[512], *text = changed(broken[i].was, broken[i].becomes);
        struct told told = {0};
        (void)snprintf(expected, sizeof expected, "%s %s", broken[i].path, broken[i].code);
        assert_int_equal(manifest_read(&f->arena, slice_str(text), tell, &told, &f->manifest, &f->error), -1);
        if (told.count != 1 || strcmp(told.lines[0], expected) != 0)
            fail_msg("%s: told %zu, first '%s' then '%s', not '%s'", broken[i].rule, told.count, told.lines[0], told.lines[1],
                     expected);
        free(text);
    }
}

static const char many_faults[] = "{\"schemaVersion\":\"1.0\",\"gitSha\":\"x\",\"buildTimestamp\":\"yesterday\","
                                  "\"artifacts\":[{\"name\":\"a\",\"type\":\"binary\",\"digest\":\"sha256:mock\"},"
                                  "{\"name\":\"a\",\"type\":\"binary\",\"digest\":\"" SHA256_A "\"}],"
                                  "\"sbomReference\":{\"uri\":\"s\"},\"evidenceReference\":{\"uri\":\"e\",\"more\":1},"
                                  "\"attestation\":{\"status\":\"disabled\"}}";

static void all_problems_of_schema_and_integrity_are_told(void **state) {
    struct fixture *f = *state;
    static const char *const expected[] = {
        "/gitSha manifest-invalid",           "/buildTimestamp manifest-invalid",       "/artifacts/0/digest digest-invalid",
        "/artifacts/1/name manifest-invalid", "/evidenceReference/more unknown-member", "/attestation manifest-invalid"};
    enum { EXPECTED = sizeof expected / sizeof *expected };
    struct told told = {0};
    assert_int_equal(manifest_read(&f->arena, slice_str(many_faults), tell, &told, &f->manifest, &f->error), -1);
    for (size_t i = 0; i < EXPECTED; i++) {
        size_t found = 0;
        for (size_t k = 0; k < told.count && k < 16; k++) found += strcmp(told.lines[k], expected[i]) == 0;
        if (found != 1) fail_msg("told %zu times: %s", found, expected[i]);
    }
    assert_int_equal(told.count, EXPECTED);
    assert_non_null(strstr(f->error.message, "6 problems"));
}

static void a_listener_who_has_heard_enough_hears_no_more(void **state) {
    struct fixture *f = *state;
    for (size_t enough = 1; enough <= 6; enough++) {
        struct told told = {.enough = enough};
        assert_int_equal(manifest_read(&f->arena, slice_str(many_faults), tell, &told, &f->manifest, &f->error), -1);
        assert_int_equal(told.count, enough);
    }
}

/* Integrity looks at what the schema has refused already: every kind of value in every place must be survived. */
static void any_value_in_any_place_is_survived(void **state) {
    struct fixture *f = *state;
    static const char *const values[] = {"null",
                                         "true",
                                         "0",
                                         "\"\"",
                                         "[]",
                                         "{}",
                                         "[[]]",
                                         "[{}]",
                                         "[null]",
                                         "{\"a\":1}",
                                         "{\"uri\":1,\"digest\":2,\"name\":[],\"status\":{}}"};
    static const char *const members[] = {"schemaVersion",     "gitSha",      "buildTimestamp",  "artifacts", "sbomReference",
                                          "evidenceReference", "attestation", "promotionHistory"};
    for (size_t m = 0; m < sizeof members / sizeof *members; m++) {
        for (size_t v = 0; v < sizeof values / sizeof *values; v++) {
            char name[40], replaced[120], path[40];
            struct told told = {0};
            (void)snprintf(name, sizeof name, "\"%s\":", members[m]);
            (void)snprintf(replaced, sizeof replaced, "\"%s\":%s,\"x\":", members[m], values[v]);
            (void)snprintf(path, sizeof path, "/x unknown-member");
            char *text = changed(name, replaced);
            assert_int_equal(manifest_read(&f->arena, slice_str(text), tell, &told, &f->manifest, &f->error), -1);
            bool heard = false;
            for (size_t k = 0; k < told.count && k < 16; k++) heard |= strcmp(told.lines[k], path) == 0;
            if (!heard) fail_msg("%s: no one was told of /x", replaced);
            free(text);
        }
    }
    static const char *const roots[] = {"null", "[]", "\"manifest\"", "1", "{}"};
    for (size_t i = 0; i < sizeof roots / sizeof *roots; i++) {
        assert_int_equal(read_text(f, roots[i]), -1);
        assert_string_equal(f->error.code, "manifest-invalid");
        assert_string_equal(f->error.path, "");
    }
}

static char *with_artifacts(size_t count) {
    struct buf text;
    buf_init(&text, 1024 * 1024);
    for (size_t i = 0; i < count; i++)
        buf_print(&text, "%s{\"name\":\"artifact-%zu\",\"type\":\"binary\",\"digest\":\"" SHA256_A "\"}", i ? "," : "", i);
    char *list = strdup(text.n ? text.p : "");
    assert_non_null(list);
    buf_release(&text);
    char *whole = changed("{\"name\":\"cli\",\"type\":\"binary\",\"digest\":\"" SHA512_C "\"}", list);
    free(list);
    return whole;
}

static void artifacts_are_limited(void **state) {
    struct fixture *f = *state;
    char *most = with_artifacts(MANIFEST_ARTIFACTS_MAX - 1); /* and primary-image; cli, which is signed, is gone... */
    assert_int_equal(read_text(f, most), -1);
    assert_string_equal(f->error.path, "/attestation/signatures/0/artifact"); /* ...and only that is wrong */
    free(most);
    char *more = with_artifacts(MANIFEST_ARTIFACTS_MAX);
    assert_int_equal(read_text(f, more), -1);
    assert_string_equal(f->error.path, "/artifacts");
    free(more);
}

static void a_manifest_over_a_million_bytes_is_refused(void **state) {
    struct fixture *f = *state;
    size_t size = json_contract_limits.bytes;
    char *text = malloc(size + 2);
    assert_non_null(text);
    memset(text, ' ', size + 1);
    memcpy(text, right, sizeof right - 1);
    text[size] = '\0';
    assert_int_equal(read_text(f, text), 0);
    text[size] = ' ';
    text[size + 1] = '\0';
    assert_int_equal(read_text(f, text), -1);
    assert_string_equal(f->error.code, "too-large");
    free(text);
}

static void memory_may_end_anywhere(void **state) {
    (void)state;
    bool refused = false, read = false;
    for (size_t maximum = 0; maximum < 512 * 1024 && !read; maximum += 1024) {
        struct arena arena;
        struct manifest manifest;
        struct error error = {.kind = ERROR_NONE};
        arena_init(&arena, maximum);
        read = manifest_read(&arena, slice_str(right), NULL, NULL, &manifest, &error) == 0;
        if (!read) assert_string_equal(error.code, "out-of-memory");
        refused |= !read;
        arena_release(&arena);
    }
    assert_true(refused);
    assert_true(read);
}

/* ---- image references ---- */

static void image_references_are_taken_apart(void **state) {
    (void)state;
    static const struct {
        const char *uri, *host, *repository, *tag, *digest;
    } cases[] = {
        {"ghcr.io/acme/shop", "ghcr.io", "acme/shop", NULL, NULL},
        {"docker://ghcr.io/acme/shop:1.4", "ghcr.io", "acme/shop", "1.4", NULL},
        {"oci://ghcr.io/acme/shop@" SHA256_A, "ghcr.io", "acme/shop", NULL, SHA256_A},
        {"127.0.0.1:5000/shop:v1.4_x-Y@" SHA512_C, "127.0.0.1:5000", "shop", "v1.4_x-Y", SHA512_C},
        {"localhost/a", "localhost", "a", NULL, NULL},
        {"localhost:5000/a", "localhost:5000", "a", NULL, NULL},
        {"registry:65535/a/b/c/d", "registry:65535", "a/b/c/d", NULL, NULL},
        {"[::1]:5000/shop", "[::1]:5000", "shop", NULL, NULL},
        {"[2001:db8::1]/shop", "[2001:db8::1]", "shop", NULL, NULL},
        {"r.example/a.b_c__d-e---f/0", "r.example", "a.b_c__d-e---f/0", NULL, NULL},
        {"r.example/a:_", "r.example", "a", "_", NULL},
        {"GHCR.io/a", "GHCR.io", "a", NULL, NULL},
        {"3com.example/a", "3com.example", "a", NULL, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_reference image;
        if (!image_reference_parse(slice_str(cases[i].uri), &image)) fail_msg("refused: %s", cases[i].uri);
        assert_true(slice_is(image.host, cases[i].host));
        assert_true(slice_is(image.repository, cases[i].repository));
        assert_true(slice_equal(image.tag, slice_str(cases[i].tag)) && !image.tag.p == !cases[i].tag);
        assert_true(slice_equal(image.digest, slice_str(cases[i].digest)) && !image.digest.p == !cases[i].digest);
    }
}

static void what_names_no_image_in_a_registry_is_refused(void **state) {
    (void)state;
    static const char *const cases[] = {
        "", "/", "//", "a", "sbom.json", "acme/shop", "acme/shop:1.4", "/etc/passwd", "./sbom.json", "../a", "ghcr.io",
        "ghcr.io/", "ghcr.io//shop", "ghcr.io/shop/", "ghcr.io/../shop", "ghcr.io/./shop", "ghcr.io/a/../b", "ghcr.io/.a",
        "ghcr.io/a.", "ghcr.io/a..b", "ghcr.io/a___b", "ghcr.io/a._b", "ghcr.io/a-_b", "ghcr.io/-a", "ghcr.io/Shop",
        "ghcr.io/sh%6fp", "ghcr.io/shop?x=1", "ghcr.io/shop#x", "ghcr.io/sh op", "ghcr.io/shop\n", "ghcr.io/shop\\x",
        "ghcr.io/sch\xc3\xb6n",
        /* schemes */
        "https://ghcr.io/acme/shop", "http://ghcr.io/acme/shop", "file:///etc/passwd", "DOCKER://ghcr.io/a", "docker:ghcr.io/a",
        "docker://", "docker:///a", "oci://docker://ghcr.io/a",
        /* hosts */
        "user@ghcr.io/a", "user:pw@ghcr.io/a", ".ghcr.io/a", "ghcr..io/a", "ghcr.io./a", "-ghcr.io/a", "ghcr-.io/a", "gh_cr.io/a",
        "gh*r.io/a", "ghcr.io:/a", "ghcr.io:0/a", "ghcr.io:0443/a", "ghcr.io:65536/a", "ghcr.io:+80/a", "ghcr.io:80x/a",
        "ghcr.io:80:80/a", "[::1/a", "[::1]x/a", "[::1]:/a", "[]/a", "[127.0.0.1]/a", "[fe80::1%eth0]/a", "::1/a",
        /* what resolvers take for other addresses */
        "127.1/a", "0x7f.0.0.1/a", "0177.0.0.1/a", "127.0.0.0x1/a", "2130706433:80/a", "1.2.3.4.5/a", "256.1.1.1/a", "1.2.3/a",
        /* tags and digests */
        "ghcr.io/a:", "ghcr.io/a:.x", "ghcr.io/a:-x", "ghcr.io/a:x:y", "ghcr.io/a:x/y", "ghcr.io/a@", "ghcr.io/a@sha256:mock",
        "ghcr.io/a@" SHA256_A "@" SHA256_A, "ghcr.io/a@" SHA256_A ":tag", "ghcr.io/a@" SHA256_A "a", ("ghcr.io/a@sha384:" HEX_64),
        "ghcr.io/a@SHA256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct image_reference image;
        if (image_reference_parse(slice_str(cases[i]), &image)) fail_msg("taken: %s", cases[i]);
    }
    struct image_reference image;
    assert_false(image_reference_parse(SLICE("ghcr.io/a\0b"), &image));
    assert_false(image_reference_parse(SLICE("ghcr\0.io/a"), &image));
    assert_false(image_reference_parse(SLICE("[::1\0]/a"), &image));
    assert_false(image_reference_parse(slice_of(NULL, 0), &image));
}

static void parts_of_references_have_their_lengths(void **state) {
    (void)state;
    char uri[600];
    struct image_reference image;
    (void)snprintf(uri, sizeof uri, "ghcr.io/%0*d", 255 - 8, 0);
    assert_true(image_reference_parse(slice_str(uri), &image));
    (void)snprintf(uri, sizeof uri, "ghcr.io/%0*d", 256 - 8, 0);
    assert_false(image_reference_parse(slice_str(uri), &image));
    (void)snprintf(uri, sizeof uri, "a%0*d.io/a", 62, 0);
    assert_true(image_reference_parse(slice_str(uri), &image));
    (void)snprintf(uri, sizeof uri, "a%0*d.io/a", 63, 0);
    assert_false(image_reference_parse(slice_str(uri), &image));
    (void)snprintf(uri, sizeof uri, "ghcr.io/a:%0*d", 128, 0);
    assert_true(image_reference_parse(slice_str(uri), &image));
    (void)snprintf(uri, sizeof uri, "ghcr.io/a:%0*d", 129, 0);
    assert_false(image_reference_parse(slice_str(uri), &image));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_right_manifest_is_read_whole, setup, teardown),
        cmocka_unit_test_setup_teardown(the_digest_is_that_of_sha256sum, setup, teardown),
        cmocka_unit_test_setup_teardown(what_keeps_the_rules_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(each_rule_has_its_place_and_code, setup, teardown),
        cmocka_unit_test_setup_teardown(each_rule_is_told_to_a_listener, setup, teardown),
        cmocka_unit_test_setup_teardown(all_problems_of_schema_and_integrity_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_listener_who_has_heard_enough_hears_no_more, setup, teardown),
        cmocka_unit_test_setup_teardown(any_value_in_any_place_is_survived, setup, teardown),
        cmocka_unit_test_setup_teardown(artifacts_are_limited, setup, teardown),
        cmocka_unit_test_setup_teardown(a_manifest_over_a_million_bytes_is_refused, setup, teardown),
        cmocka_unit_test(memory_may_end_anywhere),
        cmocka_unit_test(image_references_are_taken_apart),
        cmocka_unit_test(what_names_no_image_in_a_registry_is_refused),
        cmocka_unit_test(parts_of_references_have_their_lengths),
    };
    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}
