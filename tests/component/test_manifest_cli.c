/* `sluice manifest generate` and `verify`, and with them the option parser, as CI calls them: the real program in a folder of
 * its own. $SLUICE_BIN names the program; by default it is the one built beside this test. Needs no server. */
#include "digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* cmocka wants the first four above */
#include <cmocka.h>

#define HEX "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define DIGEST "sha256:" HEX
#define SHA "0123456789abcdef0123456789abcdef01234567"
#define IMAGE "--image-digest " DIGEST " --image-uri ghcr.io/acme/shop:1.4 "
#define FILES "--sbom sbom.json --evidence evidence.json "
#define LINK "--issue-link https://acme.example/1 "
#define RIGHT "sluice manifest generate --sha " SHA " " IMAGE FILES LINK
#define PYTHON "/usr/bin/python3"
#define MANIFEST "release/out/release-manifest.json"

static char folder[] = "/tmp/test_manifest_cli.XXXXXX";
static char out[65536], err[65536]; /* what the last command printed */

static void slurp(const char *path, char *to, size_t room) {
    FILE *file = fopen(path, "rb");
    if (!file) fail_msg("cannot read %s", path);
    to[fread(to, 1, room - 1, file)] = '\0';
    (void)fclose(file);
}

static void spill(const char *path, const char *text) {
    FILE *file = fopen(path, "wb");
    if (!file) fail_msg("cannot write %s", path);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* Runs a shell command; returns its exit status and fills `out` and `err`. */
__attribute__((format(printf, 1, 2))) static int run(const char *format, ...) {
    char command[8192];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(command, sizeof command, format, arguments);
    va_end(arguments);
    assert_true(n > 0 && (size_t)n < sizeof command);
    char redirected[sizeof command + 32];
    (void)snprintf(redirected, sizeof redirected, "{ %s; } >stdout 2>stderr", command);
    int status = system(redirected);
    slurp("stdout", out, sizeof out);
    slurp("stderr", err, sizeof err);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define assert_exit(expected, ...)                                                                                               \
    do {                                                                                                                         \
        int exit_status = run(__VA_ARGS__);                                                                                      \
        if (exit_status != (expected)) fail_msg("exit %d, not %d\n%s%s", exit_status, (expected), out, err);                     \
    } while (0)

static void assert_says(const char *text, const char *wanted) {
    if (!strstr(text, wanted)) fail_msg("'%s' is not in:\n%s", wanted, text);
}

static int enter(void **state) {
    (void)state;
    char program[4096], path[8192];
    const char *given = getenv("SLUICE_BIN");
    if (given) {
        if (!realpath(given, program)) return -1;
    } else {
        ssize_t n = readlink("/proc/self/exe", program, sizeof program - 64);
        if (n < 0) return -1;
        program[n] = '\0';
        for (int i = 0; i < 3; i++) *strrchr(program, '/') = '\0'; /* BUILD/tests/component/test_manifest_cli */
        (void)strcat(program, "/producer/sluice");
    }
    if (access(program, X_OK)) return fprintf(stderr, "no program %s; set SLUICE_BIN\n", program), -1;
    *strrchr(program, '/') = '\0';
    (void)snprintf(path, sizeof path, "%s:%s", program, getenv("PATH"));
    (void)setenv("PATH", path, 1);
    (void)unsetenv("GITHUB_SHA");
    (void)unsetenv("CI_COMMIT_SHA");
    (void)unsetenv("SIGNING_ENABLED");
    (void)unsetenv("SOURCE_DATE_EPOCH");
    return !mkdtemp(folder) || chdir(folder);
}

static int leave(void **state) {
    (void)state;
    char command[128];
    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return chdir("/") || system(command);
}

/* Every test begins with two files and nothing else. */
static int setup(void **state) {
    (void)state;
    if (system("rm -rf ./* ./.[!.]*")) return -1;
    spill("sbom.json", "{\"packages\":[]}\n");
    spill("evidence.json", "{\"passed\":7}\n");
    return 0;
}

/* ---- generate ---- */

static void what_is_generated_verifies(void **state) {
    (void)state;
    assert_exit(0, RIGHT);
    char digest[DIGEST_TEXT + 40];
    assert_int_equal(digest_file(MANIFEST, "sha256", digest, sizeof digest, NULL), 0);
    assert_says(out, MANIFEST);
    assert_says(out, digest);
    assert_string_equal(err, "");
    assert_exit(0, "sluice manifest verify");
    assert_says(out, digest);
}

static void members_stand_in_the_order_of_the_format(void **state) {
    (void)state;
    assert_exit(0, RIGHT "--artifact name=cli,type=binary,digest=" DIGEST ",uri=https://dl.acme.example/a,b "
                         "--signature artifact=cli,uri=https://dl.acme.example/cli.sig,key-id=ci");
    assert_exit(0, "grep -o '\"[a-zA-Z]*\":' " MANIFEST " | tr -d '\":\\n' ");
    assert_string_equal(out, "schemaVersiongitShabuildTimestampartifactsnametypedigesturinametypedigesturisbomReferenceuridigest"
                             "evidenceReferenceuridigestattestationstatussignaturesartifactsignatureUrikeyIdissueLink");
    assert_exit(0, "cat " MANIFEST);
    assert_says(out, "\"uri\": \"https://dl.acme.example/a,b\"");
    assert_says(out, "\"status\": \"enabled\"");
    assert_says(out, "\"name\": \"primary-image\"");
}

static void digests_are_those_of_the_files(void **state) {
    (void)state;
    assert_exit(0, RIGHT);
    assert_exit(0, "grep -c \"$(sha256sum sbom.json | cut -d' ' -f1)\\|$(sha256sum evidence.json | cut -d' ' -f1)\" " MANIFEST);
    assert_string_equal(out, "2\n");
}

static void the_same_sources_give_the_same_bytes(void **state) {
    (void)state;
    assert_exit(0, "SOURCE_DATE_EPOCH=1772359200 " RIGHT "--out a.json && SOURCE_DATE_EPOCH=1772359200 " RIGHT "--out b.json");
    assert_exit(0, "cmp a.json b.json && grep buildTimestamp a.json");
    assert_says(out, "\"2026-03-01T10:00:00Z\"");
    assert_exit(2, "SOURCE_DATE_EPOCH=yesterday " RIGHT);
    assert_says(err, "SOURCE_DATE_EPOCH");
    assert_exit(2, "SOURCE_DATE_EPOCH=-1 " RIGHT);
    assert_exit(2, "SOURCE_DATE_EPOCH=253402300800 " RIGHT);
    assert_exit(0, "SOURCE_DATE_EPOCH=253402300799 " RIGHT);
}

static void the_old_environment_is_taken(void **state) {
    (void)state;
    assert_exit(0, "GITHUB_SHA=" SHA " sluice manifest generate " IMAGE FILES LINK);
    assert_exit(0, "CI_COMMIT_SHA=" SHA " sluice manifest generate " IMAGE FILES LINK);
    assert_exit(0, "grep -q " SHA " " MANIFEST);
    assert_exit(0, "GITHUB_SHA=ignored " RIGHT); /* the option wins */
    assert_exit(2, "SIGNING_ENABLED=true " RIGHT);
    assert_says(err, "--signature");
    assert_exit(0, "SIGNING_ENABLED=false " RIGHT);
    assert_exit(0, "SIGNING_ENABLED=true " RIGHT "--signature artifact=primary-image,uri=x.sig,key-id=ci");
    assert_exit(2, "SIGNING_ENABLED=maybe " RIGHT);
    assert_says(err, "SIGNING_ENABLED");
}

/* What is left out, and the option that must be named. */
static void what_is_missing_is_named(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *option;
    } cases[] = {
        {IMAGE FILES LINK, "--sha"},
        {"--sha " SHA " " FILES LINK, "--image-digest"},
        {"--sha " SHA " --image-uri ghcr.io/acme/shop " FILES LINK, "--image-digest"},
        {"--sha " SHA " --image-digest " DIGEST " " FILES LINK, "--image-uri"},
        {"--sha " SHA " " IMAGE "--evidence evidence.json " LINK, "--sbom"},
        {"--sha " SHA " " IMAGE "--sbom sbom.json " LINK, "--evidence"},
        {"--sha " SHA " " IMAGE FILES, "--issue-link"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char wanted[80];
        assert_exit(2, "sluice manifest generate %s", cases[i].arguments);
        (void)snprintf(wanted, sizeof wanted, "error: %s is missing", cases[i].option);
        assert_says(err, wanted);
        assert_string_equal(out, "");
        assert_int_not_equal(access(MANIFEST, F_OK), 0);
    }
    assert_exit(2, "sluice manifest generate");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (strcmp(cases[i].option, "--image-uri") != 0) assert_says(err, cases[i].option);
}

/* The old examples and stubs among them: refused with the option at fault, written with --draft. */
static void what_could_never_verify_is_refused_or_a_draft(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *option;
    } cases[] = {
        {"--sha " SHA " --image-digest sha256:mock --image-uri ghcr.io/acme/shop " FILES LINK, "--image-digest"},
        {"--sha " SHA " --image-digest " DIGEST " --image-uri ghcr.io/acme/shop@sha256:b " FILES LINK, "--image-uri"},
        {"--sha " SHA " --image-digest " DIGEST " --image-uri acme/shop " FILES LINK, "--image-uri"},
        {"--sha " SHA " --image-digest " DIGEST " --image-uri https://ghcr.io/acme/shop " FILES LINK, "--image-uri"},
        {"--sha abc1234 " IMAGE FILES LINK, "--sha"},
        {"--sha " SHA " " IMAGE "--sbom missing.json --evidence evidence.json " LINK, "--sbom"},
        {"--sha " SHA " " IMAGE "--sbom . --evidence evidence.json " LINK, "--sbom"},
        {"--sha " SHA " " IMAGE FILES "--issue-link ''", "--issue-link"},
        {"--sha " SHA " " IMAGE FILES LINK "--artifact name=cli,type=binary", "--artifact"},
        {"--sha " SHA " " IMAGE FILES LINK "--artifact name=cli,type=exe,digest=" DIGEST, "--artifact"},
        {"--sha " SHA " " IMAGE FILES LINK "--artifact name=primary-image,type=other,digest=" DIGEST, "--artifact"},
        {"--sha " SHA " " IMAGE FILES LINK "--artifact type=other,digest=" DIGEST, "--artifact"},
        {"--sha " SHA " " IMAGE FILES "--signature artifact=nobody,uri=x,key-id=k", "--signature"},
        {"--sha " SHA " " IMAGE FILES "--signature artifact=primary-image,uri=x", "--signature"},
        {"--sha " SHA " " IMAGE FILES "--issue-link $(printf 'a\\033[2J')", "--issue-link"},
        {"--sha " SHA " --artifact name=a,type=other,digest=sha256:mock " FILES LINK, "--artifact"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_exit(2, "sluice manifest generate %s", cases[i].arguments);
        assert_says(err, cases[i].option);
        assert_null(strchr(err, '\033'));
        assert_int_not_equal(access(MANIFEST, F_OK), 0);
        assert_exit(0, "sluice manifest generate --draft --json %s", cases[i].arguments);
        assert_says(err, cases[i].option);
        assert_says(err, "would not verify");
        assert_says(out, "\"valid\":false");
        assert_int_equal(access(MANIFEST, F_OK), 0);
        assert_int_equal(remove(MANIFEST), 0);
    }
}

static void a_draft_does_not_verify(void **state) {
    (void)state;
    assert_exit(0, "sluice manifest generate --draft --sha " SHA
                   " --image-digest sha256:mock --image-uri ghcr.io/acme/shop " FILES LINK);
    assert_exit(1, "sluice manifest verify");
    assert_says(err, "/artifacts/0/digest");
    assert_exit(0, "sluice manifest generate --draft"); /* of nothing at all */
    assert_exit(1, "sluice manifest verify");
    assert_exit(0, RIGHT "--draft"); /* a draft in which all is right is a manifest */
    assert_string_equal(err, "");
    assert_exit(0, "sluice manifest verify");
}

static void bytes_that_are_no_utf8_are_refused(void **state) {
    (void)state;
    assert_exit(2, RIGHT "--artifact name=\"$(printf 'a\\377')\",type=other,digest=" DIGEST);
    assert_int_not_equal(access(MANIFEST, F_OK), 0);
}

static void parts_of_a_spec_are_known_and_given_once(void **state) {
    (void)state;
    assert_exit(2, RIGHT "--artifact name=a,type=other,digest=" DIGEST ",colour=red");
    assert_says(err, "colour=red");
    assert_exit(2, RIGHT "--artifact name=a,name=b,type=other,digest=" DIGEST);
    assert_says(err, "twice");
    assert_exit(2, RIGHT "--artifact nonsense");
    assert_says(err, "nonsense");
}

static void a_file_below_the_manifest_keeps_its_path_and_others_their_name(void **state) {
    (void)state;
    assert_exit(0, "mkdir -p bundle/reports build && cp sbom.json build/the-sbom.json && cp evidence.json bundle/reports/");
    assert_exit(0, "sluice manifest generate --sha " SHA " " IMAGE LINK
                   "--sbom build/the-sbom.json --evidence bundle/reports/evidence.json --out bundle/release-manifest.json");
    assert_exit(0, "grep '\"uri\"' bundle/release-manifest.json");
    assert_says(out, "\"uri\": \"the-sbom.json\"");
    assert_says(out, "\"uri\": \"reports/evidence.json\"");
    assert_exit(1, "sluice manifest verify --bundle bundle");
    assert_says(err, "the-sbom.json");
    assert_exit(0, "cp build/the-sbom.json bundle/ && sluice manifest verify --bundle bundle");
    assert_exit(0, "mkdir other && echo 1 >other/sbom.json");
    assert_exit(2, "sluice manifest generate --sha " SHA " " IMAGE LINK "--sbom sbom.json --evidence other/sbom.json");
    assert_says(err, "one file in the bundle");
}

static void a_reference_elsewhere_is_written_as_it_is(void **state) {
    (void)state;
    assert_exit(0, "sluice manifest generate --sha " SHA " " IMAGE LINK "--sbom oci://ghcr.io/acme/sbom@" DIGEST
                   " --evidence https://ci.acme.example/run/81");
    assert_exit(0, "grep -c '\"oci://ghcr.io/acme/sbom@" DIGEST "\"\\|\"https://ci.acme.example/run/81\"' " MANIFEST);
    assert_string_equal(out, "2\n");
    assert_exit(0, "sluice manifest verify --bundle . " MANIFEST);
    assert_says(err, "sbomReference is not in the bundle");
}

static void the_file_is_replaced_whole_or_not_at_all(void **state) {
    (void)state;
    assert_exit(0, "mkdir -p release/out && echo before >" MANIFEST " && ln " MANIFEST " witness");
    assert_exit(2, "sluice manifest generate --sha " SHA);
    assert_exit(0, "cat " MANIFEST);
    assert_string_equal(out, "before\n");
    assert_exit(0, "umask 022 && " RIGHT);
    assert_exit(0, "cat witness && ls -A release/out && stat -c %%a " MANIFEST);
    assert_string_equal(out, "before\nrelease-manifest.json\n644\n"); /* a new file in its place, no leftovers, readable */
    assert_exit(0, "mkdir occupied");
    assert_exit(2, RIGHT "--out occupied");
    assert_exit(2, RIGHT "--out /dev/null");
    assert_int_equal(access("/dev/null", F_OK), 0);
    assert_exit(2, RIGHT "--out sbom.json/manifest.json");
    assert_says(err, "sbom.json/manifest.json");
    assert_exit(2, RIGHT "--out ''");
}

/* ---- verify ---- */

static void problems_are_told_with_path_code_and_status_1(void **state) {
    (void)state;
    assert_exit(0, RIGHT);
    assert_exit(0, "sed -i 's/" HEX "/" HEX
                   "b/; s/2026/2026-13/; s/0123456789/0123456789X/; s/\"status\"/\"extra\": 1, \"status\"/' " MANIFEST);
    assert_exit(1, "sluice manifest verify --json");
    assert_exit(0, "sluice manifest verify --json | " PYTHON " -c 'import json, sys; d = json.load(sys.stdin); "
                   "assert list(d) == [\"valid\", \"manifestDigest\", \"errors\"] and d[\"valid\"] is False, d; "
                   "assert all(list(e) == [\"path\", \"code\", \"message\"] and e[\"message\"] for e in d[\"errors\"]), d; "
                   "print(sorted((e[\"path\"], e[\"code\"]) for e in d[\"errors\"]))'");
    assert_string_equal(out, "[('/artifacts/0/digest', 'digest-invalid'), ('/attestation/extra', 'unknown-member'), "
                             "('/buildTimestamp', 'manifest-invalid'), ('/gitSha', 'manifest-invalid')]\n");
    assert_exit(1, "sluice manifest verify");
    assert_says(err, MANIFEST ": /artifacts/0/digest: ");
    assert_says(out, "4 problems");
    assert_exit(0, "sed -i 's/\"extra\"/\"\\\\u001b[2J\"/' " MANIFEST);
    assert_exit(1, "sluice manifest verify");
    assert_says(err, "/attestation/ [2J: ");
    assert_null(strchr(err, '\033')); /* a member's name does not reach the terminal as it is */
}

static void a_right_manifest_has_its_digest_and_no_errors(void **state) {
    (void)state;
    assert_exit(0, RIGHT "--out m.json");
    assert_exit(0, "sluice manifest verify --json m.json | " PYTHON " -c 'import hashlib, json, sys; d = json.load(sys.stdin); "
                   "digest = hashlib.sha256(open(\"m.json\", \"rb\").read()).hexdigest(); "
                   "assert d == {\"valid\": True, \"manifestDigest\": \"sha256:\" + digest, \"errors\": []}, d'");
    assert_exit(0, "sluice manifest verify - <m.json");
}

static void what_is_no_json_is_1_and_what_is_no_file_is_2(void **state) {
    (void)state;
    assert_exit(2, "sluice manifest verify");
    assert_says(err, MANIFEST);
    assert_exit(2, "sluice manifest verify .");
    assert_exit(2, "sluice manifest verify --json missing.json");
    assert_string_equal(out, "");
    assert_exit(1, "sluice manifest verify --json sbom.json");
    assert_says(out, "manifest-invalid");
    spill("torn.json", "{\"schemaVersion\":");
    assert_exit(1, "sluice manifest verify --json torn.json");
    assert_says(out, "not-json");
    assert_exit(1, "sluice manifest verify --json /dev/null");
    assert_says(out, "not-json");
    assert_exit(0, "head -c 1000001 /dev/zero | tr '\\0' ' ' >large.json && sha256sum large.json | cut -c1-64");
    char digest[65];
    memcpy(digest, out, 64);
    digest[64] = '\0';
    assert_exit(1, "sluice manifest verify --json large.json");
    assert_says(out, "too-large");
    assert_says(out, digest);
}

static void a_schema_of_ones_own_asks_for_more(void **state) {
    (void)state;
    assert_exit(0, RIGHT);
    spill("any.json", "true");
    spill("history.json", "{\"required\": [\"promotionHistory\"]}");
    spill("torn.json", "{");
    spill("wrong.json", "{\"type\": \"manifest\"}");
    assert_exit(0, "sluice manifest verify --schema any.json");
    assert_exit(1, "sluice manifest verify --schema history.json");
    assert_says(err, "promotionHistory");
    assert_exit(1, "sluice manifest verify " MANIFEST " history.json");
    assert_exit(2, "sluice manifest verify " MANIFEST " torn.json");
    assert_says(err, "torn.json");
    assert_exit(2, "sluice manifest verify --schema wrong.json");
    assert_exit(2, "sluice manifest verify --schema missing.json");
    assert_exit(2, "sluice manifest verify --schema any.json " MANIFEST " history.json");
    assert_exit(0, "mkdir -p release/schema && cp history.json release/schema/release-manifest.schema.json");
    assert_exit(1, "sluice manifest verify"); /* the default where it exists */
    assert_exit(0, "sluice manifest verify --schema any.json");
    assert_exit(0, "sed -i s/" HEX "/mock/ " MANIFEST);
    assert_exit(1, "sluice manifest verify --schema any.json"); /* integrity holds whatever the schema says */
    assert_says(err, "digest-invalid");
}

static void what_both_schemas_find_is_told_once(void **state) {
    (void)state;
    assert_exit(0, RIGHT "&& cp " SLUICE_SOURCE "/common/schemas/release-manifest.schema.json built-in.json && sed -i s/" SHA
                         "/abc/ " MANIFEST);
    assert_exit(1, "sluice manifest verify --schema built-in.json");
    assert_says(out, "1 problem\n");
}

#define BUNDLE "mkdir bundle && cp sbom.json evidence.json bundle && " RIGHT "--out bundle/release-manifest.json"

static void a_bundle_is_held_against_its_manifest(void **state) {
    (void)state;
    assert_exit(0, BUNDLE);
    assert_exit(0, "sluice manifest verify --bundle bundle");
    assert_exit(0, "sluice manifest verify --bundle ./bundle/");
    assert_exit(0, "cd bundle && sluice manifest verify --bundle .");
    assert_exit(0, "echo changed >>bundle/sbom.json && rm bundle/evidence.json");
    assert_exit(1, "sluice manifest verify --bundle bundle --json");
    assert_says(out, "\"/sbomReference/digest\"");
    assert_says(out, "\"digest-invalid\"");
    assert_says(out, "\"/evidenceReference/uri\"");
    assert_says(out, "lacks 'evidence.json'");
    assert_exit(2, "sluice manifest verify --bundle missing bundle/release-manifest.json");
    assert_exit(2, "sluice manifest verify --bundle sbom.json bundle/release-manifest.json");
}

static void a_bundle_is_never_left(void **state) {
    (void)state;
    static const char *const names[] = {
        "../sbom.json", "/etc/hostname", "a/../../sbom.json", ".",    "..", "a//b", "./sbom.json", "sbom.json/", "a\\\\\\\\..",
        "~/sbom.json",  "linked.json",   "linked/sbom.json",  "pipe", "a"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_exit(0, "rm -rf bundle && " BUNDLE);
        assert_exit(0, "cd bundle && mkdir a && mkfifo pipe && ln -s ../sbom.json linked.json && ln -s .. linked");
        assert_exit(0, "sed -i 's|\"sbom.json\"|\"%s\"|' bundle/release-manifest.json", names[i]);
        assert_exit(1, "timeout 10 sluice manifest verify --bundle bundle --json");
        assert_says(out, "\"/sbomReference/uri\"");
    }
    assert_exit(0, "rm -rf bundle && " BUNDLE "&& mv bundle/sbom.json bundle/real.json && ln -s real.json bundle/sbom.json");
    assert_exit(0, "sluice manifest verify --bundle bundle"); /* a link inside stays inside */
}

/* ---- the options of every command ---- */

static void help_teaches_and_is_no_error(void **state) {
    (void)state;
    static const char *const commands[] = {"manifest generate", "manifest verify"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        assert_exit(0, "sluice %s --help", commands[i]);
        assert_says(out, "Usage: sluice manifest");
        assert_says(out, "Examples:");
        assert_says(out, "Exit status:");
        assert_string_equal(err, "");
        assert_exit(0, "sluice %s --sha x -h", commands[i]);
    }
    assert_exit(0, "sluice manifest generate --help");
    assert_says(out, "[GITHUB_SHA, CI_COMMIT_SHA]");
    assert_says(out, MANIFEST ")");
    assert_exit(0, "sluice policy check --help"); /* an example of a file keeps its indentation */
    assert_says(out, "\n  projects:");
    assert_says(out, "\n      dev: {}\n");
}

static void wrong_arguments_are_one_line_that_names_them(void **state) {
    (void)state;
    static const struct {
        const char *arguments, *says;
    } cases[] = {
        {"manifest verify --jsn", "no option '--jsn' (did you mean --json?); see sluice manifest verify --help"},
        {"manifest verify --xyzzy=3", "no option '--xyzzy'; see"},
        {"manifest verify -j", "no option '-j'"},
        {"manifest verify --json=yes", "--json takes no value"},
        {"manifest verify --schema", "--schema needs a value: --schema FILE"},
        {"manifest verify --schema a --schema b", "--schema is given twice"},
        {"manifest verify a b c", "what is 'c'?"},
        {"manifest verify -- --json b c", "what is 'c'?"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_exit(2, "sluice %s", cases[i].arguments);
        assert_says(err, cases[i].says);
        assert_ptr_equal(strchr(err, '\n'), err + strlen(err) - 1);
        assert_string_equal(out, "");
    }
    assert_exit(0, RIGHT "--out=--odd.json");
    assert_exit(0, "sluice manifest verify --json -- --odd.json");
}

static void a_noun_alone_lists_its_commands(void **state) {
    (void)state;
    assert_exit(2, "sluice manifest");
    assert_says(err, "generate");
    assert_null(strstr(err, "validate")); /* of another noun */
    assert_exit(0, "sluice manifest --help");
    assert_says(out, "verify");
    assert_exit(2, "sluice manifest burn");
    assert_says(err, "no command 'manifest burn'; see sluice manifest --help");
    assert_exit(2, "sluice burn");
    assert_says(err, "no command 'burn'; see sluice --help");
    assert_exit(0, "sluice --help");
    assert_exit(0, "sluice --version");
}

static void policy_check_notes_what_can_promote_nothing(void **state) {
    (void)state;
    spill("policy.yaml", "version: 1\nprojects:\n- match: \"acme/*\"\n  environments: {dev: {}}\n");
    assert_exit(0, "sluice policy check policy.yaml");
    assert_says(err, "note: no registry is named");
    assert_says(err, "note: project 'acme/*' refuses unsigned releases");
    assert_exit(0, "sluice policy check --json policy.yaml");
    assert_string_equal(err, "");
    assert_says(out, "\"notes\":[\"no registry");
    spill("policy.yaml", "version: 1\nregistries: {ghcr.io: {}}\nprojects:\n- match: \"acme/*\"\n  unsigned: allow\n"
                         "  environments: {dev: {}}\n");
    assert_exit(0, "sluice policy check policy.yaml");
    assert_string_equal(err, "");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_is_generated_verifies, setup),
        cmocka_unit_test_setup(members_stand_in_the_order_of_the_format, setup),
        cmocka_unit_test_setup(digests_are_those_of_the_files, setup),
        cmocka_unit_test_setup(the_same_sources_give_the_same_bytes, setup),
        cmocka_unit_test_setup(the_old_environment_is_taken, setup),
        cmocka_unit_test_setup(what_is_missing_is_named, setup),
        cmocka_unit_test_setup(what_could_never_verify_is_refused_or_a_draft, setup),
        cmocka_unit_test_setup(a_draft_does_not_verify, setup),
        cmocka_unit_test_setup(bytes_that_are_no_utf8_are_refused, setup),
        cmocka_unit_test_setup(parts_of_a_spec_are_known_and_given_once, setup),
        cmocka_unit_test_setup(a_file_below_the_manifest_keeps_its_path_and_others_their_name, setup),
        cmocka_unit_test_setup(a_reference_elsewhere_is_written_as_it_is, setup),
        cmocka_unit_test_setup(the_file_is_replaced_whole_or_not_at_all, setup),
        cmocka_unit_test_setup(problems_are_told_with_path_code_and_status_1, setup),
        cmocka_unit_test_setup(a_right_manifest_has_its_digest_and_no_errors, setup),
        cmocka_unit_test_setup(what_is_no_json_is_1_and_what_is_no_file_is_2, setup),
        cmocka_unit_test_setup(a_schema_of_ones_own_asks_for_more, setup),
        cmocka_unit_test_setup(what_both_schemas_find_is_told_once, setup),
        cmocka_unit_test_setup(a_bundle_is_held_against_its_manifest, setup),
        cmocka_unit_test_setup(a_bundle_is_never_left, setup),
        cmocka_unit_test_setup(help_teaches_and_is_no_error, setup),
        cmocka_unit_test_setup(wrong_arguments_are_one_line_that_names_them, setup),
        cmocka_unit_test_setup(a_noun_alone_lists_its_commands, setup),
        cmocka_unit_test_setup(policy_check_notes_what_can_promote_nothing, setup),
    };
    return cmocka_run_group_tests_name("manifest_cli", tests, enter, leave);
}
